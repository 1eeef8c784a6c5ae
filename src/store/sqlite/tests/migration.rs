//! A database of an older schema version is brought up to date: keys still open, destroyed material stays destroyed, who
//! connects as which adapter stays, and nothing of the old places is left in the files.

use std::fs;

use rusqlite::{Connection, params};

use super::*;
use crate::store::{
    AdapterCredential, ApiKeyRow, CaRuleRow, CertificateRow, Fingerprint, ObjectCount, RuleKind,
    sqlite::schema::KNOWN_VERSION,
};

const OTHER: Uuid = Uuid::from_u128(0x0200_0000);

/// The sealed form of version 1.
fn old_sealed(wrapped: &[u8], body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(wrapped.len()).unwrap().to_be_bytes();
    [&[1][..], &length, wrapped, body].concat()
}

/// A wrapped KEK as the HAL writes it: format, scheme, root key, version, the rest.
fn wrapped(root: Uuid, version: u32, length: usize, fill: &[u8]) -> Vec<u8> {
    let head = [&[1, 2][..], root.as_bytes(), &version.to_be_bytes()].concat();
    head.into_iter().chain(fill.iter().copied().cycle()).take(length).collect()
}

struct Old {
    id: ObjectId,
    wrapped: Vec<u8>,
    body: Vec<u8>,
}

/// A database as version 1 wrote it, by its own SQL: two adapters, `objects` objects, every fifth of them destroyed.
fn old_database(path: &std::path::Path, objects: usize) -> (AdapterId, Vec<Option<Old>>, Connection) {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "secure_delete", true).unwrap();
    connection.execute_batch(include_str!("../../migrations/0001_init.sql")).unwrap();
    connection.pragma_update(None, "application_id", 0x4b53_5444).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    let adapters = [(AdapterId(Uuid::now_v7()), ROOT, "one"), (AdapterId(Uuid::now_v7()), OTHER, "two")];
    for (at, (id, root, name)) in (100..).zip(&adapters) {
        let sql = "INSERT INTO adapter (id, name, root_key, created_at) VALUES (?1, ?2, ?3, ?4)";
        connection.execute(sql, params![id.0.as_bytes(), name, root.as_bytes(), at]).unwrap();
    }
    let kept = (0..objects).map(|number| {
        let (wrapped, body) = old_parts(number);
        let id = ObjectId(Uuid::now_v7());
        connection.execute("INSERT INTO material (sealed) VALUES (?1)", [old_sealed(&wrapped, &body)]).unwrap();
        let seq = connection.last_insert_rowid();
        let destroyed = number % 5 == 4;
        if destroyed {
            let sql = "UPDATE material SET sealed = zeroblob(length(sealed)) WHERE seq = ?1";
            connection.execute(sql, [seq]).unwrap();
        }
        connection
            .execute(
                "INSERT INTO object (id, adapter, object_type, revision, destroyed, material, entries, metadata)
                 VALUES (?1, ?2, 2, 1, ?3, ?4, zeroblob(12), ?5)",
                params![
                    id.0.as_bytes(),
                    number % 2 + 1,
                    destroyed,
                    (!destroyed).then_some(seq),
                    format!("object {number}").into_bytes()
                ],
            )
            .unwrap();
        (!destroyed).then_some(Old { id, wrapped, body })
    });
    let kept = kept.collect();
    (adapters[0].0, kept, connection)
}

/// Wrapped KEK and body of an object, told apart from all others.
fn old_parts(number: usize) -> (Vec<u8>, Vec<u8>) {
    let mark = format!("kek{number:06}...");
    let wrapped = wrapped([ROOT, OTHER][number % 2], 1, [63, 83, 87][number % 3], mark.as_bytes());
    let body = format!("body{number:06}..").into_bytes();
    (
        wrapped,
        body.into_iter()
            .cycle()
            .take(28 + 13 * (number % 40) + 5000 * usize::from(number.is_multiple_of(50)))
            .collect(),
    )
}

fn migrated(objects: usize) -> (Fixture, AdapterId, Vec<Option<Old>>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keystead.db");
    let (adapter, kept, connection) = old_database(&path, objects);
    drop(connection);
    let store = Store::open(&path, StoreOptions::default()).unwrap();
    let second = store.trust().unwrap().adapters[1].id;
    (Fixture { store, adapter, directory }, second, kept)
}

#[test]
fn every_object_keeps_its_wrapped_key_and_its_sealed_body() {
    let (fixture, second, kept) = migrated(120);
    for (number, old) in kept.iter().enumerate() {
        let (adapter, root) = [(fixture.adapter, ROOT), (second, OTHER)][number % 2];
        let Some(old) = old else { continue };
        let row = fixture.store.object(adapter, old.id).unwrap().unwrap();
        let sealed = SealedRow { root, version: 1, wrapped_kek: old.wrapped.clone(), body: old.body.clone() };
        assert_eq!(row.sealed, Some(sealed), "object {number}");
        assert_eq!(row.metadata, format!("object {number}").into_bytes());
    }
    assert_eq!(fixture.store.kek_count(ROOT, 1).unwrap(), 48);
    assert_eq!(fixture.store.kek_count(OTHER, 1).unwrap(), 48);
}

