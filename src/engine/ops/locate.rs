//! Locate (KMIP 1.4 §4.9): the identifiers of objects that have all the attributes given. Exact, and within the adapter.

use kmip::payloads::{LocateRequest, LocateResponse};

use crate::{
    engine::{ctx::Ctx, error::OpError, terms::Plan},
    store::ObjectId,
};

/// Finds objects: oldest first up to 1.3, newest first from 1.4 on.
pub(in crate::engine) fn locate(ctx: &Ctx<'_>, request: LocateRequest) -> Result<LocateResponse, OpError> {
    let LocateRequest { maximum_items, offset_items, storage_status_mask, object_group_member, criteria } = request;
    let page = ctx.engine.parts.limits.locate_page;
    let limit = match maximum_items {
        None => page,
        Some(maximum) => {
            u32::try_from(maximum).map_err(|_| OpError::InvalidField("Maximum Items is negative"))?.min(page)
        }
    };
    let offset =
        u64::try_from(offset_items.unwrap_or(0)).map_err(|_| OpError::InvalidField("Offset Items is negative"))?;
    let plan = Plan::new(criteria.0, storage_status_mask, object_group_member, ctx.version)?;
    let found =
        if plan.default_member { default_member(ctx, &plan)? } else { ctx.locate(&plan, offset, limit.into())? };
    // Of several, none is meant (KMIP 1.4 §4.9).
    let only = match found.as_slice() {
        [only] => Some(*only),
        _ => None,
    };
    ctx.placeholder.set(only);
    ctx.subject.set(only);
    // The count of all matches is known without further work only where the page was not filled.
    let complete = found.len() < usize::try_from(limit).unwrap_or(usize::MAX);
    let located_items = i32::try_from(found.len()).ok().filter(|_| complete && offset == 0);
    Ok(LocateResponse { located_items, unique_identifier: found.iter().map(|id| id.0.to_string()).collect() })
}

/// The default member of a group: its oldest object that no client was given yet; once all were given, its oldest.
fn default_member(ctx: &Ctx<'_>, plan: &Plan) -> Result<Vec<ObjectId>, OpError> {
    let mut oldest = plan.clone();
    oldest.search.newest_first = false;
    let mut fresh = oldest.clone();
    fresh.require_fresh();
    let found = ctx.locate(&fresh, 0, 1)?;
    if found.is_empty() { ctx.locate(&oldest, 0, 1) } else { Ok(found) }
}
