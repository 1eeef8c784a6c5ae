//! `keystead root-key suspend` and `resume`: stops a root key from sealing and opening, and lets it go on.

use clap::Args;

use super::{about, find, list::identify, remote, state_name};
use crate::{
    cli::{
        CliError,
        admin::Admin,
        output::{note, say},
        place::Where,
    },
    root_keys::set_state,
    store::{RootKeyRow, RootKeyState},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct StateArgs {
    /// The root key's label or id
    label: String,
    #[command(flatten)]
    config: Where,
}

pub(super) fn suspend(args: &StateArgs) -> Result<(), CliError> {
    if let Some(api) = args.config.there()? {
        return remote::set(&api, &args.label, "suspend");
    }
    let row = set(args, "root_key.suspend", RootKeyState::Suspended)?;
    note(format_args!(
        "A running server seals and opens nothing under {:?} from within a second on; attributes, searches and Destroy go on. \
         A rotation waits.",
        row.label
    ));
    Ok(())
}

pub(super) fn resume(args: &StateArgs) -> Result<(), CliError> {
    if let Some(api) = args.config.there()? {
        return remote::set(&api, &args.label, "resume");
    }
    set(args, "root_key.resume", RootKeyState::Active).map(drop)
}

fn set(args: &StateArgs, action: &'static str, state: RootKeyState) -> Result<RootKeyRow, CliError> {
    let admin = Admin::open(args.config.load()?)?;
    identify(&admin);
    let row = find(&admin, &args.label)?;
    admin.act(action, about(&row), || Ok(set_state(&admin.store, &row, state)?))?;
    let before = if row.state == state { "was and is" } else { "is now" };
    say(format_args!("root key {:?} {before} {}", row.label, state_name(state)));
    Ok(row)
}
