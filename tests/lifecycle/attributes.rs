//! Who may give, add, change and delete which attribute: for each rule what it permits, and the nearest thing that it does
//! not (KMIP 1.4 §3, §4.14 to §4.16).

use kmip::{
    attributes::{Attribute, AttributeKind, AttributeName, ClientAccess},
    enums::{CryptographicAlgorithm, ResultReason, RevocationReasonCode, State},
    fields::{DateTime, Interval},
    masks::CryptographicUsageMask,
    payloads::Response,
    tags::Tag,
    tree::{Enumerated, Item, Value},
};

use crate::harness::{
    ask::*,
    create_aes,
    engine::{TestServer, User},
    name,
};

fn value(user: &User, id: &str, kind: AttributeKind) -> Option<Attribute> {
    user.attributes(id, &[kind]).unwrap().into_iter().next().map(|one| one.attribute)
}

fn standard(kind: AttributeKind) -> AttributeName {
    AttributeName::Standard(kind)
}

fn not_permitted(reason: ResultReason) -> bool {
    matches!(
        reason,
        ResultReason::ReadOnlyAttribute | ResultReason::PermissionDenied | ResultReason::WrongKeyLifecycleState
    )
}

#[test]
fn what_only_the_server_sets_is_read_and_nothing_else() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    let before = alice.attributes(&id, &[]).unwrap();
    for attribute in [
        Attribute::State(State::Active),
        Attribute::InitialDate(DateTime(1)),
        Attribute::LeaseTime(Interval(1)),
        Attribute::LastChangeDate(DateTime(1)),
        Attribute::AlwaysSensitive(true),
        Attribute::UniqueIdentifier("mine".to_owned()),
    ] {
        let kind = attribute.kind().unwrap();
        assert_eq!(kind.access(), ClientAccess::ReadOnly);
        assert_eq!(alice.refused(create_aes(256, [attribute.clone()])), ResultReason::InvalidField, "{kind:?}");
        assert!(not_permitted(alice.refused(add(&id, attribute.clone()))), "{kind:?}");
        assert!(not_permitted(alice.refused(modify(&id, attribute))), "{kind:?}");
        assert!(not_permitted(alice.refused(delete(&id, standard(kind), 0))), "{kind:?}");
        assert!(value(&alice, &id, kind).is_some(), "{kind:?}");
    }
    assert_eq!(alice.attributes(&id, &[]).unwrap(), before);
}

#[test]
fn what_is_fixed_at_creation_is_given_then_and_never_changed() {
    let server = TestServer::new();
    let alice = server.alice();
    let mask = Attribute::CryptographicUsageMask(CryptographicUsageMask::Encrypt | CryptographicUsageMask::Decrypt);
    let id = alice.create_aes(256);
    assert_eq!(value(&alice, &id, AttributeKind::CryptographicUsageMask), Some(mask));
    for attribute in [
        Attribute::CryptographicUsageMask(CryptographicUsageMask::Sign),
        Attribute::CryptographicLength(128),
        Attribute::CryptographicAlgorithm(CryptographicAlgorithm::Des3),
        Attribute::OperationPolicyName("mine".to_owned()),
    ] {
        let kind = attribute.kind().unwrap();
        assert_eq!(kind.access(), ClientAccess::AtCreation);
        assert!(not_permitted(alice.refused(add(&id, attribute.clone()))), "{kind:?}");
        assert!(not_permitted(alice.refused(modify(&id, attribute))), "{kind:?}");
        assert!(not_permitted(alice.refused(delete(&id, standard(kind), 0))), "{kind:?}");
    }
}

#[test]
fn a_date_is_changed_while_it_lies_ahead_and_never_deleted() {
    let server = TestServer::new();
    let alice = server.alice();
    let now = server.now();
    let activation = |at| Attribute::ActivationDate(DateTime(now + at));
    let id = alice.create_aes(256);
    alice.ask(add(&id, activation(100))).unwrap();
    assert_eq!(alice.refused(add(&id, activation(100))), ResultReason::IllegalOperation, "it has one");
    alice.ask(modify(&id, activation(50))).unwrap();
    assert!(not_permitted(alice.refused(delete(&id, standard(AttributeKind::ActivationDate), 0))));
    server.pass(49);
    assert_eq!(alice.state(&id), State::PreActive);
    alice.ask(modify(&id, activation(60))).unwrap();
    server.pass(10);
    assert_eq!(alice.state(&id), State::PreActive);
    server.pass(1);
    assert_eq!(alice.state(&id), State::Active);
    assert!(not_permitted(alice.refused(modify(&id, activation(200)))), "it is past");
    // The other end: in order, and while the object is active.
    let deactivation = |at| Attribute::DeactivationDate(DateTime(now + at));
    assert_eq!(alice.refused(add(&id, deactivation(59))), ResultReason::InvalidField, "before the activation");
    alice.ask(add(&id, deactivation(70))).unwrap();
    server.pass(9);
    assert_eq!(alice.state(&id), State::Active);
    server.pass(1);
    assert_eq!(alice.state(&id), State::Deactivated);
    assert!(not_permitted(alice.refused(modify(&id, deactivation(200)))));
}

