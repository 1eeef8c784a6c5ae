//! Destroyed material is gone from the files.

use std::fs;

use super::*;
use crate::store::{Rewrapped, RotationStep};

/// Material that is told apart from all other by its first bytes, wherever a copy of it begins or goes on.
fn material(number: usize, length: usize) -> Vec<u8> {
    mark(number).into_iter().cycle().take(length).collect()
}

fn mark(number: usize) -> [u8; 16] {
    let mut mark = *b"mark....material";
    mark[4..8].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
    mark
}

/// A wrapped KEK that is told apart from all other in the same way.
fn kek(number: usize) -> Vec<u8> {
    kek_mark(number).into_iter().cycle().take([63, 83, 87][number % 3]).collect()
}

fn kek_mark(number: usize) -> [u8; 16] {
    let mut mark = *b"mark....the-keks";
    mark[4..8].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
    mark
}

fn sealed_as(number: usize, length: usize) -> Option<SealedRow> {
    Some(SealedRow { root: ROOT, version: 1, wrapped_kek: kek(number), body: material(number, length) })
}

/// Which of `numbers` have left a mark of material or KEK in one of the store's files.
fn marks_left(fixture: &Fixture, numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    let files = files(fixture);
    numbers.filter(|number| is_in(&files, &mark(*number)) || is_in(&files, &kek_mark(*number))).collect()
}

/// Which of `numbers` have left a mark of a KEK there.
fn keks_left(fixture: &Fixture, numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    let files = files(fixture);
    numbers.filter(|number| is_in(&files, &kek_mark(*number))).collect()
}

fn is_in(files: &[Vec<u8>], mark: &[u8; 16]) -> bool {
    files.iter().any(|file| file.windows(16).any(|window| window == mark))
}

fn files(fixture: &Fixture) -> Vec<Vec<u8>> {
    ["", "-wal", "-shm"]
        .iter()
        .filter_map(|suffix| fs::read(fixture.directory.path().join(format!("keystead.db{suffix}"))).ok())
        .collect()
}

/// Objects with material of many sizes, mixed well: some grow and shrink between, so that SQLite moves rows about.
fn busy_fixture(objects: usize) -> (Fixture, Vec<ObjectRow>) {
    let fixture = Fixture::new();
    let mut rows: Vec<ObjectRow> = (0..objects)
        .map(|number| {
            let length = 40 + 37 * (number % 16) + if number % 10 == 0 { 9000 } else { 0 };
            let row = ObjectRow { sealed: sealed_as(number, length), ..new_row(fixture.adapter) };
            fixture.store.apply(vec![Change::Insert { row: row.clone(), index: named(number as u64) }]).unwrap();
            row
        })
        .collect();
    for round in 1..4 {
        for (number, row) in rows.iter_mut().enumerate() {
            *row = ObjectRow { metadata: vec![0x20; (number * 331 * round) % 3000], ..next(row) };
            fixture.update(row, None).unwrap();
        }
    }
    (fixture, rows)
}

#[test]
fn destroyed_material_is_nowhere_in_the_files_after_a_scrub_and_live_material_is() {
    let (fixture, rows) = busy_fixture(120);
    for row in rows.iter().step_by(2) {
        fixture.update(&destroyed(row), None).unwrap();
    }
    fixture.store.scrub().unwrap();
    assert_eq!(marks_left(&fixture, (0..120).step_by(2)), Vec::<usize>::new());
    assert_eq!(marks_left(&fixture, (1..120).step_by(2)).len(), 60);
    assert_eq!(keks_left(&fixture, 0..120).len(), 60);
    for row in rows.iter().skip(1).step_by(2) {
        assert_eq!(fixture.object(row.id).as_ref(), Some(row));
    }
}

#[test]
fn destroyed_material_is_nowhere_in_the_files_after_closing_the_store() {
    let (fixture, rows) = busy_fixture(40);
    for row in &rows {
        fixture.update(&destroyed(row), Some(IndexEntries::default())).unwrap();
    }
    let fixture = fixture.reopened();
    assert_eq!(marks_left(&fixture, 0..40), Vec::<usize>::new());
}

