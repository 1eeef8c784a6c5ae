//! Why a command about root keys failed.

use std::{fmt, path::PathBuf};

use hal::Kcv;
use uuid::Uuid;

use super::destroy::Impact;
use crate::{
    ceremony::{CeremonyError, ShareError},
    proof::ProofError,
    statement::{StatementError, Weakness},
};

/// Why a command about root keys failed.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyError {
    /// No key was made or put together.
    #[error(transparent)]
    Ceremony(#[from] CeremonyError),
    /// A file is no share.
    #[error("{path}: {source}")]
    Share {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ShareError,
    },
    /// A file is no statement to rely on.
    #[error("{path}: {source}")]
    Statement {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: StatementError,
    },
    /// A file is no public key of a signer.
    #[error("{}: this is no public key as `keystead root-key signer` writes it", path.display())]
    NotASigner {
        /// The file.
        path: PathBuf,
    },
    /// A statement is signed, but what it says is not good enough.
    #[error("{}: the signature is right, but: {}", path.display(), list(weaknesses))]
    Weak {
        /// The file.
        path: PathBuf,
        /// What speaks against the root key.
        weaknesses: Vec<Weakness>,
    },
    /// A root key is not attested.
    #[error("the root key is not attested: {}", list(weaknesses))]
    NotAttested {
        /// What speaks against it.
        weaknesses: Vec<Weakness>,
    },
    /// Nothing was signed.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// Its shares describe a root key that is on record in another way.
    #[error("the shares are of a root key that is on record here with the label {kept:?}, and say {given:?}")]
    OtherLabel {
        /// The label on record.
        kept: String,
        /// The label in the shares.
        given: String,
    },
    /// Shares of another key than the one on record.
    #[error(
        "the shares give another key (check value {given}) than version {version} of {label:?} on record (check value {kept}): \
         nothing was imported"
    )]
    OtherKey {
        /// The root key's label.
        label: String,
        /// Its version.
        version: u32,
        /// The check value on record.
        kept: Kcv,
        /// The check value of what the shares give.
        given: Kcv,
    },
    /// A later version of an unknown root key.
    #[error(
        "these are shares of version {version} of the root key {root}, which this database does not know: import its first \
         version, or use the database that belongs to it"
    )]
    UnknownRootKey {
        /// The root key.
        root: Uuid,
        /// The version.
        version: u32,
    },
    /// A version that does not follow.
    #[error("these are shares of version {given} of {label:?}, whose current version is {current}: the next would be {}", current.saturating_add(1))]
    NotNext {
        /// The root key's label.
        label: String,
        /// Its current version.
        current: u32,
        /// The version in the shares.
        given: u32,
    },
    /// A version that is gone.
    #[error("version {version} of {label:?} was retired: nothing is under it any more, and it does not come back")]
    Retired {
        /// The root key's label.
        label: String,
        /// The version.
        version: u32,
    },
    /// The whole key is gone, or about to be.
    #[error("the root key {label:?} is destroyed, or its destruction has begun")]
    Destroyed {
        /// Its label.
        label: String,
    },
    /// A root key that neither seals nor opens gets no new version.
    #[error("the root key {label:?} is suspended: resume it first")]
    Suspended {
        /// Its label.
        label: String,
    },
    /// The last rotation goes on.
    #[error("the last rotation of {label:?} is not finished: let it finish first")]
    Rotating {
        /// Its label.
        label: String,
    },
    /// The HSM does not say that it holds what it was given.
    #[error("the HSM says that the imported key has the check value {said}, it is {given}: do not use this root key")]
    ImportedOther {
        /// What the HSM says.
        said: Kcv,
        /// What was given.
        given: Kcv,
    },
    /// The imported key is not the one that objects are sealed under.
    #[error(
        "the imported key does not open what is stored under version {version} of {label:?}, although its check value is the \
         one on record: it was taken out of the HSM again"
    )]
    DoesNotOpen {
        /// The root key's label.
        label: String,
        /// The version.
        version: u32,
    },
    /// A version that should be destroyed is not to be found.
    #[error(
        "version {version} of {label:?} is not on this HSM: nothing was destroyed; attach every token that holds the root key"
    )]
    NotInHsm {
        /// The root key's label.
        label: String,
        /// The version.
        version: u32,
    },
    /// Another HSM than the one that the destruction began on.
    #[error(
        "the destruction of {label:?} began on the token {serial}, which is not attached: attach it and run this again"
    )]
    OtherToken {
        /// The root key's label.
        label: String,
        /// The serial number of a token.
        serial: String,
    },
    /// Active objects, and nobody said that these may go.
    #[error(
        "{} of the objects are Active: nothing was destroyed. Have them deactivated, or, if all of this may be lost for ever, \
         say --approve-destruction-of {}{}", impact.active(), impact.active(), mistaken(*approved)
    )]
    NotApproved {
        /// What would be lost.
        impact: Box<Impact>,
        /// The number that was approved.
        approved: Option<u64>,
    },
    /// Nobody said yes.
    #[error("not confirmed: nothing was destroyed")]
    NotConfirmed,
    /// The journal of a destruction is not what was written.
    #[error("the database's record of the destruction that has begun is damaged")]
    BadJournal,
}

fn list(what: &[impl fmt::Display]) -> String {
    what.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn mistaken(approved: Option<u64>) -> String {
    approved.map_or_else(String::new, |given| format!(" (not {given})"))
}
