//! Copies of the whole store.

use std::{fs, io::ErrorKind, os::unix::fs::PermissionsExt, thread};

use super::{
    approvals::{in_state, request},
    *,
};
use crate::store::{ApprovalRow, ApprovalState as State};

#[test]
fn a_backup_is_the_store_at_one_moment_and_opens_as_one() {
    let fixture = Fixture::new();
    let rows: Vec<ObjectRow> = (0..50).map(|number| fixture.insert(named(number))).collect();
    fixture.update(&destroyed(&rows[0]), None).unwrap();
    fixture.store.apply(vec![Change::Hold { row: destroyed(&rows[1]), index: None, until: 50 }]).unwrap();
    let path = fixture.directory.path().join("copy.db");
    fixture.store.backup(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let later = fixture.insert(named(100));

    let as_it_is = StoreOptions { migrate: false, ..StoreOptions::default() };
    let copy = Store::open(&path, as_it_is).unwrap();
    assert_eq!(copy.trust().unwrap(), fixture.store.trust().unwrap());
    for row in &rows {
        assert_eq!(copy.object(fixture.adapter, row.id).unwrap(), fixture.object(row.id));
    }
    assert_eq!(copy.object(fixture.adapter, later.id).unwrap(), None);
    assert_eq!(copy.held_objects(None, 10).unwrap(), fixture.store.held_objects(None, 10).unwrap());
    // It can be gone on with.
    copy.recover_held(rows[1].id, 10).unwrap();
    copy.apply(vec![Change::Insert { row: later, index: named(100) }]).unwrap();
}

#[test]
fn what_is_open_is_cancelled_in_a_backup_and_goes_on_in_the_store() {
    let fixture = Fixture::new();
    let states = [State::Pending, State::Approved, State::Executing, State::Done, State::Rejected];
    let ids: Vec<_> = (0..).zip(states).map(|(n, state)| in_state(&fixture.store, &format!("{n}"), state)).collect();
    let before: Vec<_> = ids.iter().map(|id| fixture.store.approval(*id).unwrap().unwrap()).collect();
    let path = fixture.directory.path().join("copy.db");
    fixture.store.backup(&path).unwrap();
    let copy = Store::open(&path, StoreOptions::default()).unwrap();
    assert_eq!(copy.due_approvals(i64::MAX, 10).unwrap(), []);
    for (row, state) in before.into_iter().zip(states) {
        assert_eq!(fixture.store.approval(row.id).unwrap().unwrap(), row);
        let copied = copy.approval(row.id).unwrap().unwrap();
        if state.is_final() {
            assert_eq!(copied, row);
            continue;
        }
        assert_eq!((copied.state, copied.revision), (State::Cancelled, row.revision + 1));
        assert!(copied.outcome.unwrap().contains("backup") && copied.finished_at.is_some());
        // It can be asked for anew.
        let again = ApprovalRow { id: Uuid::now_v7(), ..request(&row.subject) };
        copy.insert_approval(again).unwrap();
    }
}

#[test]
fn a_backup_while_others_write_is_whole() {
    let fixture = Fixture::new();
    let path = fixture.directory.path().join("copy.db");
    thread::scope(|scope| {
        let writers: Vec<_> = (0..4_u64)
            .map(|writer| {
                let fixture = &fixture;
                scope.spawn(move || (0..40).for_each(|number| drop(fixture.insert(named(100 * writer + number)))))
            })
            .collect();
        fixture.store.backup(&path).unwrap();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
    let copy = Store::open(&path, StoreOptions::default()).unwrap();
    let all = copy.search(fixture.adapter, &Search { limit: u64::MAX, ..live(&[]) }).unwrap();
    assert_eq!(copy.count(fixture.adapter).unwrap().live, all.len() as u64);
    for id in all {
        assert!(copy.object(fixture.adapter, id).unwrap().unwrap().sealed.is_some());
    }
}

#[test]
fn a_backup_replaces_no_file_and_leaves_none_where_it_fails() {
    let fixture = Fixture::new();
    let there = fixture.directory.path().join("there");
    fs::write(&there, b"something").unwrap();
    let Err(StoreError::File { path, source }) = fixture.store.backup(&there) else { panic!() };
    assert_eq!((path, source.kind()), (there.clone(), ErrorKind::AlreadyExists));
    assert_eq!(fs::read(&there).unwrap(), b"something");
    let nowhere = fixture.directory.path().join("missing").join("copy.db");
    assert!(matches!(fixture.store.backup(&nowhere), Err(StoreError::File { .. })));
    let own = fixture.store.backup(&fixture.path());
    assert!(matches!(own, Err(StoreError::File { .. })));
    // The store is gone from under its own feet: the copy cannot be made, and no stump of it is left.
    let copy = fixture.directory.path().join("copy.db");
    fs::rename(fixture.path(), fixture.directory.path().join("elsewhere.db")).unwrap();
    assert!(fixture.store.backup(&copy).is_err());
    assert!(!copy.exists());
}
