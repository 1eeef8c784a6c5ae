//! `keystead root-key create`: a new root key inside the HSM.

use clap::Args;
use hal::{Label, RootKeyInfo, RootKeys};

use super::{PATH, attest::attest_new};
use crate::{
    admin::model::NewRootKey,
    cli::{
        CliError,
        admin::{Admin, Subject},
        output::{note, progress, say},
        place::Where,
        view::text,
    },
    root_keys,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    /// The root key's label, 1 to 64 characters
    #[arg(value_parser = Label::new)]
    label: Label,
    #[command(flatten)]
    config: Where,
}

pub(super) fn run(args: &CreateArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let (label, new) = (args.label.as_str(), NewRootKey { label: args.label.to_string() });
    let made = progress(format_args!("making root key {label:?}"), || api.create(PATH, &new))?;
    let kcv = text(&made, "/versions/0/kcv");
    say(format_args!("root key {label:?} made inside the HSM: {}, key check value {kcv}", text(&made, "/id")));
    note(format_args!("make adapters under it with: keystead adapter create NAME --root-key {label:?}"));
    Ok(())
}

/// Makes the first root key of a data directory in the HSM and records it.
pub(in crate::cli) fn make(admin: &Admin, hal: &dyn RootKeys, label: &Label) -> Result<RootKeyInfo, CliError> {
    let id = root_keys::id_for(&admin.store, label)?;
    let about = Subject { root_key: Some(id), ..Subject::default() };
    let root = admin.act("root_key.create", about, || Ok(root_keys::make(&admin.store, hal, id, label)?))?;
    attest_new(admin, hal, root.key());
    Ok(root)
}
