//! Identities, their grants and API keys, and remembered answers.

use std::{collections::BTreeSet, thread};

use super::*;
use crate::store::{AnswerRow, ApiKeyRow, Fingerprint, GrantRow, IdentityCertificate, IdentityRow, Spend};

/// Somebody with no role.
pub(super) fn identity(name: &str) -> IdentityRow {
    IdentityRow {
        id: Uuid::new_v4(),
        kind: "service".into(),
        name: name.into(),
        description: None,
        certificate: None,
        disabled: false,
        revision: 1,
        created_at: 100,
        changed_at: 100,
        created_by: None,
        grants: Vec::new(),
        hands: BTreeSet::new(),
    }
}

fn added(store: &Store, name: &str) -> IdentityRow {
    let row = identity(name);
    store.insert_identity(row.clone(), None).unwrap();
    row
}

pub(super) fn certificate(number: u8) -> Option<IdentityCertificate> {
    Some(IdentityCertificate { fingerprint: Fingerprint([number; 32]), der: vec![0x30, number] })
}

fn grant(role: &str, adapter: Option<AdapterId>) -> GrantRow {
    GrantRow { role: role.into(), adapter }
}

/// A key that is made at 200 and ends at 300.
pub(super) fn key(identity: &IdentityRow) -> ApiKeyRow {
    ApiKeyRow {
        id: Uuid::new_v4(),
        identity: identity.id,
        name: "key".into(),
        hash: [5; 32],
        single_use: false,
        created_at: 200,
        expires_at: Some(300),
        revoked_at: None,
        used_at: None,
        hands: BTreeSet::new(),
    }
}

fn added_key(store: &Store, row: ApiKeyRow) -> ApiKeyRow {
    store.insert_api_key(row.clone(), None).unwrap();
    row
}

fn stored_key(store: &Store, id: Uuid) -> ApiKeyRow {
    store.api_key(id).unwrap().unwrap().0
}

/// The error of an identity's change that must leave everything as it was.
fn refused(store: &Store, change: impl FnOnce() -> Result<(), StoreError>) -> StoreError {
    let before = store.identities().unwrap();
    let error = change().unwrap_err();
    assert_eq!(store.identities().unwrap(), before);
    error
}

#[test]
fn identities_are_read_back_as_they_were_given_and_found_by_their_certificate() {
    let fixture = Fixture::new();
    let first = added(&fixture.store, "first");
    let grants = vec![grant("viewer", Some(fixture.adapter)), grant("auditor", None), grant("viewer", None)];
    let second = IdentityRow {
        description: Some("for tests".into()),
        certificate: certificate(1),
        disabled: true,
        created_by: Some(first.id),
        grants,
        ..identity("second")
    };
    fixture.store.insert_identity(second.clone(), None).unwrap();
    let fixture = fixture.reopened();
    assert_eq!(fixture.store.identities().unwrap(), [first.clone(), second.clone()]);
    assert_eq!(fixture.store.identity(first.id).unwrap(), Some(first));
    assert_eq!(fixture.store.identity(Uuid::new_v4()).unwrap(), None);
    assert_eq!(fixture.store.identity_by_certificate(Fingerprint([1; 32])).unwrap(), Some(second));
    assert_eq!(fixture.store.identity_by_certificate(Fingerprint([2; 32])).unwrap(), None);
}

#[test]
fn a_grant_that_is_given_twice_is_there_once() {
    let fixture = Fixture::new();
    let scoped = grant("viewer", Some(fixture.adapter));
    let grants = vec![grant("viewer", None), scoped.clone(), grant("viewer", None), scoped.clone()];
    let row = IdentityRow { grants, ..identity("one") };
    fixture.store.insert_identity(row.clone(), None).unwrap();
    let stored = fixture.store.identity(row.id).unwrap().unwrap();
    assert_eq!(stored.grants, [grant("viewer", None), scoped]);
}

#[test]
fn an_identity_with_what_another_has_or_a_grant_for_nothing_is_refused() {
    let fixture = Fixture::new();
    let first = IdentityRow { certificate: certificate(1), ..identity("first") };
    fixture.store.insert_identity(first.clone(), None).unwrap();
    for taken in [
        identity("first"),
        IdentityRow { id: first.id, ..identity("second") },
        IdentityRow { certificate: certificate(1), ..identity("second") },
    ] {
        let error = refused(&fixture.store, || fixture.store.insert_identity(taken, None));
        assert!(matches!(error, StoreError::Duplicate));
    }
    let nowhere = vec![grant("viewer", Some(AdapterId(Uuid::new_v4())))];
    let homeless = IdentityRow { grants: nowhere, ..identity("second") };
    let error = refused(&fixture.store, || fixture.store.insert_identity(homeless, None));
    assert!(matches!(error, StoreError::NotFound));
    let later = IdentityRow { revision: 2, ..identity("second") };
    assert!(matches!(refused(&fixture.store, || fixture.store.insert_identity(later, None)), StoreError::Conflict));
    fixture.store.insert_identity(IdentityRow { certificate: certificate(2), ..identity("second") }, None).unwrap();
}

