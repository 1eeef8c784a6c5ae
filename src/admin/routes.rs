//! The routes, one file for each kind of thing; `mod.rs` of the admin plane tells how one is made.

mod adapters;
mod approvals;
mod audit;
mod backups;
mod certificates;
mod credential;
mod identities;
mod objects;
mod overview;
mod root_keys;
mod rules;
mod server;
mod session;

use std::sync::Arc;

use utoipa::{IntoParams, OpenApi as _};
use utoipa_axum::router::OpenApiRouter;

use super::{Admin, openapi::Document};

/// The header of a change.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only describes what etag.rs reads")]
struct Changed {
    /// The ETag of what is changed, as it was read.
    #[param(rename = "If-Match", example = "\"1\"")]
    if_match: String,
}

/// The header of a request that makes something.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only describes what idempotency.rs reads")]
struct Once {
    /// Any text that is new for each request: the request can be sent again with it, and makes one thing.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// All of them, with their descriptions.
pub(super) fn all() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(adapters::router())
        .merge(approvals::router())
        .merge(audit::router())
        .merge(backups::router())
        .merge(identities::router())
        .merge(root_keys::router())
        .merge(certificates::router())
        .merge(credential::router())
        .merge(objects::router())
        .merge(overview::router())
        .merge(rules::router())
        .merge(server::router())
        .merge(session::router())
}
