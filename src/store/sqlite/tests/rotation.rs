//! Steps of a rotation, and what changes beside them.

use super::*;
use crate::store::{KekRow, Rewrapped, RotationRow, RotationStep};

/// Objects under version 1, a rotation to version 2.
fn rotating(objects: usize) -> (Fixture, Vec<ObjectRow>) {
    let fixture = Fixture::new();
    let rows = (0..objects).map(|_| fixture.insert(IndexEntries::default())).collect();
    fixture.store.add_version(ROOT, version_row(2)).unwrap();
    (fixture, rows)
}

fn rewrapped(kek: &KekRow) -> Rewrapped {
    Rewrapped { seq: kek.seq, old: kek.wrapped.clone(), new: vec![0xdd; 87] }
}

fn step(keks: &[KekRow]) -> RotationStep {
    RotationStep { rewrapped: keks.iter().map(rewrapped).collect(), failed: 0, cursor: keks.last().unwrap().seq }
}

fn rotation(fixture: &Fixture) -> RotationRow {
    fixture.store.rotations().unwrap().pop().unwrap()
}

fn version_of(fixture: &Fixture, row: &ObjectRow) -> (u32, usize) {
    let sealed = fixture.object(row.id).unwrap().sealed.unwrap();
    (sealed.version, sealed.wrapped_kek.len())
}

#[test]
fn steps_move_keks_and_the_cursor_together_and_the_body_stays() {
    let (fixture, rows) = rotating(5);
    let keks = fixture.store.next_keks(ROOT, 2, 0, 3).unwrap();
    assert_eq!(keks.len(), 3);
    assert!(keks.iter().all(|kek| kek.version == 1 && kek.wrapped == [0xee; 63]));
    fixture.store.rotation_step(ROOT, 2, step(&keks)).unwrap();
    let fixture = fixture.reopened();
    let row = rotation(&fixture);
    assert_eq!((row.total, row.done, row.failed, row.cursor), (5, 3, 0, keks[2].seq));
    assert_eq!(version_of(&fixture, &rows[2]), (2, 87));
    assert_eq!(version_of(&fixture, &rows[3]), (1, 63));
    assert_eq!(fixture.object(rows[0].id).unwrap().sealed.unwrap().body, b"sealed");
    let rest = fixture.store.next_keks(ROOT, 2, row.cursor, 100).unwrap();
    assert_eq!(rest.len(), 2);
    assert_eq!(fixture.store.kek_owner(rest[0].seq).unwrap(), Some((fixture.adapter, rows[3].id)));
    assert_eq!(fixture.store.kek_count(ROOT, 1).unwrap(), 2);
    assert_eq!(fixture.store.kek_count(ROOT, 2).unwrap(), 3);
}

#[test]
fn a_rotation_is_finished_only_when_nothing_but_what_failed_is_left() {
    let (fixture, rows) = rotating(3);
    let keks = fixture.store.next_keks(ROOT, 2, 0, 100).unwrap();
    fixture.store.rotation_step(ROOT, 2, step(&keks[..1])).unwrap();
    let finish = || fixture.store.finish_rotation(ROOT, 2, 99, 1, "proof".into());
    assert!(matches!(finish(), Err(StoreError::InUse { keks: 2 })));
    let last = RotationStep { failed: 1, cursor: keks[2].seq, rewrapped: vec![rewrapped(&keks[1])] };
    fixture.store.rotation_step(ROOT, 2, last).unwrap();
    let strict = fixture.store.finish_rotation(ROOT, 2, 99, 0, "proof".into());
    assert!(matches!(strict, Err(StoreError::InUse { keks: 1 })), "what failed is said to whoever finishes");
    finish().unwrap();
    let row = rotation(&fixture);
    assert_eq!((row.done, row.failed, row.finished_at, row.proof.as_deref()), (2, 1, Some(99), Some("proof")));
    assert!(matches!(finish(), Err(StoreError::NotFound)), "it is finished once");
    assert!(matches!(fixture.store.rotation_step(ROOT, 2, step(&keks)), Err(StoreError::NotFound)));
    assert_eq!(version_of(&fixture, &rows[2]), (1, 63));
    fixture.store.add_version(ROOT, version_row(3)).unwrap();
    assert_eq!(rotation(&fixture).total, 3);
}

