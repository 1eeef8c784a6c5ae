//! What a new object brings: checks of its key block, the attributes that follow from it, and newly generated keys.

use kmip::{
    attributes::{Attribute, AttributeKind, Digest},
    enums::{CryptographicAlgorithm as Algorithm, HashingAlgorithm, KeyFormatType, ObjectType},
    objects::{KeyBlock, KeyValue, Object},
    tags::Tag,
    tree::{Item, Value},
    ttlv,
    version::Version,
};
use ring::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::{attribute_set::AttributeSet, certificate, error::OpError};

/// Longest key or secret that the server makes itself, bits.
const MAX_GENERATED_BITS: i32 = 8192;

/// The lengths in bits that a symmetric algorithm's keys may have, and the bytes of the material.
pub(super) fn material_bytes(algorithm: Algorithm, bits: i32) -> Result<usize, OpError> {
    use Algorithm as A;
    let bad = Err(OpError::InvalidField("the cryptographic length is none of the algorithm's"));
    let allowed: &[(i32, usize)] = match algorithm {
        A::Aes | A::Camellia | A::Aria => &[(128, 16), (192, 24), (256, 32)],
        A::Des => &[(56, 8), (64, 8)],
        // With or without the parity bits.
        A::Des3 => &[(112, 16), (128, 16), (168, 24), (192, 24)],
        A::Seed | A::Idea => &[(128, 16)],
        A::ChaCha20 | A::ChaCha20Poly1305 => &[(128, 16), (256, 32)],
        A::Rsa | A::Dsa | A::Ecdsa | A::Ecdh | A::Ecmqv | A::Dh | A::Ec => {
            return Err(OpError::InvalidField("the algorithm is not one of symmetric keys"));
        }
        _ if bits >= 8 && bits % 8 == 0 && bits <= MAX_GENERATED_BITS => return usize::try_from(bits / 8).or(bad),
        _ => return bad,
    };
    allowed.iter().find(|(known, _)| *known == bits).map_or(bad, |(_, bytes)| Ok(*bytes))
}

/// A new key of `algorithm`, in `random`'s bytes.
pub(super) fn finish_generated(algorithm: Algorithm, key: &mut [u8]) {
    if matches!(algorithm, Algorithm::Des | Algorithm::Des3) {
        // Odd parity (FIPS 46-3): implementations that check it refuse other keys.
        for byte in key {
            *byte = (*byte & 0xfe) | u8::from((*byte & 0xfe).count_ones() % 2 == 0);
        }
    }
}

/// Checks an object that Register brings and sets the attributes that follow from it.
///
/// # Errors
/// The object contradicts itself or its attributes.
pub(super) fn take_in(object: &mut Object, set: &mut AttributeSet, version: Version) -> Result<(), OpError> {
    match object {
        Object::Certificate(found) => certificate::describe(found, set)?,
        Object::Template(_) => return Err(OpError::InvalidField("the server does not support templates")),
        Object::OpaqueObject(_) => {}
        Object::SecretData(_) => check_key_block(object, set, false, version)?,
        Object::SymmetricKey(_) | Object::PublicKey(_) | Object::PrivateKey(_) | Object::PgpKey(_) => {
            let must_say_algorithm = !matches!(object, Object::PgpKey(_));
            check_key_block(object, set, must_say_algorithm, version)?;
        }
    }
    if let Some(attribute) = digest_of(object) {
        set.set(attribute);
    }
    Ok(())
}

fn check_key_block(
    object: &mut Object,
    set: &mut AttributeSet,
    must_say_algorithm: bool,
    version: Version,
) -> Result<(), OpError> {
    let object_type = object.object_type();
    let Some(block) = object.key_block_mut() else { return Ok(()) };
    let Some(value) = &mut block.key_value else {
        let may_stay =
            matches!(object_type, ObjectType::SymmetricKey | ObjectType::PrivateKey | ObjectType::SecretData);
        if version < Version::V1_2 || !may_stay {
            return Err(OpError::InvalidField("the key block has no key value"));
        }
        return key_value_elsewhere(block, set);
    };
    if let KeyValue::Plain { attributes, .. } = value {
        // They travel with the key; what the server keeps of an object are its attributes.
        attributes.clear();
    }
    match (block.cryptographic_algorithm, block.cryptographic_length) {
        (Some(algorithm), Some(bits)) => {
            if bits <= 0 {
                return Err(OpError::InvalidField("the cryptographic length is not positive"));
            }
            agree(set, Attribute::CryptographicAlgorithm(algorithm))?;
            agree(set, Attribute::CryptographicLength(bits))?;
        }
        (None, None) => {
            let told = set.has(AttributeKind::CryptographicAlgorithm) && set.has(AttributeKind::CryptographicLength);
            let self_describing =
                !matches!(block.key_format_type, KeyFormatType::Raw) || block.key_wrapping_data.is_some();
            if must_say_algorithm && !told && !self_describing {
                return Err(OpError::InvalidField("a raw key needs its algorithm and length"));
            }
        }
        _ => return Err(OpError::InvalidField("a key block has both algorithm and length, or neither")),
    }
    check_format(object_type, block, set)
}

/// The key value stays with the client, from KMIP 1.2 on (§3.41, Key Value Present): the server holds metadata only.
fn key_value_elsewhere(block: &KeyBlock, set: &mut AttributeSet) -> Result<(), OpError> {
    if let (Some(algorithm), Some(bits)) = (block.cryptographic_algorithm, block.cryptographic_length) {
        agree(set, Attribute::CryptographicAlgorithm(algorithm))?;
        agree(set, Attribute::CryptographicLength(bits))?;
    }
    set.set(Attribute::KeyValuePresent(false));
    Ok(())
}

