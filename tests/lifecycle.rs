//! The life of objects: states, dates, attributes, as clients of one and of two adapters see them.

use kmip::{
    attributes::{Attribute, AttributeKind, AttributeName, RevocationReason},
    enums::{ResultReason, RevocationReasonCode, State},
    payloads::{ActivateRequest, DestroyRequest, GetAttributesRequest, GetRequest, Response, RevokeRequest},
};

use crate::harness::engine::{TestServer, User};

fn state(user: &User, id: &str) -> State {
    let attribute_name = vec![AttributeName::Standard(AttributeKind::State)];
    match user.ask(GetAttributesRequest { unique_identifier: Some(id.to_owned()), attribute_name }) {
        Ok(Response::GetAttributes(response)) => match response.attributes.0.first().map(|one| &one.attribute) {
            Some(Attribute::State(state)) => *state,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn get(id: &str) -> GetRequest {
    GetRequest {
        unique_identifier: Some(id.to_owned()),
        key_format_type: None,
        key_wrap_type: None,
        key_compression_type: None,
        key_wrapping_specification: None,
    }
}

fn revoke(id: &str, code: RevocationReasonCode) -> RevokeRequest {
    RevokeRequest {
        unique_identifier: Some(id.to_owned()),
        revocation_reason: RevocationReason { code, message: None },
        compromise_occurrence_date: None,
    }
}

#[test]
fn a_key_is_created_activated_revoked_and_destroyed() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    let target = || Some(id.clone());
    assert_eq!(state(&alice, &id), State::PreActive);
    assert!(alice.ask(get(&id)).is_ok(), "a pre-active key is handed out");
    alice.ask(ActivateRequest { unique_identifier: target() }).unwrap();
    assert_eq!(state(&alice, &id), State::Active);
    assert_eq!(alice.refused(DestroyRequest { unique_identifier: target() }), ResultReason::PermissionDenied);
    alice.ask(revoke(&id, RevocationReasonCode::CessationOfOperation)).unwrap();
    assert_eq!(state(&alice, &id), State::Deactivated);
    assert!(alice.ask(get(&id)).is_ok(), "a deactivated key is handed out");
    alice.ask(DestroyRequest { unique_identifier: target() }).unwrap();
    assert_eq!(state(&alice, &id), State::Destroyed);
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
