//! Authentication: an API key, a browser session or a client certificate, in this order, becomes a [`Caller`].
//!
//! What a browser sends by itself (cookie, certificate) does nothing that changes anything for a page of another site. Every
//! failed login is audited and slows down the next one; what cannot be a key at all is no attempt to guess one. Whoever shows what
//! is right is let in from wherever they come: failures only decide how the next failure is answered.

use std::{collections::BTreeSet, net::SocketAddr, time::Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::http::{HeaderMap, Method, header, request::Parts};
use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Admin,
    api_key::ApiKey,
    caller::{Caller, CallerKind, LoggedInBy},
    http::{Correlation, Peer, PeerCertificate},
    permission::Grant,
    problem::{Code, Problem},
    session::Session,
    throttle::TryLater,
};
use crate::{
    audit::{Actor, AdminEvent, Event, Outcome, Subject},
    store::{ApiKeyRow, IdentityRow},
};

/// The cookie's name. The prefix makes browsers insist on HTTPS, this host and the path `/`.
pub(super) const COOKIE: &str = "__Host-keystead";
/// Takes the cookie away.
pub(super) const NO_COOKIE: &str = "__Host-keystead=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict";
/// The header that a change within a session must bring.
pub(super) const CSRF_HEADER: &str = "x-csrf-token";
/// The least time between two notes that a key was used, in seconds.
const USE_NOTED: i64 = 60;
/// Keys of which the last note is remembered.
const MOST_NOTED: usize = 4096;

/// What a request shows of its sender.
pub(super) struct Presented {
    credential: Credential,
    address: SocketAddr,
    correlation: Uuid,
    changes: bool,
    csrf: Option<Zeroizing<String>>,
}

enum Credential {
    Key(ApiKey),
    Session(Zeroizing<String>),
    Certificate(PeerCertificate),
}

/// Whom a credential stands for.
struct Known {
    identity: IdentityRow,
    by: LoggedInBy,
    /// Through whose hands the credential came, beside the identity's own.
    hands: BTreeSet<Uuid>,
}

impl Presented {
    /// Reads the headers. Does not block.
    pub(super) fn read(parts: &Parts) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<Peer>().ok_or_else(|| Problem::internal("a request without a peer"))?;
        let correlation = parts.extensions.get::<Correlation>().map_or_else(Uuid::new_v4, |correlation| correlation.0);
        let changes = !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let credential = match parts.headers.get(header::AUTHORIZATION) {
            Some(value) => Credential::Key(bearer(value.to_str().unwrap_or_default()).ok_or_else(unauthenticated)?),
            None => {
                let by_itself = match (cookie(&parts.headers), peer.certificate) {
                    (Some(token), _) => Credential::Session(token),
                    (None, Some(certificate)) => Credential::Certificate(certificate),
                    (None, None) => return Err(unauthenticated()),
                };
                if changes {
                    same_site(&parts.headers)?;
                }
                by_itself
            }
        };
        let csrf = parts.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
        let csrf = csrf.map(|text| Zeroizing::new(text.to_owned()));
        Ok(Self { credential, address: peer.address, correlation, changes, csrf })
    }
}

impl Admin {
    /// Settles who sent a request.
    pub(super) fn authenticate(&self, presented: &Presented) -> Result<Caller, Problem> {
        let known = match &presented.credential {
            Credential::Key(key) => self.by_key(key, presented)?,
            Credential::Session(token) => self.by_session(token, presented)?,
            Credential::Certificate(certificate) => self.by_certificate(certificate, presented)?,
        };
        if known.identity.disabled {
            let why = "this identity is disabled: somebody who may manage identities can enable it";
            let about = Subject { identity: Some(known.identity.id), ..Subject::default() };
            return Err(self.unusable(known.identity.id, about, why, presented)?);
        }
        caller(known, presented)
    }

    fn by_key(&self, key: &ApiKey, presented: &Presented) -> Result<Known, Problem> {
        let about = Subject { api_key: Some(key.id), ..Subject::default() };
        let found = self.service.store.api_key(key.id)?.filter(|(row, _)| key.is_of(&row.hash));
        let Some((row, identity)) = found else {
            return Err(self.failed(Some(key.id), about, presented)?);
        };
        let now = Timestamp::now().as_second();
        if !row.is_usable(now) {
            return Err(self.unusable(row.id, about, why_unusable(&row), presented)?);
        }
        self.note_use(&row, now);
        Ok(Known { identity, by: LoggedInBy::ApiKey(row.id), hands: row.hands })
    }

