//! The life of objects: states, dates, attributes, as clients of one and of two adapters see them.

use kmip::{
    enums::{ResultReason, RevocationReasonCode, State},
    payloads::{ActivateRequest, DestroyRequest},
};

use crate::harness::{ask::*, engine::TestServer};

mod attributes;
mod batches;
mod search;
mod state_table;

#[test]
fn a_key_is_created_activated_revoked_and_destroyed() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    let target = || Some(id.clone());
    assert_eq!(alice.state(&id), State::PreActive);
    assert!(alice.ask(get(&id)).is_ok(), "a pre-active key is handed out");
    alice.ask(ActivateRequest { unique_identifier: target() }).unwrap();
    assert_eq!(alice.state(&id), State::Active);
    assert_eq!(alice.refused(DestroyRequest { unique_identifier: target() }), ResultReason::PermissionDenied);
    alice.ask(revoke(&id, RevocationReasonCode::CessationOfOperation)).unwrap();
    assert_eq!(alice.state(&id), State::Deactivated);
    assert!(alice.ask(get(&id)).is_ok(), "a deactivated key is handed out");
    alice.ask(DestroyRequest { unique_identifier: target() }).unwrap();
    assert_eq!(alice.state(&id), State::Destroyed);
    assert_eq!(alice.refused(get(&id)), ResultReason::ItemNotFound);
    let last = server.audit().pop().unwrap();
    assert!(last.to_string().contains("ItemNotFound"), "{last}");
}

#[test]
fn the_other_adapter_sees_an_object_as_missing() {
    let server = TestServer::new();
    let id = server.alice().create_aes(256);
    let missing = server.bob().ask(get("01900000-0000-7000-8000-000000000000")).unwrap_err();
    assert_eq!(server.bob().ask(get(&id)).unwrap_err(), missing);
}
