//! Between HTTP and the service: what every route takes out of a request, and how every answer is made.
//!
//! The only async code of the admin plane. A request is answered by one function of the service on a thread that may block;
//! once begun it goes to its end, also when the caller hangs up.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json,
    body::{Bytes, HttpBody as _},
    extract::{FromRequest, FromRequestParts, OriginalUri, Path, Query, Request},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt as _;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;
use tracing::Instrument as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Admin, auth,
    caller::Caller,
    etag::etag,
    idempotency::{self, RequestDigest},
    local::LocalUser,
    problem::{self, Code, Problem},
    service::Service,
    turns::{self, Turn},
    wiped::wiped_json,
};
use crate::store::Fingerprint;

/// Longest body of a request in bytes.
pub const MAX_BODY: usize = 1 << 20;
/// From the end of a request's headers to the end of its body.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Who is at the other end of the connection, settled by TLS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// The peer's end of the TCP connection.
    pub(super) address: SocketAddr,
    /// The certificate whose private key the peer proved to hold.
    pub(super) certificate: Option<PeerCertificate>,
}

/// A certificate whose private key a peer proved to hold. Times are in seconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerCertificate {
    pub(super) fingerprint: Fingerprint,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

/// Joins a request's answer, audit events and log lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Correlation(pub(super) Uuid);

/// What a handler answers.
pub type Answer = Result<Response, Problem>;

/// Something with an address and a revision of its own.
pub trait Resource: Serialize {
    /// Its path.
    fn path(&self) -> String;

    /// Its revision, which becomes the ETag; `None` for what never changes.
    fn revision(&self) -> Option<u64>;
}

/// An authenticated request. The first argument of every handler, so that nothing else is looked at before.
pub struct Call {
    pub(super) admin: Arc<Admin>,
    pub(super) caller: Caller,
    pub(super) headers: HeaderMap,
    target: String,
}

impl FromRequestParts<Arc<Admin>> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, Problem> {
        let caller = match parts.extensions.get::<LocalUser>() {
            Some(user) => {
                let correlation = parts.extensions.get::<Correlation>().map_or_else(Uuid::new_v4, |found| found.0);
                Caller::local(user.uid, correlation)
            }
            None => {
                let presented = auth::Presented::read(parts)?;
                admin.blocking(move |admin| admin.authenticate(&presented)).await?
            }
        };
        tracing::Span::current().record("principal", &*caller.name);
        let target = format!("{} {}", parts.method, parts.uri.path());
        Ok(Self { admin: Arc::clone(admin), caller, headers: parts.headers.clone(), target })
    }
}

impl Call {
    /// Answers what `work` finds.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn read<T: Serialize + Send + 'static>(
        self,
        work: impl FnOnce(&Service, &Caller) -> Result<T, Problem> + Send + 'static,
    ) -> Answer {
        let Self { admin, caller, .. } = self;
        let found = admin.blocking(move |admin| work(&admin.service, &caller)).await?;
        Ok(Json(found).into_response())
    }

    /// Answers what `work` finds when its turn has come. The wait keeps nobody from being served who wants something else.
    ///
    /// # Errors
    /// Those of `work`.
    pub(super) async fn read_in_turn<T: Serialize + Send + 'static>(
        self,
        kind: turns::Kind,
        work: impl FnOnce(&Service, &Caller, Turn) -> Result<T, Problem> + Send + 'static,
    ) -> Answer {
        let Self { admin, caller, .. } = self;
        let turn = admin.turns.wait(kind).await;
        let found = admin.blocking(move |admin| work(&admin.service, &caller, turn)).await?;
        Ok(Json(found).into_response())
    }

    /// Answers the text that `work` finds, which is of the media type `kind`.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn text(
        self,
        kind: &'static str,
        work: impl FnOnce(&Service, &Caller) -> Result<String, Problem> + Send + 'static,
    ) -> Answer {
        let Self { admin, caller, .. } = self;
        let found = admin.blocking(move |admin| work(&admin.service, &caller)).await?;
        Ok(([(header::CONTENT_TYPE, kind)], found).into_response())
    }

    /// Answers one thing, with its ETag.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn one<T: Resource + Send + 'static>(
        self,
        work: impl FnOnce(&Service, &Caller) -> Result<T, Problem> + Send + 'static,
    ) -> Answer {
        let Self { admin, caller, .. } = self;
        let found = admin.blocking(move |admin| work(&admin.service, &caller)).await?;
        Ok(with_etag(found.revision(), Json(found).into_response()))
    }

    /// Does `work`, of which there is nothing to say but that it is done.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn done(self, work: impl FnOnce(&Service, &Caller) -> Result<(), Problem> + Send + 'static) -> Answer {
        let Self { admin, caller, .. } = self;
        admin.blocking(move |admin| work(&admin.service, &caller)).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    /// Makes something of `body`. With the header `Idempotency-Key` it is made once, however often the request comes.
    ///
    /// # Errors
    /// Those of `work`, and what [`idempotency`] refuses.
    pub async fn create<B: Send + 'static, T: Resource + Send + 'static>(
        self,
        body: Body<B>,
        work: impl FnOnce(&Service, &Caller, B) -> Result<T, Problem> + Send + 'static,
    ) -> Answer {
        self.create_keeping(idempotency::Keep::Answer, body, work).await
    }

    /// Like [`Call::create`], for an answer with a secret in it, which is never kept: a repetition is refused and says so.
    ///
    /// # Errors
    /// Those of `work`, and what [`idempotency`] refuses.
    pub async fn create_secret<B: Send + 'static, T: Resource + Send + 'static>(
        self,
        body: Body<B>,
        work: impl FnOnce(&Service, &Caller, B) -> Result<T, Problem> + Send + 'static,
    ) -> Answer {
        self.create_keeping(idempotency::Keep::StatusOnly, body, work).await
    }

    async fn create_keeping<B: Send + 'static, T: Resource + Send + 'static>(
        self,
        keep: idempotency::Keep,
        body: Body<B>,
        work: impl FnOnce(&Service, &Caller, B) -> Result<T, Problem> + Send + 'static,
    ) -> Answer {
        let Self { admin, caller, headers, target } = self;
        let key = idempotency::Key::read(&headers, caller.identity)?;
        let Body { value, digest } = body;
        let request = digest.of(&target);
        let made = admin.blocking(move |admin| {
            let (made, replayed) = idempotency::once(admin, key, request, keep, || {
                let made = work(&admin.service, &caller, value)?;
                let body = wiped_json(&made).map_err(Problem::internal)?;
                Ok(idempotency::Made { path: made.path(), revision: made.revision(), body })
            })?;
            if replayed {
                admin.service.note(&caller, "request.replay")?;
            }
            Ok((made, replayed))
        });
        let (made, replayed) = made.await?;
        // Wiped when it has been handed to the connection.
        let mut response = (StatusCode::CREATED, Bytes::from_owner(made.body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(path) = HeaderValue::try_from(&made.path) {
            headers.insert(header::LOCATION, path);
        }
        if replayed {
            headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        Ok(with_etag(made.revision, response))
    }
}

fn with_etag(revision: Option<u64>, mut response: Response) -> Response {
    if let Some(etag) = revision.and_then(etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// A request's body: JSON of a bounded length. The last argument of a handler that takes one.
pub struct Body<T> {
    /// What it says.
    pub value: T,
    digest: RequestDigest,
}

impl<T: DeserializeOwned> FromRequest<Arc<Admin>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<Admin>) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
            return Err(Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let bytes = timeout(BODY_TIME, whole(request.into_body()))
            .await
            .map_err(|_| Problem::new(Code::Timeout, "send the body within 30 s of the headers"))??;
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            let code = if error.is_data() { Code::Invalid } else { Code::Malformed };
            Problem::new(code, format!("the body: {error}"))
        })?;
        Ok(Self { value, digest: RequestDigest::new(&bytes) })
    }
}

