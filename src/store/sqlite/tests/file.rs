//! The database file: modes, versions, other people's files, damage.

use std::{fs, ops::ControlFlow, os::unix::fs::PermissionsExt, path::Path, thread};

use rusqlite::Connection;

use super::*;
use crate::store::{ApprovalFilter, DateRange, Newest, sqlite::schema};

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open(path, StoreOptions::default())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn only_the_owner_may_use_the_files() {
    let fixture = Fixture::new();
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(&fixture.directory.path().join(format!("keystead.db{suffix}"))), 0o600, "{suffix}");
    }
    let path = fixture.path();
    let Fixture { store, directory, .. } = fixture;
    drop(store);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let _store = open(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    drop(directory);
}

#[test]
fn a_file_that_cannot_be_made_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing").join("keystead.db");
    let Err(StoreError::File { path: named, .. }) = open(&path) else { panic!() };
    assert_eq!(named, path);
    assert!(open(directory.path()).is_err());
}

#[test]
fn opening_again_changes_neither_schema_nor_rows() {
    let fixture = Fixture::new();
    let row = fixture.insert(named(1));
    let schema = |fixture: &Fixture| -> Vec<String> {
        let connection = Connection::open(fixture.path()).unwrap();
        let mut select = connection.prepare("SELECT sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY name").unwrap();
        select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let before = schema(&fixture);
    let fixture = fixture.reopened().reopened();
    assert_eq!(schema(&fixture), before);
    assert_eq!(fixture.object(row.id), Some(row));
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let fixture = Fixture::new();
    let path = fixture.path();
    let Fixture { store, directory, .. } = fixture;
    drop(store);
    let newer = schema::KNOWN_VERSION + 1;
    Connection::open(&path).unwrap().pragma_update(None, "user_version", newer).unwrap();
    let before = fs::read(&path).unwrap();
    let Err(StoreError::NewerSchema { found, known }) = open(&path) else { panic!() };
    assert_eq!((found, known), (newer, schema::KNOWN_VERSION));
    assert_eq!(fs::read(&path).unwrap(), before);

    Connection::open(&path).unwrap().pragma_update(None, "user_version", schema::KNOWN_VERSION).unwrap();
    open(&path).unwrap();
    drop(directory);
}

#[test]
fn the_database_of_another_program_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keystead.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE object (id INTEGER)").unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(open(&path), Err(StoreError::File { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn eight_that_open_a_new_file_at_once_all_succeed() {
    for _ in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keystead.db");
        thread::scope(|scope| {
            for n in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    let store = open(path).unwrap();
                    let _one_is_first = store.insert_root_key(root_row(ROOT, "root"));
                    store.insert_adapter(adapter_row(&format!("adapter {n}"))).unwrap();
                });
            }
        });
        assert_eq!(open(&path).unwrap().trust().unwrap().adapters.len(), 8);
    }
}

/// Calls everything; only that nothing panics matters.
fn try_everything(store: &Store, adapter: AdapterId, rows: &[ObjectRow]) {
    let _ = store.trust();
    let _ = store.trust_generation();
    let _ = store.count(adapter);
    let _ = store.due(adapter, i64::MAX, 100);
    let ranges = vec![DateRange { field: 1, from: 0, to: 100 }];
    let _ = store.search(adapter, &live(&[]));
    let _ = store.search(adapter, &live(&[1]));
    let _ = store.search(adapter, &Search { ranges, destroyed: true, ..live(&[1]) });
    for row in rows {
        let _ = store.object(adapter, row.id);
        let _ = store.apply(vec![Change::Update { row: next(row), index: Some(named(7)) }]);
    }
    let _ = store.apply(vec![Change::Insert { row: new_row(adapter), index: named(8) }]);
    let _ = store.insert_adapter(adapter_row("late"));
    let _ = store.insert_root_key(root_row(Uuid::from_u128(7), "late"));
    let _ = store.kek_counts();
    let _ = store.next_keks(ROOT, 2, 0, 100);
    let _ = store.add_version(ROOT, version_row(2));
    let _ = store.rotations();
    let newest = Newest { searches: vec![(adapter, live(&[1])), (adapter, live(&[]))], ..Newest::default() };
    let _ = store.each_newest(&newest, |_| ControlFlow::Continue(()));
    let _ = store.counts();
    let _ = store.identities();
    let _ = store.approvals(&ApprovalFilter { limit: 10, ..ApprovalFilter::default() });
    let _ = store.certificates_seen(None);
    for held in store.held_objects(None, 10).unwrap_or_default() {
        let _ = store.recover_held(held.object, 0);
    }
    let _ = store.shred(ROOT, 1, String::new());
    let _ = store.delete_adapter(adapter, 1, Loss::ANY, 1);
    let _ = store.empty_deleted_adapter(adapter, 1000);
    let _ = store.scrub();
}