#[test]
fn identities_are_limited() {
    let fixture = Fixture::with(StoreOptions { max_identities: 2, ..StoreOptions::default() });
    added(&fixture.store, "first");
    let second = added(&fixture.store, "second");
    let error = refused(&fixture.store, || fixture.store.insert_identity(identity("third"), None));
    assert!(matches!(error, StoreError::LimitReached { limit: 2 }));
    fixture.store.delete_identity(second.id, 1, None).unwrap();
    added(&fixture.store, "third");
}

#[test]
fn an_update_is_made_from_the_stored_revision_and_replaces_grants_whole() {
    let fixture = Fixture::new();
    let row = IdentityRow { certificate: certificate(1), grants: vec![grant("viewer", None)], ..identity("one") };
    fixture.store.insert_identity(row.clone(), None).unwrap();
    added(&fixture.store, "other");
    let changed = IdentityRow {
        kind: "operator".into(),
        name: "two".into(),
        description: Some("changed".into()),
        certificate: certificate(2),
        disabled: true,
        revision: 2,
        changed_at: 101,
        grants: vec![grant("auditor", Some(fixture.adapter))],
        ..row.clone()
    };
    let not_its_own = IdentityRow { created_at: 1, created_by: Some(row.id), ..changed.clone() };
    fixture.store.update_identity(not_its_own, None).unwrap();
    assert_eq!(fixture.store.identity(row.id).unwrap(), Some(changed.clone()), "who made it and when stays");
    for revision in [1, 2, 4] {
        let stale = IdentityRow { revision, ..changed.clone() };
        let error = refused(&fixture.store, || fixture.store.update_identity(stale, None));
        assert!(matches!(error, StoreError::Conflict), "{revision}");
    }
    let taken = IdentityRow { revision: 3, name: "other".into(), ..changed.clone() };
    let error = refused(&fixture.store, || fixture.store.update_identity(taken, None));
    assert!(matches!(error, StoreError::Duplicate));
    let unknown = IdentityRow { revision: 3, id: Uuid::new_v4(), ..changed.clone() };
    let error = refused(&fixture.store, || fixture.store.update_identity(unknown, None));
    assert!(matches!(error, StoreError::NotFound));
    let nowhere = vec![grant("viewer", Some(AdapterId(Uuid::new_v4())))];
    let error = refused(&fixture.store, || {
        fixture.store.update_identity(IdentityRow { revision: 3, grants: nowhere, ..changed.clone() }, None)
    });
    assert!(matches!(error, StoreError::NotFound));
}

