//! Properties of the typed layer: whatever a version can say is written, encoded, decoded and read back equal.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

use kmip::{
    attributes::*,
    enums::*,
    fields::{DateTime, Field, Interval, Structure},
    masks::{CryptographicUsageMask, StorageStatusMask},
    message::*,
    objects::*,
    payloads::*,
    tags::Tag,
    tree::{Enumerated, Item, Value},
    ttlv::{Limits, decode, encode},
    version::Version,
};
use proptest::{collection::vec, option, prelude::*, sample::select, strategy::Union};
use zeroize::Zeroizing;

const VERSIONS: [Version; 5] = [Version::V1_0, Version::V1_1, Version::V1_2, Version::V1_3, Version::V1_4];

/// Any value of an enumeration that the version defines.
macro_rules! one_of {
    ($enumeration:ident, $version:expr) => {
        select($enumeration::ALL.iter().copied().filter(|value| value.in_version($version)).collect::<Vec<_>>())
    };
}

/// Perhaps a value, from `from` on; before that none.
fn since<T: std::fmt::Debug + Clone + 'static>(
    from: Version,
    version: Version,
    value: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Option<T>> {
    if version >= from { option::of(value).boxed() } else { Just(None).boxed() }
}

fn text() -> impl Strategy<Value = String> {
    ".{0,20}"
}

fn bytes() -> impl Strategy<Value = Zeroizing<Vec<u8>>> {
    vec(any::<u8>(), 0..40).prop_map(Zeroizing::new)
}

fn date() -> impl Strategy<Value = DateTime> {
    any::<i64>().prop_map(DateTime)
}

fn primitive() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i32>().prop_map(Value::Integer),
        any::<i64>().prop_map(Value::LongInteger),
        any::<u32>().prop_map(|code| Value::Enumeration(Enumerated::code(code))),
        any::<bool>().prop_map(Value::Boolean),
        text().prop_map(Value::text),
        bytes().prop_map(Value::ByteString),
        any::<i64>().prop_map(Value::DateTime),
        any::<u32>().prop_map(Value::Interval),
    ]
}

fn structure() -> impl Strategy<Value = Vec<Item>> {
    vec(primitive().prop_map(|value| Item::new(Tag(0x54_0001), value)), 0..3)
}

fn name() -> impl Strategy<Value = Name> {
    (text(), select(NameType::ALL)).prop_map(|(name_value, name_type)| Name { name_value, name_type })
}

fn parameters(v: Version) -> impl Strategy<Value = CryptographicParameters> {
    let old = (
        option::of(one_of!(BlockCipherMode, v)),
        option::of(one_of!(PaddingMethod, v)),
        option::of(one_of!(HashingAlgorithm, v)),
        option::of(one_of!(KeyRoleType, v)),
    );
    let middle = (
        since(Version::V1_2, v, one_of!(DigitalSignatureAlgorithm, Version::V1_2)),
        since(Version::V1_2, v, one_of!(CryptographicAlgorithm, v)),
        since(Version::V1_2, v, any::<bool>()),
        since(Version::V1_2, v, any::<i32>()),
    );
    let new = (
        since(Version::V1_4, v, any::<i32>()),
        since(Version::V1_4, v, one_of!(MaskGenerator, Version::V1_4)),
        since(Version::V1_4, v, one_of!(HashingAlgorithm, v)),
        since(Version::V1_4, v, bytes()),
        since(Version::V1_4, v, any::<i32>()),
    );
    (old, middle, new).prop_map(|(old, middle, new)| CryptographicParameters {
        block_cipher_mode: old.0,
        padding_method: old.1,
        hashing_algorithm: old.2,
        key_role_type: old.3,
        digital_signature_algorithm: middle.0,
        cryptographic_algorithm: middle.1,
        random_iv: middle.2,
        iv_length: middle.3,
        tag_length: middle.3,
        fixed_field_length: middle.3,
        invocation_field_length: middle.3,
        counter_length: middle.3,
        initial_counter_value: middle.3,
        salt_length: new.0,
        mask_generator: new.1,
        mask_generator_hashing_algorithm: new.2,
        p_source: new.3,
        trailer_field: new.4,
    })
}

