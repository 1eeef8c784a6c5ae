//! `keystead root-key attest`: a signed record of what a root key is and where it lies.

use std::path::PathBuf;

use clap::Args;
use hal::{RootKeyVersion, RootKeys};

use super::path;
use crate::{
    admin::model::AttestVersion,
    cli::{
        CliError,
        admin::Admin,
        api::ApiError,
        data_dir::write_new_file,
        output::{note, say},
        place::Where,
    },
    root_keys::attest,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct AttestArgs {
    /// The root key's label or id
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
    let api = args.config.api()?;
    let path = format!("{}/attest", path(&api, &args.label)?);
    let answer = api.act_with(&path, &AttestVersion { version: args.version })?;
    let statement = answer.get("statement").and_then(|statement| statement.as_str());
    let statement = statement.ok_or(ApiError::Incomplete { path, member: "statement" })?;
    match &args.out {
        Some(file) => {
            write_new_file(file, statement)?;
            note(format_args!("wrote {}: check it with `keystead root-key verify-attestation`", file.display()));
        }
        None => say(statement.trim_end()),
    }
    Ok(())
}

/// Attests a root key that was just made or imported. It is there whatever comes of this, so a failure is only said.
pub(in crate::cli) fn attest_new(admin: &Admin, hal: &dyn RootKeys, key: RootKeyVersion) {
    if let Err(error) = attest(&admin.store, hal, key) {
        note(format_args!("note: {error}; once this is put right, run `keystead root-key attest`"));
    }
}
