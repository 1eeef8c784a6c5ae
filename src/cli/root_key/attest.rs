//! `keystead root-key attest`: a signed record of what a root key is and where it lies.

use std::path::PathBuf;

use clap::Args;
use hal::{RootKeyVersion, RootKeys};

use super::{RootKeyError, find};
use crate::{
    cli::{
        CliError, ConfigArgs,
        admin::{Admin, Subject},
        backend,
        data_dir::write_new_file,
        output::{note, say},
    },
    proof, root_keys,
    statement::{Attestation, Claim, Weakness},
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
    config: ConfigArgs,
}

pub(super) fn run(args: &AttestArgs) -> Result<(), CliError> {
    let admin = Admin::open(args.config.load()?)?;
    let row = find(&admin, &args.label)?;
    let key = root_keys::key(row.id, args.version.unwrap_or(row.current_version));
    let hal = backend::open(&admin.config.hsm)?;
    let about = Subject { root_key: Some(row.id), ..Subject::default() };
    let attestation = admin.act("root_key.attest", about, || attest(&admin, &*hal, key))?;
    match &args.out {
        Some(path) => {
            write_new_file(path, &attestation)?;
            note(format_args!("wrote {}: check it with `keystead root-key verify-attestation`", path.display()));
        }
        None => say(attestation.trim_end()),
    }
    Ok(())
}

/// Tests a root key, signs what was found, and keeps it in the database.
pub(in crate::cli) fn attest(admin: &Admin, hal: &dyn RootKeys, key: RootKeyVersion) -> Result<String, CliError> {
    let info = hal.describe_root(key)?;
    let report = hal.self_test(key)?;
    let attestation = Attestation::new(&info, hal.capabilities(), &report);
    let weaknesses = against(&attestation);
    if !weaknesses.is_empty() {
        return Err(RootKeyError::NotAttested { weaknesses }.into());
    }
    let claim = Claim::Attestation(attestation);
    let signed = proof::sign(&admin.store, hal, claim).map_err(RootKeyError::from)?;
    admin.store.set_attestation(*key.root.as_uuid(), key.version, signed.clone())?;
    Ok(signed)
}

/// What forbids an attestation. That a software root key is none of an HSM does not: its attestation says so.
fn against(attestation: &Attestation) -> Vec<Weakness> {
    let mut weaknesses = attestation.weaknesses();
    weaknesses.retain(|weakness| *weakness != Weakness::Software);
    weaknesses
}

/// Attests a root key that was just made or imported. It is there whatever comes of this, so a failure is only said.
pub(in crate::cli) fn attest_new(admin: &Admin, hal: &dyn RootKeys, key: RootKeyVersion) {
    if let Err(error) = attest(admin, hal, key) {
        note(format_args!("note: {error}; once this is put right, run `keystead root-key attest`"));
    }
}
