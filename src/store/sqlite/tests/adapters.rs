//! Adapters that change, and their end: who connects as them goes at once, what they hold batch after batch.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use super::*;
use crate::store::{
    AdapterCredential, CaRuleRow, CertificateRow, DeletedAdapter, Fingerprint, GrantRow, IdentityRow, ObjectCount,
    RuleKind, SeenCertificate,
};

/// Set for the child process, to the database it works on.
const CHILD: &str = "KEYSTEAD_TEST_EMPTYING";

fn certificate(adapter: AdapterId, number: u8) -> CertificateRow {
    let (name, der) = (format!("certificate {number}"), vec![0x30, number]);
    CertificateRow { fingerprint: Fingerprint([number; 32]), adapter, name, der, added_at: 5 }
}

fn rule(adapter: AdapterId, value: &str) -> CaRuleRow {
    let kind = RuleKind::CommonName;
    CaRuleRow { id: Uuid::new_v4(), adapter, issuer: None, kind, value: value.into(), added_at: 5 }
}

fn identity(name: &str, grants: Vec<GrantRow>) -> IdentityRow {
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
        grants,
        hands: BTreeSet::new(),
    }
}

fn stored(store: &Store, id: AdapterId) -> AdapterRow {
    store.adapter(id).unwrap().unwrap()
}

/// The error of a change that must leave trust as it was.
fn refused(store: &Store, change: impl FnOnce() -> Result<(), StoreError>) -> StoreError {
    let before = (store.trust_generation().unwrap(), store.trust().unwrap());
    let error = change().unwrap_err();
    assert_eq!((store.trust_generation().unwrap(), store.trust().unwrap()), before);
    error
}

/// Destroys what is left of a deleted adapter, `step` objects at a time.
fn emptied(store: &Store, id: AdapterId, step: u64) -> Vec<ObjectId> {
    let mut destroyed = Vec::new();
    loop {
        let some = store.empty_deleted_adapter(id, step).unwrap();
        assert!(some.len() as u64 <= step);
        if some.is_empty() {
            return destroyed;
        }
        destroyed.extend(some);
    }
}

/// An object whose material and wrapped key are told apart from all others.
fn marked(fixture: &Fixture, number: u32) -> ObjectRow {
    let (body, kek) = marks(number);
    let sealed = SealedRow { root: ROOT, version: 1, wrapped_kek: kek.repeat(5), body: body.repeat(9) };
    let row = ObjectRow { sealed: Some(sealed), due_at: Some(7), ..new_row(fixture.adapter) };
    let index = IndexEntries { dates: dated(3, &[i64::from(number)]).dates, ..named(u64::from(number)) };
    fixture.store.apply(vec![Change::Insert { row: row.clone(), index }]).unwrap();
    row
}

fn marks(number: u32) -> ([u8; 12], [u8; 12]) {
    let (mut body, mut kek) = (*b"body....mark", *b"keks....mark");
    body[4..8].copy_from_slice(&number.to_be_bytes());
    kek[4..8].copy_from_slice(&number.to_be_bytes());
    (body, kek)
}

/// Which of `numbers` have left material or a wrapped key in the store's files.
fn marks_left(fixture: &Fixture, numbers: std::ops::Range<u32>) -> Vec<u32> {
    let files: Vec<Vec<u8>> = ["", "-wal", "-shm"]
        .iter()
        .filter_map(|suffix| fs::read(fixture.directory.path().join(format!("keystead.db{suffix}"))).ok())
        .collect();
    let is_in = |mark: [u8; 12]| files.iter().any(|file| file.windows(12).any(|window| window == mark));
    numbers.filter(|number| is_in(marks(*number).0) || is_in(marks(*number).1)).collect()
}

#[test]
fn an_update_changes_what_an_operator_may_change_and_nothing_else() {
    let fixture = Fixture::new();
    let before = stored(&fixture.store, fixture.adapter);
    assert_eq!((before.revision, before.hold_seconds), (1, 0));
    let changed = AdapterRow {
        name: "renamed".into(),
        description: None,
        hold_seconds: 86_400,
        changed_at: 1_800_000_000,
        revision: 2,
        ..before.clone()
    };
    let generation = fixture.store.trust_generation().unwrap();
    let with_more = AdapterRow {
        root_key: Uuid::from_u128(5),
        credential: Some(AdapterCredential { username: "a".into(), password_hash: "b".into() }),
        created_at: 1,
        ..changed.clone()
    };
    fixture.store.update_adapter(with_more).unwrap();
    assert!(fixture.store.trust_generation().unwrap() > generation);
    let fixture = fixture.reopened();
    assert_eq!(stored(&fixture.store, fixture.adapter), changed);
    assert_eq!(fixture.store.adapters().unwrap(), std::slice::from_ref(&changed));
    assert_eq!(fixture.store.trust().unwrap().adapters, [changed]);
}

