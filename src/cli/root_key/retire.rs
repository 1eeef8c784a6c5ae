//! `keystead root-key retire`: destroys an old version of a root key in the HSM, once nothing is under it.

use clap::Args;

use super::{RootKeyError, about, find, open_hsm, remote};
use crate::{
    cli::{
        CliError,
        admin::Admin,
        output::{progress, say},
        place::Where,
    },
    root_keys::{may_retire, retire},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct RetireArgs {
    /// The root key's label or id
    label: String,
    /// The version to destroy
    #[arg(long, value_name = "N")]
    version: u32,
    /// Backups of the database from before the rotation may be lost: they open with this version alone
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    config: Where,
}

pub(super) fn run(args: &RetireArgs) -> Result<(), CliError> {
    if let Some(api) = args.config.there()? {
        return remote::retire(&api, &args.label, args.version, args.yes);
    }
    let admin = Admin::open(args.config.load()?)?;
    let row = find(&admin, &args.label)?;
    let (label, version) = (row.label.clone(), args.version);
    may_retire(&admin.store, &row, version)?;
    if !args.yes {
        return Err(RootKeyError::BackupsNeedIt { label, version }.into());
    }
    let hal = open_hsm(&admin)?;
    progress(format_args!("destroying version {version} of root key {label:?}"), || {
        admin.act("root_key.retire", about(&row), || Ok(retire(&admin.store, &*hal, &row, version)?))
    })?;
    say(format_args!("root key {:?}: version {version} is retired and no longer in the HSM", row.label));
    Ok(())
}