fn rng(v: Version) -> impl Strategy<Value = RngParameters> {
    let fields = (
        select(RngAlgorithm::ALL),
        option::of(one_of!(CryptographicAlgorithm, v)),
        option::of(any::<i32>()),
        option::of(one_of!(HashingAlgorithm, v)),
        option::of(select(DrbgAlgorithm::ALL)),
        option::of(one_of!(RecommendedCurve, v)),
        option::of(select(Fips186Variation::ALL)),
        option::of(any::<bool>()),
    );
    fields.prop_map(|fields| RngParameters {
        rng_algorithm: fields.0,
        cryptographic_algorithm: fields.1,
        cryptographic_length: fields.2,
        hashing_algorithm: fields.3,
        drbg_algorithm: fields.4,
        recommended_curve: fields.5,
        fips186_variation: fields.6,
        prediction_resistance: fields.7,
    })
}

fn usage_limits(v: Version) -> impl Strategy<Value = UsageLimits> {
    (option::of(any::<i64>()), option::of(any::<i64>()), option::of(one_of!(UsageLimitsUnit, v)))
        .prop_map(|(total, count, unit)| UsageLimits { total, count, unit })
}

fn digest(v: Version) -> impl Strategy<Value = Digest> {
    (one_of!(HashingAlgorithm, v), bytes(), since(Version::V1_1, v, one_of!(KeyFormatType, v))).prop_map(
        |(hashing_algorithm, digest_value, key_format_type)| Digest {
            hashing_algorithm,
            digest_value,
            key_format_type,
        },
    )
}

fn revocation() -> impl Strategy<Value = RevocationReason> {
    (select(RevocationReasonCode::ALL), option::of(text()))
        .prop_map(|(code, message)| RevocationReason { code, message })
}

fn custom() -> impl Strategy<Value = Attribute> {
    ("[xy]-[a-z]{0,8}", prop_oneof![primitive(), structure().prop_map(Value::Structure)])
        .prop_map(|(name, value)| Attribute::Custom(CustomAttribute { name, value }))
}

