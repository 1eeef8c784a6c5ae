//! Two adapters on one server: to each, the other's objects are not there. What one is answered about an object of the other
//! is, byte for byte, what it is answered about an object that nobody has.

use kmip::{
    attributes::{Attribute, AttributeInstance, AttributeKind, AttributeName, CryptographicParameters, Link},
    client::{Client, RequestBuilder},
    enums::{
        BlockCipherMode, KeyFormatType, LinkType, Operation, ResultReason, RevocationReasonCode, State, WrappingMethod,
    },
    masks::{CryptographicUsageMask, StorageStatusMask},
    objects::{KeyInformation, KeyWrappingSpecification},
    payloads::*,
    tags::Tag,
    tree::{Item, Value},
    ttlv,
    version::Version,
};
use zeroize::Zeroizing;

use crate::harness::{
    ask::*,
    create_aes,
    engine::{TestServer, User},
    name,
    server::Server,
};

const MISSING: &str = "01900000-0000-7000-8000-00000000abcd";
const VERSIONS: [Version; 5] = [Version::V1_0, Version::V1_1, Version::V1_2, Version::V1_3, Version::V1_4];

/// Every request that names an object, one or more for each operation that the server has.
fn requests_about(id: &str) -> Vec<Request> {
    let target = Some(id.to_owned());
    let note = || custom_text("x-note", "bob was here");
    let mut requests: Vec<Request> = Vec::new();
    for operation in Request::OPERATIONS {
        match operation {
            Operation::Get => {
                requests.push(get(id).into());
                requests.push(GetRequest { key_format_type: Some(KeyFormatType::Opaque), ..get(id) }.into());
                requests.push(GetRequest { key_format_type: Some(KeyFormatType::X509), ..get(id) }.into());
                requests.push(GetRequest { key_wrapping_specification: Some(wrap_with(MISSING)), ..get(id) }.into());
            }
            Operation::GetAttributes => {
                requests.push(attributes(id, &[]).into());
                requests.push(attributes(id, &[AttributeKind::State]).into());
            }
            Operation::GetAttributeList => {
                requests.push(GetAttributeListRequest { unique_identifier: target.clone() }.into());
            }
            Operation::AddAttribute => {
                requests.push(add(id, note()).into());
                requests.push(add(id, Attribute::State(State::Active)).into());
            }
            Operation::ModifyAttribute => {
                requests.push(modify(id, note()).into());
                requests.push(modify(id, name("taken over")).into());
            }
            Operation::DeleteAttribute => {
                requests.push(delete(id, AttributeName::Other("x-note".to_owned()), 0).into());
                requests.push(delete(id, AttributeName::Standard(AttributeKind::Name), 0).into());
            }
            Operation::Activate => requests.push(activate(id).into()),
            Operation::Revoke => {
                requests.push(revoke(id, RevocationReasonCode::Unspecified).into());
                requests.push(revoke(id, RevocationReasonCode::KeyCompromise).into());
            }
            Operation::Destroy => requests.push(destroy(id).into()),
            Operation::Check => requests.push(
                CheckRequest {
                    unique_identifier: target.clone(),
                    usage_limits_count: None,
                    cryptographic_usage_mask: Some(CryptographicUsageMask::Encrypt),
                    lease_time: None,
                }
                .into(),
            ),
            // These name no object, or are looked at below.
            Operation::Create
            | Operation::Register
            | Operation::Locate
            | Operation::Query
            | Operation::DiscoverVersions => {}
            other => panic!("{} is new: say here what it is like for another adapter's object", other.name()),
        }
    }
    requests
}

fn wrap_with(id: &str) -> KeyWrappingSpecification {
    KeyWrappingSpecification {
        wrapping_method: WrappingMethod::Encrypt,
        encryption_key_information: Some(KeyInformation {
            unique_identifier: id.to_owned(),
            cryptographic_parameters: Some(key_wrap()),
        }),
        mac_signature_key_information: None,
        attribute_name: Vec::new(),
        encoding_option: Some(kmip::enums::EncodingOption::NoEncoding),
    }
}

fn key_wrap() -> CryptographicParameters {
    CryptographicParameters { block_cipher_mode: Some(BlockCipherMode::NistKeyWrap), ..Default::default() }
}

/// The reply to one item, as bytes. The clock stands still and a refusal carries nothing that differs between requests.
fn reply(user: &User, request: RequestBuilder) -> Vec<u8> {
    let bytes = Zeroizing::new(ttlv::encode(&request.build()).to_vec());
    user.engine.handle_bytes(&user.peer, bytes)
}

/// Calls the engine as the network does.
trait Bytes {
    fn handle_bytes(&self, peer: &keystead::net::PeerIdentity, request: Zeroizing<Vec<u8>>) -> Vec<u8>;
}

impl Bytes for keystead::engine::Engine {
    fn handle_bytes(&self, peer: &keystead::net::PeerIdentity, request: Zeroizing<Vec<u8>>) -> Vec<u8> {
        keystead::net::Handler::handle(self, peer, request).bytes.to_vec()
    }
}

