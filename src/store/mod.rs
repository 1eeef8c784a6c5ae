//! The store: adapters, their certificates, who administers them, and managed objects as opaque rows with index terms.
//!
//! It knows neither KMIP nor the HSM: metadata and sealed material are bytes to it, what Locate can match are terms. A
//! mutation is acknowledged only when it is durable. Every change of an object names the revision it was made from, so two
//! changes of one object never overwrite each other: the later one gets [`StoreError::Conflict`] and its caller starts
//! again from the new row. No transaction spans anything but the store itself.

use std::{fmt, path::Path};

use uuid::Uuid;

use self::sqlite::Sqlite;
pub use self::{
    adapters::{
        AdapterCredential, AdapterRow, AuthorityRow, CaRuleRow, CertificateRow, DeletedAdapter, InState, IssuedRow,
        Loss, RuleKind, SeenCertificate, TrustRows,
    },
    approvals::{ApprovalFilter, ApprovalRow, ApprovalState, ApprovalStep, Decided, Verdict},
    backup::Copied,
    condition::Condition,
    identities::{AnswerRow, ApiKeyRow, GrantRow, IdentityCertificate, IdentityRow, Keep, Spend},
    listing::{Candidate, HeldRow, ListedObject, Newest, ObjectCount, ObjectUse, SeenObject},
    root_keys::{
        KekCount, KekRow, Rewrapped, RootKeyRow, RootKeyState, RootKeyVersionRow, RotationRow, RotationStep, SealedRow,
        SignerRow, VersionState, WRAPPED_KEK_MAX,
    },
};

mod adapters;
mod approvals;
mod backup;
mod condition;
mod identities;
mod listing;
mod root_keys;
mod sqlite;

/// A tenant. Minted by the store's callers when an adapter is made; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AdapterId(pub Uuid);

/// A managed object's Unique Identifier (version 7: ascending in time). Permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub Uuid);

/// SHA-256 of a certificate's DER form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

/// What an equality search matches: a keyed-by-meaning digest of an attribute name and value, made by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term(pub [u8; 16]);

/// A date that a range search matches. `field` is the caller's number for the attribute (a KMIP tag).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateEntry {
    /// Which date.
    pub field: u32,
    /// Seconds since 1970-01-01 UTC.
    pub seconds: i64,
}

/// An object as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRow {
    /// Its Unique Identifier.
    pub id: ObjectId,
    /// The adapter that owns it, for ever.
    pub adapter: AdapterId,
    /// The KMIP Object Type code.
    pub object_type: u32,
    /// Starts at 1, one more with every change.
    pub revision: u64,
    /// Attributes and life-cycle data in the caller's encoding. Not secret.
    pub metadata: Vec<u8>,
    /// Wrapped KEK and sealed material; `None` once destroyed.
    pub sealed: Option<SealedRow>,
    /// Whether a search for live objects or one for destroyed ones finds it.
    pub destroyed: bool,
    /// When the clock alone will next change its state, in seconds since 1970-01-01 UTC.
    pub due_at: Option<i64>,
}

/// What searches find an object by, replaced whole with every change of the object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexEntries {
    /// Equality terms. Duplicates are allowed and mean nothing.
    pub terms: Vec<Term>,
    /// Terms of which no two live (not destroyed) objects of one adapter may share any: the Name attribute.
    pub unique: Vec<Term>,
    /// Dates for range searches.
    pub dates: Vec<DateEntry>,
}

/// One change of one object. A transaction is a list of them and happens whole or not at all.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new object; `row.revision` is 1. Its KEK is under the current version of an active root key, otherwise `StaleRootKey`.
    Insert {
        /// The new row.
        row: ObjectRow,
        /// What finds it.
        index: IndexEntries,
    },
    /// The object's next revision: `row.revision` is one more than the stored revision, otherwise `Conflict`. Where the sealed
    /// body is the stored one, the stored KEK stays as well, whatever the row says: a rotation may have wrapped it again.
    Update {
        /// The row that replaces the stored one; its id, adapter and object type equal the stored ones.
        row: ObjectRow,
        /// What finds it from now on; `None` leaves the index as it is.
        index: Option<IndexEntries>,
    },
    /// Like an Update that destroys a live object: `row` is destroyed and has nothing sealed. But the material and the KEK are
    /// only put out of reach, and kept with the row as it was, until [`Store::release_hold`] or [`Store::recover_held`].
    Hold {
        /// As for an Update.
        row: ObjectRow,
        /// As for an Update.
        index: Option<IndexEntries>,
        /// When the material is to be erased, in seconds since 1970-01-01 UTC.
        until: i64,
    },
}

