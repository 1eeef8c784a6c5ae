//! `/v1/root-keys`.

use std::sync::Arc;

use axum::{http::StatusCode, response::IntoResponse as _};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::Once;
use crate::admin::{
    Admin,
    http::{Answer, At, Body, Call, Filter},
    model::{AttestVersion, ImpactReport, NewRootKey, RetireVersion, RootKey, SignedStatement},
    page::{Page, PageQuery},
};

pub(super) fn router() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read))
        .routes(routes!(impact))
        .routes(routes!(suspend))
        .routes(routes!(resume))
        .routes(routes!(rotate))
        .routes(routes!(retire))
        .routes(routes!(attest))
}

/// List root keys
///
/// By label.
#[utoipa::path(get, path = "/v1/root-keys", tag = "root keys", params(PageQuery),
    responses((status = 200, description = "A page of root keys", body = Page<RootKey>)))]
async fn list(call: Call, Filter(query): Filter<PageQuery>) -> Answer {
    let window = query.window("root-keys")?;
    call.read(move |service, caller| service.list_root_keys(caller, &window)).await
}

/// Make a root key
///
/// Inside the HSM, by the HSM. Key material never goes over the network: a root key is made from existing material on the machine
/// itself, by `keystead root-key import`.
#[utoipa::path(post, path = "/v1/root-keys", tag = "root keys", params(Once), request_body = NewRootKey,
    responses((status = 201, description = "The root key", body = RootKey)))]
async fn create(call: Call, body: Body<NewRootKey>) -> Answer {
    call.create(body, |service, caller, new| service.create_root_key(caller, new)).await
}

/// Read a root key
///
/// Its versions, how far its rotation is, its attestations, and the certificate of its destruction.
#[utoipa::path(get, path = "/v1/root-keys/{id}", tag = "root keys", params(("id" = Uuid, Path, description = "The root key")),
    responses((status = 200, description = "The root key", body = RootKey)))]
async fn read(call: Call, At(id): At<Uuid>) -> Answer {
    call.one(move |service, caller| service.read_root_key(caller, id)).await
}

/// Tell what would be lost with a root key
#[utoipa::path(get, path = "/v1/root-keys/{id}/impact", tag = "root keys", params(("id" = Uuid, Path, description = "The root key")),
    responses((status = 200, description = "What would be lost", body = ImpactReport)))]
async fn impact(call: Call, At(id): At<Uuid>) -> Answer {
    call.read(move |service, caller| service.root_key_impact(caller, id)).await
}

/// Suspend a root key
///
/// It neither seals nor opens until it is resumed; its adapters are disabled as long.
#[utoipa::path(post, path = "/v1/root-keys/{id}/suspend", tag = "root keys", params(("id" = Uuid, Path, description = "The root key")),
    responses((status = 200, description = "The root key", body = RootKey)))]
async fn suspend(call: Call, At(id): At<Uuid>) -> Answer {
    call.one(move |service, caller| service.suspend_root_key(caller, id)).await
}

/// Let a suspended root key work again
#[utoipa::path(post, path = "/v1/root-keys/{id}/resume", tag = "root keys", params(("id" = Uuid, Path, description = "The root key")),
    responses((status = 200, description = "The root key", body = RootKey)))]
async fn resume(call: Call, At(id): At<Uuid>) -> Answer {
    call.one(move |service, caller| service.resume_root_key(caller, id)).await
}

/// Rotate a root key
///
/// The HSM makes the next version, which is current at once. The server then brings everything under it, while clients go on:
/// `rotation` of the root key tells how far it is.
#[utoipa::path(post, path = "/v1/root-keys/{id}/rotate", tag = "root keys", params(("id" = Uuid, Path, description = "The root key")),
    responses((status = 202, description = "The root key, whose rotation has begun", body = RootKey)))]
async fn rotate(call: Call, At(id): At<Uuid>) -> Answer {
    let mut response = call.one(move |service, caller| service.rotate_root_key(caller, id)).await?.into_response();
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// Retire an old version of a root key
///
/// It is destroyed in the HSM, once nothing is under it. Backups of the database from before the rotation open with it alone.
#[utoipa::path(post, path = "/v1/root-keys/{id}/retire", tag = "root keys", params(("id" = Uuid, Path, description = "The root key")),
    request_body = RetireVersion, responses((status = 200, description = "The root key", body = RootKey)))]
async fn retire(call: Call, At(id): At<Uuid>, body: Body<RetireVersion>) -> Answer {
    call.one(move |service, caller| service.retire_root_key(caller, id, &body.value)).await
}

/// Attest a root key
///
/// It is tested in the HSM, and what was found is signed.
#[utoipa::path(post, path = "/v1/root-keys/{id}/attest", tag = "root keys", params(("id" = Uuid, Path, description = "The root key")),
    request_body = AttestVersion, responses((status = 200, description = "The signed statement", body = SignedStatement)))]
async fn attest(call: Call, At(id): At<Uuid>, body: Body<AttestVersion>) -> Answer {
    call.read(move |service, caller| service.attest_root_key(caller, id, &body.value)).await
}
