//! `keystead root-key destroy`: destroys a root key, and with it everything that was sealed under it (crypto-shredding).
//!
//! last the certificate's file is written. Run again, the command goes on where it was cut off. This is the way around the
//! approval by a second person, for whoever may log in to the machine itself; the audit log tells one from the other.

use std::{
    io::{BufRead as _, IsTerminal as _},
    path::PathBuf,
};

use clap::Args;
use hal::RootKeys;
use serde_json::Value;

use super::{PATH, RootKeyError, about, find};
use crate::{
    cli::{
        CliError,
        adapter::parse_description,
        admin::{Admin, shown_time},
        api::{Api, Here},
        approval,
        context::ContextError,
        data_dir::write_new_file,
        output::{note, progress},
        place::Where,
        view::{self, text},
    },
    root_keys::{self, Active, Agreed, Failure},
    store::{RootKeyRow, RootKeyState},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct DestroyArgs {
    /// The root key's label or id
    label: String,
    /// Destroy it although that many objects under it are Active; the number must be right
    #[arg(long, value_name = "OBJECTS")]
    approve_destruction_of: Option<u64>,
    /// Ask for it, and say why; another person must approve
    #[arg(long, value_parser = parse_description, conflicts_with_all = ["yes", "approve_destruction_of", "dry_run", "out", "json"])]
    reason: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Only report what would be lost
    #[arg(long, conflicts_with_all = ["yes", "approve_destruction_of", "out"])]
    dry_run: bool,
    /// Where the certificate goes; a file beside the database where this is not given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the report of what would be lost as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Where,
}

pub(super) fn run(args: &DestroyArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let root = text(&api.find("root key", PATH, "label", &args.label)?, "/id");
    if let Some(reason) = &args.reason {
        return approval::request(&api, "root_key.destroy", &root, reason);
    }
    match api.here() {
        Some(here) => alone(args, &api, here, &root),
        // These are for whoever is at the machine itself; a server wants a second person.
        None if args.yes || args.approve_destruction_of.is_some() || args.out.is_some() => {
            Err(ContextError::OnlyHere.into())
        }
        None => {
            show_impact(args, &api, &root)?;
            note(
                "nothing is done: to ask for the destruction, which another person must approve, say why with --reason",
            );
            Ok(())
        }
    }
}

/// Says what would be lost.
fn show_impact(args: &DestroyArgs, api: &Api, root: &str) -> Result<Value, CliError> {
    let impact = api.get(&format!("{PATH}/{root}/impact"))?;
    if args.json {
        view::one(&impact, true)?;
    } else {
        approval::show_impact(&impact);
    }
    Ok(impact)
}

/// Destroys it by the decision of one person, at the machine itself.
fn alone(args: &DestroyArgs, api: &Api, here: &Here, root: &str) -> Result<(), CliError> {
    let admin = &here.admin;
    let row = find(admin, root)?;
    if row.state == RootKeyState::Destroyed {
        let when = row.destroyed_at.map(shown_time).unwrap_or_default();
        note(format_args!("the root key {:?} was destroyed on {when}", row.label));
        return write_certificate(args, admin, &row);
    }
    if row.is_unmade() {
        return Err(Failure::NotMade { label: row.label }.into());
    }
    let impact = show_impact(args, api, root)?;
    if args.dry_run {
        return Ok(());
    }
    if row.destruction.is_none() {
        approve(args, &row.label, impact.get("active_objects").and_then(Value::as_u64).unwrap_or(u64::MAX))?;
    } else {
        note("the destruction of this root key has begun already: it goes on");
    }
    let hal = here.hsm()?;
    progress(format_args!("destroying root key {:?}", row.label), || {
        admin.act("root_key.destroy.break_glass", about(&row), || destroy(args, admin, &*hal, &row))
    })?;
    note(
        "If shares of it were made, have their custodians destroy them: with a backup of the database they would open it.",
    );
    write_certificate(args, admin, &find(admin, root)?)
}

fn destroy(args: &DestroyArgs, admin: &Admin, hal: &dyn RootKeys, row: &RootKeyRow) -> Result<(), CliError> {
    // On the machine itself one person can do it alone, where nobody is left who could approve it: the record says so.
    let active = Active::Exactly(args.approve_destruction_of.unwrap_or(0));
    let agreed = Agreed { active, people: None };
    root_keys::destroy(&admin.store, hal, row, &agreed).map_err(|failure| match failure {
        Failure::NotApproved { active } => {
            RootKeyError::NotApproved { active, approved: args.approve_destruction_of }.into()
        }
        failure => CliError::from(failure),
    })
}

fn write_certificate(args: &DestroyArgs, admin: &Admin, row: &RootKeyRow) -> Result<(), CliError> {
    let Some(certificate) = &row.certificate else { return Ok(()) };
    let beside = || admin.config.store.path.with_file_name(format!("destroyed-root-key-{}.json", row.id));
    let path = args.out.clone().unwrap_or_else(beside);
    if std::fs::read_to_string(&path).is_ok_and(|found| found == *certificate) {
        note(format_args!("kept  {}", path.display()));
        return Ok(());
    }
    write_new_file(&path, certificate)?;
    note(format_args!("wrote {}: the certificate of the destruction", path.display()));
    Ok(())
}

/// Asks whoever is to answer for it.
fn approve(args: &DestroyArgs, label: &str, active: u64) -> Result<(), CliError> {
    let approved = args.approve_destruction_of;
    if active != approved.unwrap_or(0) {
        return Err(RootKeyError::NotApproved { active, approved }.into());
    }
    if args.yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        note(format_args!("There is no way back. Type the root key's label, {label:?}, to destroy it:"));
    }
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    match read {
        Ok(_) if answer.trim() == label => Ok(()),
        _ => Err(RootKeyError::NotConfirmed.into()),
    }
}
