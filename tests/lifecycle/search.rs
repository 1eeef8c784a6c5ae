//! Locate: exactly the objects that have every attribute asked for, in a stable order, and never more (KMIP 1.4 §4.9).

use kmip::{
    attributes::{Attribute, AttributeKind, AttributeName, Link},
    enums::{CryptographicAlgorithm, LinkType, NameType, ObjectType, ResultReason, State},
    fields::DateTime,
    masks::{CryptographicUsageMask, StorageStatusMask},
    payloads::{Criterion, LocateRequest},
    tags::Tag,
    tree::{Item, Value},
    version::Version,
};

use super::attributes::every_type;
use crate::harness::{
    ask::*,
    create_aes,
    engine::{TestServer, User},
    name,
};

const NONE: [&str; 0] = [];

fn named(text: &str, value: Value) -> Criterion {
    Criterion { name: AttributeName::Other(text.to_owned()), value }
}

fn by(kind: AttributeKind, value: Value) -> Criterion {
    Criterion { name: AttributeName::Standard(kind), value }
}

#[test]
fn finds_what_has_every_attribute_and_nothing_else() {
    let server = TestServer::new();
    let alice = server.alice();
    let a = alice.make(create_aes(128, [name("a"), custom_text("x-site", "north")]));
    let b = alice.make(create_aes(256, [name("b"), custom_text("x-site", "north")]));
    let c = alice.make(register_secret(b"c", [name("c"), custom_text("x-site", "south")]));
    let ids = |found: Vec<String>| {
        let mut found = found;
        found.sort();
        found
    };
    assert_eq!(ids(alice.find(locate([]))), [a.as_str(), &b, &c]);
    assert_eq!(alice.find(locate([name("a")])), [a.as_str()]);
    assert_eq!(ids(alice.find(locate([custom_text("x-site", "north")]))), [a.as_str(), &b]);
    let north = custom_text("x-site", "north");
    assert_eq!(alice.find(locate([north.clone(), Attribute::CryptographicLength(256)])), [b.as_str()]);
    assert_eq!(alice.find(locate([north, Attribute::ObjectType(ObjectType::SecretData)])), NONE);
    // Near misses: case, blanks, a part, another type, another name.
    for text in ["A", "a ", " a", "", "ab"] {
        assert_eq!(alice.find(locate([name(text)])), NONE, "{text:?}");
    }
    for (text, value) in [
        ("x-site", Value::text("North")),
        ("x-site", Value::bytes(*b"north")),
        ("x-Site", Value::text("north")),
        ("x-sit", Value::text("north")),
        ("x-site", Value::text("")),
    ] {
        assert_eq!(alice.find(locate_by([named(text, value)])), NONE, "{text}");
    }
    let uri = Attribute::Name(kmip::attributes::Name { name_value: "a".to_owned(), name_type: NameType::Uri });
    assert_eq!(alice.find(locate([uri])), NONE);
}

#[test]
fn finds_an_object_by_its_identifier_as_it_is_written_and_in_no_other_spelling() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(128);
    alice.create_aes(128);
    let by_id = |text: String| alice.find(locate([Attribute::UniqueIdentifier(text)]));
    assert_eq!(by_id(id.clone()), [id.as_str()]);
    for other in [id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}"), format!(" {id}"), String::new()] {
        assert_eq!(by_id(other.clone()), NONE, "{other}");
    }
    let both = [Attribute::UniqueIdentifier(id.clone()), Attribute::State(State::Active)];
    assert_eq!(alice.find(locate(both)), NONE);
}

#[test]
fn finds_custom_attributes_of_every_type_and_not_their_neighbours() {
    let server = TestServer::new();
    let alice = server.alice();
    let values = every_type();
    let ids: Vec<String> =
        values.iter().map(|value| alice.make(create_aes(128, [custom("x-any", value.clone())]))).collect();
    for (value, id) in values.iter().zip(&ids) {
        assert_eq!(alice.find(locate([custom("x-any", value.clone())])), [id.as_str()], "{value:?}");
        assert_eq!(alice.find(locate([custom("x-other", value.clone())])), NONE, "{value:?}");
    }
    for near in [
        Value::Integer(7),
        Value::LongInteger(-7),
        Value::Boolean(false),
        Value::text("text"),
        Value::bytes([0, 255]),
        Value::DateTime(1_234_567_891),
        Value::Interval(1),
    ] {
        assert_eq!(alice.find(locate([custom("x-any", near.clone())])), NONE, "{near:?}");
    }
}