/// A search within one adapter. Conditions are joined by AND; none at all finds every object.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Terms the object must all have.
    pub terms: Vec<Term>,
    /// Inclusive ranges that at least one of the object's dates with that field must fall in.
    pub ranges: Vec<DateRange>,
    /// Live objects are found.
    pub live: bool,
    /// Destroyed objects are found.
    pub destroyed: bool,
    /// The order of what is found: oldest first, or newest first.
    pub newest_first: bool,
    /// Only what comes after this object in that order: where the last page ended.
    pub after: Option<ObjectId>,
    /// How many of the found objects to pass over first.
    pub offset: u64,
    /// At most so many identifiers.
    pub limit: u64,
}

/// An inclusive range of a date.
#[derive(Clone, Copy, Debug)]
pub struct DateRange {
    /// Which date.
    pub field: u32,
    /// Seconds since 1970-01-01 UTC.
    pub from: i64,
    /// Seconds since 1970-01-01 UTC.
    pub to: i64,
}

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object, or what else is to change, changed since it was read: read again and start over.
    #[error("the object was changed by another request")]
    Conflict,
    /// Whoever asked for something cannot decide it himself.
    #[error("nobody decides his own request")]
    OwnRequest,
    /// It would leave nobody of those whom [`Keep`] names.
    #[error("nobody else has the role")]
    LastOne,
    /// Rules name the authority.
    #[error("{rules} rules still name it")]
    Referenced {
        /// How many.
        rules: u64,
    },
    /// More would be lost than whoever decided on it knew of.
    #[error(
        "more would be lost than was known: {objects} objects, {in_state} of them in the state that counts, {held} held"
    )]
    MoreToLose {
        /// Objects, destroyed ones among them.
        objects: u64,
        /// Live ones in the state that was asked for.
        in_state: u64,
        /// Destroyed ones whose material is held.
        held: u64,
    },
    /// The root key named is not in the state, or the version not the one, that this needs: read root keys again.
    #[error("the root key's state or version has changed")]
    StaleRootKey,
    /// The last rotation of the root key is not finished.
    #[error("the root key's last rotation is not finished")]
    Rotating,
    /// KEKs are still under that version.
    #[error("{keks} objects are still sealed under it")]
    InUse {
        /// How many.
        keks: u64,
    },
    /// What only one can have is taken: a unique term, name, certificate, rule, root key, label or open request.
    #[error("already exists")]
    Duplicate,
    /// No such adapter, certificate, rule, root key, identity or request; an Update of an object that is not there.
    #[error("not found")]
    NotFound,
    /// A configured limit (adapters, certificates of an adapter and the like) is reached.
    #[error("the limit of {limit} is reached")]
    LimitReached {
        /// The limit.
        limit: u32,
    },
    /// The disk, or a quota or limit on what may be written, is full: nothing was written, reads go on, writes work again
    /// when there is room.
    #[error("the disk is full")]
    DiskFull,
    /// Too many mutations wait, or the store is busy past its deadline: try later.
    #[error("the store is overloaded")]
    Overloaded,
    /// The database was made by a newer version of the program.
    #[error(
        "the database has schema version {found}, this program knows up to {known}: install the newer version again"
    )]
    NewerSchema {
        /// Version in the file.
        found: u32,
        /// Newest version this program knows.
        known: u32,
    },
    /// The database was made by an older version of the program, and `StoreOptions::migrate` forbids to change its schema.
    #[error("the database has schema version {found}, this program works with {known}")]
    OlderSchema {
        /// Version in the file.
        found: u32,
        /// The version this program works with.
        known: u32,
    },
    /// What is stored of the object is not what the store wrote.
    #[error("the stored object is damaged")]
    Damaged,
    /// Anything else the engine of the store reported.
    #[error("the database failed: {0}")]
    Database(#[source] rusqlite::Error),
    /// A file or directory could not be used.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// Limits and sizes of a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Mutations that may wait for the writer; one more is refused with `Overloaded`.
    pub waiting_mutations: usize,
    /// Read connections.
    pub readers: usize,
    /// Adapters in all.
    pub max_adapters: u32,
    /// Certificates for each adapter.
    pub max_certificates: u32,
    /// Rules for each adapter.
    pub max_rules: u32,
    /// Authorities of other people.
    pub max_authorities: u32,
    /// Identities that administer.
    pub max_identities: u32,
    /// Usable API keys of each identity.
    pub max_api_keys: u32,
    /// Open requests for approval.
    pub max_open_approvals: u32,
    /// The roles, by the callers' names for them, that decide over requests of others. The first two identities as which somebody
    /// can log in that have one of them, for everything or for an adapter, are taken to have their access through nobody's hands.
    pub deciding_roles: &'static [&'static str],
    /// Whether a database of an older version is brought up to date, which whoever works on it now does not survive.
    pub migrate: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            waiting_mutations: 1024,
            readers: 4,
            max_adapters: 200,
            max_certificates: 200,
            max_rules: 200,
            max_authorities: 100,
            max_identities: 1000,
            max_api_keys: 100,
            max_open_approvals: 1000,
            deciding_roles: &["security-officer", "administrator"],
            migrate: true,
        }
    }
}