#[test]
fn the_root_keys_of_its_adapters_are_on_record_without_what_only_the_hsm_knows() {
    let (fixture, _, _) = migrated(3);
    let roots = fixture.store.root_keys().unwrap();
    let of_adapters = |id, at| RootKeyRow { created_at: at, changed_at: at, versions: Vec::new(), ..root_row(id, "") };
    assert_eq!(roots, [of_adapters(ROOT, 100), of_adapters(OTHER, 101)]);
    fixture.store.identify_root_key(ROOT, "root".into(), version_row(1)).unwrap();
    let fixture = fixture.reopened();
    assert_eq!(fixture.store.root_keys().unwrap()[0].label, "root");
}

#[test]
fn an_older_schema_that_is_to_stay_is_refused_and_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keystead.db");
    let (_, _, connection) = old_database(&path, 3);
    let as_it_is = StoreOptions { migrate: false, ..StoreOptions::default() };
    let refused = Store::open(&path, as_it_is.clone()).map(drop);
    assert!(matches!(refused, Err(StoreError::OlderSchema { found: 1, known: KNOWN_VERSION })), "{refused:?}");
    let version = || -> u32 { connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap() };
    assert_eq!(version(), 1);
    connection.execute("UPDATE material SET sealed = zeroblob(length(sealed))", []).unwrap();
    drop(Store::open(&path, StoreOptions::default()).unwrap());
    assert_eq!(version(), KNOWN_VERSION);
    // A database that is up to date, or new, needs no leave.
    drop(Store::open(&path, as_it_is.clone()).unwrap());
    Store::open(&directory.path().join("new.db"), as_it_is).unwrap();
}