#[test]
fn an_update_from_another_revision_to_a_taken_name_or_of_nothing_is_refused() {
    let fixture = Fixture::new();
    add_adapter(&fixture.store, "other");
    let row = AdapterRow { revision: 2, ..stored(&fixture.store, fixture.adapter) };
    for revision in [0, 1, 3] {
        let error = refused(&fixture.store, || fixture.store.update_adapter(AdapterRow { revision, ..row.clone() }));
        assert!(matches!(error, StoreError::Conflict), "{revision}");
    }
    let taken = AdapterRow { name: "other".into(), ..row.clone() };
    assert!(matches!(refused(&fixture.store, || fixture.store.update_adapter(taken)), StoreError::Duplicate));
    let unknown = AdapterRow { id: AdapterId(Uuid::new_v4()), ..row.clone() };
    assert!(matches!(refused(&fixture.store, || fixture.store.update_adapter(unknown)), StoreError::NotFound));
    // A credential is part of what a revision stands for.
    fixture.store.set_credential(fixture.adapter, None).unwrap();
    let error = refused(&fixture.store, || fixture.store.update_adapter(row.clone()));
    assert!(matches!(error, StoreError::Conflict));
    fixture.store.update_adapter(AdapterRow { revision: 3, ..row }).unwrap();
    let later = AdapterRow { revision: 2, ..adapter_row("later") };
    assert!(matches!(refused(&fixture.store, || fixture.store.insert_adapter(later)), StoreError::Conflict));
}

#[test]
fn a_deleted_adapter_opens_nothing_from_then_on() {
    let fixture = Fixture::new();
    let (store, id) = (&fixture.store, fixture.adapter);
    let other = add_adapter(store, "other");
    for (row, rule_of) in [(certificate(id, 1), rule(id, "one")), (certificate(other, 2), rule(other, "two"))] {
        store.insert_certificate(row).unwrap();
        store.insert_ca_rule(rule_of).unwrap();
    }
    let credential = Some(AdapterCredential { username: "user".into(), password_hash: "secret-hash".into() });
    store.set_credential(id, credential).unwrap();
    let grant = |adapter| GrantRow { role: "viewer".into(), adapter };
    let scoped = identity("scoped", vec![grant(Some(id)), grant(Some(other))]);
    let free = identity("free", vec![grant(None)]);
    for row in [&scoped, &free] {
        store.insert_identity(row.clone(), None).unwrap();
    }
    let seen = |adapter| SeenCertificate {
        fingerprint: Fingerprint([1; 32]),
        adapter,
        subject: "CN=one".into(),
        expires_at: None,
        at: 6,
        address: "192.0.2.1".into(),
    };
    store.see_certificates(vec![seen(id), seen(other)]).unwrap();
    let object = fixture.insert(named(1));

    let generation = store.trust_generation().unwrap();
    store.delete_adapter(id, 2, Loss::ANY, 1_800_000_000).unwrap();
    assert!(store.trust_generation().unwrap() > generation);
    let trust = store.trust().unwrap();
    assert_eq!(trust.adapters.iter().map(|row| row.id).collect::<Vec<_>>(), [other]);
    assert_eq!(trust.certificates, [certificate(other, 2)]);
    assert_eq!(trust.ca_rules.iter().map(|row| row.adapter).collect::<Vec<_>>(), [other]);
    assert_eq!(store.adapter(id).unwrap(), None);
    assert_eq!(store.certificates(id).unwrap(), []);
    assert_eq!(store.certificates(other).unwrap(), [certificate(other, 2)]);
    assert_eq!(store.certificates_seen(None).unwrap(), [seen(other)]);
    let left = store.identity(scoped.id).unwrap().unwrap();
    assert_eq!((left.grants, left.revision, left.changed_at), (vec![grant(Some(other))], 2, 1_800_000_000));
    assert_eq!(store.identity(free.id).unwrap(), Some(free));

    // Nothing can be done with it any more.
    store.see_certificates(vec![seen(id)]).unwrap();
    assert_eq!(store.certificates_seen(Some(id)).unwrap(), []);
    let more_of_it: Vec<Result<(), StoreError>> = vec![
        store.insert_certificate(certificate(id, 3)),
        store.insert_ca_rule(rule(id, "three")),
        store.set_credential(id, None),
        store.update_adapter(AdapterRow { id, revision: 4, ..adapter_row("demo") }),
        store.delete_adapter(id, 3, Loss::ANY, 1_800_000_001),
        store.insert_identity(identity("late", vec![grant(Some(id))]), None),
        store.apply(vec![Change::Insert { row: new_row(id), index: named(2) }]),
        store.apply(vec![Change::Update { row: destroyed(&object), index: None }]),
    ];
    assert!(more_of_it.iter().all(|outcome| matches!(outcome, Err(StoreError::NotFound))), "{more_of_it:?}");
    let Fixture { store, directory, .. } = fixture;
    drop(store);
    let file = fs::read(directory.path().join("keystead.db")).unwrap();
    assert!(!file.windows(11).any(|window| window == b"secret-hash"));
}

