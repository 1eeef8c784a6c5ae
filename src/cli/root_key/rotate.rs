//! `keystead root-key rotate`: a new version, and everything brought under it.
//!
//! The new version is made in the HSM and becomes current at once. What is under older ones is wrapped again by the server
//! that runs on this data directory, or, where none runs, by this command. Either may be interrupted at any moment.

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use hal::RootKeys;
use rustix::process::getuid;

use super::{
    RootKeyError, about,
    attest::attest_new,
    find,
    import::{self, ShareArgs},
    list::identify,
    open_hsm, remote,
};
use crate::{
    audit::Actor,
    cli::{
        CliError,
        admin::Admin,
        data_dir::ServerLock,
        error::UsageError,
        output::{note, progress, say},
        place::Where,
    },
    root_keys::{self, must_be_usable},
    rotation::{Rotator, Stop},
    store::{RootKeyRow, RotationRow, StoreError},
};

/// How often progress is looked at.
const POLL: Duration = Duration::from_millis(200);
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
    if let Some(api) = args.config.there()? {
        return match args.shares.is_empty() {
            true => remote::rotate(&api, &args.label, !args.finish, args.wait),
            false => Err(remote::not_there()),
        };
    }
    let admin = Admin::open(args.config.load()?)?;
    identify(&admin);
    let row = find(&admin, &args.label)?;
    must_be_usable(&row)?;
    let hal = open_hsm(&admin)?;
    if !args.finish {
        begin(&admin, &*hal, &row, &args.shares)?;
    }
    let Some(rotation) = unfinished(&admin, &row)? else {
        let version = find(&admin, &args.label)?.current_version;
        return match last(&admin, &row)? {
            Some(last) if last.to_version > row.current_version => report(&row, &last),
            _ => Err(RootKeyError::NotRotating { label: row.label, version }.into()),
        };
    };
    let (version, total) = (rotation.to_version, rotation.total);
    say(format_args!("root key {:?}: version {version} is current; {total} objects are under older ones", row.label));
    if server_runs(&admin)? && !args.wait {
        note("The running server brings them under it; `keystead root-key describe` shows how far it is.");
        return Ok(());
    }
    let rotator = Rotator {
        store: admin.store.clone(),
        hal,
        audit: admin.audit(),
        actor: Actor::LocalUser { uid: getuid().as_raw() },
        per_second: admin.config.hsm.rotation_per_second,
    };
    report(&row, &finish(&admin, &row, &rotator, &rotation)?)
}

/// Makes or takes in the next version and makes it the current one.
fn begin(admin: &Admin, hal: &dyn RootKeys, row: &RootKeyRow, shares: &[PathBuf]) -> Result<(), CliError> {
    let next = root_keys::key(row.id, row.current_version).next();
    let next = next.ok_or(RootKeyError::NotRotating { label: row.label.clone(), version: row.current_version })?;
    if !shares.is_empty() {
        let recovered = ShareArgs::of(shares.to_vec()).combine()?;
        if recovered.terms.key != next {
            return Err(UsageError::OtherShares { given: recovered.terms.key, wanted: next }.into());
        }
        return import::import(admin, hal, &recovered).map(drop);
    }
    progress(format_args!("making version {} of root key {:?}", next.version, row.label), || {
        admin.act("root_key.rotate", about(row), || Ok(root_keys::rotate(&admin.store, hal, row)?))
    })?;
    attest_new(admin, hal, next);
    Ok(())
}

fn unfinished(admin: &Admin, row: &RootKeyRow) -> Result<Option<RotationRow>, CliError> {
    let open = |rotation: &RotationRow| rotation.root == row.id && rotation.finished_at.is_none();
    Ok(admin.store.rotations()?.into_iter().find(open))
}

fn last(admin: &Admin, row: &RootKeyRow) -> Result<Option<RotationRow>, CliError> {
    Ok(admin.store.rotations()?.into_iter().rfind(|rotation| rotation.root == row.id))
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
fn finish(admin: &Admin, row: &RootKeyRow, rotator: &Rotator, rotation: &RotationRow) -> Result<RotationRow, CliError> {
    let mut told = Instant::now();
    loop {
        let Some(now) = unfinished(admin, row)? else {
            return Ok(last(admin, row)?.unwrap_or_else(|| rotation.clone()));
        };
        if server_runs(admin)? {
            tell(&now, &mut told);
            thread::sleep(POLL);
            continue;
        }
        let stop = Stop::default();
        thread::scope(|scope| {
            let job = scope.spawn(|| rotator.run(&now, &stop));
            while !job.is_finished() {
                if let Some(now) = unfinished(admin, row)? {
                    tell(&now, &mut told);
                }
                thread::sleep(POLL);
            }
            match job.join() {
                Ok(ended) => Ok(ended.map(drop)?),
                // The panic is in the log; what was done is kept.
                Err(_) => Err(CliError::Store(StoreError::Overloaded)),
            }
        })?;
    }
}

fn tell(rotation: &RotationRow, told: &mut Instant) {
    if told.elapsed() >= TELL {
        *told = Instant::now();
        note(format_args!("{} of {} ...", rotation.done, rotation.total));
    }
}

fn report(row: &RootKeyRow, rotation: &RotationRow) -> Result<(), CliError> {
    let RotationRow { to_version, done, failed, .. } = rotation;
    say(format_args!("root key {:?}: {done} objects were brought under version {to_version}", row.label));
    if *failed > 0 {
        note(format_args!(
            "{failed} objects are damaged and stay under older versions; the log names them. Restore them from a backup, or \
             destroy them."
        ));
    }
    note(format_args!(
        "Nothing else is left under older versions. `keystead root-key describe {:?} --proof FILE` writes the signed proof.",
        row.label
    ));
    Ok(())
}
