//! Synology DSM: KMIP 1.2, a connection for each request, several in parallel.

use kmip::{
    client::RequestBuilder,
    enums::{ObjectType, Operation, ResultReason, SecretDataType, State},
    tags::Tag,
    tree::{Item, Value},
    version::Version,
};

use super::{
    Line,
    answers::{material, state_of, tags, text, uid_of, uids_of},
    message::{
        Batch, attribute, attribute_name, enumeration, indexed_attribute, message, name, name_value, object_type,
        opaque_secret, template, uid, unique,
    },
};

fn v1_2() -> RequestBuilder {
    message(Version::V1_2)
}

/// Asks on a connection of its own.
fn ask_one(request: RequestBuilder) -> Item {
    Line::open().ask_one(request)
}

fn register(secret_name: &str) -> String {
    let attributes = [
        attribute("Cryptographic Usage Mask", Value::Integer(2)),
        attribute("Operation Policy Name", Value::text("default")),
        name(secret_name),
    ];
    let payload = [
        object_type(ObjectType::SecretData),
        template(attributes),
        opaque_secret(b"a volume's password", SecretDataType::Password),
    ];
    uid_of(&ask_one(v1_2().op(Operation::Register, payload)))
}

#[test]
fn stores_a_password_renames_and_activates_it() {
    let (old, new) = (unique("synology"), unique("synology"));
    assert!(uids_of(&ask_one(v1_2().op(Operation::Locate, [name(&old)]))).is_empty());
    let secret = register(&old);

    let renamed = indexed_attribute("Name", 0, name_value(&new));
    let answer = ask_one(v1_2().op(Operation::ModifyAttribute, [uid(&secret), renamed]));
    assert_eq!(tags(&answer), [Tag::UniqueIdentifier, Tag::Attribute]);
    let echoed = answer.field(Tag::Attribute).unwrap();
    assert_eq!(echoed.field(Tag::AttributeName), Some(&attribute_name("Name")));
    assert_eq!(echoed.field(Tag::AttributeValue).unwrap().value, name_value(&new), "the new value is echoed");

    ask_one(v1_2().op(Operation::Activate, [uid(&secret)]));
    assert!(uids_of(&ask_one(v1_2().op(Operation::Locate, [name(&old)]))).is_empty());
    assert_eq!(uids_of(&ask_one(v1_2().op(Operation::Locate, [name(&new)]))), std::slice::from_ref(&secret));
    assert_eq!(material(&ask_one(v1_2().op(Operation::Get, [uid(&secret)]))), b"a volume's password");

    let listed = ask_one(v1_2().op(Operation::GetAttributeList, [uid(&secret)]));
    let names: Vec<&str> = listed.fields()[1..].iter().map(|field| text(&field.value)).collect();
    for expected in ["Name", "State", "Operation Policy Name", "Cryptographic Usage Mask", "Activation Date"] {
        assert_eq!(names.iter().filter(|name| **name == expected).count(), 1, "{expected} once in {names:?}");
    }
    let asked = ask_one(v1_2().op(Operation::GetAttributes, [uid(&secret), attribute_name("State")]));
    assert_eq!(state_of(&asked), State::Active);
}

#[test]
fn a_name_that_is_taken_is_not_given_twice() {
    let (one, other) = (unique("synology"), unique("synology"));
    let (first, _second) = (register(&one), register(&other));
    let taken = indexed_attribute("Name", 0, name_value(&other));
    let answers = Line::open().ask(v1_2().op(Operation::ModifyAttribute, [uid(&first), taken]));
    assert!(!answers[0].succeeded());
    assert_eq!(uids_of(&ask_one(v1_2().op(Operation::Locate, [name(&one)]))), [first]);
    let index_of_none = indexed_attribute("Name", 7, name_value(&unique("synology")));
    let answers = Line::open().ask(v1_2().op(Operation::ModifyAttribute, [uid(&uid_of_name(&one)), index_of_none]));
    assert_eq!(answers[0].refusal(), ResultReason::ItemNotFound);
}

fn uid_of_name(secret_name: &str) -> String {
    uids_of(&ask_one(v1_2().op(Operation::Locate, [name(secret_name)]))).remove(0)
}

#[test]
fn asks_for_everything_about_the_server_many_times_at_once() {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let functions = (1..=6).map(|function| Item::new(Tag::QueryFunction, enumeration(function)));
                let found = ask_one(v1_2().op(Operation::Query, functions));
                let operations = found.fields().iter().filter(|field| field.tag == Tag::Operation).count();
                assert!(operations >= 15, "{operations} operations");
                assert!(found.field(Tag::VendorIdentification).is_some());
                let order = [Tag::Operation, Tag::ObjectType, Tag::VendorIdentification, Tag::ServerInformation];
                let positions: Vec<_> = tags(&found).iter().map(|tag| order.iter().position(|o| o == tag)).collect();
                assert!(positions.iter().all(Option::is_some) && positions.is_sorted());
            });
        }
    });
}
