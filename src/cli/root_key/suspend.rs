//! `keystead root-key suspend` and `resume`: stops a root key from sealing and opening, and lets it go on.

use clap::Args;

use super::PATH;
use crate::cli::{
    CliError,
    output::{note, say},
    place::Where,
    view::text,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct StateArgs {
    /// The root key's label or id
    label: String,
    #[command(flatten)]
    config: Where,
}

pub(super) fn suspend(args: &StateArgs) -> Result<(), CliError> {
    set(args, "suspend")?;
    note(format_args!(
        "A running server seals and opens nothing under {:?} from within a second on; attributes, searches and Destroy go on. \
         A rotation waits.",
        args.label
    ));
    Ok(())
}

pub(super) fn resume(args: &StateArgs) -> Result<(), CliError> {
    set(args, "resume")
}

fn set(args: &StateArgs, verb: &str) -> Result<(), CliError> {
    let api = args.config.api()?;
    let before = api.find("root key", PATH, "label", &args.label)?;
    let root = api.act(&format!("{PATH}/{}/{verb}", text(&before, "/id")))?;
    let (label, state) = (text(&root, "/label"), text(&root, "/state"));
    let is = if text(&before, "/state") == state { "was and is" } else { "is now" };
    say(format_args!("root key {label:?} {is} {state}"));
    Ok(())
}
