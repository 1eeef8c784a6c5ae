//! `/v1/adapters/{id}/certificates`: client certificates, brought, signed or issued, and when certificates end.

use std::sync::Arc;

use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::Once;
use crate::{
    admin::{
        Admin,
        http::{Answer, At, Body, Call, Filter},
        model::{
            Certificate, ExpiringCertificate, ForecastQuery, Issued, NewCertificate, NewIssued, RegisteredCertificates,
            SignedCertificate, SigningRequest,
        },
        page::{Page, PageQuery, Window},
        service::certificates::parse_fingerprint,
    },
    store::AdapterId,
};

pub(super) fn router() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(read, remove))
        .routes(routes!(sign))
        .routes(routes!(issue))
        .routes(routes!(forecast))
}

/// List the certificates of an adapter
///
/// By name, with when and from where each was used last.
#[utoipa::path(get, path = "/v1/adapters/{id}/certificates", tag = "certificates",
    params(("id" = Uuid, Path, description = "The adapter"), PageQuery),
    responses((status = 200, description = "A page of certificates", body = Page<Certificate>)))]
async fn list(call: Call, At(id): At<Uuid>, Filter(query): Filter<PageQuery>) -> Answer {
    let window = query.window("certificates")?;
    call.read(move |service, caller| service.list_certificates(caller, AdapterId(id), &window)).await
}

/// Register client certificates
///
/// All of those in the body or none. They work at once; each belongs to one adapter only.
#[utoipa::path(post, path = "/v1/adapters/{id}/certificates", tag = "certificates",
    params(("id" = Uuid, Path, description = "The adapter"), Once), request_body = NewCertificate,
    responses((status = 201, description = "The certificates", body = RegisteredCertificates)))]
async fn add(call: Call, At(id): At<Uuid>, body: Body<NewCertificate>) -> Answer {
    call.create(body, move |service, caller, new| service.add_certificates(caller, AdapterId(id), &new)).await
}

/// Read a certificate
#[utoipa::path(get, path = "/v1/adapters/{id}/certificates/{fingerprint}", tag = "certificates",
    params(("id" = Uuid, Path, description = "The adapter"),
           ("fingerprint" = String, Path, description = "SHA-256 of the certificate, with colons or without")),
    responses((status = 200, description = "The certificate", body = Certificate)))]
async fn read(call: Call, At((id, fingerprint)): At<(Uuid, String)>) -> Answer {
    let fingerprint = parse_fingerprint(&fingerprint);
    call.read(move |service, caller| service.read_certificate(caller, AdapterId(id), fingerprint)).await
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RemoveQuery {
    /// Remove it also where a rule of the adapter lets it in as before.
    #[serde(default)]
    although_covered: bool,
}

/// Remove a certificate
///
/// Open connections of its holder end within a second. Where a rule of the adapter would let it in as before, nothing is removed
/// and the answer (409, `state`) names the rule, unless `although_covered=true` says that this is meant.
#[utoipa::path(delete, path = "/v1/adapters/{id}/certificates/{fingerprint}", tag = "certificates",
    params(("id" = Uuid, Path, description = "The adapter"),
           ("fingerprint" = String, Path, description = "SHA-256 of the certificate, with colons or without"), RemoveQuery),
    responses((status = 204, description = "It is removed")))]
async fn remove(
    call: Call,
    At((id, fingerprint)): At<(Uuid, String)>,
    Filter(RemoveQuery { although_covered }): Filter<RemoveQuery>,
) -> Answer {
    let fingerprint = parse_fingerprint(&fingerprint);
    call.done(move |service, caller| service.remove_certificate(caller, AdapterId(id), fingerprint, although_covered))
        .await
}

/// Sign a certificate signing request
///
/// With the server's own authority, for a client such as a storage cluster. Subject and key are taken from the request; what
/// the certificate is for and how long it is valid the authority decides.
#[utoipa::path(post, path = "/v1/adapters/{id}/certificates/sign", tag = "certificates",
    params(("id" = Uuid, Path, description = "The adapter"), Once), request_body = SigningRequest,
    responses((status = 201, description = "The certificate", body = SignedCertificate)))]
async fn sign(call: Call, At(id): At<Uuid>, body: Body<SigningRequest>) -> Answer {
    call.create(body, move |service, caller, new| service.sign_request(caller, AdapterId(id), &new)).await
}

/// Issue a certificate with a new private key
///
/// For clients that take both from a file, such as vCenter's "upload certificate and private key". The file is in the answer,
/// once: a repetition with the same Idempotency-Key is refused.
#[utoipa::path(post, path = "/v1/adapters/{id}/certificates/issue", tag = "certificates",
    params(("id" = Uuid, Path, description = "The adapter"), Once), request_body = NewIssued,
    responses((status = 201, description = "The certificate with its private key", body = Issued)))]
async fn issue(call: Call, At(id): At<Uuid>, body: Body<NewIssued>) -> Answer {
    call.create_secret(body, move |service, caller, new| service.issue_certificate(caller, AdapterId(id), new)).await
}

/// List the certificates that end soon
///
/// Those of clients that the caller may see, registered or let in by a rule lately; with the permission config.read those of
/// the server and of authorities as well. What ends first comes first, also what has ended.
#[utoipa::path(get, path = "/v1/certificates", tag = "certificates", params(ForecastQuery),
    responses((status = 200, description = "A page of certificates", body = Page<ExpiringCertificate>)))]
async fn forecast(call: Call, Filter(query): Filter<ForecastQuery>) -> Answer {
    let window = Window::new("forecast", query.limit, query.page.as_deref())?;
    call.read(move |service, caller| service.list_expiring(caller, query.expiring_within_days, &window)).await
}
