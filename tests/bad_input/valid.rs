//! One valid message of each operation and object type, to be spoiled.

use kmip::{
    attributes::{
        AlternativeName, ApplicationSpecificInformation, Attribute, AttributeInstance, AttributeKind, AttributeName,
        Attributes, CryptographicParameters, CustomAttribute, Link, Name, RevocationReason, UsageLimits,
    },
    client::{RequestBuilder, read_results},
    enums::*,
    fields::{DateTime, Field, Interval, Structure},
    masks::{CryptographicUsageMask, StorageStatusMask},
    message::{Asynchronous, MessageExtension},
    objects::{
        Certificate, KeyBlock, KeyHolder, KeyInformation, KeyValue, KeyWrappingSpecification, Object, OpaqueObject,
        SecretData,
    },
    payloads::*,
    tags::Tag,
    tree::{Enumerated, Item, Value},
    ttlv,
    version::Version,
};
use zeroize::Zeroizing;

use crate::harness::{create_aes, engine::User, name};

/// A valid message.
pub struct Base {
    pub name: &'static str,
    pub version: Version,
    pub message: Item,
}

/// The attribute that no version defines.
pub fn custom(name: &str, value: Value) -> Attribute {
    Attribute::Custom(CustomAttribute { name: name.to_owned(), value })
}

/// A key block around `material`.
pub fn key_block(format: KeyFormatType, material: Value, key: Option<(CryptographicAlgorithm, i32)>) -> KeyBlock {
    KeyBlock {
        key_format_type: format,
        key_compression_type: None,
        key_value: Some(KeyValue::Plain { material, attributes: Vec::new() }),
        cryptographic_algorithm: key.map(|(algorithm, _)| algorithm),
        cryptographic_length: key.map(|(_, bits)| bits),
        key_wrapping_data: None,
    }
}

/// A Register request of a symmetric key.
pub fn register_symmetric(key_block: KeyBlock, attributes: impl IntoIterator<Item = Attribute>) -> RegisterRequest {
    let mask = Attribute::CryptographicUsageMask(CryptographicUsageMask::Encrypt);
    RegisterRequest {
        object_type: ObjectType::SymmetricKey,
        attributes: GivenAttributes(Attributes::from_iter(std::iter::once(mask).chain(attributes))),
        object: Object::SymmetricKey(KeyHolder { key_block }),
    }
}

/// A Register request of any object.
pub fn register(object: Object, attributes: impl IntoIterator<Item = Attribute>) -> RegisterRequest {
    RegisterRequest {
        object_type: object.object_type(),
        attributes: GivenAttributes(Attributes::from_iter(attributes)),
        object,
    }
}

/// A self-signed certificate.
pub fn certificate() -> Certificate {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["registered.example".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "registered");
    params.distinguished_name.push(rcgen::DnType::OrganizationalUnitName, "tests");
    let der = params.self_signed(&key).unwrap().der().to_vec();
    Certificate { certificate_type: CertificateType::X509, certificate_value: Zeroizing::new(der) }
}

/// The message with one item.
pub fn message(version: Version, request: impl Into<Request>) -> Item {
    RequestBuilder::new(version).item(request).build()
}

/// Whether the engine does what the message asks.
pub fn succeeds(user: &User, base: &Base) {
    let reply = user.exchange(&ttlv::encode(&base.message));
    for result in read_results(reply, base.version).unwrap() {
        result.unwrap_or_else(|error| panic!("{}: {error}", base.name));
    }
}

fn some(id: &str) -> Option<String> {
    Some(id.to_owned())
}

fn aes(bytes: usize) -> Value {
    Value::bytes(vec![7; bytes])
}

/// An active key that wraps keys.
fn wrapping_key(user: &User) -> String {
    let parameters = CryptographicParameters {
        block_cipher_mode: Some(BlockCipherMode::NistKeyWrap),
        ..CryptographicParameters::default()
    };
    let attributes = [
        Attribute::CryptographicAlgorithm(CryptographicAlgorithm::Aes),
        Attribute::CryptographicLength(256),
        Attribute::CryptographicUsageMask(CryptographicUsageMask::WrapKey),
        Attribute::CryptographicParameters(parameters),
    ];
    let attributes = GivenAttributes(Attributes::from_iter(attributes));
    let Ok(Response::Create(made)) = user.ask(CreateRequest { object_type: ObjectType::SymmetricKey, attributes })
    else {
        panic!("the wrapping key is not made")
    };
    user.ask(ActivateRequest { unique_identifier: some(&made.unique_identifier) }).unwrap();
    made.unique_identifier
}

/// How a key is to be wrapped, with all that can be said of it.
fn wrapping(key: &str) -> KeyWrappingSpecification {
    let parameters = CryptographicParameters {
        block_cipher_mode: Some(BlockCipherMode::NistKeyWrap),
        ..CryptographicParameters::default()
    };
    KeyWrappingSpecification {
        wrapping_method: WrappingMethod::Encrypt,
        encryption_key_information: Some(KeyInformation {
            unique_identifier: key.to_owned(),
            cryptographic_parameters: Some(parameters),
        }),
        mac_signature_key_information: None,
        attribute_name: vec!["Cryptographic Usage Mask".to_owned()],
        encoding_option: Some(EncodingOption::TtlvEncoding),
    }
}

