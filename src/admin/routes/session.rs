//! `/v1/session`: a browser's session, and who is asking.

use std::sync::Arc;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::admin::{
    Admin,
    http::{Answer, Call},
    model::SessionInfo,
};

pub(super) fn router() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(read, log_in, log_out))
}

/// Read who is asking
///
/// Works with every kind of login; within a session it tells the CSRF token that changes need.
#[utoipa::path(get, path = "/v1/session", tag = "session", responses((status = 200, description = "Who is asking", body = SessionInfo)))]
async fn read(call: Call) -> Answer {
    call.who().await
}

/// Log in
///
/// With an API key or a client certificate; the answer sets a cookie. Every login makes a new session, and ends the one whose
/// cookie came with it.
#[utoipa::path(post, path = "/v1/session", tag = "session", responses((status = 200, description = "The session", body = SessionInfo)))]
async fn log_in(call: Call) -> Answer {
    call.log_in().await
}

/// Log out
#[utoipa::path(delete, path = "/v1/session", tag = "session", responses((status = 204, description = "The session is over")))]
async fn log_out(call: Call) -> Answer {
    call.log_out().await
}
