//! Errors of the admin API: RFC 9457 problem details that say what to do.
//!
//! One table holds every kind of error with its status and title. An answer's body is made in one place ([`super::http::finish`]),
//! which also turns what the HTTP layer refuses by itself into a problem. A cause that is nobody's business goes to the log,
//! under the correlation id that the answer names.

use std::{borrow::Cow, fmt};

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hal::HalError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{auth, permission::Permission};
use crate::{audit::AuditError, store::StoreError, text::BadText, trust::TrustError};

/// The media type of problem details.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// After how many seconds somebody may come again who found the server busy.
const BUSY_SECONDS: u64 = 2;

macro_rules! codes {
    ($($(#[$doc:meta])* $member:ident = $status:literal $text:literal $title:literal;)*) => {
        /// A kind of error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $member,)* }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$member,)*];

            /// Its name in answers and in the audit log.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$member => $text,)* }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$member => $status,)* }
            }

            /// What it is, in words that are the same every time.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$member => $title,)* }
            }
        }
    };
}

codes! {
    /// The request cannot be read.
    Malformed = 400 "malformed" "The request cannot be read";
    /// No credential, or one that is not valid.
    Unauthenticated = 401 "unauthenticated" "Who is asking?";
    /// The session is over; the answer takes the cookie away, so that another credential is seen again.
    SessionOver = 401 "session-over" "The session is over";
    /// The caller's roles do not allow it.
    Forbidden = 403 "forbidden" "Your roles do not allow this";
    /// A request of a browser that another site may have caused.
    CrossSite = 403 "cross-site" "The request may come from another site";
    /// Nobody decides on what they asked for.
    OwnRequest = 403 "own-request" "Another person must decide this";
    /// Whoever asked and whoever decides had their access through the same hands.
    NotIndependent = 403 "not-independent" "A third person must decide this";
    /// There is no such thing, or none that the caller may know of.
    NotFound = 404 "not-found" "There is no such thing";
    /// The path is there, but not for this method.
    MethodNotAllowed = 405 "method-not-allowed" "This cannot be done here";
    /// The request's body did not come in time.
    Timeout = 408 "timeout" "The request came too slowly";
    /// A name, certificate or rule is taken.
    Exists = 409 "exists" "It is there already";
    /// Things are in a state that does not allow it.
    State = 409 "state" "Its state does not allow this";
    /// It cannot be done without another person.
    ApprovalNeeded = 409 "approval-needed" "This needs another person's approval";
    /// More is at stake than whoever asked for it was shown.
    ImpactGrown = 409 "impact-grown" "More is at stake than was shown";
    /// A configured limit is reached.
    LimitReached = 409 "limit-reached" "A limit is reached";
    /// A request with the same idempotency key is under way, or its answer held a secret and was not kept.
    NotRepeatable = 409 "not-repeatable" "The answer to the first request cannot be given again";
    /// It was changed since the caller read it.
    Stale = 412 "stale" "It was changed by somebody else";
    /// The body is too large.
    TooLarge = 413 "too-large" "The request is too large";
    /// The body is of another media type.
    MediaType = 415 "media-type" "The request's body must be JSON";
    /// A value is not allowed.
    Invalid = 422 "invalid" "A value is not allowed";
    /// The idempotency key was used for another request.
    KeyReused = 422 "key-reused" "The idempotency key was used for another request";
    /// A change must say which revision it was made from.
    PreconditionRequired = 428 "precondition-required" "The change does not say what it is a change of";
    /// Too many failed logins.
    TooManyAttempts = 429 "too-many-attempts" "Too many failed logins";
    /// The headers are too large.
    HeadersTooLarge = 431 "headers-too-large" "The request's headers are too large";
    /// An error of the program.
    Internal = 500 "internal" "The server made a mistake";
    /// The HSM is away.
    HsmUnavailable = 503 "hsm-unavailable" "The HSM does not answer";
    /// The audit log cannot be written.
    AuditUnavailable = 503 "audit-unavailable" "The audit log cannot be written";
    /// The database is overloaded, or its disk full.
    StoreUnavailable = 503 "store-unavailable" "The database cannot do this now";
    /// Others are being served that need the same.
    Busy = 503 "busy" "The server is busy with the same for others";
}