#[test]
fn a_deletion_from_another_revision_or_of_nothing_is_refused() {
    let fixture = Fixture::new();
    for revision in [0, 2] {
        let error = refused(&fixture.store, || fixture.store.delete_adapter(fixture.adapter, revision, Loss::ANY, 9));
        assert!(matches!(error, StoreError::Conflict), "{revision}");
    }
    let error = refused(&fixture.store, || fixture.store.delete_adapter(AdapterId(Uuid::new_v4()), 1, Loss::ANY, 9));
    assert!(matches!(error, StoreError::NotFound));
    let emptied = fixture.store.empty_deleted_adapter(fixture.adapter, 10);
    assert!(matches!(emptied, Err(StoreError::NotFound)), "it is not deleted");
    fixture.store.delete_adapter(fixture.adapter, 1, Loss::ANY, 9).unwrap();
}

#[test]
fn an_adapter_deleted_by_another_process_takes_no_object_of_this_one() {
    let fixture = Fixture::new();
    // The writer knows the adapter by now.
    fixture.insert(named(1));
    let other = Store::open(&fixture.path(), StoreOptions::default()).unwrap();
    other.delete_adapter(fixture.adapter, 1, Loss::ANY, 9).unwrap();
    let insert = Change::Insert { row: new_row(fixture.adapter), index: named(2) };
    assert!(matches!(fixture.store.apply(vec![insert]), Err(StoreError::NotFound)));
}

#[test]
fn objects_of_a_deleted_adapter_are_destroyed_in_batches_and_then_its_name_is_free() {
    let fixture = Fixture::new();
    let id = fixture.adapter;
    let rows: Vec<ObjectRow> = (0..20).map(|number| marked(&fixture, number)).collect();
    fixture.update(&destroyed(&rows[0]), None).unwrap();
    let held = destroyed(&rows[1]);
    fixture.store.apply(vec![Change::Hold { row: held, index: None, until: 1_900_000_000 }]).unwrap();
    let other = add_adapter(&fixture.store, "other");
    let kept = ObjectRow { adapter: other, ..new_row(other) };
    fixture.store.apply(vec![Change::Insert { row: kept.clone(), index: named(1) }]).unwrap();

    fixture.store.delete_adapter(id, 1, Loss::ANY, 1_800_000_000).unwrap();
    let in_deletion = DeletedAdapter { id, name: "demo".into(), deleted_at: 1_800_000_000 };
    assert_eq!(fixture.store.deleted_adapters().unwrap(), [in_deletion]);
    assert!(matches!(fixture.store.insert_adapter(adapter_row("demo")), Err(StoreError::Duplicate)));
    assert_eq!(fixture.store.empty_deleted_adapter(id, 7).unwrap().len(), 7);
    assert_eq!(fixture.store.count(id).unwrap(), ObjectCount { live: 11, destroyed: 9 });

    let mut expected: Vec<ObjectId> = rows[1..].iter().map(|row| row.id).collect();
    let mut rest = emptied(&fixture.store, id, 5);
    rest.sort();
    expected.sort();
    assert_eq!(rest.len(), 12);
    assert!(rest.iter().all(|id| expected.contains(id)));
    assert_eq!(fixture.store.deleted_adapters().unwrap(), []);
    assert_eq!(fixture.store.empty_deleted_adapter(id, 5).unwrap(), [], "it is gone already");
    assert_eq!(fixture.store.counts().unwrap(), [(other, ObjectCount { live: 1, destroyed: 0 })]);

    // The rows stay, and nothing finds them but their identifiers and the list of everything.
    for row in &rows[2..] {
        let gone = ObjectRow { sealed: None, destroyed: true, due_at: None, ..next(row) };
        assert_eq!(fixture.object(row.id), Some(gone));
    }
    let everything = Search { live: true, destroyed: true, limit: 100, ..Search::default() };
    assert_eq!(fixture.search(&everything).len(), 20);
    for number in 2..20 {
        let by_term = Search { terms: vec![term(number)], ..everything.clone() };
        assert_eq!(fixture.search(&by_term), []);
    }
    assert_eq!(fixture.store.due(id, i64::MAX, 100).unwrap(), []);
    assert_eq!(fixture.store.held_objects(Some(id), 10).unwrap(), []);
    fixture.store.scrub().unwrap();
    assert_eq!(marks_left(&fixture, 0..20), Vec::<u32>::new());
    assert_eq!(fixture.store.object(other, kept.id).unwrap(), Some(kept));
    assert_eq!(fixture.store.kek_count(ROOT, 1).unwrap(), 1);

    let again = add_adapter(&fixture.store, "demo");
    assert_ne!(again, id);
    assert_eq!(fixture.store.count(again).unwrap(), ObjectCount::default());
}

