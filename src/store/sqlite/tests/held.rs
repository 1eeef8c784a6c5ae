//! Material of destroyed objects that is held for a while: out of reach, erased in the end, or given back before.

use std::fs;

use super::*;
use crate::store::{HeldRow, ObjectCount, Rewrapped, RotationStep};

/// When holds end in these tests.
const UNTIL: i64 = 1_900_000_000;

fn hold(store: &Store, row: &ObjectRow, index: Option<IndexEntries>, until: i64) -> Result<(), StoreError> {
    store.apply(vec![Change::Hold { row: destroyed(row), index, until }])
}

/// A live object with material of its own, a name, a date and a due time, and the same once it is held.
fn held(fixture: &Fixture, number: u64) -> ObjectRow {
    let row = ObjectRow {
        sealed: sealed(format!("material{number:04}").repeat(9).as_bytes()),
        due_at: Some(77),
        ..new_row(fixture.adapter)
    };
    let index = IndexEntries { dates: dated(3, &[5]).dates, ..named(number) };
    fixture.store.apply(vec![Change::Insert { row: row.clone(), index }]).unwrap();
    hold(&fixture.store, &row, Some(terms(&[900 + number])), UNTIL).unwrap();
    row
}

fn is_in_the_files(fixture: &Fixture, number: u64) -> bool {
    let mark = format!("material{number:04}");
    ["", "-wal"].iter().any(|suffix| {
        let file = fs::read(fixture.directory.path().join(format!("keystead.db{suffix}"))).unwrap_or_default();
        file.windows(mark.len()).any(|window| window == mark.as_bytes())
    })
}

/// The error of a change that must leave the object as it was.
fn refused(fixture: &Fixture, id: ObjectId, change: impl FnOnce() -> Result<(), StoreError>) -> StoreError {
    let state = || (fixture.object(id), fixture.store.listed_object(id).unwrap());
    let before = state();
    let error = change().unwrap_err();
    assert_eq!(state(), before);
    error
}

#[test]
fn a_held_object_is_destroyed_for_everybody_who_asks_for_it() {
    let fixture = Fixture::new();
    let row = held(&fixture, 1);
    assert_eq!(fixture.object(row.id), Some(destroyed(&row)));
    assert_eq!(fixture.search(&live(&[1])), []);
    assert_eq!(fixture.search(&Search { live: false, destroyed: true, ..live(&[901]) }), [row.id]);
    assert_eq!(fixture.store.count(fixture.adapter).unwrap(), ObjectCount { live: 0, destroyed: 1 });
    let listed = fixture.store.listed_object(row.id).unwrap().unwrap();
    assert_eq!((listed.held_until, listed.sealed_under), (Some(UNTIL), None));
    assert_eq!(fixture.store.due(fixture.adapter, i64::MAX, 10).unwrap(), []);
    // Its name is free.
    fixture.insert(named(1));
    fixture.store.scrub().unwrap();
    assert!(is_in_the_files(&fixture, 1));
}

#[test]
fn only_the_destruction_of_a_live_object_is_held() {
    let fixture = Fixture::new();
    let row = fixture.insert(named(1));
    let stays_live = ObjectRow { destroyed: false, ..destroyed(&row) };
    let stays_sealed = ObjectRow { sealed: row.sealed.clone(), ..destroyed(&row) };
    let stale = ObjectRow { revision: 1, ..destroyed(&row) };
    for wrong in [stays_live, stays_sealed, stale] {
        let change = Change::Hold { row: wrong, index: None, until: UNTIL };
        let error = refused(&fixture, row.id, || fixture.store.apply(vec![change]));
        assert!(matches!(error, StoreError::Conflict));
    }
    let gone = destroyed(&row);
    fixture.update(&gone, None).unwrap();
    let error = refused(&fixture, row.id, || hold(&fixture.store, &gone, None, UNTIL));
    assert!(matches!(error, StoreError::Conflict), "it is destroyed already");
    assert_eq!(fixture.store.held_objects(None, 10).unwrap(), []);
}