impl Code {
    /// The kind of error that the HTTP layer means by a bare status.
    fn of_status(status: u16) -> Self {
        Self::ALL.iter().copied().find(|code| code.status() == status).unwrap_or(match status {
            400..500 => Self::Malformed,
            _ => Self::Internal,
        })
    }
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    members: Map<String, Value>,
    retry_after: Option<u64>,
}

/// A problem as it is answered (RFC 9457).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemDetails {
    /// Names the kind of error, as a URI.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for each error of this kind.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, and what to do about it.
    pub detail: String,
    /// The path that was asked for.
    pub instance: String,
    /// The kind of error, for programs.
    pub code: String,
    /// Finds the request in the audit log and in the server's log.
    pub correlation: Uuid,
    /// What else there is to know, such as `field` or `limit`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub members: Map<String, Value>,
}

impl Problem {
    /// A problem of this kind; `detail` says what happened and what to do.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), members: Map::new(), retry_after: None }
    }

    /// Adds a member that programs can read.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Its kind.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// What happened, and what to do about it.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// There is no such `what`, or none that the caller may know of.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(
            Code::NotFound,
            format!("there is no such {what}, or it is outside of what you may see: list them to find its id"),
        )
    }

    /// A value of the request is not allowed; `field` is its place in the body or query.
    pub fn invalid(field: &str, reason: impl fmt::Display) -> Self {
        Self::new(Code::Invalid, format!("{field}: {reason}")).with("field", field)
    }

    /// The caller's roles do not give `permission`.
    #[must_use]
    pub fn forbidden(permission: Permission) -> Self {
        let detail = format!(
            "it needs the permission {permission}: ask somebody who may manage identities for a role that has it"
        );
        Self::new(Code::Forbidden, detail).with("permission", permission.name())
    }

    /// It was changed since the caller read it.
    #[must_use]
    pub fn stale() -> Self {
        Self::new(
            Code::Stale,
            "it was changed since you read it: read it again, and repeat the change with the new ETag",
        )
    }

    /// Too many failed logins; the next may come after so many seconds.
    #[must_use]
    pub fn too_many_attempts(seconds: u64) -> Self {
        let detail = format!("too many failed logins from this address or for this key: try again in {seconds} s");
        let mut problem = Self::new(Code::TooManyAttempts, detail).with("retry_after_seconds", seconds);
        problem.retry_after = Some(seconds);
        problem
    }

    /// Others are being served that need the same.
    #[must_use]
    pub fn busy(detail: &'static str) -> Self {
        let mut problem = Self::new(Code::Busy, detail).with("retry_after_seconds", BUSY_SECONDS);
        problem.retry_after = Some(BUSY_SECONDS);
        problem
    }

    /// An error of the program; the cause goes to the log only.
    pub fn internal(cause: impl fmt::Display) -> Self {
        tracing::error!(%cause, "an administrative request failed");
        Self::new(Code::Internal, "the cause is in the server's log under this correlation id")
    }

    /// What the HTTP layer refused by itself.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        let code = Code::of_status(status.as_u16());
        let detail = match code {
            Code::NotFound => "no such path: see /docs for those that there are",
            Code::MethodNotAllowed => "the header Allow says which methods this path has",
            Code::TooLarge => "send a body of at most 1 MiB",
            Code::MediaType => "send JSON with the header Content-Type: application/json",
            Code::Internal => "the cause is in the server's log under this correlation id",
            _ => "the request does not fit the description at /openapi.json",
        };
        Self::new(code, detail)
    }

    /// The body of the answer.
    #[must_use]
    pub fn details(self, instance: &str, correlation: Uuid) -> ProblemDetails {
        ProblemDetails {
            kind: format!("urn:keystead:problem:{}", self.code.name()),
            title: self.code.title().to_owned(),
            status: self.code.status(),
            detail: self.detail.into_owned(),
            instance: instance.to_owned(),
            code: self.code.name().to_owned(),
            correlation,
            members: self.members,
        }
    }
}