/// Objects of alice in every state and of several types, each with a name and a note.
fn objects_of(alice: &User) -> Vec<String> {
    let given = |text: &str| [name(text), custom_text("x-note", "alice's")];
    let fresh = alice.make(create_aes(256, given("fresh")));
    let active = alice.make(create_aes(256, given("active")));
    let deactivated = alice.make(create_aes(256, given("deactivated")));
    let compromised = alice.make(register_aes(&[1; 16], given("compromised")));
    let destroyed = alice.make(register_secret(b"a secret", given("destroyed")));
    let opaque = alice.make(register_opaque(b"some bytes", given("opaque")));
    for id in [&active, &deactivated, &compromised] {
        alice.ask(activate(id)).unwrap();
    }
    alice.ask(revoke(&deactivated, RevocationReasonCode::CessationOfOperation)).unwrap();
    alice.ask(revoke(&compromised, RevocationReasonCode::KeyCompromise)).unwrap();
    alice.ask(destroy(&destroyed)).unwrap();
    vec![fresh, active, deactivated, compromised, destroyed, opaque]
}

#[test]
fn every_operation_on_anothers_object_is_answered_as_on_a_missing_one() {
    let server = TestServer::new();
    let (alice, bob) = (server.alice(), server.bob());
    let objects = objects_of(&alice);
    let everything = || objects.iter().map(|id| alice.attributes(id, &[]).unwrap()).collect::<Vec<_>>();
    let before = everything();
    let mut compared = 0;
    for version in VERSIONS {
        for id in &objects {
            for (theirs, missing) in requests_about(id).into_iter().zip(requests_about(MISSING)) {
                let operation = theirs.operation().name();
                let theirs = reply(&bob, RequestBuilder::new(version).item(theirs));
                let missing = reply(&bob, RequestBuilder::new(version).item(missing));
                assert_eq!(theirs, missing, "{operation} in {version}");
                compared += 1;
            }
        }
    }
    assert_eq!(everything(), before, "nothing of them has changed");
    println!("{compared} answers compared");
}

#[test]
fn every_operation_of_the_specification_is_answered_alike_even_where_the_server_has_it_not() {
    let server = TestServer::new();
    let id = server.alice().create_aes(256);
    let bob = server.bob();
    for version in VERSIONS {
        for operation in Operation::ALL.iter().filter(|operation| operation.in_version(version)) {
            let ask = |id: &str| {
                let payload = Value::Structure(vec![Item::new(Tag::UniqueIdentifier, Value::text(id))]);
                reply(&bob, RequestBuilder::new(version).raw_item(*operation, None, payload))
            };
            assert_eq!(ask(&id), ask(MISSING), "{} in {version}", operation.name());
        }
    }
}

#[test]
fn an_answer_about_ones_own_object_is_another_one() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    for (own, missing) in requests_about(&id).into_iter().zip(requests_about(MISSING)) {
        if matches!(&own, Request::Get(get) if get.key_wrapping_specification.is_some()) {
            // The key to wrap with is missing whoever asks.
            continue;
        }
        // The comparison above would notice.
        let own = reply(&alice, RequestBuilder::new(Version::V1_4).item(own));
        assert_ne!(own, reply(&alice, RequestBuilder::new(Version::V1_4).item(missing)));
    }
}

#[test]
fn objects_that_a_request_only_refers_to_are_missing_too() {
    let server = TestServer::new();
    let (alice, bob) = (server.alice(), server.bob());
    let mask = CryptographicUsageMask::WrapKey | CryptographicUsageMask::UnwrapKey;
    let mut wrapping = create_aes(256, [Attribute::CryptographicParameters(key_wrap())]);
    wrapping.attributes.0.attributes.retain(|one| !matches!(one.attribute, Attribute::CryptographicUsageMask(_)));
    wrapping.attributes.0.attributes.push(Attribute::CryptographicUsageMask(mask).into());
    let wrapping = alice.make(wrapping);
    alice.ask(activate(&wrapping)).unwrap();
    let own = alice.create_aes(256);
    alice
        .ask(GetRequest { key_wrapping_specification: Some(wrap_with(&wrapping)), ..get(&own) })
        .expect("alice may wrap with it");
    let bobs = bob.create_aes(256);
    let ask = |wrapping: &str| {
        let request = GetRequest { key_wrapping_specification: Some(wrap_with(wrapping)), ..get(&bobs) };
        reply(&bob, RequestBuilder::new(Version::V1_4).item(request))
    };
    assert_eq!(ask(&wrapping), ask(MISSING));
    // A password of another adapter opens no container.
    let password = alice.make(register_secret(b"password", []));
    alice.ask(activate(&password)).unwrap();
    let register = |password: &str| {
        let link = Link { link_type: LinkType::Pkcs12PasswordLink, linked_object_identifier: password.to_owned() };
        let mut request = register_aes(&[7; 32], [Attribute::Link(link)]);
        request.object.key_block_mut().unwrap().key_format_type = KeyFormatType::Pkcs12;
        reply(&bob, RequestBuilder::new(Version::V1_4).item(request))
    };
    assert_eq!(register(&password), register(MISSING));
}

