//! `keystead root-key retire`: destroys an old version of a root key in the HSM, once nothing is under it.
//!
//! The store refuses it while anything is, and from the moment that it is on record as retired nothing can come under it; so
//! what follows in the HSM takes nothing away but backups from before the rotation.

use clap::Args;
use hal::{DestroyConsent, HalError};
use jiff::Timestamp;

use super::{RootKeyError, about, find, open_hsm, suspend::must_be_usable};
use crate::{
    cli::{
        CliError, ConfigArgs,
        admin::Admin,
        output::{progress, say},
    },
    root_keys,
    store::{StoreError, VersionState},
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
    config: ConfigArgs,
}

pub(super) fn run(args: &RetireArgs) -> Result<(), CliError> {
    let admin = Admin::open(args.config.load()?)?;
    let row = find(&admin, &args.label)?;
    must_be_usable(&row)?;
    let (label, version) = (row.label.clone(), args.version);
    if row.current_version == version {
        return Err(RootKeyError::IsCurrent { label, version }.into());
    }
    let Some(old) = row.version(version) else {
        return Err(RootKeyError::NoVersion { label, version, current: row.current_version }.into());
    };
    let was_retired = old.state == VersionState::Retired;
    let keks = admin.store.kek_count(row.id, version)?;
    if keks > 0 {
        return Err(RootKeyError::StillInUse { label, version, keks }.into());
    }
    if !args.yes {
        return Err(RootKeyError::BackupsNeedIt { label, version }.into());
    }
    let hal = open_hsm(&admin)?;
    let key = root_keys::key(row.id, version);
    // The right token is attached: one that does not know the version would else seem to have lost it already.
    hal.describe_root(root_keys::key(row.id, row.current_version))?;
    progress(format_args!("destroying version {version} of root key {label:?}"), || {
        admin.act("root_key.retire", about(&row), || {
            // On record as retired only what can be destroyed: a token that is not attached may hold the version.
            if !was_retired && !hal.list_roots()?.iter().any(|info| info.key() == key) {
                return Err(RootKeyError::NotInHsm { label: label.clone(), version }.into());
            }
            match admin.store.retire_version(row.id, version, Timestamp::now().as_second()) {
                Err(StoreError::InUse { keks }) => {
                    return Err(RootKeyError::StillInUse { label: label.clone(), version, keks }.into());
                }
                result => result?,
            }
            match hal.destroy_root(key, DestroyConsent::approved_for(key)) {
                Ok(()) => Ok(()),
                // A run that was interrupted has destroyed it.
                Err(HalError::UnknownRootKey(_)) if was_retired => Ok(()),
                Err(HalError::UnknownRootKey(_)) => {
                    Err(RootKeyError::NotInHsm { label: label.clone(), version }.into())
                }
                Err(error) => Err(CliError::from(error)),
            }
        })
    })?;
    say(format_args!("root key {:?}: version {version} is retired and no longer in the HSM", row.label));
    Ok(())
}
