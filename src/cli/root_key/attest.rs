//! `keystead root-key attest`: a signed record of what a root key is and where it lies.

use std::path::PathBuf;

use clap::Args;
use hal::{RootKeyVersion, RootKeys};

use super::{RootKeyError, about, find, open_hsm};
use crate::{
    cli::{
        CliError, ConfigArgs,
        admin::Admin,
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
    let hal = open_hsm(&admin)?;
    let attestation = admin.act("root_key.attest", about(&row), || attest(&admin, &*hal, key))?;
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
    let rows = admin.store.root_keys()?;
    let row = rows.iter().find(|row| row.id == *key.root.as_uuid()).and_then(|row| row.version(key.version));
    if let Some(kcv) = row.and_then(root_keys::recorded_kcv) {
        // Another key under the same id is not attested as the one on record.
        hal.expect_root(key, kcv);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement;

    #[test]
    fn a_failed_self_test_forbids_an_attestation_and_a_software_root_key_does_not() {
        let golden = include_bytes!("../../statement/golden/attestation.json");
        let Claim::Attestation(good) = statement::verify(golden, None).unwrap().statement.claim else {
            panic!("it is an attestation")
        };
        assert_eq!(against(&good), []);
        let mut failed = good.clone();
        failed.copies[0].self_test[0].passed = false;
        assert!(matches!(against(&failed).as_slice(), [Weakness::SelfTest { .. }]));
        let mut readable = good.clone();
        readable.attributes.sensitive = Some(false);
        assert_eq!(against(&readable), [Weakness::NotSensitive]);
        assert_eq!(against(&Attestation { is_hsm: false, ..good }), []);
        // Not even a software root key may fail anything else.
        assert!(matches!(against(&Attestation { is_hsm: false, ..failed }).as_slice(), [Weakness::SelfTest { .. }]));
    }
}
