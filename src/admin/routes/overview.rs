//! `/v1/overview`, `/v1/statistics` and `/v1/handshakes`: what a page shows that is looked at all the time.

use std::sync::Arc;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::admin::{
    Admin,
    http::{Answer, Call, Filter},
    model::{HandshakeQuery, Handshakes, Overview, Statistics, StatisticsQuery},
};

pub(super) fn router() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(overview)).routes(routes!(statistics)).routes(routes!(handshakes))
}

/// Read how the server is
///
/// HSM, database, audit log, and what there is to do. The HSM is not asked: what is said of it is some seconds old. The audit log
/// says every ten minutes that somebody looks.
#[utoipa::path(get, path = "/v1/overview", tag = "server", responses((status = 200, description = "The overview", body = Overview)))]
async fn overview(call: Call) -> Answer {
    call.read(|service, caller| service.read_overview(caller)).await
}

/// Read how many KMIP requests there were
///
/// And how many failed and how long they took, minute by minute, since the server's start. The audit log says every ten minutes
/// that somebody looks.
#[utoipa::path(get, path = "/v1/statistics", tag = "server", params(StatisticsQuery),
    responses((status = 200, description = "The numbers", body = Statistics)))]
async fn statistics(call: Call, Filter(query): Filter<StatisticsQuery>) -> Answer {
    call.read(move |service, caller| service.read_statistics(caller, query.window.unwrap_or_default())).await
}

/// List who came to the KMIP port
///
/// Clients that were let in, and those that were refused, with the reason and what to do about it, last first. Kept in memory since
/// the server's start, 256 of each kind at most. Callers with a role for some adapters see what is of these. The audit log says
/// every ten minutes that somebody looks.
#[utoipa::path(get, path = "/v1/handshakes", tag = "certificates", params(HandshakeQuery),
    responses((status = 200, description = "Who came", body = Handshakes)))]
async fn handshakes(call: Call, Filter(query): Filter<HandshakeQuery>) -> Answer {
    call.read(move |service, caller| service.list_handshakes(caller, &query)).await
}
