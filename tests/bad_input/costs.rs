//! Requests made to cost the server much: each has a bound, and none makes an object unreadable.

use keystead::net::Handler;
use kmip::{
    attributes::{Attribute, AttributeName, Attributes},
    client::{Refusal, RequestBuilder, read_results},
    enums::*,
    objects::{KeyInformation, KeyWrappingSpecification, Object, OpaqueObject},
    payloads::*,
    tags::Tag,
    tree::{Enumerated, Item, Value},
    ttlv,
    version::Version,
};
use zeroize::Zeroizing;

use super::valid::{certificate, custom, get, register};
use crate::harness::{
    create_aes,
    engine::{TestServer, User},
};

/// What a response may have in all: what is held for one message, and one item more.
const MOST: usize = 2 << 20;

/// Registers an opaque object of `bytes` bytes.
fn register_opaque(user: &User, bytes: usize) -> String {
    let opaque =
        OpaqueObject { opaque_data_type: Enumerated::code(1), opaque_data_value: Zeroizing::new(vec![7; bytes]) };
    match user.ask(register(Object::OpaqueObject(opaque), [])) {
        Ok(Response::Register(response)) => response.unique_identifier,
        other => panic!("{other:?}"),
    }
}

/// Sends a batch whose response may be long.
fn send(user: &User, builder: RequestBuilder) -> (usize, Vec<Result<Response, Option<ResultReason>>>) {
    let reply = user.engine.handle(&user.peer, ttlv::encode(&builder.build()));
    let limits = ttlv::Limits { bytes: 1 << 30, items: 1 << 22, ..ttlv::Limits::default() };
    let results = read_results(ttlv::decode(&reply.bytes, &limits).unwrap(), Version::V1_4).unwrap();
    let reason = |error| match error {
        kmip::client::ClientError::Refused(Refusal { reason, .. }) => reason,
        other => panic!("{other}"),
    };
    (reply.bytes.len(), results.into_iter().map(|result| result.map_err(reason)).collect())
}

#[test]
fn one_small_request_for_a_large_object_many_times_gets_a_bounded_answer() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = register_opaque(&alice, 900_000);
    let batch = (0..256).fold(RequestBuilder::new(Version::V1_4), |builder, _| builder.item(get(Some(id.clone()))));
    let (bytes, results) = send(&alice, batch.on_error(BatchErrorContinuationOption::Continue));
    assert!(bytes <= MOST, "{bytes}");
    assert_eq!(results.len(), 256);
    let answered = results.iter().take_while(|result| result.is_ok()).count();
    assert!(answered > 0, "{answered}");
    assert!(results[answered..].iter().all(|result| result == &Err(Some(ResultReason::ResponseTooLarge))));
}

#[test]
fn nothing_is_done_that_finds_no_room_in_the_answer() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = register_opaque(&alice, 900_000);
    let batch = (0..20).fold(RequestBuilder::new(Version::V1_4), |builder, _| builder.item(get(Some(id.clone()))));
    let batch = batch.item(create_aes(256, [])).on_error(BatchErrorContinuationOption::Continue);
    let (_, results) = send(&alice, batch);
    assert_eq!(results.last(), Some(&Err(Some(ResultReason::ResponseTooLarge))));
    assert_eq!(server.store.count(alice.peer.adapter).unwrap().live, 1);
}

#[test]
fn changes_that_are_held_back_for_an_undo_are_bounded_and_come_undone() {
    let server = TestServer::new();
    let alice = server.alice();
    let ids: Vec<String> = (0..20).map(|_| register_opaque(&alice, 900_000)).collect();
    let add = |id: &String| AddAttributeRequest {
        unique_identifier: Some(id.clone()),
        attribute: custom("x-mark", Value::Integer(1)).into(),
    };
    let batch = ids.iter().fold(RequestBuilder::new(Version::V1_4), |builder, id| builder.item(add(id)));
    let (_, results) = send(&alice, batch.on_error(BatchErrorContinuationOption::Undo));
    assert_eq!(results.last(), Some(&Err(Some(ResultReason::InvalidMessage))));
    assert!(results.len() < 20, "{}", results.len());
    let request = GetAttributesRequest {
        unique_identifier: Some(ids[0].clone()),
        attribute_name: vec![AttributeName::Other("x-mark".to_owned())],
    };
    let Ok(Response::GetAttributes(response)) = alice.ask(request) else { panic!("the object is there") };
    assert_eq!(response.attributes.0.len(), 0);
}