/// Checks that the material has the shape its format asks for and, for a symmetric key, the length it claims.
fn check_format(object_type: ObjectType, block: &KeyBlock, set: &AttributeSet) -> Result<(), OpError> {
    let material = match &block.key_value {
        Some(KeyValue::Plain { material, .. }) => material,
        Some(KeyValue::Wrapped(bytes)) if bytes.is_empty() => {
            return Err(OpError::InvalidField("the key value is empty"));
        }
        // A PKCS#12 container protects itself, so it stands in the place of a wrapped key value.
        _ if block.key_wrapping_data.is_some() || block.key_format_type == KeyFormatType::Pkcs12 => return Ok(()),
        _ => return Err(OpError::InvalidField("a key value of bytes is a wrapped one and needs key wrapping data")),
    };
    let bytes = match material {
        Value::ByteString(bytes) if !is_transparent(block.key_format_type) => Some(bytes),
        Value::Structure(fields) if is_transparent(block.key_format_type) => match (block.key_format_type, &**fields) {
            (KeyFormatType::TransparentSymmetricKey, [Item { tag: Tag::Key, value: Value::ByteString(bytes) }]) => {
                Some(bytes)
            }
            (KeyFormatType::TransparentSymmetricKey, _) | (_, []) => {
                return Err(OpError::InvalidField("the key material lacks what its format asks for"));
            }
            _ => None,
        },
        _ => return Err(OpError::InvalidField("the key material is not what its format says")),
    };
    match bytes {
        Some(bytes) if bytes.is_empty() => Err(OpError::InvalidField("the key material is empty")),
        Some(bytes) if block.key_wrapping_data.is_none() => {
            check_length(object_type, block.key_format_type, bytes, set)
        }
        _ => Ok(()),
    }
}

/// Checks a symmetric key's bytes against the algorithm and length of its key block or of its attributes, which agree.
fn check_length(
    object_type: ObjectType,
    format: KeyFormatType,
    bytes: &[u8],
    set: &AttributeSet,
) -> Result<(), OpError> {
    let symmetric = object_type == ObjectType::SymmetricKey
        && matches!(format, KeyFormatType::Raw | KeyFormatType::TransparentSymmetricKey);
    let (Some(Attribute::CryptographicAlgorithm(algorithm)), Some(Attribute::CryptographicLength(bits)), true) =
        (set.get(AttributeKind::CryptographicAlgorithm), set.get(AttributeKind::CryptographicLength), symmetric)
    else {
        return Ok(());
    };
    if material_bytes(*algorithm, *bits)? != bytes.len() {
        return Err(OpError::InvalidField("the key material has not the length that the key says"));
    }
    Ok(())
}

/// Whether the format's material is a structure (KMIP 1.4 §2.1.7).
pub(super) fn is_transparent(format: KeyFormatType) -> bool {
    use KeyFormatType as F;
    matches!(
        format,
        F::TransparentSymmetricKey
            | F::TransparentDsaPrivateKey
            | F::TransparentDsaPublicKey
            | F::TransparentRsaPrivateKey
            | F::TransparentRsaPublicKey
            | F::TransparentDhPrivateKey
            | F::TransparentDhPublicKey
            | F::TransparentEcdsaPrivateKey
            | F::TransparentEcdsaPublicKey
            | F::TransparentEcdhPrivateKey
            | F::TransparentEcdhPublicKey
            | F::TransparentEcmqvPrivateKey
            | F::TransparentEcmqvPublicKey
            | F::TransparentEcPrivateKey
            | F::TransparentEcPublicKey
    )
}

/// Sets an attribute that follows from the object; one that the request gave must say the same.
pub(super) fn agree(set: &mut AttributeSet, follows: Attribute) -> Result<(), OpError> {
    match follows.kind().and_then(|kind| set.get(kind)) {
        Some(given) if *given != follows => Err(OpError::InvalidField("an attribute contradicts the object")),
        Some(_) => Ok(()),
        None => {
            set.set(follows);
            Ok(())
        }
    }
}

/// SHA-256 of the object's content (KMIP 1.4 §3.17): of the key material, or for transparent keys of its TTLV form.
pub(super) fn digest_of(object: &Object) -> Option<Attribute> {
    let (value, format) = match object {
        Object::Certificate(certificate) => (digest(&SHA256, &certificate.certificate_value), KeyFormatType::Raw),
        Object::OpaqueObject(opaque) => (digest(&SHA256, &opaque.opaque_data_value), KeyFormatType::Opaque),
        _ => {
            let block = object.key_block()?;
            let value = match block.key_value.as_ref()? {
                KeyValue::Wrapped(bytes) => digest(&SHA256, bytes),
                KeyValue::Plain { material: Value::ByteString(bytes), .. } => digest(&SHA256, bytes),
                KeyValue::Plain { material, .. } => {
                    let encoded = ttlv::encode(&Item::new(Tag::KeyMaterial, material.clone()));
                    digest(&SHA256, &encoded)
                }
            };
            (value, block.key_format_type)
        }
    };
    Some(Attribute::Digest(Digest {
        hashing_algorithm: HashingAlgorithm::Sha256,
        digest_value: Zeroizing::new(value.as_ref().to_vec()),
        key_format_type: Some(format),
    }))
}
