//! `/v1/backups`.

use std::sync::Arc;

use utoipa_axum::{router::OpenApiRouter, routes};

use super::Once;
use crate::admin::{
    Admin,
    http::{Answer, Body, Call, Filter},
    model::{Backup, NewBackup},
    page::{Page, PageQuery},
};

pub(super) fn router() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(list, create))
}

/// List backups
///
/// Newest first.
#[utoipa::path(get, path = "/v1/backups", tag = "backups", params(PageQuery),
    responses((status = 200, description = "A page of backups", body = Page<Backup>)))]
async fn list(call: Call, Filter(query): Filter<PageQuery>) -> Answer {
    let window = query.window("backups")?;
    call.read(move |service, caller| service.list_backups(caller, &window)).await
}

/// Make a backup
///
/// A consistent copy of the database as it is at one moment, in the server's folder for backups. What it holds is sealed under the
/// root keys that the answer lists. The oldest is removed where there are more than the configuration keeps.
#[utoipa::path(post, path = "/v1/backups", tag = "backups", params(Once), request_body = NewBackup,
    responses((status = 201, description = "The backup", body = Backup)))]
async fn create(call: Call, body: Body<NewBackup>) -> Answer {
    call.create(body, |service, caller, NewBackup {}| service.create_backup(caller)).await
}
