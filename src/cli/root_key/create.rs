//! `keystead root-key create`: a new root key inside the HSM.
//!
//! It is announced on record before it is made, under the id that it will have: whatever interrupts that, running the command
//! again makes the same key or finds it, and no key is left on a token that nobody knows of.

use clap::Args;
use hal::{Label, RootKeyInfo, RootKeys};
use jiff::Timestamp;
use uuid::Uuid;

use super::{attest::attest_new, open_hsm, show};
use crate::{
    cli::{
        CliError, ConfigArgs,
        admin::{Admin, Subject},
        output::{note, progress},
    },
    root_keys,
    store::{RootKeyRow, RootKeyState, StoreError},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    /// The root key's label, 1 to 64 characters
    #[arg(value_parser = Label::new)]
    label: Label,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &CreateArgs) -> Result<(), CliError> {
    let admin = Admin::open(args.config.load()?)?;
    let hal = open_hsm(&admin)?;
    let making = format_args!("making root key {:?}", args.label.as_str());
    let root = progress(making, || make(&admin, &*hal, &args.label))?;
    show(&[root]);
    note(format_args!(
        "make adapters under it with: keystead adapter create NAME --root-key {:?}",
        args.label.as_str()
    ));
    Ok(())
}

/// Makes a root key in the HSM and records it.
pub(in crate::cli) fn make(admin: &Admin, hal: &dyn RootKeys, label: &Label) -> Result<RootKeyInfo, CliError> {
    let id = announced(admin, label)?.unwrap_or_else(Uuid::new_v4);
    let about = Subject { root_key: Some(id), ..Subject::default() };
    let root = admin.act("root_key.create", about, || {
        announce(admin, id, label)?;
        let root = match hal.generate_version(root_keys::key(id, 1), label) {
            Ok(root) => root,
            Err(error) => return Err(take_back(admin, hal, id, error.into())),
        };
        admin.store.complete_root_key(id, root_keys::version_row(&root, Timestamp::now().as_second()))?;
        Ok::<_, CliError>(root)
    })?;
    attest_new(admin, hal, root.key());
    Ok(root)
}

/// The id under which a key of this label was announced and not finished.
fn announced(admin: &Admin, label: &Label) -> Result<Option<Uuid>, CliError> {
    let rows = admin.store.root_keys()?;
    match rows.iter().find(|row| row.label == label.as_str()) {
        Some(row) if row.is_unmade() => Ok(Some(row.id)),
        Some(_) => Err(CliError::Exists { what: "a root key with the label", name: label.to_string() }),
        None => Ok(None),
    }
}

fn announce(admin: &Admin, id: Uuid, label: &Label) -> Result<(), CliError> {
    let at = Timestamp::now().as_second();
    let row = RootKeyRow {
        id,
        label: label.to_string(),
        state: RootKeyState::Suspended,
        current_version: 1,
        created_at: at,
        changed_at: at,
        destroyed_at: None,
        destruction: None,
        certificate: None,
        versions: Vec::new(),
    };
    match admin.store.insert_root_key(row) {
        Err(StoreError::Duplicate) => {
            let rows = admin.store.root_keys()?;
            // By the run that was interrupted; else another key has taken the label since it was looked for.
            if rows.iter().any(|row| row.id == id && row.is_unmade()) {
                return Ok(());
            }
            Err(CliError::Exists { what: "a root key with the label", name: label.to_string() })
        }
        result => Ok(result?),
    }
}

/// Withdraws an announcement where it is certain that there is no key, and gives the error back.
fn take_back(admin: &Admin, hal: &dyn RootKeys, id: Uuid, error: CliError) -> CliError {
    let there_is_none = matches!(hal.describe_root(root_keys::key(id, 1)), Err(hal::HalError::UnknownRootKey(_)));
    if there_is_none && let Err(failed) = admin.store.withdraw_root_key(id) {
        // It can be made again under the same label, and that is all it is in the way of.
        tracing::warn!(root_key = %id, error = %failed, "the announcement of a root key stays on record");
    }
    error
}
