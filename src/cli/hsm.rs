//! `keystead hsm`: what a PKCS#11 module and its tokens offer.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hal::pkcs11::probe::{ProbeLogin, ProbeReport, SlotReport, Trial, probe};

use super::{
    CliError, backend,
    error::UsageError,
    output::{json, say},
};
use crate::config::{Config, HsmBackend};

/// Look at the HSM.
#[derive(Debug, Subcommand)]
pub(super) enum HsmCommand {
    /// Say what a PKCS#11 module and its tokens offer, and with a PIN what the token really does; leaves nothing behind
    Probe(ProbeArgs),
}

#[derive(Debug, Args)]
pub(super) struct ProbeArgs {
    /// Take module, token and PIN file from this configuration
    #[arg(long, value_name = "FILE", conflicts_with_all = ["module", "token_label", "pin_file"])]
    config: Option<PathBuf>,
    /// The PKCS#11 module
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// The label of the token to log in to
    #[arg(long, value_name = "LABEL", requires = "pin_file")]
    token_label: Option<String>,
    /// A file that holds the token's user PIN; it is tried once
    #[arg(long, value_name = "FILE", requires = "token_label")]
    pin_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &HsmCommand) -> Result<(), CliError> {
    let HsmCommand::Probe(args) = command;
    let (module, login) = match (&args.config, &args.module) {
        (Some(path), _) => {
            let config = Config::load(path)?;
            backend::prepare_environment(&config.hsm.backend)?;
            match config.hsm.backend {
                HsmBackend::Pkcs11(token) => (token.module, Some((token.token_label, token.pin_file))),
                HsmBackend::Software(_) => return Err(UsageError::NothingToProbe.into()),
            }
        }
        (None, Some(module)) => (module.clone(), args.token_label.clone().zip(args.pin_file.clone())),
        (None, None) => return Err(UsageError::NoModuleNamed.into()),
    };
    let login = match &login {
        Some((label, pin_file)) => Some((label, backend::secret(pin_file)?)),
        None => None,
    };
    let login = login.as_ref().map(|(label, pin)| ProbeLogin { token_label: label, pin });
    let report = probe(&module, login.as_ref())?;
    if args.json { json(&report) } else { show(&report) }
}

fn show(report: &ProbeReport) -> Result<(), CliError> {
    say(format_args!("module     {}", report.module.display()));
    if let Some(library) = &report.library {
        let (text, maker) = (library.description.trim(), library.manufacturer.trim());
        say(format_args!("           {text} {} by {maker}, PKCS#11 {}", library.version, library.cryptoki_version));
    }
    report.slots.iter().for_each(show_slot);
    if report.slots.is_empty() {
        say("no slot has a token");
    }
    Ok(())
}

fn show_slot(slot: &SlotReport) {
    say(format_args!("slot       {}", slot.slot));
    match &slot.token {
        Some(token) if slot.initialized => {
            say(format_args!("  token    {:?}, serial {}", token.label, token.serial));
            let (maker, model, firmware) = (&token.manufacturer, &token.model, &token.firmware);
            say(format_args!("           {maker} {model}, firmware {firmware}"));
        }
        Some(_) => say("  token    not initialised"),
        None => say("  token    does not describe itself"),
    }
    let pin = match (slot.user_pin_set, slot.user_pin_locked) {
        (_, true) => "locked: the security officer must unlock it",
        (true, false) => "set",
        (false, false) => "not set",
    };
    say(format_args!("  user PIN {pin}"));
    if let Some(sessions) = slot.max_sessions {
        say(format_args!("  sessions at most {sessions}"));
    }
    say(format_args!("  offers   {} mechanisms (--json lists them)", slot.mechanisms.len()));
    if let Some(trial) = &slot.trial {
        show_trial(trial);
    }
}

fn show_trial(trial: &Trial) {
    let word = |good| if good { "yes" } else { "NO" };
    let schemes: Vec<_> = trial.schemes.iter().map(|scheme| scheme.name()).collect();
    let wraps = if schemes.is_empty() {
        "NO: no scheme works, this token cannot be used".to_owned()
    } else {
        schemes.join(", ")
    };
    say(format_args!("  wraps by            {wraps}"));
    say(format_args!("  keeps keys inside   {}", word(trial.keeps_keys_inside)));
    say(format_args!("  random numbers      {}", word(trial.random)));
    say(format_args!("  signs P-256, P-384  {}, {}", word(trial.signs_p256), word(trial.signs_p384)));
}