/// Attributes of every shape that the version defines.
fn attribute(v: Version) -> impl Strategy<Value = Attribute> {
    use Attribute as A;
    let link = (one_of!(LinkType, v), text())
        .prop_map(|(link_type, linked_object_identifier)| Link { link_type, linked_object_identifier });
    let application = (text(), option::of(text())).prop_map(|(application_namespace, application_data)| {
        ApplicationSpecificInformation { application_namespace, application_data }
    });
    let domain = (option::of(any::<i32>()), option::of(one_of!(RecommendedCurve, v)))
        .prop_map(|(q_length, recommended_curve)| CryptographicDomainParameters { q_length, recommended_curve });
    let subject = (text(), vec(text(), 0..3))
        .prop_map(|(distinguished_name, alternative_name)| CertificateSubject { distinguished_name, alternative_name });
    let identifier = (text(), option::of(text()))
        .prop_map(|(issuer, serial_number)| CertificateIdentifier { issuer, serial_number });
    let x509 = (bytes(), vec(bytes(), 0..3)).prop_map(|(subject_distinguished_name, subject_alternative_name)| {
        X509CertificateSubject { subject_distinguished_name, subject_alternative_name }
    });
    let alternative =
        (text(), select(AlternativeNameType::ALL)).prop_map(|(value, name_type)| AlternativeName { value, name_type });
    let location = (text(), select(KeyValueLocationType::ALL))
        .prop_map(|(value, location_type)| KeyValueLocation { value, location_type });
    let all: Vec<(AttributeKind, BoxedStrategy<Attribute>)> = vec![
        (AttributeKind::UniqueIdentifier, text().prop_map(A::UniqueIdentifier).boxed()),
        (AttributeKind::Name, name().prop_map(A::Name).boxed()),
        (AttributeKind::ObjectType, one_of!(ObjectType, v).prop_map(A::ObjectType).boxed()),
        (
            AttributeKind::CryptographicAlgorithm,
            one_of!(CryptographicAlgorithm, v).prop_map(A::CryptographicAlgorithm).boxed(),
        ),
        (AttributeKind::CryptographicLength, any::<i32>().prop_map(A::CryptographicLength).boxed()),
        (AttributeKind::CryptographicParameters, parameters(v).prop_map(A::CryptographicParameters).boxed()),
        (AttributeKind::CryptographicDomainParameters, domain.prop_map(A::CryptographicDomainParameters).boxed()),
        (AttributeKind::CertificateType, select(CertificateType::ALL).prop_map(A::CertificateType).boxed()),
        (AttributeKind::CertificateIdentifier, identifier.prop_map(A::CertificateIdentifier).boxed()),
        (AttributeKind::CertificateSubject, subject.prop_map(A::CertificateSubject).boxed()),
        (AttributeKind::X509CertificateSubject, x509.prop_map(A::X509CertificateSubject).boxed()),
        (AttributeKind::CertificateSubjectOu, text().prop_map(A::CertificateSubjectOu).boxed()),
        (AttributeKind::Digest, digest(v).prop_map(A::Digest).boxed()),
        (
            AttributeKind::CryptographicUsageMask,
            any::<i32>().prop_map(CryptographicUsageMask::from_bits).prop_map(A::CryptographicUsageMask).boxed(),
        ),
        (AttributeKind::LeaseTime, any::<u32>().prop_map(Interval).prop_map(A::LeaseTime).boxed()),
        (AttributeKind::UsageLimits, usage_limits(v).prop_map(A::UsageLimits).boxed()),
        (AttributeKind::State, select(State::ALL).prop_map(A::State).boxed()),
        (AttributeKind::ActivationDate, date().prop_map(A::ActivationDate).boxed()),
        (AttributeKind::RevocationReason, revocation().prop_map(A::RevocationReason).boxed()),
        (AttributeKind::Fresh, any::<bool>().prop_map(A::Fresh).boxed()),
        (AttributeKind::Link, link.prop_map(A::Link).boxed()),
        (
            AttributeKind::ApplicationSpecificInformation,
            application.prop_map(A::ApplicationSpecificInformation).boxed(),
        ),
        (AttributeKind::AlternativeName, alternative.prop_map(A::AlternativeName).boxed()),
        (AttributeKind::KeyValueLocation, location.prop_map(A::KeyValueLocation).boxed()),
        (AttributeKind::OriginalCreationDate, date().prop_map(A::OriginalCreationDate).boxed()),
        (AttributeKind::RandomNumberGenerator, rng(v).prop_map(A::RandomNumberGenerator).boxed()),
        (AttributeKind::Sensitive, any::<bool>().prop_map(A::Sensitive).boxed()),
    ];
    let defined = all.into_iter().filter(|(kind, _)| kind.versions().contains(v)).map(|(_, strategy)| strategy);
    Union::new(defined.chain([custom().boxed()]))
}

fn instance(v: Version) -> impl Strategy<Value = AttributeInstance> {
    (attribute(v), option::of(0..=i32::MAX)).prop_map(|(attribute, index)| AttributeInstance { attribute, index })
}

fn given(v: Version) -> impl Strategy<Value = GivenAttributes> {
    (vec(name(), 0..2), vec(instance(v), 0..5))
        .prop_map(|(templates, attributes)| GivenAttributes(Attributes { templates, attributes }))
}

fn implicit(v: Version) -> impl Strategy<Value = ImplicitAttributes> {
    given(v).prop_map(|given| ImplicitAttributes(given.0))
}

fn attribute_name(v: Version) -> impl Strategy<Value = AttributeName> {
    attribute(v).prop_map(|attribute| attribute.name())
}

