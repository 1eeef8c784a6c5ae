//! Get (KMIP 1.4 §4.11): hands a managed object to a caller who may read it.

use kmip::{
    attributes::{Attribute, AttributeKind},
    enums::{KeyFormatType, KeyWrapType},
    objects::{KeyBlock, KeyValue, Object},
    payloads::{GetRequest, GetResponse},
    tree::Value,
    version::Version,
};

use crate::{
    engine::{ctx::Ctx, error::OpError, object::ManagedObject, state, wrapping},
    store::StoreError,
};

/// Returns an object, converted and wrapped as asked.
pub(in crate::engine) fn get(ctx: &Ctx<'_>, request: GetRequest) -> Result<GetResponse, OpError> {
    let GetRequest {
        unique_identifier,
        key_format_type,
        key_wrap_type,
        key_compression_type,
        key_wrapping_specification,
    } = request;
    let found = ctx.fetch_target(unique_identifier)?;
    require_retrievable(&found, key_wrapping_specification.is_some())?;
    let mut object = ctx.object(&found)?;
    if let Some(block) = object.key_block_mut() {
        if key_wrap_type == Some(KeyWrapType::NotWrapped) {
            wrapping::unwrap(ctx, block)?;
        }
        convert(block, key_format_type)?;
        if key_compression_type.is_some_and(|wanted| Some(wanted) != block.key_compression_type) {
            return Err(OpError::KeyCompressionType);
        }
        if let Some(specification) = key_wrapping_specification {
            wrapping::wrap(ctx, &found, block, specification)?;
        }
    } else if key_wrapping_specification.is_some() {
        return Err(OpError::IllegalOperation("objects without a key cannot be wrapped"));
    } else if key_format_type.is_some() && !matches!(object, Object::Certificate(_) | Object::OpaqueObject(_)) {
        return Err(OpError::KeyFormatType);
    }
    require_defined(&object, ctx.version)?;
    served(ctx, &found)?;
    Ok(GetResponse { object_type: found.object_type, unique_identifier: found.id.0.to_string(), object })
}

fn require_retrievable(found: &ManagedObject, wrapped: bool) -> Result<(), OpError> {
    if state::is_destroyed(found.state()) {
        return Err(OpError::Destroyed);
    }
    let extractable = found.attributes.get(AttributeKind::Extractable) != Some(&Attribute::Extractable(false));
    if !extractable {
        return Err(OpError::NotExtractable);
    }
    if found.attributes.flag(AttributeKind::Sensitive) && !wrapped {
        return Err(OpError::Sensitive);
    }
    Ok(())
}

/// An object that the client's version has no words for stays here: old clients fail on a value they cannot know.
fn require_defined(object: &Object, version: Version) -> Result<(), OpError> {
    let block_is_defined = object.key_block().is_none_or(|block| {
        block.key_format_type.in_version(version)
            && block.key_compression_type.is_none_or(|kind| kind.in_version(version))
            && block.cryptographic_algorithm.is_none_or(|algorithm| algorithm.in_version(version))
    });
    if object.object_type().in_version(version) && block_is_defined {
        return Ok(());
    }
    Err(OpError::FeatureNotSupported(
        "the object has a type, format or algorithm that this version of KMIP does not define",
    ))
}

/// A key leaves in the format in which it came; a raw symmetric key also as opaque bytes, and the other way round.
fn convert(block: &mut KeyBlock, wanted: Option<KeyFormatType>) -> Result<(), OpError> {
    use KeyFormatType as F;
    let Some(wanted) = wanted.filter(|wanted| *wanted != block.key_format_type) else { return Ok(()) };
    let bytes = matches!(block.key_value, Some(KeyValue::Plain { material: Value::ByteString(_), .. }));
    match (block.key_format_type, wanted) {
        (F::Raw, F::Opaque) | (F::Opaque, F::Raw) if bytes && block.key_wrapping_data.is_none() => {
            block.key_format_type = wanted;
            Ok(())
        }
        _ => Err(OpError::KeyFormatType),
    }
}

/// The first Get makes an object no longer Fresh (KMIP 1.4 §3.34). Not a change that Last Change Date counts.
fn served(ctx: &Ctx<'_>, found: &ManagedObject) -> Result<(), OpError> {
    if !found.attributes.flag(AttributeKind::Fresh) {
        return Ok(());
    }
    let id = Some(found.id.0.to_string());
    match ctx.update(id, |object| {
        if state::is_destroyed(object.state()) {
            return Err(OpError::Destroyed);
        }
        object.attributes.set(Attribute::Fresh(false));
        Ok(())
    }) {
        Ok(_) => Ok(()),
        // A disk that is full or a store that is busy must not keep keys from those who need them now; the object stays
        // fresh until it can be written.
        Err(OpError::Store(StoreError::DiskFull | StoreError::Overloaded | StoreError::Conflict)) => Ok(()),
        Err(error) => Err(error),
    }
}
