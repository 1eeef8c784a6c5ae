//! `keystead root-key signer`: the public key that confirms this installation's statements.

use std::path::PathBuf;

use clap::Args;

use super::RootKeyError;
use crate::{
    cli::{
        CliError, ConfigArgs,
        admin::{Admin, Subject},
        backend,
        data_dir::write_new_file,
        output::{note, say},
    },
    proof,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct SignerArgs {
    /// Write it into this new file, rather than to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Make another one, because the HSM with the old one is lost; whoever checks statements must be told
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &SignerArgs) -> Result<(), CliError> {
    let admin = Admin::open(args.config.load()?)?;
    let hal = backend::open(&admin.config.hsm)?;
    let signer = if args.replace {
        admin.act("signer.replace", Subject::default(), || {
            Ok(proof::replace_signer(&admin.store, &*hal).map_err(RootKeyError::from)?)
        })?
    } else {
        proof::signer(&admin.store, &*hal).map_err(RootKeyError::from)?
    };
    let key = proof::public_key(&signer).map_err(RootKeyError::from)?;
    match &args.out {
        Some(path) => write_new_file(path, &key.to_pem())?,
        None => say(key.to_pem().trim_end()),
    }
    note(format_args!("signer {:?}, {}, fingerprint {}", signer.label.as_str(), key.kind(), key.fingerprint()));
    Ok(())
}