#[test]
fn attributes_are_refused_before_their_object_grows_too_large_to_be_read() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    let mut added = 0;
    let refused = loop {
        let attribute = custom(&format!("x-{added}"), Value::bytes(vec![7; 60_000])).into();
        let request = AddAttributeRequest { unique_identifier: Some(id.clone()), attribute };
        match alice.ask(request) {
            Ok(_) => added += 1,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refused.reason, Some(ResultReason::InvalidField));
    assert_eq!(added, 4);
    let many = Value::Structure((0..4_000).map(|_| Item::structure(Tag(0x54_0001), Vec::new())).collect());
    assert!(alice.ask(create_aes(256, [custom("x-many", many)])).is_err(), "no structures in a custom structure");
    let many = Value::Structure((0..4_000).map(|_| Item::new(Tag(0x54_0001), Value::text(""))).collect());
    let fields = (0..10).map(|n| custom(&format!("x-{n}"), many.clone()));
    assert!(alice.ask(create_aes(256, fields)).is_err(), "more than is kept");
    // The key is as usable as before, and its life goes on.
    assert!(alice.ask(get(Some(id.clone()))).is_ok());
    alice.ask(ActivateRequest { unique_identifier: Some(id.clone()) }).unwrap();
    let revoke = RevokeRequest {
        unique_identifier: Some(id.clone()),
        revocation_reason: kmip::attributes::RevocationReason {
            code: RevocationReasonCode::KeyCompromise,
            message: Some("x".repeat(60_000)),
        },
        compromise_occurrence_date: None,
    };
    alice.ask(revoke).unwrap();
    assert!(alice.ask(get(Some(id.clone()))).is_ok());
    alice.ask(DestroyRequest { unique_identifier: Some(id) }).unwrap();
}

#[test]
fn a_certificate_with_tens_of_thousands_of_names_is_refused_and_one_with_many_is_readable() {
    let server = TestServer::new();
    let alice = server.alice();
    let of = |units: usize| {
        let mut found = certificate();
        found.certificate_value = Zeroizing::new(certificate_of(units));
        register(Object::Certificate(found), [])
    };
    assert_eq!(alice.refused(of(20_000)), ResultReason::InvalidField);
    let Ok(Response::Register(made)) = alice.ask(of(500)) else { panic!("the certificate is taken in") };
    assert!(alice.ask(get(Some(made.unique_identifier))).is_ok());
}

/// A certificate whose subject has so many organizational units. It is not signed, which nobody asks for.
fn certificate_of(units: usize) -> Vec<u8> {
    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x84][..], &length, content].concat()
    }
    let algorithm = der(0x30, &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02]);
    let unit = der(0x31, &der(0x30, &[&[0x06, 0x03, 0x55, 0x04, 0x0B][..], &der(0x0C, b"unit")].concat()));
    let subject = der(0x30, &unit.repeat(units));
    let validity = der(0x30, &[&b"\x17\x0D260101000000Z"[..], b"\x17\x0D270101000000Z"].concat());
    let point = [&[0x00, 0x04][..], &[7; 64]].concat();
    let curve = [
        &[0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01][..],
        &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07],
    ]
    .concat();
    let key = der(0x30, &[der(0x30, &curve), der(0x03, &point)].concat());
    let body = [&[0x02, 0x01, 0x01][..], &algorithm, &der(0x30, b""), &validity, &subject, &key].concat();
    der(0x30, &[der(0x30, &body), algorithm, der(0x03, &[0, 1, 2, 3])].concat())
}

