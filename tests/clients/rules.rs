//! The rules that all clients together make: versions, indices, sizes, unknown operations, exact searches.

use kmip::{
    enums::{CryptographicAlgorithm, ObjectType, Operation, QueryFunction, ResultReason, SecretDataType, State},
    message::RequestMessage,
    tags::Tag,
    tree::{Item, Value},
    ttlv,
    version::Version,
};

use super::{
    Line, answers,
    answers::{at, material, state_of, tags, uid_of, uids_of},
    message::{
        Batch, attribute, attribute_name, enumeration, key_attributes, message, name, name_value, object_type,
        opaque_secret, raw_key, structure, template, uid, unique,
    },
};

const VERSIONS: [Version; 5] = [Version::V1_0, Version::V1_1, Version::V1_2, Version::V1_3, Version::V1_4];

fn create(version: Version, more: impl IntoIterator<Item = Item>) -> kmip::client::RequestBuilder {
    let attributes = key_attributes(CryptographicAlgorithm::Aes, 256, 12).into_iter().chain(more);
    message(version).op(Operation::Create, [object_type(ObjectType::SymmetricKey), template(attributes)])
}

#[test]
fn every_request_is_answered_in_its_own_version_on_one_connection_and_one_object() {
    let mut line = Line::open();
    let key = uid_of(&line.ask_one(create(Version::V1_4, [])));
    // The reader of answers asserts the version of each.
    let rounds = [Version::V1_1, Version::V1_4, Version::V1_0, Version::V1_3, Version::V1_2, Version::V1_0];
    let bytes: Vec<_> = rounds
        .into_iter()
        .map(|version| material(&line.ask_one(message(version).op(Operation::Get, [uid(&key)]))))
        .collect();
    assert!(bytes.iter().all(|found| *found == bytes[0]));
    line.ask_one(message(Version::V1_1).op(Operation::Activate, [uid(&key)]));
    let asked = message(Version::V1_0).op(Operation::GetAttributes, [uid(&key), attribute_name("State")]);
    assert_eq!(state_of(&line.ask_one(asked)), State::Active);
}

#[test]
fn discover_versions_binds_nobody_to_what_it_answered() {
    let mut line = Line::open();
    let only_1_4 = Item::structure(
        Tag::ProtocolVersion,
        vec![
            Item::new(Tag::ProtocolVersionMajor, Value::Integer(1)),
            Item::new(Tag::ProtocolVersionMinor, Value::Integer(4)),
        ],
    );
    let found = line.ask_one(message(Version::V1_1).op(Operation::DiscoverVersions, [only_1_4.clone()]));
    assert_eq!(found.fields(), [only_1_4]);
    line.ask_one(create(Version::V1_0, []));
}

#[test]
fn discover_versions_is_no_operation_of_1_0_and_a_client_that_tries_is_answered() {
    let mut line = Line::open();
    let answers = line.ask(
        message(Version::V1_0)
            .op(Operation::Query, [Item::new(Tag::QueryFunction, enumeration(QueryFunction::QueryOperations.code()))]),
    );
    let offered = answers.into_iter().next().unwrap().into_payload();
    let discover = Item::new(Tag::Operation, enumeration(Operation::DiscoverVersions.code()));
    assert!(!offered.fields().contains(&discover));
}

/// Objects of every type with attributes that only new versions know.
fn register_all(line: &mut Line) -> Vec<String> {
    let new = || {
        let alternative = structure([
            Item::new(Tag::AlternativeNameValue, Value::text(unique("alternative"))),
            Item::new(Tag::AlternativeNameType, enumeration(1)),
        ]);
        [
            attribute("Comment", Value::text("words")),
            attribute("Description", Value::text("words")),
            attribute("Alternative Name", alternative),
            attribute("Extractable", Value::Boolean(true)),
        ]
    };
    let register = |line: &mut Line, kind, attributes: Vec<Item>, object: Item| {
        let attributes = template(attributes.into_iter().chain(new()));
        uid_of(&line.ask_one(message(Version::V1_4).op(Operation::Register, [object_type(kind), attributes, object])))
    };
    let chacha = key_attributes(CryptographicAlgorithm::ChaCha20, 256, 12).to_vec();
    let opaque = Item::structure(
        Tag::OpaqueObject,
        vec![
            Item::new(Tag::OpaqueDataType, enumeration(0x8000_0001)),
            Item::new(Tag::OpaqueDataValue, Value::bytes(*b"opaque")),
        ],
    );
    let der = std::fs::read(super::server().dir().join("client/cert.pem")).unwrap();
    let der =
        <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(&der).unwrap();
    let certificate = Item::structure(
        Tag::Certificate,
        vec![Item::new(Tag::CertificateType, enumeration(1)), Item::new(Tag::CertificateValue, Value::bytes(&*der))],
    );
    let usage = || vec![attribute("Cryptographic Usage Mask", Value::Integer(12))];
    vec![
        uid_of(&line.ask_one(create(Version::V1_4, new()))),
        register(line, ObjectType::SymmetricKey, chacha, raw_key(&[1; 32], CryptographicAlgorithm::ChaCha20, None)),
        register(line, ObjectType::SecretData, usage(), opaque_secret(b"secret", SecretDataType::Password)),
        register(line, ObjectType::OpaqueObject, Vec::new(), opaque),
        register(line, ObjectType::Certificate, usage(), certificate),
    ]
}

