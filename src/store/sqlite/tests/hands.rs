//! Through whose hands access came, who the first two are, and that somebody with a role remains.

use std::{collections::BTreeSet, sync::Barrier, thread};

use rusqlite::Connection;

use super::{identities::certificate, *};
use crate::store::{ApiKeyRow, GrantRow, IdentityRow, Keep};

const GIVER: Uuid = Uuid::from_u128(0x61);
/// After keys that end were made, and before they end.
const KEEP: Option<Keep> = Some(Keep { role: "administrator", at: 250 });

/// An identity with this role that came through the hands of [`GIVER`].
fn identity(name: &str, role: &str) -> IdentityRow {
    let grants = vec![GrantRow { role: role.into(), adapter: None }];
    IdentityRow { grants, hands: given(), ..identities::identity(name) }
}

fn given() -> BTreeSet<Uuid> {
    [GIVER, Uuid::from_u128(0x62)].into()
}

fn added(store: &Store, row: IdentityRow) -> IdentityRow {
    store.insert_identity(row.clone(), None).unwrap();
    row
}

fn added_key(store: &Store, identity: &IdentityRow) -> ApiKeyRow {
    let row = ApiKeyRow { hands: given(), ..identities::key(identity) };
    store.insert_api_key(row.clone(), None).unwrap();
    row
}

/// Somebody who can log in.
fn holder(store: &Store, name: &str, role: &str) -> IdentityRow {
    let row = added(store, identity(name, role));
    added_key(store, &row);
    row
}

/// The hands of an identity and of its key.
fn hands(store: &Store, id: Uuid) -> (BTreeSet<Uuid>, Vec<BTreeSet<Uuid>>) {
    let keys = store.api_keys(id).unwrap().into_iter().map(|key| key.hands).collect();
    (store.identity(id).unwrap().unwrap().hands, keys)
}

#[test]
fn the_first_two_who_can_decide_have_no_hands_and_everybody_else_has() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let (none, all) = ((BTreeSet::new(), vec![BTreeSet::new()]), (given(), vec![given()]));
    let first = holder(store, "first", "administrator");
    let before = holder(store, "operator", "operator");
    let sleeper = holder(store, "sleeper", "");
    // Whom nobody can log in as decides nothing.
    let second = added(store, identity("second", "security-officer"));
    assert_eq!(hands(store, first.id), all);
    added_key(store, &second);
    assert_eq!(hands(store, first.id), none);
    assert_eq!(hands(store, second.id), none, "what completes the pair");
    let later = holder(store, "later", "administrator");
    for other in [&before, &sleeper, &later] {
        assert_eq!(hands(store, other.id), all, "{}", other.name);
    }
    added_key(store, &second);
    assert_eq!(hands(store, second.id), (BTreeSet::new(), vec![BTreeSet::new(), given()]));
    // Whatever becomes of them, there is no other pair.
    store.delete_identity(second.id, 1, None).unwrap();
    store.delete_identity(first.id, 1, None).unwrap();
    let fixture = fixture.reopened();
    let third = holder(&fixture.store, "third", "administrator");
    assert_eq!(hands(&fixture.store, third.id), all);
}

#[test]
fn a_pair_that_is_gone_before_anything_else_is_given_counts() {
    let fixture = Fixture::new();
    let scoped = GrantRow { role: "security-officer".into(), adapter: Some(fixture.adapter) };
    holder(&fixture.store, "first", "administrator");
    let second = IdentityRow { certificate: certificate(1), grants: vec![scoped], ..identity("second", "") };
    added(&fixture.store, second.clone());
    fixture.store.delete_identity(second.id, 1, None).unwrap();
    let third = holder(&fixture.store, "third", "administrator");
    assert_eq!(hands(&fixture.store, third.id), (given(), vec![given()]));
}

#[test]
fn two_that_decide_nothing_or_one_that_does_are_no_pair() {
    let fixture = Fixture::new();
    let first = holder(&fixture.store, "first", "administrator");
    added_key(&fixture.store, &first);
    for (name, role) in [("a", "operator"), ("b", "auditor"), ("c", "viewer"), ("d", "")] {
        holder(&fixture.store, name, role);
    }
    assert_eq!(hands(&fixture.store, first.id), (given(), vec![given(), given()]));
}