    fn by_certificate(&self, certificate: &PeerCertificate, presented: &Presented) -> Result<Known, Problem> {
        let about = Subject { certificate: Some(certificate.fingerprint), ..Subject::default() };
        let Some(identity) = self.service.store.identity_by_certificate(certificate.fingerprint)? else {
            return Err(self.failed(None, about, presented)?);
        };
        if !(certificate.not_before..=certificate.not_after).contains(&Timestamp::now().as_second()) {
            let why = "your client certificate is expired or not valid yet: renew it, and have the new one registered";
            return Err(self.unusable(identity.id, about, why, presented)?);
        }
        Ok(Known { identity, by: LoggedInBy::Certificate(certificate.fingerprint), hands: BTreeSet::new() })
    }

    /// Counts and records a login that may be a guess. One that comes too soon is neither: it costs one look into the store.
    fn failed(&self, key: Option<Uuid>, about: Subject, presented: &Presented) -> Result<Problem, Problem> {
        if let Err(late) = self.throttle.failed(presented.address.ip(), key, Instant::now()) {
            return Ok(later(late));
        }
        tracing::warn!(address = %presented.address, "a login with an API key or certificate that is nobody's");
        self.record_failure(about, presented)?;
        Ok(unauthenticated())
    }

    /// Records a login with what was good once. That is no guess, so it locks nobody out; but a program that goes on with it does
    /// not fill the audit log.
    fn unusable(&self, id: Uuid, about: Subject, why: &'static str, presented: &Presented) -> Result<Problem, Problem> {
        if self.throttle.failed_known(id, Instant::now()).is_ok() {
            self.record_failure(about, presented)?;
        }
        Ok(Problem::new(Code::Unauthenticated, why))
    }

    fn record_failure(&self, subject: Subject, presented: &Presented) -> Result<(), Problem> {
        self.service.audit.append(&[Event::Admin(AdminEvent {
            actor: Actor::Unknown,
            peer: Some(presented.address),
            action: "login",
            subject,
            outcome: Outcome::Failed(Code::Unauthenticated.name()),
            correlation: presented.correlation,
        })])?;
        Ok(())
    }

    /// Notes now and then that a key is in use, so that one that is not can be found.
    fn note_use(&self, row: &ApiKeyRow, now: i64) {
        if row.single_use {
            return;
        }
        {
            let mut noted = self.keys_used.lock();
            let last = noted.get(&row.id).copied().or(row.used_at);
            if last.is_some_and(|last| now < last + USE_NOTED) {
                return;
            }
            if noted.len() >= MOST_NOTED {
                noted.clear();
            }
            noted.insert(row.id, now);
        }
        if let Err(error) = self.service.store.touch_api_keys(vec![(row.id, now)]) {
            tracing::warn!(%error, "the use of an API key could not be noted");
        }
    }

    fn by_session(&self, token: &str, presented: &Presented) -> Result<Known, Problem> {
        let over = || Problem::new(Code::SessionOver, "the session is over: log in again");
        let session = self.sessions.find(token, Instant::now()).ok_or_else(over)?;
        if presented.changes {
            let given = presented.csrf.as_ref().map(|csrf| csrf.as_bytes()).unwrap_or_default();
            verify_slices_are_equal(given, session.csrf.as_bytes()).map_err(|_| {
                Problem::new(
                    Code::CrossSite,
                    "within a session a change needs the header X-CSRF-Token with the csrf_token of GET /v1/session",
                )
            })?;
        }
        match self.holder(&session)? {
            Some((identity, hands)) => Ok(Known { identity, by: LoggedInBy::Session(session.number), hands }),
            None => {
                self.sessions.end(token);
                Err(over())
            }
        }
    }