fn key_information(v: Version) -> impl Strategy<Value = KeyInformation> {
    (text(), option::of(parameters(v))).prop_map(|(unique_identifier, cryptographic_parameters)| KeyInformation {
        unique_identifier,
        cryptographic_parameters,
    })
}

fn wrapping_data(v: Version) -> impl Strategy<Value = KeyWrappingData> {
    let fields = (
        select(WrappingMethod::ALL),
        option::of(key_information(v)),
        option::of(key_information(v)),
        option::of(bytes()),
        option::of(bytes()),
        since(Version::V1_1, v, select(EncodingOption::ALL)),
    );
    fields.prop_map(|fields| KeyWrappingData {
        wrapping_method: fields.0,
        encryption_key_information: fields.1,
        mac_signature_key_information: fields.2,
        mac_signature: fields.3,
        iv_counter_nonce: fields.4,
        encoding_option: fields.5,
    })
}

fn wrapping_specification(v: Version) -> impl Strategy<Value = KeyWrappingSpecification> {
    let fields = (
        select(WrappingMethod::ALL),
        option::of(key_information(v)),
        option::of(key_information(v)),
        vec(text(), 0..3),
        since(Version::V1_1, v, select(EncodingOption::ALL)),
    );
    fields.prop_map(|fields| KeyWrappingSpecification {
        wrapping_method: fields.0,
        encryption_key_information: fields.1,
        mac_signature_key_information: fields.2,
        attribute_name: fields.3,
        encoding_option: fields.4,
    })
}

fn key_block(v: Version) -> impl Strategy<Value = KeyBlock> {
    let material = prop_oneof![bytes().prop_map(Value::ByteString), structure().prop_map(Value::Structure)];
    let along = vec(instance(v).prop_map(move |one| Item::new(Tag::Attribute, plain(one.into_value(v)))), 0..3);
    let value = prop_oneof![
        bytes().prop_map(KeyValue::Wrapped),
        (material, along).prop_map(|(material, attributes)| KeyValue::Plain { material, attributes }),
    ];
    let fields = (
        one_of!(KeyFormatType, v),
        option::of(one_of!(KeyCompressionType, v)),
        option::of(value),
        option::of(one_of!(CryptographicAlgorithm, v)),
        option::of(any::<i32>()),
        option::of(wrapping_data(v)),
    );
    fields.prop_map(|fields| KeyBlock {
        key_format_type: fields.0,
        key_compression_type: fields.1,
        key_value: fields.2,
        cryptographic_algorithm: fields.3,
        cryptographic_length: fields.4,
        key_wrapping_data: fields.5,
    })
}

fn object(v: Version) -> impl Strategy<Value = Object> {
    let holder = || key_block(v).prop_map(|key_block| KeyHolder { key_block });
    let certificate = (select(CertificateType::ALL), bytes())
        .prop_map(|(certificate_type, certificate_value)| Certificate { certificate_type, certificate_value });
    let secret = (select(SecretDataType::ALL), key_block(v))
        .prop_map(|(secret_data_type, key_block)| SecretData { secret_data_type, key_block });
    let opaque = (any::<u32>().prop_map(Enumerated::code), bytes())
        .prop_map(|(opaque_data_type, opaque_data_value)| OpaqueObject { opaque_data_type, opaque_data_value });
    let pgp = (any::<i32>(), key_block(v))
        .prop_map(|(pgp_key_version, key_block)| Object::PgpKey(PgpKey { pgp_key_version, key_block }));
    let mut all = vec![
        holder().prop_map(Object::SymmetricKey).boxed(),
        holder().prop_map(Object::PublicKey).boxed(),
        holder().prop_map(Object::PrivateKey).boxed(),
        certificate.prop_map(Object::Certificate).boxed(),
        secret.prop_map(Object::SecretData).boxed(),
        opaque.prop_map(Object::OpaqueObject).boxed(),
        given(v).prop_map(|given| Object::Template(given.0)).boxed(),
    ];
    if v >= Version::V1_2 {
        all.push(pgp.boxed());
    }
    Union::new(all)
}

