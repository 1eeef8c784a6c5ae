//! Percona Server for MySQL (libkmip, KMIP 1.0) and MySQL's okv keyring (KMIP 1.1).

use kmip::{
    client::RequestBuilder,
    enums::{
        CryptographicAlgorithm, NameType, ObjectType, Operation, ResultReason, RevocationReasonCode, SecretDataType,
        State,
    },
    tags::Tag,
    tree::{Item, Value},
    version::Version,
};

use super::{
    Line,
    answers::{at, material, state_of, tags, text, uid_of, uids_of, values},
    message::{
        Batch, attribute, attribute_name, enumeration, indexed_attribute, key_attributes, message, name, name_value,
        object_type, opaque_secret, raw_key, template, uid, unique,
    },
};

fn libkmip() -> RequestBuilder {
    message(Version::V1_0).maximum_response_size(8192)
}

fn reason(code: RevocationReasonCode) -> Item {
    Item::structure(Tag::RevocationReason, vec![Item::new(Tag::RevocationReasonCode, enumeration(code.code()))])
}

/// One page of a group's keys. Offset Items is of 1.3; this client sends it under a 1.0 header.
fn page(line: &mut Line, group: &str, offset: i32) -> Vec<String> {
    let payload = [
        Item::new(Tag::MaximumItems, Value::Integer(16)),
        Item::new(Tag::OffsetItems, Value::Integer(offset)),
        attribute("Object Group", Value::text(group)),
    ];
    uids_of(&line.ask_one(libkmip().op(Operation::Locate, payload)))
}

#[test]
fn percona_mysql_pages_through_its_keys_under_a_1_0_header() {
    let (group, mut line) = (unique("percona"), Line::open());
    let mut made = Vec::new();
    for number in 0..40_u8 {
        let [algorithm, length, usage] = key_attributes(CryptographicAlgorithm::Aes, 256, 12);
        let attributes = [
            algorithm,
            length,
            usage,
            name(&format!("{group}-{number}")),
            attribute("Object Group", Value::text(&*group)),
        ];
        let payload = [
            object_type(ObjectType::SymmetricKey),
            template(attributes),
            raw_key(&[number; 32], CryptographicAlgorithm::Aes, None),
        ];
        let key = uid_of(&line.ask_one(libkmip().op(Operation::Register, payload)));
        line.ask_one(libkmip().op(Operation::Activate, [uid(&key)]));
        made.push(key);
    }
    let pages = [0, 16, 32, 48].map(|offset| page(&mut line, &group, offset));
    assert_eq!(pages.each_ref().map(Vec::len), [16, 16, 8, 0]);
    let mut found = pages.concat();
    assert_eq!([0, 16, 32].map(|offset| page(&mut line, &group, offset)).concat(), found, "in a stable order");
    found.sort_unstable();
    made.sort_unstable();
    assert_eq!(found, made);

    for key in found.iter().take(3) {
        let bytes = material(&line.ask_one(libkmip().op(Operation::Get, [uid(key)])));
        let named = line.ask_one(libkmip().op(Operation::GetAttributes, [uid(key), attribute_name("Name")]));
        assert_eq!(tags(&named), [Tag::UniqueIdentifier, Tag::Attribute]);
        let name = text(at(&Item::new(Tag::Name, values(&named, "Name")[0].clone()), &[Tag::NameValue])).to_owned();
        assert_eq!(name, format!("{group}-{}", bytes[0]));
        assert_eq!(bytes, [bytes[0]; 32]);
    }
    let key = &found[0];
    assert_eq!(line.ask(libkmip().op(Operation::Destroy, [uid(key)]))[0].refusal(), ResultReason::PermissionDenied);
    line.ask_one(libkmip().op(Operation::Revoke, [uid(key), reason(RevocationReasonCode::Unspecified)]));
    line.ask_one(libkmip().op(Operation::Destroy, [uid(key)]));
    assert_eq!(page(&mut line, &group, 32).len(), 7, "a destroyed key is no longer found");
}

#[test]
fn percona_mysql_stores_secrets_that_are_no_keys() {
    let (secret_name, mut line) = (unique("percona-secret"), Line::open());
    let payload = [
        object_type(ObjectType::SecretData),
        template([attribute("Cryptographic Usage Mask", Value::Integer(12)), name(&secret_name)]),
        opaque_secret(b"a word", SecretDataType::Password),
    ];
    let secret = uid_of(&line.ask_one(libkmip().op(Operation::Register, payload)));
    assert_eq!(material(&line.ask_one(libkmip().op(Operation::Get, [uid(&secret)]))), b"a word");
}

/// A message as okv begins one.
fn okv() -> RequestBuilder {
    message(Version::V1_1).maximum_response_size(280_000)
}

#[test]
fn mysql_okv_gives_every_attribute_an_index_before_its_value() {
    let (key_name, mut line) = (unique("okv"), Line::open());
    let attributes = [
        indexed_attribute("Cryptographic Algorithm", 0, enumeration(CryptographicAlgorithm::Aes.code())),
        indexed_attribute("Cryptographic Length", 0, Value::Integer(256)),
        indexed_attribute("Cryptographic Usage Mask", 0, Value::Integer(12)),
        indexed_attribute("Name", 0, name_value(&key_name)),
        indexed_attribute("x-key_id", 0, Value::text("INNODBKey-1")),
    ];
    let made = line.ask_one(okv().op(Operation::Create, [object_type(ObjectType::SymmetricKey), template(attributes)]));
    assert_eq!(tags(&made), [Tag::ObjectType, Tag::UniqueIdentifier]);
    let key = uid_of(&made);
    line.ask_one(okv().op(Operation::Activate, [uid(&key)]));
    let bytes = material(&line.ask_one(okv().op(Operation::Get, [uid(&key)])));
    assert_eq!(bytes.len(), 32);
    let criteria = [indexed_attribute("Name", 0, name_value(&key_name))];
    assert_eq!(uids_of(&line.ask_one(okv().op(Operation::Locate, criteria))), std::slice::from_ref(&key));
    line.ask_one(okv().op(Operation::Revoke, [uid(&key), reason(RevocationReasonCode::CessationOfOperation)]));
    let asked = okv().op(Operation::GetAttributes, [uid(&key), attribute_name("State")]);
    assert_eq!(state_of(&line.ask_one(asked)), State::Deactivated);
    line.ask_one(okv().op(Operation::Destroy, [uid(&key)]));
    assert_eq!(line.ask(okv().op(Operation::Get, [uid(&key)]))[0].refusal(), ResultReason::ItemNotFound);
}

#[test]
fn the_index_may_stand_after_the_value_too_and_a_negative_one_is_refused() {
    let mut line = Line::open();
    let create = |position, index| {
        let mut fields = vec![
            attribute_name("Name"),
            Item::new(
                Tag::AttributeValue,
                Value::Structure(vec![
                    Item::new(Tag::NameValue, Value::text(unique("okv"))),
                    Item::new(Tag::NameType, enumeration(NameType::UninterpretedTextString.code())),
                ]),
            ),
        ];
        fields.insert(position, Item::new(Tag::AttributeIndex, Value::Integer(index)));
        let [algorithm, length, usage] = key_attributes(CryptographicAlgorithm::Aes, 128, 12);
        let attributes = [algorithm, length, usage, Item::structure(Tag::Attribute, fields)];
        okv().op(Operation::Create, [object_type(ObjectType::SymmetricKey), template(attributes)])
    };
    line.ask_one(create(1, 0));
    line.ask_one(create(2, 0));
    assert_eq!(line.ask(create(1, -1))[0].refusal(), ResultReason::InvalidField);
}
