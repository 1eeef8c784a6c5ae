//! Rows about adapters: who connects as which, what an adapter's policy is, who was seen, and an adapter's end.
//!
//! An adapter is deleted in two parts. At once, in one transaction, everything by which anybody connects goes. Its objects are
//! destroyed afterwards, one batch after the other, by whoever calls [`Store::empty_deleted_adapter`] until nothing is left; a
//! crash in between costs nothing but time.

use std::fmt;

use uuid::Uuid;

use super::{AdapterId, Fingerprint, ObjectId, ObjectRow, RootKeyRow, Store, StoreError, Term};

/// An adapter as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterRow {
    /// Its identifier.
    pub id: AdapterId,
    /// 2 to 40 characters, unique.
    pub name: String,
    /// 2 to 240 characters.
    pub description: Option<String>,
    /// The root key under which its objects' KEKs are wrapped (`hal::RootKeyId`).
    pub root_key: Uuid,
    /// KMIP user name and Argon2id hash (PHC string) of its password, where credentials are configured.
    pub credential: Option<AdapterCredential>,
    /// Seconds since 1970-01-01 UTC.
    pub created_at: i64,
    /// Starts at 1, one more with every change of the adapter itself.
    pub revision: u64,
    /// When it was updated last.
    pub changed_at: i64,
    /// How many seconds the material of a destroyed object is held before it is erased; 0: it is erased at once.
    pub hold_seconds: u32,
}

/// The KMIP user name and password that an adapter's clients may have to give.
#[derive(Clone, PartialEq, Eq)]
pub struct AdapterCredential {
    /// The user name, compared exactly.
    pub username: String,
    /// Argon2id hash of the password, a PHC string.
    pub password_hash: String,
}

/// An adapter that was deleted and still has objects to be destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedAdapter {
    /// Its identifier.
    pub id: AdapterId,
    /// Its name, which is not free yet.
    pub name: String,
    /// Seconds since 1970-01-01 UTC.
    pub deleted_at: i64,
}

/// How much may be lost with an adapter that is deleted: what whoever decided on it knew of. It is counted in the transaction that
/// deletes.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// At most so many objects, destroyed ones among them.
    pub objects: u64,
    /// At most so many that are held though they are destroyed.
    pub held: u64,
    /// At most so many in a state.
    pub in_state: Option<InState>,
}

impl Loss {
    /// Everything that there is.
    pub const ANY: Self = Self { objects: u64::MAX, held: u64::MAX, in_state: None };
}

/// Live objects that are in a state, as the index and the clock have it.
#[derive(Clone, Copy, Debug)]
pub struct InState {
    /// What the index finds them by.
    pub term: Term,
    /// What the clock has made of an object that is due at a time, given without what is sealed: 1 where it has come into the
    /// state since the index was written, -1 where it has left it, otherwise 0.
    pub moved: fn(ObjectRow, i64) -> i64,
    /// At most so many.
    pub at_most: u64,
}

/// A client certificate registered with one adapter: whoever holds its private key acts as that adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRow {
    /// SHA-256 of `der`; unique in the whole store.
    pub fingerprint: Fingerprint,
    /// The adapter it belongs to.
    pub adapter: AdapterId,
    /// A name for people.
    pub name: String,
    /// The certificate.
    pub der: Vec<u8>,
    /// Seconds since 1970-01-01 UTC.
    pub added_at: i64,
}

/// For which adapter the own authority issued a certificate, whatever became of that adapter and of its registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssuedRow {
    /// SHA-256 of the certificate's DER form.
    pub fingerprint: Fingerprint,
    /// The adapter that it was issued for, or first registered with.
    pub adapter: AdapterId,
    /// When its validity ends, in seconds since 1970-01-01 UTC.
    pub expires_at: i64,
}

/// The certificate of somebody else's authority that rules may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityRow {
    /// SHA-256 of `der`; unique.
    pub fingerprint: Fingerprint,
    /// A name for people.
    pub name: String,
    /// The certificate.
    pub der: Vec<u8>,
    /// Seconds since 1970-01-01 UTC.
    pub added_at: i64,
}

/// A rule that maps certificates of an authority to an adapter. No two rules have the same issuer, kind and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaRuleRow {
    /// Its identifier.
    pub id: Uuid,
    /// The adapter it maps to.
    pub adapter: AdapterId,
    /// The authority that issued the certificates; the own one where there is none.
    pub issuer: Option<Fingerprint>,
    /// What of a certificate is compared.
    pub kind: RuleKind,
    /// What it must be, compared exactly.
    pub value: String,
    /// Seconds since 1970-01-01 UTC.
    pub added_at: i64,
}