fn id() -> impl Strategy<Value = Option<String>> {
    option::of(text())
}

fn usage() -> impl Strategy<Value = Option<CryptographicUsageMask>> {
    option::of(any::<i32>().prop_map(CryptographicUsageMask::from_bits))
}

fn protocol_versions() -> impl Strategy<Value = Vec<ProtocolVersion>> {
    vec((any::<i32>(), any::<i32>()).prop_map(|(major, minor)| ProtocolVersion { major, minor }), 0..4)
}

fn locate(v: Version) -> impl Strategy<Value = LocateRequest> {
    let criterion = attribute(v)
        .prop_map(move |attribute| Criterion { name: attribute.name(), value: plain(attribute.into_value(v)) });
    let fields = (
        option::of(any::<i32>()),
        option::of(any::<i32>()),
        option::of(any::<i32>().prop_map(StorageStatusMask::from_bits)),
        since(Version::V1_1, v, select(ObjectGroupMember::ALL)),
        vec(criterion, 0..4),
    );
    fields.prop_map(|fields| LocateRequest {
        maximum_items: fields.0,
        offset_items: fields.1,
        storage_status_mask: fields.2,
        object_group_member: fields.3,
        criteria: Criteria(fields.4),
    })
}

/// The value as TTLV brings it: enumerations without their names.
fn plain(value: Value) -> Value {
    let item = Item::new(Tag::AttributeValue, value);
    decode(&encode(&item), &Limits::default()).unwrap().value
}

fn get(v: Version) -> impl Strategy<Value = GetRequest> {
    let fields = (
        id(),
        option::of(one_of!(KeyFormatType, v)),
        since(Version::V1_4, v, select(KeyWrapType::ALL)),
        option::of(one_of!(KeyCompressionType, v)),
        option::of(wrapping_specification(v)),
    );
    fields.prop_map(|fields| GetRequest {
        unique_identifier: fields.0,
        key_format_type: fields.1,
        key_wrap_type: fields.2,
        key_compression_type: fields.3,
        key_wrapping_specification: fields.4,
    })
}

fn request(v: Version) -> impl Strategy<Value = Request> {
    let check = (id(), option::of(any::<i64>()), usage(), option::of(any::<u32>().prop_map(Interval))).prop_map(
        |(unique_identifier, usage_limits_count, cryptographic_usage_mask, lease_time)| CheckRequest {
            unique_identifier,
            usage_limits_count,
            cryptographic_usage_mask,
            lease_time,
        },
    );
    let register = (object(v), given(v), one_of!(ObjectType, v))
        .prop_map(|(object, attributes, object_type)| RegisterRequest { object_type, attributes, object });
    let revoke = (id(), revocation(), option::of(date())).prop_map(
        |(unique_identifier, revocation_reason, compromise_occurrence_date)| RevokeRequest {
            unique_identifier,
            revocation_reason,
            compromise_occurrence_date,
        },
    );
    let delete = (id(), attribute_name(v), option::of(any::<i32>())).prop_map(
        |(unique_identifier, attribute_name, attribute_index)| DeleteAttributeRequest {
            unique_identifier,
            attribute_name,
            attribute_index,
        },
    );
    let named = (id(), vec(attribute_name(v), 0..4))
        .prop_map(|(unique_identifier, attribute_name)| GetAttributesRequest { unique_identifier, attribute_name });
    let create = (one_of!(ObjectType, v), given(v))
        .prop_map(|(object_type, attributes)| CreateRequest { object_type, attributes });
    let changed = || (id(), instance(v));
    Union::new([
        create.prop_map(Request::from).boxed(),
        register.prop_map(Request::from).boxed(),
        locate(v).prop_map(Request::from).boxed(),
        check.prop_map(Request::from).boxed(),
        get(v).prop_map(Request::from).boxed(),
        named.prop_map(Request::from).boxed(),
        id().prop_map(|unique_identifier| GetAttributeListRequest { unique_identifier }.into()).boxed(),
        changed()
            .prop_map(|(unique_identifier, attribute)| AddAttributeRequest { unique_identifier, attribute }.into())
            .boxed(),
        changed()
            .prop_map(|(unique_identifier, attribute)| ModifyAttributeRequest { unique_identifier, attribute }.into())
            .boxed(),
        delete.prop_map(Request::from).boxed(),
        id().prop_map(|unique_identifier| ActivateRequest { unique_identifier }.into()).boxed(),
        revoke.prop_map(Request::from).boxed(),
        id().prop_map(|unique_identifier| DestroyRequest { unique_identifier }.into()).boxed(),
        vec(one_of!(QueryFunction, v), 0..5).prop_map(|query_function| QueryRequest { query_function }.into()).boxed(),
        protocol_versions().prop_map(|protocol_version| DiscoverVersionsRequest { protocol_version }.into()).boxed(),
    ])
}

