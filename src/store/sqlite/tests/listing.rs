//! Objects as administrators see them, counts, and who was seen.

use std::{ops::ControlFlow, time::Instant};

use super::*;
use crate::store::{
    Candidate, DateRange, Fingerprint, ListedObject, Newest, ObjectCount, ObjectUse, SeenCertificate, SeenObject,
};

fn listed(row: &ObjectRow) -> ListedObject {
    ListedObject {
        id: row.id,
        adapter: row.adapter,
        object_type: row.object_type,
        revision: row.revision,
        metadata: row.metadata.clone(),
        destroyed: row.destroyed,
        due_at: row.due_at,
        sealed_under: row.sealed.as_ref().map(|sealed| (sealed.root, sealed.version)),
        held_until: None,
        seen: None,
    }
}

fn used(at: i64, number: u8) -> ObjectUse {
    ObjectUse { at, certificate: Fingerprint([number; 32]) }
}

fn seen(adapter: AdapterId, number: u8, at: i64) -> SeenCertificate {
    SeenCertificate {
        fingerprint: Fingerprint([number; 32]),
        adapter,
        subject: format!("CN={number}"),
        expires_at: Some(1_900_000_000),
        at,
        address: format!("192.0.2.{at}"),
    }
}

/// What a search in several adapters finds.
fn newest(
    store: &Store,
    searches: &[(AdapterId, &Search)],
    made: Option<DateRange>,
    after: Option<ObjectId>,
    limit: usize,
) -> Vec<ListedObject> {
    let searches = searches.iter().map(|(adapter, search)| (*adapter, (*search).clone())).collect();
    let mut found = Vec::new();
    let visit = |candidate| {
        if let Candidate::Found(listed) = candidate {
            found.push(listed);
        }
        if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    store.each_newest(&Newest { searches, made, after, hurry_from: None }, visit).unwrap();
    found
}

#[test]
fn what_several_adapters_have_is_merged_in_the_order_of_creation() {
    let fixture = Fixture::new();
    let adapters = [fixture.adapter, add_adapter(&fixture.store, "second"), add_adapter(&fixture.store, "third")];
    let mut rows = Vec::new();
    for number in 0..30_u32 {
        let row = new_row(adapters[(number as usize * 7) % 3]);
        let index = IndexEntries {
            dates: vec![DateEntry { field: 1, seconds: i64::from(number) * 5_000 }],
            ..terms(&[u64::from(number % 2), 100 + u64::from(number)])
        };
        fixture.store.apply(vec![Change::Insert { row: row.clone(), index }]).unwrap();
        rows.push(row);
    }
    let gone = destroyed(&rows[29]);
    fixture.update(&gone, None).unwrap();
    let ids = |found: Vec<ListedObject>| found.into_iter().map(|listed| listed.id).collect::<Vec<_>>();
    let expected = |wanted: &dyn Fn(usize) -> bool| -> Vec<ObjectId> {
        (0..30).rev().filter(|number| wanted(*number)).map(|number| rows[number].id).collect()
    };
    let all = Search { live: true, destroyed: true, newest_first: true, ..Search::default() };
    fn everywhere(adapters: [AdapterId; 3], search: &Search) -> [(AdapterId, &Search); 3] {
        adapters.map(|adapter| (adapter, search))
    }
    let found = |search: &Search| ids(newest(&fixture.store, &everywhere(adapters, search), None, None, 100));
    assert_eq!(found(&all), expected(&|_| true));
    let live = Search { destroyed: false, ..all.clone() };
    assert_eq!(found(&live), expected(&|number| number < 29));
    let even = Search { terms: vec![term(0)], ..all.clone() };
    assert_eq!(found(&even), expected(&|number| number % 2 == 0));
    let one = Search { terms: vec![term(0), term(112)], ..all.clone() };
    assert_eq!(found(&one), [rows[12].id]);
    assert_eq!(found(&Search { terms: vec![term(1), term(112)], ..all.clone() }), []);
    // Different adapters may be searched in different ways, and not all of them need be.
    let some = newest(&fixture.store, &[(adapters[0], &even), (adapters[1], &all)], None, None, 100);
    let owner = |number: usize| (number * 7) % 3;
    assert_eq!(ids(some), expected(&|number| owner(number) == 1 || (owner(number) == 0 && number % 2 == 0)));
    // Page by page.
    let (mut after, mut joined) = (None, Vec::new());
    while joined.len() < 30 {
        let page = ids(newest(&fixture.store, &everywhere(adapters, &all), None, after, 7));
        after = page.last().copied();
        joined.extend(page);
    }
    assert_eq!(joined, expected(&|_| true));
    // The date of creation narrows where it is looked, give or take an hour.
    let made = DateRange { field: 1, from: 50_000, to: 75_000 };
    let narrowed = ids(newest(&fixture.store, &everywhere(adapters, &all), Some(made), None, 100));
    assert!(narrowed.starts_with(&[rows[15].id]) && narrowed.ends_with(&[rows[10].id]), "{narrowed:?}");
    let never = DateRange { field: 1, from: 9_000_000, to: i64::MAX };
    assert_eq!(newest(&fixture.store, &everywhere(adapters, &all), Some(never), None, 100), []);
    assert_eq!(newest(&fixture.store, &everywhere(adapters, &all), None, Some(ObjectId(Uuid::now_v7())), 100), []);

    assert_eq!(fixture.store.count_term(adapters[0], term(0)).unwrap(), 5);
    assert_eq!(fixture.store.count_term(adapters[0], term(129)).unwrap(), u64::from(owner(29) == 0));
    assert_eq!(fixture.store.count_term(AdapterId(Uuid::new_v4()), term(0)).unwrap(), 0);
}

#[test]
fn behind_another_adapters_object_is_nothing_as_behind_none() {
    let fixture = Fixture::new();
    let other = add_adapter(&fixture.store, "other");
    let own = fixture.insert(terms(&[1]));
    let foreign = new_row(other);
    fixture.store.apply(vec![Change::Insert { row: foreign.clone(), index: terms(&[1]) }]).unwrap();
    let all = Search { live: true, destroyed: true, newest_first: true, ..Search::default() };
    let ids = |searches: &[(AdapterId, &Search)], after| -> Vec<ObjectId> {
        newest(&fixture.store, searches, None, after, 10).into_iter().map(|listed| listed.id).collect()
    };
    assert_eq!(ids(&[(fixture.adapter, &all)], None), [own.id]);
    assert_eq!(ids(&[(fixture.adapter, &all)], Some(foreign.id)), []);
    assert_eq!(ids(&[(fixture.adapter, &all), (other, &all)], Some(foreign.id)), [own.id]);
}

#[test]
fn conditions_without_an_object_in_common_are_looked_at_one_object_at_a_time() {
    let fixture = Fixture::new();
    // Both conditions are so frequent that nobody counts them to their end.
    let rows: Vec<ObjectRow> = (0..4000).map(|_| new_row(fixture.adapter)).collect();
    let insert = |(number, row): (usize, &ObjectRow)| Change::Insert {
        row: row.clone(),
        index: terms(&[7, 1 + u64::from(number % 2 == 0)]),
    };
    fixture.store.apply(rows.iter().enumerate().map(insert).collect()).unwrap();
    let search = |wanted: &[u64]| Search {
        terms: wanted.iter().map(|number| term(*number)).collect(),
        live: true,
        newest_first: true,
        ..Search::default()
    };
    for hurry_from in [None, Some(Instant::now())] {
        let passed_over = |after, most: usize| {
            let mut passed_over = Vec::new();
            let searches = vec![(fixture.adapter, search(&[1, 2]))];
            let visit = |candidate| match candidate {
                Candidate::Found(found) => panic!("{found:?}"),
                Candidate::PassedOver(id) => {
                    passed_over.push(id);
                    if passed_over.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                }
            };
            fixture.store.each_newest(&Newest { searches, made: None, after, hurry_from }, visit).unwrap();
            passed_over
        };
        let first = passed_over(None, 5);
        assert_eq!(first.len(), 5, "whoever looks may stop at each");
        let rest = passed_over(first.last().copied(), usize::MAX);
        assert_eq!(rest.len(), 1995);
        assert!(first.iter().chain(&rest).rev().is_sorted());
        // What has both is found all the same.
        let mut found = 0;
        let searches = vec![(fixture.adapter, search(&[7, 1]))];
        let visit = |candidate| {
            found += usize::from(matches!(candidate, Candidate::Found(_)));
            ControlFlow::Continue(())
        };
        fixture.store.each_newest(&Newest { searches, made: None, after: None, hurry_from }, visit).unwrap();
        assert_eq!(found, 2000);
    }
}

#[test]
fn objects_are_found_by_the_beginning_of_their_identifiers() {
    let fixture = Fixture::new();
    let other = add_adapter(&fixture.store, "other");
    let id = |number: u128| ObjectId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number));
    for number in [5, 1, 3, 0x100] {
        let adapter = if number == 3 { other } else { fixture.adapter };
        let row = ObjectRow { id: id(number), ..new_row(adapter) };
        fixture.store.apply(vec![Change::Insert { row, index: IndexEntries::default() }]).unwrap();
    }
    let found = |range, after, limit: usize| {
        let mut found = Vec::new();
        let visit = |listed: ListedObject| {
            found.push(listed.id);
            if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        fixture.store.each_identified(range, after, visit).unwrap();
        found
    };
    assert_eq!(found((id(0), id(0xff)), None, 100), [id(5), id(3), id(1)]);
    assert_eq!(found((id(0), id(0xff)), None, 2), [id(5), id(3)]);
    assert_eq!(found((id(0), id(0xff)), Some(id(3)), 2), [id(1)]);
    assert_eq!(found((id(0x100), id(0x100)), None, 100), [id(0x100)]);
    assert_eq!(found((id(0), id(0)), None, 100), []);
    assert_eq!(found((id(1), id(5)), Some(id(1)), 100), []);
}

