//! `keystead init`: a data directory, ready to be served.

mod kept;
mod keys;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use hal::{Label, SignerKind};

use self::{
    kept::Kept,
    keys::{HsmKeyArg, TlsKeyArg},
};
use super::{
    CliError,
    adapter::parse_name,
    admin::Subject,
    error::UsageError,
    output::say,
    root_key::protection,
    serve::say_thumbprints,
    setup::{self, HsmChoice, HsmKeys, Plan, Ready, usual_names},
};
use crate::{
    admin::first,
    ca::{KeyKind, SubjectAltName},
    config::LogLevel,
};

/// The first adapter of a new directory, where none is named.
const FIRST_ADAPTER: &str = "default";

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The data directory; what is in it already is kept
    #[arg(long)]
    dir: PathBuf,
    /// What holds the root keys
    #[arg(long, value_enum)]
    hsm: Option<HsmArg>,
    /// The server's private key, and the kind of those of the authority and the first client; without it rsa-3072
    #[arg(long, value_enum)]
    tls_key: Option<TlsKeyArg>,
    /// Puts the authority's private key into the HSM; without it it is a file
    #[arg(long, value_enum)]
    ca_key: Option<HsmKeyArg>,
    /// Makes a key in the HSM that signs checkpoints of the audit log (hsm or hsm-ecdsa-p384)
    #[arg(long, value_enum)]
    audit_key: Option<HsmKeyArg>,
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
    /// The name of the first adapter; without it `default`
    #[arg(long, value_parser = parse_name)]
    adapter: Option<String>,
    /// The root key's label; without it `keystead-root`
    #[arg(long, value_parser = Label::new)]
    root_key: Option<Label>,
}

/// What holds the root keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum HsmArg {
    /// A SoftHSM2 token made in the data directory
    #[value(name = "softhsm")]
    SoftHsm,
    /// A token that is there: needs --module, --token-label and --pin-file
    Pkcs11,
    /// A sealed file: not an HSM, for evaluation and tests
    Software,
}

impl HsmArg {
    /// Its name on the command line.
    fn name(self) -> &'static str {
        match self {
            HsmArg::SoftHsm => "softhsm",
            HsmArg::Pkcs11 => "pkcs11",
            HsmArg::Software => "software",
        }
    }
}

pub(super) fn run(args: &InitArgs) -> Result<(), CliError> {
    let mut names = args.san.clone();
    names.extend(usual_names().into_iter().filter(|name| !args.san.contains(name)));
    let kept = Kept::read(&args.dir)?;
    if let Some(kept) = &kept {
        kept.compare(args)?;
    }
    let first_adapter = kept.as_ref().and_then(Kept::first_adapter);
    let adapter = args.adapter.as_deref().or(first_adapter).unwrap_or(FIRST_ADAPTER);
    let ready = setup::prepare(&Plan {
        dir: &args.dir,
        // What there is agrees with the arguments.
        hsm: if kept.is_some() { None } else { chosen(args)? },
        key: args.tls_key.map_or(KeyKind::Rsa3072, TlsKeyArg::in_files),
        hsm_keys: HsmKeys {
            tls: args.tls_key.and_then(TlsKeyArg::in_hsm),
            ca: args.ca_key.map(SignerKind::from),
            audit: args.audit_key.map(SignerKind::from),
        },
        names,
        root_key: args.root_key.clone(),
        clients: vec![(adapter, "client")],
        log_level: Some(LogLevel::Warn),
        settings: Vec::new(),
    })?;
    report(args, &ready)
}

fn chosen(args: &InitArgs) -> Result<Option<HsmChoice>, CliError> {
    if let Some(path) = args.module.as_ref().filter(|path| !path.is_file()) {
        return Err(UsageError::NoFile { option: "--module", path: path.clone() }.into());
    }
    Ok(Some(match (args.hsm, &args.module, &args.token_label, &args.pin_file) {
        (None | Some(HsmArg::SoftHsm), module, _, _) => HsmChoice::SoftHsm { module: module.clone() },
        (Some(HsmArg::Software), ..) => HsmChoice::Software,
        (Some(HsmArg::Pkcs11), Some(module), Some(token_label), Some(pin_file)) => {
            HsmChoice::Pkcs11 { module: module.clone(), token_label: token_label.clone(), pin_file: pin_file.clone() }
        }
        (Some(HsmArg::Pkcs11), ..) => return Err(UsageError::TokenNotDescribed.into()),
    }))
}

fn report(args: &InitArgs, ready: &Ready) -> Result<(), CliError> {
    let root = &ready.root_key;
    say(format_args!("root key {:?}: KCV {}, {}", root.label.as_str(), root.kcv, protection(root)));
    say_thumbprints(&ready.admin.config)?;
    report_token(ready)?;
    say(format_args!("serve with: keystead serve --config {}", args.dir.join("keystead.toml").display()));
    Ok(())
}

/// Prints a token that makes the first administrator, while there is none.
fn report_token(ready: &Ready) -> Result<(), CliError> {
    if let Some(token) = first::bootstrap_token(&ready.admin.store)? {
        ready.admin.act(
            "bootstrap_token.create",
            Subject { api_key: Some(token.key), ..Subject::default() },
            || Ok(()),
        )?;
        say(format_args!(
            "admin token (single use, within 24 hours, to make the first administrator): {}",
            *token.text
        ));
    }
    Ok(())
}
