//! A storage array: KMIP 1.0, four operations in one batch, of which the later ones say no Unique Identifier.

use kmip::{
    client::RequestBuilder,
    enums::{CryptographicAlgorithm, ObjectType, Operation, ResultReason},
    tags::Tag,
    tree::{Item, Value},
    version::Version,
};

use super::{
    Line,
    answers::{material, tags, uid_of, uids_of, values},
    message::{Batch, attribute, enumeration, key_attributes, message, object_type, raw_key, template, unique},
};

fn batch(serial: &str, slot: i32) -> RequestBuilder {
    let function = Item::new(Tag::QueryFunction, enumeration(1));
    let criteria = [attribute("x-array-serial", Value::text(serial)), attribute("x-slot", Value::Integer(slot))];
    message(Version::V1_0)
        .in_order(true)
        .named_op(b"1", Operation::Query, [function])
        .named_op(b"2", Operation::Locate, criteria)
        .named_op(b"3", Operation::Get, [])
        .named_op(b"4", Operation::GetAttributes, [])
}

fn register(line: &mut Line, serial: &str, slot: i32, key: &[u8]) -> String {
    let [algorithm, length, usage] = key_attributes(CryptographicAlgorithm::Aes, 256, 12);
    let custom = [attribute("x-array-serial", Value::text(serial)), attribute("x-slot", Value::Integer(slot))];
    let attributes = [algorithm, length, usage].into_iter().chain(custom);
    let payload =
        [object_type(ObjectType::SymmetricKey), template(attributes), raw_key(key, CryptographicAlgorithm::Aes, None)];
    uid_of(&line.ask_one(message(Version::V1_0).op(Operation::Register, payload)))
}

#[test]
fn finds_and_fetches_a_key_in_one_batch_through_the_id_placeholder() {
    let (serial, mut line) = (unique("array"), Line::open());
    register(&mut line, &serial, 1, &[1; 32]);
    let key = register(&mut line, &serial, 2, &[2; 32]);
    let payloads: Vec<Item> =
        line.ask(batch(&serial, 2)).into_iter().map(super::answers::Answer::into_payload).collect();
    assert_eq!(payloads.len(), 4);
    assert!(tags(&payloads[0]).iter().all(|tag| *tag == Tag::Operation));
    assert_eq!(uids_of(&payloads[1]), std::slice::from_ref(&key));
    assert_eq!((uid_of(&payloads[2]), material(&payloads[2])), (key.clone(), vec![2; 32]));
    assert_eq!(uid_of(&payloads[3]), key);
    assert_eq!(values(&payloads[3], "x-slot"), [&Value::Integer(2)]);
    assert_eq!(values(&payloads[3], "x-array-serial"), [&Value::text(serial)]);
}

#[test]
fn a_placeholder_that_nothing_filled_names_no_object_not_even_the_last_batchs() {
    let (serial, mut line) = (unique("array"), Line::open());
    register(&mut line, &serial, 1, &[1; 32]);
    assert_eq!(line.ask(batch(&serial, 1)).len(), 4);
    let answers = line.ask(batch(&serial, 3));
    assert_eq!(answers.len(), 3, "the batch stops at the Get");
    assert_eq!(answers[2].refusal(), ResultReason::ItemNotFound);
    let answers = line.ask(message(Version::V1_0).op(Operation::Get, []));
    assert_eq!(answers[0].refusal(), ResultReason::ItemNotFound);
}

#[test]
fn a_custom_attribute_of_another_type_is_another_value() {
    let (serial, mut line) = (unique("array"), Line::open());
    register(&mut line, &serial, 1, &[1; 32]);
    for value in [Value::text("1"), Value::LongInteger(1), enumeration(1), Value::Integer(2)] {
        let criteria = [attribute("x-array-serial", Value::text(&*serial)), attribute("x-slot", value)];
        assert_eq!(
            uids_of(&line.ask_one(message(Version::V1_0).op(Operation::Locate, criteria))),
            Vec::<String>::new()
        );
    }
}
