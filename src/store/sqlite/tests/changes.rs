//! Inserts, updates, transactions, unique terms, due objects, counts.

use std::thread;

use super::*;
use crate::store::ObjectCount;

#[test]
fn an_inserted_object_is_read_back_as_it_was_given() {
    let fixture = Fixture::new();
    let mut row = new_row(fixture.adapter);
    row.object_type = u32::MAX;
    row.due_at = Some(i64::MIN);
    row.metadata = vec![3; 100_000];
    row.sealed = sealed(&[4; 50_000]);
    fixture.store.apply(vec![Change::Insert { row: row.clone(), index: terms(&[1]) }]).unwrap();
    assert_eq!(fixture.object(row.id), Some(row.clone()));
    assert_eq!(fixture.reopened().object(row.id), Some(row));
}

#[test]
fn an_object_without_material_and_one_with_empty_material_stay_apart() {
    let fixture = Fixture::new();
    let none = ObjectRow { sealed: None, ..new_row(fixture.adapter) };
    let empty = ObjectRow { sealed: sealed(b""), ..new_row(fixture.adapter) };
    for row in [&none, &empty] {
        fixture.store.apply(vec![Change::Insert { row: row.clone(), index: IndexEntries::default() }]).unwrap();
    }
    assert_eq!(fixture.object(none.id), Some(none));
    assert_eq!(fixture.object(empty.id), Some(empty));
}

#[test]
fn an_object_that_is_not_there_is_none() {
    let fixture = Fixture::new();
    assert_eq!(fixture.object(ObjectId(Uuid::now_v7())), None);
}

#[test]
fn an_object_of_another_adapter_is_not_there() {
    let fixture = Fixture::new();
    let other = add_adapter(&fixture.store, "other");
    let row = fixture.insert(terms(&[1]));
    assert_eq!(fixture.store.object(other, row.id).unwrap(), None);
    assert_eq!(fixture.store.object(AdapterId(Uuid::new_v4()), row.id).unwrap(), None);

    let stolen = ObjectRow { adapter: other, ..next(&row) };
    assert!(matches!(fixture.update(&stolen, None), Err(StoreError::NotFound)));
    assert_eq!(fixture.object(row.id), Some(row));
}

#[test]
fn an_insert_refuses_an_identifier_that_is_taken_even_by_another_adapter() {
    let fixture = Fixture::new();
    let other = add_adapter(&fixture.store, "other");
    let row = fixture.insert(terms(&[1]));
    for adapter in [fixture.adapter, other] {
        let again = ObjectRow { id: row.id, metadata: Vec::new(), ..new_row(adapter) };
        let outcome = fixture.store.apply(vec![Change::Insert { row: again, index: terms(&[2]) }]);
        assert!(matches!(outcome, Err(StoreError::Duplicate)));
    }
    assert_eq!(fixture.search(&live(&[2])), []);
    assert_eq!(fixture.object(row.id), Some(row));
}

#[test]
fn an_insert_refuses_an_unknown_adapter_and_a_later_revision() {
    let fixture = Fixture::new();
    let homeless = Change::Insert { row: new_row(AdapterId(Uuid::new_v4())), index: IndexEntries::default() };
    assert!(matches!(fixture.store.apply(vec![homeless]), Err(StoreError::NotFound)));
    let later = Change::Insert { row: next(&new_row(fixture.adapter)), index: IndexEntries::default() };
    assert!(matches!(fixture.store.apply(vec![later]), Err(StoreError::Conflict)));
}

#[test]
fn an_update_replaces_the_row_and_keeps_the_index_where_none_is_given() {
    let fixture = Fixture::new();
    let row = fixture.insert(terms(&[1, 2]));
    let changed = ObjectRow { metadata: b"other".to_vec(), due_at: Some(5), ..next(&row) };
    fixture.update(&changed, None).unwrap();
    assert_eq!(fixture.object(row.id), Some(changed));
    assert_eq!(fixture.search(&live(&[1, 2])), [row.id]);
}

#[test]
fn an_update_replaces_the_whole_index_where_one_is_given() {
    let fixture = Fixture::new();
    let row = fixture.insert(terms(&[1, 2, 2]));
    fixture.update(&next(&row), Some(terms(&[2, 3, 3]))).unwrap();
    assert_eq!(fixture.search(&live(&[1])), []);
    assert_eq!(fixture.search(&live(&[2, 3])), [row.id]);
}

#[test]
fn an_update_replaces_the_material() {
    let fixture = Fixture::new();
    let row = fixture.insert(IndexEntries::default());
    for sealed in [sealed(b"longer than before"), sealed(b"short"), sealed(b""), None] {
        let current = fixture.object(row.id).unwrap();
        fixture.update(&ObjectRow { sealed: sealed.clone(), ..next(&current) }, None).unwrap();
        assert_eq!(fixture.object(row.id).unwrap().sealed, sealed);
    }
}

