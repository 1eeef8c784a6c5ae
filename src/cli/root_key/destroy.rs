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
use jiff::Timestamp;
use serde::Serialize;

use super::{RootKeyError, about, find, open_hsm, remote};
use crate::{
    cli::{
        CliError,
        adapter::parse_description,
        admin::{Admin, shown_time},
        data_dir::write_new_file,
        output::{json, note, progress, say, table},
        place::Where,
    },
    root_keys::{self, Active, AdapterImpact, Agreed, Failure, Impact},
    statement::StateCount,
    store::{RootKeyRow, RootKeyState},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct DestroyArgs {
    /// The root key's label
    label: String,
    /// Destroy it although that many objects under it are Active; the number must be right
    #[arg(long, value_name = "OBJECTS")]
    approve_destruction_of: Option<u64>,
    /// Ask a server for it, and say why; another person must approve (with a server only)
    #[arg(long, value_parser = parse_description, conflicts_with_all = ["config", "yes", "approve_destruction_of", "dry_run", "out", "json"])]
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

/// What is lost with a root key.
#[derive(Debug, Serialize)]
struct Report {
    root_key: String,
    label: String,
    adapters: Vec<AdapterReport>,
    objects: u64,
    active_objects: u64,
    wrapped_keks: u64,
}

#[derive(Debug, Serialize)]
struct AdapterReport {
    #[serde(serialize_with = "crate::cli::output::as_text")]
    id: uuid::Uuid,
    name: String,
    objects: u64,
    active_objects: u64,
    states: Vec<StateCount>,
    /// When the newest object was made.
    newest: Option<String>,
}

pub(super) fn run(args: &DestroyArgs) -> Result<(), CliError> {
    if let Some(api) = args.config.there()? {
        // These are for whoever is at the machine itself; a server wants a second person.
        if args.yes || args.approve_destruction_of.is_some() || args.out.is_some() {
            return Err(remote::not_there());
        }
        return remote::destroy(&api, &args.label, args.reason.as_deref(), args.json);
    }
    let admin = Admin::open(args.config.load()?)?;
    let row = find(&admin, &args.label)?;
    if row.state == RootKeyState::Destroyed {
        let when = row.destroyed_at.map(shown_time).unwrap_or_default();
        note(format_args!("the root key {:?} was destroyed on {when}", row.label));
        return write_certificate(args, &admin, &row);
    }
    if row.is_unmade() {
        return Err(Failure::NotMade { label: row.label }.into());
    }
    let impact = Report::of(&admin, &row)?;
    if args.json {
        json(&impact)?
    } else {
        impact.print()
    }
    if args.dry_run {
        return Ok(());
    }
    if row.destruction.is_none() {
        approve(args, &impact)?;
    } else {
        note("the destruction of this root key has begun already: it goes on");
    }
    let hal = open_hsm(&admin)?;
    progress(format_args!("destroying root key {:?}", row.label), || {
        admin.act("root_key.destroy.break_glass", about(&row), || destroy(args, &admin, &*hal, &row))
    })?;
    note(
        "If shares of it were made, have their custodians destroy them: with a backup of the database they would open it.",
    );
    write_certificate(args, &admin, &find(&admin, &args.label)?)
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
fn approve(args: &DestroyArgs, impact: &Report) -> Result<(), CliError> {
    if impact.active_objects != args.approve_destruction_of.unwrap_or(0) {
        let approved = args.approve_destruction_of;
        return Err(RootKeyError::NotApproved { active: impact.active_objects, approved }.into());
    }
    if args.yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        note(format_args!("There is no way back. Type the root key's label, {:?}, to destroy it:", impact.label));
    }
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    match read {
        Ok(_) if answer.trim() == impact.label => Ok(()),
        _ => Err(RootKeyError::NotConfirmed.into()),
    }
}

impl Report {
    fn of(admin: &Admin, row: &RootKeyRow) -> Result<Self, CliError> {
        let Impact { adapters, objects, active_objects, wrapped_keks } =
            Impact::of(&admin.store, row, Timestamp::now().as_second())?;
        let adapter = |adapter: AdapterImpact| AdapterReport {
            id: adapter.id,
            name: adapter.name,
            objects: adapter.objects,
            active_objects: adapter.active_objects,
            states: adapter.states,
            newest: adapter.newest.map(shown_time),
        };
        Ok(Self {
            root_key: row.id.to_string(),
            label: row.label.clone(),
            adapters: adapters.into_iter().map(adapter).collect(),
            objects,
            active_objects,
            wrapped_keks,
        })
    }

    fn print(&self) {
        say(format_args!("root key {:?}, {}", self.label, self.root_key));
        let rows: Vec<_> = self
            .adapters
            .iter()
            .map(|adapter| {
                let states: Vec<_> =
                    adapter.states.iter().map(|count| format!("{} {}", count.objects, count.state)).collect();
                let newest = adapter.newest.clone().unwrap_or_else(|| "-".to_owned());
                [adapter.name.clone(), adapter.objects.to_string(), states.join(", "), newest]
            })
            .collect();
        table(["ADAPTER", "OBJECTS", "STATES", "LAST CREATED"], &rows, "no adapter is under this root key");
        say(format_args!(
            "With it go {} wrapped keys of {} objects, of which {} are Active.",
            self.wrapped_keks, self.objects, self.active_objects
        ));
    }
}