impl IntoResponse for Problem {
    /// Status and headers; the body is added where the request's path and correlation id are known.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        let mut put = |name: HeaderName, value: HeaderValue| response.headers_mut().insert(name, value);
        if let Some(seconds) = self.retry_after {
            put(header::RETRY_AFTER, seconds.into());
        }
        if self.code.status() == 401 {
            put(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"keystead\""));
        }
        if self.code == Code::SessionOver {
            put(header::SET_COOKIE, HeaderValue::from_static(auth::NO_COOKIE));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => Self::stale(),
            StoreError::OwnRequest => {
                Self::new(Code::OwnRequest, "nobody decides on what they asked for: another person must")
            }
            StoreError::LastOne => Self::new(Code::State, "this is the last administrator: make another one first"),
            StoreError::Referenced { rules } => {
                Self::new(Code::State, format!("{rules} rules still name it: remove them first")).with("rules", rules)
            }
            StoreError::MoreToLose { objects, in_state, held } => Self::new(
                Code::ApprovalNeeded,
                format!(
                    "{objects} objects would be lost, {in_state} of them Active and {held} held, more than was known: look again"
                ),
            ),
            StoreError::NotFound => Self::not_found("thing"),
            StoreError::Duplicate => {
                Self::new(Code::Exists, "a name, certificate or rule of the request is taken: choose another")
            }
            StoreError::StaleRootKey => Self::new(
                Code::State,
                "the root key is not active, or its state changed meanwhile: read it, and try again",
            ),
            StoreError::Rotating => Self::new(Code::State, "the root key's last rotation is not finished: wait for it"),
            StoreError::InUse { keks } => {
                Self::new(Code::State, format!("{keks} objects are still sealed under it: rotate the root key first"))
                    .with("objects", keks)
            }
            StoreError::LimitReached { limit } => Self::new(
                Code::LimitReached,
                format!("there may be at most {limit}: remove one, or raise the limit in the configuration"),
            )
            .with("limit", limit),
            StoreError::DiskFull => {
                Self::new(Code::StoreUnavailable, "the database's disk is full: make room, and it goes on by itself")
            }
            StoreError::Overloaded => Self::new(Code::StoreUnavailable, "the database is overloaded: try again"),
            error @ (StoreError::NewerSchema { .. }
            | StoreError::OlderSchema { .. }
            | StoreError::Damaged
            | StoreError::Database(_)
            | StoreError::File { .. }) => Self::internal(error),
        }
    }
}

impl From<HalError> for Problem {
    fn from(error: HalError) -> Self {
        match error {
            HalError::Unavailable(_) => Self::new(
                Code::HsmUnavailable,
                "the HSM is away or busy: try again when it is back; `keystead hsm probe` says what is wrong",
            ),
            HalError::Refused(_) => Self::new(
                Code::HsmUnavailable,
                "the HSM refused it, and an operator must act: the server's log and `keystead hsm probe` say what is wrong",
            ),
            error => Self::internal(error),
        }
    }
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        tracing::error!(%error, "an administrative request could not be audited");
        Self::new(
            Code::AuditUnavailable,
            "what cannot be recorded is not answered: see to the disk of the audit log; the server's log says more",
        )
    }
}

impl From<TrustError> for Problem {
    fn from(error: TrustError) -> Self {
        Self::internal(error)
    }
}

impl BadText {
    /// The problem of `field` having such a text.
    #[must_use]
    pub fn of(self, field: &str) -> Problem {
        Problem::invalid(field, self).with("min_length", self.min).with("max_length", self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_different_and_every_status_has_one() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        assert_eq!(Problem::of_status(StatusCode::NOT_FOUND).code(), Code::NotFound);
        assert_eq!(Problem::of_status(StatusCode::IM_A_TEAPOT).code(), Code::Malformed);
        assert_eq!(Problem::of_status(StatusCode::BAD_GATEWAY).code(), Code::Internal);
    }

    #[test]
    fn an_internal_cause_is_not_in_the_answer() {
        let problem = Problem::internal("SELECT secret");
        let body = serde_json::to_string(&problem.details("/v1/x", Uuid::nil())).unwrap();
        assert!(!body.contains("SELECT"), "{body}");
        assert!(body.contains(r#""type":"urn:keystead:problem:internal""#), "{body}");
    }

    #[test]
    fn members_stand_beside_the_standard_ones() {
        let details = Problem::from(StoreError::LimitReached { limit: 200 }).details("/v1/adapters", Uuid::nil());
        let body = serde_json::to_value(details).unwrap();
        assert_eq!((&body["limit"], &body["status"]), (&200.into(), &409.into()));
    }
}
