//! `keystead root-key destroy`: destroys a root key, and with it everything that was sealed under it (crypto-shredding).
//!
//! The order is safe against a crash at any point. First what is to be done is put on record and the key is suspended, for
//! ever; then every version is destroyed in the HSM; then, in one transaction, the wrapped KEKs are erased and the signed
//! certificate is kept; last the certificate's file is written. Run again, the command goes on where it was cut off.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, IsTerminal as _},
    path::PathBuf,
};

use clap::Args;
use hal::{DestroyConsent, HalError, Health, RootKeyInfo, RootKeys};
use jiff::Timestamp;
use kmip::enums::State;
use rustix::process::getuid;
use serde::{Deserialize, Serialize};

use super::{RootKeyError, about, find, open_hsm};
use crate::{
    cli::{
        CliError, ConfigArgs,
        admin::{Admin, shown_time},
        data_dir::write_new_file,
        output::{json, note, progress, say, table},
    },
    engine::Census,
    proof,
    statement::{AdapterObjects, CheckValue, Claim, Destruction, ShredCertificate, StateCount, Token},
    store::{AdapterRow, RootKeyRow, RootKeyState, VersionState},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct DestroyArgs {
    /// The root key's label
    label: String,
    /// Destroy it although that many objects under it are Active; the number must be right
    #[arg(long, value_name = "OBJECTS")]
    approve_destruction_of: Option<u64>,
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
    config: ConfigArgs,
}

/// What is lost with a root key.
#[derive(Debug, Serialize)]
struct Impact {
    root_key: String,
    label: String,
    adapters: Vec<AdapterImpact>,
    objects: u64,
    active_objects: u64,
    wrapped_keks: u64,
}

#[derive(Debug, Serialize)]
struct AdapterImpact {
    #[serde(serialize_with = "crate::cli::output::as_text")]
    id: uuid::Uuid,
    name: String,
    objects: u64,
    active_objects: u64,
    states: Vec<StateCount>,
    /// When the newest object was made.
    newest: Option<String>,
}

/// What a destruction has to do, on record from before anything is destroyed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Journal {
    /// The versions that the HSM held, and on which tokens.
    versions: Vec<Doomed>,
    is_hsm: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Doomed {
    version: u32,
    kcv: CheckValue,
    tokens: Vec<Token>,
}

pub(super) fn run(args: &DestroyArgs) -> Result<(), CliError> {
    let admin = Admin::open(args.config.load()?)?;
    let row = find(&admin, &args.label)?;
    if row.state == RootKeyState::Destroyed {
        let when = row.destroyed_at.map(shown_time).unwrap_or_default();
        note(format_args!("the root key {:?} was destroyed on {when}", row.label));
        return write_certificate(args, &admin, &row);
    }
    if row.is_unmade() {
        return Err(RootKeyError::NotMade { label: row.label }.into());
    }
    let impact = Impact::of(&admin, &row)?;
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
        admin.act("root_key.destroy", about(&row), || destroy(args, &admin, &*hal, &row))
    })?;
    note(
        "If shares of it were made, have their custodians destroy them: with a backup of the database they would open it.",
    );
    write_certificate(args, &admin, &find(&admin, &args.label)?)
}

