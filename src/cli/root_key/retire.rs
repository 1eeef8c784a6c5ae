//! `keystead root-key retire`: destroys an old version of a root key in the HSM, once nothing is under it.

use clap::Args;

use super::{RootKeyError, path};
use crate::{
    admin::model::RetireVersion,
    cli::{
        CliError,
        output::{progress, say},
        place::Where,
    },
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
    let (label, version) = (args.label.as_str(), args.version);
    if !args.yes {
        return Err(RootKeyError::BackupsNeedIt { label: label.to_owned(), version }.into());
    }
    let api = args.config.api()?;
    let path = format!("{}/retire", path(&api, label)?);
    progress(format_args!("destroying version {version} of root key {label:?}"), || {
        api.act_with(&path, &RetireVersion { version, backups_may_be_lost: args.yes })
    })?;
    say(format_args!("root key {label:?}: version {version} is retired and no longer in the HSM"));
    Ok(())
}
