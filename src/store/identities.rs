//! Rows about who administers: identities with what they are granted, their API keys, and answers given to requests that may
//! come again.
//!
//! What a kind or a role means is the caller's business. An API key's secret never comes here, only its digest.

use std::{collections::BTreeSet, fmt};

use uuid::Uuid;

use super::{AdapterId, Fingerprint, Store, StoreError};

/// Somebody, or some program, that administers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityRow {
    /// Its identifier. Never reused.
    pub id: Uuid,
    /// What it is, by the caller's name for it.
    pub kind: String,
    /// Unique, compared exactly.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// The certificate by which it is recognised; one certificate is one identity's.
    pub certificate: Option<IdentityCertificate>,
    /// Whether it may do nothing until somebody changes that.
    pub disabled: bool,
    /// Starts at 1, one more with every change.
    pub revision: u64,
    /// Seconds since 1970-01-01 UTC.
    pub created_at: i64,
    /// When it was changed last.
    pub changed_at: i64,
    /// The identity that made it.
    pub created_by: Option<Uuid>,
    /// What it may do. A grant that stands there twice counts once.
    pub grants: Vec<GrantRow>,
    /// Through whose hands its grants and its certificate came, directly or through others. The store takes them from the first
    /// two identities that can log in and have one of [`super::StoreOptions::deciding_roles`], when the second one comes.
    pub hands: BTreeSet<Uuid>,
}

/// A certificate by which an identity is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityCertificate {
    /// SHA-256 of `der`.
    pub fingerprint: Fingerprint,
    /// The certificate.
    pub der: Vec<u8>,
}

/// A role that an identity has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRow {
    /// The role, by the caller's name for it.
    pub role: String,
    /// The adapter that it is for; everything where there is none.
    pub adapter: Option<AdapterId>,
}

/// An API key: whoever knows its secret acts as its identity.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// Its identifier. Never reused.
    pub id: Uuid,
    /// Whose it is.
    pub identity: Uuid,
    /// A name for people.
    pub name: String,
    /// Digest of the secret.
    pub hash: [u8; 32],
    /// Whether it is spent by one use.
    pub single_use: bool,
    /// Seconds since 1970-01-01 UTC.
    pub created_at: i64,
    /// From when on it is worth nothing.
    pub expires_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
    /// When it was used last; of a single-use key: when it was spent.
    pub used_at: Option<i64>,
    /// Through whose hands it came, directly or through others. Kept as [`IdentityRow::hands`] are.
    pub hands: BTreeSet<Uuid>,
}

/// What a change of identities must leave: somebody who has a role for everything, is not disabled and can log in, by a
/// certificate or by an API key that is usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The role, by the caller's name for it.
    pub role: &'static str,
    /// Seconds since 1970-01-01 UTC.
    pub at: i64,
}

/// The spending of a single-use API key together with what it is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spend {
    /// The single-use API key.
    pub key: Uuid,
    /// Seconds since 1970-01-01 UTC.
    pub at: i64,
}

/// What a request was answered that may come again.
#[derive(Clone, PartialEq, Eq)]
pub struct AnswerRow {
    /// Digest of who asked and of the key that the request came with.
    pub key: [u8; 32],
    /// Digest of the request.
    pub request: [u8; 32],
    /// The status of the answer.
    pub status: u16,
    /// The rest of the answer in the caller's encoding; `None` where it held a secret.
    pub body: Option<Vec<u8>>,
    /// Seconds since 1970-01-01 UTC.
    pub created_at: i64,
}

impl ApiKeyRow {
    /// Whether it is good for anything at `now`: not expired, revoked or spent.
    #[must_use]
    pub fn is_usable(&self, now: i64) -> bool {
        let spent = self.single_use && self.used_at.is_some();
        self.revoked_at.is_none() && !spent && self.expires_at.is_none_or(|end| now < end)
    }
}

/// Identities and API keys. They are read where they are needed, so their changes do not move [`Store::trust_generation`] on.
impl Store {
    /// All identities, in the order in which they were added.
    ///
    /// # Errors
    /// The database failed.
    pub fn identities(&self) -> Result<Vec<IdentityRow>, StoreError> {
        self.engine.identities()
    }

    /// The identity `id`.
    ///
    /// # Errors
    /// The database failed.
    pub fn identity(&self, id: Uuid) -> Result<Option<IdentityRow>, StoreError> {
        self.engine.identity(id)
    }