    /// The identity of a session, while what it logged in with is valid, and through whose hands that came.
    fn holder(&self, session: &Session) -> Result<Option<(IdentityRow, BTreeSet<Uuid>)>, Problem> {
        let store = &self.service.store;
        let found = match session.by {
            LoggedInBy::ApiKey(id) => {
                let now = Timestamp::now().as_second();
                store.api_key(id)?.filter(|(row, _)| row.is_usable(now)).map(|(row, identity)| (identity, row.hands))
            }
            LoggedInBy::Certificate(fingerprint) => {
                store.identity_by_certificate(fingerprint)?.map(|identity| (identity, BTreeSet::new()))
            }
            // Neither begins a session.
            LoggedInBy::Session(_) | LoggedInBy::LocalUser(_) => None,
        };
        Ok(found.filter(|(identity, _)| identity.id == session.identity))
    }
}

fn caller(known: Known, presented: &Presented) -> Result<Caller, Problem> {
    let Known { identity, by, mut hands } = known;
    hands.extend(identity.hands);
    let kind = match identity.kind.as_str() {
        "service" => CallerKind::Service,
        "operator" => CallerKind::Operator,
        "bootstrap" => CallerKind::Bootstrap,
        other => return Err(Problem::internal(format_args!("an identity of the kind {other:?}"))),
    };
    Ok(Caller {
        identity: identity.id,
        name: identity.name.into(),
        kind,
        grants: identity.grants.iter().filter_map(Grant::of).collect(),
        by,
        hands,
        address: Some(presented.address),
        correlation: presented.correlation,
    })
}

fn unauthenticated() -> Problem {
    Problem::new(
        Code::Unauthenticated,
        "give a valid API key in the header `Authorization: Bearer ks_…`, or the client certificate of an operator",
    )
}

fn later(TryLater(wait): TryLater) -> Problem {
    Problem::too_many_attempts(wait.as_secs().max(1))
}

fn why_unusable(row: &ApiKeyRow) -> &'static str {
    if row.revoked_at.is_some() {
        "this API key was revoked: ask for another"
    } else if row.single_use && row.used_at.is_some() {
        "this token is spent: it made the first administrator, whose API key to use from now on"
    } else {
        "this API key is expired: ask for another"
    }
}

fn bearer(value: &str) -> Option<ApiKey> {
    let (scheme, key) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") { ApiKey::parse(key.trim()) } else { None }
}

/// The value of the session's cookie.
pub(super) fn cookie(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = values.flat_map(|value| value.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find(|(name, _)| *name == COOKIE).map(|(_, value)| Zeroizing::new(value.to_owned()))
}

/// Refuses what a browser says it sends for another site's page.
fn same_site(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let by_browser = text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    let is_ours = |origin: &str| origin.strip_prefix("https://").is_some_and(|host| Some(host) == text("host"));
    let by_origin = text("origin").is_none_or(is_ours);
    if by_browser && by_origin {
        return Ok(());
    }
    Err(Problem::new(
        Code::CrossSite,
        "a page of another site may not change anything here: use the server's own pages, or an API key",
    ))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|&(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn finds_its_own_cookie_among_others() {
        let found = cookie(&headers(&[("cookie", "a=b; __Host-keystead=token; c=d")]));
        assert_eq!(found.as_deref().map(String::as_str), Some("token"));
        assert!(cookie(&headers(&[("cookie", "x__Host-keystead=token; keystead=token")])).is_none());
    }

    #[test]
    fn a_page_of_another_site_changes_nothing() {
        for (lines, good) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("origin", "https://kms:8443"), ("host", "kms:8443")], true),
            (&[("origin", "https://evil"), ("host", "kms:8443")], false),
            (&[("origin", "http://kms:8443"), ("host", "kms:8443")], false),
            (&[("origin", "null"), ("host", "kms:8443")], false),
            (&[("origin", "null")], false),
        ] {
            assert_eq!(same_site(&headers(lines)).is_ok(), good, "{lines:?}");
        }
    }

    #[test]
    fn a_bearer_of_something_else_holds_no_key() {
        let key = ApiKey::generate().unwrap();
        assert!(bearer(&format!("bearer {}", *key.text())).is_some());
        for bad in ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", &format!("Basic {}", *key.text()), "Bearer ks_1_2"] {
            assert!(bearer(bad).is_none(), "{bad}");
        }
    }
}
