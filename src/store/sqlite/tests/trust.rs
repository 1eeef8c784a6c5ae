//! Adapters, certificates, rules, and the generation that tells of their changes.

use super::*;
use crate::store::{AdapterCredential, AuthorityRow, CaRuleRow, CertificateRow, Fingerprint, IssuedRow, RuleKind};

fn certificate(adapter: AdapterId, number: u8) -> CertificateRow {
    CertificateRow {
        fingerprint: Fingerprint([number; 32]),
        adapter,
        name: format!("certificate {number}"),
        der: vec![0x30, number],
        added_at: i64::from(number),
    }
}

fn rule(adapter: AdapterId, common_name: &str) -> CaRuleRow {
    let (kind, value) = (RuleKind::CommonName, common_name.into());
    CaRuleRow { id: Uuid::new_v4(), adapter, issuer: None, kind, value, added_at: 9 }
}

fn authority(number: u8) -> AuthorityRow {
    let (name, der) = (format!("authority {number}"), vec![0x30, number]);
    AuthorityRow { fingerprint: Fingerprint([number; 32]), name, der, added_at: 8 }
}

/// Does something that is to succeed, and must be noticed.
fn noticed(store: &Store, change: impl FnOnce() -> Result<(), StoreError>) {
    let before = store.trust_generation().unwrap();
    change().unwrap();
    assert!(store.trust_generation().unwrap() > before);
}

/// Does something that is to fail, and must leave everything as it was.
fn refused(store: &Store, change: impl FnOnce() -> Result<(), StoreError>) -> StoreError {
    let before = (store.trust_generation().unwrap(), store.trust().unwrap());
    let error = change().unwrap_err();
    assert_eq!((store.trust_generation().unwrap(), store.trust().unwrap()), before);
    error
}

#[test]
fn a_new_store_trusts_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("keystead.db"), StoreOptions::default()).unwrap();
    assert_eq!(store.trust().unwrap(), crate::store::TrustRows::default());
}

#[test]
fn trust_is_read_back_as_it_was_given_in_the_order_of_adding() {
    let fixture = Fixture::new();
    let credential = Some(AdapterCredential { username: "user".into(), password_hash: "$argon2id$".into() });
    let second = AdapterRow { description: None, credential, ..adapter_row("another") };
    noticed(&fixture.store, || fixture.store.insert_adapter(second.clone()));
    let certificates = [certificate(second.id, 9), certificate(fixture.adapter, 1), certificate(second.id, 5)];
    for row in &certificates {
        noticed(&fixture.store, || fixture.store.insert_certificate(row.clone()));
    }
    let authorities = [authority(9), authority(3)];
    for row in &authorities {
        noticed(&fixture.store, || fixture.store.insert_authority(row.clone()));
    }
    let of_authority =
        |number, kind| CaRuleRow { issuer: Some(Fingerprint([number; 32])), kind, ..rule(second.id, "z") };
    let rules = [
        rule(fixture.adapter, "z"),
        rule(fixture.adapter, "a"),
        of_authority(3, RuleKind::CommonName),
        of_authority(9, RuleKind::CommonName),
        of_authority(9, RuleKind::Subject),
        of_authority(9, RuleKind::Dns),
        of_authority(9, RuleKind::Uri),
        of_authority(9, RuleKind::Email),
    ];
    for row in &rules {
        noticed(&fixture.store, || fixture.store.insert_ca_rule(row.clone()));
    }
    let fixture = fixture.reopened();
    let trust = fixture.store.trust().unwrap();
    assert_eq!(trust.adapters.len(), 2);
    assert_eq!(trust.adapters[0].id, fixture.adapter);
    assert_eq!(trust.adapters[1], second);
    assert_eq!(trust.certificates, certificates);
    assert_eq!(trust.ca_rules, rules);
    assert_eq!(trust.authorities, authorities);
    assert_eq!(fixture.store.authorities().unwrap(), authorities);
    assert_eq!(fixture.store.certificates(second.id).unwrap(), [certificates[0].clone(), certificates[2].clone()]);
    assert_eq!(fixture.store.adapter(second.id).unwrap(), Some(second.clone()));
    assert_eq!(fixture.store.adapters().unwrap(), trust.adapters);
    assert_eq!(fixture.store.adapter(AdapterId(Uuid::new_v4())).unwrap(), None);
}

