//! Bad messages that no spoiling makes: each is well formed, and wrong in what it says.

use kmip::{
    attributes::{
        ApplicationSpecificInformation, Attribute, AttributeInstance, AttributeKind, AttributeName, Attributes, Link,
        Name, RevocationReason, UsageLimits,
    },
    client::RequestBuilder,
    enums::{ResultReason as R, *},
    fields::{DateTime, Field},
    masks::CryptographicUsageMask,
    message::ProtocolVersion,
    objects::{Certificate, KeyBlock, KeyHolder, KeyInformation, KeyValue, KeyWrappingData, Object, SecretData},
    payloads::*,
    tags::Tag,
    tree::{Item, Value},
    ttlv,
    version::Version,
};
use zeroize::Zeroizing;

use super::{
    Entry, Expect,
    valid::{custom, get, key_block, locate, message, register, register_symmetric, with_extension},
};
use crate::harness::{create_aes, engine::User, name};

/// Collects entries of one version.
struct List {
    version: Version,
    entries: Vec<Entry>,
}

impl List {
    fn tree(&mut self, name: &str, message: &Item, expect: Expect) {
        self.bytes(name, ttlv::encode(message).to_vec(), expect);
    }

    fn bytes(&mut self, name: &str, bytes: Vec<u8>, expect: Expect) {
        self.entries.push(Entry { name: name.to_owned(), bytes, version: self.version, expect });
    }

    fn item(&mut self, name: &str, request: impl Into<Request>, reason: R) {
        self.tree(name, &message(self.version, request), Expect::Item(reason));
    }

    fn payload(&mut self, name: &str, operation: Operation, payload: Vec<Item>, reason: R) {
        let builder = RequestBuilder::new(self.version).raw_item(operation, None, Value::Structure(payload));
        self.tree(name, &builder.build(), Expect::Item(reason));
    }

    fn batch(&mut self, name: &str, builder: RequestBuilder, expect: Expect) {
        self.tree(name, &builder.build(), expect);
    }
}

/// All of them. `user` makes the objects that some are about.
pub fn entries(user: &User) -> Vec<Entry> {
    let mut list = List { version: Version::V1_4, entries: Vec::new() };
    versions(&mut list);
    counts(&mut list);
    shapes(&mut list);
    extensions_and_headers(&mut list);
    placeholders(&mut list);
    created_keys(&mut list);
    registered_keys(&mut list);
    registered_others(&mut list);
    given_attributes(&mut list);
    let id = user.create_aes(256);
    existing_attributes(&mut list, &id);
    searches(&mut list);
    gets(&mut list, user, &id);
    life_cycle(&mut list, user);
    identifiers(&mut list);
    unsupported_operations(&mut list);
    old_versions(&mut list);
    list.entries
}

fn query() -> QueryRequest {
    QueryRequest { query_function: vec![QueryFunction::QueryOperations] }
}

fn some(id: &str) -> Option<String> {
    Some(id.to_owned())
}

fn versions(list: &mut List) {
    for (major, minor) in [
        (0, 9),
        (0, 0),
        (1, 5),
        (1, -1),
        (1, 99),
        (-1, 0),
        (-1, 4),
        (2, 0),
        (2, 1),
        (2, 2),
        (3, 0),
        (i32::MAX, i32::MIN),
    ] {
        let mut builder = RequestBuilder::new(Version::V1_4).item(create_aes(256, []));
        builder.header_mut().protocol_version = ProtocolVersion { major, minor };
        list.batch(&format!("version {major}.{minor}"), builder, Expect::Message(R::InvalidMessage));
    }
}

fn counts(list: &mut List) {
    for items in [0_usize, 1, 2, 3] {
        for count in [i32::MIN, -1, 0, 1, 2, 3, 4, 256, i32::MAX] {
            if usize::try_from(count) == Ok(items) && items > 0 {
                continue;
            }
            let builder =
                (0..items).fold(RequestBuilder::new(list.version), |builder, _| builder.item(create_aes(256, [])));
            let mut message = builder.build();
            let Value::Structure(fields) = &mut message.value else { unreachable!("a message") };
            let Value::Structure(header) = &mut fields[0].value else { unreachable!("a header") };
            header.iter_mut().find(|field| field.tag == Tag::BatchCount).unwrap().value = Value::Integer(count);
            list.tree(&format!("{items} items, count {count}"), &message, Expect::Message(R::InvalidMessage));
        }
    }
    for items in [257, 1000] {
        let builder =
            (0..items).fold(RequestBuilder::new(list.version), |builder, _| builder.item(create_aes(256, [])));
        list.batch(&format!("{items} items"), builder, Expect::Message(R::InvalidMessage));
    }
}