#[test]
fn a_page_lists_what_a_search_finds_without_what_is_sealed() {
    let fixture = Fixture::new();
    let other = add_adapter(&fixture.store, "other");
    let rows: Vec<ObjectRow> = (0..10).map(|number| fixture.insert(terms(&[number % 2]))).collect();
    let others = new_row(other);
    fixture.store.apply(vec![Change::Insert { row: others.clone(), index: terms(&[1]) }]).unwrap();
    let gone = destroyed(&rows[9]);
    fixture.update(&gone, None).unwrap();
    let everything = Search { live: true, destroyed: true, newest_first: true, ..Search::default() };
    let page = |adapter, search: &Search, after: Option<&ObjectRow>, limit| {
        newest(&fixture.store, &[(adapter, search)], None, after.map(|row| row.id), limit)
    };
    let expected: Vec<ListedObject> = rows[..9].iter().chain([&gone]).rev().map(listed).collect();
    assert_eq!(page(fixture.adapter, &everything, None, 100), expected);
    let odd = Search { terms: vec![term(1)], ..everything.clone() };
    assert_eq!(page(fixture.adapter, &odd, None, 2), [expected[0].clone(), expected[2].clone()]);
    assert_eq!(page(fixture.adapter, &everything, Some(&rows[7]), 2), expected[3..5]);
    assert_eq!(page(AdapterId(Uuid::new_v4()), &everything, None, 100), []);
    assert_eq!(fixture.store.listed_object(others.id).unwrap(), Some(listed(&others)));
    assert_eq!(fixture.store.listed_object(ObjectId(Uuid::now_v7())).unwrap(), None);
}