#[test]
fn an_adapter_with_a_name_or_identifier_that_is_taken_is_refused() {
    let fixture = Fixture::new();
    let error = refused(&fixture.store, || fixture.store.insert_adapter(adapter_row("demo")));
    assert!(matches!(error, StoreError::Duplicate));
    let same_id = AdapterRow { id: fixture.adapter, ..adapter_row("different") };
    let error = refused(&fixture.store, || fixture.store.insert_adapter(same_id));
    assert!(matches!(error, StoreError::Duplicate));
    noticed(&fixture.store, || fixture.store.insert_adapter(adapter_row("Demo")));
}

#[test]
fn an_adapter_needs_an_active_root_key_that_is_on_record() {
    let fixture = Fixture::new();
    let unknown = AdapterRow { root_key: Uuid::from_u128(8), ..adapter_row("second") };
    let error = refused(&fixture.store, || fixture.store.insert_adapter(unknown.clone()));
    assert!(matches!(error, StoreError::NotFound));
    noticed(&fixture.store, || fixture.store.insert_root_key(root_row(unknown.root_key, "another")));
    noticed(&fixture.store, || fixture.store.set_root_key_state(unknown.root_key, RootKeyState::Suspended, 5));
    let error = refused(&fixture.store, || fixture.store.insert_adapter(unknown.clone()));
    assert!(matches!(error, StoreError::StaleRootKey));
    noticed(&fixture.store, || fixture.store.set_root_key_state(unknown.root_key, RootKeyState::Active, 6));
    noticed(&fixture.store, || fixture.store.insert_adapter(unknown.clone()));
}

#[test]
fn adapters_are_limited() {
    let fixture = Fixture::with(StoreOptions { max_adapters: 2, ..StoreOptions::default() });
    noticed(&fixture.store, || fixture.store.insert_adapter(adapter_row("second")));
    let error = refused(&fixture.store, || fixture.store.insert_adapter(adapter_row("third")));
    assert!(matches!(error, StoreError::LimitReached { limit: 2 }));
}

#[test]
fn certificates_are_limited_for_each_adapter() {
    let fixture = Fixture::with(StoreOptions { max_certificates: 2, ..StoreOptions::default() });
    let other = add_adapter(&fixture.store, "other");
    for row in [certificate(fixture.adapter, 1), certificate(fixture.adapter, 2), certificate(other, 3)] {
        noticed(&fixture.store, || fixture.store.insert_certificate(row));
    }
    let third = certificate(fixture.adapter, 4);
    let error = refused(&fixture.store, || fixture.store.insert_certificate(third.clone()));
    assert!(matches!(error, StoreError::LimitReached { limit: 2 }));
    noticed(&fixture.store, || fixture.store.delete_certificate(Fingerprint([1; 32])));
    noticed(&fixture.store, || fixture.store.insert_certificate(third));
}

#[test]
fn for_whom_a_certificate_was_issued_outlives_its_registration_and_its_adapter() {
    const DAY: i64 = 86_400;
    let fixture = Fixture::new();
    let store = &fixture.store;
    let other = add_adapter(store, "other");
    let issued =
        |number, adapter, expires_at| IssuedRow { fingerprint: Fingerprint([number; 32]), adapter, expires_at };
    noticed(store, || store.insert_issued(certificate(other, 1), 100 * DAY));
    noticed(store, || store.record_issued(vec![issued(2, other, 200 * DAY)], 9));
    let known = [issued(1, other, 100 * DAY), issued(2, other, 200 * DAY)];
    assert_eq!(store.trust().unwrap().issued, known);
    // Whoever is first it is for, also when it is registered elsewhere later.
    store.delete_certificate(Fingerprint([1; 32])).unwrap();
    store.insert_issued(certificate(fixture.adapter, 1), 100 * DAY).unwrap();
    store.record_issued(vec![issued(2, fixture.adapter, 200 * DAY)], 9).unwrap();
    assert_eq!(store.trust().unwrap().issued, known);
    // What cannot be registered was not issued.
    let error = refused(store, || store.insert_issued(certificate(fixture.adapter, 1), 300 * DAY));
    assert!(matches!(error, StoreError::Duplicate));
    let nobody = AdapterId(Uuid::new_v4());
    let error = refused(store, || store.record_issued(vec![issued(4, other, DAY), issued(5, nobody, DAY)], 9));
    assert!(matches!(error, StoreError::NotFound));
    store.delete_adapter(other, 1, Loss::ANY, 50).unwrap();
    while !store.empty_deleted_adapter(other, 7).unwrap().is_empty() {}
    assert_eq!(store.trust().unwrap().issued, known);
    // Some time after its end it is forgotten.
    let later = |days| store.record_issued(vec![issued(3, fixture.adapter, 900 * DAY)], days * DAY);
    later(130).unwrap();
    assert_eq!(store.trust().unwrap().issued.len(), 3);
    later(131).unwrap();
    let left: Vec<_> = store.trust().unwrap().issued.iter().map(|row| row.fingerprint.0[0]).collect();
    assert_eq!(left, [2, 3]);
}

