//! `/v1/identities` and their API keys.

use std::sync::Arc;

use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{Changed, Once};
use crate::admin::{
    Admin,
    etag::IfMatch,
    http::{Answer, At, Body, Call, Filter},
    model::{ApiKeyInfo, Identity, IdentityChange, NewApiKey, NewIdentity, NewlyMadeApiKey},
    page::{Page, PageQuery},
};

pub(super) fn router() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update, delete))
        .routes(routes!(list_keys, create_key))
        .routes(routes!(read_key, revoke_key))
}

/// List identities
#[utoipa::path(get, path = "/v1/identities", tag = "identities", params(PageQuery),
    responses((status = 200, description = "A page of identities", body = Page<Identity>)))]
async fn list(call: Call, Filter(query): Filter<PageQuery>) -> Answer {
    let window = query.window("identities")?;
    call.read(move |service, caller| service.list_identities(caller, &window)).await
}

/// Make an identity
///
/// Nobody gives a role that may do what they may not, so only an administrator makes an administrator; so does the token of
/// `keystead init`, once.
#[utoipa::path(post, path = "/v1/identities", tag = "identities", params(Once), request_body = NewIdentity,
    responses((status = 201, description = "The identity", body = Identity)))]
async fn create(call: Call, body: Body<NewIdentity>) -> Answer {
    call.create(body, |service, caller, new| service.create_identity(caller, new)).await
}

/// Read an identity
#[utoipa::path(get, path = "/v1/identities/{id}", tag = "identities", params(("id" = Uuid, Path, description = "The identity")),
    responses((status = 200, description = "The identity", body = Identity)))]
async fn read(call: Call, At(id): At<Uuid>) -> Answer {
    call.one(move |service, caller| service.read_identity(caller, id)).await
}

/// Change an identity
///
/// Nobody changes their own roles.
#[utoipa::path(patch, path = "/v1/identities/{id}", tag = "identities", params(("id" = Uuid, Path, description = "The identity"), Changed),
    request_body = IdentityChange, responses((status = 200, description = "The identity as it is now", body = Identity)))]
async fn update(call: Call, At(id): At<Uuid>, if_match: IfMatch, body: Body<IdentityChange>) -> Answer {
    call.one(move |service, caller| service.update_identity(caller, id, &if_match, body.value)).await
}

/// Delete an identity
///
/// Its API keys and sessions end at once.
#[utoipa::path(delete, path = "/v1/identities/{id}", tag = "identities", params(("id" = Uuid, Path, description = "The identity"), Changed),
    responses((status = 204, description = "It is deleted")))]
async fn delete(call: Call, At(id): At<Uuid>, if_match: IfMatch) -> Answer {
    call.done(move |service, caller| service.delete_identity(caller, id, &if_match)).await
}

/// List the API keys of an identity
#[utoipa::path(get, path = "/v1/identities/{id}/api-keys", tag = "identities",
    params(("id" = Uuid, Path, description = "The identity"), PageQuery),
    responses((status = 200, description = "A page of API keys, without their secrets", body = Page<ApiKeyInfo>)))]
async fn list_keys(call: Call, At(id): At<Uuid>, Filter(query): Filter<PageQuery>) -> Answer {
    let window = query.window("api-keys")?;
    call.read(move |service, caller| service.list_api_keys(caller, id, &window)).await
}

/// Make an API key
///
/// The key is in the answer, once. A repetition with the same Idempotency-Key is refused.
#[utoipa::path(post, path = "/v1/identities/{id}/api-keys", tag = "identities",
    params(("id" = Uuid, Path, description = "The identity"), Once), request_body = NewApiKey,
    responses((status = 201, description = "The API key with its secret", body = NewlyMadeApiKey)))]
async fn create_key(call: Call, At(id): At<Uuid>, body: Body<NewApiKey>) -> Answer {
    call.create_secret(body, move |service, caller, new| service.create_api_key(caller, id, new)).await
}

/// Read what is kept of an API key
#[utoipa::path(get, path = "/v1/identities/{id}/api-keys/{key}", tag = "identities",
    params(("id" = Uuid, Path, description = "The identity"), ("key" = Uuid, Path, description = "The API key")),
    responses((status = 200, description = "The API key, without its secret", body = ApiKeyInfo)))]
async fn read_key(call: Call, At((id, key)): At<(Uuid, Uuid)>) -> Answer {
    call.read(move |service, caller| service.read_api_key(caller, id, key)).await
}

/// Revoke an API key
///
/// It is worth nothing from then on, and stays in the list.
#[utoipa::path(delete, path = "/v1/identities/{id}/api-keys/{key}", tag = "identities",
    params(("id" = Uuid, Path, description = "The identity"), ("key" = Uuid, Path, description = "The API key")),
    responses((status = 204, description = "It is revoked")))]
async fn revoke_key(call: Call, At((id, key)): At<(Uuid, Uuid)>) -> Answer {
    call.done(move |service, caller| service.revoke_api_key(caller, id, key)).await
}