#[test]
fn damaged_sealed_content_is_not_read_for_a_page() {
    let fixture = Fixture::new();
    let row = fixture.insert(terms(&[1]));
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    // Were it read, this would be an error: it is not even of the right length.
    connection.execute_batch("PRAGMA ignore_check_constraints = 1; UPDATE kek SET wrapped = x'00'").unwrap();
    assert_eq!(fixture.store.listed_object(row.id).unwrap(), Some(listed(&row)));
}

#[test]
fn counts_follow_every_change() {
    let fixture = Fixture::new();
    let other = add_adapter(&fixture.store, "other");
    let check = |live, destroyed| {
        let expected = ObjectCount { live, destroyed };
        assert_eq!(fixture.store.count(fixture.adapter).unwrap(), expected);
        let all = [(fixture.adapter, expected), (other, ObjectCount::default())];
        assert_eq!(fixture.store.counts().unwrap(), all);
    };
    check(0, 0);
    let rows: Vec<ObjectRow> = (0..4).map(|number| fixture.insert(named(number))).collect();
    check(4, 0);
    let born_destroyed = ObjectRow { sealed: None, destroyed: true, ..new_row(fixture.adapter) };
    fixture.store.apply(vec![Change::Insert { row: born_destroyed, index: terms(&[9]) }]).unwrap();
    check(4, 1);
    fixture.update(&next(&rows[0]), None).unwrap();
    check(4, 1);
    fixture.update(&destroyed(&rows[1]), None).unwrap();
    check(3, 2);
    let hold = |row: &ObjectRow| Change::Hold { row: destroyed(row), index: None, until: 50 };
    fixture.store.apply(vec![hold(&rows[2]), hold(&rows[3])]).unwrap();
    check(1, 4);
    fixture.store.recover_held(rows[2].id, 10).unwrap();
    check(2, 3);
    fixture.store.release_hold(rows[3].id, 50).unwrap();
    check(2, 3);
    // What is refused counts for nothing, alone or behind what was written.
    let taken = Change::Insert { row: new_row(fixture.adapter), index: named(0) };
    let fine = Change::Insert { row: new_row(fixture.adapter), index: named(70) };
    assert!(fixture.store.apply(vec![fine, taken]).is_err());
    assert!(fixture.update(&destroyed(&rows[1]), None).is_err());
    check(2, 3);
    assert_eq!(fixture.store.count(AdapterId(Uuid::new_v4())).unwrap(), ObjectCount::default());
}