#[test]
fn a_credential_is_set_changed_and_cleared() {
    let fixture = Fixture::new();
    let stored = || fixture.store.trust().unwrap().adapters[0].credential.clone();
    for credential in [
        Some(AdapterCredential { username: "a".into(), password_hash: "b".into() }),
        Some(AdapterCredential { username: "c".into(), password_hash: "d".into() }),
        None,
    ] {
        noticed(&fixture.store, || fixture.store.set_credential(fixture.adapter, credential.clone()));
        assert_eq!(stored(), credential);
    }
    let error = refused(&fixture.store, || fixture.store.set_credential(AdapterId(Uuid::new_v4()), None));
    assert!(matches!(error, StoreError::NotFound));
}

#[test]
fn a_certificate_belongs_to_one_adapter_only() {
    let fixture = Fixture::new();
    let other = add_adapter(&fixture.store, "other");
    noticed(&fixture.store, || fixture.store.insert_certificate(certificate(fixture.adapter, 1)));
    for adapter in [fixture.adapter, other] {
        let error = refused(&fixture.store, || fixture.store.insert_certificate(certificate(adapter, 1)));
        assert!(matches!(error, StoreError::Duplicate));
    }
    let homeless = certificate(AdapterId(Uuid::new_v4()), 2);
    let error = refused(&fixture.store, || fixture.store.insert_certificate(homeless));
    assert!(matches!(error, StoreError::NotFound));
}

#[test]
fn a_certificate_can_be_deleted_once_and_added_again_elsewhere() {
    let fixture = Fixture::new();
    let other = add_adapter(&fixture.store, "other");
    noticed(&fixture.store, || fixture.store.insert_certificate(certificate(fixture.adapter, 1)));
    noticed(&fixture.store, || fixture.store.delete_certificate(Fingerprint([1; 32])));
    let error = refused(&fixture.store, || fixture.store.delete_certificate(Fingerprint([1; 32])));
    assert!(matches!(error, StoreError::NotFound));
    noticed(&fixture.store, || fixture.store.insert_certificate(certificate(other, 1)));
}

#[test]
fn a_rule_is_for_one_common_name_and_can_be_deleted_once() {
    let fixture = Fixture::new();
    let other = add_adapter(&fixture.store, "other");
    let first = rule(fixture.adapter, "esx-1");
    noticed(&fixture.store, || fixture.store.insert_ca_rule(first.clone()));
    for taken in [rule(other, "esx-1"), CaRuleRow { id: first.id, ..rule(other, "esx-2") }] {
        let error = refused(&fixture.store, || fixture.store.insert_ca_rule(taken));
        assert!(matches!(error, StoreError::Duplicate));
    }
    let homeless = rule(AdapterId(Uuid::new_v4()), "esx-3");
    let error = refused(&fixture.store, || fixture.store.insert_ca_rule(homeless));
    assert!(matches!(error, StoreError::NotFound));

    noticed(&fixture.store, || fixture.store.delete_ca_rule(first.id));
    let error = refused(&fixture.store, || fixture.store.delete_ca_rule(first.id));
    assert!(matches!(error, StoreError::NotFound));
    noticed(&fixture.store, || fixture.store.insert_ca_rule(rule(other, "esx-1")));
}

#[test]
fn no_two_rules_have_the_same_issuer_kind_and_value() {
    let fixture = Fixture::new();
    let other = add_adapter(&fixture.store, "other");
    noticed(&fixture.store, || fixture.store.insert_authority(authority(1)));
    let issuer = Some(Fingerprint([1; 32]));
    let of_authority = |adapter| CaRuleRow { issuer, kind: RuleKind::Dns, ..rule(adapter, "esx-1") };
    let own = |adapter| CaRuleRow { kind: RuleKind::Dns, ..rule(adapter, "esx-1") };
    noticed(&fixture.store, || fixture.store.insert_ca_rule(of_authority(fixture.adapter)));
    noticed(&fixture.store, || fixture.store.insert_ca_rule(own(fixture.adapter)));
    for taken in [of_authority(other), own(other)] {
        let error = refused(&fixture.store, || fixture.store.insert_ca_rule(taken));
        assert!(matches!(error, StoreError::Duplicate));
    }
    let another_kind = CaRuleRow { kind: RuleKind::Uri, ..of_authority(other) };
    noticed(&fixture.store, || fixture.store.insert_ca_rule(another_kind));
    let unknown = CaRuleRow { issuer: Some(Fingerprint([2; 32])), ..of_authority(other) };
    let error = refused(&fixture.store, || fixture.store.insert_ca_rule(unknown));
    assert!(matches!(error, StoreError::NotFound));
}

