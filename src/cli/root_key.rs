//! `keystead root-key`: the keys in the HSM that wrap everything.

mod attest;
mod ceremony;
mod destroy;
mod error;
mod import;
mod signer;
mod verify;

use clap::{Args, Subcommand};
use hal::{Label, RootKeyInfo, RootKeys};
use jiff::Timestamp;

pub(super) use self::error::RootKeyError;
use super::{
    CliError, ConfigArgs,
    admin::{Admin, Subject},
    backend,
    output::{json, progress, table},
};
use crate::{
    root_keys,
    store::{RootKeyRow, StoreError},
};

/// Make and list root keys.
#[derive(Debug, Subcommand)]
pub(super) enum RootKeyCommand {
    /// Make a root key inside the HSM
    Create(CreateArgs),
    /// List the root keys with their attributes as the HSM tells them
    List(ListArgs),
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

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The root key's label, 1 to 64 characters
    #[arg(value_parser = Label::new)]
    label: Label,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(command: &RootKeyCommand) -> Result<(), CliError> {
    match command {
        RootKeyCommand::Create(args) => create(args),
        RootKeyCommand::List(args) => list(args),
        RootKeyCommand::Ceremony(args) => ceremony::run(args),
        RootKeyCommand::Import(args) => import::run(args),
        RootKeyCommand::Attest(args) => attest::run(args),
        RootKeyCommand::VerifyAttestation(args) => verify::run(args),
        RootKeyCommand::Signer(args) => signer::run(args),
        RootKeyCommand::Destroy(args) => destroy::run(args),
    }
}

fn create(args: &CreateArgs) -> Result<(), CliError> {
    let admin = Admin::open(args.config.load()?)?;
    let hal = backend::open(&admin.config.hsm)?;
    let root =
        progress(format_args!("making root key {:?}", args.label.as_str()), || make(&admin, &*hal, &args.label))?;
    show(&[root], false)
}

/// Makes a root key in the HSM and records it.
pub(super) fn make(admin: &Admin, hal: &dyn RootKeys, label: &Label) -> Result<RootKeyInfo, CliError> {
    let root = admin.act("root_key.create", Subject::default(), || {
        let root = hal.generate_root(label)?;
        record(admin, &root)?;
        Ok::<_, CliError>(root)
    })?;
    attest::attest_new(admin, hal, root.key());
    Ok(root)
}

/// The root key on record with this label.
pub(super) fn find(admin: &Admin, label: &str) -> Result<RootKeyRow, CliError> {
    let mut rows = admin.store.root_keys()?;
    match rows.iter().position(|row| row.label == label) {
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

fn list(args: &ListArgs) -> Result<(), CliError> {
    let config = args.config.load()?;
    let hal = backend::open(&config.hsm)?;
    show(&hal.list_roots()?, args.json)
}

/// Prints root keys.
pub(super) fn show(roots: &[RootKeyInfo], as_json: bool) -> Result<(), CliError> {
    if as_json {
        return json(&roots);
    }
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
    Ok(())
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
