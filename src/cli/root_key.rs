//! `keystead root-key`: the keys in the HSM that wrap everything.

mod attest;
mod ceremony;
mod create;
mod describe;
mod destroy;
mod error;
mod import;
mod list;
mod retire;
mod rotate;
mod signer;
mod suspend;
mod verify;

use std::sync::Arc;

use clap::Subcommand;
use hal::{RootKeyInfo, RootKeys};
use jiff::Timestamp;

pub(super) use self::{create::make, error::RootKeyError, list::identify};
use super::{
    CliError,
    admin::{Admin, Subject},
    api::Api,
    backend,
    output::table,
};
use crate::{
    root_keys,
    store::{RootKeyRow, RootKeyState, StoreError},
};

/// Where the admin API has them.
pub(super) const PATH: &str = "/v1/root-keys";

/// Make, list and look after root keys.
#[derive(Debug, Subcommand)]
pub(super) enum RootKeyCommand {
    /// Make a root key inside the HSM
    Create(create::CreateArgs),
    /// List the root keys on record, with their state and what is sealed under them
    List(list::ListArgs),
    /// Show one root key: its versions, on the machine itself also as the HSM tells them, and how far its rotation is
    Describe(describe::DescribeArgs),
    /// Let a root key neither seal nor open anything until it is resumed
    Suspend(suspend::StateArgs),
    /// Let a suspended root key work again
    Resume(suspend::StateArgs),
    /// Give a root key a new version, and bring everything that is sealed under older ones under that
    Rotate(rotate::RotateArgs),
    /// Destroy an old version of a root key in the HSM, once nothing is sealed under it any more
    Retire(retire::RetireArgs),
    /// Make a root key in memory and split it into share files for its custodians; needs no HSM
    Ceremony(ceremony::CeremonyArgs),
    /// Put a root key together from share files and into every token
    Import(import::ImportArgs),
    /// Test a root key and write down, signed, what it is and where it lies
    Attest(attest::AttestArgs),
    /// Check an attestation or another signed statement; needs no configuration and no HSM
    VerifyAttestation(verify::VerifyArgs),
    /// Write the public key that confirms this installation's statements
    Signer(signer::SignerArgs),
    /// Destroy a root key, and with it every key that was sealed under it
    Destroy(destroy::DestroyArgs),
}

pub(super) fn run(command: &RootKeyCommand) -> Result<(), CliError> {
    match command {
        RootKeyCommand::Create(args) => create::run(args),
        RootKeyCommand::List(args) => list::run(args),
        RootKeyCommand::Describe(args) => describe::run(args),
        RootKeyCommand::Suspend(args) => suspend::suspend(args),
        RootKeyCommand::Resume(args) => suspend::resume(args),
        RootKeyCommand::Rotate(args) => rotate::run(args),
        RootKeyCommand::Retire(args) => retire::run(args),
        RootKeyCommand::Ceremony(args) => ceremony::run(args),
        RootKeyCommand::Import(args) => import::run(args),
        RootKeyCommand::Attest(args) => attest::run(args),
        RootKeyCommand::VerifyAttestation(args) => verify::run(args),
        RootKeyCommand::Signer(args) => signer::run(args),
        RootKeyCommand::Destroy(args) => destroy::run(args),
    }
}

/// The path of the root key with this label or id.
fn path(api: &Api, label: &str) -> Result<String, CliError> {
    Ok(format!("{PATH}/{}", api.id("root key", PATH, "label", label)?))
}

/// The root key on record with this label, or of this id.
pub(super) fn find(admin: &Admin, label: &str) -> Result<RootKeyRow, CliError> {
    let mut rows = admin.store.root_keys()?;
    match rows.iter().position(|row| row.label == label || row.id.to_string() == label) {
        Some(place) => Ok(rows.swap_remove(place)),
        None => {
            let others = rows.into_iter().map(|row| row.label).collect();
            Err(CliError::NoSuch { what: "root key", name: label.to_owned(), others })
        }
    }
}

/// Records a root key that the HSM holds.
pub(super) fn record(admin: &Admin, root: &RootKeyInfo) -> Result<(), CliError> {
    match admin.store.insert_root_key(root_keys::new_row(root, Timestamp::now().as_second())) {
        Err(StoreError::Duplicate) => Err(CliError::Exists { what: "a root key", name: root.label.to_string() }),
        result => Ok(result?),
    }
}

/// Opens the HSM, which then refuses another key under the id of one on record.
fn open_hsm(admin: &Admin) -> Result<Arc<dyn RootKeys>, CliError> {
    let hal = backend::open(&admin.config.hsm)?;
    root_keys::expect_recorded(&admin.store.root_keys()?, &*hal);
    Ok(hal)
}

/// What an action is about, for the audit log.
fn about(row: &RootKeyRow) -> Subject {
    Subject { root_key: Some(row.id), ..Subject::default() }
}

/// The word for a state.
pub(super) fn state_name(state: RootKeyState) -> &'static str {
    match state {
        RootKeyState::Active => "active",
        RootKeyState::Suspended => "suspended",
        RootKeyState::Destroyed => "destroyed",
    }
}

/// Prints root keys as the HSM tells them.
pub(super) fn show(roots: &[RootKeyInfo]) {
    let rows: Vec<_> = roots
        .iter()
        .map(|root| {
            let serials: Vec<_> = root.tokens.iter().map(|token| token.serial.as_str()).collect();
            let token = if serials.is_empty() { "(software)".to_owned() } else { serials.join(", ") };
            [
                root.label.to_string(),
                root.id.to_string(),
                root.kcv.to_string(),
                root.scheme.to_string(),
                token,
                protection(root),
            ]
        })
        .collect();
    table(
        ["LABEL", "ID", "KCV", "WRAPS BY", "TOKEN", "ATTRIBUTES"],
        &rows,
        "no root keys: make one with `keystead root-key create`",
    );
}

/// The attributes that protect a root key, in the HSM's words.
pub(super) fn protection(root: &RootKeyInfo) -> String {
    let attributes = &root.attributes;
    let words = [
        ("SENSITIVE", attributes.sensitive),
        ("EXTRACTABLE", attributes.extractable),
        ("LOCAL", attributes.local),
        ("ALWAYS_SENSITIVE", attributes.always_sensitive),
        ("NEVER_EXTRACTABLE", attributes.never_extractable),
    ];
    let shown = words.iter().filter_map(|(word, value)| match value {
        Some(true) => Some((*word).to_owned()),
        Some(false) => Some(format!("not {word}")),
        None => None,
    });
    shown.collect::<Vec<_>>().join(", ")
}