#[test]
fn attributes_named_again_and_again_are_not_wrapped_again_and_again() {
    let server = TestServer::new();
    let alice = server.alice();
    let parameters = kmip::attributes::CryptographicParameters {
        block_cipher_mode: Some(BlockCipherMode::NistKeyWrap),
        ..Default::default()
    };
    let attributes = GivenAttributes(Attributes::from_iter([
        Attribute::CryptographicAlgorithm(CryptographicAlgorithm::Aes),
        Attribute::CryptographicLength(256),
        Attribute::CryptographicUsageMask(kmip::masks::CryptographicUsageMask::WrapKey),
        Attribute::CryptographicParameters(parameters),
    ]));
    let Ok(Response::Create(wrapping)) = alice.ask(CreateRequest { object_type: ObjectType::SymmetricKey, attributes })
    else {
        panic!("the wrapping key is made")
    };
    alice.ask(ActivateRequest { unique_identifier: Some(wrapping.unique_identifier.clone()) }).unwrap();
    let Ok(Response::Create(large)) = alice.ask(create_aes(256, [Attribute::ContactInformation("x".repeat(200_000))]))
    else {
        panic!("the key is made")
    };
    let wrapped_with = |attribute_name: Vec<String>| GetRequest {
        key_wrapping_specification: Some(KeyWrappingSpecification {
            wrapping_method: WrappingMethod::Encrypt,
            encryption_key_information: Some(KeyInformation {
                unique_identifier: wrapping.unique_identifier.clone(),
                cryptographic_parameters: None,
            }),
            mac_signature_key_information: None,
            attribute_name,
            encoding_option: Some(EncodingOption::TtlvEncoding),
        }),
        ..get(Some(large.unique_identifier.clone()))
    };
    let name = "Contact Information".to_owned();
    assert!(alice.ask(wrapped_with(vec![name.clone()])).is_ok());
    assert_eq!(alice.refused(wrapped_with(vec![name; 20_000])), ResultReason::InvalidMessage);
}

#[test]
fn tens_of_thousands_of_names_functions_versions_and_criteria_are_answered() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    let attribute_name = (0..30_000).map(|n| AttributeName::Other(format!("x-{n}"))).collect();
    assert!(alice.ask(GetAttributesRequest { unique_identifier: Some(id), attribute_name }).is_ok());
    assert!(alice.ask(QueryRequest { query_function: vec![QueryFunction::QueryProfiles; 60_000] }).is_ok());
    let protocol_version = vec![Version::V1_4.into(); 20_000];
    let Ok(Response::DiscoverVersions(response)) = alice.ask(DiscoverVersionsRequest { protocol_version }) else {
        panic!("an answer")
    };
    assert_eq!(response.protocol_version.len(), 1);
    let criteria =
        (0..9_000).map(|n| Criterion { name: AttributeName::Other(format!("x-{n}")), value: Value::Integer(n) });
    let locate = LocateRequest {
        maximum_items: None,
        offset_items: Some(i32::MAX),
        storage_status_mask: None,
        object_group_member: None,
        criteria: Criteria(criteria.collect()),
    };
    assert!(alice.ask(locate).is_ok());
}

#[test]
fn large_objects_that_many_change_at_once_wait_for_each_other_in_no_circle() {
    let server = TestServer::new();
    let alice = server.alice();
    let ids: Vec<String> = (0..3).map(|_| register_opaque(&alice, 100_000)).collect();
    std::thread::scope(|scope| {
        for thread in 0..12 {
            let (alice, ids) = (&alice, &ids);
            scope.spawn(move || {
                for round in 0..8 {
                    let add = |n: usize| AddAttributeRequest {
                        unique_identifier: Some(ids[n % ids.len()].clone()),
                        attribute: custom(&format!("x-{thread}-{round}-{n}"), Value::Integer(1)).into(),
                    };
                    let batch = RequestBuilder::new(Version::V1_4).item(add(thread)).item(add(thread + round));
                    let batch = batch.item(get(Some(ids[round % ids.len()].clone())));
                    let undo = thread % 2 == 0;
                    let (_, results) =
                        send(alice, if undo { batch.on_error(BatchErrorContinuationOption::Undo) } else { batch });
                    // A batch that others overtook again and again is refused as a whole, which is an answer too.
                    assert!(results.iter().all(Result::is_ok) || undo, "{results:?}");
                }
            });
        }
    });
}
