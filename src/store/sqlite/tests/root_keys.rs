//! Root keys, their versions and states, signing keys.

use super::*;
use crate::store::{KekCount, SignerRow};

fn root(fixture: &Fixture) -> RootKeyRow {
    fixture.store.root_keys().unwrap().into_iter().find(|row| row.id == ROOT).unwrap()
}

/// Does something that is to succeed, and must be noticed.
fn noticed(store: &Store, change: impl FnOnce() -> Result<(), StoreError>) {
    let before = store.trust_generation().unwrap();
    change().unwrap();
    assert!(store.trust_generation().unwrap() > before);
}

/// Does something that is to fail, and must leave everything as it was.
fn refused(store: &Store, change: impl FnOnce() -> Result<(), StoreError>) -> StoreError {
    let all = || (store.trust_generation().unwrap(), store.trust().unwrap(), store.rotations().unwrap());
    let before = all();
    let error = change().unwrap_err();
    assert_eq!(all(), before);
    error
}

#[test]
fn root_keys_are_read_back_as_they_were_given_also_as_a_part_of_trust() {
    let fixture = Fixture::new();
    let old = RootKeyVersionRow { state: VersionState::Superseded, attestation: Some("{}".into()), ..version_row(1) };
    let second = RootKeyRow {
        state: RootKeyState::Suspended,
        current_version: 2,
        versions: vec![old, version_row(2)],
        ..root_row(Uuid::from_u128(2), "second")
    };
    noticed(&fixture.store, || fixture.store.insert_root_key(second.clone()));
    let fixture = fixture.reopened();
    assert_eq!(fixture.store.root_keys().unwrap(), [root_row(ROOT, "root"), second]);
    assert_eq!(fixture.store.trust().unwrap().root_keys, fixture.store.root_keys().unwrap());
}

#[test]
fn an_id_or_label_that_is_taken_is_refused() {
    let fixture = Fixture::new();
    for taken in [root_row(ROOT, "new"), root_row(Uuid::from_u128(2), "root")] {
        let error = refused(&fixture.store, || fixture.store.insert_root_key(taken));
        assert!(matches!(error, StoreError::Duplicate));
    }
    // Keys of older databases have no label until the HSM was asked.
    for number in [3, 4] {
        let unnamed = RootKeyRow { versions: Vec::new(), ..root_row(Uuid::from_u128(number), "") };
        noticed(&fixture.store, || fixture.store.insert_root_key(unnamed));
    }
    let identify =
        |number, label: &str| fixture.store.identify_root_key(Uuid::from_u128(number), label.into(), version_row(1));
    assert!(matches!(refused(&fixture.store, || identify(3, "root")), StoreError::Duplicate));
    noticed(&fixture.store, || identify(3, "third"));
    assert!(matches!(refused(&fixture.store, || identify(3, "other")), StoreError::StaleRootKey));
    assert!(matches!(refused(&fixture.store, || identify(5, "fifth")), StoreError::NotFound));
    assert_eq!(fixture.store.root_keys().unwrap()[1], root_row(Uuid::from_u128(3), "third"));
}

#[test]
fn a_root_key_that_was_announced_works_once_it_is_made() {
    let fixture = Fixture::new();
    let id = Uuid::from_u128(6);
    let announced = RootKeyRow { state: RootKeyState::Suspended, versions: Vec::new(), ..root_row(id, "new") };
    noticed(&fixture.store, || fixture.store.insert_root_key(announced));
    assert!(fixture.store.root_keys().unwrap()[1].is_unmade());
    let resume = || fixture.store.set_root_key_state(id, RootKeyState::Active, 5);
    assert!(matches!(refused(&fixture.store, resume), StoreError::StaleRootKey));
    let complete = |id| fixture.store.complete_root_key(id, version_row(1));
    noticed(&fixture.store, || complete(id));
    let row = fixture.store.root_keys().unwrap().remove(1);
    assert_eq!(row, RootKeyRow { changed_at: version_row(1).created_at, ..root_row(id, "new") });
    for made in [id, ROOT] {
        assert!(matches!(refused(&fixture.store, || complete(made)), StoreError::StaleRootKey));
    }
    assert!(matches!(refused(&fixture.store, || complete(Uuid::from_u128(7))), StoreError::NotFound));
    assert!(matches!(refused(&fixture.store, || fixture.store.withdraw_root_key(id)), StoreError::StaleRootKey));
    let second = RootKeyRow {
        state: RootKeyState::Suspended,
        versions: Vec::new(),
        ..root_row(Uuid::from_u128(7), "withdrawn")
    };
    noticed(&fixture.store, || fixture.store.insert_root_key(second));
    noticed(&fixture.store, || fixture.store.withdraw_root_key(Uuid::from_u128(7)));
    assert_eq!(fixture.store.root_keys().unwrap().len(), 2);
    noticed(&fixture.store, || fixture.store.set_root_key_state(id, RootKeyState::Suspended, 5));
}

