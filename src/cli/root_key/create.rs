//! `keystead root-key create`: a new root key inside the HSM.

use clap::Args;
use hal::{Label, RootKeyInfo, RootKeys};

use super::{attest::attest_new, open_hsm, remote, show};
use crate::{
    cli::{
        CliError,
        admin::{Admin, Subject},
        output::{note, progress},
        place::Where,
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
    if let Some(api) = args.config.there()? {
        return remote::create(&api, args.label.as_str());
    }
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
    let id = root_keys::id_for(&admin.store, label)?;
    let about = Subject { root_key: Some(id), ..Subject::default() };
    let root = admin.act("root_key.create", about, || Ok(root_keys::make(&admin.store, hal, id, label)?))?;
    attest_new(admin, hal, root.key());
    Ok(root)
}
