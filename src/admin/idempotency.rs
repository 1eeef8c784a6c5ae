//! The header `Idempotency-Key`: a request that makes something can be sent again after a lost answer, and makes it once.
//!
//! What is kept is a digest of who asked with which key, a digest of the request, and the answer, for a day. An answer that
//! held a secret is never kept: then a repetition is refused, and says how to go on.

use axum::http::HeaderMap;
use jiff::Timestamp;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Admin,
    problem::{Code, Problem},
};
use crate::store::AnswerRow;

/// The header's name.
pub(super) const HEADER: &str = "idempotency-key";
/// How long an answer is kept, in seconds.
const KEPT: i64 = 24 * 3600;
/// Longest key.
const MAX_KEY: usize = 255;

/// Digests of who asked and of the key that came with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// What an answer is kept under.
    kept_under: [u8; 32],
    /// What the digest of the request begins with. Kept nowhere, so that nobody who reads the store can try out what a
    /// request said, such as a password.
    salt: [u8; 32],
}

/// Digest of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestDigest([u8; 32]);

/// What is kept of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// All of it.
    Answer,
    /// That there was one.
    StatusOnly,
}

/// What was made.
pub(super) struct Made {
    /// Its path.
    pub(super) path: String,
    /// Its revision.
    pub(super) revision: Option<u64>,
    /// The answer's body, which may hold a secret.
    pub(super) body: Zeroizing<String>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    path: String,
    revision: Option<u64>,
    body: String,
}

impl Key {
    /// The key of a request of `identity`.
    pub(super) fn read(headers: &HeaderMap, identity: Uuid) -> Result<Option<Self>, Problem> {
        let Some(value) = headers.get(HEADER) else { return Ok(None) };
        match value.to_str() {
            Ok(text) if (1..=MAX_KEY).contains(&text.len()) => {
                let of = |what: &[u8]| digest(&[identity.as_bytes(), text.as_bytes(), what]);
                Ok(Some(Self { kept_under: of(b"key"), salt: of(b"salt") }))
            }
            _ => Err(Problem::invalid("Idempotency-Key", format_args!("1 to {MAX_KEY} visible ASCII characters"))),
        }
    }
}

impl RequestDigest {
    /// Of a body.
    pub(super) fn new(body: &[u8]) -> Self {
        Self(digest(&[body]))
    }

    /// As it is kept.
    fn salted(self, key: &Key) -> Self {
        Self(digest(&[&key.salt, &self.0]))
    }

    /// Of the whole request, whose method and path are `target`.
    pub(super) fn of(self, target: &str) -> Self {
        Self(digest(&[&self.0, target.as_bytes()]))
    }
}

/// Makes something unless the request was answered before; says whether it was.
pub(super) fn once(
    admin: &Admin,
    key: Option<Key>,
    request: RequestDigest,
    keep: Keep,
    make: impl FnOnce() -> Result<Made, Problem>,
) -> Result<(Made, bool), Problem> {
    let Some(key) = key else { return Ok((make()?, false)) };
    let request = request.salted(&key);
    let _under_way = UnderWay::begin(admin, key)?;
    let store = &admin.service.store;
    let now = Timestamp::now().as_second();
    if let Some(answer) = store.answer(key.kept_under)?.filter(|answer| answer.created_at > now - KEPT) {
        return Ok((repeat(&answer, request)?, true));
    }
    let made = make()?;
    let kept = Kept { path: made.path.clone(), revision: made.revision, body: String::new() };
    let body = match keep {
        Keep::Answer => serde_json::to_vec(&Kept { body: made.body.to_string(), ..kept }).ok(),
        Keep::StatusOnly => None,
    };
    let row = AnswerRow { key: key.kept_under, request: request.0, status: 201, body, created_at: now };
    // It is made, so it is answered; at worst a repetition is refused because the name is taken.
    if let Err(error) = store.forget_answers_before(now - KEPT).and_then(|()| store.remember_answer(row)) {
        tracing::warn!(%error, "the answer to a request with an idempotency key could not be kept");
    }
    Ok((made, false))
}

fn repeat(answer: &AnswerRow, request: RequestDigest) -> Result<Made, Problem> {
    if answer.request != request.0 {
        return Err(Problem::new(
            Code::KeyReused,
            "this Idempotency-Key came with another request within the last day: use a new one for each request",
        ));
    }
    let kept = answer.body.as_deref().and_then(|body| serde_json::from_slice::<Kept>(body).ok()).ok_or_else(|| {
        Problem::new(
            Code::NotRepeatable,
            "it was made, but the answer held a secret, which is shown once and kept nowhere: find it in the list, \
             delete it, and make another with a new Idempotency-Key",
        )
    })?;
    Ok(Made { path: kept.path, revision: kept.revision, body: kept.body.into() })
}

/// Of two requests with one key at the same time, the later is refused.
struct UnderWay<'a>(&'a Admin, Key);

impl<'a> UnderWay<'a> {
    fn begin(admin: &'a Admin, key: Key) -> Result<Self, Problem> {
        if admin.under_way.lock().insert(key) {
            return Ok(Self(admin, key));
        }
        Err(Problem::new(
            Code::NotRepeatable,
            "the first request with this Idempotency-Key is still under way: wait for its answer",
        ))
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.lock().remove(&self.1);
    }
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        // Lengths, so that no two lists of parts are the same bytes.
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}
