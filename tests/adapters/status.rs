//! Why an adapter's clients are refused, as operators see it.

use keystead::{
    engine::{AdapterStatus, adapter_status},
    store::{AdapterId, Loss, RootKeyState},
};
use kmip::enums::{ResultReason, State};
use uuid::Uuid;

use crate::harness::{
    ask::*,
    engine::{START, TestServer},
};

fn status(server: &TestServer, adapter: AdapterId) -> Option<AdapterStatus> {
    server.trust.refresh_now().unwrap();
    adapter_status(&server.store, &server.trust.current(), adapter).unwrap()
}

#[test]
fn a_status_follows_the_root_key_and_the_end_of_the_adapter() {
    let server = TestServer::new();
    let adapter = server.alice().peer.adapter;
    let root = server.root_key().id;
    assert_eq!(status(&server, adapter), Some(AdapterStatus::Active));
    server.store.set_root_key_state(root, RootKeyState::Suspended, server.now()).unwrap();
    assert_eq!(status(&server, adapter), Some(AdapterStatus::RootKeySuspended));
    server.store.set_root_key_state(root, RootKeyState::Active, server.now()).unwrap();
    assert_eq!(status(&server, adapter), Some(AdapterStatus::Active));
    server.store.shred(root, server.now(), "{}".to_owned()).unwrap();
    assert_eq!(status(&server, adapter), Some(AdapterStatus::RootKeyDestroyed { at: START }));
    let row = server.store.adapter(adapter).unwrap().unwrap();
    server.store.delete_adapter(adapter, row.revision, Loss::ANY, server.now()).unwrap();
    assert_eq!(status(&server, adapter), Some(AdapterStatus::Deleting));
    while !server.store.empty_deleted_adapter(adapter, 10).unwrap().is_empty() {}
    assert_eq!(status(&server, adapter), None);
    assert_eq!(status(&server, AdapterId(Uuid::new_v4())), None);
}

#[test]
fn under_a_destroyed_root_key_clients_still_find_and_destroy() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    server.store.shred(server.root_key().id, server.now(), "{}".to_owned()).unwrap();
    assert!(matches!(status(&server, alice.peer.adapter), Some(AdapterStatus::RootKeyDestroyed { .. })));
    assert_eq!(alice.refused(get(&id)), ResultReason::ItemNotFound);
    assert_eq!(alice.find(locate([])), std::slice::from_ref(&id));
    alice.ask(destroy(&id)).unwrap();
    assert_eq!(alice.state(&id), State::Destroyed);
}