#[test]
fn locate_finds_nothing_of_another_adapter_by_any_attribute() {
    let server = TestServer::new();
    let (alice, bob) = (server.alice(), server.bob());
    let objects = objects_of(&alice);
    let all = Some(StorageStatusMask::from_bits(7));
    let by = |criteria: Vec<Criterion>| LocateRequest { storage_status_mask: all, ..locate_by(criteria) };
    assert_eq!(alice.find(by(Vec::new())).len(), objects.len());
    assert_eq!(bob.find(by(Vec::new())), [""; 0]);
    let mut searches = 0;
    for id in &objects {
        for AttributeInstance { attribute, .. } in alice.attributes(id, &[]).unwrap() {
            let wanted = vec![criterion(attribute)];
            assert!(alice.find(by(wanted.clone())).contains(id), "{wanted:?}");
            assert_eq!(bob.find(by(wanted.clone())), [""; 0], "{wanted:?}");
            for member in [None, Some(kmip::enums::ObjectGroupMember::GroupMemberDefault)] {
                let request = LocateRequest { object_group_member: member, ..by(wanted.clone()) };
                assert_eq!(bob.find(request), [""; 0], "{wanted:?}");
            }
            searches += 1;
        }
    }
    assert!(searches > 60, "{searches}");
    // An object of bob's that looks the same is found alone.
    let bobs = bob.make(create_aes(256, [name("fresh"), custom_text("x-note", "alice's")]));
    assert_eq!(bob.find(by(vec![criterion(custom_text("x-note", "alice's"))])), [bobs]);
}

#[test]
fn names_are_free_for_each_adapter() {
    let server = TestServer::new();
    let (alice, bob) = (server.alice(), server.bob());
    let hers = alice.make(create_aes(256, [name("shared name")]));
    let his = bob.make(create_aes(256, [name("shared name")]));
    assert_eq!(alice.find(locate([name("shared name")])), [hers.as_str()]);
    assert_eq!(bob.find(locate([name("shared name")])), [his.as_str()]);
    let again = bob.refused(create_aes(256, [name("shared name")]));
    assert!(matches!(again, ResultReason::NonUniqueNameAttribute | ResultReason::InvalidField));
    bob.ask(destroy(&his)).unwrap();
    assert_eq!(alice.material(&hers).len(), 32, "alice's is untouched");
    bob.make(create_aes(256, [name("shared name")]));
}

#[test]
fn the_id_placeholder_of_one_request_is_empty_in_the_next() {
    let server = TestServer::new();
    for user in [server.alice(), server.bob()] {
        user.create_aes(256);
        let request = GetAttributesRequest { unique_identifier: None, attribute_name: Vec::new() };
        assert_eq!(user.refused(request), ResultReason::ItemNotFound);
        assert_eq!(user.refused(DestroyRequest { unique_identifier: None }), ResultReason::ItemNotFound);
    }
}

#[test]
fn two_client_certificates_see_only_their_own_over_tls() {
    let server = Server::start();
    let mut alice = server.connect_as("client", Version::V1_4);
    let mut bob = server.connect_as("client2", Version::V1_4);
    let given = || [name("over TLS"), custom_text("x-note", "alice's")];
    let id = made(alice.call(create_aes(256, given())).unwrap());
    let mut compared = 0;
    for (theirs, missing) in requests_about(&id).into_iter().zip(requests_about(MISSING)) {
        let operation = theirs.operation().name();
        let ask = |client: &mut Client<_>, request| without_time(client.exchange(&single(request)).unwrap());
        assert_eq!(ask(&mut bob, theirs), ask(&mut bob, missing), "{operation}");
        compared += 1;
    }
    assert!(compared >= 15);
    for criteria in [Vec::new(), vec![name("over TLS")], vec![custom_text("x-note", "alice's")]] {
        assert_eq!(found(bob.call(locate(criteria.clone())).unwrap()), [""; 0]);
        assert_eq!(found(alice.call(locate(criteria)).unwrap()), [id.as_str()]);
    }
    let his = made(bob.call(create_aes(256, given())).expect("the name is free for bob"));
    assert_eq!(found(bob.call(locate([name("over TLS")])).unwrap()), [his.as_str()]);
    assert_eq!(material(alice.call(get(&id)).unwrap()).len(), 32);
}

fn single(request: Request) -> Item {
    RequestBuilder::new(Version::V1_4).item(request).build()
}

/// The response without the moment at which it was made.
fn without_time(mut response: Item) -> Item {
    let Value::Structure(fields) = &mut response.value else { panic!("a response is a structure") };
    let Value::Structure(header) = &mut fields[0].value else { panic!("a header is a structure") };
    header.retain(|field| field.tag != Tag::TimeStamp);
    response
}