#[test]
fn the_last_use_of_objects_moves_forward_only() {
    let fixture = Fixture::new();
    let (first, second) = (fixture.insert(named(1)), fixture.insert(named(2)));
    let generation = fixture.store.trust_generation().unwrap();
    let use_of = |row: &ObjectRow, seen| SeenObject { object: row.id, seen };
    let unknown = new_row(fixture.adapter);
    fixture
        .store
        .see_objects(vec![use_of(&first, used(10, 1)), use_of(&unknown, used(11, 1)), use_of(&first, used(9, 2))])
        .unwrap();
    fixture.store.see_objects(Vec::new()).unwrap();
    let last_use = |row: &ObjectRow| fixture.store.listed_object(row.id).unwrap().unwrap().seen;
    assert_eq!(last_use(&first), Some(used(10, 1)));
    assert_eq!(last_use(&second), None);
    fixture.store.see_objects(vec![use_of(&first, used(12, 2))]).unwrap();
    assert_eq!(last_use(&first), Some(used(12, 2)));
    assert_eq!(fixture.object(first.id), Some(first), "the object itself is as it was");
    assert_eq!(fixture.store.trust_generation().unwrap(), generation);
}

#[test]
fn the_last_use_of_certificates_moves_forward_only_and_is_no_change_of_trust() {
    let fixture = Fixture::new();
    let other = add_adapter(&fixture.store, "other");
    let generation = fixture.store.trust_generation().unwrap();
    let nowhere = AdapterId(Uuid::new_v4());
    fixture
        .store
        .see_certificates(vec![
            seen(fixture.adapter, 1, 10),
            seen(fixture.adapter, 2, 11),
            seen(other, 1, 12),
            seen(nowhere, 1, 13),
            seen(fixture.adapter, 2, 9),
        ])
        .unwrap();
    fixture.store.see_certificates(Vec::new()).unwrap();
    let all = [seen(other, 1, 12), seen(fixture.adapter, 2, 11), seen(fixture.adapter, 1, 10)];
    assert_eq!(fixture.store.certificates_seen(None).unwrap(), all);
    assert_eq!(fixture.store.certificates_seen(Some(fixture.adapter)).unwrap(), all[1..]);
    assert_eq!(fixture.store.certificates_seen(Some(nowhere)).unwrap(), []);
    fixture.store.see_certificates(vec![seen(fixture.adapter, 1, 14)]).unwrap();
    assert_eq!(fixture.store.certificates_seen(None).unwrap()[0], seen(fixture.adapter, 1, 14));
    assert_eq!(fixture.store.trust_generation().unwrap(), generation);
}

#[test]
fn of_more_certificates_than_are_remembered_those_seen_longest_ago_are_forgotten() {
    let fixture = Fixture::new();
    let numbered = |number: u32| {
        let mut fingerprint = [0; 32];
        fingerprint[..4].copy_from_slice(&number.to_be_bytes());
        let (fingerprint, at) = (Fingerprint(fingerprint), i64::from(number));
        SeenCertificate { fingerprint, at, ..seen(fixture.adapter, 0, 0) }
    };
    fixture.store.see_certificates((0..2000).map(numbered).collect()).unwrap();
    assert_eq!(fixture.store.certificates_seen(None).unwrap().len(), 2000);
    fixture.store.see_certificates((2000..2010).map(numbered).collect()).unwrap();
    let remembered = fixture.store.certificates_seen(None).unwrap();
    assert_eq!((remembered.len(), remembered[0].at, remembered[1999].at), (2000, 2009, 10));
}