#[test]
fn sensitive_and_extractable_are_changed_and_never_deleted() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    assert!(alice.ask(get(&id)).is_ok());
    alice.ask(modify(&id, Attribute::Sensitive(true))).unwrap();
    assert!(alice.ask(get(&id)).is_err(), "a sensitive key leaves only wrapped");
    alice.ask(modify(&id, Attribute::Sensitive(false))).unwrap();
    alice.ask(modify(&id, Attribute::Extractable(false))).unwrap();
    assert!(alice.ask(get(&id)).is_err());
    for kind in [AttributeKind::Sensitive, AttributeKind::Extractable] {
        assert_eq!(kind.access(), ClientAccess::Kept);
        assert!(not_permitted(alice.refused(delete(&id, standard(kind), 0))), "{kind:?}");
    }
    assert_eq!(value(&alice, &id, AttributeKind::AlwaysSensitive), Some(Attribute::AlwaysSensitive(false)));
    assert_eq!(value(&alice, &id, AttributeKind::NeverExtractable), Some(Attribute::NeverExtractable(false)));
}

#[test]
fn what_is_the_clients_own_is_given_added_changed_and_deleted() {
    let server = TestServer::new();
    let alice = server.alice();
    let contact = |text: &str| Attribute::ContactInformation(text.to_owned());
    assert_eq!(AttributeKind::ContactInformation.access(), ClientAccess::Free);
    let id = alice.make(create_aes(256, [contact("given")]));
    assert_eq!(alice.refused(add(&id, contact("second"))), ResultReason::IllegalOperation, "one is all it may have");
    alice.ask(modify(&id, contact("changed"))).unwrap();
    assert_eq!(value(&alice, &id, AttributeKind::ContactInformation), Some(contact("changed")));
    let deleted = alice.ask(delete(&id, standard(AttributeKind::ContactInformation), 0)).unwrap();
    assert!(matches!(deleted, Response::DeleteAttribute(found) if found.attribute.attribute == contact("changed")));
    assert_eq!(value(&alice, &id, AttributeKind::ContactInformation), None);
    assert_eq!(alice.refused(delete(&id, standard(AttributeKind::ContactInformation), 0)), ResultReason::ItemNotFound);
    assert_eq!(alice.refused(modify(&id, contact("gone"))), ResultReason::InvalidField, "it must be added first");
    alice.ask(add(&id, contact("added"))).unwrap();
}

#[test]
fn instances_keep_their_indices() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.make(create_aes(128, [name("zero"), name("one"), name("two")]));
    let names = || {
        let names = alice.attributes(&id, &[AttributeKind::Name]).unwrap();
        names.into_iter().map(|one| (one.index.unwrap_or(0), one.attribute)).collect::<Vec<_>>()
    };
    assert_eq!(names(), [(0, name("zero")), (1, name("one")), (2, name("two"))]);
    alice.ask(delete(&id, standard(AttributeKind::Name), 1)).unwrap();
    assert_eq!(names(), [(0, name("zero")), (2, name("two"))]);
    alice.ask(modify_at(&id, name("zwei"), 2)).unwrap();
    assert_eq!(alice.refused(modify_at(&id, name("eins"), 1)), ResultReason::ItemNotFound);
    assert_eq!(names(), [(0, name("zero")), (2, name("zwei"))]);
    alice.make(create_aes(128, [name("one")]));
    assert_eq!(alice.refused(add(&id, name("zwei"))), ResultReason::IllegalOperation);
}

#[test]
fn a_clients_custom_attribute_begins_with_x_and_the_servers_with_y() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.make(create_aes(128, [custom_text("x-mine", "a")]));
    for (text, creating) in [("y-mine", ResultReason::InvalidField), ("mine", ResultReason::InvalidField)] {
        assert_eq!(alice.refused(create_aes(128, [custom_text(text, "a")])), creating, "{text}");
        assert!(alice.ask(add(&id, custom_text(text, "a"))).is_err(), "{text}");
        assert!(alice.ask(modify(&id, custom_text(text, "a"))).is_err(), "{text}");
    }
    alice.ask(modify(&id, custom_text("x-mine", "b"))).unwrap();
    alice.ask(delete(&id, AttributeName::Other("x-mine".to_owned()), 0)).unwrap();
}