#[test]
fn what_it_can_do_afterwards_is_what_a_new_one_can() {
    let (fixture, _, kept) = migrated(20);
    let row = fixture.insert(named(1));
    assert_eq!(fixture.object(row.id), Some(row.clone()));
    fixture.store.identify_root_key(ROOT, "root".into(), version_row(1)).unwrap();
    fixture.store.add_version(ROOT, version_row(2)).unwrap();
    // Of ten objects of this adapter two are destroyed.
    assert_eq!(fixture.store.next_keks(ROOT, 2, 0, 100).unwrap().len(), 9);
    let old = fixture.object(kept[0].as_ref().unwrap().id).unwrap();
    fixture.update(&destroyed(&old), None).unwrap();
    assert_eq!(fixture.store.next_keks(ROOT, 2, 0, 100).unwrap().len(), 8);
    let new = Fixture::new();
    let schema = |fixture: &Fixture| -> Vec<String> {
        let connection = Connection::open(fixture.path()).unwrap();
        let mut select = connection.prepare("SELECT sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY name").unwrap();
        select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(schema(&fixture), schema(&new));
    let problems: i64 = Connection::open(fixture.path())
        .unwrap()
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(problems, 0);
}

#[test]
fn destroyed_material_stays_zeroed_and_what_is_destroyed_next_is_gone_from_the_files() {
    let (fixture, second, kept) = migrated(200);
    let zeroed = "SELECT count(*) FROM material WHERE sealed = zeroblob(length(sealed))";
    let count = |fixture: &Fixture| -> i64 {
        Connection::open(fixture.path()).unwrap().query_row(zeroed, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(&fixture), 40);
    for (number, old) in kept.iter().enumerate() {
        let adapter = [fixture.adapter, second][number % 2];
        let Some(old) = old else { continue };
        let row = fixture.store.object(adapter, old.id).unwrap().unwrap();
        fixture.update(&destroyed(&row), None).unwrap();
    }
    fixture.store.scrub().unwrap();
    assert_eq!(count(&fixture), 200);
    let files: Vec<Vec<u8>> = ["", "-wal", "-shm"]
        .iter()
        .filter_map(|suffix| fs::read(fixture.directory.path().join(format!("keystead.db{suffix}"))).ok())
        .collect();
    let left = |mark: &[u8]| files.iter().any(|file| file.windows(mark.len()).any(|window| window == mark));
    for number in 0..200 {
        assert!(!left(format!("kek{number:06}").as_bytes()), "the wrapped key of object {number} is left");
        assert!(!left(format!("body{number:06}").as_bytes()), "the body of object {number} is left");
    }
}

#[test]
fn what_version_1_did_not_write_is_kept_and_does_not_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keystead.db");
    let (adapter, kept, connection) = old_database(&path, 9);
    let ids: Vec<ObjectId> = [0, 2, 6, 8].map(|number| kept[number].as_ref().unwrap().id).to_vec();
    let damaged = [
        b"no sealed form".to_vec(),
        Vec::new(),
        // Cut short inside the wrapped key.
        old_sealed(&wrapped(ROOT, 1, 63, b"x"), b"")[..20].to_vec(),
        // Wrapped under a root key that is not the adapter's.
        old_sealed(&wrapped(OTHER, 1, 63, b"x"), b"body"),
    ];
    for (id, sealed) in ids.iter().zip(&damaged) {
        let sql = "UPDATE material SET sealed = ?2 WHERE seq = (SELECT material FROM object WHERE id = ?1)";
        assert_eq!(connection.execute(sql, params![id.0.as_bytes(), sealed]).unwrap(), 1);
    }
    drop(connection);
    let store = Store::open(&path, StoreOptions::default()).unwrap();
    let sealed = |id| store.object(adapter, id).unwrap().unwrap().sealed.unwrap();
    for (id, before) in ids.iter().zip(&damaged) {
        assert_eq!(sealed(*id).version, 0);
        assert_eq!(sealed(*id).root, ROOT);
        if before.len() <= 20 {
            assert_eq!((sealed(*id).wrapped_kek.len(), sealed(*id).body), (0, before.clone()));
        }
    }
    assert_eq!(store.next_keks(ROOT, 2, 0, 100).unwrap().len(), 0, "of five, one is destroyed and four are damaged");
    assert_eq!(store.kek_count(OTHER, 1).unwrap(), 4, "the others are well");
}

/// A database as version 2 wrote it, by its own SQL: what version 1 left, then registrations of both adapters.
fn database_of_version_2(path: &std::path::Path, objects: usize) -> (AdapterId, Vec<Option<Old>>, Connection) {
    let (adapter, kept, connection) = old_database(path, objects);
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    connection.execute_batch(include_str!("../../migrations/0002_root_keys.sql")).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    connection
        .execute_batch(
            "UPDATE adapter SET description = 'second', username = 'user', password_hash = 'hash' WHERE seq = 2;
             INSERT INTO certificate (fingerprint, adapter, name, der, added_at)
             VALUES (zeroblob(32), 2, 'pinned', x'3001', 7);
             INSERT INTO ca_rule (id, adapter, common_name, added_at)
             VALUES (zeroblob(16), 1, 'esx-1', 8), (x'000102030405060708090a0b0c0d0e0f', 2, 'esx-2', 9);",
        )
        .unwrap();
    (adapter, kept, connection)
}

#[test]
fn version_2_keeps_adapters_registrations_rules_and_objects() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keystead.db");
    let (adapter, kept, connection) = database_of_version_2(&path, 50);
    drop(connection);
    let store = Store::open(&path, StoreOptions::default()).unwrap();
    let trust = store.trust().unwrap();
    let second = trust.adapters[1].id;
    let migrated = |id, name: &str, root_key, at| AdapterRow {
        id,
        description: None,
        root_key,
        created_at: at,
        changed_at: at,
        ..adapter_row(name)
    };
    let credential = Some(AdapterCredential { username: "user".into(), password_hash: "hash".into() });
    let second_row =
        AdapterRow { credential, description: Some("second".into()), ..migrated(second, "two", OTHER, 101) };
    assert_eq!(trust.adapters, [migrated(adapter, "one", ROOT, 100), second_row.clone()]);
    let pinned = CertificateRow {
        fingerprint: Fingerprint([0; 32]),
        adapter: second,
        name: "pinned".into(),
        der: vec![0x30, 1],
        added_at: 7,
    };
    assert_eq!(trust.certificates, [pinned]);
    let rule = |id, adapter, value: &str, added_at| {
        let kind = RuleKind::CommonName;
        CaRuleRow { id, adapter, issuer: None, kind, value: value.into(), added_at }
    };
    let other_id = Uuid::from_u128(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f);
    let rules = [rule(Uuid::nil(), adapter, "esx-1", 8), rule(other_id, second, "esx-2", 9)];
    assert_eq!(trust.ca_rules, rules);
    assert_eq!(trust.authorities, []);
    // Every fifth of fifty is destroyed; of those, one adapter has the even and one the odd ones.
    let expected = ObjectCount { live: 20, destroyed: 5 };
    assert_eq!(store.counts().unwrap(), [(adapter, expected), (second, expected)]);
    for (number, old) in kept.iter().enumerate() {
        let Some(old) = old else { continue };
        let adapter = [adapter, second][number % 2];
        let row = store.object(adapter, old.id).unwrap().unwrap();
        assert_eq!(row.sealed.unwrap().body, old.body);
    }

    // What was unique is unique still, and the numbers go on.
    let taken = rule(Uuid::new_v4(), adapter, "esx-2", 10);
    assert!(matches!(store.insert_ca_rule(taken), Err(StoreError::Duplicate)));
    let taken = AdapterRow { root_key: OTHER, ..adapter_row("two") };
    assert!(matches!(store.insert_adapter(taken), Err(StoreError::Duplicate)));
    store.update_adapter(AdapterRow { revision: 2, name: "renamed".into(), ..second_row }).unwrap();
    store.delete_adapter(second, 2, Loss::ANY, 200).unwrap();
    while !store.empty_deleted_adapter(second, 7).unwrap().is_empty() {}
    let third = AdapterRow { root_key: OTHER, ..adapter_row("renamed") };
    store.insert_adapter(third.clone()).unwrap();
    let number = |id: AdapterId| -> i64 {
        let connection = Connection::open(&path).unwrap();
        connection.query_row("SELECT seq FROM adapter WHERE id = ?1", [id.0.as_bytes()], |row| row.get(0)).unwrap()
    };
    assert!(number(third.id) > 2);
}