fn query_response(v: Version) -> impl Strategy<Value = QueryResponse> {
    let from = |first: Version, most: usize| if v >= first { 0..most + 1 } else { 0..1 };
    let profile = (one_of!(ProfileName, Version::V1_4.max(v)), option::of(text()), option::of(any::<i32>()))
        .prop_filter("of the version", move |(name, ..)| name.in_version(v))
        .prop_map(|(profile_name, server_uri, server_port)| ProfileInformation {
            profile_name,
            server_uri,
            server_port,
        });
    let flags = || option::of(any::<bool>());
    let capability =
        (flags(), flags(), flags(), since(Version::V1_4, v, any::<bool>()), option::of(select(RngMode::ALL))).prop_map(
            |(streaming, asynchronous, attestation, batch, rng_mode)| CapabilityInformation {
                streaming,
                asynchronous,
                attestation,
                batch_undo: batch,
                batch_continue: batch,
                unwrap_mode: Some(UnwrapMode::NotProcessed),
                destroy_action: Some(DestroyAction::KeyMaterialDeleted),
                shredding_algorithm: None,
                rng_mode,
            },
        );
    let profiles = if v >= Version::V1_3 { vec(profile, 0..3).boxed() } else { Just(Vec::new()).boxed() };
    let old = (
        vec(one_of!(Operation, v), 0..5),
        vec(one_of!(ObjectType, v), 0..5),
        option::of(text()),
        option::of(structure().prop_map(Structure)),
        vec(text(), 0..3),
    );
    let new = (
        vec(structure().prop_map(Value::Structure), from(Version::V1_1, 2)),
        vec(select(AttestationType::ALL), from(Version::V1_2, 2)),
        vec(rng(v), from(Version::V1_3, 2)),
        profiles,
        vec(capability, from(Version::V1_3, 2)),
        vec(select(ClientRegistrationMethod::ALL), from(Version::V1_3, 2)),
    );
    (old, new).prop_map(|(old, new)| QueryResponse {
        operation: old.0,
        object_type: old.1,
        vendor_identification: old.2,
        server_information: old.3,
        application_namespace: old.4,
        extension_information: new.0,
        attestation_type: new.1,
        rng_parameters: new.2,
        profile_information: new.3,
        validation_information: Vec::new(),
        capability_information: new.4,
        client_registration_method: new.5,
    })
}

