//! vCenter Server 6.5, 7.0.3 and 8.0.1, and ESXi hosts: KMIP 1.1 throughout.

use kmip::{
    client::RequestBuilder,
    enums::{CryptographicAlgorithm, ObjectType, Operation, ResultReason, State},
    message::ProtocolVersion,
    tags::Tag,
    tree::{Item, Value},
    version::Version,
};

use super::{
    Line, PASSWORD, USER, answers,
    answers::{material, state_of, tags, text, uid_of},
    message::{Batch, attribute, attribute_name, enumeration, message, object_type, template, uid, unique},
};
use crate::harness::server::{Connection, Server};

/// A message as vCenter begins one: with the credential only where it says so.
fn v1_1(with_credential: bool) -> RequestBuilder {
    let message = message(Version::V1_1);
    if with_credential { message.credential(USER, PASSWORD) } else { message }
}

/// The batch item IDs of one message: `QLKC` and a number that counts from 1.
fn id(number: u8) -> [u8; 8] {
    [0x51, 0x4c, 0x4b, 0x43, number, 0, 0, 0]
}

fn one(with_credential: bool, operation: Operation, payload: impl IntoIterator<Item = Item>) -> RequestBuilder {
    v1_1(with_credential).named_op(&id(1), operation, payload)
}

fn aes_256() -> [Item; 2] {
    let attributes = [
        attribute("Cryptographic Algorithm", enumeration(CryptographicAlgorithm::Aes.code())),
        attribute("Cryptographic Usage Mask", Value::Integer(12)),
        attribute("Cryptographic Length", Value::Integer(256)),
    ];
    [object_type(ObjectType::SymmetricKey), template(attributes)]
}

fn state(line: &mut Line, with_credential: bool, key: &str) -> State {
    let request = one(with_credential, Operation::GetAttributes, [uid(key), attribute_name("State")]);
    state_of(&line.ask_one(request))
}

/// Asks for a custom attribute that nobody has set: success, and nothing but the identifier.
fn assert_untagged(line: &mut Line, key: &str, name: &str) {
    let found = line.ask_one(one(false, Operation::GetAttributes, [uid(key), attribute_name(name)]));
    assert_eq!(tags(&found), [Tag::UniqueIdentifier], "{name}");
    assert_eq!(uid_of(&found), key);
}

/// Adds three custom attributes in one batch.
fn tag(line: &mut Line, key: &str, attributes: [(&str, &str); 3]) {
    let mut request = v1_1(false);
    for ((name, value), number) in attributes.iter().zip(1..) {
        let payload = [uid(key), attribute(name, Value::text(*value))];
        request = request.named_op(&id(number), Operation::AddAttribute, payload);
    }
    let answers = line.ask(request);
    assert_eq!(answers.len(), 3);
    for (answer, (name, value)) in answers.into_iter().zip(attributes) {
        let added = answer.into_payload();
        assert_eq!(tags(&added), [Tag::UniqueIdentifier, Tag::Attribute]);
        assert_eq!(uid_of(&added), key);
        assert_eq!(added.field(Tag::Attribute), Some(&attribute(name, Value::text(value))));
    }
}

/// What vCenter does over a new connection when something is encrypted: it asks how the server is, makes a key and tags it.
/// Returns the key's identifier.
pub fn makes_a_key(connection: Connection) -> String {
    makes_a_key_for(connection, "db 1")
}

/// The same for a virtual machine of that name.
pub fn makes_a_key_for(connection: Connection, machine: &str) -> String {
    let mut lines = [Line(connection)];
    new_key(&mut lines, 0, (false, machine)).0
}

/// Sequence C, for a virtual machine of that name. The key's connection is the first of `lines`, the one for tagging is
/// `tagging`. Returns identifier and key.
fn new_key(lines: &mut [Line], tagging: usize, (with_credential, name): (bool, &str)) -> (String, Vec<u8>) {
    let made = lines[0].ask_one(one(with_credential, Operation::Create, aes_256()));
    assert_eq!(tags(&made), [Tag::ObjectType, Tag::UniqueIdentifier]);
    let key = uid_of(&made);
    assert!((1..128).contains(&key.len()), "vCenter stores up to 127 bytes");

    let found = lines[0].ask_one(one(with_credential, Operation::Get, [uid(&key)]));
    assert_eq!(tags(&found), [Tag::ObjectType, Tag::UniqueIdentifier, Tag::SymmetricKey]);
    assert_eq!(uid_of(&found), key);
    let bytes = material(&found);
    assert_eq!(bytes.len(), 32);

    assert_untagged(&mut lines[tagging], &key, "x-Product_Version");
    assert_eq!(state(&mut lines[0], with_credential, &key), State::PreActive);
    assert_untagged(&mut lines[tagging], &key, "x-Vendor");
    assert_untagged(&mut lines[tagging], &key, "x-Product");

    let activated = lines[0].ask_one(one(with_credential, Operation::Activate, [uid(&key)]));
    assert_eq!(tags(&activated), [Tag::UniqueIdentifier]);

    let product =
        [("x-Product_Version", "8.0.1 build-21560480"), ("x-Vendor", "VMware, Inc."), ("x-Product", "VMware vSphere")];
    tag(&mut lines[tagging], &key, product);
    for name in ["x-Identifier", "x-Component", "x-Name"] {
        assert_untagged(&mut lines[tagging], &key, name);
    }
    let machine = unique("vm");
    tag(&mut lines[tagging], &key, [("x-Identifier", &machine), ("x-Component", "Virtual Machine"), ("x-Name", name)]);

    let names =
        ["x-Product_Version", "x-Vendor", "x-Product", "x-Identifier", "x-Component", "x-Name"].map(attribute_name);
    let all = lines[tagging].ask_one(one(false, Operation::GetAttributes, [uid(&key)].into_iter().chain(names)));
    let found = answers::values(&all, "x-Identifier");
    assert_eq!(found.iter().map(|value| text(value)).collect::<Vec<_>>(), [machine]);
    assert_eq!(all.fields().len(), 1 + 6);
    (key, bytes)
}