#[test]
fn a_rotation_that_starts_again_counts_its_failures_again() {
    let (fixture, _) = rotating(2);
    let keks = fixture.store.next_keks(ROOT, 2, 0, 100).unwrap();
    let skip = RotationStep { failed: 2, cursor: keks[1].seq, rewrapped: Vec::new() };
    fixture.store.rotation_step(ROOT, 2, skip).unwrap();
    fixture.store.rotation_step(ROOT, 2, RotationStep { cursor: 1, ..RotationStep::default() }).unwrap();
    assert_eq!(rotation(&fixture).cursor, keks[1].seq, "it never goes back by itself");
    fixture.store.restart_rotation(ROOT, 2).unwrap();
    assert_eq!((rotation(&fixture).cursor, rotation(&fixture).failed), (0, 0));
    assert!(matches!(fixture.store.restart_rotation(ROOT, 3), Err(StoreError::NotFound)));
}

#[test]
fn an_object_destroyed_before_its_step_stays_destroyed() {
    let (fixture, rows) = rotating(2);
    let keks = fixture.store.next_keks(ROOT, 2, 0, 100).unwrap();
    fixture.update(&destroyed(&rows[0]), None).unwrap();
    fixture.store.rotation_step(ROOT, 2, step(&keks)).unwrap();
    assert_eq!(fixture.object(rows[0].id).unwrap().sealed, None);
    assert_eq!(rotation(&fixture).done, 1);
    assert_eq!(fixture.store.kek_count(ROOT, 2).unwrap(), 1);
    assert_eq!(fixture.store.keks_ever().unwrap(), [(ROOT, 2)]);
    let text = rusqlite::Connection::open(fixture.path()).unwrap();
    let zeroed = "SELECT count(*) FROM kek WHERE wrapped = zeroblob(88) AND version = zeroblob(4)";
    assert_eq!(text.query_row(zeroed, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[test]
fn an_object_changed_from_what_was_read_before_its_step_keeps_its_new_kek() {
    let (fixture, rows) = rotating(1);
    let before = fixture.object(rows[0].id).unwrap();
    let keks = fixture.store.next_keks(ROOT, 2, 0, 100).unwrap();
    fixture.store.rotation_step(ROOT, 2, step(&keks)).unwrap();
    fixture.update(&ObjectRow { metadata: b"changed".to_vec(), ..next(&before) }, None).unwrap();
    let after = fixture.object(rows[0].id).unwrap();
    assert_eq!(after.metadata, b"changed");
    assert_eq!(version_of(&fixture, &after), (2, 87));
}

#[test]
fn a_kek_that_is_too_long_is_refused_whole() {
    let (fixture, rows) = rotating(2);
    let keks = fixture.store.next_keks(ROOT, 2, 0, 100).unwrap();
    let mut step = step(&keks);
    step.rewrapped[1].new = vec![1; 88];
    assert!(matches!(fixture.store.rotation_step(ROOT, 2, step), Err(StoreError::Damaged)));
    assert_eq!(version_of(&fixture, &rows[0]), (1, 63));
    assert_eq!((rotation(&fixture).done, rotation(&fixture).cursor), (0, 0));
}

#[test]
fn keks_of_another_root_key_are_left_alone() {
    let (fixture, _) = rotating(1);
    let other = Uuid::from_u128(9);
    fixture.store.insert_root_key(root_row(other, "other")).unwrap();
    let sealed = sealed(b"another's").map(|sealed| SealedRow { root: other, ..sealed });
    let row = ObjectRow { sealed, ..new_row(fixture.adapter) };
    fixture.store.apply(vec![Change::Insert { row, index: IndexEntries::default() }]).unwrap();
    assert_eq!(fixture.store.next_keks(ROOT, 2, 0, 100).unwrap().len(), 1);
    assert_eq!(fixture.store.next_keks(other, 1, 0, 100).unwrap(), []);
    assert_eq!(fixture.store.next_keks(Uuid::from_u128(10), 1, 0, 100).unwrap(), []);
}
