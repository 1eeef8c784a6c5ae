//! MongoDB drivers (libmongocrypt, plain mode) and Percona Server for MongoDB (libkmip): KMIP 1.0.

use kmip::{
    client::RequestBuilder,
    enums::{CryptographicAlgorithm, ObjectType, Operation, ResultReason, RevocationReasonCode, SecretDataType, State},
    tags::Tag,
    tree::{Item, Value},
    version::Version,
};

use super::{
    Line,
    answers::{at, code, material, state_of, tags, uid_of, uids_of},
    message::{
        Batch, attribute, attribute_name, enumeration, key_attributes, message, object_type, opaque_secret, raw_key,
        template, uid,
    },
};

/// A message as libkmip begins one.
fn libkmip() -> RequestBuilder {
    message(Version::V1_0).maximum_response_size(8192)
}

#[test]
fn a_driver_registers_activates_and_fetches_its_seed_on_a_connection_each() {
    let seed: Vec<u8> = (0..96).collect();
    let register = [
        object_type(ObjectType::SecretData),
        template([attribute("Cryptographic Usage Mask", Value::Integer(0))]),
        opaque_secret(&seed, SecretDataType::Seed),
    ];
    let made = Line::open().ask_one(message(Version::V1_0).op(Operation::Register, register));
    assert_eq!(tags(&made), [Tag::UniqueIdentifier]);
    let key = uid_of(&made);
    let activated = Line::open().ask_one(message(Version::V1_0).op(Operation::Activate, [uid(&key)]));
    assert_eq!(activated.fields(), [uid(&key)]);
    let found = Line::open().ask_one(message(Version::V1_0).op(Operation::Get, [uid(&key)]));
    assert_eq!(tags(&found), [Tag::ObjectType, Tag::UniqueIdentifier, Tag::SecretData]);
    assert_eq!(code(at(&found, &[Tag::SecretData, Tag::SecretDataType])), SecretDataType::Seed.code());
    assert_eq!(
        tags(found.field(Tag::SecretData).unwrap().field(Tag::KeyBlock).unwrap()),
        [Tag::KeyFormatType, Tag::KeyValue]
    );
    assert_eq!(material(&found), seed);
}

#[test]
fn a_driver_in_delegated_mode_is_told_that_encrypt_is_not_here_and_may_go_on() {
    let mut line = Line::open();
    let attributes = key_attributes(CryptographicAlgorithm::Aes, 256, 12);
    let create = [object_type(ObjectType::SymmetricKey), template(attributes)];
    let key = uid_of(&line.ask_one(message(Version::V1_2).op(Operation::Create, create)));
    // The same key is made in 1.2 and activated in 1.0.
    line.ask_one(message(Version::V1_0).op(Operation::Activate, [uid(&key)]));
    let parameters = Item::structure(
        Tag::CryptographicParameters,
        vec![
            Item::new(Tag::BlockCipherMode, enumeration(1)),
            Item::new(Tag::PaddingMethod, enumeration(3)),
            Item::new(Tag::CryptographicAlgorithm, enumeration(3)),
            Item::new(Tag::RandomIv, Value::Boolean(true)),
        ],
    );
    let data = Item::new(Tag::Data, Value::bytes([7; 96]));
    let encrypt = message(Version::V1_2).op(Operation::Encrypt, [uid(&key), parameters, data]);
    assert_eq!(line.ask(encrypt)[0].refusal(), ResultReason::OperationNotSupported);
    assert_eq!(material(&line.ask_one(message(Version::V1_2).op(Operation::Get, [uid(&key)]))).len(), 32);
}

fn state(line: &mut Line, key: &str) -> State {
    state_of(&line.ask_one(libkmip().op(Operation::GetAttributes, [uid(key), attribute_name("State")])))
}

#[test]
fn percona_server_for_mongodb_registers_and_activates_on_one_connection_then_polls_the_state() {
    let key_bytes = [0xA5; 32];
    let mut line = Line::open();
    let register = [
        object_type(ObjectType::SymmetricKey),
        template(key_attributes(CryptographicAlgorithm::Aes, 256, 12)),
        raw_key(&key_bytes, CryptographicAlgorithm::Aes, None),
    ];
    let made = line.ask_one(libkmip().op(Operation::Register, register));
    assert_eq!(tags(&made), [Tag::UniqueIdentifier], "libkmip reads no Object Type here");
    let key = uid_of(&made);
    assert_eq!(line.ask_one(libkmip().op(Operation::Activate, [uid(&key)])).fields(), [uid(&key)]);

    let mut line = Line::open();
    assert_eq!(state(&mut line, &key), State::Active);
    let found = line.ask_one(libkmip().op(Operation::Get, [uid(&key)]));
    assert_eq!(tags(&found), [Tag::ObjectType, Tag::UniqueIdentifier, Tag::SymmetricKey]);
    let block = found.field(Tag::SymmetricKey).unwrap().field(Tag::KeyBlock).unwrap();
    assert_eq!(tags(block), [Tag::KeyFormatType, Tag::KeyValue, Tag::CryptographicAlgorithm, Tag::CryptographicLength]);
    assert_eq!(material(&found), key_bytes);

    // It shuts down once this no longer says Active.
    assert_eq!(state(&mut Line::open(), &key), State::Active);
    let code = Item::new(Tag::RevocationReasonCode, enumeration(RevocationReasonCode::Unspecified.code()));
    let reason = Item::structure(Tag::RevocationReason, vec![code]);
    line.ask_one(libkmip().op(Operation::Revoke, [uid(&key), reason]));
    assert_eq!(state(&mut Line::open(), &key), State::Deactivated);
    assert_eq!(material(&line.ask_one(libkmip().op(Operation::Get, [uid(&key)]))), key_bytes);
}

#[test]
fn a_locate_for_nothing_finds_nothing_in_the_payload() {
    let criteria = [attribute("Name", super::message::name_value(&super::message::unique("nobody")))];
    let found = Line::open().ask_one(libkmip().op(Operation::Locate, criteria));
    assert_eq!(uids_of(&found), Vec::<String>::new());
    assert!(found.fields().is_empty(), "1.0 has no Located Items");
}
