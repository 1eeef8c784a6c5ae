//! `/v1/server` and `/healthz`.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::admin::{
    Admin,
    http::{Answer, Call},
    model::ServerInfo,
};

pub(super) fn router() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .routes(routes!(read))
        .routes(routes!(reload))
        .routes(routes!(renew))
        .routes(routes!(own_ca))
        .routes(routes!(healthz))
}

/// Whether the server is ready.
#[derive(Serialize, ToSchema)]
struct Alive {
    /// Whether all of its parts are well; `/v1/server` tells which are not.
    ready: bool,
}

/// Read the server's state
///
/// Its version, health, and the thumbprints of its certificate.
#[utoipa::path(get, path = "/v1/server", tag = "server", responses((status = 200, description = "The server", body = ServerInfo)))]
async fn read(call: Call) -> Answer {
    call.read(|service, caller| service.read_server(caller)).await
}

/// Read certificates and configuration files again
///
/// What SIGHUP does: the server's certificate is read again, and the audit log goes on in a new file where the old one was renamed.
#[utoipa::path(post, path = "/v1/server/reload", tag = "server", responses((status = 200, description = "The server as it is now", body = ServerInfo)))]
async fn reload(call: Call) -> Answer {
    call.read(|service, caller| service.reload_server(caller)).await
}

/// Renew the server's certificate
///
/// The server's own authority issues another for the same key and names, which new connections get at once; open ones go on.
/// Its thumbprints change: tell whoever compares them. One that somebody else issued must be renewed there.
#[utoipa::path(post, path = "/v1/server/certificate/renew", tag = "server", responses((status = 200, description = "The server as it is now", body = ServerInfo)))]
async fn renew(call: Call) -> Answer {
    call.read(|service, caller| service.renew_server(caller)).await
}

/// Download the certificate of the server's own authority
///
/// In PEM form, for clients to trust.
#[utoipa::path(get, path = "/v1/server/ca.pem", tag = "server",
    responses((status = 200, description = "The certificate", body = String, content_type = "application/x-pem-file")))]
async fn own_ca(call: Call) -> Answer {
    call.text("application/x-pem-file", |service, caller| service.read_own_ca(caller)).await
}

/// Ask whether the server is ready
///
/// Needs no login, and tells nothing else.
#[utoipa::path(get, path = "/healthz", tag = "server", security(()), responses(
    (status = 200, description = "It is", body = Alive), (status = 503, description = "It is not", body = Alive)))]
async fn healthz(State(admin): State<Arc<Admin>>) -> Response {
    let ready = admin.blocking(|admin| Ok(admin.service.health().ready)).await.unwrap_or(false);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Alive { ready })).into_response()
}