#[test]
fn a_change_replaces_the_hands() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let first = holder(store, "first", "administrator");
    let stored = |id| store.identity(id).unwrap().unwrap();
    holder(store, "second", "administrator");
    store.update_identity(IdentityRow { revision: 2, ..first.clone() }, None).unwrap();
    assert_eq!(stored(first.id).hands, given());
    let nobody = IdentityRow { revision: 3, hands: BTreeSet::new(), ..first.clone() };
    store.update_identity(nobody, None).unwrap();
    assert_eq!(stored(first.id).hands, BTreeSet::new());
}

#[test]
fn hands_that_are_no_identifiers_are_damage() {
    let fixture = Fixture::new();
    let row = holder(&fixture.store, "first", "administrator");
    for damage in ["x", ",", "00000000-0000-4000-8000-000000000000,"] {
        Connection::open(fixture.path()).unwrap().execute("UPDATE identity SET hands = ?1", [damage]).unwrap();
        assert!(matches!(fixture.store.identity(row.id), Err(StoreError::Damaged)), "{damage:?}");
    }
}

/// What takes the role of `row` away, or the way in.
fn ends(row: &IdentityRow) -> [IdentityRow; 3] {
    let changed = IdentityRow { revision: 2, changed_at: 250, ..row.clone() };
    [
        IdentityRow { disabled: true, ..changed.clone() },
        IdentityRow { grants: Vec::new(), ..changed.clone() },
        IdentityRow { grants: vec![GrantRow { role: "viewer".into(), adapter: None }], ..changed },
    ]
}

#[test]
fn the_last_one_with_a_role_stays_and_the_last_but_one_may_go() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let (first, second) = (holder(store, "first", "administrator"), holder(store, "second", "administrator"));
    // None of these could take the first one's place.
    holder(store, "viewer", "viewer");
    added(store, identity("without a key", "administrator"));
    let disabled = IdentityRow { disabled: true, ..identity("disabled", "administrator") };
    added(store, disabled.clone());
    added_key(store, &disabled);
    let revoked = added(store, identity("revoked", "administrator"));
    store.revoke_api_key(added_key(store, &revoked).id, 210, None).unwrap();
    let scoped = GrantRow { role: "administrator".into(), adapter: Some(fixture.adapter) };
    let scoped = added(store, IdentityRow { grants: vec![scoped], ..identity("scoped", "") });
    added_key(store, &scoped);

    store.delete_identity(second.id, 1, KEEP).unwrap();
    for end in ends(&first) {
        assert!(matches!(store.update_identity(end, KEEP), Err(StoreError::LastOne)));
    }
    assert!(matches!(store.delete_identity(first.id, 1, KEEP), Err(StoreError::LastOne)));
    assert_eq!(store.identity(first.id).unwrap().unwrap().revision, 1);
    // Another description takes nothing away; and who is there by a certificate is enough.
    let renamed = IdentityRow { name: "renamed".into(), revision: 2, ..first.clone() };
    store.update_identity(renamed, KEEP).unwrap();
    added(store, IdentityRow { certificate: certificate(1), ..identity("by certificate", "administrator") });
    store.delete_identity(first.id, 2, KEEP).unwrap();
}

#[test]
fn where_nobody_has_the_role_nobody_is_kept() {
    let fixture = Fixture::new();
    let row = added(&fixture.store, identity("without a key", "administrator"));
    fixture.store.delete_identity(row.id, 1, KEEP).unwrap();
}

#[test]
fn of_two_who_end_each_other_at_once_one_stays() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let mut first = holder(store, "0", "administrator");
    for round in 1..=30_usize {
        let second = holder(store, &round.to_string(), "administrator");
        let (start, how) = (Barrier::new(2), round % 4);
        let end = |victim: &IdentityRow| {
            start.wait();
            match ends(victim).into_iter().nth(how) {
                Some(changed) => store.update_identity(changed, KEEP),
                None => store.delete_identity(victim.id, 1, KEEP),
            }
        };
        let (one, other) = thread::scope(|scope| {
            let (one, other) = (scope.spawn(|| end(&first)), scope.spawn(|| end(&second)));
            (one.join().unwrap(), other.join().unwrap())
        });
        first = match (one, other) {
            (Ok(()), Err(StoreError::LastOne)) => second,
            (Err(StoreError::LastOne), Ok(())) => first,
            both => panic!("round {round}: {both:?}"),
        };
    }
}
