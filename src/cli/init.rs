//! `keystead init`: a data directory, ready to be served.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use hal::Label;

use super::{
    CliError, KeyArg,
    adapter::parse_name,
    error::UsageError,
    output::say,
    root_key::protection,
    serve::say_thumbprints,
    setup::{self, HsmChoice, Plan, Ready, usual_names},
};
use crate::{ca::SubjectAltName, config::LogLevel};

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The data directory; what is in it already is kept
    #[arg(long)]
    dir: PathBuf,
    /// What holds the root keys
    #[arg(long, value_enum)]
    hsm: Option<HsmArg>,
    /// The kind of private keys of the authority, the server and the first client
    #[arg(long, value_enum, default_value = "rsa-3072")]
    tls_key: KeyArg,
    /// A host name or IP address under which clients reach the server, besides this machine's own; may be repeated
    #[arg(long, value_name = "NAME")]
    san: Vec<SubjectAltName>,
    /// The PKCS#11 module
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// The label of the token (--hsm pkcs11)
    #[arg(long, value_name = "LABEL")]
    token_label: Option<String>,
    /// A file that holds the token's user PIN (--hsm pkcs11)
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// The name of the first adapter
    #[arg(long, default_value = "default", value_parser = parse_name)]
    adapter: String,
    /// The root key's label
    #[arg(long, default_value = "keystead-root", value_parser = Label::new)]
    root_key: Label,
}

/// What holds the root keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum HsmArg {
    /// A SoftHSM2 token made in the data directory
    #[value(name = "softhsm")]
    SoftHsm,
    /// A token that is there: needs --module, --token-label and --pin-file
    Pkcs11,
    /// A sealed file: not an HSM, for evaluation and tests
    Software,
}

pub(super) fn run(args: &InitArgs) -> Result<(), CliError> {
    let mut names = args.san.clone();
    names.extend(usual_names().into_iter().filter(|name| !args.san.contains(name)));
    let ready = setup::prepare(&Plan {
        dir: &args.dir,
        hsm: args.hsm.map(|hsm| chosen(hsm, args)).transpose()?,
        key: args.tls_key.into(),
        names,
        root_key: args.root_key.clone(),
        clients: vec![(&args.adapter, "client")],
        log_level: Some(LogLevel::Warn),
        settings: Vec::new(),
    })?;
    report(args, &ready)
}

fn chosen(hsm: HsmArg, args: &InitArgs) -> Result<HsmChoice, CliError> {
    Ok(match (hsm, &args.module, &args.token_label, &args.pin_file) {
        (HsmArg::SoftHsm, module, _, _) => HsmChoice::SoftHsm { module: module.clone() },
        (HsmArg::Software, ..) => HsmChoice::Software,
        (HsmArg::Pkcs11, Some(module), Some(token_label), Some(pin_file)) => {
            HsmChoice::Pkcs11 { module: module.clone(), token_label: token_label.clone(), pin_file: pin_file.clone() }
        }
        (HsmArg::Pkcs11, ..) => return Err(UsageError::TokenNotDescribed.into()),
    })
}

fn report(args: &InitArgs, ready: &Ready) -> Result<(), CliError> {
    let root = &ready.root_key;
    say(format_args!("root key {:?}: KCV {}, {}", root.label.as_str(), root.kcv, protection(root)));
    say_thumbprints(&ready.admin.config)?;
    say(format_args!("serve with: keystead serve --config {}", args.dir.join("keystead.toml").display()));
    Ok(())
}