#[test]
fn an_object_of_1_4_is_shown_to_each_version_in_its_own_words() {
    let mut line = Line::open();
    let objects = register_all(&mut line);
    for version in VERSIONS {
        for (number, id) in objects.iter().enumerate() {
            // The reader of answers asserts that the version defines everything in them.
            let all = line.ask_one(message(version).op(Operation::GetAttributes, [uid(id)]));
            let listed = line.ask_one(message(version).op(Operation::GetAttributeList, [uid(id)]));
            let comment = !answers::values(&all, "Comment").is_empty();
            assert_eq!(comment, version == Version::V1_4, "object {number} in {version}");
            assert_eq!(listed.fields().contains(&attribute_name("Comment")), comment);
            let fresh = !answers::values(&all, "Fresh").is_empty();
            assert_eq!(fresh, version >= Version::V1_1, "object {number} in {version}");
        }
    }
    for version in VERSIONS {
        for (number, id) in objects.iter().enumerate() {
            let answers = line.ask(message(version).op(Operation::Get, [uid(id)]));
            // The second is a ChaCha20 key, which only 1.4 can name.
            let nameable = number != 1 || version == Version::V1_4;
            assert_eq!(answers[0].succeeded(), nameable, "object {number} in {version}");
            if !nameable {
                assert_eq!(answers[0].refusal(), ResultReason::FeatureNotSupported);
            }
        }
        let functions = (1..=16).map(|code| Item::new(Tag::QueryFunction, enumeration(code)));
        let defined = functions.filter(|function| {
            let code = answers::code(&function.value);
            QueryFunction::from_code(code).is_some_and(|function| function.in_version(version))
        });
        line.ask_one(message(version).op(Operation::Query, defined));
    }
}

#[test]
fn refusals_too_are_in_the_words_of_the_requests_version() {
    let mut line = Line::open();
    for version in VERSIONS {
        let key = uid_of(&line.ask_one(create(version, [])));
        line.ask_one(message(version).op(Operation::Activate, [uid(&key)]));
        for refused in [
            message(version).op(Operation::Destroy, [uid(&key)]),
            message(version).op(Operation::Activate, [uid(&key)]),
            message(version).op(Operation::Get, [uid("nobody")]),
            message(version).op(Operation::AddAttribute, [uid(&key), attribute("State", enumeration(1))]),
            message(version).op(Operation::DeleteAttribute, [uid(&key), attribute_name("x-nothing")]),
            message(version).op(Operation::Get, [uid(&key), Item::new(Tag::KeyFormatType, enumeration(3))]),
            message(version).op(Operation::GetUsageAllocation, [uid(&key)]),
        ] {
            assert!(!line.ask(refused)[0].succeeded());
        }
    }
}

#[test]
fn a_register_reply_has_the_identifier_alone_and_a_custom_attribute_that_is_absent_is_no_error() {
    let mut line = Line::open();
    for version in VERSIONS {
        let attributes = key_attributes(CryptographicAlgorithm::Aes, 128, 12);
        let key = raw_key(&[1; 16], CryptographicAlgorithm::Aes, None);
        let payload = [object_type(ObjectType::SymmetricKey), template(attributes), key];
        let made = line.ask_one(message(version).op(Operation::Register, payload));
        assert_eq!(tags(&made), [Tag::UniqueIdentifier]);
        let asked = [uid(&uid_of(&made)), attribute_name("x-absent")];
        let found = line.ask_one(message(version).op(Operation::GetAttributes, asked));
        assert_eq!(found.fields(), [uid(&uid_of(&made))]);
    }
}

