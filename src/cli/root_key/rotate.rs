//! `keystead root-key rotate`: a new version, and everything brought under it.
//!
//! The new version is made in the HSM and becomes current at once. What is under older ones is wrapped again by the server, or, on
//! the machine itself while none runs there, by this command. Either may be interrupted at any moment.

use std::{
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use rustix::process::getuid;
use serde_json::Value;
use uuid::Uuid;

use super::{
    PATH, RootKeyError, find,
    import::{self, ShareArgs},
};
use crate::{
    audit::Actor,
    cli::{
        CliError,
        admin::Admin,
        api::{Api, Here},
        context::ContextError,
        data_dir::ServerLock,
        error::UsageError,
        output::{note, progress, say},
        place::Where,
        view::text,
    },
    root_keys,
    rotation::{Rotator, Stop},
    store::{RotationRow, StoreError},
};

/// How often progress is looked at, in the database of this machine and at a server.
const POLL_HERE: Duration = Duration::from_millis(200);
const POLL_THERE: Duration = Duration::from_secs(1);
/// How often it is printed.
const TELL: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(in crate::cli) struct RotateArgs {
    /// The root key's label or id
    label: String,
    /// A custodian's share file of the next version, from a ceremony; without any, the HSM makes that version itself
    #[arg(long = "share", value_name = "FILE", conflicts_with = "finish")]
    shares: Vec<PathBuf>,
    /// Wait until nothing is left under older versions, also where a running server does the work
    #[arg(long)]
    wait: bool,
    /// Begin nothing: finish a rotation that has begun
    #[arg(long)]
    finish: bool,
    #[command(flatten)]
    config: Where,
}

pub(super) fn run(args: &RotateArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let known = api.find("root key", PATH, "label", &args.label)?;
    let (label, path) = (text(&known, "/label"), format!("{PATH}/{}", text(&known, "/id")));
    let root = if args.finish {
        known
    } else if args.shares.is_empty() {
        progress(format_args!("making the next version of root key {label:?}"), || api.act(&format!("{path}/rotate")))?
    } else {
        take_in(api.here().ok_or(ContextError::OnlyHere)?, &label, &args.shares)?;
        api.get(&path)?
    };
    if args.finish && !is_under_way(&root) {
        let version = root.get("current_version").and_then(Value::as_u64).and_then(|version| version.try_into().ok());
        return Err(RootKeyError::NotRotating { label, version: version.unwrap_or_default() }.into());
    }
    let (version, total) = (text(&root, "/current_version"), text(&root, "/rotation/total"));
    say(format_args!("root key {label:?}: version {version} is current; {total} objects are under older ones"));
    let by_server = api.here().map_or(Ok(true), |here| server_runs(&here.admin))?;
    if by_server && !args.wait {
        note("The running server brings them under it; `keystead root-key describe` shows how far it is.");
        return Ok(());
    }
    finish(&api, &path)?;
    report(&label, &api.get(&path)?);
    Ok(())
}

/// Makes the next version of the key that these shares give.
fn take_in(here: &Here, label: &str, shares: &[PathBuf]) -> Result<(), CliError> {
    let row = find(&here.admin, label)?;
    let next = root_keys::key(row.id, row.current_version).next();
    let next = next.ok_or(RootKeyError::NotRotating { label: row.label, version: row.current_version })?;
    let recovered = ShareArgs::of(shares.to_vec()).combine()?;
    if recovered.terms.key != next {
        return Err(UsageError::OtherShares { given: recovered.terms.key, wanted: next }.into());
    }
    import::import(&here.admin, &*here.hsm()?, &recovered).map(drop)
}

fn is_under_way(root: &Value) -> bool {
    root.pointer("/rotation/finished_at").is_some_and(Value::is_null)
}

/// Whether a server works on this data directory at this moment.
fn server_runs(admin: &Admin) -> Result<bool, CliError> {
    match ServerLock::take(&admin.config.store.path) {
        Ok(_) => Ok(false),
        Err(CliError::Served { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Waits for the server, or does the work while none runs. A server that starts meanwhile does no harm: both do it.
fn finish(api: &Api, path: &str) -> Result<(), CliError> {
    let mut told = Instant::now();
    let Some(here) = api.here() else {
        loop {
            let root = api.get(path)?;
            if !is_under_way(&root) {
                return Ok(());
            }
            tell(&text(&root, "/rotation/done"), &text(&root, "/rotation/total"), &mut told);
            thread::sleep(POLL_THERE);
        }
    };
    let id: Uuid = path.rsplit('/').next().and_then(|id| id.parse().ok()).unwrap_or_default();
    while let Some(now) = unfinished(here, id)? {
        if server_runs(&here.admin)? {
            tell(&now.done, &now.total, &mut told);
            thread::sleep(POLL_HERE);
        } else {
            work(here, &now, &mut told)?;
        }
    }
    Ok(())
}

fn unfinished(here: &Here, root: Uuid) -> Result<Option<RotationRow>, CliError> {
    let open = |rotation: &RotationRow| rotation.root == root && rotation.finished_at.is_none();
    Ok(here.admin.store.rotations()?.into_iter().find(open))
}

/// Does what a server would do.
fn work(here: &Here, rotation: &RotationRow, told: &mut Instant) -> Result<(), CliError> {
    let rotator = Rotator {
        store: Arc::clone(&here.admin.store),
        hal: here.hsm()?,
        audit: here.admin.audit(),
        actor: Actor::LocalUser { uid: getuid().as_raw() },
        per_second: here.admin.config.hsm.rotation_per_second,
    };
    let stop = Stop::default();
    thread::scope(|scope| {
        let job = scope.spawn(|| rotator.run(rotation, &stop));
        while !job.is_finished() {
            if let Some(now) = unfinished(here, rotation.root)? {
                tell(&now.done, &now.total, told);
            }
            thread::sleep(POLL_HERE);
        }
        match job.join() {
            Ok(ended) => Ok(ended.map(drop)?),
            // The panic is in the log; what was done is kept.
            Err(_) => Err(CliError::Store(StoreError::Overloaded)),
        }
    })
}

fn tell(done: &impl std::fmt::Display, total: &impl std::fmt::Display, told: &mut Instant) {
    if told.elapsed() >= TELL {
        *told = Instant::now();
        note(format_args!("{done} of {total} ..."));
    }
}

fn report(label: &str, root: &Value) {
    let (version, done) = (text(root, "/rotation/to_version"), text(root, "/rotation/done"));
    say(format_args!(
        "root key {label:?}: {done} objects were brought under version {version}; nothing is left under older ones"
    ));
    match text(root, "/rotation/damaged").as_str() {
        "0" => {}
        damaged => note(format_args!(
            "{damaged} objects are damaged and stay under older versions; the log names them. Restore them from a backup, or \
             destroy them."
        )),
    }
    note(format_args!("`keystead root-key describe {label:?} --proof FILE` writes the signed proof."));
}