#[test]
fn an_update_from_any_other_revision_conflicts() {
    let fixture = Fixture::new();
    let row = fixture.insert(IndexEntries::default());
    for revision in [0, 1, 3, u64::MAX] {
        let stale = ObjectRow { revision, metadata: Vec::new(), ..row.clone() };
        assert!(matches!(fixture.update(&stale, None), Err(StoreError::Conflict)), "revision {revision}");
    }
    assert_eq!(fixture.object(row.id), Some(row));
}

#[test]
fn an_update_refuses_a_missing_object_and_another_type() {
    let fixture = Fixture::new();
    let missing = next(&new_row(fixture.adapter));
    assert!(matches!(fixture.update(&missing, None), Err(StoreError::NotFound)));
    let row = fixture.insert(IndexEntries::default());
    let other_type = ObjectRow { object_type: 3, ..next(&row) };
    assert!(matches!(fixture.update(&other_type, None), Err(StoreError::NotFound)));
}

#[test]
fn a_transaction_happens_whole_or_not_at_all() {
    let fixture = Fixture::new();
    let old = fixture.insert(terms(&[1]));
    let new = new_row(fixture.adapter);
    let insert = Change::Insert { row: new.clone(), index: named(2) };
    let replace = Change::Update { row: next(&old), index: Some(terms(&[3])) };
    let stale = Change::Update { row: old.clone(), index: None };

    let outcome = fixture.store.apply(vec![insert.clone(), replace.clone(), stale]);
    assert!(matches!(outcome, Err(StoreError::Conflict)));
    assert_eq!(fixture.object(new.id), None);
    assert_eq!(fixture.object(old.id), Some(old.clone()));
    assert_eq!(fixture.search(&live(&[2])), []);
    assert_eq!(fixture.search(&live(&[1])), [old.id]);

    fixture.store.apply(vec![insert, replace]).unwrap();
    assert_eq!(fixture.object(new.id), Some(new.clone()));
    assert_eq!(fixture.search(&live(&[2])), [new.id]);
    assert_eq!(fixture.search(&live(&[3])), [old.id]);
}

#[test]
fn an_empty_transaction_succeeds() {
    Fixture::new().store.apply(Vec::new()).unwrap();
}

#[test]
fn a_failed_mutation_leaves_those_beside_it_alone() {
    let fixture = Fixture::new();
    let row = fixture.insert(named(1));
    let succeeded = thread::scope(|scope| {
        let callers: Vec<_> = (0..64_u64)
            .map(|n| {
                let fixture = &fixture;
                scope.spawn(move || {
                    let row = new_row(fixture.adapter);
                    // Every other caller wants the name that is taken, after it has written something already.
                    let second = Change::Insert { row: new_row(fixture.adapter), index: named(1 + n % 2 * (n + 1)) };
                    let first = Change::Insert { row, index: terms(&[1000]) };
                    fixture.store.apply(vec![first, second]).is_ok()
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).filter(|ok| *ok).count()
    });
    assert_eq!(succeeded, 32);
    assert_eq!(fixture.search(&live(&[1000])).len(), 32);
    assert_eq!(fixture.search(&live(&[1])), [row.id]);
}

#[test]
fn sixteen_callers_that_change_one_object_take_turns() {
    let fixture = Fixture::new();
    let row = ObjectRow { metadata: 0_u64.to_be_bytes().to_vec(), ..new_row(fixture.adapter) };
    fixture.store.apply(vec![Change::Insert { row: row.clone(), index: IndexEntries::default() }]).unwrap();
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    loop {
                        let mut changed = next(&fixture.object(row.id).unwrap());
                        let counter = u64::from_be_bytes(changed.metadata.as_slice().try_into().unwrap());
                        changed.metadata = (counter + 1).to_be_bytes().to_vec();
                        match fixture.update(&changed, None) {
                            Ok(()) => break,
                            Err(error) => assert!(matches!(error, StoreError::Conflict), "{error}"),
                        }
                    }
                }
            });
        }
    });
    let last = fixture.object(row.id).unwrap();
    assert_eq!(last.metadata, 320_u64.to_be_bytes());
    assert_eq!(last.revision, 321);
}

#[test]
fn of_sixteen_callers_that_want_one_name_exactly_one_gets_it() {
    let fixture = Fixture::new();
    for name in 0..10 {
        let winners = thread::scope(|scope| {
            let callers: Vec<_> = (0..16)
                .map(|_| {
                    scope.spawn(|| {
                        let row = new_row(fixture.adapter);
                        match fixture.store.apply(vec![Change::Insert { row, index: named(name) }]) {
                            Ok(()) => 1,
                            Err(StoreError::Duplicate) => 0,
                            Err(error) => panic!("{error}"),
                        }
                    })
                })
                .collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).sum::<u32>()
        });
        assert_eq!(winners, 1);
        assert_eq!(fixture.search(&live(&[name])).len(), 1);
    }
}

