//! `/v1/adapters/{id}/objects` and `/v1/objects`: managed objects, without their content; and `/v1/adapters/{id}/activity`.

use std::sync::Arc;

use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::Changed;
use crate::{
    admin::{
        Admin,
        etag::IfMatch,
        http::{Answer, At, Call, Filter},
        model::{Activity, ActivityQuery, ImpactReport, ManagedObject, ObjectQuery, ObjectSearch},
        page::{Page, Window},
        problem::ProblemDetails,
        turns::Kind,
    },
    store::{AdapterId, ObjectId},
};

pub(super) fn router() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(search))
        .routes(routes!(impact))
        .routes(routes!(read, destroy))
        .routes(routes!(recover))
        .routes(routes!(activity))
}

/// List the managed objects of an adapter
///
/// Newest first. Filters are joined: what is listed is as all of them say. A page that is not full need not be the last.
#[utoipa::path(get, path = "/v1/adapters/{id}/objects", tag = "objects",
    params(("id" = Uuid, Path, description = "The adapter"), ObjectQuery),
    responses((status = 200, description = "A page of objects, without their content", body = Page<ManagedObject>)))]
async fn list(call: Call, At(id): At<Uuid>, Filter(query): Filter<ObjectQuery>) -> Answer {
    let window = Window::new("objects", query.limit, query.page.as_deref())?;
    let filter = query.filter()?;
    call.read(move |service, caller| service.list_objects(caller, AdapterId(id), &filter, &window)).await
}

/// Search the managed objects of all adapters
///
/// Of those that the caller may see. Newest first. Filters are joined: what is listed is as all of them say. A page that is not
/// full need not be the last: what no index knows, such as a part of a name, is looked for in some thousand objects for each page.
#[utoipa::path(get, path = "/v1/objects", tag = "objects", params(ObjectSearch),
    responses(
        (status = 200, description = "A page of objects, without their content", body = Page<ManagedObject>),
        (status = 404, description = "There is no such adapter, or none that the caller may know of",
         body = ProblemDetails, content_type = "application/problem+json")))]
async fn search(call: Call, Filter(search): Filter<ObjectSearch>) -> Answer {
    let (adapter, query) = search.split();
    let window = Window::new("objects", query.limit, query.page.as_deref())?;
    let filter = query.filter()?;
    match adapter.map(AdapterId) {
        Some(adapter) => {
            call.read(move |service, caller| service.list_objects(caller, adapter, &filter, &window)).await
        }
        None => {
            call.read_in_turn(Kind::Search, move |service, caller, turn| {
                service.search_objects(caller, &filter, &window, turn)
            })
            .await
        }
    }
}

/// Tell what would be lost with a managed object
#[utoipa::path(get, path = "/v1/objects/{id}/impact", tag = "objects", params(("id" = Uuid, Path, description = "The object")),
    responses((status = 200, description = "What would be lost", body = ImpactReport)))]
async fn impact(call: Call, At(id): At<Uuid>) -> Answer {
    call.read(move |service, caller| service.object_impact(caller, ObjectId(id))).await
}

/// Read a managed object
///
/// Everything but its content, which no request to this API answers.
#[utoipa::path(get, path = "/v1/objects/{id}", tag = "objects", params(("id" = Uuid, Path, description = "The object")),
    responses((status = 200, description = "The object, without its content", body = ManagedObject)))]
async fn read(call: Call, At(id): At<Uuid>) -> Answer {
    call.one(move |service, caller| service.read_object(caller, ObjectId(id))).await
}

/// Destroy a managed object
///
/// One that is not Active; an Active one needs an approval. Its material is erased at once, or when the hold period of its
/// adapter ends; its metadata stays.
#[utoipa::path(delete, path = "/v1/objects/{id}", tag = "objects",
    params(("id" = Uuid, Path, description = "The object"), Changed),
    responses((status = 200, description = "The object as it is now", body = ManagedObject)))]
async fn destroy(call: Call, At(id): At<Uuid>, if_match: IfMatch) -> Answer {
    call.one(move |service, caller| service.destroy_object(caller, ObjectId(id), &if_match)).await
}

/// Recover a destroyed object
///
/// While its material is held: it becomes what it was before it was destroyed.
#[utoipa::path(post, path = "/v1/objects/{id}/recover", tag = "objects",
    params(("id" = Uuid, Path, description = "The object"), Changed),
    responses((status = 200, description = "The object as it is now", body = ManagedObject)))]
async fn recover(call: Call, At(id): At<Uuid>, if_match: IfMatch) -> Answer {
    call.one(move |service, caller| service.recover_object(caller, ObjectId(id), &if_match)).await
}

/// List what was done with and to an adapter
///
/// KMIP items and administrative actions, allowed or refused, newest first, from the audit log. A page that is not full need
/// not be the last.
#[utoipa::path(get, path = "/v1/adapters/{id}/activity", tag = "adapters",
    params(("id" = Uuid, Path, description = "The adapter"), ActivityQuery),
    responses((status = 200, description = "A page of what was done", body = Page<Activity>)))]
async fn activity(call: Call, At(id): At<Uuid>, Filter(query): Filter<ActivityQuery>) -> Answer {
    let window = Window::new("activity", query.limit, query.page.as_deref())?;
    call.read(move |service, caller| service.list_activity(caller, AdapterId(id), query, &window)).await
}
