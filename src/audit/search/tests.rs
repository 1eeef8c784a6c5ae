use std::path::PathBuf;

use tempfile::TempDir;

use super::{
    super::{
        Actor, AdminEvent, Audit, Event, Identity, Name, Options, Outcome, RequestEvent, Subject, SyncPolicy, Via,
    },
    *,
};
use crate::store::{Fingerprint, ObjectId};

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn request(number: u128) -> Event {
    Event::Request(RequestEvent {
        adapter: AdapterId(id(number % 3)),
        certificate: Fingerprint([1; 32]),
        peer: ([127, 0, 0, 1], 1).into(),
        operation: if number.is_multiple_of(2) { "Get" } else { "GetAttributes" },
        object: Some(ObjectId(id(1000 + number))),
        outcome: if number.is_multiple_of(5) { Outcome::Failed("ItemNotFound") } else { Outcome::Success },
        correlation: id(number),
        version: None,
    })
}

fn admin(number: u128) -> Event {
    let identity = Identity { id: id(500), name: Name::new("op"), via: Via::Session(id(1)) };
    Event::Admin(AdminEvent {
        actor: if number.is_multiple_of(2) { Actor::Server } else { Actor::Identity(identity) },
        peer: None,
        action: "adapter.create",
        subject: Subject { identity: (number == 4).then(|| id(500)), ..Subject::default() },
        outcome: Outcome::Denied("kmip-management.create"),
        correlation: id(number),
    })
}

/// A log of several segments: 200 requests, every tenth followed by an administrative action.
fn log() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("audit.jsonl");
    let audit = Audit::open_with(&path, Options { sync: SyncPolicy::Interval, ..Options::default() }).unwrap();
    for number in 0..200 {
        audit.append(&[request(number)]).unwrap();
        if number % 10 == 9 {
            audit.append(&[admin(number / 10)]).unwrap();
        }
        if number % 60 == 59 {
            audit.reopen().unwrap();
        }
    }
    (folder, path)
}

fn all(path: &Path, query: &Query, limit: usize) -> Vec<Record> {
    let mut records = Vec::new();
    let mut token = None;
    loop {
        let page = search(path, query, limit, token.as_deref()).unwrap();
        assert!(page.records.len() <= limit);
        records.extend(page.records);
        token = page.next;
        if token.is_none() {
            return records;
        }
    }
}

#[test]
fn pages_give_everything_once_newest_first() {
    let (_folder, path) = log();
    for limit in [1, 7, 64, 1000] {
        let found = all(&path, &Query::default(), limit);
        assert_eq!(found.len(), 220, "{limit}");
        assert!(found.windows(2).all(|pair| pair[0].sequence > pair[1].sequence));
    }
}

#[test]
fn every_filter_finds_what_it_says() {
    let (_folder, path) = log();
    let count = |query: Query| all(&path, &query, 13).len();
    let none = Query::default;
    assert_eq!(count(Query { adapter: Some(AdapterId(id(1))), ..none() }), 67);
    assert_eq!(count(Query { object: Some(id(1007)), ..none() }), 1);
    assert_eq!(count(Query { object: Some(id(7)), ..none() }), 0, "an object is not an adapter");
    assert_eq!(count(Query { action: Some("Get".to_owned()), ..none() }), 100);
    assert_eq!(count(Query { action: Some("Get*".to_owned()), ..none() }), 200);
    assert_eq!(count(Query { outcome: Some("success".to_owned()), ..none() }), 160);
    assert_eq!(count(Query { outcome: Some("failure".to_owned()), ..none() }), 60);
    assert_eq!(count(Query { outcome: Some("denied".to_owned()), ..none() }), 20);
    assert_eq!(count(Query { outcome: Some("ItemNotFound".to_owned()), ..none() }), 40);
    assert_eq!(count(Query { outcome: Some("begun".to_owned()), ..none() }), 0);
    assert_eq!(count(Query { outcome: Some("ended".to_owned()), ..none() }), 220);
    assert_eq!(count(Query { approval: Some(id(1007)), ..none() }), 0, "an object is no request");
    assert_eq!(count(Query { actor: Some("server".to_owned()), ..none() }), 10);
    assert_eq!(count(Query { actor: Some("op".to_owned()), ..none() }), 10);
    assert_eq!(count(Query { identity: Some(id(500)), ..none() }), 11);
    assert_eq!(count(Query { correlation: Some(id(199).to_string()), ..none() }), 1);
    assert_eq!(count(Query { scope: Some(vec![AdapterId(id(1)), AdapterId(id(2))]), ..none() }), 133);
    assert_eq!(count(Query { scope: Some(Vec::new()), ..none() }), 0);
    let now = Timestamp::now();
    assert_eq!(count(Query { until: Some(now), ..none() }), 220);
    assert_eq!(count(Query { since: Some(now + SignedDuration::from_hours(2)), ..none() }), 0);
    let middle = all(&path, &none(), 1000)[100].clone();
    let (before, after) = (Query { until: Some(middle.time), ..none() }, Query { since: Some(middle.time), ..none() });
    assert_eq!(count(before) + count(after), 220);
}

#[test]
fn a_page_goes_on_where_it_was_though_the_segment_was_sealed_and_more_was_written() {
    let (_folder, path) = log();
    let first = search(&path, &Query::default(), 10, None).unwrap();
    let audit = Audit::open(&path).unwrap();
    audit.reopen().unwrap();
    audit.append(&[request(1)]).unwrap();
    let second = search(&path, &Query::default(), 1000, first.next.as_deref()).unwrap();
    assert_eq!(second.records.len(), 210);
    assert!(second.records[0].sequence < first.records[9].sequence);
}

#[test]
fn a_token_that_is_none_is_refused_and_a_forged_one_shows_no_more() {
    let (_folder, path) = log();
    for token in ["", "x", "é", &"A".repeat(10_000), &Base64UrlUnpadded::encode_string(b"2.1.1.1")] {
        assert!(matches!(search(&path, &Query::default(), 1, Some(token)), Err(SearchError::BadToken)), "{token}");
    }
    let scope = Query { scope: Some(vec![AdapterId(id(1))]), ..Query::default() };
    for at in [0, 1, 77, 5000, u64::MAX] {
        let token = Token { before: u64::MAX, first: 1, at }.encode();
        let page = search(&path, &scope, 1000, Some(&token)).unwrap();
        assert!(page.records.iter().all(|record| record.adapter == Some(id(1))));
    }
}

#[test]
fn an_export_gives_the_lines_as_they_are_oldest_first() {
    let (_folder, path) = log();
    let mut sequences = Vec::new();
    let query = Query { action: Some("adapter.*".to_owned()), ..Query::default() };
    export(&path, &query, |line, record| {
        assert!(Head::of_whole(line).is_some());
        sequences.push(record.sequence);
        sequences.len() < 5
    })
    .unwrap();
    assert_eq!(sequences.len(), 5);
    assert!(sequences.is_sorted());
}