/// The store. Cheap to share behind an `Arc`; every method blocks and may be called from any number of threads.
pub struct Store {
    engine: Sqlite,
}

impl Store {
    /// Opens the database file at `path`, makes it where it is missing, and brings its schema up to date where that is allowed.
    ///
    /// # Errors
    /// The file cannot be used, or is of a newer version, or of an older one that is to stay.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        Ok(Self { engine: Sqlite::open(path, options)? })
    }

    /// Applies `changes` as one transaction and returns when they are durable.
    ///
    /// # Errors
    /// `Conflict` or `NotFound` for an Update or Hold, `Duplicate` for an identifier or unique term, `StaleRootKey` for new material,
    /// `DiskFull`, `Overloaded`; then nothing was changed.
    pub fn apply(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.engine.apply(changes)
    }

    /// The object `id` of `adapter`. An object of another adapter is not there.
    ///
    /// # Errors
    /// The database failed.
    pub fn object(&self, adapter: AdapterId, id: ObjectId) -> Result<Option<ObjectRow>, StoreError> {
        self.engine.object(adapter, id)
    }

    /// The identifiers that `search` finds in `adapter`, by creation: a stable order.
    ///
    /// # Errors
    /// The database failed.
    pub fn search(&self, adapter: AdapterId, search: &Search) -> Result<Vec<ObjectId>, StoreError> {
        self.engine.search(adapter, search)
    }

    /// Objects of `adapter` whose `due_at` is at or before `now`, at most `limit`: their stored state is out of date.
    ///
    /// # Errors
    /// The database failed.
    pub fn due(&self, adapter: AdapterId, now: i64, limit: u64) -> Result<Vec<ObjectRow>, StoreError> {
        self.engine.due(adapter, now, limit)
    }

    /// Shows `visit` every object of `adapter` whose `due_at` is at or before `now`, one at a time, in no order and **without its
    /// sealed material**, for those who count: nothing is kept in memory.
    ///
    /// # Errors
    /// The database failed; `visit` may have seen some by then.
    pub fn each_due(&self, adapter: AdapterId, now: i64, visit: impl FnMut(ObjectRow)) -> Result<(), StoreError> {
        self.engine.each_due(adapter, now, visit)
    }

    /// Returns when nothing is left of material erased before: an update that takes material away, or replaces it, zeroes it
    /// in the database file, but the log keeps a copy until the store cuts it, about a second later. This cuts it now; as far
    /// as the disk keeps no copies of its own, the material is gone. (What remains anywhere is still sealed.)
    ///
    /// # Errors
    /// `Overloaded` when a reader, such as a backup, still needs the log; it is cut later.
    pub fn scrub(&self) -> Result<(), StoreError> {
        self.engine.scrub()
    }

    /// Copies the whole store, as it is at one moment, into a new database file at `path` that only its owner may use, and
    /// returns when that is durable. Others go on reading and writing meanwhile, but a [`Store::scrub`] has to wait. Requests for
    /// approval that are open are cancelled in the copy.
    ///
    /// # Errors
    /// `File` where `path` cannot be made or is there already, `DiskFull`; then nothing is left at `path`.
    pub fn backup(&self, path: &Path) -> Result<(), StoreError> {
        self.engine.backup(path)
    }

    /// How many mutations wait for the writer at this moment; at `StoreOptions::waiting_mutations` the next is refused.
    pub fn waiting_mutations(&self) -> usize {
        self.engine.waiting()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
