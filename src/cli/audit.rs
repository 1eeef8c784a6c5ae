//! `keystead audit`: checks copied files of an audit log offline, and finds and exports records of this machine's.

mod at_server;

use std::{io::Write as _, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    CliError, ConfigArgs,
    adapter::ADAPTERS,
    admin::{Admin, open_store},
    api::escaped,
    backend,
    data_dir::write_new_file,
    error::UsageError,
    events,
    output::{json, note, say, visible},
    place::Where,
    signer, view,
};
use crate::{
    audit::{
        self, Query, Record,
        verify::{Evidence, Report, verify},
    },
    config::Config,
    statement::PublicKey,
    store::AdapterId,
};

/// Where the admin API has records.
const PATH: &str = "/v1/audit/events";

/// Verify, search and export the audit log.
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Check files of an audit log, offline, or have a server check its own: say which record was changed, is missing or was moved
    Verify(VerifyArgs),
    /// Find records, newest first
    Search(SearchArgs),
    /// Print records as they stand in the log, oldest first
    Export(ExportArgs),
    /// Print the public key that confirms checkpoints, for whoever verifies the log
    Signer(SignerArgs),
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Segments; without any, and without --dir, those of --config, or of the server of the chosen context, which checks them itself
    files: Vec<PathBuf>,
    /// A folder with all segments and their checkpoints.jsonl, as it was copied
    #[arg(long, conflicts_with = "files")]
    dir: Option<PathBuf>,
    /// A file of checkpoints that was kept elsewhere; may be given several times
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// The public key of the audit signer (PEM); may be given several times
    #[arg(long, value_name = "PEM")]
    signer: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

