//! `keystead root-key suspend` and `resume`: stops a root key from sealing and opening, and lets it go on.

use clap::Args;
use jiff::Timestamp;

use super::{RootKeyError, about, find, list::identify, state_name};
use crate::{
    cli::{
        CliError, ConfigArgs,
        admin::Admin,
        output::{note, say},
    },
    store::{RootKeyRow, RootKeyState, StoreError},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct StateArgs {
    /// The root key's label or id
    label: String,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn suspend(args: &StateArgs) -> Result<(), CliError> {
    let row = set(args, "root_key.suspend", RootKeyState::Suspended)?;
    note(format_args!(
        "A running server seals and opens nothing under {:?} from within a second on; attributes, searches and Destroy go on. \
         A rotation waits.",
        row.label
    ));
    Ok(())
}

pub(super) fn resume(args: &StateArgs) -> Result<(), CliError> {
    set(args, "root_key.resume", RootKeyState::Active).map(drop)
}

fn set(args: &StateArgs, action: &'static str, state: RootKeyState) -> Result<RootKeyRow, CliError> {
    let admin = Admin::open(args.config.load()?)?;
    identify(&admin);
    let row = find(&admin, &args.label)?;
    admin.act(action, about(&row), || {
        must_be_usable(&row)?;
        match admin.store.set_root_key_state(row.id, state, Timestamp::now().as_second()) {
            // Somebody has begun to destroy it since it was read.
            Err(StoreError::StaleRootKey) => Err(RootKeyError::Destroyed { label: row.label.clone() }.into()),
            result => Ok(result?),
        }
    })?;
    let before = if row.state == state { "was and is" } else { "is now" };
    say(format_args!("root key {:?} {before} {}", row.label, state_name(state)));
    Ok(row)
}

/// Whether anything can still be done with a root key.
pub(in crate::cli) fn must_be_usable(row: &RootKeyRow) -> Result<(), RootKeyError> {
    let label = || row.label.clone();
    if row.state == RootKeyState::Destroyed || row.destruction.is_some() {
        return Err(RootKeyError::Destroyed { label: label() });
    }
    if row.is_unmade() { Err(RootKeyError::NotMade { label: label() }) } else { Ok(()) }
}