#[test]
fn custom_attributes_of_every_type_come_back_as_they_were_given() {
    let server = TestServer::new();
    let alice = server.alice();
    let values = every_type();
    let given = values.iter().zip(0..).map(|(value, n)| custom(&format!("x-{n}"), value.clone()));
    let id = alice.make(create_aes(128, given));
    for (value, n) in values.iter().zip(0..) {
        assert_eq!(alice.custom(&id, &format!("x-{n}")), [(0, value.clone())]);
    }
    let nested = Value::Structure(vec![Item::new(Tag::Attribute, Value::Structure(Vec::new()))]);
    assert_eq!(alice.refused(create_aes(128, [custom("x-nested", nested)])), ResultReason::InvalidField);
}

/// A value of every Item Type of 1.x.
pub(super) fn every_type() -> Vec<Value> {
    vec![
        Value::Integer(-7),
        Value::LongInteger(i64::MIN),
        Value::BigInteger(zeroize::Zeroizing::new(vec![0x80, 0, 0, 0, 0, 0, 0, 1])),
        Value::Enumeration(Enumerated::code(0x8000_0007)),
        Value::Boolean(true),
        Value::text("text, übersetzt"),
        Value::bytes([0, 255, 1]),
        Value::DateTime(1_234_567_890),
        Value::Interval(u32::MAX),
        Value::Structure(vec![
            Item::new(Tag::NameValue, Value::text("a field")),
            Item::new(Tag::CryptographicLength, Value::Integer(5)),
        ]),
    ]
}

#[test]
fn the_attributes_of_a_destroyed_object_are_read_and_no_longer_changed() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.make(create_aes(128, [custom_text("x-note", "kept")]));
    alice.ask(destroy(&id)).unwrap();
    assert_eq!(alice.custom(&id, "x-note"), [(0, Value::text("kept"))]);
    assert_eq!(value(&alice, &id, AttributeKind::DestroyDate), Some(Attribute::DestroyDate(DateTime(server.now()))));
    assert!(not_permitted(alice.refused(add(&id, custom_text("x-note", "more")))));
    assert!(not_permitted(alice.refused(modify(&id, custom_text("x-note", "other")))));
    assert!(not_permitted(alice.refused(delete(&id, AttributeName::Other("x-note".to_owned()), 0))));
    alice.ask(revoke(&id, RevocationReasonCode::KeyCompromise)).unwrap();
    assert_eq!(alice.state(&id), State::DestroyedCompromised);
}

#[test]
fn the_count_of_usage_limits_is_the_servers() {
    use kmip::{attributes::UsageLimits, enums::UsageLimitsUnit};
    let server = TestServer::new();
    let alice = server.alice();
    let limits = |total, count, unit| Attribute::UsageLimits(UsageLimits { total, count, unit });
    let byte = Some(UsageLimitsUnit::Byte);
    let id = alice.make(create_aes(128, [limits(Some(100), None, byte)]));
    alice.ask(modify(&id, limits(Some(200), Some(5), None))).unwrap();
    let stored = alice.attributes(&id, &[AttributeKind::UsageLimits]).unwrap();
    assert_eq!(stored[0].attribute, limits(Some(200), Some(200), byte));
}

#[test]
fn a_key_value_may_stay_with_the_client_from_1_2_on() {
    use kmip::version::Version;
    let server = TestServer::new();
    let alice = server.alice();
    let mut request = register_aes(&[7; 16], []);
    request.object.key_block_mut().unwrap().key_value = None;
    for version in [Version::V1_0, Version::V1_1] {
        assert_eq!(alice.speaking(version).refused(request.clone()), ResultReason::InvalidField);
    }
    assert!(alice.speaking(Version::V1_2).ask(request).is_ok());
}

#[test]
fn an_objects_original_creation_date_can_be_told_once() {
    use kmip::fields::DateTime;
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.make(register_aes(&[7; 16], []));
    let date = |seconds| Attribute::OriginalCreationDate(DateTime(seconds));
    alice.ask(add(&id, date(1_000_000_000))).unwrap();
    assert_eq!(alice.refused(add(&id, date(1_000_000_001))), ResultReason::IllegalOperation);
    assert_eq!(alice.refused(modify(&id, date(1_000_000_001))), ResultReason::PermissionDenied);
}