#[test]
fn a_name_is_unique_within_its_adapter_only() {
    let fixture = Fixture::new();
    let other = add_adapter(&fixture.store, "other");
    fixture.insert(named(1));
    let insert = |adapter| fixture.store.apply(vec![Change::Insert { row: new_row(adapter), index: named(1) }]);
    assert!(matches!(insert(fixture.adapter), Err(StoreError::Duplicate)));
    insert(other).unwrap();
    assert!(matches!(insert(other), Err(StoreError::Duplicate)));
}

#[test]
fn an_update_refuses_a_name_that_another_object_has_and_takes_one_that_was_given_up() {
    let fixture = Fixture::new();
    let first = fixture.insert(named(1));
    let second = fixture.insert(named(2));
    assert!(matches!(fixture.update(&next(&second), Some(named(1))), Err(StoreError::Duplicate)));
    assert_eq!(fixture.search(&live(&[2])), [second.id]);

    fixture.update(&next(&first), Some(named(3))).unwrap();
    fixture.update(&next(&second), Some(named(1))).unwrap();
    assert_eq!(fixture.search(&live(&[1])), [second.id]);
}

#[test]
fn destroying_an_object_releases_its_name_with_or_without_a_new_index() {
    let fixture = Fixture::new();
    for index in [None, Some(named(1))] {
        let row = fixture.insert(named(1));
        fixture.update(&destroyed(&row), index).unwrap();
        let successor = fixture.insert(named(1));
        // What is destroyed can still be changed; it does not ask for its name again.
        fixture.update(&next(&destroyed(&row)), Some(named(1))).unwrap();
        assert_eq!(fixture.search(&live(&[1])), [successor.id]);
        fixture.update(&destroyed(&successor), None).unwrap();
    }
    let dead = Search { live: false, destroyed: true, ..live(&[1]) };
    assert_eq!(fixture.search(&dead).len(), 4);
}

#[test]
fn due_objects_are_those_whose_time_has_come_the_most_overdue_first() {
    let fixture = Fixture::new();
    let other = add_adapter(&fixture.store, "other");
    let insert = |adapter, due_at| {
        let row = ObjectRow { due_at, ..new_row(adapter) };
        fixture.store.apply(vec![Change::Insert { row: row.clone(), index: IndexEntries::default() }]).unwrap();
        row
    };
    let late = insert(fixture.adapter, Some(100));
    let early = insert(fixture.adapter, Some(-5));
    insert(fixture.adapter, None);
    insert(other, Some(1));
    let due = |now, limit| fixture.store.due(fixture.adapter, now, limit).unwrap();
    assert_eq!(due(-6, 10), []);
    assert_eq!(due(99, 10), std::slice::from_ref(&early));
    assert_eq!(due(100, 10), [early.clone(), late.clone()]);
    assert_eq!(due(100, 1), std::slice::from_ref(&early));
    assert_eq!(due(100, 0), []);

    let seen = |now| {
        let mut seen = Vec::new();
        fixture.store.each_due(fixture.adapter, now, |row| seen.push(row)).unwrap();
        seen.sort_by_key(|row| row.due_at);
        seen
    };
    let without_material = |row: &ObjectRow| ObjectRow { sealed: None, ..row.clone() };
    assert_eq!(seen(-6), []);
    assert_eq!(seen(99), [without_material(&early)]);
    assert_eq!(seen(100), [without_material(&early), without_material(&late)]);

    fixture.update(&ObjectRow { due_at: None, ..next(&early) }, None).unwrap();
    assert_eq!(due(i64::MAX, u64::MAX), [late]);
    assert_eq!(fixture.store.due(AdapterId(Uuid::new_v4()), 100, 10).unwrap(), []);
}

#[test]
fn counts_tell_live_from_destroyed_objects() {
    let fixture = Fixture::new();
    let other = add_adapter(&fixture.store, "other");
    let count = |adapter| fixture.store.count(adapter).unwrap();
    assert_eq!(count(fixture.adapter), ObjectCount::default());
    let row = fixture.insert(IndexEntries::default());
    fixture.insert(IndexEntries::default());
    assert_eq!(count(fixture.adapter), ObjectCount { live: 2, destroyed: 0 });
    fixture.update(&destroyed(&row), None).unwrap();
    assert_eq!(count(fixture.adapter), ObjectCount { live: 1, destroyed: 1 });
    assert_eq!(count(other), ObjectCount::default());
    assert_eq!(count(AdapterId(Uuid::new_v4())), ObjectCount::default());
}

#[test]
fn what_waited_when_the_store_was_dropped_is_done() {
    let fixture = Fixture::new();
    let rows: Vec<_> = (0..100).map(|_| fixture.insert(IndexEntries::default())).collect();
    let fixture = fixture.reopened();
    assert!(rows.iter().all(|row| fixture.object(row.id).is_some()));
    assert_eq!(fixture.store.waiting_mutations(), 0);
}