/// Sequence B: how vCenter asks whether a server is well.
fn status(line: &mut Line, asks_server_information: bool) {
    let all = line.ask_one(v1_1(false).op(Operation::DiscoverVersions, []));
    let numbers = |version: Version| {
        let ProtocolVersion { major, minor } = version.into();
        [Value::Integer(major), Value::Integer(minor)]
    };
    let found = all.fields().iter().map(|version| {
        assert_eq!(version.tag, Tag::ProtocolVersion);
        [version.fields()[0].value.clone(), version.fields()[1].value.clone()]
    });
    let found = found.collect::<Vec<_>>();
    assert!(found.contains(&numbers(Version::V1_1)) && found.contains(&numbers(Version::V1_0)));
    line.ask_one(one(false, Operation::DiscoverVersions, []));
    if asks_server_information {
        let asked = Item::new(Tag::QueryFunction, enumeration(3));
        let found = line.ask_one(one(false, Operation::Query, [asked]));
        assert_eq!(tags(&found), [Tag::VendorIdentification, Tag::ServerInformation]);
    }
}

/// Sequence D: a host fetches the key of a machine it powers on.
fn power_on(line: &mut Line, key: &str) -> Vec<u8> {
    line.ask_one(one(false, Operation::DiscoverVersions, []));
    assert_eq!(state(line, false, key), State::Active);
    material(&line.ask_one(one(false, Operation::Get, [uid(key)])))
}

#[test]
fn vcenter_7_0_3_and_8_0_1_ask_whether_the_server_is_well_after_a_probe() {
    drop(std::net::TcpStream::connect(super::server().addr()).unwrap());
    status(&mut Line::open(), true);
    status(&mut Line::open(), false);
}

#[test]
fn vcenter_makes_a_key_and_tags_it_on_the_same_connection() {
    for with_credential in [false, true] {
        let (key, bytes) = new_key(&mut [Line::open()], 0, (with_credential, "db 1"));
        assert_eq!(power_on(&mut Line::open(), &key), bytes);
    }
}

#[test]
fn vcenter_makes_a_key_and_tags_it_on_another_connection() {
    for with_credential in [false, true] {
        let (key, bytes) = new_key(&mut [Line::open(), Line::open()], 1, (with_credential, "db 1"));
        assert_eq!(power_on(&mut Line::open(), &key), bytes);
    }
}

#[test]
fn vcenter_6_5_asks_for_the_state_of_a_new_key_on_a_new_connection() {
    let mut line = Line::open();
    let key = uid_of(&line.ask_one(one(false, Operation::Create, aes_256())));
    let bytes = material(&line.ask_one(one(false, Operation::Get, [uid(&key)])));
    assert_eq!(state(&mut Line::open(), false, &key), State::PreActive);
    line.ask_one(one(false, Operation::Activate, [uid(&key)]));
    assert_eq!(state(&mut Line::open(), false, &key), State::Active);
    assert_eq!(power_on(&mut Line::open(), &key), bytes);
}

#[test]
fn fifty_hosts_that_boot_at_once_all_get_their_key() {
    let (key, bytes) = new_key(&mut [Line::open()], 0, (true, "db 1"));
    let together = std::sync::Barrier::new(50);
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                together.wait();
                assert_eq!(power_on(&mut Line::open(), &key), bytes);
            });
        }
    });
}

#[test]
fn an_unknown_key_is_not_found_and_the_connection_stays_up() {
    let mut line = Line::open();
    for unknown in [uuid::Uuid::new_v4().to_string(), "no identifier of ours".to_owned()] {
        let answers = line.ask(one(true, Operation::Get, [uid(&unknown)]));
        assert_eq!(answers[0].refusal(), ResultReason::ItemNotFound);
    }
    status(&mut line, true);
}

#[test]
fn a_wrong_password_is_refused_where_it_is_sent_and_none_is_asked_for() {
    let mut line = Line::open();
    for password in ["wrong", "", "a password: with a colo"] {
        let request = v1_1(false).credential(USER, password).named_op(&id(1), Operation::Create, aes_256());
        assert_eq!(line.ask(request)[0].refusal(), ResultReason::AuthenticationNotSuccessful);
    }
    new_key(&mut [line], 0, (false, "db 1"));
}

#[test]
fn the_adapter_without_a_credential_takes_any() {
    // A provider that has a user name set in vCenter and none at the server must not lose its keys.
    let mut line = Line::open_as("client2");
    let request = v1_1(false).credential("administrator", "anything").named_op(&id(1), Operation::Create, aes_256());
    line.ask_one(request);
}

#[test]
fn both_servers_of_a_provider_find_the_key_after_a_restart_of_the_first() {
    // Two names of one store: a server stopped and started again stands for the second.
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start_in(dir.path(), &[]);
    let mut line = Line(first.connect(Version::V1_1));
    let key = uid_of(&line.ask_one(one(false, Operation::Create, aes_256())));
    let bytes = material(&line.ask_one(one(false, Operation::Get, [uid(&key)])));
    line.ask_one(one(false, Operation::Activate, [uid(&key)]));
    drop(first.kill());
    let second = Server::start_in(dir.path(), &[]);
    assert_eq!(power_on(&mut Line(second.connect(Version::V1_1)), &key), bytes);
}
