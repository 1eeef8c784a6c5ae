//! `keystead root-key attest`: a signed record of what a root key is and where it lies.

use std::path::PathBuf;

use clap::Args;
use hal::{RootKeyVersion, RootKeys};

use super::{about, find, open_hsm, remote};
use crate::{
    cli::{
        CliError,
        admin::Admin,
        data_dir::write_new_file,
        output::{note, say},
        place::Where,
    },
    root_keys::{self, attest},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct AttestArgs {
    /// The root key's label
    label: String,
    /// Its version; the current one where this is not given
    #[arg(long, value_name = "N")]
    version: Option<u32>,
    /// Write the attestation into this new file, rather than to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    config: Where,
}

pub(super) fn run(args: &AttestArgs) -> Result<(), CliError> {
    if let Some(api) = args.config.there()? {
        return remote::attest(&api, &args.label, args.version, args.out.as_deref());
    }
    let admin = Admin::open(args.config.load()?)?;
    let row = find(&admin, &args.label)?;
    let key = root_keys::key(row.id, args.version.unwrap_or(row.current_version));
    let hal = open_hsm(&admin)?;
    let attestation = admin.act("root_key.attest", about(&row), || Ok(attest(&admin.store, &*hal, key)?))?;
    match &args.out {
        Some(path) => {
            write_new_file(path, &attestation)?;
            note(format_args!("wrote {}: check it with `keystead root-key verify-attestation`", path.display()));
        }
        None => say(attestation.trim_end()),
    }
    Ok(())
}

/// Attests a root key that was just made or imported. It is there whatever comes of this, so a failure is only said.
pub(in crate::cli) fn attest_new(admin: &Admin, hal: &dyn RootKeys, key: RootKeyVersion) {
    if let Err(error) = attest(&admin.store, hal, key) {
        note(format_args!("note: {error}; once this is put right, run `keystead root-key attest`"));
    }
}