#[test]
fn rules_are_limited_for_each_adapter() {
    let fixture = Fixture::with(StoreOptions { max_rules: 2, ..StoreOptions::default() });
    let other = add_adapter(&fixture.store, "other");
    let first = rule(fixture.adapter, "one");
    for row in [first.clone(), rule(fixture.adapter, "two"), rule(other, "three")] {
        noticed(&fixture.store, || fixture.store.insert_ca_rule(row));
    }
    let error = refused(&fixture.store, || fixture.store.insert_ca_rule(rule(fixture.adapter, "four")));
    assert!(matches!(error, StoreError::LimitReached { limit: 2 }));
    noticed(&fixture.store, || fixture.store.delete_ca_rule(first.id));
    noticed(&fixture.store, || fixture.store.insert_ca_rule(rule(fixture.adapter, "four")));
}

#[test]
fn an_authority_is_there_once_and_goes_when_no_rule_names_it() {
    let fixture = Fixture::with(StoreOptions { max_authorities: 2, ..StoreOptions::default() });
    for number in [1, 2] {
        noticed(&fixture.store, || fixture.store.insert_authority(authority(number)));
    }
    let again = AuthorityRow { name: "another".into(), ..authority(1) };
    assert!(matches!(refused(&fixture.store, || fixture.store.insert_authority(again)), StoreError::Duplicate));
    let error = refused(&fixture.store, || fixture.store.insert_authority(authority(3)));
    assert!(matches!(error, StoreError::LimitReached { limit: 2 }));
    let named = CaRuleRow { issuer: Some(Fingerprint([1; 32])), ..rule(fixture.adapter, "one") };
    noticed(&fixture.store, || fixture.store.insert_ca_rule(named.clone()));
    let error = refused(&fixture.store, || fixture.store.delete_authority(Fingerprint([1; 32])));
    assert!(matches!(error, StoreError::Referenced { rules: 1 }));
    noticed(&fixture.store, || fixture.store.delete_ca_rule(named.id));
    noticed(&fixture.store, || fixture.store.delete_authority(Fingerprint([1; 32])));
    let error = refused(&fixture.store, || fixture.store.delete_authority(Fingerprint([1; 32])));
    assert!(matches!(error, StoreError::NotFound));
    assert_eq!(fixture.store.authorities().unwrap(), [authority(2)]);
    noticed(&fixture.store, || fixture.store.insert_authority(authority(3)));
}

#[test]
fn two_hundred_adapters_and_certificates_of_each_are_taken_and_no_more() {
    let fixture = Fixture::new();
    for number in 1..200 {
        add_adapter(&fixture.store, &format!("adapter {number}"));
        let number = u8::try_from(number).unwrap();
        fixture.store.insert_certificate(certificate(fixture.adapter, number)).unwrap();
    }
    fixture.store.insert_certificate(certificate(fixture.adapter, 200)).unwrap();
    let error = refused(&fixture.store, || fixture.store.insert_adapter(adapter_row("one more")));
    assert!(matches!(error, StoreError::LimitReached { limit: 200 }));
    let error = refused(&fixture.store, || fixture.store.insert_certificate(certificate(fixture.adapter, 201)));
    assert!(matches!(error, StoreError::LimitReached { limit: 200 }));
}

#[test]
fn changes_of_objects_are_no_changes_of_trust() {
    let fixture = Fixture::new();
    let before = fixture.store.trust_generation().unwrap();
    fixture.insert(named(1));
    assert_eq!(fixture.store.trust_generation().unwrap(), before);
}

#[test]
fn a_change_made_through_another_store_on_the_same_file_is_noticed() {
    let fixture = Fixture::new();
    let second = Store::open(&fixture.path(), StoreOptions::default()).unwrap();
    noticed(&fixture.store, || second.insert_certificate(certificate(fixture.adapter, 1)));
    assert_eq!(fixture.store.trust().unwrap().certificates.len(), 1);
    let row = new_row(fixture.adapter);
    second.apply(vec![Change::Insert { row: row.clone(), index: named(1) }]).unwrap();
    drop(second);
    assert_eq!(fixture.object(row.id), Some(row));
    fixture.insert(named(2));
}
