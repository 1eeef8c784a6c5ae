//! `/v1/adapters`.

use std::sync::Arc;

use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{Changed, Once};
use crate::{
    admin::{
        Admin,
        etag::IfMatch,
        http::{Answer, At, Body, Call, Filter},
        model::{Adapter, AdapterChange, AdapterUsage, ImpactReport, NewAdapter},
        page::{Page, PageQuery},
    },
    store::AdapterId,
};

pub(super) fn router() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update, delete))
        .routes(routes!(usage))
        .routes(routes!(impact))
}

/// List adapters
///
/// By name; only those that the caller may see.
#[utoipa::path(get, path = "/v1/adapters", tag = "adapters", params(PageQuery),
    responses((status = 200, description = "A page of adapters", body = Page<Adapter>)))]
async fn list(call: Call, Filter(query): Filter<PageQuery>) -> Answer {
    let window = query.window("adapters")?;
    call.read(move |service, caller| service.list_adapters(caller, &window)).await
}

/// Make an adapter
#[utoipa::path(post, path = "/v1/adapters", tag = "adapters", params(Once), request_body = NewAdapter,
    responses((status = 201, description = "The adapter", body = Adapter)))]
async fn create(call: Call, body: Body<NewAdapter>) -> Answer {
    call.create(body, |service, caller, new| service.create_adapter(caller, new)).await
}

/// Read an adapter
#[utoipa::path(get, path = "/v1/adapters/{id}", tag = "adapters", params(("id" = Uuid, Path, description = "The adapter")),
    responses((status = 200, description = "The adapter", body = Adapter)))]
async fn read(call: Call, At(id): At<Uuid>) -> Answer {
    call.one(move |service, caller| service.read_adapter(caller, AdapterId(id))).await
}

/// Tell whether an adapter is in use
///
/// Its first and its last key, and who connected.
#[utoipa::path(get, path = "/v1/adapters/{id}/usage", tag = "adapters", params(("id" = Uuid, Path, description = "The adapter")),
    responses((status = 200, description = "Its use", body = AdapterUsage)))]
async fn usage(call: Call, At(id): At<Uuid>) -> Answer {
    call.read(move |service, caller| service.read_usage(caller, AdapterId(id))).await
}

/// Tell what would be lost with an adapter
#[utoipa::path(get, path = "/v1/adapters/{id}/impact", tag = "adapters", params(("id" = Uuid, Path, description = "The adapter")),
    responses((status = 200, description = "What would be lost", body = ImpactReport)))]
async fn impact(call: Call, At(id): At<Uuid>) -> Answer {
    call.read(move |service, caller| service.adapter_impact(caller, AdapterId(id))).await
}

/// Change an adapter
///
/// Its name, description and policy; its root key is for ever.
#[utoipa::path(patch, path = "/v1/adapters/{id}", tag = "adapters", params(("id" = Uuid, Path, description = "The adapter"), Changed),
    request_body = AdapterChange, responses((status = 200, description = "The adapter as it is now", body = Adapter)))]
async fn update(call: Call, At(id): At<Uuid>, if_match: IfMatch, body: Body<AdapterChange>) -> Answer {
    call.one(move |service, caller| service.update_adapter(caller, AdapterId(id), &if_match, body.value)).await
}

/// Delete an adapter
///
/// At once where nothing in it is Active or held, and its policy has no hold period or it never had a key; otherwise it needs an
/// approval (`POST /v1/approvals`). Its certificates, rules and keys go with it, and its clients are cut off.
#[utoipa::path(delete, path = "/v1/adapters/{id}", tag = "adapters", params(("id" = Uuid, Path, description = "The adapter"), Changed),
    responses((status = 204, description = "It is deleted")))]
async fn delete(call: Call, At(id): At<Uuid>, if_match: IfMatch) -> Answer {
    call.done(move |service, caller| service.delete_adapter(caller, AdapterId(id), &if_match)).await
}
