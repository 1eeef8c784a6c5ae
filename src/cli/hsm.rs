//! `keystead hsm`: what PKCS#11 modules and their tokens offer, and whether root keys may be on them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hal::{
    SecretBytes, SelfCheck, WrapScheme,
    pkcs11::{
        Provider,
        probe::{IvMode, ProbeLogin, ProbeReport, SlotReport, Trial, probe},
    },
};
use serde::Serialize;

use super::{
    CliError, backend,
    error::UsageError,
    output::{json, note, say},
};
use crate::config::{Config, HsmBackend, TokenConfig};

/// Look at the HSM.
#[derive(Debug, Subcommand)]
pub(super) enum HsmCommand {
    /// Say what a PKCS#11 module and its tokens offer, and with a PIN what a token really does and whether root keys may be on
    /// it; leaves nothing behind
    Probe(ProbeArgs),
}

#[derive(Debug, Args)]
pub(super) struct ProbeArgs {
    /// Take modules, tokens and PIN files from this configuration
    #[arg(long, value_name = "FILE", conflicts_with_all = ["module", "token_label", "token_serial", "pin_file"])]
    config: Option<PathBuf>,
    /// The PKCS#11 module
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// The label of the token to log in to
    #[arg(long, value_name = "LABEL", requires = "pin_file")]
    token_label: Option<String>,
    /// Its serial number, where the label alone does not tell
    #[arg(long, value_name = "SERIAL", requires = "token_label")]
    token_serial: Option<String>,
    /// A file that holds the token's user PIN; it is tried once
    #[arg(long, value_name = "FILE", requires = "token_label")]
    pin_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is probed: modules, each with the tokens behind it that are logged in to.
#[derive(Default)]
struct Target {
    modules: Vec<(PathBuf, Vec<Login>)>,
    scheme: Option<WrapScheme>,
    provider: Option<Provider>,
}

struct Login {
    label: String,
    serial: Option<String>,
    pin: SecretBytes,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Shown {
    /// Whether root keys may be on every token that was asked for; absent where none was.
    usable: Option<bool>,
    modules: Vec<ProbeReport>,
}

pub(super) fn run(command: &HsmCommand) -> Result<(), CliError> {
    let HsmCommand::Probe(args) = command;
    let target = target(args)?;
    let modules = target.modules.iter().map(|(module, logins)| {
        let logins: Vec<_> = logins
            .iter()
            .map(|login| ProbeLogin {
                token_label: &login.label,
                token_serial: login.serial.as_deref(),
                pin: &login.pin,
                scheme: target.scheme,
                provider: target.provider,
            })
            .collect();
        probe(module, &logins)
    });
    let modules = modules.collect::<Result<Vec<_>, _>>()?;
    let mut trials = modules.iter().flat_map(|module| &module.slots).filter_map(|slot| slot.trial.as_ref()).peekable();
    let untried = modules.iter().flat_map(|module| &module.untried).next().map(|untried| untried.error.clone());
    let asked = trials.peek().is_some() || untried.is_some();
    let usable = trials.all(|trial| trial.usable) && untried.is_none();
    let shown = Shown { usable: asked.then_some(usable), modules };
    if args.json {
        json(&shown)?
    } else {
        shown.modules.iter().for_each(show)
    }
    match untried {
        Some(error) => Err(error.into()),
        None if asked && !usable => Err(CliError::TokenUnusable),
        None => Ok(()),
    }
}

fn target(args: &ProbeArgs) -> Result<Target, CliError> {
    let mut target = Target::default();
    match (&args.config, &args.module) {
        (Some(path), _) => {
            let config = Config::load(path)?;
            backend::prepare_environment(&config.hsm.backend)?;
            target.scheme = backend::pinned(config.hsm.scheme);
            target.provider = config.hsm.provider;
            let HsmBackend::Pkcs11(tokens) = config.hsm.backend else { return Err(UsageError::NothingToProbe.into()) };
            for TokenConfig { module, token_label, token_serial, pin_file } in tokens.tokens() {
                let login = Login { label: token_label, serial: token_serial, pin: backend::secret(&pin_file)? };
                match target.modules.iter_mut().find(|(known, _)| *known == module) {
                    Some((_, logins)) => logins.push(login),
                    None => target.modules.push((module, vec![login])),
                }
            }
        }
        (None, Some(module)) => {
            let mut logins = Vec::new();
            if let Some((label, pin_file)) = args.token_label.clone().zip(args.pin_file.as_ref()) {
                logins.push(Login { label, serial: args.token_serial.clone(), pin: backend::secret(pin_file)? });
            }
            target.modules.push((module.clone(), logins));
        }
        (None, None) => return Err(UsageError::NoModuleNamed.into()),
    }
    Ok(target)
}

fn show(report: &ProbeReport) {
    say(format_args!("module     {}", report.module.display()));
    if let Some(library) = &report.library {
        let (text, maker) = (library.description.trim(), library.manufacturer.trim());
        say(format_args!("           {text} {} by {maker}, PKCS#11 {}", library.version, library.cryptoki_version));
    }
    report.slots.iter().for_each(show_slot);
    if report.slots.is_empty() {
        say("no slot has a token");
    }
    for untried in &report.untried {
        note(format_args!("token {:?} was not tried: {}", untried.token_label, untried.error));
    }
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
    say(format_args!("  offers   {} mechanisms (--json lists them)", slot.mechanisms.len()));
    match (&slot.trial, slot.max_sessions) {
        (Some(trial), _) => show_trial(trial),
        (None, Some(sessions)) => say(format_args!("  sessions at most {sessions}")),
        (None, None) => {}
    }
}

fn show_trial(trial: &Trial) {
    say(format_args!("  make     {}", trial.profile));
    let stated = trial.sessions.stated.map_or_else(|| "states no limit".to_owned(), |most| format!("at most {most}"));
    let opened = match &trial.sessions.refused_with {
        Some(code) => format!("{} opened, the next was refused with {code}", trial.sessions.opened),
        None => format!("{} opened at the same time", trial.sessions.opened),
    };
    say(format_args!("  sessions {stated}; {opened}"));
    let schemes: Vec<_> = trial.schemes.iter().map(|scheme| scheme.name()).collect();
    say(format_args!("  opens    {}", if schemes.is_empty() { "nothing".to_owned() } else { schemes.join(", ") }));
    say(format_args!("  wraps by {}", trial.scheme_why));
    say(format_args!(
        "  IV       {}",
        match trial.iv {
            Some(IvMode::Caller12) => "this software's own, 12 random bytes",
            Some(IvMode::TokenWritesIv12) => "the token's own, 12 bytes written into the buffer",
            Some(IvMode::TokenAppends16) => "the token's own, 16 bytes behind the tag",
            None => "none: aes-gcm does not work",
        }
    ));
    say("  a key that must stay inside was tried to be taken out:");
    show_checks(&trial.enforcement);
    say("  it was tried with throw-away keys:");
    show_checks(&trial.mechanisms);
    if trial.objects_left > 0 {
        say(format_args!("  it kept {} session objects that were destroyed", trial.objects_left));
    }
    say(format_args!("  root keys may be on it: {}", if trial.usable { "yes" } else { "NO" }));
    trial.why.iter().for_each(|why| say(format_args!("    {why}")));
}

fn show_checks(checks: &[SelfCheck]) {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
    for SelfCheck { name, passed, detail } in checks {
        say(format_args!("    {}  {name:width$}  {detail}", if *passed { "ok" } else { "NO" }));
    }
}