fn response(v: Version) -> impl Strategy<Value = Response> {
    let create =
        (one_of!(ObjectType, v), text(), implicit(v)).prop_map(|(object_type, unique_identifier, attributes)| {
            CreateResponse { object_type, unique_identifier, attributes }
        });
    let got = (one_of!(ObjectType, v), text(), object(v))
        .prop_map(|(object_type, unique_identifier, object)| GetResponse { object_type, unique_identifier, object });
    let check = (id(), option::of(any::<i64>()), usage(), option::of(any::<u32>().prop_map(Interval))).prop_map(
        |(unique_identifier, usage_limits_count, cryptographic_usage_mask, lease_time)| CheckResponse {
            unique_identifier,
            usage_limits_count,
            cryptographic_usage_mask,
            lease_time,
        },
    );
    let located = (since(Version::V1_3, v, any::<i32>()), vec(text(), 0..5))
        .prop_map(|(located_items, unique_identifier)| LocateResponse { located_items, unique_identifier });
    let attributes = (text(), vec(instance(v), 0..5)).prop_map(|(unique_identifier, attributes)| {
        GetAttributesResponse { unique_identifier, attributes: ReturnedAttributes(attributes) }
    });
    let names = (text(), vec(attribute_name(v), 0..5))
        .prop_map(|(unique_identifier, attribute_name)| GetAttributeListResponse { unique_identifier, attribute_name });
    let registered = (text(), implicit(v))
        .prop_map(|(unique_identifier, attributes)| RegisterResponse { unique_identifier, attributes });
    let changed = || (text(), instance(v));
    Union::new([
        create.prop_map(Response::from).boxed(),
        registered.prop_map(Response::from).boxed(),
        located.prop_map(Response::from).boxed(),
        check.prop_map(Response::from).boxed(),
        got.prop_map(Response::from).boxed(),
        attributes.prop_map(Response::from).boxed(),
        names.prop_map(Response::from).boxed(),
        changed()
            .prop_map(|(unique_identifier, attribute)| AddAttributeResponse { unique_identifier, attribute }.into())
            .boxed(),
        changed()
            .prop_map(|(unique_identifier, attribute)| ModifyAttributeResponse { unique_identifier, attribute }.into())
            .boxed(),
        changed()
            .prop_map(|(unique_identifier, attribute)| DeleteAttributeResponse { unique_identifier, attribute }.into())
            .boxed(),
        text().prop_map(|unique_identifier| ActivateResponse { unique_identifier }.into()).boxed(),
        text().prop_map(|unique_identifier| RevokeResponse { unique_identifier }.into()).boxed(),
        text().prop_map(|unique_identifier| DestroyResponse { unique_identifier }.into()).boxed(),
        query_response(v).prop_map(Response::from).boxed(),
        protocol_versions().prop_map(|protocol_version| DiscoverVersionsResponse { protocol_version }.into()).boxed(),
    ])
}

fn credential(v: Version) -> impl Strategy<Value = Credential> {
    let password = (text(), option::of(text().prop_map(Zeroizing::new)))
        .prop_map(|(username, password)| Credential::UsernameAndPassword { username, password });
    let other = one_of!(CredentialType, v).prop_filter_map("the one that is read", |kind| {
        (kind != CredentialType::UsernameAndPassword).then_some(Credential::Other(kind))
    });
    // 1.0 has the one kind only.
    if v == Version::V1_0 { password.boxed() } else { prop_oneof![password, other].boxed() }
}

fn header(v: Version) -> impl Strategy<Value = RequestHeader> {
    let old = (
        option::of(any::<i32>()),
        option::of(any::<bool>().prop_map(Asynchronous::Flag)),
        option::of(vec(credential(v), 0..3).prop_map(|credential| Authentication { credential })),
        option::of(select(BatchErrorContinuationOption::ALL)),
        option::of(any::<bool>()),
        option::of(date()),
    );
    let attestation = vec(select(AttestationType::ALL), if v >= Version::V1_2 { 0..3 } else { 0..1 });
    let new = (
        since(Version::V1_2, v, any::<bool>()),
        attestation,
        since(Version::V1_4, v, text()),
        since(Version::V1_4, v, text()),
    );
    (old, new).prop_map(move |(old, new)| RequestHeader {
        protocol_version: v.into(),
        maximum_response_size: old.0,
        client_correlation_value: new.2,
        server_correlation_value: new.3,
        asynchronous_indicator: old.1,
        attestation_capable_indicator: new.0,
        attestation_type: new.1,
        authentication: old.2,
        batch_error_continuation_option: old.3,
        batch_order_option: old.4,
        time_stamp: old.5,
        batch_count: 0,
    })
}