fn destroy(args: &DestroyArgs, admin: &Admin, hal: &dyn RootKeys, row: &RootKeyRow) -> Result<(), CliError> {
    // Without its signer there is no certificate, so nothing begins without it.
    proof::signer(&admin.store, hal).map_err(RootKeyError::from)?;
    let before = held(hal, row)?;
    let journal = match &row.destruction {
        Some(text) => serde_json::from_str(text).map_err(|_| RootKeyError::BadJournal)?,
        None => begin(args, admin, row, &before, hal.capabilities().is_hsm)?,
    };
    // What the journal names and the HSM does not hold, an earlier run destroyed, if this is the same HSM.
    demand_tokens(row, hal, &journal)?;
    let versions: BTreeSet<_> = before.iter().map(RootKeyInfo::key).collect();
    for key in versions {
        match hal.destroy_root(key, DestroyConsent::approved_for(key)) {
            Ok(()) | Err(HalError::UnknownRootKey(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // What is certified is what the HSM says now: a version may have come since it was asked, or a token not have obeyed.
    let left = held(hal, row)?;
    if let Some(left) = left.first() {
        return Err(RootKeyError::StillInHsm { label: row.label.clone(), version: left.version }.into());
    }
    let certificate = certificate(admin, row, &journal)?;
    let signed = proof::sign(&admin.store, hal, Claim::Shred(certificate)).map_err(RootKeyError::from)?;
    Ok(admin.store.shred(row.id, Timestamp::now().as_second(), signed)?)
}

/// The versions of a root key that the HSM holds, on record or not. Every token must answer: one that is away may hold it.
fn held(hal: &dyn RootKeys, row: &RootKeyRow) -> Result<Vec<RootKeyInfo>, CliError> {
    let mut held = hal.list_roots()?;
    for token in hal.token_states() {
        if let Health::Down(error) = token.health {
            return Err(error.into());
        }
    }
    held.retain(|info| *info.id.as_uuid() == row.id);
    Ok(held)
}

/// Suspends the root key for ever and puts on record what is to be destroyed.
fn begin(
    args: &DestroyArgs,
    admin: &Admin,
    row: &RootKeyRow,
    held: &[RootKeyInfo],
    is_hsm: bool,
) -> Result<Journal, CliError> {
    let missing = row.versions.iter().find(|version| {
        version.state != VersionState::Retired && !held.iter().any(|info| info.version == version.version)
    });
    if let Some(missing) = missing {
        return Err(RootKeyError::NotInHsm { label: row.label.clone(), version: missing.version }.into());
    }
    let doomed = |info: &RootKeyInfo| Doomed {
        version: info.version,
        kcv: info.kcv.into(),
        tokens: info.tokens.iter().map(Token::from).collect(),
    };
    let journal = Journal { versions: held.iter().map(doomed).collect(), is_hsm };
    // From here on no object is made or opened under the root key. What became Active since the report was not approved.
    let was_active = fresh(admin, row)?.is_some_and(|row| row.state == RootKeyState::Active);
    let at = Timestamp::now().as_second();
    admin.store.set_root_key_state(row.id, RootKeyState::Suspended, at)?;
    match begin_suspended(args, admin, row, &journal) {
        Ok(()) => Ok(journal),
        Err(error) => {
            if was_active {
                resume(admin, row, at);
            }
            Err(error)
        }
    }
}

fn begin_suspended(args: &DestroyArgs, admin: &Admin, row: &RootKeyRow, journal: &Journal) -> Result<(), CliError> {
    let impact = Impact::of(admin, row)?;
    if impact.active_objects != args.approve_destruction_of.unwrap_or(0) {
        let approved = args.approve_destruction_of;
        return Err(RootKeyError::NotApproved { active: impact.active_objects, approved }.into());
    }
    let text = serde_json::to_string(journal).map_err(CliError::Json)?;
    Ok(admin.store.begin_destruction(row.id, Timestamp::now().as_second(), text)?)
}

/// Lets a root key that was suspended at `at` for a destruction work again, unless somebody else has changed it since.
fn resume(admin: &Admin, row: &RootKeyRow, at: i64) {
    let resumed = fresh(admin, row).and_then(|now| match now {
        Some(now) if now.changed_at == at && now.destruction.is_none() => {
            Ok(admin.store.set_root_key_state(row.id, RootKeyState::Active, Timestamp::now().as_second())?)
        }
        _ => Ok(()),
    });
    if let Err(error) = resumed {
        note(format_args!("the root key {:?} stays suspended until `keystead root-key resume`: {error}", row.label));
    }
}

/// The row as it is on record now.
fn fresh(admin: &Admin, row: &RootKeyRow) -> Result<Option<RootKeyRow>, CliError> {
    Ok(admin.store.root_keys()?.into_iter().find(|other| other.id == row.id))
}

/// Sees to it that every token of the journal is attached: one that is not may still hold the root key.
fn demand_tokens(row: &RootKeyRow, hal: &dyn RootKeys, journal: &Journal) -> Result<(), CliError> {
    let attached: Vec<_> = hal.token_states().into_iter().filter_map(|state| state.serial).collect();
    let tokens = journal.versions.iter().flat_map(|version| &version.tokens);
    match tokens.into_iter().find(|token| !attached.contains(&token.serial)) {
        Some(token) => Err(RootKeyError::OtherToken { label: row.label.clone(), serial: token.serial.clone() }.into()),
        None => Ok(()),
    }
}

fn certificate(admin: &Admin, row: &RootKeyRow, journal: &Journal) -> Result<ShredCertificate, CliError> {
    let impact = Impact::of(admin, row)?;
    let tokens = |version: u32| -> Vec<Token> {
        let doomed = journal.versions.iter().filter(|doomed| doomed.version == version);
        doomed.flat_map(|doomed| doomed.tokens.clone()).collect()
    };
    let mut versions: Vec<_> = row
        .versions
        .iter()
        .map(|version| Destruction {
            version: version.version,
            kcv: CheckValue::stored(version.kcv, &version.kcv_method),
            destroyed_on: tokens(version.version),
        })
        .collect();
    // Versions that the HSM held and nobody had recorded: an import or a rotation was cut off.
    for doomed in &journal.versions {
        if !versions.iter().any(|version| version.version == doomed.version) {
            let Doomed { version, kcv, .. } = doomed;
            let destroyed_on = tokens(*version);
            versions.push(Destruction { version: *version, kcv: kcv.clone(), destroyed_on });
        }
    }
    let adapters = impact.adapters.into_iter();
    Ok(ShredCertificate {
        root_key: row.id,
        label: row.label.clone(),
        is_hsm: journal.is_hsm,
        versions,
        adapters: adapters
            .map(|adapter| AdapterObjects { id: adapter.id, name: adapter.name, states: adapter.states })
            .collect(),
        objects: impact.objects,
        active_objects: impact.active_objects,
        keks_erased: impact.wrapped_keks,
        user_id: getuid().as_raw(),
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
fn approve(args: &DestroyArgs, impact: &Impact) -> Result<(), CliError> {
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

impl Impact {
    fn of(admin: &Admin, row: &RootKeyRow) -> Result<Self, CliError> {
        let now = Timestamp::now().as_second();
        let adapters = admin.store.trust()?.adapters;
        let under = adapters.iter().filter(|adapter| adapter.root_key == row.id);
        let adapters = under.map(|adapter| AdapterImpact::of(admin, adapter, now)).collect::<Result<Vec<_>, _>>()?;
        let keks = admin.store.kek_counts()?.into_iter().filter(|count| count.root == row.id);
        Ok(Self {
            root_key: row.id.to_string(),
            label: row.label.clone(),
            objects: adapters.iter().map(|adapter| adapter.objects).sum(),
            active_objects: adapters.iter().map(|adapter| adapter.active_objects).sum(),
            wrapped_keks: keks.map(|count| count.keks).sum(),
            adapters,
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

impl AdapterImpact {
    fn of(admin: &Admin, adapter: &AdapterRow, now: i64) -> Result<Self, CliError> {
        let census = Census::of(&admin.store, adapter.id, now)?;
        let state = |(state, objects): &(State, u64)| StateCount { state: state.name().to_owned(), objects: *objects };
        Ok(Self {
            id: adapter.id.0,
            name: adapter.name.clone(),
            objects: census.objects,
            active_objects: census.count(State::Active),
            states: census.states.iter().map(state).collect(),
            newest: census.newest.map(shown_time),
        })
    }
}