/// A Get of the object.
pub fn get(id: Option<String>) -> GetRequest {
    GetRequest {
        unique_identifier: id,
        key_format_type: None,
        key_wrap_type: None,
        key_compression_type: None,
        key_wrapping_specification: None,
    }
}

/// A Locate by some attributes.
pub fn locate(criteria: impl IntoIterator<Item = (AttributeKind, Value)>) -> LocateRequest {
    let criteria = criteria.into_iter().map(|(kind, value)| Criterion { name: AttributeName::Standard(kind), value });
    LocateRequest {
        maximum_items: None,
        offset_items: None,
        storage_status_mask: None,
        object_group_member: None,
        criteria: Criteria(criteria.collect()),
    }
}

/// Attributes with values of every item type.
fn rich_attributes() -> Vec<Attribute> {
    let parameters = CryptographicParameters {
        block_cipher_mode: Some(BlockCipherMode::Cbc),
        padding_method: Some(PaddingMethod::Pkcs5),
        random_iv: Some(true),
        iv_length: Some(128),
        ..CryptographicParameters::default()
    };
    let space = ApplicationSpecificInformation {
        application_namespace: "ssh".to_owned(),
        application_data: Some("host".to_owned()),
    };
    vec![
        name("rich"),
        Attribute::CryptographicParameters(parameters),
        Attribute::ActivationDate(DateTime(1_900_000_000)),
        Attribute::ObjectGroup("group".to_owned()),
        Attribute::Link(Link {
            link_type: LinkType::ParentLink,
            linked_object_identifier: "somewhere else".to_owned(),
        }),
        Attribute::ApplicationSpecificInformation(space),
        Attribute::UsageLimits(UsageLimits { total: Some(1 << 40), count: None, unit: Some(UsageLimitsUnit::Byte) }),
        Attribute::AlternativeName(AlternativeName {
            value: "another".to_owned(),
            name_type: AlternativeNameType::UninterpretedTextString,
        }),
        Attribute::Sensitive(false),
    ]
}

/// A request with everything a header and an item can carry.
fn full_header(id: &str) -> Item {
    let mut builder = RequestBuilder::new(Version::V1_4)
        .named_item(b"first", GetAttributeListRequest { unique_identifier: some(id) })
        .on_error(BatchErrorContinuationOption::Continue)
        .in_order(true)
        .maximum_response_size(1 << 20)
        .credential("user", "password");
    let header = builder.header_mut();
    header.client_correlation_value = Some("ours".to_owned());
    header.server_correlation_value = Some("theirs".to_owned());
    header.asynchronous_indicator = Some(Asynchronous::Flag(false));
    header.attestation_capable_indicator = Some(false);
    header.attestation_type = vec![AttestationType::TpmQuote];
    header.time_stamp = Some(DateTime(1_767_225_600));
    let mut message = builder.build();
    with_extension(&mut message, false);
    message
}

/// Adds a message extension to the last item.
pub fn with_extension(message: &mut Item, critical: bool) {
    let extension = MessageExtension {
        vendor_identification: "a vendor".to_owned(),
        criticality_indicator: critical,
        vendor_extension: Structure(vec![Item::new(Tag(0x54_0001), Value::Integer(1))]),
    };
    let Value::Structure(fields) = &mut message.value else { panic!("a message") };
    let Value::Structure(item) = &mut fields.last_mut().unwrap().value else { panic!("an item") };
    item.push(Item::new(Tag::MessageExtension, extension.into_value(Version::V1_4)));
}

/// Makes the objects that the messages are about, and the messages. Each succeeds once, in this order.
pub fn bases(user: &User) -> Vec<Base> {
    let mut bases = reading(user);
    bases.extend(making());
    bases.extend(changing(user));
    bases
}

fn base(name: &'static str, request: impl Into<Request>) -> Base {
    Base { name, version: Version::V1_4, message: message(Version::V1_4, request) }
}

