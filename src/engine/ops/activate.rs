//! Activate (KMIP 1.4 §4.19): a Pre-Active object becomes Active now.

use kmip::{
    attributes::Attribute,
    enums::{ObjectType, State},
    fields::DateTime,
    payloads::{ActivateRequest, ActivateResponse},
};

use crate::engine::{ctx::Ctx, error::OpError, state::Event};

/// Activates an object.
pub(in crate::engine) fn activate(ctx: &Ctx<'_>, request: ActivateRequest) -> Result<ActivateResponse, OpError> {
    let (object, ()) = ctx.update(request.unique_identifier, |object| {
        if matches!(object.object_type, ObjectType::OpaqueObject | ObjectType::Template) {
            return Err(OpError::IllegalOperation("objects of this type are not activated"));
        }
        if object.state() != State::PreActive || !object.advance(Event::Activate) {
            return Err(OpError::WrongState("the object is not pre-active"));
        }
        object.attributes.set(Attribute::ActivationDate(DateTime(ctx.now)));
        object.touch(ctx.now);
        Ok(())
    })?;
    Ok(ActivateResponse { unique_identifier: object.id.0.to_string() })
}
