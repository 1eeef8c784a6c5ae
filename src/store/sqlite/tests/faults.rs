//! Full disks, overload, and what is told of errors.

use std::{fs, process::Command, sync::mpsc, thread};

use rusqlite::{Connection, ffi};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::*;
use crate::store::sqlite::writer::Mutation;

/// Set for the child process of a test, to the directory it works in.
const CHILD: &str = "KEYSTEAD_TEST_FULL_DISK";

/// Inserts until the store refuses; returns what was acknowledged, what was refused and why.
fn fill(fixture: &Fixture) -> (Vec<ObjectRow>, ObjectRow, StoreError) {
    let mut stored = Vec::new();
    loop {
        let row = ObjectRow { metadata: vec![1; 3000], ..new_row(fixture.adapter) };
        match fixture.store.apply(vec![Change::Insert { row: row.clone(), index: terms(&[1]) }]) {
            Ok(()) => stored.push(row),
            Err(error) => return (stored, row, error),
        }
    }
}

/// Fills the disk, makes room, and checks that nothing was lost and nothing refused is there.
fn fill_and_recover(fixture: Fixture, make_room: impl FnOnce(&Fixture)) {
    let (mut stored, refused, error) = fill(&fixture);
    assert!(matches!(error, StoreError::DiskFull), "{error}");
    assert!(!stored.is_empty());
    for _ in 0..3 {
        let again = Change::Insert { row: refused.clone(), index: terms(&[1]) };
        assert!(matches!(fixture.store.apply(vec![again]), Err(StoreError::DiskFull)));
    }
    // Reads go on.
    assert!(stored.iter().all(|row| fixture.object(row.id).as_ref() == Some(row)));
    assert_eq!(fixture.object(refused.id), None);

    make_room(&fixture);
    stored.push(fixture.insert(terms(&[1])));
    let fixture = fixture.reopened();
    let search = Search { limit: u64::MAX, ..live(&[1]) };
    assert_eq!(fixture.search(&search), stored.iter().map(|row| row.id).collect::<Vec<_>>());
    assert_eq!(fixture.object(refused.id), None);
}

#[test]
fn a_full_database_refuses_writes_keeps_reading_and_recovers() {
    let fixture = Fixture::new();
    fixture.store.engine.writer.run(Mutation::Limit(200)).unwrap();
    fill_and_recover(fixture, |fixture| fixture.store.engine.writer.run(Mutation::Limit(1_000_000)).unwrap());
}

#[test]
fn a_commit_that_cannot_be_written_acknowledges_nothing_and_recovers() {
    let fixture = Fixture::new();
    drop(fixture.store);
    // The limit holds for a whole process and a signal tells of it, so another process meets it.
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "store::sqlite::tests::faults::the_child_with_a_limit_on_files", "--nocapture"])
        .env(CHILD, fixture.directory.path())
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    assert!(fs::exists(fixture.directory.path().join("done")).unwrap());
}

/// Does nothing unless it is run by the test above.
#[test]
fn the_child_with_a_limit_on_files() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let fixture = Fixture::new();
    let unlimited = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(500_000), ..unlimited }).unwrap();
    fill_and_recover(fixture, |_| setrlimit(Resource::Fsize, unlimited).unwrap());
    fs::write(std::path::Path::new(&directory).join("done"), "").unwrap();
}

#[test]
fn one_mutation_more_than_may_wait_is_refused_and_those_that_wait_are_done() {
    let fixture = Fixture::with(StoreOptions { waiting_mutations: 1, ..StoreOptions::default() });
    // Another process writes: the writer has one mutation in hand, one waits, a third finds no place.
    let other = Connection::open(fixture.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (sender, outcomes) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..3 {
            let (sender, fixture) = (sender.clone(), &fixture);
            scope.spawn(move || {
                let insert = Change::Insert { row: new_row(fixture.adapter), index: terms(&[1]) };
                sender.send(fixture.store.apply(vec![insert])).unwrap();
            });
        }
        assert!(matches!(outcomes.recv().unwrap(), Err(StoreError::Overloaded)));
        other.execute_batch("COMMIT").unwrap();
    });
    let done = outcomes.try_iter().filter(Result::is_ok).count();
    assert!(done >= 1);
    assert_eq!(fixture.search(&live(&[1])).len(), done);
}

#[test]
fn readers_wait_for_the_only_connection() {
    let fixture = Fixture::with(StoreOptions { readers: 0, ..StoreOptions::default() });
    let row = fixture.insert(terms(&[1]));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(fixture.object(row.id).as_ref(), Some(&row));
                }
            });
        }
    });
}

#[test]
fn errors_of_the_engine_are_told_apart() {
    let told = |code| StoreError::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
    for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_SHMSIZE] {
        assert!(matches!(told(code), StoreError::DiskFull), "{code}");
    }
    for code in [ffi::SQLITE_BUSY, ffi::SQLITE_BUSY_SNAPSHOT, ffi::SQLITE_LOCKED] {
        assert!(matches!(told(code), StoreError::Overloaded), "{code}");
    }
    for code in [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_READ, ffi::SQLITE_CORRUPT, ffi::SQLITE_CONSTRAINT] {
        assert!(matches!(told(code), StoreError::Database(_)), "{code}");
    }
}
