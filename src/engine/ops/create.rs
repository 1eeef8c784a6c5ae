//! Create (KMIP 1.4 §4.1): makes a symmetric key, or a secret of random bytes.

use kmip::{
    attributes::{Attribute, AttributeKind, RngParameters},
    enums::{CryptographicAlgorithm, KeyFormatType, ObjectType, RngAlgorithm, SecretDataType},
    objects::{KeyBlock, KeyHolder, KeyValue, Object, SecretData},
    payloads::{CreateRequest, CreateResponse, ImplicitAttributes},
    tree::Value,
};

use crate::engine::{
    ctx::Ctx,
    error::OpError,
    material,
    ops::register::{begin, finish},
};

/// Makes a key and returns its identifier.
pub(in crate::engine) fn create(ctx: &Ctx<'_>, request: CreateRequest) -> Result<CreateResponse, OpError> {
    let CreateRequest { object_type, attributes } = request;
    let mut object = begin(ctx, object_type, attributes.0)?;
    let bits = match object.attributes.get(AttributeKind::CryptographicLength) {
        Some(Attribute::CryptographicLength(bits)) => Some(*bits),
        _ => None,
    };
    let content = match object_type {
        ObjectType::SymmetricKey => {
            let Some(Attribute::CryptographicAlgorithm(algorithm)) =
                object.attributes.get(AttributeKind::CryptographicAlgorithm)
            else {
                return Err(OpError::InvalidField("a new key needs a cryptographic algorithm"));
            };
            let algorithm = *algorithm;
            let bits = bits
                .or(default_length(algorithm))
                .ok_or(OpError::InvalidField("a new key needs a cryptographic length"))?;
            if !object.attributes.has(AttributeKind::CryptographicUsageMask) {
                return Err(OpError::InvalidField("a new key needs a cryptographic usage mask"));
            }
            object.attributes.set(Attribute::CryptographicLength(bits));
            let mut key = ctx.random(material::material_bytes(algorithm, bits)?)?;
            material::finish_generated(algorithm, &mut key);
            let key_block = KeyBlock {
                key_format_type: KeyFormatType::Raw,
                key_compression_type: None,
                key_value: Some(KeyValue::Plain { material: Value::ByteString(key), attributes: Vec::new() }),
                cryptographic_algorithm: Some(algorithm),
                cryptographic_length: Some(bits),
                key_wrapping_data: None,
            };
            Object::SymmetricKey(KeyHolder { key_block })
        }
        ObjectType::SecretData => {
            let bits = bits.ok_or(OpError::InvalidField("a new secret needs a cryptographic length"))?;
            let bytes = usize::try_from(bits)
                .ok()
                .filter(|bits| bits % 8 == 0 && (8..=8192).contains(bits))
                .map(|bits| bits / 8);
            let secret = ctx.random(bytes.ok_or(OpError::InvalidField("a secret has 8 to 8192 bits, whole bytes"))?)?;
            let key_block = KeyBlock {
                key_format_type: KeyFormatType::Opaque,
                key_compression_type: None,
                key_value: Some(KeyValue::Plain { material: Value::ByteString(secret), attributes: Vec::new() }),
                cryptographic_algorithm: None,
                cryptographic_length: None,
                key_wrapping_data: None,
            };
            Object::SecretData(SecretData { secret_data_type: SecretDataType::Password, key_block })
        }
        _ => {
            return Err(OpError::InvalidField(
                "the server creates symmetric keys and secret data; other objects are registered",
            ));
        }
    };
    generated(&mut object.attributes, ctx.now);
    if let Some(digest) = material::digest_of(&content) {
        object.attributes.set(digest);
    }
    finish(ctx, &mut object, content)?;
    Ok(CreateResponse {
        object_type,
        unique_identifier: object.id.0.to_string(),
        attributes: ImplicitAttributes::default(),
    })
}

/// Attributes of objects whose material the server made (KMIP 1.4 §3.43, §3.44).
fn generated(set: &mut crate::engine::attribute_set::AttributeSet, now: i64) {
    set.set_date(AttributeKind::OriginalCreationDate, now);
    if !set.has(AttributeKind::RandomNumberGenerator) {
        set.set(Attribute::RandomNumberGenerator(rng()));
    }
}

/// The generator that new keys come from: the operating system's, of which no more can be said.
pub(in crate::engine) fn rng() -> RngParameters {
    RngParameters {
        rng_algorithm: RngAlgorithm::Unspecified,
        cryptographic_algorithm: None,
        cryptographic_length: None,
        hashing_algorithm: None,
        drbg_algorithm: None,
        recommended_curve: None,
        fips186_variation: None,
        prediction_resistance: None,
    }
}

/// Algorithms with only one sensible length.
fn default_length(algorithm: CryptographicAlgorithm) -> Option<i32> {
    match algorithm {
        CryptographicAlgorithm::Aes | CryptographicAlgorithm::ChaCha20 => Some(256),
        CryptographicAlgorithm::Des3 => Some(168),
        _ => None,
    }
}
