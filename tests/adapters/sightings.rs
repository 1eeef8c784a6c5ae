//! When certificates connected and who fetched which object last.

use std::{net::SocketAddr, time::Duration};

use keystead::{
    net::{Handler as _, PeerIdentity},
    store::{Fingerprint, ObjectId, ObjectUse, StoreError},
    trust::ShownCertificate,
};
use kmip::{client::RequestBuilder, enums::BatchErrorContinuationOption, version::Version};
use uuid::Uuid;

use crate::harness::{
    ask::*,
    engine::{START, TestServer, User},
};

fn object(id: &str) -> ObjectId {
    ObjectId(Uuid::parse_str(id).unwrap())
}

fn last_use(server: &TestServer, id: &str) -> Option<ObjectUse> {
    server.engine.sightings().write(&server.store).unwrap();
    server.store.listed_object(object(id)).unwrap().unwrap().seen
}

fn shown(subject: &str) -> ShownCertificate {
    ShownCertificate { subject: subject.into(), expires_at: START + 1000 }
}

fn from(user: &User, address: &str) -> PeerIdentity {
    PeerIdentity { address: SocketAddr::new(address.parse().unwrap(), 40_000), ..user.peer.clone() }
}

#[test]
fn the_last_get_counts_and_nothing_else() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    alice.ask(activate(&id)).unwrap();
    alice.attributes(&id, &[]).unwrap();
    alice.find(locate([]));
    assert_eq!(last_use(&server, &id), None);
    server.pass(5);
    alice.material(&id);
    let first = ObjectUse { at: START + 5, certificate: alice.peer.certificate };
    assert_eq!(last_use(&server, &id), Some(first));
    // Another adapter's attempt is not a use.
    server.pass(5);
    server.bob().refused(get(&id));
    assert_eq!(last_use(&server, &id), Some(first));
    // The same adapter with another certificate.
    let mut other = alice.clone();
    other.peer.certificate = Fingerprint([9; 32]);
    other.material(&id);
    alice.refused(get("nobody"));
    assert_eq!(last_use(&server, &id), Some(ObjectUse { at: START + 10, certificate: Fingerprint([9; 32]) }));
}

#[test]
fn a_get_that_its_batch_takes_back_is_none() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    let batch = |second: &str| {
        RequestBuilder::new(Version::V1_4)
            .on_error(BatchErrorContinuationOption::Undo)
            .item(get(&id))
            .item(activate(second))
    };
    assert!(alice.send(batch("nobody")).iter().all(Result::is_err));
    assert_eq!(last_use(&server, &id), None);
    assert!(alice.send(batch(&id)).iter().all(Result::is_ok));
    assert!(last_use(&server, &id).is_some());
}

#[test]
fn a_certificate_is_seen_when_it_connects_and_with_every_request() {
    let server = TestServer::new();
    let alice = server.alice();
    let adapter = alice.peer.adapter;
    let seen = || {
        server.engine.sightings().write(&server.store).unwrap();
        server.store.certificates_seen(Some(adapter)).unwrap()
    };
    // What never connected was never seen, as a request without a connection shows.
    alice.create_aes(256);
    assert_eq!(seen(), []);
    server.engine.connected(&from(&alice, "::ffff:192.0.2.7"), &shown("CN=vcenter"));
    let found = seen();
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((one.fingerprint, one.at, one.address.as_str()), (alice.peer.certificate, START, "192.0.2.7"));
    assert_eq!((one.subject.as_str(), one.expires_at), ("CN=vcenter", Some(START + 1000)));
    server.pass(60);
    alice.create_aes(256);
    assert_eq!(seen()[0].at, START + 60);
    // From elsewhere within the same second.
    server.engine.connected(&from(&alice, "2001:db8::1"), &shown("CN=vcenter"));
    assert_eq!((seen()[0].at, seen()[0].address.as_str()), (START + 60, "2001:db8::1"));
    assert_eq!(server.store.certificates_seen(Some(server.bob().peer.adapter)).unwrap(), []);
}

#[test]
fn what_finds_no_room_is_dropped_and_the_rest_is_kept() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    let mut peer = alice.peer.clone();
    for number in 0..10_000_u32 {
        peer.certificate.0[..4].copy_from_slice(&number.to_be_bytes());
        // The last byte is the same: one part of the memory gets all of them.
        server.engine.connected(&peer, &shown("CN=many"));
    }
    alice.material(&id);
    assert!(last_use(&server, &id).is_some());
    let seen = server.store.certificates_seen(None).unwrap().len();
    assert!((1..=256).contains(&seen), "{seen}");
    // What is written makes room.
    server.engine.connected(&from(&server.bob(), "192.0.2.8"), &shown("CN=bob"));
    server.engine.sightings().write(&server.store).unwrap();
    assert_eq!(server.store.certificates_seen(Some(server.bob().peer.adapter)).unwrap().len(), 1);
}

#[test]
fn the_end_writes_what_is_left() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    let writing = server.engine.sightings().follow(&server.store).unwrap();
    alice.material(&id);
    writing.end(Duration::from_secs(20));
    assert!(server.store.listed_object(object(&id)).unwrap().unwrap().seen.is_some());
}

#[test]
fn notes_that_cannot_be_written_are_kept() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    alice.material(&id);
    let other = server.database();
    // Another process keeps the database to itself for longer than the store waits.
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let failed = server.engine.sightings().write(&server.store);
    assert!(matches!(failed, Err(StoreError::Overloaded)), "{failed:?}");
    other.execute_batch("ROLLBACK").unwrap();
    assert!(last_use(&server, &id).is_some());
}