#[test]
fn attributes_that_came_inside_a_key_value_do_not_leave_with_it() {
    let mut line = Line::open();
    let inside = attribute("Cryptographic Usage Mask", Value::Integer(12));
    let value = vec![Item::new(Tag::KeyMaterial, Value::bytes([4; 32])), inside];
    let block = vec![
        Item::new(Tag::KeyFormatType, enumeration(1)),
        Item::structure(Tag::KeyValue, value),
        Item::new(Tag::CryptographicAlgorithm, enumeration(3)),
        Item::new(Tag::CryptographicLength, Value::Integer(256)),
    ];
    let key = Item::structure(Tag::SymmetricKey, vec![Item::structure(Tag::KeyBlock, block)]);
    let attributes = template(key_attributes(CryptographicAlgorithm::Aes, 256, 12));
    let payload = [object_type(ObjectType::SymmetricKey), attributes, key];
    let id = uid_of(&line.ask_one(message(Version::V1_2).op(Operation::Register, payload)));
    let found = line.ask_one(message(Version::V1_2).op(Operation::Get, [uid(&id)]));
    let Value::Structure(value) = at(&found, &[Tag::SymmetricKey, Tag::KeyBlock, Tag::KeyValue]) else { panic!() };
    assert_eq!(value.iter().map(|field| field.tag).collect::<Vec<_>>(), [Tag::KeyMaterial]);
}

#[test]
fn the_maximum_response_size_is_kept_to_the_byte() {
    let mut line = Line::open();
    let payload = [
        object_type(ObjectType::SecretData),
        template([attribute("Cryptographic Usage Mask", Value::Integer(0))]),
        opaque_secret(&[7; 10_000], SecretDataType::Password),
    ];
    let id = uid_of(&line.ask_one(message(Version::V1_0).op(Operation::Register, payload)));
    let get = || message(Version::V1_0).op(Operation::Get, [uid(&id)]);
    let whole = line.0.exchange(&get().build()).unwrap();
    let size = i32::try_from(ttlv::encoded_len(&whole)).unwrap();
    assert!(size > 8192);
    for too_small in [8192, size - 1] {
        let answers = line.ask(get().maximum_response_size(too_small));
        assert_eq!(answers[0].refusal(), ResultReason::ResponseTooLarge);
    }
    for enough in [size, 65_536, 280_000] {
        assert_eq!(material(&line.ask_one(get().maximum_response_size(enough))).len(), 10_000);
    }
}

#[test]
fn an_operation_that_is_not_here_is_refused_alone_and_the_connection_stays_up() {
    let mut line = Line::open();
    for code in [Operation::ReKey.code(), Operation::Archive.code(), Operation::Certify.code(), 0x7F, 0x8000_0001] {
        let named = message(Version::V1_1)
            .on_error(kmip::enums::BatchErrorContinuationOption::Continue)
            .named_op(b"1", Operation::Locate, [name(&unique("nobody"))])
            .named_op(b"2", Operation::Locate, [])
            .named_op(b"3", Operation::DiscoverVersions, []);
        let mut request = named.build();
        // The middle operation becomes one that the builder has no word for.
        let Value::Structure(fields) = &mut request.value else { panic!() };
        let Value::Structure(item) = &mut fields[2].value else { panic!() };
        item[0].value = enumeration(code);
        assert!(RequestMessage::version_of(&request).is_some());
        let response = line.0.exchange(&request).unwrap();
        let statuses: Vec<_> =
            response.fields()[1..].iter().map(|item| answers::code(at(item, &[Tag::ResultStatus]))).collect();
        assert_eq!(statuses, [0, 1, 0], "{code:#x}");
        let refused = &response.fields()[2];
        assert_eq!(answers::code(at(refused, &[Tag::Operation])), code, "the operation is repeated");
        assert_eq!(answers::code(at(refused, &[Tag::ResultReason])), ResultReason::OperationNotSupported.code());
    }
}

#[test]
fn batch_item_ids_of_any_length_come_back() {
    let mut line = Line::open();
    for length in [1, 2, 3, 8, 9, 64, 1000] {
        let id = vec![0xEE; length];
        let answers = line.ask(message(Version::V1_0).named_op(&id, Operation::Locate, [name(&unique("nobody"))]));
        assert!(answers[0].succeeded());
    }
}

#[test]
fn a_search_takes_attributes_bare_or_in_a_template_and_never_widens() {
    let (key_name, mut line) = (unique("searched"), Line::open());
    let key = uid_of(&line.ask_one(create(Version::V1_0, [name(&key_name)])));
    for version in VERSIONS {
        let mut locate = |criteria: Vec<Item>| line.ask(message(version).op(Operation::Locate, criteria)).remove(0);
        let found = |answer: answers::Answer| uids_of(&answer.into_payload());
        assert_eq!(found(locate(vec![name(&key_name)])), std::slice::from_ref(&key));
        assert_eq!(found(locate(vec![template([name(&key_name)])])), std::slice::from_ref(&key));
        let length = |bits| attribute("Cryptographic Length", Value::Integer(bits));
        assert_eq!(found(locate(vec![template([name(&key_name)]), length(256)])), std::slice::from_ref(&key));
        assert!(found(locate(vec![template([name(&key_name)]), length(128)])).is_empty());
        assert!(found(locate(vec![name(&key_name), attribute("x-unheard-of", Value::text("1"))])).is_empty());
        // A word that no version knows finds nothing or is refused; never is it left out of the search.
        let unknown = locate(vec![name(&key_name), attribute("Frobnication", Value::Integer(1))]);
        assert!(!unknown.succeeded() || found(unknown).is_empty());
    }
}