#[test]
fn replaced_material_is_erased_like_destroyed_material() {
    let (fixture, rows) = busy_fixture(40);
    for (number, row) in (1000..).zip(&rows) {
        let length = row.sealed.as_ref().unwrap().body.len() + (number % 3) * 11;
        fixture.update(&ObjectRow { sealed: sealed_as(number, length), ..next(row) }, None).unwrap();
    }
    fixture.store.scrub().unwrap();
    assert_eq!(marks_left(&fixture, 0..40), Vec::<usize>::new());
    assert_eq!(marks_left(&fixture, 1000..1040).len(), 40);
}

#[test]
fn a_scrub_that_a_reader_hinders_says_so_and_succeeds_later() {
    let (fixture, rows) = busy_fixture(2);
    let reader = rusqlite::Connection::open(fixture.path()).unwrap();
    let snapshot = reader.unchecked_transaction().unwrap();
    let _: i64 = snapshot.query_row("SELECT count(*) FROM object", [], |row| row.get(0)).unwrap();
    fixture.update(&destroyed(&rows[0]), None).unwrap();
    assert!(matches!(fixture.store.scrub(), Err(StoreError::Overloaded)));
    // Writes go on while the reader stays.
    fixture.update(&destroyed(&rows[1]), None).unwrap();
    snapshot.finish().unwrap();
    fixture.store.scrub().unwrap();
    assert_eq!(marks_left(&fixture, 0..2), Vec::<usize>::new());
}

#[test]
fn the_log_is_cut_by_itself_when_material_was_erased() {
    let (fixture, rows) = busy_fixture(2);
    fixture.update(&destroyed(&rows[0]), None).unwrap();
    let log = fixture.directory.path().join("keystead.db-wal");
    while fs::metadata(&log).unwrap().len() > 0 {
        std::thread::yield_now();
    }
    assert_eq!(marks_left(&fixture, 0..1), Vec::<usize>::new());
}

#[test]
fn keks_that_a_rotation_replaced_are_nowhere_in_the_files_and_the_new_ones_are_until_destroyed() {
    let (fixture, rows) = busy_fixture(120);
    fixture.store.add_version(ROOT, version_row(2)).unwrap();
    let keks = fixture.store.next_keks(ROOT, 2, 0, 1000).unwrap();
    assert_eq!(keks.len(), 120);
    for (number, batch) in keks.chunks(7).enumerate() {
        // Of another length than before, so that a row which depended on it would move.
        let rewrapped = batch.iter().enumerate();
        let rewrapped = rewrapped
            .map(|(at, old)| Rewrapped { seq: old.seq, old: old.wrapped.clone(), new: kek(1000 + 7 * number + at + 1) })
            .collect();
        let step = RotationStep { rewrapped, failed: 0, cursor: batch.last().unwrap().seq };
        fixture.store.rotation_step(ROOT, 2, step).unwrap();
    }
    fixture.store.scrub().unwrap();
    assert_eq!(keks_left(&fixture, 0..120), Vec::<usize>::new());
    assert_eq!(keks_left(&fixture, 1001..1121).len(), 120);
    for row in rows.iter().take(60) {
        fixture.update(&destroyed(row), None).unwrap();
    }
    fixture.store.scrub().unwrap();
    assert_eq!(keks_left(&fixture, 1001..1121).len(), 60);
}

#[test]
fn the_keks_of_a_root_key_that_is_destroyed_are_nowhere_in_the_files() {
    let (fixture, rows) = busy_fixture(40);
    let other = Uuid::from_u128(9);
    fixture.store.insert_root_key(root_row(other, "other")).unwrap();
    let row = ObjectRow { sealed: sealed_as(500, 64), ..new_row(fixture.adapter) };
    let row = ObjectRow { sealed: row.sealed.map(|sealed| SealedRow { root: other, ..sealed }), ..row };
    fixture.store.apply(vec![Change::Insert { row: row.clone(), index: named(500) }]).unwrap();
    fixture.store.shred(ROOT, 1_800_000_000, "{}".into()).unwrap();
    fixture.store.scrub().unwrap();
    assert_eq!(keks_left(&fixture, 0..40), Vec::<usize>::new());
    assert_eq!(keks_left(&fixture, 500..501), [500], "another root key's");
    let left = fixture.object(rows[3].id).unwrap().sealed.unwrap();
    assert_eq!((left.root, left.version, left.wrapped_kek.len()), (ROOT, 0, 0));
    assert_eq!(left.body, rows[3].sealed.as_ref().unwrap().body, "what nobody can open any more stays");
}
