//! The admin plane in the process of a command, without a socket: whoever may read and write the files of a server may administer
//! it on the machine itself, with the same functions, and is in the audit log by user id.

use std::convert::Infallible;

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Request, Response},
};
use http_body_util::Full;
use hyper_util::service::TowerToHyperService;

use super::{Admin, routes, service::Service, surrounded};

/// Who runs the command. It travels beside a request, where nothing that comes over a connection can put it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalUser {
    /// The real user id of the process.
    pub(crate) uid: u32,
}

/// The routes of a server, on its files.
pub(crate) struct InProcess {
    routes: TowerToHyperService<Router>,
    user: LocalUser,
}

impl InProcess {
    /// Those that work on `service`, for `user`.
    pub(crate) fn new(service: Service, user: LocalUser) -> Self {
        // Nobody reads the description of the routes here.
        let (routes, _) = routes::all().split_for_parts();
        Self { routes: TowerToHyperService::new(surrounded(routes, Admin::new(service))), user }
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, mut request: Request<Full<Bytes>>) -> Response<Body> {
        request.extensions_mut().insert(self.user);
        let answered: Result<_, Infallible> = hyper::service::Service::call(&self.routes, request).await;
        match answered {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