#[test]
fn a_migration_from_version_2_ends_in_the_schema_of_a_new_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keystead.db");
    drop(database_of_version_2(&path, 3));
    drop(Store::open(&path, StoreOptions::default()).unwrap());
    let new = Fixture::new();
    let schema = |path: &std::path::Path| -> Vec<String> {
        let connection = Connection::open(path).unwrap();
        let mut select = connection.prepare("SELECT sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY name").unwrap();
        select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(schema(&path), schema(&new.path()));
    let check: String =
        Connection::open(&path).unwrap().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

/// A database as version 3 wrote it, by its own SQL: somebody who administers, and what they asked for.
fn database_of_version_3(path: &std::path::Path) -> Connection {
    let (_, _, connection) = database_of_version_2(path, 3);
    connection.execute_batch(include_str!("../../migrations/0003_admin.sql")).unwrap();
    connection.pragma_update(None, "user_version", 3).unwrap();
    connection
        .execute_batch(
            "INSERT INTO identity (id, kind, name, disabled, revision, created_at, changed_at)
             VALUES (zeroblob(16), 'operator', 'alice', 0, 1, 5, 5), (randomblob(16), 'operator', 'bob', 0, 1, 5, 5);
             INSERT INTO identity_grant (identity, role) VALUES (1, 'administrator'), (2, 'security-officer');
             INSERT INTO api_key (id, identity, name, hash, single_use, created_at)
             VALUES (zeroblob(16), 1, 'key', zeroblob(32), 0, 5), (randomblob(16), 2, 'key', zeroblob(32), 0, 5);
             INSERT INTO approval (id, action, subject, parameters, impact, reason, requested_by, requested_name,
                                   requested_at, expires_at, state, revision)
             VALUES (zeroblob(16), 'a', 's', '{}', '{}', 'r', zeroblob(16), 'alice', 5, 9, 1, 1);",
        )
        .unwrap();
    connection
}

#[test]
fn access_of_version_3_came_through_nobodys_hands_and_what_is_given_now_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keystead.db");
    drop(database_of_version_3(&path));
    let store = Store::open(&path, StoreOptions::default()).unwrap();
    let (key, alice) = store.api_key(Uuid::nil()).unwrap().unwrap();
    let asked = store.approval(Uuid::nil()).unwrap().unwrap();
    assert!(key.hands.is_empty() && alice.hands.is_empty() && asked.hands.is_empty());
    assert_eq!(asked.requested_name, "alice");
    // Two could decide before there was anything to keep.
    let hands = std::collections::BTreeSet::from([alice.id]);
    let made = ApiKeyRow { id: Uuid::new_v4(), hands: hands.clone(), ..key };
    store.insert_api_key(made.clone(), None).unwrap();
    assert_eq!(store.api_key(made.id).unwrap().unwrap().0.hands, hands);
}

#[test]
fn a_migration_that_cannot_be_finished_leaves_the_old_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keystead.db");
    let (_, _, connection) = database_of_version_2(&path, 3);
    // A certificate of an adapter that is not there: what the migration leaves is checked whole.
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    let sql =
        "INSERT INTO certificate (fingerprint, adapter, name, der, added_at) VALUES (randomblob(32), 9, '', x'', 1)";
    connection.execute(sql, []).unwrap();
    drop(connection);
    assert!(matches!(Store::open(&path, StoreOptions::default()), Err(StoreError::Damaged)));
    let connection = Connection::open(&path).unwrap();
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 2);
    let names: i64 = connection.query_row("SELECT count(common_name) FROM ca_rule", [], |row| row.get(0)).unwrap();
    assert_eq!(names, 2);
}
