//! The one function that decides access: what an adapter's clients may do with which object.

use kmip::enums::Operation;

use super::{authn::Principal, error::OpError, object::ManagedObject};

/// Whether `principal` may do `operation`, and where an object is at hand, on `object`. An object of another adapter
/// answers exactly like a missing one.
///
/// # Errors
/// `NotFound`.
pub(super) fn decide(
    principal: &Principal,
    _operation: Operation,
    object: Option<&ManagedObject>,
) -> Result<(), OpError> {
    match object {
        Some(object) if object.adapter != principal.adapter => Err(OpError::NotFound),
        _ => Ok(()),
    }
}
