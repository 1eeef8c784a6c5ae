//! Destroy (KMIP 1.4 §4.21): the material goes for good, the metadata stays. Where the adapter's policy sets a hold period, the
//! material is out of reach at once and goes when the period ends.

use kmip::payloads::{DestroyRequest, DestroyResponse};

use crate::engine::{ctx::Ctx, error::OpError, state};

/// Destroys an object.
pub(in crate::engine) fn destroy(ctx: &Ctx<'_>, request: DestroyRequest) -> Result<DestroyResponse, OpError> {
    let hold_until = ctx.hold_until();
    let (object, ()) = ctx.update(request.unique_identifier, |object| {
        if state::is_destroyed(object.state()) {
            return Err(OpError::DestroyedAlready);
        }
        if !object.destroy(hold_until, ctx.now) {
            return Err(OpError::WrongState("an active object is not destroyed: revoke it first"));
        }
        Ok(())
    })?;
    Ok(DestroyResponse { unique_identifier: object.id.0.to_string() })
}
