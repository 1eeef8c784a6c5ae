//! Check (KMIP 1.4 §4.10): whether an object may be used for this, so much and so long. Changes nothing.

use kmip::{
    attributes::{Attribute, AttributeKind},
    enums::State,
    masks::CryptographicUsageMask,
    payloads::{CheckRequest, CheckResponse},
};

use crate::engine::{ctx::Ctx, error::OpError, terms::LEASE_SECONDS};

/// Answers with the identifier where the use is allowed, else with what stands against it.
pub(in crate::engine) fn check(ctx: &Ctx<'_>, request: CheckRequest) -> Result<CheckResponse, OpError> {
    let object = ctx.fetch_target(request.unique_identifier)?;
    if object.state() != State::Active && object.state() != State::PreActive {
        ctx.placeholder.set(None);
        return Err(OpError::WrongState("the object is no longer to be used"));
    }
    let allowed_mask = match object.attributes.get(AttributeKind::CryptographicUsageMask) {
        Some(Attribute::CryptographicUsageMask(mask)) => *mask,
        _ => CryptographicUsageMask::empty(),
    };
    let left = match object.attributes.get(AttributeKind::UsageLimits) {
        Some(Attribute::UsageLimits(limits)) => limits.count.or(limits.total).unwrap_or(i64::MAX),
        _ => i64::MAX,
    };
    let usage_limits_count = request.usage_limits_count.filter(|wanted| *wanted > left);
    let cryptographic_usage_mask = request.cryptographic_usage_mask.filter(|wanted| !allowed_mask.contains(*wanted));
    let lease_time = request.lease_time.filter(|wanted| wanted.0 > LEASE_SECONDS);
    let refused = usage_limits_count.is_some() || cryptographic_usage_mask.is_some() || lease_time.is_some();
    if refused {
        ctx.placeholder.set(None);
    }
    let unique_identifier = (!refused).then(|| object.id.0.to_string());
    Ok(CheckResponse { unique_identifier, usage_limits_count, cryptographic_usage_mask, lease_time })
}