#[test]
fn pages_are_cut_from_one_stable_order() {
    let server = TestServer::new();
    let alice = server.alice();
    let ids: Vec<String> = (0..25).map(|_| alice.make(create_aes(128, [custom_text("x-page", "yes")]))).collect();
    alice.create_aes(128);
    let newest: Vec<String> = ids.iter().rev().cloned().collect();
    let page = |user: &User, offset: Option<i32>, maximum: Option<i32>| {
        let request = locate([custom_text("x-page", "yes")]);
        user.find(LocateRequest { maximum_items: maximum, offset_items: offset, ..request })
    };
    assert_eq!(page(&alice, None, None), newest);
    assert_eq!(page(&alice, Some(0), Some(25)), newest);
    assert_eq!(page(&alice, None, Some(0)), NONE);
    assert_eq!(page(&alice, Some(25), None), NONE);
    assert_eq!(page(&alice, Some(1000), Some(5)), NONE);
    let pages: Vec<String> = (0..4).flat_map(|n| page(&alice, Some(n * 7), Some(7))).collect();
    assert_eq!(pages, newest);
    // Older versions page through a list that grows at its end.
    let older = alice.speaking(Version::V1_3);
    let pages: Vec<String> = (0..4).flat_map(|n| page(&older, Some(n * 7), Some(7))).collect();
    assert_eq!(pages, ids);
    // A change moves nothing.
    alice.ask(add(&ids[3], custom_text("x-note", "changed"))).unwrap();
    alice.ask(activate(&ids[20])).unwrap();
    assert_eq!(page(&alice, None, None), newest);
    for (offset, maximum) in [(None, Some(-1)), (Some(-1), None)] {
        let request = LocateRequest { maximum_items: maximum, offset_items: offset, ..locate([]) };
        assert_eq!(alice.refused(request), ResultReason::InvalidField);
    }
}

#[test]
fn finds_destroyed_objects_only_when_asked() {
    let server = TestServer::new();
    let alice = server.alice();
    let live = alice.make(create_aes(128, [name("live")]));
    let gone = alice.make(create_aes(128, [name("gone")]));
    alice.ask(destroy(&gone)).unwrap();
    let with = |bits: Option<i32>, criteria: Vec<Attribute>| {
        let mask = bits.map(StorageStatusMask::from_bits);
        alice.find(LocateRequest { storage_status_mask: mask, ..locate(criteria) })
    };
    for (bits, expected) in [
        (None, vec![&live]),
        (Some(1), vec![&live]),
        (Some(4), vec![&gone]),
        (Some(5), vec![&gone, &live]),
        (Some(2), vec![]),
        (Some(0), vec![]),
    ] {
        assert_eq!(with(bits, Vec::new()).iter().collect::<Vec<_>>(), expected, "{bits:?}");
    }
    assert_eq!(with(None, vec![name("gone")]), NONE);
    assert_eq!(with(Some(4), vec![name("gone")]), [gone.as_str()]);
    assert_eq!(with(None, vec![Attribute::State(State::Destroyed)]), NONE);
    assert_eq!(with(None, vec![Attribute::UniqueIdentifier(gone.clone())]), NONE);
    assert_eq!(with(Some(4), vec![Attribute::UniqueIdentifier(gone.clone())]), [gone.as_str()]);
}

#[test]
fn finds_dates_by_moment_by_range_and_by_absence() {
    let server = TestServer::new();
    let alice = server.alice();
    let start = server.now();
    let ids: Vec<String> = (0..5)
        .map(|n| {
            server.pass(10);
            let far = Attribute::ActivationDate(DateTime(start + 1000 + n));
            alice.make(create_aes(128, (n < 3).then_some(far)))
        })
        .collect();
    let at = |kind: AttributeKind, seconds: &[i64]| {
        let criteria = seconds.iter().map(|seconds| by(kind, Value::DateTime(*seconds)));
        let mut found = alice.find(locate_by(criteria.collect::<Vec<_>>()));
        found.reverse();
        found
    };
    use AttributeKind::{ActivationDate, DeactivationDate, InitialDate};
    assert_eq!(at(InitialDate, &[start + 30]), [ids[2].as_str()]);
    assert_eq!(at(InitialDate, &[start + 31]), NONE);
    assert_eq!(at(InitialDate, &[start + 20, start + 40]), ids[1..4], "both ends belong to it");
    assert_eq!(at(InitialDate, &[start + 40, start + 20]), ids[1..4], "either way round");
    assert_eq!(at(InitialDate, &[start + 21, start + 39]), ids[2..3]);
    assert_eq!(at(ActivationDate, &[i64::MAX]), ids[3..], "the largest date stands for none");
    assert_eq!(at(DeactivationDate, &[i64::MAX]), ids);
    assert_eq!(at(ActivationDate, &[start + 1001, start + 9999]), ids[1..3]);
    let three = [1, 2, 3].map(|n| by(InitialDate, Value::DateTime(n)));
    assert_eq!(alice.refused(locate_by(three)), ResultReason::InvalidField);
}