fn reading(user: &User) -> Vec<Base> {
    let Ok(Response::Create(made)) = user.ask(create_aes(256, [name("target")])) else { panic!("no key") };
    let id = made.unique_identifier;
    let wrapping_key = wrapping_key(user);
    let value = Name { name_value: "target".to_owned(), name_type: NameType::UninterpretedTextString };
    let by_attributes = LocateRequest {
        maximum_items: Some(10),
        offset_items: Some(0),
        storage_status_mask: Some(StorageStatusMask::OnLineStorage),
        object_group_member: Some(ObjectGroupMember::GroupMemberFresh),
        ..locate([
            (AttributeKind::Name, value.into_value(Version::V1_4)),
            (AttributeKind::ObjectType, ObjectType::SymmetricKey.into_value(Version::V1_4)),
            (AttributeKind::CryptographicLength, Value::Integer(256)),
            (AttributeKind::InitialDate, Value::DateTime(1_767_225_600)),
        ])
    };
    let check = CheckRequest {
        unique_identifier: some(&id),
        usage_limits_count: Some(1),
        cryptographic_usage_mask: Some(CryptographicUsageMask::Encrypt),
        lease_time: Some(Interval(60)),
    };
    let names = [AttributeKind::State, AttributeKind::Name].map(AttributeName::Standard).to_vec();
    let functions = vec![QueryFunction::QueryOperations];
    let versions = vec![Version::V1_4.into(), Version::V1_0.into()];
    let raw = GetRequest { key_format_type: Some(KeyFormatType::Raw), ..get(some(&id)) };
    vec![
        Base { name: "full header", version: Version::V1_4, message: full_header(&id) },
        base("Locate", by_attributes),
        base("Check", check),
        base("Get wrapped", GetRequest { key_wrapping_specification: Some(wrapping(&wrapping_key)), ..raw }),
        Base { name: "Get in 1.0", version: Version::V1_0, message: message(Version::V1_0, get(some(&id))) },
        base("GetAttributes", GetAttributesRequest { unique_identifier: some(&id), attribute_name: names }),
        base("GetAttributeList", GetAttributeListRequest { unique_identifier: some(&id) }),
        base("Query", QueryRequest { query_function: functions }),
        base("DiscoverVersions", DiscoverVersionsRequest { protocol_version: versions }),
    ]
}

fn making() -> Vec<Base> {
    let aes_256 = Some((CryptographicAlgorithm::Aes, 256));
    let rsa = Some((CryptographicAlgorithm::Rsa, 2048));
    let transparent = Value::Structure(vec![Item::new(Tag::Key, aes(32))]);
    let secret = SecretData {
        secret_data_type: SecretDataType::Password,
        key_block: key_block(KeyFormatType::Opaque, Value::bytes(*b"hunter22"), None),
    };
    let opaque = OpaqueObject {
        opaque_data_type: Enumerated::code(0x8000_0001),
        opaque_data_value: Zeroizing::new(b"opaque".to_vec()),
    };
    let public = KeyHolder { key_block: key_block(KeyFormatType::Pkcs1, Value::bytes(vec![1; 270]), rsa) };
    let private = KeyHolder { key_block: key_block(KeyFormatType::Pkcs8, Value::bytes(vec![1; 1200]), rsa) };
    let mask = || [Attribute::CryptographicUsageMask(CryptographicUsageMask::Sign)];
    vec![
        base("Create", create_aes(256, rich_attributes())),
        base(
            "Register SymmetricKey",
            register_symmetric(key_block(KeyFormatType::Raw, aes(32), aes_256), [name("registered")]),
        ),
        base(
            "Register transparent",
            register_symmetric(key_block(KeyFormatType::TransparentSymmetricKey, transparent, aes_256), []),
        ),
        base("Register SecretData", register(Object::SecretData(secret), mask())),
        base("Register OpaqueObject", register(Object::OpaqueObject(opaque), [])),
        base("Register Certificate", register(Object::Certificate(certificate()), mask())),
        base("Register PublicKey", register(Object::PublicKey(public), mask())),
        base("Register PrivateKey", register(Object::PrivateKey(private), mask())),
    ]
}

fn changing(user: &User) -> Vec<Base> {
    let life = |n: &str| match user.ask(create_aes(256, [name(n), custom("x-one", Value::text("1"))])) {
        Ok(Response::Create(made)) => made.unique_identifier,
        other => panic!("{other:?}"),
    };
    let id = life("changed");
    let added = AttributeInstance::from(custom("x-new", Value::Integer(1)));
    let second = Name { name_value: "second".to_owned(), name_type: NameType::Uri };
    let modified = AttributeInstance { attribute: Attribute::Name(second), index: Some(0) };
    let reason =
        RevocationReason { code: RevocationReasonCode::KeyCompromise, message: Some("found on a train".to_owned()) };
    let revoke = RevokeRequest {
        unique_identifier: some(&id),
        revocation_reason: reason,
        compromise_occurrence_date: Some(DateTime(1_767_225_600)),
    };
    let delete = DeleteAttributeRequest {
        unique_identifier: some(&id),
        attribute_name: AttributeName::Other("x-one".to_owned()),
        attribute_index: Some(0),
    };
    vec![
        base("AddAttribute", AddAttributeRequest { unique_identifier: some(&id), attribute: added }),
        base("ModifyAttribute", ModifyAttributeRequest { unique_identifier: some(&id), attribute: modified }),
        base("DeleteAttribute", delete),
        base("Activate", ActivateRequest { unique_identifier: some(&id) }),
        base("Revoke", revoke),
        base("Destroy", DestroyRequest { unique_identifier: some(&id) }),
    ]
}
