//! Add, Modify and Delete Attribute (KMIP 1.4 §4.14 to §4.16).

use kmip::{
    attributes::AttributeInstance,
    payloads::{
        AddAttributeRequest, AddAttributeResponse, DeleteAttributeRequest, DeleteAttributeResponse,
        ModifyAttributeRequest, ModifyAttributeResponse,
    },
};

use crate::engine::{attribute_rules, ctx::Ctx, error::OpError, object::ManagedObject, state};

/// Adds an attribute and returns it with its index.
pub(in crate::engine) fn add_attribute(
    ctx: &Ctx<'_>,
    request: AddAttributeRequest,
) -> Result<AddAttributeResponse, OpError> {
    let AddAttributeRequest { unique_identifier, attribute } = request;
    let (object, index) = ctx.update(unique_identifier, |object| {
        require_not_destroyed(object)?;
        let index = attribute_rules::add(object, attribute.clone(), ctx.now)?;
        finish(object, ctx.now);
        Ok(index)
    })?;
    Ok(AddAttributeResponse { unique_identifier: object.id.0.to_string(), attribute: with_index(attribute, index) })
}

/// Changes an attribute and returns its new value.
pub(in crate::engine) fn modify_attribute(
    ctx: &Ctx<'_>,
    request: ModifyAttributeRequest,
) -> Result<ModifyAttributeResponse, OpError> {
    let ModifyAttributeRequest { unique_identifier, attribute } = request;
    let (object, index) = ctx.update(unique_identifier, |object| {
        require_not_destroyed(object)?;
        let index = attribute_rules::modify(object, attribute.clone(), ctx.now)?;
        finish(object, ctx.now);
        Ok(index)
    })?;
    let index = attribute.index.unwrap_or(index);
    Ok(ModifyAttributeResponse { unique_identifier: object.id.0.to_string(), attribute: with_index(attribute, index) })
}

/// Deletes an attribute and returns what it was.
pub(in crate::engine) fn delete_attribute(
    ctx: &Ctx<'_>,
    request: DeleteAttributeRequest,
) -> Result<DeleteAttributeResponse, OpError> {
    let DeleteAttributeRequest { unique_identifier, attribute_name, attribute_index } = request;
    let (object, attribute) = ctx.update(unique_identifier, |object| {
        require_not_destroyed(object)?;
        let removed = attribute_rules::delete(object, &attribute_name, attribute_index)?;
        finish(object, ctx.now);
        Ok(removed)
    })?;
    Ok(DeleteAttributeResponse { unique_identifier: object.id.0.to_string(), attribute })
}

/// A destroyed object's metadata is a record of what was.
fn require_not_destroyed(object: &ManagedObject) -> Result<(), OpError> {
    if state::is_destroyed(object.state()) {
        return Err(OpError::WrongState("the attributes of a destroyed object no longer change"));
    }
    Ok(())
}

fn finish(object: &mut ManagedObject, now: i64) {
    attribute_rules::remember_exposure(&mut object.attributes);
    object.settle(now);
    object.touch(now);
}

fn with_index(attribute: AttributeInstance, index: i32) -> AttributeInstance {
    AttributeInstance { index: Some(index).filter(|index| *index != 0), ..attribute }
}