/// Which records.
#[derive(Debug, Args)]
struct Filters {
    /// Not before this time (RFC 3339, such as 2026-01-31T00:00:00Z)
    #[arg(long)]
    since: Option<Timestamp>,
    /// Before this time
    #[arg(long)]
    until: Option<Timestamp>,
    /// An adapter, by name or identifier
    #[arg(long)]
    adapter: Option<String>,
    /// A managed object
    #[arg(long, value_name = "ID")]
    object: Option<Uuid>,
    /// An identity, as who acted or as what it was about
    #[arg(long, value_name = "ID")]
    identity: Option<Uuid>,
    /// A request for approval
    #[arg(long, value_name = "ID")]
    approval: Option<Uuid>,
    /// Who acted: server, uid:N, identity:ID, or an identity's name
    #[arg(long)]
    actor: Option<String>,
    /// A KMIP operation or an action such as adapter.create; adapter.* for all of its kind
    #[arg(long)]
    action: Option<String>,
    /// success, failure, denied, begun, ended (all but begun), or a reason such as ItemNotFound
    #[arg(long)]
    outcome: Option<String>,
    /// The correlation id that a client or a log line shows, or its beginning
    #[arg(long)]
    correlation: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct SearchArgs {
    #[command(flatten)]
    filters: Filters,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Where,
}

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object on each line
    Jsonl,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    filters: Filters,
    /// The form
    #[arg(long, value_enum, default_value = "jsonl")]
    format: Format,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(super) struct SignerArgs {
    /// Write it into this new file, rather than to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(command: &AuditCommand) -> Result<(), CliError> {
    match command {
        AuditCommand::Verify(args) => run_verify(args),
        AuditCommand::Search(args) => search(args),
        AuditCommand::Export(args) => export(args),
        AuditCommand::Signer(args) => show_signer(args),
    }
}

fn run_verify(args: &VerifyArgs) -> Result<(), CliError> {
    let has_evidence =
        args.dir.is_some() || [&args.files, &args.checkpoint, &args.signer].iter().any(|all| !all.is_empty());
    if !has_evidence && let Some(api) = args.place.there()? {
        return at_server::verify(&api, args.json);
    }
    let mut evidence = match &args.dir {
        Some(dir) => Evidence::of_folder(dir).map_err(CliError::file(dir))?,
        None if !args.files.is_empty() => Evidence { segments: args.files.clone(), ..Evidence::default() },
        None => {
            let open = Config::load(&args.place.path())?.audit.path;
            Evidence::of_log(&open).map_err(CliError::file(&open))?
        }
    };
    for path in &args.checkpoint {
        // A file that is given by name must be there.
        std::fs::metadata(path).map_err(CliError::file(path))?;
        evidence.checkpoints.push(path.clone());
    }
    for path in &args.signer {
        let pem = std::fs::read(path).map_err(CliError::file(path))?;
        let key = PublicKey::from_pem(&pem).ok_or_else(|| CliError::NotASigner(path.clone()))?;
        evidence.signers.push(key);
    }
    let report = verify(&evidence)?;
    if args.json {
        json(&report)?;
    } else {
        print(&report, evidence.signers.is_empty());
    }
    if report.is_clean() { Ok(()) } else { Err(CliError::AuditBroken) }
}

fn print(report: &Report, nobody_is_known: bool) {
    let Report { segments, records, first, last, .. } = report;
    match first.zip(*last) {
        Some((first, last)) => {
            say(format_args!("records     {first} to {last} ({records}) in {segments} segment(s)"));
            say(format_args!("last        {}", visible(report.last_time.as_deref().unwrap_or_default())));
        }
        None => say("records     none"),
    }
    match &report.newest_checkpoint {
        Some(newest) => {
            let at = visible(&newest.signed_at);
            say(format_args!("checkpoint  record {}, signed at {at} by {}", newest.through, newest.signer));
            if !newest.trusted {
                let what = "the signer's key came with the files: give the one you know with --signer";
                say(format_args!("            {}", if nobody_is_known { what } else { "" }));
            }
        }
        None => say("checkpoint  none"),
    }
    let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    print_end(report.unvouched_from, &report.notes, &problems);
}

/// What is told of every log, wherever it was checked.
fn print_end(unvouched_from: Option<u64>, notes: &[String], problems: &[String]) {
    if let Some(from) = unvouched_from {
        say(format_args!(
            "from record {from} on no checkpoint vouches: whoever can write the files could have cut or rewritten what follows"
        ));
    }
    for note in notes {
        say(format_args!("note        {}", visible(note)));
    }
    for problem in problems {
        say(format_args!("PROBLEM     {}", visible(problem)));
    }
    if problems.is_empty() {
        say("the chain is whole");
    }
}

impl Filters {
    fn query(&self, config: &Config) -> Result<Query, CliError> {
        Ok(Query {
            since: self.since,
            until: self.until,
            scope: None,
            adapter: self.adapter.as_deref().map(|name| adapter(config, name)).transpose()?,
            object: self.object,
            identity: self.identity,
            approval: self.approval,
            actor: self.actor.clone(),
            action: self.action.clone(),
            outcome: self.outcome.clone(),
            correlation: self.correlation.clone(),
        })
    }
}

/// The adapter of this name; one that was deleted is found by its identifier only.
fn adapter(config: &Config, name: &str) -> Result<AdapterId, CliError> {
    if let Ok(id) = name.parse() {
        return Ok(AdapterId(id));
    }
    let store = open_store(config)?;
    let rows = store.trust()?.adapters;
    let found = rows.iter().find(|row| row.name == name).map(|row| row.id);
    found.ok_or_else(|| {
        let others = rows.into_iter().map(|row| row.name).collect();
        CliError::NoSuch { what: "adapter", name: name.to_owned(), others }
    })
}

/// Lists records, the newest first.
fn search(args: &SearchArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let filters = &args.filters;
    let adapter = filters.adapter.as_deref().map(|name| api.id("adapter", ADAPTERS, "name", name)).transpose()?;
    let given = [
        ("since", filters.since.map(|time| time.to_string())),
        ("until", filters.until.map(|time| time.to_string())),
        ("adapter", adapter),
        ("object", filters.object.map(|id| id.to_string())),
        ("identity", filters.identity.map(|id| id.to_string())),
        ("approval", filters.approval.map(|id| id.to_string())),
        ("actor", filters.actor.clone()),
        ("action", filters.action.clone()),
        ("outcome", filters.outcome.clone()),
        ("correlation", filters.correlation.clone()),
    ];
    let query: Vec<_> =
        given.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", escaped(&value?)))).collect();
    let path = if query.is_empty() { PATH.to_owned() } else { format!("{PATH}?{}", query.join("&")) };
    let items = api.list(&path, Some(usize::try_from(args.limit).unwrap_or(usize::MAX)))?;
    view::list(&items, args.json, &events::OF_LOG, "no such records")
}

fn export(args: &ExportArgs) -> Result<(), CliError> {
    let config = Config::load(&args.config.config)?;
    let query = args.filters.query(&config)?;
    let Format::Jsonl = args.format;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    // A reader that went away is not an error.
    let each = |line: &[u8], _: &Record| out.write_all(line).and_then(|()| out.write_all(b"\n")).is_ok();
    audit::export(&config.audit.path, &query, each).map_err(CliError::file(&config.audit.path))?;
    let _ = out.flush();
    Ok(())
}

fn show_signer(args: &SignerArgs) -> Result<(), CliError> {
    let admin = Admin::open(args.config.load()?)?;
    let label = admin.config.audit.signing_key.as_ref().ok_or(UsageError::NoAuditSigner)?;
    let (id, _) = signer::recorded(&admin.store, signer::Purpose::Audit, label)?;
    let info = backend::open(&admin.config.hsm)?.describe_signer(id)?;
    let other_kind = || UsageError::AuditSignerKind { label: label.to_string(), kind: info.kind };
    let key = PublicKey::of_signer(&info).map_err(|_| other_kind())?;
    match &args.out {
        Some(path) => write_new_file(path, &key.to_pem())?,
        None => say(key.to_pem().trim_end()),
    }
    note(format_args!("signer {:?}, {}, fingerprint {}", info.label.as_str(), key.kind(), key.fingerprint()));
    Ok(())
}
