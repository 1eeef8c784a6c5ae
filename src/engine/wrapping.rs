//! Keys wrapped under other managed objects: Key Wrapping Specification of Get, and unwrapping of keys that were registered
//! wrapped (KMIP 1.4 §2.1.5, §2.1.6). AES key wrap without padding (RFC 3394), encrypt only.

use std::collections::BTreeSet;

use aws_lc_rs::key_wrap::{AES_128, AES_256, AesKek, KeyWrap};
use kmip::{
    attributes::{Attribute, AttributeKind, AttributeName, CryptographicParameters},
    enums::{BlockCipherMode, CryptographicAlgorithm, EncodingOption, ObjectType, State, WrappingMethod},
    fields::Field,
    masks::CryptographicUsageMask,
    objects::{KeyBlock, KeyInformation, KeyValue, KeyWrappingData, KeyWrappingSpecification},
    tags::Tag,
    tree::{Item, Value},
    ttlv,
    version::Version,
};
use zeroize::Zeroizing;

use super::{ctx::Ctx, error::OpError, object::ManagedObject};

/// Wraps the key of `block` as `specification` asks.
///
/// # Errors
/// The wrapping key is not there, is no key, may not wrap, or the way of wrapping is not supported.
pub(super) fn wrap(
    ctx: &Ctx<'_>,
    object: &ManagedObject,
    block: &mut KeyBlock,
    specification: KeyWrappingSpecification,
) -> Result<(), OpError> {
    if block.key_wrapping_data.is_some() {
        return Err(OpError::IllegalOperation("the key is stored wrapped and cannot be wrapped again"));
    }
    let information = encrypt_only(specification.wrapping_method, specification.encryption_key_information)?;
    if specification.mac_signature_key_information.is_some() {
        return Err(OpError::FeatureNotSupported("keys are wrapped by encryption only"));
    }
    let encoding = specification.encoding_option.unwrap_or(EncodingOption::TtlvEncoding);
    if encoding == EncodingOption::NoEncoding && !specification.attribute_name.is_empty() {
        return Err(OpError::EncodingOption("attributes can be wrapped only in TTLV encoding"));
    }
    let (kek, mode) = wrapping_key(ctx, &information, CryptographicUsageMask::WrapKey)?;
    if mode != BlockCipherMode::NistKeyWrap {
        return Err(OpError::FeatureNotSupported("keys are wrapped with NIST key wrap (RFC 3394) only"));
    }
    let plain = match (encoding, &block.key_value) {
        (EncodingOption::NoEncoding, Some(KeyValue::Plain { material: Value::ByteString(bytes), .. })) => bytes.clone(),
        (EncodingOption::NoEncoding, _) => {
            return Err(OpError::EncodingOption("the key is no byte string: it needs TTLV encoding"));
        }
        (EncodingOption::TtlvEncoding, Some(KeyValue::Plain { material, .. })) => {
            let attributes = attributes_along(ctx, object, specification.attribute_name)?;
            let value = KeyValue::Plain { material: material.clone(), attributes };
            ttlv::encode(&Item::new(Tag::KeyValue, value.into_value(ctx.version)))
        }
        (EncodingOption::TtlvEncoding, _) => return Err(OpError::KeyValueNotPresent),
    };
    let mut wrapped = Zeroizing::new(vec![0; plain.len() + 8]);
    aes_kek(&kek)?
        .wrap(&plain, &mut wrapped)
        .map_err(|_| OpError::Cryptographic("the key's length cannot be wrapped with NIST key wrap"))?;
    block.key_value = Some(KeyValue::Wrapped(wrapped));
    block.key_wrapping_data = Some(KeyWrappingData {
        wrapping_method: WrappingMethod::Encrypt,
        encryption_key_information: Some(information),
        mac_signature_key_information: None,
        mac_signature: None,
        iv_counter_nonce: None,
        encoding_option: specification.encoding_option,
    });
    Ok(())
}

/// The named attributes of `object`, to be wrapped with its key. One that the object does not have is left out.
///
/// # Errors
/// A name is given twice: a request could otherwise ask for any multiple of what the object has.
fn attributes_along(ctx: &Ctx<'_>, object: &ManagedObject, names: Vec<String>) -> Result<Vec<Item>, OpError> {
    let given = names.len();
    let names: BTreeSet<String> = names.into_iter().collect();
    if names.len() < given {
        return Err(OpError::InvalidMessage("an attribute name is given more than once"));
    }
    let mut items = Vec::new();
    for name in names {
        let name = AttributeName::parse(name, ctx.version);
        for instance in object.attributes.named(&name).filter(|instance| instance.is_defined(ctx.version)) {
            items.push(Item::new(Tag::Attribute, instance.returned().into_value(ctx.version)));
        }
    }
    Ok(items)
}

