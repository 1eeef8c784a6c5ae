//! Why a command about root keys failed.

use std::{fmt, path::PathBuf};

use hal::Kcv;
use uuid::Uuid;

use crate::{
    ceremony::{CeremonyError, ShareError},
    cli::output::visible,
    proof::ProofError,
    root_keys::Failure,
    statement::{StatementError, Weakness},
};

/// Why a command about root keys failed.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyError {
    /// It was not done to the root key.
    #[error(transparent)]
    Failed(Failure),
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
    /// Nothing is being rotated.
    #[error("{label:?} has no rotation that is not finished: its current version is {version}")]
    NotRotating {
        /// The root key's label.
        label: String,
        /// Its current version.
        version: u32,
    },
    /// Nobody said that backups may be lost.
    #[error(
        "backups of the database made before {label:?} was rotated open with version {version} alone, and never again once it \
         is destroyed: nothing was done. If they may be lost, say --yes"
    )]
    BackupsNeedIt {
        /// The root key's label.
        label: String,
        /// The version.
        version: u32,
    },
    /// Its rotations left no proof.
    #[error("there is no proof yet: no rotation of {label:?} is finished")]
    NoProof {
        /// The root key's label.
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
         one on record: {}",
        if *was_there { "it was in the HSM before and stays there" } else { "it was taken out of the HSM again" }
    )]
    DoesNotOpen {
        /// The root key's label.
        label: String,
        /// The version.
        version: u32,
        /// Whether the HSM held it before.
        was_there: bool,
    },
    /// Active objects, and nobody said that these may go.
    #[error("{}", not_approved(*active, *approved))]
    NotApproved {
        /// How many there are.
        active: u64,
        /// The number that was approved.
        approved: Option<u64>,
    },
    /// Nobody said yes.
    #[error("not confirmed: nothing was destroyed")]
    NotConfirmed,
}

fn list(what: &[impl fmt::Display]) -> String {
    // Words of a statement may be among them.
    what.iter().map(|one| visible(&one.to_string())).collect::<Vec<_>>().join("; ")
}

fn not_approved(active: u64, approved: Option<u64>) -> String {
    match approved {
        Some(given) => format!(
            "the destruction of {given} Active objects was approved, and {active} are Active: nothing was destroyed. Look at the \
             report again"
        ),
        None => format!(
            "{active} of the objects are Active: nothing was destroyed. Have them deactivated, or, if all of this may be lost \
             for ever, say --approve-destruction-of {active}"
        ),
    }
}
