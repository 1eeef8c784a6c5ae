//! Why something was not done to a root key.

use hal::HalError;

use crate::{proof::ProofError, statement::Weakness, store::StoreError};

/// Why something was not done to a root key.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The HSM said no, or not now.
    #[error(transparent)]
    Hal(#[from] HalError),
    /// The database said no.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// Nothing was signed.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// There is no such root key.
    #[error("there is no such root key")]
    Unknown,
    /// Its label is another root key's.
    #[error("there is already a root key with the label {label:?}")]
    Exists {
        /// The label.
        label: String,
    },
    /// It is not attested.
    #[error("the root key is not attested: {}", list(weaknesses))]
    NotAttested {
        /// What speaks against it.
        weaknesses: Vec<Weakness>,
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
    /// A version that does not follow.
    #[error("version {given} does not follow the current version {current} of {label:?}: the next would be {}", current.saturating_add(1))]
    NotNext {
        /// The root key's label.
        label: String,
        /// Its current version.
        current: u32,
        /// The version that should be the next.
        given: u32,
    },
    /// The making of a root key was interrupted.
    #[error("the root key {label:?} was never finished: run `keystead root-key create {label:?}` again")]
    NotMade {
        /// Its label.
        label: String,
    },
    /// The version that new objects are sealed under.
    #[error("version {version} is the current one of {label:?}: rotate the root key first, or destroy it as a whole")]
    IsCurrent {
        /// The root key's label.
        label: String,
        /// The version.
        version: u32,
    },
    /// A version that never was.
    #[error("{label:?} has no version {version}; its current version is {current}")]
    NoVersion {
        /// The root key's label.
        label: String,
        /// The version asked for.
        version: u32,
        /// Its current version.
        current: u32,
    },
    /// Something still needs the version.
    #[error(
        "{keks} objects are still sealed under version {version} of {label:?}: let its rotation finish; what is left then is \
         damaged, and must be destroyed or restored first (the log names the objects)"
    )]
    StillInUse {
        /// The root key's label.
        label: String,
        /// The version.
        version: u32,
        /// How many objects.
        keks: u64,
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
    /// A version that was destroyed is still to be found.
    #[error(
        "version {version} of {label:?} is still on this HSM, or there again: no certificate was signed; run this again"
    )]
    StillInHsm {
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
    /// Other objects are Active than whoever agreed to their loss was told.
    #[error("{active} objects are Active, and that was not approved: nothing was destroyed")]
    NotApproved {
        /// How many there are.
        active: u64,
    },
    /// The journal of a destruction is not what was written.
    #[error("the database's record of the destruction that has begun is damaged")]
    BadJournal,
}

fn list(weaknesses: &[Weakness]) -> String {
    // Words of the HSM are among them.
    let visible = |weakness: &Weakness| -> String {
        let text = weakness.to_string();
        text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
    };
    weaknesses.iter().map(visible).collect::<Vec<_>>().join("; ")
}
