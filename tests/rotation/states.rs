//! Suspended and destroyed root keys, and versions that change under a request.

use keystead::store::{KekCount, RootKeyState};
use kmip::{
    client::{Refusal, RequestBuilder},
    enums::{BatchErrorContinuationOption, ResultReason, RevocationReasonCode, State},
    payloads::Request,
    version::Version,
};

use crate::harness::{
    ask::*,
    create_aes,
    engine::{TestServer, User, logged},
    name,
};

fn set_state(server: &TestServer, state: RootKeyState) {
    server.store.set_root_key_state(server.root_key().id, state, server.now()).unwrap();
    server.trust.refresh_now().unwrap();
}

fn destroy_root_key(server: &TestServer) {
    server.store.shred(server.root_key().id, server.now(), "{}".to_owned()).unwrap();
}

fn refusal(user: &User, request: impl Into<Request>) -> Refusal {
    user.ask(request).expect_err("it is refused")
}

/// What needs no root key, done with a key that nobody needs any more.
fn the_rest_goes_on(alice: &User, id: &str) {
    assert_eq!(alice.state(id), State::PreActive);
    assert_eq!(alice.find(locate([name(id)])), Vec::<String>::new());
    assert!(alice.find(locate([])).iter().any(|found| found == id));
    alice.ask(activate(id)).unwrap();
    alice.ask(add(id, custom_text("x-note", "still here"))).unwrap();
    alice.ask(revoke(id, RevocationReasonCode::CessationOfOperation)).unwrap();
    alice.ask(destroy(id)).unwrap();
    assert_eq!(alice.state(id), State::Destroyed);
}

#[test]
fn under_a_suspended_root_key_nothing_is_sealed_or_opened_and_the_rest_goes_on() {
    let server = TestServer::new();
    let alice = server.alice();
    let [kept, spare] = [alice.create_aes(256), alice.create_aes(128)];
    let bytes = alice.material(&kept);
    set_state(&server, RootKeyState::Suspended);
    let sealing: [Request; 3] = [get(&kept).into(), create_aes(256, []).into(), register_aes(&[7; 16], []).into()];
    for request in sealing {
        let (refused, log) = logged(|| refusal(&alice, request));
        assert_eq!(refused.reason, Some(ResultReason::PermissionDenied));
        let message = refused.message.unwrap_or_default();
        assert!(message.contains("suspended") && message.contains("an operator must resume it"), "{message}");
        assert_eq!(log, "", "it is what the operator wanted");
    }
    the_rest_goes_on(&alice, &spare);
    set_state(&server, RootKeyState::Active);
    assert_eq!(alice.material(&kept), bytes);
    alice.create_aes(256);
}

#[test]
fn a_root_key_suspended_a_moment_ago_seals_nothing_more() {
    let server = TestServer::new();
    let alice = server.alice();
    alice.create_aes(256);
    // The engine has not been told.
    server.store.set_root_key_state(server.root_key().id, RootKeyState::Suspended, server.now()).unwrap();
    assert_eq!(alice.refused(create_aes(256, [])), ResultReason::PermissionDenied);
    assert_eq!(alice.find(locate([])).len(), 1);
}

#[test]
fn what_a_destroyed_root_key_protected_is_said_to_be_lost_and_its_attributes_remain() {
    let server = TestServer::new();
    let alice = server.alice();
    let [lost, spare] = [alice.create_aes(256), alice.create_aes(128)];
    destroy_root_key(&server);
    for (version, reason) in [(Version::V1_4, ResultReason::ItemNotFound), (Version::V1_0, ResultReason::ItemNotFound)]
    {
        let refused = refusal(&alice.speaking(version), get(&lost));
        assert_eq!(refused.reason, Some(reason));
        let message = refused.message.unwrap_or_default();
        let said =
            "the root key that protected this object was destroyed on 2026-01-01; its key material cannot be recovered";
        assert_eq!(message, said);
    }
    let refused = refusal(&alice, create_aes(256, []));
    assert_eq!(refused.reason, Some(ResultReason::PermissionDenied));
    assert!(refused.message.unwrap_or_default().contains("destroyed on 2026-01-01"));
    the_rest_goes_on(&alice, &spare);
    assert_eq!(alice.state(&lost), State::PreActive);
    assert_eq!(server.store.kek_counts().unwrap(), []);
}

#[test]
fn a_new_object_goes_under_the_version_that_is_current_when_it_is_stored() {
    let server = TestServer::new();
    let alice = server.alice();
    alice.create_aes(256);
    // The engine has not been told of the new version: the store refuses what it seals first.
    server.new_version();
    let id = alice.create_aes(256);
    assert_eq!(alice.material(&id).len(), 32);
    let root = server.root_key().id;
    let count = |version| KekCount { root, version, keks: 1 };
    assert_eq!(server.store.kek_counts().unwrap(), [count(1), count(2)]);
}

#[test]
fn a_batch_that_is_done_whole_or_not_at_all_goes_under_the_current_version_too() {
    let server = TestServer::new();
    let alice = server.alice();
    let first = alice.create_aes(256);
    let batch = || {
        RequestBuilder::new(Version::V1_4)
            .on_error(BatchErrorContinuationOption::Undo)
            .item(activate(&first))
            .item(create_aes(256, []))
            .item(create_aes(128, []))
    };
    server.new_version();
    assert!(alice.send(batch()).iter().all(Result::is_ok));
    let versions: Vec<_> = server.store.kek_counts().unwrap().iter().map(|count| (count.version, count.keks)).collect();
    assert_eq!(versions, [(1, 1), (2, 2)]);
    set_state(&server, RootKeyState::Suspended);
    let again = [activate(&alice_spare(&server)).into(), Request::from(create_aes(256, []))];
    let request = again
        .into_iter()
        .fold(RequestBuilder::new(Version::V1_4).on_error(BatchErrorContinuationOption::Undo), RequestBuilder::item);
    assert!(alice.send(request).iter().all(Result::is_err));
}

/// A PreActive object of Alice.
fn alice_spare(server: &TestServer) -> String {
    let alice = server.alice();
    alice.find(locate([])).into_iter().find(|id| alice.state(id) == State::PreActive).expect("there is one")
}