#[test]
fn holds_are_listed_by_their_end_and_are_due_when_it_comes() {
    let fixture = Fixture::new();
    let other = add_adapter(&fixture.store, "other");
    let made = |adapter, until| {
        let row = new_row(adapter);
        fixture.store.apply(vec![Change::Insert { row: row.clone(), index: terms(&[1]) }]).unwrap();
        hold(&fixture.store, &row, None, until).unwrap();
        HeldRow { object: row.id, adapter, until }
    };
    let late = made(fixture.adapter, 30);
    let early = made(fixture.adapter, 10);
    let others = made(other, 20);
    assert_eq!(fixture.store.held_objects(None, 10).unwrap(), [early, others, late]);
    assert_eq!(fixture.store.held_objects(Some(fixture.adapter), 10).unwrap(), [early, late]);
    assert_eq!(fixture.store.held_objects(Some(fixture.adapter), 1).unwrap(), [early]);
    assert_eq!(fixture.store.due_holds(9, 10).unwrap(), []);
    assert_eq!(fixture.store.due_holds(20, 10).unwrap(), [early, others]);
    assert_eq!(fixture.store.due_holds(99, 2).unwrap(), [early, others]);
}

#[test]
fn a_released_hold_leaves_nothing_in_the_files() {
    let fixture = Fixture::new();
    let rows: Vec<ObjectRow> = (0..20).map(|number| held(&fixture, number)).collect();
    for row in &rows[..10] {
        let error = refused(&fixture, row.id, || fixture.store.release_hold(row.id, UNTIL - 1));
        assert!(matches!(error, StoreError::Conflict));
        fixture.store.release_hold(row.id, UNTIL).unwrap();
        let error = refused(&fixture, row.id, || fixture.store.release_hold(row.id, UNTIL));
        assert!(matches!(error, StoreError::NotFound));
        let error = refused(&fixture, row.id, || fixture.store.recover_held(row.id, 0));
        assert!(matches!(error, StoreError::NotFound));
        assert_eq!(fixture.object(row.id), Some(destroyed(row)));
    }
    assert!(matches!(fixture.store.release_hold(ObjectId(Uuid::now_v7()), UNTIL), Err(StoreError::NotFound)));
    fixture.store.scrub().unwrap();
    let left: Vec<u64> = (0..20).filter(|number| is_in_the_files(&fixture, *number)).collect();
    assert_eq!(left, (10..20).collect::<Vec<_>>());
    assert_eq!(fixture.store.kek_count(ROOT, 1).unwrap(), 10);
}

#[test]
fn a_recovered_object_is_what_it_was_at_its_next_revision() {
    let fixture = Fixture::new();
    let row = held(&fixture, 1);
    fixture.store.recover_held(row.id, UNTIL - 1).unwrap();
    let fixture = fixture.reopened();
    let back = ObjectRow { revision: 3, ..row.clone() };
    assert_eq!(fixture.object(row.id), Some(back.clone()));
    let by_date = Search { ranges: vec![crate::store::DateRange { field: 3, from: 5, to: 5 }], ..live(&[1]) };
    assert_eq!(fixture.search(&by_date), [row.id]);
    assert_eq!(fixture.search(&Search { destroyed: true, ..live(&[901]) }), []);
    assert_eq!(fixture.store.due(fixture.adapter, 77, 10).unwrap(), std::slice::from_ref(&back));
    assert_eq!(fixture.store.count(fixture.adapter).unwrap(), ObjectCount { live: 1, destroyed: 0 });
    assert_eq!(fixture.store.held_objects(None, 10).unwrap(), []);
    let taken = Change::Insert { row: new_row(fixture.adapter), index: named(1) };
    assert!(matches!(fixture.store.apply(vec![taken]), Err(StoreError::Duplicate)), "its name is its own again");
    let error = refused(&fixture, row.id, || fixture.store.recover_held(row.id, 0));
    assert!(matches!(error, StoreError::NotFound));
    // It can be destroyed again, held or not.
    hold(&fixture.store, &back, None, UNTIL).unwrap();
    fixture.store.recover_held(row.id, 0).unwrap();
    fixture.update(&destroyed(&ObjectRow { revision: 5, ..row }), None).unwrap();
    fixture.store.scrub().unwrap();
    assert!(!is_in_the_files(&fixture, 1));
}

