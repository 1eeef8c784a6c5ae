//! `/v1/audit`.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    admin::{
        Admin,
        http::{Answer, Call, Filter},
        model::{AuditEvent, AuditVerification},
        page::{Page, Window},
        problem::Problem,
        turns::Kind,
    },
    audit::Query,
    store::AdapterId,
};

/// Longest text of a filter, in bytes.
const MAX_TEXT: usize = 256;

pub(super) fn router() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(search)).routes(routes!(verify))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// At most so many records, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_page` of the page before.
    page: Option<String>,
    /// Not before this time, RFC 3339.
    since: Option<String>,
    /// Before this time, RFC 3339.
    until: Option<String>,
    /// About this adapter.
    adapter: Option<Uuid>,
    /// About this object.
    object: Option<Uuid>,
    /// By or about this identity.
    identity: Option<Uuid>,
    /// About this request for approval: who asked, who decided, and what was done.
    approval: Option<Uuid>,
    /// By this actor: `server`, `uid:1000`, `identity:…`, or an identity's name.
    actor: Option<String>,
    /// This KMIP operation or administrative action; with `*` at its end, all that begin so.
    action: Option<String>,
    /// `success`, `denied`, `begun`, a reason, `failure` for everything that ended without success, or `ended` for everything but
    /// `begun`.
    outcome: Option<String>,
    /// The correlation id of an answer, or its beginning.
    correlation: Option<String>,
}

/// Search the audit log
///
/// Newest first; only what is about adapters that the caller may see, where the caller's role is for some. A page may hold fewer
/// records than asked for, or none, and still not be the last: a search looks at so much of the log at a time.
#[utoipa::path(get, path = "/v1/audit/events", tag = "audit", params(AuditQuery),
    responses((status = 200, description = "A page of records", body = Page<AuditEvent>)))]
async fn search(call: Call, Filter(asked): Filter<AuditQuery>) -> Answer {
    let limit = Window::new("audit", asked.limit, None)?.limit;
    let query = Query {
        since: time("since", asked.since.as_deref())?,
        until: time("until", asked.until.as_deref())?,
        scope: None,
        adapter: asked.adapter.map(AdapterId),
        object: asked.object,
        identity: asked.identity,
        approval: asked.approval,
        actor: text("actor", asked.actor)?,
        action: text("action", asked.action)?,
        outcome: text("outcome", asked.outcome)?,
        correlation: text("correlation", asked.correlation)?,
    };
    call.read(move |service, caller| service.search_audit(caller, query, limit, asked.page.as_deref())).await
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct VerifyQuery {
    /// `next_page` of the part before.
    page: Option<String>,
}

/// Verify the audit log
///
/// The server's own, as `keystead audit verify` does: whether it is as it was written, or which record was changed, is missing or
/// was moved. Of a long log as much as can be checked in some seconds; `next_page` goes on behind that. Nobody needs to take the
/// server's word: copied files can be verified anywhere, offline.
#[utoipa::path(get, path = "/v1/audit/verify", tag = "audit", params(VerifyQuery),
    responses((status = 200, description = "What was found", body = AuditVerification)))]
async fn verify(call: Call, Filter(VerifyQuery { page }): Filter<VerifyQuery>) -> Answer {
    call.read_in_turn(Kind::Verification, move |service, caller, turn| {
        service.verify_audit(caller, page.as_deref(), turn)
    })
    .await
}

fn time(field: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let parse = |text: &str| {
        text.parse().map_err(|_| Problem::invalid(field, "a time is written like 2030-01-31T12:00:00Z (RFC 3339)"))
    };
    text.map(parse).transpose()
}

fn text(field: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.len() > MAX_TEXT => Err(Problem::invalid(field, format_args!("at most {MAX_TEXT} bytes"))),
        text => Ok(text),
    }
}