/// Unwraps a key that was registered wrapped under an object of the same adapter.
///
/// # Errors
/// As for [`wrap`]; or the wrapped bytes are not what this key wrapped.
pub(super) fn unwrap(ctx: &Ctx<'_>, block: &mut KeyBlock) -> Result<(), OpError> {
    let Some(data) = block.key_wrapping_data.take() else { return Ok(()) };
    let information = encrypt_only(data.wrapping_method, data.encryption_key_information)?;
    let (kek, mode) = wrapping_key(ctx, &information, CryptographicUsageMask::empty())?;
    if mode != BlockCipherMode::NistKeyWrap {
        return Err(OpError::FeatureNotSupported("keys are unwrapped with NIST key wrap (RFC 3394) only"));
    }
    let wrapped = match block.key_value.take() {
        Some(KeyValue::Wrapped(bytes) | KeyValue::Plain { material: Value::ByteString(bytes), .. }) => bytes,
        _ => return Err(OpError::KeyValueNotPresent),
    };
    let mut plain = Zeroizing::new(vec![0; wrapped.len()]);
    let length = aes_kek(&kek)?
        .unwrap(&wrapped, &mut plain)
        .map_err(|_| OpError::Cryptographic("the stored key is not one that this wrapping key wrapped"))?
        .len();
    plain.truncate(length);
    block.key_value = Some(match data.encoding_option.unwrap_or(EncodingOption::TtlvEncoding) {
        EncodingOption::NoEncoding => KeyValue::Plain { material: Value::ByteString(plain), attributes: Vec::new() },
        EncodingOption::TtlvEncoding => ttlv::decode(&plain, &ttlv::Limits::default())
            .and_then(|item| Field::from_value(item.value, Version::V1_4))
            .map_err(|_| OpError::Cryptographic("the unwrapped key is no TTLV key value"))?,
    });
    Ok(())
}

fn encrypt_only(method: WrappingMethod, information: Option<KeyInformation>) -> Result<KeyInformation, OpError> {
    match (method, information) {
        (WrappingMethod::Encrypt, Some(information)) => Ok(information),
        (WrappingMethod::Encrypt, None) => Err(OpError::InvalidField("the encryption key information is missing")),
        _ => Err(OpError::FeatureNotSupported("keys are wrapped by encryption only")),
    }
}

/// The wrapping key's bytes and the mode in which it is to be used: the one asked for, if the key has it among its
/// Cryptographic Parameters, else the first of them.
fn wrapping_key(
    ctx: &Ctx<'_>,
    information: &KeyInformation,
    usage: CryptographicUsageMask,
) -> Result<(Zeroizing<Vec<u8>>, BlockCipherMode), OpError> {
    let key = ctx.fetch(&information.unique_identifier)?;
    if key.object_type != ObjectType::SymmetricKey {
        return Err(OpError::IllegalOperation("the wrapping key is no symmetric key"));
    }
    let aes = key.attributes.get(AttributeKind::CryptographicAlgorithm)
        == Some(&Attribute::CryptographicAlgorithm(CryptographicAlgorithm::Aes));
    let mask = match key.attributes.get(AttributeKind::CryptographicUsageMask) {
        Some(Attribute::CryptographicUsageMask(mask)) => *mask,
        _ => CryptographicUsageMask::empty(),
    };
    if !aes || !mask.contains(usage) || (!usage.is_empty() && key.state() != State::Active) {
        return Err(OpError::PermissionDenied(
            "the wrapping key may not wrap keys: it must be an active AES key with that usage",
        ));
    }
    let mode = mode_of(&key, information.cryptographic_parameters.as_ref())?;
    match ctx.object(&key)?.key_block().and_then(|block| block.key_value.clone()) {
        Some(KeyValue::Plain { material: Value::ByteString(bytes), .. }) => Ok((bytes, mode)),
        _ => Err(OpError::IllegalOperation("the wrapping key is not stored as bytes")),
    }
}

fn mode_of(key: &ManagedObject, wanted: Option<&CryptographicParameters>) -> Result<BlockCipherMode, OpError> {
    let name = AttributeName::Standard(AttributeKind::CryptographicParameters);
    let mut own: Vec<_> = key.attributes.named(&name).collect();
    own.sort_by_key(|instance| instance.index);
    let mut own = own.into_iter().filter_map(|instance| match &instance.attribute {
        Attribute::CryptographicParameters(parameters) => Some(parameters),
        _ => None,
    });
    let found = match wanted {
        Some(wanted) => own.find(|parameters| parameters.block_cipher_mode == wanted.block_cipher_mode),
        None => own.next(),
    };
    found
        .and_then(|parameters| parameters.block_cipher_mode)
        .ok_or(OpError::AttributeNotFound("the wrapping key has no such cryptographic parameters"))
}

fn aes_kek(key: &[u8]) -> Result<AesKek, OpError> {
    let cipher = match key.len() {
        16 => &AES_128,
        32 => &AES_256,
        _ => return Err(OpError::FeatureNotSupported("keys are wrapped with AES keys of 128 and 256 bits only")),
    };
    AesKek::new(cipher, key).map_err(|_| OpError::Cryptographic("the wrapping key cannot be used"))
}
