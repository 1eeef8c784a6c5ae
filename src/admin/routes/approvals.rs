//! `/v1/approvals`.

use std::sync::Arc;

use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{Changed, Once};
use crate::admin::{
    Admin,
    etag::IfMatch,
    http::{Answer, At, Body, Call, Filter},
    model::{Approval, ApprovalStatus, NewApproval},
    page::{Page, Window},
};

pub(super) fn router() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read))
        .routes(routes!(approve))
        .routes(routes!(reject))
        .routes(routes!(cancel))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ApprovalQuery {
    /// At most so many items, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_page` of the page before.
    page: Option<String>,
    /// Only those in this state.
    #[param(inline)]
    state: Option<ApprovalStatus>,
}

/// List requests for approval
///
/// Newest first; only those about what the caller may read.
#[utoipa::path(get, path = "/v1/approvals", tag = "approvals", params(ApprovalQuery),
    responses((status = 200, description = "A page of requests", body = Page<Approval>)))]
async fn list(call: Call, Filter(query): Filter<ApprovalQuery>) -> Answer {
    let window = Window::new("approvals", query.limit, query.page.as_deref())?;
    call.read(move |service, caller| service.list_approvals(caller, query.state.into_iter().collect(), &window)).await
}

/// Ask for what needs two people
///
/// The answer shows what it would mean. Another identity approves it within the time limit; after a hold period, in which it can
/// be cancelled, the server does it. It is void where more keys are Active by then than are shown here.
#[utoipa::path(post, path = "/v1/approvals", tag = "approvals", params(Once), request_body = NewApproval,
    responses((status = 201, description = "The request, with its impact", body = Approval)))]
async fn create(call: Call, body: Body<NewApproval>) -> Answer {
    call.create(body, |service, caller, new| service.create_approval(caller, new)).await
}

/// Read a request
#[utoipa::path(get, path = "/v1/approvals/{id}", tag = "approvals", params(("id" = Uuid, Path, description = "The request")),
    responses((status = 200, description = "The request", body = Approval)))]
async fn read(call: Call, At(id): At<Uuid>) -> Answer {
    call.one(move |service, caller| service.read_approval(caller, id)).await
}

/// Approve what somebody else asked for
///
/// If-Match names the request as it was read, with the impact that it shows.
#[utoipa::path(post, path = "/v1/approvals/{id}/approve", tag = "approvals",
    params(("id" = Uuid, Path, description = "The request"), Changed),
    responses((status = 200, description = "The request, approved", body = Approval)))]
async fn approve(call: Call, At(id): At<Uuid>, if_match: IfMatch) -> Answer {
    call.one(move |service, caller| service.approve(caller, id, &if_match)).await
}

/// Refuse what somebody else asked for
#[utoipa::path(post, path = "/v1/approvals/{id}/reject", tag = "approvals", params(("id" = Uuid, Path, description = "The request")),
    responses((status = 200, description = "The request, rejected", body = Approval)))]
async fn reject(call: Call, At(id): At<Uuid>) -> Answer {
    call.one(move |service, caller| service.reject(caller, id)).await
}

/// Cancel a request before anything was done
///
/// Whoever asked or approved can, and whoever may decide on it.
#[utoipa::path(post, path = "/v1/approvals/{id}/cancel", tag = "approvals", params(("id" = Uuid, Path, description = "The request")),
    responses((status = 200, description = "The request, cancelled", body = Approval)))]
async fn cancel(call: Call, At(id): At<Uuid>) -> Answer {
    call.one(move |service, caller| service.cancel(caller, id)).await
}