/// A closed database with some of everything.
fn sound_file() -> (Vec<u8>, AdapterId, Vec<ObjectRow>) {
    let fixture = Fixture::new();
    let rows: Vec<ObjectRow> = (0..40)
        .map(|n| fixture.insert(IndexEntries { terms: vec![term(1), term(100 + n)], ..dated(1, &[5, 6]) }))
        .collect();
    fixture.store.apply(vec![Change::Hold { row: destroyed(&rows[39]), index: None, until: 50 }]).unwrap();
    let path = fixture.path();
    let Fixture { store, directory, adapter } = fixture;
    drop(store);
    let bytes = fs::read(path).unwrap();
    drop(directory);
    (bytes, adapter, rows)
}

#[test]
fn a_file_that_is_no_database_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keystead.db");
    for content in [&[0x5a; 8192][..], b"SQLite format 3\0", b"x"] {
        fs::write(&path, content).unwrap();
        assert!(open(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_truncated_file_is_an_error_and_no_panic() {
    let (bytes, adapter, rows) = sound_file();
    let directory = tempfile::tempdir().unwrap();
    let whole_pages = (4096..bytes.len()).step_by(4096);
    for length in whole_pages.chain((1..bytes.len()).step_by(bytes.len() / 23)) {
        let path = directory.path().join(format!("{length}.db"));
        fs::write(&path, &bytes[..length]).unwrap();
        if let Ok(store) = open(&path) {
            // SQLite notices missing pages, not the missing end of the last page.
            assert!(bytes.len() - length < 4096, "{length} of {} bytes", bytes.len());
            try_everything(&store, adapter, &rows);
        }
    }
}

#[test]
fn a_damaged_file_never_makes_a_panic() {
    let (bytes, adapter, rows) = sound_file();
    let directory = tempfile::tempdir().unwrap();
    for round in 0..40_usize {
        let path = directory.path().join(format!("{round}.db"));
        let mut damaged = bytes.clone();
        for n in 0..20 {
            let at = 100 + (round * 7919 + n * 104_729) % (damaged.len() - 100);
            damaged[at] ^= 1 << (n % 8);
        }
        fs::write(&path, &damaged).unwrap();
        if let Ok(store) = open(&path) {
            try_everything(&store, adapter, &rows);
        }
    }
}

#[test]
fn what_is_read_often_is_read_through_an_index() {
    let fixture = Fixture::new();
    let connection = schema::open_reader(&fixture.path()).unwrap();
    let steps = |sql: &str| -> String {
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let lines: Vec<String> = explain.raw_query().mapped(|row| row.get(3)).collect::<Result<_, _>>().unwrap();
        lines.join("\n")
    };
    let object = steps(crate::store::sqlite::SELECT_OBJECT);
    assert!(object.starts_with("SEARCH o USING INDEX sqlite_autoindex_object_1 (id=?)"), "{object}");
    let due = steps(crate::store::sqlite::SELECT_DUE);
    assert!(due.starts_with("SEARCH o USING INDEX object_due (adapter=? AND due_at<?)"), "{due}");
    let counts = steps(crate::store::sqlite::SELECT_COUNTS);
    assert_eq!(counts, "SEARCH object_count USING INTEGER PRIMARY KEY (rowid=?)");
    let placed = steps(crate::store::sqlite::listing::SELECT_PLACED);
    assert!(placed.contains("SEARCH o USING INTEGER PRIMARY KEY (rowid=?)") && !placed.contains("SCAN"), "{placed}");
    for sql in crate::store::sqlite::across::QUERIES {
        let plan = steps(sql);
        assert!(plan.starts_with("SEARCH") && !plan.contains("TEMP"), "{sql}: {plan}");
    }
    let listed = steps(crate::store::sqlite::listing::SELECT_LISTED);
    for (table, index) in [("o", "INDEX sqlite_autoindex_object_1 (id=?)"), ("h", "INTEGER PRIMARY KEY (rowid=?)")] {
        assert!(listed.contains(&format!("SEARCH {table} USING {index}")), "{listed}");
    }
    let held = steps(crate::store::sqlite::held::SELECT_HELD);
    assert!(held.starts_with("SEARCH h USING INDEX held_until (until<?)") && !held.contains("TEMP"), "{held}");
    let to_destroy = steps(crate::store::sqlite::adapters::SELECT_TO_DESTROY);
    for index in ["object_of_adapter (adapter=? AND destroyed=?)", "held_of_adapter (adapter=?)"] {
        assert!(to_destroy.contains(index), "{to_destroy}");
    }
    for plan in [listed, held, to_destroy] {
        assert!(!plan.contains("SCAN"), "{plan}");
    }
    for plan in [object, due] {
        for table in ["m", "k", "r"] {
            assert!(plan.contains(&format!("SEARCH {table} USING INTEGER PRIMARY KEY (rowid=?)")), "{plan}");
        }
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
}
