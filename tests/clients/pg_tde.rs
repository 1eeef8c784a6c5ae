//! Percona pg_tde (libkmip): registers in KMIP 1.4, looks its key up in 1.0, and never activates it.

use kmip::{
    enums::{CryptographicAlgorithm, KeyCompressionType, ObjectType, Operation, State},
    tags::Tag,
    tree::{Item, Value},
    version::Version,
};

use super::{
    Line,
    answers::{material, state_of, tags, uid_of, uids_of},
    message::{
        Batch, attribute, attribute_name, enumeration, key_attributes, message, name, object_type, raw_key, template,
        uid, unique,
    },
};

fn register(line: &mut Line, key_name: &str, key: &[u8]) -> String {
    let bits = i32::try_from(key.len() * 8).unwrap();
    let [algorithm, length, usage] = key_attributes(CryptographicAlgorithm::Aes, bits, 12);
    let compression = Some(KeyCompressionType::EcPublicKeyTypeUncompressed.code());
    let payload = [
        object_type(ObjectType::SymmetricKey),
        template([algorithm, length, usage, name(key_name)]),
        raw_key(key, CryptographicAlgorithm::Aes, compression),
    ];
    let made = line.ask_one(message(Version::V1_4).maximum_response_size(8192).op(Operation::Register, payload));
    assert_eq!(tags(&made), [Tag::UniqueIdentifier]);
    uid_of(&made)
}

fn look_up(line: &mut Line, key_name: &str) -> Vec<String> {
    let criteria = [
        Item::new(Tag::MaximumItems, Value::Integer(16)),
        attribute("Object Type", enumeration(ObjectType::SymmetricKey.code())),
        name(key_name),
    ];
    uids_of(&line.ask_one(message(Version::V1_0).maximum_response_size(8192).op(Operation::Locate, criteria)))
}

#[test]
fn finds_and_fetches_the_key_it_registered_without_activating_it() {
    for bytes in [16, 32] {
        drop(Line::open());
        let (key_name, key_bytes) = (unique("pg-tde"), vec![0x3C; bytes]);
        let key = register(&mut Line::open(), &key_name, &key_bytes);

        let mut line = Line::open();
        assert_eq!(look_up(&mut line, &key_name), std::slice::from_ref(&key));
        let get = message(Version::V1_0).maximum_response_size(8192).op(Operation::Get, [uid(&key)]);
        assert_eq!(material(&line.ask_one(get)), key_bytes);
        let asked = message(Version::V1_0).op(Operation::GetAttributes, [uid(&key), attribute_name("State")]);
        assert_eq!(state_of(&line.ask_one(asked)), State::PreActive);
    }
}

#[test]
fn is_never_given_more_than_one_key_for_a_name() {
    let (key_name, mut line) = (unique("pg-tde"), Line::open());
    let key = register(&mut line, &key_name, &[1; 32]);
    register(&mut line, &format!("{key_name}-2"), &[2; 32]);
    register(&mut line, &key_name.to_uppercase(), &[3; 32]);
    assert_eq!(look_up(&mut line, &key_name), [key]);
    assert_eq!(look_up(&mut line, &key_name[..key_name.len() - 1]), Vec::<String>::new());
}