/// A request and the name that the client gives its item.
type NamedRequest = (Option<Zeroizing<Vec<u8>>>, Request);

/// A message of several requests, as it stands before it is written.
fn messages() -> impl Strategy<Value = (Version, RequestHeader, Vec<NamedRequest>)> {
    select(&VERSIONS).prop_flat_map(|v| (Just(v), header(v), vec((option::of(bytes()), request(v)), 1..4)))
}

fn through_bytes(item: &Item) -> Item {
    decode(&encode(item), &Limits::default()).expect("what is written can be read")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn requests_are_read_back_as_they_were_written((v, mut header, requests) in messages()) {
        let item = |(id, request): &(Option<Zeroizing<Vec<u8>>>, Request)| {
            let mut fields = vec![Item::new(Tag::Operation, request.operation().into_value(v))];
            fields.extend(id.clone().map(|id| Item::new(Tag::UniqueBatchItemId, Value::ByteString(id))));
            fields.push(Item::new(Tag::RequestPayload, request.clone().into_value(v)));
            Item::structure(Tag::BatchItem, fields)
        };
        header.batch_count = i32::try_from(requests.len()).unwrap();
        let message = RequestMessage { header: header.clone(), items: requests.iter().map(item).collect(), version: v };
        let read = RequestMessage::from_item(through_bytes(&message.into_item())).expect("a request");
        prop_assert_eq!(read.version, v);
        prop_assert_eq!(read.header, header);
        prop_assert_eq!(read.items.len(), requests.len());
        for (item, (id, request)) in read.items.into_iter().zip(requests) {
            let item = RequestItem::from_item(item, v).expect("an item");
            prop_assert_eq!(item.unique_batch_item_id, id);
            prop_assert_eq!(item.operation, Some(request.operation()).filter(|operation| operation.in_version(v)));
            prop_assert_eq!(Request::from_value(request.operation(), item.payload, v), Ok(Some(request)));
        }
    }

    #[test]
    fn responses_are_read_back_as_they_were_written(
        (v, response) in select(&VERSIONS).prop_flat_map(|v| (Just(v), response(v))),
        time in date(),
    ) {
        let operation = response.operation();
        let header = ResponseHeader {
            protocol_version: v.into(),
            time_stamp: time,
            client_correlation_value: None,
            server_correlation_value: None,
            batch_count: 1,
        };
        let item = ResponseItem {
            operation: Some(Enumerated::code(operation.code())),
            unique_batch_item_id: None,
            result_status: ResultStatus::Success,
            result_reason: None,
            result_message: None,
            payload: Some(response.clone().into_value(v)),
        };
        let message = ResponseMessage { header: header.clone(), items: vec![item] }.into_item(v);
        let read = ResponseMessage::from_item(through_bytes(&message), v).expect("a response");
        prop_assert_eq!(read.header, header);
        let payload = read.items.into_iter().next().and_then(|item| item.payload).expect("a payload");
        prop_assert_eq!(Response::from_value(operation, payload, v), Ok(Some(response)));
    }

    #[test]
    fn what_only_a_newer_version_says_is_not_said_in_an_older_one(
        request in request(Version::V1_4),
        v in select(&VERSIONS),
    ) {
        // Fields that the version lacks are left out; values that it lacks are refused, never taken for something else.
        let operation = request.operation();
        let item = Item::new(Tag::RequestPayload, request.into_value(v));
        let payload = through_bytes(&item);
        if let Ok(Some(read)) = Request::from_value(operation, payload.value.clone(), v) {
            prop_assert_eq!(through_bytes(&Item::new(Tag::RequestPayload, read.into_value(v))), payload);
        }
    }
}
