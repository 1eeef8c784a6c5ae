//! Objects as administrators see them, counts, and who was seen.

use super::*;
use crate::store::{Fingerprint, ListedObject, ObjectCount, ObjectUse, SeenCertificate, SeenObject};

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

#[test]
fn a_page_lists_what_a_search_finds_without_what_is_sealed() {
    let fixture = Fixture::new();
    let other = add_adapter(&fixture.store, "other");
    let rows: Vec<ObjectRow> = (0..10).map(|number| fixture.insert(terms(&[number % 2]))).collect();
    let others = new_row(other);
    fixture.store.apply(vec![Change::Insert { row: others.clone(), index: terms(&[1]) }]).unwrap();
    let gone = destroyed(&rows[9]);
    fixture.update(&gone, None).unwrap();
    let page = |search: &Search| fixture.store.objects_page(fixture.adapter, search).unwrap();
    let everything = Search { live: true, destroyed: true, limit: 100, ..Search::default() };
    let expected: Vec<ListedObject> = rows[..9].iter().chain([&gone]).map(listed).collect();
    assert_eq!(page(&everything), expected);
    assert_eq!(
        page(&Search { terms: vec![term(1)], limit: 2, ..everything.clone() }),
        [expected[1].clone(), expected[3].clone()]
    );
    let after = Search { after: Some(rows[7].id), newest_first: true, limit: 2, ..everything.clone() };
    assert_eq!(page(&after), [expected[6].clone(), expected[5].clone()]);
    assert_eq!(fixture.store.objects_page(AdapterId(Uuid::new_v4()), &everything).unwrap(), []);
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