/// All of a body, which may hold a password: in memory that is wiped afterwards and never grows. What it came through on its way
/// here, the buffers of TLS and HTTP, is theirs to free.
async fn whole(mut body: axum::body::Body) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let announced = body.size_hint().upper().and_then(|length| usize::try_from(length).ok());
    let mut bytes = Zeroizing::new(Vec::with_capacity(announced.unwrap_or(MAX_BODY).min(MAX_BODY)));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::of_status(StatusCode::BAD_REQUEST))?;
        let Some(data) = frame.data_ref() else { continue };
        if data.len() > MAX_BODY - bytes.len() {
            return Err(Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE));
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

/// The identifiers in a path. What cannot be one is not there.
pub struct At<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Admin>> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<Admin>) -> Result<Self, Problem> {
        let found = Path::<T>::from_request_parts(parts, state).await;
        found.map(|Path(found)| Self(found)).map_err(|_| Problem::not_found("thing"))
    }
}

/// The fields of a query. One that is not known is refused: a misspelt filter must not show everything.
pub struct Filter<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Admin>> for Filter<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<Admin>) -> Result<Self, Problem> {
        let found = Query::<T>::from_request_parts(parts, state).await;
        found.map(|Query(found)| Self(found)).map_err(|rejection| Problem::new(Code::Invalid, rejection.body_text()))
    }
}

/// Around every request: its correlation id and span before, the problem's body and security headers after.
pub(super) async fn finish(uri: OriginalUri, method: Method, mut request: Request, next: Next) -> Response {
    let correlation = Correlation(Uuid::new_v4());
    request.extensions_mut().insert(correlation);
    let path = uri.path().to_owned();
    let span = tracing::info_span!(
        "admin",
        %method,
        path,
        correlation = %correlation.0,
        principal = tracing::field::Empty
    );
    let mut response = next.run(request).instrument(span.clone()).await;
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
    let refused = response.status().is_client_error() || response.status().is_server_error();
    let problem = response.extensions_mut().remove::<Problem>();
    if let Some(problem) = problem.or_else(|| refused.then(|| Problem::of_status(response.status()))) {
        let details = problem.details(&path, correlation.0);
        let body = serde_json::to_vec(&details).unwrap_or_default();
        *response.body_mut() = body.into();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::MEDIA_TYPE));
    }
    secure(response.headers_mut(), correlation);
    response
}

fn secure(headers: &mut HeaderMap, correlation: Correlation) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("strict-transport-security", "max-age=31536000"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // A page that needs more says so itself.
    let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.entry("content-security-policy").or_insert(nothing);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::try_from(correlation.0.to_string()) {
        headers.insert("x-correlation-id", value);
    }
}
