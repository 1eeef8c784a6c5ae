//! Revoke (KMIP 1.4 §4.20): a compromise makes an object Compromised, any other reason Deactivated.

use kmip::{
    attributes::{Attribute, AttributeKind},
    enums::RevocationReasonCode,
    fields::DateTime,
    payloads::{RevokeRequest, RevokeResponse},
};

use crate::engine::{attribute_rules, ctx::Ctx, error::OpError, state::Event};

/// Revokes an object.
pub(in crate::engine) fn revoke(ctx: &Ctx<'_>, request: RevokeRequest) -> Result<RevokeResponse, OpError> {
    let RevokeRequest { unique_identifier, revocation_reason, compromise_occurrence_date } = request;
    let compromise =
        matches!(revocation_reason.code, RevocationReasonCode::KeyCompromise | RevocationReasonCode::CaCompromise);
    attribute_rules::check_revocation(&revocation_reason)?;
    let (object, ()) = ctx.update(unique_identifier, |object| {
        let event = if compromise { Event::Compromise } else { Event::Deactivate };
        if !object.advance(event) {
            return Err(OpError::IllegalOperation("the object's state does not allow to revoke it for this reason"));
        }
        let set = &mut object.attributes;
        if compromise {
            let initial = set.date(AttributeKind::InitialDate).unwrap_or(ctx.now);
            let occurred = compromise_occurrence_date.unwrap_or(DateTime(initial));
            set.set(Attribute::CompromiseDate(DateTime(ctx.now)));
            set.set(Attribute::CompromiseOccurrenceDate(occurred));
        } else {
            set.set(Attribute::DeactivationDate(DateTime(ctx.now)));
        }
        set.set(Attribute::RevocationReason(revocation_reason.clone()));
        object.touch(ctx.now);
        Ok(())
    })?;
    Ok(RevokeResponse { unique_identifier: object.id.0.to_string() })
}