#[test]
fn a_deleted_adapter_has_its_place_until_it_is_gone() {
    let fixture = Fixture::with(StoreOptions { max_adapters: 1, ..StoreOptions::default() });
    fixture.insert(named(1));
    fixture.store.delete_adapter(fixture.adapter, 1, Loss::ANY, 9).unwrap();
    let second = fixture.store.insert_adapter(adapter_row("second"));
    assert!(matches!(second, Err(StoreError::LimitReached { limit: 1 })));
    emptied(&fixture.store, fixture.adapter, 10);
    add_adapter(&fixture.store, "second");
}

#[test]
fn an_object_whose_entries_are_damaged_is_destroyed_all_the_same() {
    let fixture = Fixture::new();
    let row = marked(&fixture, 1);
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    connection.execute("UPDATE object SET entries = x'ff'", []).unwrap();
    fixture.store.delete_adapter(fixture.adapter, 1, Loss::ANY, 9).unwrap();
    assert_eq!(emptied(&fixture.store, fixture.adapter, 10), [row.id]);
    fixture.store.scrub().unwrap();
    assert_eq!(marks_left(&fixture, 1..2), Vec::<u32>::new());
}

#[test]
fn a_deletion_that_stops_half_way_goes_on_after_the_store_is_opened_again() {
    let fixture = Fixture::new();
    let id = fixture.adapter;
    for number in 0..30 {
        marked(&fixture, number);
    }
    fixture.store.insert_certificate(certificate(id, 1)).unwrap();
    fixture.store.delete_adapter(id, 1, Loss::ANY, 9).unwrap();
    assert_eq!(fixture.store.empty_deleted_adapter(id, 11).unwrap().len(), 11);
    let fixture = fixture.reopened();
    assert_eq!(fixture.store.trust().unwrap().certificates, []);
    assert_eq!(fixture.store.deleted_adapters().unwrap().len(), 1);
    assert_eq!(fixture.store.count(id).unwrap(), ObjectCount { live: 19, destroyed: 11 });
    assert_eq!(marks_left(&fixture, 0..30).len(), 19);
    assert_eq!(emptied(&fixture.store, id, 11).len(), 19);
    let fixture = fixture.reopened();
    assert_eq!(marks_left(&fixture, 0..30), Vec::<u32>::new());
    assert_eq!(fixture.store.deleted_adapters().unwrap(), []);
}

#[test]
fn a_process_killed_while_it_empties_an_adapter_leaves_what_the_next_one_finishes() {
    let fixture = Fixture::new();
    let id = fixture.adapter;
    for number in 0..200 {
        marked(&fixture, number);
    }
    fixture.store.delete_adapter(id, 1, Loss::ANY, 9).unwrap();
    let path = fixture.path();
    let Fixture { store, directory, adapter } = fixture;
    drop(store);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::sqlite::tests::adapters::the_child_that_is_killed", "--nocapture"])
        .env(CHILD, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut acknowledged = lines.by_ref().filter(|line| line.starts_with("destroyed ")).take(20).count();
    child.kill().unwrap();
    acknowledged += lines.filter(|line| line.starts_with("destroyed ")).count();
    child.wait().unwrap();

    let store = Store::open(&path, StoreOptions::default()).unwrap();
    let fixture = Fixture { store, adapter, directory };
    let count = fixture.store.count(id).unwrap();
    assert_eq!(count.live + count.destroyed, 200);
    assert!(count.destroyed >= acknowledged as u64, "{count:?} {acknowledged}");
    let everything = Search { live: true, limit: 1000, ..Search::default() };
    assert_eq!(fixture.search(&everything).len() as u64, count.live, "what is counted is what is there");
    assert_eq!(emptied(&fixture.store, id, 64).len() as u64, count.live);
    assert_eq!(fixture.store.deleted_adapters().unwrap(), []);
    let fixture = fixture.reopened();
    assert_eq!(marks_left(&fixture, 0..200), Vec::<u32>::new());
}

/// Does nothing unless it is run by the test above, which ends it.
#[test]
fn the_child_that_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = Store::open(Path::new(&path), StoreOptions::default()).unwrap();
    let id = store.deleted_adapters().unwrap()[0].id;
    while let [one] = store.empty_deleted_adapter(id, 1).unwrap().as_slice() {
        std::io::stdout().write_all(format!("destroyed {}\n", one.0).as_bytes()).unwrap();
    }
}