/// What of a certificate a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RuleKind {
    /// The subject's common name.
    CommonName,
    /// The whole subject, RFC 4514 text.
    Subject,
    /// A DNS name of the subject alternative names.
    Dns,
    /// A URI of them.
    Uri,
    /// An e-mail address of them.
    Email,
}

/// Everything that decides who may connect: small, read whole. Adapters that were deleted are not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustRows {
    /// All adapters.
    pub adapters: Vec<AdapterRow>,
    /// All client certificates.
    pub certificates: Vec<CertificateRow>,
    /// All rules for certificates of authorities.
    pub ca_rules: Vec<CaRuleRow>,
    /// All authorities of other people.
    pub authorities: Vec<AuthorityRow>,
    /// All root keys.
    pub root_keys: Vec<RootKeyRow>,
    /// What the own authority issued for whom, deleted adapters among them.
    pub issued: Vec<IssuedRow>,
}

/// The last time at which a certificate was used to connect as an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenCertificate {
    /// SHA-256 of the certificate's DER form. It need not be registered: rules let certificates in as well.
    pub fingerprint: Fingerprint,
    /// The adapter that its holder acted as.
    pub adapter: AdapterId,
    /// The certificate's subject, for people.
    pub subject: String,
    /// When the certificate's validity ends.
    pub expires_at: Option<i64>,
    /// Seconds since 1970-01-01 UTC.
    pub at: i64,
    /// From where.
    pub address: String,
}

/// Adapters, certificates, rules and authorities. Every change of them moves [`Store::trust_generation`] on.
impl Store {
    /// Adapters, certificates, rules, authorities and root keys.
    ///
    /// # Errors
    /// The database failed.
    pub fn trust(&self) -> Result<TrustRows, StoreError> {
        self.engine.trust()
    }

    /// A number that changes whenever what [`Store::trust`] returns may have changed, also by another process.
    ///
    /// # Errors
    /// The database failed.
    pub fn trust_generation(&self) -> Result<u64, StoreError> {
        self.engine.trust_generation()
    }

    /// All adapters that were not deleted, in the order in which they were added.
    ///
    /// # Errors
    /// The database failed.
    pub fn adapters(&self) -> Result<Vec<AdapterRow>, StoreError> {
        self.engine.adapter_rows()
    }

    /// The adapter `id`, unless it was deleted.
    ///
    /// # Errors
    /// The database failed.
    pub fn adapter(&self, id: AdapterId) -> Result<Option<AdapterRow>, StoreError> {
        self.engine.adapter_row(id)
    }

    /// Adds an adapter; `row.revision` is 1.
    ///
    /// # Errors
    /// `Duplicate` name, `LimitReached`, `NotFound` root key, `StaleRootKey` where that is not active.
    pub fn insert_adapter(&self, row: AdapterRow) -> Result<(), StoreError> {
        self.engine.insert_adapter(row)
    }

    /// Gives an adapter the name, description, hold and time of change of `row`, whose revision is one more than the stored one.
    /// The rest of it stays.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, `Duplicate` name.
    pub fn update_adapter(&self, row: AdapterRow) -> Result<(), StoreError> {
        self.engine.update_adapter(row)
    }