#[test]
fn an_object_whose_time_has_come_or_whose_name_is_taken_is_not_recovered() {
    let fixture = Fixture::new();
    let row = held(&fixture, 1);
    let error = refused(&fixture, row.id, || fixture.store.recover_held(row.id, UNTIL));
    assert!(matches!(error, StoreError::Conflict));
    let namesake = fixture.insert(named(1));
    let error = refused(&fixture, row.id, || fixture.store.recover_held(row.id, 0));
    assert!(matches!(error, StoreError::Duplicate));
    fixture.update(&destroyed(&namesake), None).unwrap();
    fixture.store.recover_held(row.id, 0).unwrap();
}

#[test]
fn an_object_without_its_kek_or_its_adapter_is_not_recovered() {
    let fixture = Fixture::new();
    let row = held(&fixture, 1);
    fixture.store.shred(ROOT, 5, "{}".into()).unwrap();
    let error = refused(&fixture, row.id, || fixture.store.recover_held(row.id, 0));
    assert!(matches!(error, StoreError::StaleRootKey));
    fixture.store.release_hold(row.id, UNTIL).unwrap();

    let fixture = Fixture::new();
    let row = held(&fixture, 1);
    fixture.store.delete_adapter(fixture.adapter, 1, Loss::ANY, 5).unwrap();
    let error = refused(&fixture, row.id, || fixture.store.recover_held(row.id, 0));
    assert!(matches!(error, StoreError::NotFound));
}

#[test]
fn an_update_does_not_bring_a_held_object_back() {
    let fixture = Fixture::new();
    let row = held(&fixture, 1);
    let back = ObjectRow { revision: 3, ..row.clone() };
    let error = refused(&fixture, row.id, || fixture.update(&back, None));
    assert!(matches!(error, StoreError::Conflict));
    // What else an update changes of it is forgotten when it comes back.
    let noted = ObjectRow { revision: 3, metadata: b"noted".to_vec(), ..destroyed(&row) };
    fixture.update(&noted, None).unwrap();
    assert_eq!(fixture.store.held_objects(None, 10).unwrap().len(), 1);
    fixture.store.recover_held(row.id, 0).unwrap();
    assert_eq!(fixture.object(row.id), Some(ObjectRow { revision: 4, ..row }));
}

#[test]
fn an_object_without_material_is_held_and_recovered_like_any_other() {
    let fixture = Fixture::new();
    let row = ObjectRow { sealed: None, ..new_row(fixture.adapter) };
    fixture.store.apply(vec![Change::Insert { row: row.clone(), index: named(1) }]).unwrap();
    hold(&fixture.store, &row, None, UNTIL).unwrap();
    fixture.store.recover_held(row.id, 0).unwrap();
    let back = ObjectRow { revision: 3, ..row.clone() };
    assert_eq!(fixture.object(row.id), Some(back.clone()));
    hold(&fixture.store, &back, None, UNTIL).unwrap();
    fixture.store.release_hold(row.id, UNTIL).unwrap();
}

#[test]
fn a_rotation_takes_held_objects_along() {
    let fixture = Fixture::new();
    let row = held(&fixture, 1);
    fixture.store.add_version(ROOT, version_row(2)).unwrap();
    assert!(matches!(fixture.store.retire_version(ROOT, 1, 5), Err(StoreError::InUse { keks: 1 })));
    let kek = fixture.store.next_keks(ROOT, 2, 0, 10).unwrap().remove(0);
    let rewrapped = Rewrapped { seq: kek.seq, old: kek.wrapped, new: vec![9; 63] };
    fixture
        .store
        .rotation_step(ROOT, 2, RotationStep { rewrapped: vec![rewrapped], failed: 0, cursor: kek.seq })
        .unwrap();
    fixture.store.recover_held(row.id, 0).unwrap();
    let sealed = fixture.object(row.id).unwrap().sealed.unwrap();
    assert_eq!((sealed.version, sealed.wrapped_kek), (2, vec![9; 63]));
    assert_eq!(sealed.body, row.sealed.unwrap().body);
}
