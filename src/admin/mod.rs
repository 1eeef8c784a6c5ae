//! The admin plane: adapters, certificates, root keys, keys and those who manage them, by REST over HTTPS.
//!
//! # One request, hop by hop
//! [`server`] accepts it (connection bound, TLS with an optional client certificate, header time-outs) → [`http::finish`] gives
//! it a correlation id → [`http::Call`] settles who asks ([`auth`]) → a handler of `routes/` takes apart path, query and body,
//! and hands one function of [`service`] to a thread that may block → that function checks the permission, validates, acts and
//! is audited → the handler's answer goes back through [`http::finish`], which writes problems and security headers.
//!
//! # How a route is made
//! Four places, always the same:
//! 1. `model/THING.rs`: what goes in (`deny_unknown_fields`) and out; `impl Resource` for what has a path and a revision.
//! 2. `service/THING.rs`: `impl Service { pub(in crate::admin) fn verb_thing(&self, caller, …) -> Result<Model, Problem> }`, whose
//!    body is one call of [`Service::act`] (about one thing) or [`Service::list`] (about many):
//!    ```text
//!    let may = (Permission::KmipRead, Scope::Adapter(id));            // 1. permission: Scope::Everything for what is of no adapter
//!    let about = Subject { adapter: Some(id), ..Subject::default() };  //    what the audit event names
//!    self.act(caller, "adapter.read", may, about, |about| {            //    refused callers never get further, and are audited
//!        …check every value (`text::check`, `Problem::invalid`)…       // 2. validate
//!        …if_match.check(row.revision)?, act on store, hal, trust…     // 3. act; `self.trust_changed()` after changes of trust
//!        Ok(model)                                                     // 4. audited by `act` before it is answered
//!    })
//!    ```
//!    A list asks for a [`page::Window`] and shows only what `visible.includes`. Actions are named `thing.verb`; those that end in
//!    `.list`, `.read`, `.search` or `.verify` change nothing; of all others `act` records that they begin before the closure is
//!    called. What is found by its own id, such as an object, is looked up to learn its
//!    adapter, then `caller.may(permission, Scope::Adapter(..))` decides, and what is refused is not found.
//! 3. `routes/THING.rs`: a handler of about five lines for each method, with `#[utoipa::path]`, and `router()` that joins them:
//!    [`http::Call`] is the first argument; then [`http::At`] (path), [`http::Filter`] (query), [`etag::IfMatch`] (a change
//!    names the revision it was made from), [`http::Body`] last. It ends in `call.read` (200), `call.read_in_turn` (the same, one of a kind at a time), `call.one` (200 with ETag),
//!    `call.create` (201, idempotent), `call.create_secret` (the same, the answer is never kept) or `call.done` (204).
//! 4. `tests/admin/THING.rs`: for each route an allowed role, a refused role, bad input, a conflict, the ends of a page.
//!
//! A command on the machine itself sends its requests to the same routes in its own process ([`local`]).
//!
//! Errors are [`problem::Problem`]s of the table there; `?` turns errors of store, HSM and audit log into them. Answers that every
//! route of a kind can give (401, 403, 404, 422 …) are added to the OpenAPI document in [`openapi`], so a handler documents
//! only what it answers when it succeeds.

mod api_key;
mod auth;
pub mod caller;
pub mod etag;
pub mod executor;
pub mod first;
pub mod http;
mod idempotency;
pub(crate) mod local;
mod login;
pub mod model;
mod openapi;
pub mod page;
pub mod permission;
mod places;
pub mod problem;
mod routes;
pub mod server;
pub mod service;
mod session;
mod throttle;
mod turns;
pub(crate) mod wiped;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use axum::{Router, middleware::from_fn};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use uuid::Uuid;

use self::{problem::Problem, service::Service, session::Sessions, throttle::Throttle, turns::Turns};
use crate::console;

/// Requests that are worked on at the same time; others wait for them.
const AT_WORK: usize = 32;

/// The admin plane of a running server.
pub struct Admin {
    service: Service,
    sessions: Sessions,
    throttle: Throttle,
    /// Idempotency keys of requests that are not answered yet.
    under_way: Mutex<HashSet<idempotency::Key>>,
    /// When the use of an API key was noted last.
    keys_used: Mutex<HashMap<Uuid, i64>>,
    at_work: Arc<Semaphore>,
    turns: Turns,
}

impl Admin {
    /// The admin plane that works on `service`.
    #[must_use]
    pub fn new(service: Service) -> Arc<Self> {
        Arc::new(Self {
            service,
            sessions: Sessions::default(),
            throttle: Throttle::default(),
            under_way: Mutex::default(),
            keys_used: Mutex::default(),
            at_work: Arc::new(Semaphore::new(AT_WORK)),
            turns: Turns::default(),
        })
    }

    /// Does `work` on a thread that may block, but waits for nothing there that takes long: others wait for its place. Once begun it is done to its end, also when nobody waits for it any more.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Admin) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = Arc::clone(&self.at_work).acquire_owned().await.map_err(Problem::internal)?;
        let (admin, span) = (Arc::clone(self), tracing::Span::current());
        let done = tokio::task::spawn_blocking(move || {
            let result = span.in_scope(|| work(&admin));
            drop(permit);
            result
        });
        // A panic is in the log already.
        done.await.unwrap_or_else(|error| Err(Problem::internal(error)))
    }
}

/// All routes, with what stands around them.
pub(crate) fn router(admin: Arc<Admin>) -> Router {
    let (routes, document) = routes::all().split_for_parts();
    surrounded(routes.merge(openapi::router(document)).merge(console::router()), admin)
}

/// What stands around every route.
fn surrounded(routes: Router<Arc<Admin>>, admin: Arc<Admin>) -> Router {
    routes.layer(from_fn(http::finish)).with_state(admin)
}