#[test]
fn of_two_updates_made_from_one_revision_one_wins() {
    let fixture = Fixture::new();
    let row = added(&fixture.store, "one");
    let outcomes: Vec<Result<(), StoreError>> = thread::scope(|scope| {
        let update = |number| IdentityRow { revision: 2, changed_at: number, ..row.clone() };
        let racers: Vec<_> = (0..8)
            .map(|number| {
                let (store, changed) = (&fixture.store, update(number));
                scope.spawn(move || store.update_identity(changed, None))
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().flat_map(|outcome| outcome.as_ref().err()).all(|e| matches!(e, StoreError::Conflict)));
}

#[test]
fn an_identity_goes_with_its_grants_and_keys_and_its_name_is_free() {
    let fixture = Fixture::new();
    let row = IdentityRow { grants: vec![grant("viewer", Some(fixture.adapter))], ..identity("one") };
    fixture.store.insert_identity(row.clone(), None).unwrap();
    let own = added_key(&fixture.store, key(&row));
    let others = added(&fixture.store, "other");
    let others = added_key(&fixture.store, key(&others));
    let error = refused(&fixture.store, || fixture.store.delete_identity(row.id, 2, None));
    assert!(matches!(error, StoreError::Conflict));
    fixture.store.delete_identity(row.id, 1, None).unwrap();
    let error = refused(&fixture.store, || fixture.store.delete_identity(row.id, 1, None));
    assert!(matches!(error, StoreError::NotFound));
    assert_eq!(fixture.store.api_key(own.id).unwrap(), None);
    assert_eq!(stored_key(&fixture.store, others.id), others);
    added(&fixture.store, "one");
}

#[test]
fn changes_of_identities_and_keys_are_no_changes_of_trust() {
    let fixture = Fixture::new();
    let before = fixture.store.trust_generation().unwrap();
    let row = added(&fixture.store, "one");
    added_key(&fixture.store, key(&row));
    fixture.store.delete_identity(row.id, 1, None).unwrap();
    assert_eq!(fixture.store.trust_generation().unwrap(), before);
}

#[test]
fn an_api_key_comes_with_its_identity_and_grants() {
    let fixture = Fixture::new();
    let row = IdentityRow { grants: vec![grant("viewer", Some(fixture.adapter))], ..identity("one") };
    fixture.store.insert_identity(row.clone(), None).unwrap();
    let first = added_key(&fixture.store, key(&row));
    let second = added_key(&fixture.store, ApiKeyRow { expires_at: None, single_use: true, ..key(&row) });
    assert_eq!(fixture.store.api_key(first.id).unwrap(), Some((first.clone(), row.clone())));
    assert_eq!(fixture.store.api_key(Uuid::new_v4()).unwrap(), None);
    assert_eq!(fixture.store.api_keys(row.id).unwrap(), [first.clone(), second]);
    assert_eq!(fixture.store.api_keys(Uuid::new_v4()).unwrap(), []);
    let taken = fixture.store.insert_api_key(ApiKeyRow { name: "another".into(), ..first.clone() }, None);
    assert!(matches!(taken, Err(StoreError::Duplicate)));
    let homeless = ApiKeyRow { identity: Uuid::new_v4(), ..key(&row) };
    assert!(matches!(fixture.store.insert_api_key(homeless, None), Err(StoreError::NotFound)));
    assert!(!format!("{first:?}").contains("hash"));
}

#[test]
fn usable_keys_of_an_identity_are_limited_and_others_do_not_count() {
    let fixture = Fixture::with(StoreOptions { max_api_keys: 2, ..StoreOptions::default() });
    let row = added(&fixture.store, "one");
    let forever = || ApiKeyRow { expires_at: None, ..key(&row) };
    let first = added_key(&fixture.store, forever());
    added_key(&fixture.store, key(&row));
    let third = fixture.store.insert_api_key(forever(), None);
    assert!(matches!(third, Err(StoreError::LimitReached { limit: 2 })));
    assert_eq!(fixture.store.api_keys(row.id).unwrap().len(), 2);
    // The second has expired by then; the first is revoked.
    added_key(&fixture.store, ApiKeyRow { created_at: 300, ..forever() });
    fixture.store.revoke_api_key(first.id, 301, None).unwrap();
    added_key(&fixture.store, ApiKeyRow { created_at: 302, ..forever() });
    let other = added(&fixture.store, "other");
    added_key(&fixture.store, key(&other));
}

#[test]
fn a_key_is_revoked_once() {
    let fixture = Fixture::new();
    let row = added(&fixture.store, "one");
    let key = added_key(&fixture.store, key(&row));
    assert!(stored_key(&fixture.store, key.id).is_usable(299));
    assert!(!stored_key(&fixture.store, key.id).is_usable(300));
    fixture.store.revoke_api_key(key.id, 250, None).unwrap();
    assert!(matches!(fixture.store.revoke_api_key(key.id, 251, None), Err(StoreError::Conflict)));
    assert!(matches!(fixture.store.revoke_api_key(Uuid::new_v4(), 251, None), Err(StoreError::NotFound)));
    let stored = stored_key(&fixture.store, key.id);
    assert_eq!(stored.revoked_at, Some(250));
    assert!(!stored.is_usable(250));
}

#[test]
fn of_all_who_spend_a_key_at_once_one_succeeds() {
    let fixture = Fixture::new();
    let row = added(&fixture.store, "one");
    for _ in 0..10 {
        let key = added_key(&fixture.store, ApiKeyRow { single_use: true, ..key(&row) });
        let spent: usize = thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| match fixture.store.spend_api_key(key.id, 250) {
                        Ok(()) => 1,
                        Err(StoreError::Conflict) => 0,
                        Err(error) => panic!("{error}"),
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).sum()
        });
        assert_eq!(spent, 1);
        assert_eq!(stored_key(&fixture.store, key.id).used_at, Some(250));
        assert!(!stored_key(&fixture.store, key.id).is_usable(250));
    }
}

#[test]
fn a_key_that_is_revoked_expired_or_not_for_single_use_is_not_spent() {
    let fixture = Fixture::new();
    let row = added(&fixture.store, "one");
    let single = || added_key(&fixture.store, ApiKeyRow { single_use: true, ..key(&row) });
    let (revoked, expired, last_second) = (single(), single(), single());
    fixture.store.revoke_api_key(revoked.id, 210, None).unwrap();
    assert!(matches!(fixture.store.spend_api_key(revoked.id, 220), Err(StoreError::Conflict)));
    assert!(matches!(fixture.store.spend_api_key(expired.id, 300), Err(StoreError::Conflict)));
    fixture.store.spend_api_key(last_second.id, 299).unwrap();
    let many = added_key(&fixture.store, key(&row));
    assert!(matches!(fixture.store.spend_api_key(many.id, 220), Err(StoreError::NotFound)));
    assert!(matches!(fixture.store.spend_api_key(Uuid::new_v4(), 220), Err(StoreError::NotFound)));
    assert_eq!(stored_key(&fixture.store, many.id), many);
}

#[test]
fn what_a_key_is_spent_on_and_its_spending_are_one() {
    let fixture = Fixture::new();
    let row = added(&fixture.store, "first");
    let token = added_key(&fixture.store, ApiKeyRow { single_use: true, ..key(&row) });
    let spend = Some(Spend { key: token.id, at: 250 });
    // What is refused spends nothing.
    let error = refused(&fixture.store, || fixture.store.insert_identity(identity("first"), spend));
    assert!(matches!(error, StoreError::Duplicate));
    let homeless = ApiKeyRow { identity: Uuid::new_v4(), ..key(&row) };
    assert!(matches!(fixture.store.insert_api_key(homeless, spend), Err(StoreError::NotFound)));
    assert!(stored_key(&fixture.store, token.id).is_usable(250));

    let made = key(&row);
    fixture.store.insert_api_key(made.clone(), spend).unwrap();
    assert!(!stored_key(&fixture.store, token.id).is_usable(250));
    // What cannot be paid for is not made.
    assert!(matches!(fixture.store.insert_api_key(key(&row), spend), Err(StoreError::Conflict)));
    assert_eq!(fixture.store.api_keys(row.id).unwrap().len(), 2);
    let error = refused(&fixture.store, || fixture.store.insert_identity(identity("second"), spend));
    assert!(matches!(error, StoreError::Conflict));
}

#[test]
fn the_last_use_of_keys_moves_forward_only_and_spends_none() {
    let fixture = Fixture::new();
    let row = added(&fixture.store, "one");
    let (many, single) = (key(&row), ApiKeyRow { single_use: true, ..key(&row) });
    for key in [&many, &single] {
        added_key(&fixture.store, key.clone());
    }
    let used = vec![(many.id, 210), (single.id, 211), (Uuid::new_v4(), 212), (many.id, 209)];
    fixture.store.touch_api_keys(used).unwrap();
    fixture.store.touch_api_keys(vec![(many.id, 205)]).unwrap();
    fixture.store.touch_api_keys(Vec::new()).unwrap();
    assert_eq!(stored_key(&fixture.store, many.id).used_at, Some(210));
    assert_eq!(stored_key(&fixture.store, single.id), single);
}

fn answer(number: u16, created_at: i64) -> AnswerRow {
    let mut key = [0; 32];
    key[..2].copy_from_slice(&number.to_be_bytes());
    AnswerRow { key, request: [9; 32], status: 201, body: Some(b"{}".to_vec()), created_at }
}

#[test]
fn an_answer_is_remembered_once_for_each_key_and_forgotten_by_age() {
    let fixture = Fixture::new();
    let (old, secret) = (answer(1, 10), AnswerRow { body: None, ..answer(2, 11) });
    fixture.store.remember_answer(old.clone()).unwrap();
    fixture.store.remember_answer(secret.clone()).unwrap();
    let again = AnswerRow { request: [8; 32], status: 409, ..old.clone() };
    assert!(matches!(fixture.store.remember_answer(again), Err(StoreError::Duplicate)));
    assert_eq!(fixture.store.answer(old.key).unwrap(), Some(old.clone()));
    assert_eq!(fixture.store.answer(secret.key).unwrap(), Some(secret.clone()));
    assert_eq!(fixture.store.answer([7; 32]).unwrap(), None);
    fixture.store.forget_answers_before(11).unwrap();
    assert_eq!(fixture.store.answer(old.key).unwrap(), None);
    assert_eq!(fixture.store.answer(secret.key).unwrap(), Some(secret));
    fixture.store.remember_answer(AnswerRow { created_at: 12, ..old }).unwrap();
}

#[test]
fn the_oldest_answer_makes_room_for_the_newest() {
    let fixture = Fixture::new();
    fixture.store.remember_answer(answer(1, 10)).unwrap();
    fixture.store.remember_answer(answer(2, 10)).unwrap();
    // As if nearly as many answers as there is room for had been given in between.
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    connection.execute("UPDATE sqlite_sequence SET seq = 10000 WHERE name = 'answer'", []).unwrap();
    fixture.store.remember_answer(answer(3, 10)).unwrap();
    let known = |number| fixture.store.answer(answer(number, 0).key).unwrap().is_some();
    assert_eq!([known(1), known(2), known(3)], [false, true, true]);
}
