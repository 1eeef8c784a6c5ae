//! `/v1/adapters/{id}/credential`.

use std::sync::Arc;

use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::Changed;
use crate::{
    admin::{
        Admin,
        etag::IfMatch,
        http::{Answer, At, Body, Call},
        model::NewCredential,
    },
    store::AdapterId,
};

pub(super) fn router() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(set_credential, remove_credential))
}

/// Set the KMIP user name and password of an adapter
///
/// Its clients that give a credential must give this one from then on. The password is never shown again. If-Match is about
/// the adapter, whose revision this moves on.
#[utoipa::path(put, path = "/v1/adapters/{id}/credential", tag = "adapters",
    params(("id" = Uuid, Path, description = "The adapter"), Changed), request_body = NewCredential,
    responses((status = 204, description = "It is set")))]
async fn set_credential(call: Call, At(id): At<Uuid>, if_match: IfMatch, body: Body<NewCredential>) -> Answer {
    call.done(move |service, caller| service.set_credential(caller, AdapterId(id), &if_match, &body.value)).await
}

/// Remove the KMIP user name and password of an adapter
///
/// Its clients need none from then on.
#[utoipa::path(delete, path = "/v1/adapters/{id}/credential", tag = "adapters",
    params(("id" = Uuid, Path, description = "The adapter"), Changed),
    responses((status = 204, description = "It is removed")))]
async fn remove_credential(call: Call, At(id): At<Uuid>, if_match: IfMatch) -> Answer {
    call.done(move |service, caller| service.remove_credential(caller, AdapterId(id), &if_match)).await
}