#[test]
fn finds_a_usage_mask_by_any_part_of_it() {
    use CryptographicUsageMask as M;
    let server = TestServer::new();
    let alice = server.alice();
    let with_mask = |mask: M| {
        let mut request = create_aes(128, []);
        request
            .attributes
            .0
            .attributes
            .retain(|one| one.attribute.kind() != Some(AttributeKind::CryptographicUsageMask));
        request.attributes.0.attributes.push(Attribute::CryptographicUsageMask(mask).into());
        alice.make(request)
    };
    let encrypt = with_mask(M::Encrypt);
    let both = with_mask(M::Encrypt | M::Decrypt);
    let wrap = with_mask(M::WrapKey);
    let find = |mask| alice.find(locate([Attribute::CryptographicUsageMask(mask)]));
    assert_eq!(find(M::Encrypt), [both.as_str(), &encrypt]);
    assert_eq!(find(M::Encrypt | M::Decrypt), [both.as_str()]);
    assert_eq!(find(M::WrapKey), [wrap.as_str()]);
    assert_eq!(find(M::Encrypt | M::WrapKey), NONE);
    assert_eq!(find(M::empty()), [wrap.as_str(), &both, &encrypt]);
}

#[test]
fn finds_a_structure_by_some_of_its_fields_of_one_instance() {
    let server = TestServer::new();
    let alice = server.alice();
    let link = |link_type, to: &str| Attribute::Link(Link { link_type, linked_object_identifier: to.to_owned() });
    let a = alice.make(create_aes(
        128,
        [name("a"), link(LinkType::ReplacementObjectLink, "one"), link(LinkType::PreviousLink, "two")],
    ));
    let b = alice.make(create_aes(128, [name("b"), link(LinkType::PreviousLink, "one")]));
    let part = |kind, fields: Vec<Item>| alice.find(locate_by([by(kind, Value::Structure(fields))]));
    let to = |text: &str| Item::new(Tag::LinkedObjectIdentifier, Value::text(text));
    let of = |link_type: LinkType| Item::new(Tag::LinkType, Value::Enumeration(link_type.to_enumerated()));
    use AttributeKind::{Link as LinkKind, Name};
    assert_eq!(part(LinkKind, vec![to("one")]), [b.as_str(), &a]);
    assert_eq!(part(LinkKind, vec![of(LinkType::PreviousLink)]), [b.as_str(), &a]);
    assert_eq!(part(LinkKind, vec![of(LinkType::PreviousLink), to("one")]), [b.as_str()], "not spread over two links");
    assert_eq!(part(LinkKind, vec![to("one"), of(LinkType::PreviousLink)]), [b.as_str()], "in any order");
    assert_eq!(part(LinkKind, vec![to("three")]), NONE);
    assert_eq!(part(Name, vec![Item::new(Tag::NameValue, Value::text("a"))]), [a.as_str()]);
    assert_eq!(part(Name, vec![Item::new(Tag::NameValue, Value::text("c"))]), NONE);
}

#[test]
fn an_attribute_that_is_not_known_is_refused_and_never_passed_over() {
    let server = TestServer::new();
    let alice = server.alice();
    alice.make(create_aes(128, [name("a")]));
    for text in ["Colour", "name", "Name ", "", "z-mine"] {
        for criteria in [vec![named(text, Value::text("a"))], vec![named(text, Value::text("a")), criterion(name("a"))]]
        {
            assert_eq!(alice.refused(locate_by(criteria)), ResultReason::InvalidField, "{text:?}");
        }
    }
    // Sensitive is an attribute of 1.4; a client of 1.3 that asks for it does not get everything.
    let sensitive = || by(AttributeKind::Sensitive, Value::Boolean(false));
    assert_eq!(alice.find(locate_by([sensitive()])).len(), 1);
    assert_eq!(alice.speaking(Version::V1_3).refused(locate_by([sensitive()])), ResultReason::InvalidField);
    // So with a value that cannot be the attribute's.
    for wrong in [
        by(AttributeKind::CryptographicLength, Value::text("128")),
        by(AttributeKind::State, Value::Integer(1)),
        by(AttributeKind::CryptographicAlgorithm, Value::Enumeration(kmip::tree::Enumerated::code(0x7777))),
        by(AttributeKind::InitialDate, Value::Integer(1)),
    ] {
        assert!(alice.ask(locate_by([wrong.clone()])).is_err(), "{wrong:?}");
    }
    let aes = Attribute::CryptographicAlgorithm(CryptographicAlgorithm::Aes);
    assert_eq!(alice.find(locate([aes])).len(), 1);
}

#[test]
fn a_search_that_must_look_at_every_object_finds_each_once_in_either_order() {
    use kmip::version::Version;
    let server = TestServer::new();
    let alice = server.alice();
    // More than a page of what the search looks at in one step.
    let mut made: Vec<String> = (0..300).map(|_| alice.create_aes(128)).collect();
    let everything = || locate([Attribute::Extractable(true)]);
    assert_eq!(alice.speaking(Version::V1_4).find(everything()).len(), 300);
    made.reverse();
    assert_eq!(alice.find(everything()), made, "newest first");
    assert_eq!(alice.find(LocateRequest { offset_items: Some(290), ..everything() }), made[290..]);
}