fn shapes(list: &mut List) {
    let sound = message(list.version, query());
    let bytes = ttlv::encode(&sound).to_vec();
    let refused = Expect::Message(R::InvalidMessage);
    list.bytes("nothing", Vec::new(), refused);
    list.bytes("one byte", vec![0x42], refused);
    list.bytes("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), refused);
    list.bytes("zeros", vec![0; 64], refused);
    list.bytes("ones", vec![0xFF; 64], refused);
    list.bytes("twice the same", [&bytes[..], &bytes].concat(), refused);
    list.bytes("eight bytes more", [&bytes[..], &[0; 8]].concat(), refused);
    list.bytes("one byte more", [&bytes[..], &[0]].concat(), refused);
    list.tree("only a header", &Item::structure(Tag::RequestMessage, sound.fields()[..1].to_vec()), refused);
    list.tree("only an item", &Item::structure(Tag::RequestMessage, sound.fields()[1..].to_vec()), refused);
    list.tree("an empty message", &Item::structure(Tag::RequestMessage, Vec::new()), refused);
    list.tree("a response", &Item::structure(Tag::ResponseMessage, sound.fields().to_vec()), refused);
    list.tree("a bare item", &sound.fields()[1], refused);
    for depth in [26, 32, 33, 100] {
        let payload = (0..depth)
            .fold(Value::Integer(1), |inner, _| Value::Structure(vec![Item::new(Tag::RequestPayload, inner)]));
        // Two structures are around the payload; 32 may be inside each other.
        let expect = if depth <= 26 { Expect::Item(R::InvalidField) } else { refused };
        let builder = RequestBuilder::new(list.version).raw_item(Operation::Activate, None, payload);
        list.batch(&format!("{depth} structures deep"), builder, expect);
    }
    // By hand: a test's own stack has an end, too. Each structure holds the next.
    let deepest = (0..60_000_u32).flat_map(|depth| {
        let length = (60_000 - depth) * 8 - 8;
        [&[0x42, 0x00, 0x78, 0x01][..], &length.to_be_bytes()].concat()
    });
    list.bytes("60,000 structures deep", deepest.collect(), refused);
    let many = vec![Item::structure(Tag::Attribute, Vec::new()); 66_000];
    let builder = RequestBuilder::new(list.version).raw_item(Operation::Locate, None, Value::Structure(many));
    list.batch("66,000 items", builder, refused);
    let huge = Value::text("x".repeat(1 << 20));
    let builder = RequestBuilder::new(list.version).raw_item(
        Operation::Get,
        None,
        Value::Structure(vec![Item::new(Tag::UniqueIdentifier, huge)]),
    );
    list.batch("longer than a message may be", builder, refused);
}

fn extensions_and_headers(list: &mut List) {
    let mut critical = message(list.version, create_aes(256, []));
    with_extension(&mut critical, false);
    with_extension(&mut critical, true);
    list.tree("a critical extension", &critical, Expect::Item(R::FeatureNotSupported));
    for bytes in [i32::MIN, -1, 0, 1, 127] {
        let builder = RequestBuilder::new(list.version).item(create_aes(256, [])).maximum_response_size(bytes);
        list.batch(&format!("maximum response size {bytes}"), builder, Expect::Item(R::ResponseTooLarge));
    }
    let builder = RequestBuilder::new(list.version).item(query()).maximum_response_size(128);
    list.batch("a longer response than allowed", builder, Expect::Item(R::ResponseTooLarge));
}

fn placeholders(list: &mut List) {
    // Requests before this one left an identifier each; it must be gone with its request.
    list.item("left over: Get", get(None), R::ItemNotFound);
    list.item("left over: Activate", ActivateRequest { unique_identifier: None }, R::ItemNotFound);
    list.item("left over: Destroy", DestroyRequest { unique_identifier: None }, R::ItemNotFound);
    list.item("left over: list", GetAttributeListRequest { unique_identifier: None }, R::ItemNotFound);
    let batch = RequestBuilder::new(list.version)
        .item(locate([(AttributeKind::ObjectGroup, Value::text("nobody's"))]))
        .item(get(None));
    list.batch("a placeholder that Locate left empty", batch, Expect::Item(R::ItemNotFound));
    let batch = RequestBuilder::new(list.version).item(query()).item(ActivateRequest { unique_identifier: None });
    list.batch("a placeholder that Query does not set", batch, Expect::Item(R::ItemNotFound));
}

fn create(attributes: Vec<Attribute>) -> CreateRequest {
    let attributes = GivenAttributes(Attributes::from_iter(attributes));
    CreateRequest { object_type: ObjectType::SymmetricKey, attributes }
}

fn created_keys(list: &mut List) {
    use CryptographicAlgorithm as A;
    for bits in [i32::MIN, -256, -1, 0, 1, 7, 8, 127, 129, 255, 257, 512, 4096, 1 << 20, i32::MAX] {
        list.item(&format!("AES of {bits} bits"), create_aes(bits, []), R::InvalidField);
    }
    for (algorithm, bits) in [
        (A::Des3, 64),
        (A::Des3, 256),
        (A::Des, 128),
        (A::HmacSha256, 7),
        (A::HmacSha256, 0),
        (A::HmacSha256, 8200),
        (A::HmacSha256, i32::MAX),
        (A::ChaCha20, 64),
        (A::Camellia, 64),
        (A::Rsa, 2048),
        (A::Ecdsa, 256),
        (A::Dsa, 1024),
    ] {
        let attributes = vec![Attribute::CryptographicAlgorithm(algorithm), Attribute::CryptographicLength(bits)];
        list.item(&format!("{algorithm:?} of {bits} bits"), create(attributes), R::InvalidField);
    }
    list.item("no algorithm", create(vec![Attribute::CryptographicLength(256)]), R::InvalidField);
    list.item("no attributes", create(Vec::new()), R::InvalidField);
    list.item(
        "no length for an algorithm of many",
        create(vec![Attribute::CryptographicAlgorithm(A::HmacSha256)]),
        R::InvalidField,
    );
    for object_type in ObjectType::ALL {
        if matches!(object_type, ObjectType::SymmetricKey | ObjectType::SecretData) {
            continue;
        }
        let request = CreateRequest { object_type: *object_type, ..create_aes(256, []) };
        list.item(&format!("Create {object_type:?}"), request, R::InvalidField);
    }
    for bits in [-8, 0, 7, 8193, 16_384, i32::MAX] {
        let attributes = GivenAttributes(Attributes::from_iter([Attribute::CryptographicLength(bits)]));
        let request = CreateRequest { object_type: ObjectType::SecretData, attributes };
        list.item(&format!("a secret of {bits} bits"), request, R::InvalidField);
    }
}

fn registered_keys(list: &mut List) {
    use CryptographicAlgorithm as A;
    use KeyFormatType as F;
    let bytes = |length: usize| Value::bytes(vec![7; length]);
    let transparent = |length: usize| Value::Structure(vec![Item::new(Tag::Key, bytes(length))]);
    let invalid = R::InvalidField;
    for length in [0, 1, 15, 16, 31, 33, 64, 4096] {
        let block = key_block(F::Raw, bytes(length), Some((A::Aes, 256)));
        list.item(&format!("AES-256 of {length} bytes"), register_symmetric(block, []), invalid);
        let block = key_block(F::TransparentSymmetricKey, transparent(length), Some((A::Aes, 256)));
        list.item(&format!("transparent AES-256 of {length} bytes"), register_symmetric(block, []), invalid);
        let told = [Attribute::CryptographicAlgorithm(A::Aes), Attribute::CryptographicLength(256)];
        let block = key_block(F::Raw, bytes(length), None);
        let name = format!("AES-256 of {length} bytes, by its attributes");
        list.item(&name, register_symmetric(block, told), invalid);
    }
    for bits in [i32::MIN, -1, 0, 1, 7, 129, 1 << 20, i32::MAX] {
        let block = key_block(F::Raw, bytes(32), Some((A::Aes, bits)));
        list.item(&format!("32 bytes as AES of {bits} bits"), register_symmetric(block, []), invalid);
    }
    for bits in [i32::MIN, -1, 0] {
        let block = key_block(F::Pkcs1, bytes(270), Some((A::Rsa, bits)));
        let key = Object::PublicKey(KeyHolder { key_block: block });
        list.item(&format!("RSA of {bits} bits"), register(key, []), invalid);
    }
    let half = |algorithm: Option<A>, length: Option<i32>| KeyBlock {
        cryptographic_algorithm: algorithm,
        cryptographic_length: length,
        ..key_block(F::Raw, bytes(32), None)
    };
    for (name, block) in [
        ("algorithm without length", half(Some(A::Aes), None)),
        ("length without algorithm", half(None, Some(256))),
        ("neither algorithm nor length", half(None, None)),
        ("raw with a structure", key_block(F::Raw, transparent(32), Some((A::Aes, 256)))),
        ("transparent with bytes", key_block(F::TransparentSymmetricKey, bytes(32), Some((A::Aes, 256)))),
        (
            "transparent without a key",
            key_block(F::TransparentSymmetricKey, Value::Structure(Vec::new()), Some((A::Aes, 256))),
        ),
        (
            "transparent with another field",
            key_block(
                F::TransparentSymmetricKey,
                Value::Structure(vec![Item::new(Tag::Modulus, Value::bytes(vec![1; 32]))]),
                Some((A::Aes, 256)),
            ),
        ),
        ("empty opaque bytes", key_block(F::Opaque, bytes(0), Some((A::Aes, 256)))),
        ("asymmetric algorithm", key_block(F::Raw, bytes(256), Some((A::Rsa, 2048)))),
    ] {
        list.item(name, register_symmetric(block, []), invalid);
    }
    wrapped_keys(list);
    for (name, contrary) in [
        ("contrary algorithm", Attribute::CryptographicAlgorithm(A::Camellia)),
        ("contrary length", Attribute::CryptographicLength(128)),
    ] {
        let block = key_block(F::Raw, bytes(32), Some((A::Aes, 256)));
        list.item(name, register_symmetric(block, [contrary]), invalid);
    }
    for (name, format) in [
        ("public", F::TransparentRsaPublicKey),
        ("private", F::TransparentRsaPrivateKey),
        ("EC", F::TransparentEcPublicKey),
    ] {
        for (what, material) in [("bytes", bytes(32)), ("no fields", Value::Structure(Vec::new()))] {
            let block = key_block(format, material, Some((A::Rsa, 2048)));
            let key = Object::PublicKey(KeyHolder { key_block: block });
            list.item(&format!("transparent {name} key of {what}"), register(key, []), invalid);
        }
    }
}

fn wrapped_keys(list: &mut List) {
    let data = || KeyWrappingData {
        wrapping_method: WrappingMethod::Encrypt,
        encryption_key_information: Some(KeyInformation {
            unique_identifier: "elsewhere".to_owned(),
            cryptographic_parameters: None,
        }),
        mac_signature_key_information: None,
        mac_signature: None,
        iv_counter_nonce: None,
        encoding_option: Some(EncodingOption::NoEncoding),
    };
    let block = |value: KeyValue, data: Option<KeyWrappingData>| KeyBlock {
        key_value: Some(value),
        key_wrapping_data: data,
        ..key_block(KeyFormatType::Raw, Value::Integer(0), Some((CryptographicAlgorithm::Aes, 256)))
    };
    let wrapped = |length: usize| KeyValue::Wrapped(Zeroizing::new(vec![7; length]));
    let plain = KeyValue::Plain { material: Value::bytes(Vec::new()), attributes: Vec::new() };
    for (name, block) in [
        ("wrapped bytes without wrapping data", block(wrapped(40), None)),
        ("no wrapped bytes", block(wrapped(0), Some(data()))),
        ("empty material that is said to be wrapped", block(plain, Some(data()))),
    ] {
        list.item(name, register_symmetric(block, []), R::InvalidField);
    }
}

fn registered_others(list: &mut List) {
    let block = || key_block(KeyFormatType::Raw, Value::bytes(vec![7; 32]), Some((CryptographicAlgorithm::Aes, 256)));
    for object_type in ObjectType::ALL.iter().filter(|kind| **kind != ObjectType::SymmetricKey) {
        let request = RegisterRequest { object_type: *object_type, ..register_symmetric(block(), []) };
        list.item(&format!("a symmetric key said to be {object_type:?}"), request, R::InvalidField);
    }
    for (name, value) in [
        ("no bytes", Vec::new()),
        ("no DER", b"-----BEGIN CERTIFICATE-----".to_vec()),
        ("a cut sequence", vec![0x30, 0x82, 0x10, 0x00, 0x30]),
        ("an endless length", vec![0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]),
        ("sequences inside each other", [0x30, 0x80].repeat(5_000)),
    ] {
        let certificate_value = Zeroizing::new(value);
        let certificate = Certificate { certificate_type: CertificateType::X509, certificate_value };
        list.item(&format!("a certificate of {name}"), register(Object::Certificate(certificate), []), R::InvalidField);
    }
    let mut trailing = super::valid::certificate();
    trailing.certificate_value.push(0);
    list.item("bytes behind a certificate", register(Object::Certificate(trailing), []), R::InvalidField);
    let pgp = Certificate { certificate_type: CertificateType::Pgp, certificate_value: Zeroizing::new(Vec::new()) };
    list.item("an empty PGP certificate", register(Object::Certificate(pgp), []), R::InvalidField);
    let secret = |format, material| {
        Object::SecretData(SecretData {
            secret_data_type: SecretDataType::Password,
            key_block: key_block(format, material, None),
        })
    };
    list.item(
        "an empty secret",
        register(secret(KeyFormatType::Opaque, Value::bytes(Vec::new())), []),
        R::InvalidField,
    );
    list.item(
        "a secret that is a structure",
        register(secret(KeyFormatType::Opaque, Value::Structure(Vec::new())), []),
        R::InvalidField,
    );
    list.item("a template", register(Object::Template(Attributes::default()), []), R::InvalidField);
    let payload = vec![Item::new(Tag::ObjectType, ObjectType::SymmetricKey.into_value(list.version))];
    list.payload("Register without an object", Operation::Register, payload, R::InvalidMessage);
    let split = vec![
        Item::new(Tag::ObjectType, ObjectType::SplitKey.into_value(list.version)),
        Item::structure(Tag::SplitKey, Vec::new()),
    ];
    list.payload("a split key", Operation::Register, split, R::InvalidField);
}

fn given_attributes(list: &mut List) {
    use Attribute as A;
    let now = DateTime(1_767_225_600);
    let read_only = [
        A::UniqueIdentifier("mine".to_owned()),
        A::ObjectType(ObjectType::SymmetricKey),
        A::State(State::Active),
        A::InitialDate(now),
        A::DestroyDate(now),
        A::CompromiseDate(now),
        A::CompromiseOccurrenceDate(now),
        A::ArchiveDate(now),
        A::LastChangeDate(now),
        A::LeaseTime(kmip::fields::Interval(1)),
        A::RevocationReason(RevocationReason { code: RevocationReasonCode::Unspecified, message: None }),
        A::AlwaysSensitive(true),
        A::NeverExtractable(true),
        A::KeyValuePresent(true),
        A::CertificateLength(1),
        A::CertificateSubjectCn("me".to_owned()),
        A::DigitalSignatureAlgorithm(DigitalSignatureAlgorithm::Sha256WithRsaEncryption),
    ];
    for attribute in read_only {
        let name = format!("Create gives {}", attribute.name().as_str());
        list.item(&name, create_aes(256, [attribute]), R::InvalidField);
    }
    let space = |data: Option<&str>| {
        A::ApplicationSpecificInformation(ApplicationSpecificInformation {
            application_namespace: "ssh".to_owned(),
            application_data: data.map(str::to_owned),
        })
    };
    let nested =
        Value::Structure(vec![Item::structure(Tag(0x54_0001), vec![Item::new(Tag(0x54_0002), Value::Integer(1))])]);
    let long = || "x".repeat(70_000);
    for (name, attribute) in [
        ("a server's own attribute", custom("y-mine", Value::Integer(1))),
        ("an unknown attribute", custom("Colour", Value::text("red"))),
        ("an attribute without a name", custom("", Value::text("red"))),
        ("a structure in a custom structure", custom("x-nested", nested)),
        ("a custom name too long", custom(&format!("x-{}", long()), Value::Integer(1))),
        ("a custom value too long", custom("x-long", Value::text(long()))),
        ("an empty name", name("")),
        ("a name too long", super::super::harness::name(&long())),
        (
            "a negative usage limit",
            A::UsageLimits(UsageLimits { total: Some(-1), count: None, unit: Some(UsageLimitsUnit::Byte) }),
        ),
        ("attributes too long together", A::ContactInformation("x".repeat(300_000))),
        (
            "domain parameters of a symmetric key",
            A::CryptographicDomainParameters(kmip::attributes::CryptographicDomainParameters {
                q_length: Some(1),
                recommended_curve: None,
            }),
        ),
    ] {
        list.item(name, create_aes(256, [attribute]), R::InvalidField);
    }
    list.item("no application data", create_aes(256, [space(None)]), R::ApplicationNamespaceNotSupported);
    list.item(
        "two algorithms",
        create_aes(256, [A::CryptographicAlgorithm(CryptographicAlgorithm::Aes)]),
        R::IndexOutOfBounds,
    );
    let dates = [A::ActivationDate(DateTime(2_000_000_000)), A::DeactivationDate(DateTime(1_900_000_000))];
    list.item("dates out of order", create_aes(256, dates), R::InvalidField);
    list.item("the same name twice", create_aes(256, [name("twin"), name("twin")]), R::InvalidField);
    let with_index = |attribute: Attribute, index: i32| {
        let mut request = create_aes(256, []);
        request.attributes.0.attributes.push(AttributeInstance { attribute, index: Some(index) });
        request
    };
    list.item("a negative index", with_index(name("n"), -1), R::InvalidField);
    list.item("an index of one value", with_index(A::Sensitive(true), 1), R::IndexOutOfBounds);
    let mut taken = with_index(name("one"), 3);
    taken.attributes.0.attributes.push(AttributeInstance { attribute: name("two"), index: Some(3) });
    list.item("an index taken", taken, R::IndexOutOfBounds);
    let mut last = with_index(name("one"), i32::MAX);
    last.attributes.0.attributes.push(AttributeInstance::from(name("two")));
    list.item("an index after the last", last, R::IndexOutOfBounds);
    let many = (0..1100).map(|n| custom("x-many", Value::Integer(n)));
    list.item("1,100 values", create_aes(256, many), R::IndexOutOfBounds);
    let mut template = create_aes(256, []);
    template.attributes.0.templates =
        vec![Name { name_value: "none".to_owned(), name_type: NameType::UninterpretedTextString }];
    list.item("a template that does not exist", template, R::ItemNotFound);
}

fn existing_attributes(list: &mut List, id: &str) {
    use Attribute as A;
    let target = || some(id);
    let add = |attribute: Attribute, index| AddAttributeRequest {
        unique_identifier: target(),
        attribute: AttributeInstance { attribute, index },
    };
    let modify = |attribute: Attribute, index| ModifyAttributeRequest {
        unique_identifier: target(),
        attribute: AttributeInstance { attribute, index },
    };
    let delete = |attribute_name: AttributeName, attribute_index| DeleteAttributeRequest {
        unique_identifier: target(),
        attribute_name,
        attribute_index,
    };
    let fixed = || {
        [
            A::UniqueIdentifier("other".to_owned()),
            A::ObjectType(ObjectType::SecretData),
            A::CryptographicAlgorithm(CryptographicAlgorithm::Des3),
            A::CryptographicLength(128),
            A::CryptographicUsageMask(CryptographicUsageMask::from_bits(-1)),
            A::State(State::Active),
            A::InitialDate(DateTime(0)),
            A::LastChangeDate(DateTime(0)),
            A::Fresh(true),
            A::AlwaysSensitive(true),
            A::NeverExtractable(true),
            A::OperationPolicyName("public".to_owned()),
            A::OriginalCreationDate(DateTime(0)),
        ]
    };
    for attribute in fixed() {
        let what = attribute.name();
        // The date can be told later, but this key has it already.
        let told = matches!(attribute, A::OriginalCreationDate(_));
        let reason = if told { R::IllegalOperation } else { R::PermissionDenied };
        list.item(&format!("add {}", what.as_str()), add(attribute.clone(), None), reason);
        list.item(&format!("modify {}", what.as_str()), modify(attribute, None), R::PermissionDenied);
        list.item(&format!("delete {}", what.as_str()), delete(what, None), R::PermissionDenied);
    }
    for kind in [AttributeKind::ActivationDate, AttributeKind::Sensitive, AttributeKind::Digest] {
        let request = delete(AttributeName::Standard(kind), None);
        list.item(&format!("delete {}", kind.name()), request, R::PermissionDenied);
    }
    for (name, attribute, index, reason) in [
        ("add y-", custom("y-mine", Value::Integer(1)), None, R::PermissionDenied),
        ("add unknown", custom("Colour", Value::Integer(1)), None, R::InvalidField),
        ("add with an index", custom("x-a", Value::Integer(1)), Some(1), R::InvalidField),
        ("add with a negative index", custom("x-a", Value::Integer(1)), Some(-1), R::InvalidField),
        ("add with the lowest index", custom("x-a", Value::Integer(1)), Some(i32::MIN), R::InvalidField),
        ("add Sensitive again", A::Sensitive(true), None, R::IllegalOperation),
        ("add too much", A::ContactInformation("x".repeat(300_000)), None, R::InvalidField),
    ] {
        list.item(name, add(attribute, index), reason);
    }
    for (name, attribute, index, reason) in [
        ("modify y-", custom("y-mine", Value::Integer(1)), None, R::PermissionDenied),
        ("modify unknown", custom("Colour", Value::Integer(1)), None, R::InvalidField),
        ("modify what is not there", custom("x-none", Value::Integer(1)), None, R::InvalidField),
        ("modify an instance that is not there", A::ObjectGroup("g".to_owned()), Some(7), R::ItemNotFound),
        ("modify with a negative index", A::ObjectGroup("g".to_owned()), Some(-1), R::InvalidField),
        ("modify to too much", A::ObjectGroup("x".repeat(300_000)), None, R::InvalidField),
    ] {
        list.item(name, modify(attribute, index), reason);
    }
    let other = |name: &str| AttributeName::Other(name.to_owned());
    for (name, attribute, index, reason) in [
        ("delete y-", other("y-mine"), None, R::PermissionDenied),
        ("delete unknown", other("Colour"), None, R::ItemNotFound),
        ("delete what is not there", other("x-none"), None, R::ItemNotFound),
        ("delete a negative index", AttributeName::Standard(AttributeKind::ObjectGroup), Some(-1), R::ItemNotFound),
        ("delete no instance", AttributeName::Standard(AttributeKind::ObjectGroup), Some(9), R::ItemNotFound),
    ] {
        list.item(name, delete(attribute, index), reason);
    }
    let names = |names: &[&str]| GetAttributesRequest {
        unique_identifier: target(),
        attribute_name: names.iter().map(|name| AttributeName::parse((*name).to_owned(), Version::V1_4)).collect(),
    };
    list.item("State twice", names(&["State", "State"]), R::InvalidMessage);
    list.item("an own name twice", names(&["x-a", "Name", "x-b", "x-a"]), R::InvalidMessage);
}

fn searches(list: &mut List) {
    for (what, maximum, offset) in [
        ("negative maximum", Some(-1), None),
        ("lowest maximum", Some(i32::MIN), None),
        ("negative offset", None, Some(-1)),
        ("lowest offset", None, Some(i32::MIN)),
    ] {
        let request = LocateRequest { maximum_items: maximum, offset_items: offset, ..locate([]) };
        list.item(what, request, R::InvalidField);
    }
    let date = |kind: AttributeKind, n: i64| (kind, Value::DateTime(n));
    for kind in [AttributeKind::InitialDate, AttributeKind::ActivationDate, AttributeKind::DestroyDate] {
        let request = locate([date(kind, 1), date(kind, 2), date(kind, 3)]);
        list.item(&format!("{} three times", kind.name()), request, R::InvalidField);
    }
    let unknown = |name: &str| LocateRequest {
        criteria: Criteria(vec![Criterion { name: AttributeName::Other(name.to_owned()), value: Value::Integer(1) }]),
        ..locate([])
    };
    for name in ["Colour", "", "State ", "state", "z-own"] {
        list.item(&format!("Locate by {name:?}"), unknown(name), R::InvalidField);
    }
    let name_field = |tag: Tag, value: Value| (AttributeKind::Name, Value::Structure(vec![Item::new(tag, value)]));
    list.item(
        "half a name of the wrong type",
        locate([name_field(Tag::NameValue, Value::Integer(1))]),
        R::InvalidMessage,
    );
    for (kind, value, reason) in [
        (AttributeKind::State, Value::Integer(1), R::InvalidMessage),
        (AttributeKind::State, Value::Enumeration(kmip::tree::Enumerated::code(99)), R::InvalidField),
        (AttributeKind::CryptographicLength, Value::text("256"), R::InvalidMessage),
        (AttributeKind::InitialDate, Value::LongInteger(1), R::InvalidMessage),
        (AttributeKind::InitialDate, Value::Structure(Vec::new()), R::InvalidMessage),
        (AttributeKind::UniqueIdentifier, Value::bytes(*b"id"), R::InvalidMessage),
        (AttributeKind::Fresh, Value::Integer(1), R::InvalidMessage),
        (AttributeKind::Name, Value::text("target"), R::InvalidMessage),
    ] {
        list.item(&format!("Locate by {} as {}", kind.name(), value.type_name()), locate([(kind, value)]), reason);
    }
    let mask = vec![Item::new(Tag::StorageStatusMask, Value::text("OnLine"))];
    list.payload("a status mask of text", Operation::Locate, mask, R::InvalidMessage);
    list.item("Query about nothing", QueryRequest { query_function: Vec::new() }, R::InvalidMessage);
}

fn gets(list: &mut List, user: &User, id: &str) {
    let target = || some(id);
    for format in [KeyFormatType::X509, KeyFormatType::Pkcs1, KeyFormatType::Pkcs8, KeyFormatType::EcPrivateKey] {
        let request = GetRequest { key_format_type: Some(format), ..get(target()) };
        list.item(&format!("an AES key as {format:?}"), request, R::KeyFormatTypeNotSupported);
    }
    for key_compression_type in KeyCompressionType::ALL {
        let request = GetRequest { key_compression_type: Some(*key_compression_type), ..get(target()) };
        list.item(&format!("{key_compression_type:?}"), request, R::KeyCompressionTypeNotSupported);
    }
    let unusable = user.create_aes(256);
    for (name, wrapping_key, encoding, method, reason) in [
        ("no wrapping key", "none", EncodingOption::NoEncoding, WrappingMethod::Encrypt, R::ItemNotFound),
        (
            "a key that may not wrap",
            &*unusable,
            EncodingOption::NoEncoding,
            WrappingMethod::Encrypt,
            R::PermissionDenied,
        ),
        ("itself", id, EncodingOption::NoEncoding, WrappingMethod::Encrypt, R::PermissionDenied),
        ("a signature", &*unusable, EncodingOption::NoEncoding, WrappingMethod::MacSign, R::FeatureNotSupported),
    ] {
        let specification = kmip::objects::KeyWrappingSpecification {
            wrapping_method: method,
            encryption_key_information: Some(KeyInformation {
                unique_identifier: wrapping_key.to_owned(),
                cryptographic_parameters: None,
            }),
            mac_signature_key_information: None,
            attribute_name: Vec::new(),
            encoding_option: Some(encoding),
        };
        let request = GetRequest { key_wrapping_specification: Some(specification.clone()), ..get(target()) };
        list.item(&format!("wrapped under {name}"), request, reason);
        let specification =
            kmip::objects::KeyWrappingSpecification { attribute_name: vec!["Name".to_owned()], ..specification };
        let request = GetRequest { key_wrapping_specification: Some(specification), ..get(target()) };
        let reason = if method == WrappingMethod::Encrypt { R::EncodingOptionError } else { reason };
        list.item(&format!("attributes wrapped without encoding under {name}"), request, reason);
    }
}

fn revoke(id: &str, message: Option<String>) -> RevokeRequest {
    RevokeRequest {
        unique_identifier: some(id),
        revocation_reason: RevocationReason { code: RevocationReasonCode::KeyCompromise, message },
        compromise_occurrence_date: None,
    }
}

fn life_cycle(list: &mut List, user: &User) {
    let active = user.create_aes(256);
    user.ask(ActivateRequest { unique_identifier: some(&active) }).unwrap();
    list.item("activate twice", ActivateRequest { unique_identifier: some(&active) }, R::PermissionDenied);
    list.item("destroy an active key", DestroyRequest { unique_identifier: some(&active) }, R::PermissionDenied);
    list.item("a revocation of 100,000 words", revoke(&active, Some("x".repeat(100_000))), R::InvalidField);
    let gone = user.create_aes(256);
    user.ask(DestroyRequest { unique_identifier: some(&gone) }).unwrap();
    list.item("activate a destroyed key", ActivateRequest { unique_identifier: some(&gone) }, R::PermissionDenied);
    list.item("get a destroyed key", get(some(&gone)), R::ItemNotFound);
    list.item("destroy a destroyed key", DestroyRequest { unique_identifier: some(&gone) }, R::PermissionDenied);
    let add = AddAttributeRequest { unique_identifier: some(&gone), attribute: name("late").into() };
    list.item("add to a destroyed key", add, R::PermissionDenied);
    let date = AddAttributeRequest {
        unique_identifier: some(&active),
        attribute: Attribute::ActivationDate(DateTime(i64::MAX)).into(),
    };
    list.item("an activation date of an active key", date, R::PermissionDenied);
    let link = Attribute::Link(Link { link_type: LinkType::Pkcs12PasswordLink, linked_object_identifier: active });
    let block = key_block(KeyFormatType::Pkcs12, Value::bytes(vec![1; 64]), Some((CryptographicAlgorithm::Rsa, 2048)));
    let key = || Object::PrivateKey(KeyHolder { key_block: block.clone() });
    list.item("PKCS#12 without a password", register(key(), []), R::InvalidField);
    list.item("PKCS#12 under a key", register(key(), [link.clone()]), R::InvalidField);
    list.item("PKCS#12 with two passwords", register(key(), [link.clone(), link]), R::InvalidField);
}

fn identifiers(list: &mut List) {
    let long = "0".repeat(500_000);
    for (what, id) in [
        ("empty", ""),
        ("a nil UUID", "00000000-0000-0000-0000-000000000000"),
        ("braces", "{01890a5d-ac96-774b-bcce-b302099a8057}"),
        ("no hyphens", "01890a5dac96774bbcceb302099a8057"),
        ("capitals", "01890A5D-AC96-774B-BCCE-B302099A8057"),
        ("SQL", "' OR 1=1 --"),
        ("a path", "../../../etc/passwd"),
        ("a zero byte", "a\0b"),
        ("500,000 characters", &long),
    ] {
        list.item(&format!("Get by {what}"), get(some(id)), R::ItemNotFound);
        list.item(&format!("Destroy by {what}"), DestroyRequest { unique_identifier: some(id) }, R::ItemNotFound);
        let request = GetAttributesRequest { unique_identifier: some(id), attribute_name: Vec::new() };
        list.item(&format!("GetAttributes by {what}"), request, R::ItemNotFound);
    }
}

fn unsupported_operations(list: &mut List) {
    for operation in Operation::ALL {
        if Request::OPERATIONS.contains(operation) {
            continue;
        }
        list.payload(&format!("{operation:?}"), *operation, Vec::new(), R::OperationNotSupported);
    }
}

/// What a version does not have is refused in that version's words.
fn old_versions(list: &mut List) {
    let cases = [
        (Version::V1_0, Attribute::Fresh(true)),
        (Version::V1_1, Attribute::OriginalCreationDate(DateTime(0))),
        (
            Version::V1_2,
            Attribute::RandomNumberGenerator(kmip::attributes::RngParameters {
                rng_algorithm: RngAlgorithm::Unspecified,
                cryptographic_algorithm: None,
                cryptographic_length: None,
                hashing_algorithm: None,
                drbg_algorithm: None,
                recommended_curve: None,
                fips186_variation: None,
                prediction_resistance: None,
            }),
        ),
        (Version::V1_3, Attribute::Sensitive(true)),
    ];
    for (version, attribute) in cases {
        list.version = version;
        let what = attribute.name().as_str().to_owned();
        list.item(&format!("{what} in {version}"), create_aes(256, [attribute]), R::InvalidField);
    }
    for (version, tag, value) in [
        (Version::V1_0, Tag::ObjectGroupMember, ObjectGroupMember::GroupMemberFresh.into_value(Version::V1_4)),
        (Version::V1_3, Tag::KeyWrapType, KeyWrapType::NotWrapped.into_value(Version::V1_4)),
    ] {
        list.version = version;
        let operation = if tag == Tag::KeyWrapType { Operation::Get } else { Operation::Locate };
        list.payload(&format!("{tag} in {version}"), operation, vec![Item::new(tag, value)], R::InvalidField);
    }
    for (version, function) in [
        (Version::V1_0, QueryFunction::QueryExtensionList),
        (Version::V1_1, QueryFunction::QueryAttestationTypes),
        (Version::V1_2, QueryFunction::QueryProfiles),
        (Version::V1_4, QueryFunction::QueryStorageProtectionMasks),
    ] {
        list.version = version;
        let payload = vec![Item::new(Tag::QueryFunction, function.into_value(Version::V2_1))];
        list.payload(&format!("{function:?} in {version}"), Operation::Query, payload, R::InvalidField);
    }
    for version in [Version::V1_0, Version::V1_1, Version::V1_2, Version::V1_3] {
        list.version = version;
        list.item(&format!("nothing there, in {version}"), get(some("none")), R::ItemNotFound);
        list.item(&format!("AES of 7 bits in {version}"), create_aes(7, []), R::InvalidField);
        let mut cut = ttlv::encode(&message(version, query())).to_vec();
        cut.truncate(cut.len() - 8);
        list.bytes(&format!("cut short in {version}"), cut, Expect::Message(R::InvalidMessage));
    }
    list.version = Version::V1_4;
}