    /// Sets or clears the KMIP credential of an adapter, which thereby comes to its next revision.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_credential(&self, adapter: AdapterId, credential: Option<AdapterCredential>) -> Result<(), StoreError> {
        self.engine.set_credential(adapter, credential)
    }

    /// Deletes an adapter if it is still at `revision`: its certificates, rules and credential and whatever is granted for it go
    /// at once, and it takes no more objects. Its objects and its name remain until [`Store::empty_deleted_adapter`] is done.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, `MoreToLose` where it is more than `loss` at the time `at`.
    pub fn delete_adapter(&self, id: AdapterId, revision: u64, loss: Loss, at: i64) -> Result<(), StoreError> {
        self.engine.delete_adapter(id, revision, loss, at)
    }

    /// Adapters that were deleted and still have objects, or have none and only keep their name, oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub fn deleted_adapters(&self) -> Result<Vec<DeletedAdapter>, StoreError> {
        self.engine.deleted_adapters()
    }

    /// Destroys at most `limit` objects of a deleted adapter, those that are held among them: material and KEK are zeroed in
    /// place, and no search by terms or dates finds them. Returns which it destroyed. Where none was left it returns none, and
    /// the adapter is gone and its name free.
    ///
    /// # Errors
    /// `NotFound` where the adapter was not deleted.
    pub fn empty_deleted_adapter(&self, id: AdapterId, limit: u64) -> Result<Vec<ObjectId>, StoreError> {
        self.empty_deleted_adapter_after(id, limit, |_| Ok(()))
    }

    /// The same, after `before` was told which objects they are, if that succeeds.
    ///
    /// # Errors
    /// The same, and those of `before`.
    pub fn empty_deleted_adapter_after<E: From<StoreError>>(
        &self,
        id: AdapterId,
        limit: u64,
        before: impl FnOnce(&[ObjectId]) -> Result<(), E>,
    ) -> Result<Vec<ObjectId>, E> {
        self.engine.empty_deleted_adapter(id, limit, before)
    }

    /// The client certificates of an adapter, in the order in which they were added.
    ///
    /// # Errors
    /// The database failed.
    pub fn certificates(&self, adapter: AdapterId) -> Result<Vec<CertificateRow>, StoreError> {
        self.engine.certificates(adapter)
    }

    /// Adds a client certificate.
    ///
    /// # Errors
    /// `NotFound` adapter, `Duplicate` (it belongs to an adapter already), `LimitReached`.
    pub fn insert_certificate(&self, row: CertificateRow) -> Result<(), StoreError> {
        self.engine.insert_certificate(row)
    }

    /// Adds a client certificate that the own authority issued, and keeps in the same transaction for whom, like
    /// [`Store::record_issued`].
    ///
    /// # Errors
    /// Those of [`Store::insert_certificate`].
    pub fn insert_issued(&self, row: CertificateRow, expires_at: i64) -> Result<(), StoreError> {
        self.engine.insert_issued(row, expires_at)
    }

    /// Keeps for which adapters the own authority issued certificates; what is kept of one already stays. Forgets those that
    /// had ended some time before `at`.
    ///
    /// # Errors
    /// `NotFound` adapter; then nothing is kept.
    pub fn record_issued(&self, rows: Vec<IssuedRow>, at: i64) -> Result<(), StoreError> {
        self.engine.record_issued(rows, at)
    }

    /// Removes a client certificate. For whom it was issued is not forgotten.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn delete_certificate(&self, fingerprint: Fingerprint) -> Result<(), StoreError> {
        self.engine.delete_certificate(fingerprint)
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// `NotFound` adapter or issuer, `Duplicate` id or issuer, kind and value, `LimitReached`.
    pub fn insert_ca_rule(&self, row: CaRuleRow) -> Result<(), StoreError> {
        self.engine.insert_ca_rule(row)
    }

    /// Removes a rule.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn delete_ca_rule(&self, id: Uuid) -> Result<(), StoreError> {
        self.engine.delete_ca_rule(id)
    }

    /// All authorities of other people, in the order in which they were added.
    ///
    /// # Errors
    /// The database failed.
    pub fn authorities(&self) -> Result<Vec<AuthorityRow>, StoreError> {
        self.engine.authorities()
    }

    /// Adds the certificate of somebody else's authority.
    ///
    /// # Errors
    /// `Duplicate`, `LimitReached`.
    pub fn insert_authority(&self, row: AuthorityRow) -> Result<(), StoreError> {
        self.engine.insert_authority(row)
    }

    /// Removes the certificate of an authority.
    ///
    /// # Errors
    /// `NotFound`, `Referenced` while rules name it.
    pub fn delete_authority(&self, fingerprint: Fingerprint) -> Result<(), StoreError> {
        self.engine.delete_authority(fingerprint)
    }
}

/// Who was seen. None of this moves [`Store::trust_generation`] on.
impl Store {
    /// Notes when certificates were used to connect. No time moves back; adapters that are not there are passed over. Of one
    /// adapter some thousand certificates are remembered.
    ///
    /// # Errors
    /// The database failed, `DiskFull`, `Overloaded`.
    pub fn see_certificates(&self, seen: Vec<SeenCertificate>) -> Result<(), StoreError> {
        self.engine.see_certificates(seen)
    }

    /// The certificates that connected as `adapter`, or as any where there is none, seen last first.
    ///
    /// # Errors
    /// The database failed.
    pub fn certificates_seen(&self, adapter: Option<AdapterId>) -> Result<Vec<SeenCertificate>, StoreError> {
        self.engine.certificates_seen(adapter)
    }
}

impl fmt::Debug for AdapterCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdapterCredential").field("username", &self.username).finish_non_exhaustive()
    }
}
