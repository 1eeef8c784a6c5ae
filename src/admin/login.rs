//! Logging in and out: the HTTP side of [`super::session`].

use std::time::Instant;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use jiff::{SignedDuration, Timestamp};

use super::{
    Admin, auth,
    caller::{Caller, CallerKind, LoggedInBy},
    http::{Answer, Call},
    model::{GrantModel, SessionInfo},
    permission::{Permission, Scope},
    problem::{Code, Problem},
    session::{ABSOLUTE, IDLE, Session},
};

impl Call {
    /// Tells who is asking.
    pub(super) async fn who(self) -> Answer {
        let Self { admin, caller, headers, .. } = self;
        let token = auth::cookie(&headers);
        let within = matches!(caller.by, LoggedInBy::Session(_));
        let session = token.filter(|_| within).and_then(|token| admin.sessions.find(&token, Instant::now()));
        Ok(Json(info(&caller, session.as_ref())).into_response())
    }

    /// Begins a session.
    pub(super) async fn log_in(self) -> Answer {
        let Self { admin, caller, headers, .. } = self;
        let earlier = auth::cookie(&headers);
        admin.blocking(move |admin| admin.open_session(&caller, earlier.as_deref().map(String::as_str))).await
    }

    /// Ends the session.
    pub(super) async fn log_out(self) -> Answer {
        let Self { admin, caller, headers, .. } = self;
        let Some(token) = auth::cookie(&headers).filter(|_| matches!(caller.by, LoggedInBy::Session(_))) else {
            return Err(Problem::new(Code::State, "there is no session to end: this request was not sent within one"));
        };
        admin.sessions.end(&token);
        admin.blocking(move |admin| admin.service.note(&caller, "session.close")).await?;
        Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, auth::NO_COOKIE)]).into_response())
    }
}

impl Admin {
    fn open_session(&self, caller: &Caller, earlier: Option<&str>) -> Result<Response, Problem> {
        if caller.kind == CallerKind::Bootstrap {
            return Err(Problem::new(
                Code::Forbidden,
                "this token only makes the first administrator: POST /v1/identities, then POST /v1/identities/{id}/api-keys",
            ));
        }
        let now = Instant::now();
        // A session that is logged in to again goes on with what it was begun with.
        let by = match (caller.by, earlier.and_then(|earlier| self.sessions.find(earlier, now))) {
            (LoggedInBy::Session(_), Some(session)) => session.by,
            (by, _) => by,
        };
        let token = self.sessions.open(caller.identity, by, earlier, now).map_err(Problem::internal)?;
        let session = self.sessions.find(&token, now).ok_or_else(|| Problem::internal("a session went at once"))?;
        if let Err(problem) = self.service.note(caller, "session.open") {
            self.sessions.end(&token);
            return Err(problem);
        }
        let cookie = set_cookie(&token, ABSOLUTE.as_secs())?;
        Ok(([(header::SET_COOKIE, cookie)], Json(info(caller, Some(&session)))).into_response())
    }
}

fn set_cookie(token: &str, seconds: u64) -> Result<HeaderValue, Problem> {
    let text = format!("{}={token}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict", auth::COOKIE);
    let mut value = HeaderValue::try_from(text).map_err(Problem::internal)?;
    value.set_sensitive(true);
    Ok(value)
}

fn info(caller: &Caller, session: Option<&Session>) -> SessionInfo {
    let ends = |session: &Session| {
        let left = SignedDuration::try_from(session.left(Instant::now())).unwrap_or_default();
        Timestamp::from_second(Timestamp::now().as_second().saturating_add(left.as_secs()))
            .unwrap_or_default()
            .to_string()
    };
    let everywhere = |permission: &&Permission| caller.may(**permission, Scope::Everything).is_ok();
    SessionInfo {
        identity: caller.identity,
        name: caller.name.to_string(),
        grants: caller
            .grants
            .iter()
            .map(|grant| GrantModel { role: grant.role, adapter: grant.adapter.map(|id| id.0) })
            .collect(),
        permissions: Permission::ALL.iter().filter(everywhere).copied().collect(),
        csrf_token: session.map(|session| session.csrf.clone()),
        expires_at: session.map(ends),
        idle_seconds: session.map(|_| IDLE.as_secs()),
    }
}