#[test]
fn a_new_version_becomes_current_and_begins_a_rotation() {
    let fixture = Fixture::new();
    fixture.insert(IndexEntries::default());
    for version in [0, 1, 3] {
        let error = refused(&fixture.store, || fixture.store.add_version(ROOT, version_row(version)));
        assert!(matches!(error, StoreError::StaleRootKey), "version {version}");
    }
    noticed(&fixture.store, || fixture.store.add_version(ROOT, version_row(2)));
    let row = root(&fixture);
    assert_eq!((row.current_version, row.changed_at), (2, version_row(2).created_at));
    let states: Vec<_> = row.versions.iter().map(|version| (version.version, version.state)).collect();
    assert_eq!(states, [(1, VersionState::Superseded), (2, VersionState::Current)]);
    let rotation = fixture.store.rotations().unwrap().pop().unwrap();
    assert_eq!((rotation.from_version, rotation.to_version, rotation.total, rotation.done), (1, 2, 1, 0));
    let error = refused(&fixture.store, || fixture.store.add_version(ROOT, version_row(3)));
    assert!(matches!(error, StoreError::Rotating));
}

#[test]
fn new_material_is_refused_under_any_but_the_current_version_of_an_active_root_key() {
    let fixture = Fixture::new();
    let insert = |root, version| {
        let sealed = sealed(b"new").map(|sealed| SealedRow { root, version, ..sealed });
        let row = ObjectRow { sealed, ..new_row(fixture.adapter) };
        fixture.store.apply(vec![Change::Insert { row, index: IndexEntries::default() }])
    };
    let stale = |outcome| matches!(outcome, Err(StoreError::StaleRootKey));
    assert!(stale(insert(Uuid::from_u128(5), 1)), "no such root key");
    assert!(stale(insert(ROOT, 0)) && stale(insert(ROOT, 2)));
    insert(ROOT, 1).unwrap();
    fixture.store.add_version(ROOT, version_row(2)).unwrap();
    assert!(stale(insert(ROOT, 1)));
    insert(ROOT, 2).unwrap();
    fixture.store.set_root_key_state(ROOT, RootKeyState::Suspended, 8).unwrap();
    assert!(stale(insert(ROOT, 2)));
    fixture.store.set_root_key_state(ROOT, RootKeyState::Active, 9).unwrap();
    insert(ROOT, 2).unwrap();
    fixture.store.shred(ROOT, 10, "{}".into()).unwrap();
    assert!(stale(insert(ROOT, 2)));
    assert_eq!(fixture.store.count(fixture.adapter).unwrap().live, 3);
}

#[test]
fn an_object_of_a_suspended_or_superseded_root_key_can_be_changed_and_destroyed() {
    let fixture = Fixture::new();
    let row = fixture.insert(IndexEntries::default());
    fixture.store.add_version(ROOT, version_row(2)).unwrap();
    fixture.store.set_root_key_state(ROOT, RootKeyState::Suspended, 8).unwrap();
    let changed = ObjectRow { metadata: b"changed".to_vec(), ..next(&row) };
    fixture.update(&changed, None).unwrap();
    fixture.update(&destroyed(&changed), None).unwrap();
    assert_eq!(fixture.store.kek_counts().unwrap(), []);
}

#[test]
fn a_version_is_retired_once_nothing_is_under_it_and_never_while_it_is_current() {
    let fixture = Fixture::new();
    let row = fixture.insert(IndexEntries::default());
    let retire = |version| fixture.store.retire_version(ROOT, version, 77);
    assert!(matches!(refused(&fixture.store, || retire(1)), StoreError::StaleRootKey));
    fixture.store.add_version(ROOT, version_row(2)).unwrap();
    assert_eq!(fixture.store.kek_counts().unwrap(), [KekCount { root: ROOT, version: 1, keks: 1 }]);
    assert!(matches!(refused(&fixture.store, || retire(1)), StoreError::InUse { keks: 1 }));
    assert!(matches!(refused(&fixture.store, || retire(2)), StoreError::StaleRootKey));
    assert!(matches!(refused(&fixture.store, || retire(3)), StoreError::NotFound));
    fixture.update(&destroyed(&row), None).unwrap();
    noticed(&fixture.store, || retire(1));
    let version = root(&fixture).versions[0].clone();
    assert_eq!((version.state, version.retired_at), (VersionState::Retired, Some(77)));
    fixture.store.retire_version(ROOT, 1, 99).unwrap();
    assert_eq!(root(&fixture).versions[0], version, "doing it again changes nothing");
}