#[test]
fn a_search_is_confined_to_its_adapter() {
    let key_name = unique("confined");
    let key = uid_of(&Line::open().ask_one(create(Version::V1_0, [name(&key_name)])));
    let mut other = Line::open_as("client2");
    assert!(uids_of(&other.ask_one(message(Version::V1_0).op(Operation::Locate, [name(&key_name)]))).is_empty());
    let theirs = other.ask(message(Version::V1_0).op(Operation::Get, [uid(&key)]));
    let nobodys = other.ask(message(Version::V1_0).op(Operation::Get, [uid(&uuid::Uuid::new_v4().to_string())]));
    assert_eq!(theirs[0].refusal(), nobodys[0].refusal());
    // Nor is the name taken for them.
    other.ask_one(create(Version::V1_0, [name(&key_name)]));
}

#[test]
fn a_key_is_handed_out_before_it_is_active_and_after_it_was() {
    let mut line = Line::open();
    let key = uid_of(&line.ask_one(create(Version::V1_0, [])));
    let get = |line: &mut Line| material(&line.ask_one(message(Version::V1_0).op(Operation::Get, [uid(&key)])));
    let bytes = get(&mut line);
    line.ask_one(message(Version::V1_0).op(Operation::Activate, [uid(&key)]));
    assert_eq!(get(&mut line), bytes);
    let reason = Item::structure(Tag::RevocationReason, vec![Item::new(Tag::RevocationReasonCode, enumeration(6))]);
    line.ask_one(message(Version::V1_0).op(Operation::Revoke, [uid(&key), reason]));
    assert_eq!(get(&mut line), bytes);
}

#[test]
fn an_activation_date_that_has_come_makes_a_new_key_active() {
    let mut line = Line::open();
    let made = |line: &mut Line, seconds| {
        let key =
            uid_of(&line.ask_one(create(Version::V1_0, [attribute("Activation Date", Value::DateTime(seconds))])));
        state_of(
            &line.ask_one(message(Version::V1_0).op(Operation::GetAttributes, [uid(&key), attribute_name("State")])),
        )
    };
    assert_eq!(made(&mut line, 1_000_000_000), State::Active);
    assert_eq!(made(&mut line, 32_503_680_000), State::PreActive);
}

#[test]
fn check_says_what_stands_against_a_use() {
    let mut line = Line::open();
    let key = uid_of(&line.ask_one(create(Version::V1_0, [])));
    let usage = |mask| Item::new(Tag::CryptographicUsageMask, Value::Integer(mask));
    let allowed = line.ask_one(message(Version::V1_0).op(Operation::Check, [uid(&key), usage(4)]));
    assert_eq!(allowed.fields(), [uid(&key)]);
    let refused = line.ask_one(message(Version::V1_0).op(Operation::Check, [uid(&key), usage(1)]));
    assert!(refused.fields().contains(&usage(1)));
}

#[test]
fn an_attribute_is_added_with_the_next_index_and_deleted_by_it() {
    let (one, two, mut line) = (unique("one"), unique("two"), Line::open());
    let key = uid_of(&line.ask_one(create(Version::V1_0, [name(&one)])));
    let added = line.ask_one(message(Version::V1_0).op(Operation::AddAttribute, [uid(&key), name(&two)]));
    let index = Item::new(Tag::AttributeIndex, Value::Integer(1));
    assert_eq!(added.field(Tag::Attribute).unwrap().field(Tag::AttributeIndex), Some(&index));
    let delete = || {
        let payload = [uid(&key), attribute_name("Name"), index.clone()];
        message(Version::V1_0).op(Operation::DeleteAttribute, payload)
    };
    let deleted = line.ask_one(delete());
    assert_eq!(tags(&deleted), [Tag::UniqueIdentifier, Tag::Attribute]);
    let value = deleted.field(Tag::Attribute).unwrap().field(Tag::AttributeValue).unwrap();
    assert_eq!(value.value, name_value(&two));
    assert!(!line.ask(delete())[0].succeeded());
    assert_eq!(uids_of(&line.ask_one(message(Version::V1_0).op(Operation::Locate, [name(&one)]))), [key]);
    assert!(uids_of(&line.ask_one(message(Version::V1_0).op(Operation::Locate, [name(&two)]))).is_empty());
}
