//! `/v1/adapters/{id}/rules` and `/v1/authorities`.

use std::sync::Arc;

use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::Once;
use crate::{
    admin::{
        Admin,
        http::{Answer, At, Body, Call, Filter},
        model::{Authority, NewAuthority, NewRule, Rule},
        page::{Page, PageQuery},
        service::certificates::parse_fingerprint,
    },
    store::AdapterId,
};

pub(super) fn router() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .routes(routes!(list_rules, create_rule))
        .routes(routes!(read_rule, remove_rule))
        .routes(routes!(list_authorities, create_authority))
        .routes(routes!(read_authority, remove_authority))
}

/// List the rules of an adapter
///
/// Oldest first.
#[utoipa::path(get, path = "/v1/adapters/{id}/rules", tag = "certificates",
    params(("id" = Uuid, Path, description = "The adapter"), PageQuery),
    responses((status = 200, description = "A page of rules", body = Page<Rule>)))]
async fn list_rules(call: Call, At(id): At<Uuid>, Filter(query): Filter<PageQuery>) -> Answer {
    let window = query.window("rules")?;
    call.read(move |service, caller| service.list_rules(caller, AdapterId(id), &window)).await
}

/// Make a rule
///
/// Certificates that the authority issued and that say this act as the adapter, without being registered one by one. One that
/// rules map to several adapters opens no connection.
#[utoipa::path(post, path = "/v1/adapters/{id}/rules", tag = "certificates",
    params(("id" = Uuid, Path, description = "The adapter"), Once), request_body = NewRule,
    responses((status = 201, description = "The rule", body = Rule)))]
async fn create_rule(call: Call, At(id): At<Uuid>, body: Body<NewRule>) -> Answer {
    call.create(body, move |service, caller, new| service.create_rule(caller, AdapterId(id), &new)).await
}

/// Read a rule
#[utoipa::path(get, path = "/v1/adapters/{id}/rules/{rule}", tag = "certificates",
    params(("id" = Uuid, Path, description = "The adapter"), ("rule" = Uuid, Path, description = "The rule")),
    responses((status = 200, description = "The rule", body = Rule)))]
async fn read_rule(call: Call, At((id, rule)): At<(Uuid, Uuid)>) -> Answer {
    call.read(move |service, caller| service.read_rule(caller, AdapterId(id), rule)).await
}

/// Remove a rule
///
/// Connections that it let in end within a second.
#[utoipa::path(delete, path = "/v1/adapters/{id}/rules/{rule}", tag = "certificates",
    params(("id" = Uuid, Path, description = "The adapter"), ("rule" = Uuid, Path, description = "The rule")),
    responses((status = 204, description = "It is removed")))]
async fn remove_rule(call: Call, At((id, rule)): At<(Uuid, Uuid)>) -> Answer {
    call.done(move |service, caller| service.remove_rule(caller, AdapterId(id), rule)).await
}

/// List authorities of other people
///
/// By name. The server's own is not among them: `/v1/server/ca.pem` has its certificate.
#[utoipa::path(get, path = "/v1/authorities", tag = "certificates", params(PageQuery),
    responses((status = 200, description = "A page of authorities", body = Page<Authority>)))]
async fn list_authorities(call: Call, Filter(query): Filter<PageQuery>) -> Answer {
    let window = query.window("authorities")?;
    call.read(move |service, caller| service.list_authorities(caller, &window)).await
}

/// Add an authority
///
/// By itself it lets nobody in: rules say which of its certificates act as which adapter.
#[utoipa::path(post, path = "/v1/authorities", tag = "certificates", params(Once), request_body = NewAuthority,
    responses((status = 201, description = "The authority", body = Authority)))]
async fn create_authority(call: Call, body: Body<NewAuthority>) -> Answer {
    call.create(body, |service, caller, new| service.create_authority(caller, new)).await
}

/// Read an authority
#[utoipa::path(get, path = "/v1/authorities/{fingerprint}", tag = "certificates",
    params(("fingerprint" = String, Path, description = "SHA-256 of its certificate, with colons or without")),
    responses((status = 200, description = "The authority", body = Authority)))]
async fn read_authority(call: Call, At(fingerprint): At<String>) -> Answer {
    let fingerprint = parse_fingerprint(&fingerprint);
    call.read(move |service, caller| service.read_authority(caller, fingerprint)).await
}

/// Remove an authority
///
/// That no rule names.
#[utoipa::path(delete, path = "/v1/authorities/{fingerprint}", tag = "certificates",
    params(("fingerprint" = String, Path, description = "SHA-256 of its certificate, with colons or without")),
    responses((status = 204, description = "It is removed")))]
async fn remove_authority(call: Call, At(fingerprint): At<String>) -> Answer {
    let fingerprint = parse_fingerprint(&fingerprint);
    call.done(move |service, caller| service.remove_authority(caller, fingerprint)).await
}