#[test]
fn a_destroyed_root_key_keeps_its_certificate_and_stays_destroyed() {
    let fixture = Fixture::new();
    fixture.insert(IndexEntries::default());
    fixture.store.add_version(ROOT, version_row(2)).unwrap();
    let direct = || fixture.store.set_root_key_state(ROOT, RootKeyState::Destroyed, 80);
    assert!(matches!(refused(&fixture.store, direct), StoreError::StaleRootKey));
    noticed(&fixture.store, || fixture.store.shred(ROOT, 80, "{\"certificate\":1}".into()));
    let row = root(&fixture);
    assert_eq!((row.state, row.destroyed_at, row.changed_at), (RootKeyState::Destroyed, Some(80), 80));
    assert_eq!(row.certificate.as_deref(), Some("{\"certificate\":1}"));
    assert!(row.versions.iter().all(|version| version.state == VersionState::Retired));
    assert_eq!(fixture.store.kek_counts().unwrap(), []);
    assert_eq!(fixture.store.rotations().unwrap()[0].finished_at, Some(80), "there is nothing left to rotate");
    let again = || fixture.store.shred(ROOT, 81, "{}".into());
    assert!(matches!(refused(&fixture.store, again), StoreError::StaleRootKey));
    let resume = || fixture.store.set_root_key_state(ROOT, RootKeyState::Active, 81);
    assert!(matches!(refused(&fixture.store, resume), StoreError::StaleRootKey));
    let rotate = || fixture.store.add_version(ROOT, version_row(3));
    assert!(matches!(refused(&fixture.store, rotate), StoreError::StaleRootKey));
}

#[test]
fn an_attestation_is_kept_with_its_version() {
    let fixture = Fixture::new();
    noticed(&fixture.store, || fixture.store.set_attestation(ROOT, 1, "{}".into()));
    assert_eq!(root(&fixture).versions[0].attestation.as_deref(), Some("{}"));
    let other = || fixture.store.set_attestation(ROOT, 2, "{}".into());
    assert!(matches!(refused(&fixture.store, other), StoreError::NotFound));
}

#[test]
fn there_is_one_signing_key_for_each_purpose() {
    let fixture = Fixture::new();
    let signer = |purpose: &str, id| SignerRow {
        purpose: purpose.into(),
        id: Uuid::from_u128(id),
        label: format!("{purpose} key"),
        kind: "ecdsa-p256".into(),
        created_at: 5,
    };
    noticed(&fixture.store, || fixture.store.insert_signer(signer("attestation", 1)));
    noticed(&fixture.store, || fixture.store.insert_signer(signer("ca", 2)));
    for taken in [signer("ca", 3), signer("tls", 1)] {
        assert!(matches!(refused(&fixture.store, || fixture.store.insert_signer(taken)), StoreError::Duplicate));
    }
    assert_eq!(fixture.reopened().store.signers().unwrap(), [signer("attestation", 1), signer("ca", 2)]);
}

#[test]
fn a_root_key_whose_destruction_has_begun_stays_suspended_until_it_is_destroyed() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    noticed(store, || store.begin_destruction(ROOT, 70, "journal".into()));
    let row = root(&fixture);
    assert_eq!((row.state, row.changed_at, row.destruction.as_deref()), (RootKeyState::Suspended, 70, Some("journal")));
    for state in [RootKeyState::Active, RootKeyState::Suspended, RootKeyState::Destroyed] {
        let error = refused(store, || store.set_root_key_state(ROOT, state, 71));
        assert!(matches!(error, StoreError::StaleRootKey));
    }
    let error = refused(store, || store.begin_destruction(ROOT, 71, "other".into()));
    assert!(matches!(error, StoreError::StaleRootKey));
    assert!(matches!(refused(store, || store.add_version(ROOT, version_row(2))), StoreError::StaleRootKey));
    let error = refused(store, || store.begin_destruction(Uuid::from_u128(9), 71, "other".into()));
    assert!(matches!(error, StoreError::NotFound));
    noticed(store, || store.shred(ROOT, 72, "certificate".into()));
    let error = refused(store, || store.begin_destruction(ROOT, 73, "late".into()));
    assert!(matches!(error, StoreError::StaleRootKey));
}

#[test]
fn a_signer_is_replaced_by_one_for_the_same_purpose() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let signer = |number, purpose: &str| SignerRow {
        purpose: purpose.into(),
        id: Uuid::from_u128(number),
        label: format!("signer {number}"),
        kind: "ecdsa-p256".into(),
        created_at: 1,
    };
    store.insert_signer(signer(1, "attestation")).unwrap();
    store.insert_signer(signer(2, "ca")).unwrap();
    for (old, new, taken) in [(3, 4, false), (2, 4, false), (1, 2, true)] {
        let error = store.replace_signer(Uuid::from_u128(old), signer(new, "attestation")).unwrap_err();
        assert_eq!(matches!(error, StoreError::Duplicate), taken, "{error}");
        assert_eq!(store.signers().unwrap(), [signer(1, "attestation"), signer(2, "ca")]);
    }
    noticed(store, || store.replace_signer(Uuid::from_u128(1), signer(4, "attestation")));
    assert_eq!(store.signers().unwrap(), [signer(4, "attestation"), signer(2, "ca")]);
}