    /// The identity that a certificate stands for.
    ///
    /// # Errors
    /// The database failed.
    pub fn identity_by_certificate(&self, fingerprint: Fingerprint) -> Result<Option<IdentityRow>, StoreError> {
        self.engine.identity_by_certificate(fingerprint)
    }

    /// Adds an identity; `row.revision` is 1. With `spend`, a single-use API key is spent on it, or nothing is done.
    ///
    /// # Errors
    /// `Duplicate` id, name or certificate, `NotFound` adapter of a grant, `LimitReached`; as [`Store::spend_api_key`].
    pub fn insert_identity(&self, row: IdentityRow, spend: Option<Spend>) -> Result<(), StoreError> {
        self.engine.insert_identity(row, spend)
    }

    /// Puts `row` in the place of the identity with its id: `row.revision` is one more than the stored one. When it was made and
    /// by whom stays. With `keep`, it is not done where it takes the last of those away.
    ///
    /// # Errors
    /// `NotFound` identity or adapter of a grant, `Conflict`, `Duplicate` name or certificate, `LastOne`.
    pub fn update_identity(&self, row: IdentityRow, keep: Option<Keep>) -> Result<(), StoreError> {
        self.engine.update_identity(row, keep)
    }

    /// Removes an identity with its grants and API keys, if it is still at `revision`. With `keep`, it is not done where it takes
    /// the last of those away.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, `LastOne`.
    pub fn delete_identity(&self, id: Uuid, revision: u64, keep: Option<Keep>) -> Result<(), StoreError> {
        self.engine.delete_identity(id, revision, keep)
    }

    /// Adds an API key. With `spend`, a single-use API key is spent on it, or nothing is done.
    ///
    /// # Errors
    /// `NotFound` identity, `Duplicate` id, `LimitReached`: so many keys of the identity are usable at `row.created_at`; as
    /// [`Store::spend_api_key`].
    pub fn insert_api_key(&self, row: ApiKeyRow, spend: Option<Spend>) -> Result<(), StoreError> {
        self.engine.insert_api_key(row, spend)
    }

    /// The API key `id`, whatever has become of it, with its identity.
    ///
    /// # Errors
    /// The database failed.
    pub fn api_key(&self, id: Uuid) -> Result<Option<(ApiKeyRow, IdentityRow)>, StoreError> {
        self.engine.api_key(id)
    }

    /// The API keys of an identity, in the order in which they were added.
    ///
    /// # Errors
    /// The database failed.
    pub fn api_keys(&self, identity: Uuid) -> Result<Vec<ApiKeyRow>, StoreError> {
        self.engine.api_keys(identity)
    }

    /// Revokes an API key.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` where it was revoked before.
    pub fn revoke_api_key(&self, id: Uuid, at: i64, keep: Option<Keep>) -> Result<(), StoreError> {
        self.engine.revoke_api_key(id, at, keep)
    }

    /// Spends a single-use API key: of any number who try, one succeeds.
    ///
    /// # Errors
    /// `NotFound` where there is no single-use key `id`, `Conflict` where it is spent, revoked or expired at `at`.
    pub fn spend_api_key(&self, id: Uuid, at: i64) -> Result<(), StoreError> {
        self.engine.spend_api_key(Spend { key: id, at })
    }

    /// Notes when API keys were used. Keys that are not there, and single-use ones, are passed over; no time moves back.
    ///
    /// # Errors
    /// The database failed, `DiskFull`, `Overloaded`.
    pub fn touch_api_keys(&self, used: Vec<(Uuid, i64)>) -> Result<(), StoreError> {
        self.engine.touch_api_keys(used)
    }

    /// What was answered to the request with this key.
    ///
    /// # Errors
    /// The database failed.
    pub fn answer(&self, key: [u8; 32]) -> Result<Option<AnswerRow>, StoreError> {
        self.engine.answer(key)
    }

    /// Keeps an answer. Beyond some ten thousand, the oldest is forgotten for it.
    ///
    /// # Errors
    /// `Duplicate` where the key has an answer.
    pub fn remember_answer(&self, row: AnswerRow) -> Result<(), StoreError> {
        self.engine.remember_answer(row)
    }

    /// Forgets the answers that were given before `time`.
    ///
    /// # Errors
    /// The database failed, `DiskFull`, `Overloaded`.
    pub fn forget_answers_before(&self, time: i64) -> Result<(), StoreError> {
        self.engine.forget_answers_before(time)
    }
}

impl fmt::Debug for ApiKeyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyRow").field("id", &self.id).field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl fmt::Debug for AnswerRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerRow").field("status", &self.status).finish_non_exhaustive()
    }
}
