//! `keystead root-key describe`: one root key, what is on record beside what the HSM says now.

use std::path::PathBuf;

use clap::Args;
use hal::{RootKeyAttributes, RootKeyInfo, RootKeys, TokenInfo};
use serde::Serialize;
use uuid::Uuid;

use super::{
    RootKeyError, find,
    list::{identify, kcv},
    protection, remote, state_name,
};
use crate::{
    cli::{
        CliError,
        admin::{Admin, shown_time},
        backend,
        data_dir::write_new_file,
        output::{as_text, json, note, say, table},
        place::Where,
    },
    root_keys,
    store::{RootKeyRow, RootKeyVersionRow, RotationRow, VersionState},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct DescribeArgs {
    /// The root key's label or id
    label: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Also write the signed proof of the last finished rotation to FILE
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    #[command(flatten)]
    config: Where,
}

#[derive(Serialize)]
struct Described {
    label: String,
    #[serde(serialize_with = "as_text")]
    id: Uuid,
    state: &'static str,
    current_version: u32,
    created_at: String,
    changed_at: String,
    destroyed_at: Option<String>,
    /// Whether the signed certificate of its destruction is on record.
    certificate: bool,
    adapters: Vec<String>,
    versions: Vec<Version>,
    rotations: Vec<Rotation>,
}

#[derive(Serialize)]
struct Version {
    version: u32,
    state: &'static str,
    /// Objects sealed under it.
    objects: u64,
    created_at: String,
    retired_at: Option<String>,
    /// The key check value on record.
    kcv: String,
    /// Whether a signed attestation is on record.
    attested: bool,
    /// What the HSM says of it now; `None` once it is retired.
    hsm: Option<InHsm>,
}

/// What the HSM says.
#[derive(Serialize)]
#[serde(untagged)]
enum InHsm {
    Found {
        kcv: String,
        same_key: bool,
        scheme: &'static str,
        attributes: RootKeyAttributes,
        tokens: Vec<TokenInfo>,
        says: String,
    },
    Error {
        error: String,
    },
}

#[derive(Serialize)]
struct Rotation {
    from_version: u32,
    to_version: u32,
    started_at: String,
    finished_at: Option<String>,
    total: u64,
    done: u64,
    damaged: u64,
}

pub(super) fn run(args: &DescribeArgs) -> Result<(), CliError> {
    if let Some(api) = args.config.there()? {
        return remote::describe(&api, &args.label, args.json, args.proof.as_deref());
    }
    let admin = Admin::open(args.config.load()?)?;
    identify(&admin);
    let row = find(&admin, &args.label)?;
    let rotations: Vec<_> = admin.store.rotations()?.into_iter().filter(|rotation| rotation.root == row.id).collect();
    if let Some(path) = &args.proof {
        let last = rotations.iter().rev().find_map(|rotation| rotation.proof.as_deref());
        write_new_file(path, last.ok_or_else(|| RootKeyError::NoProof { label: row.label.clone() })?)?;
        note(format_args!("made  the signed proof of the last finished rotation: {}", path.display()));
    }
    let described = describe(&admin, row, &rotations)?;
    if args.json {
        return json(&described);
    }
    show(&described);
    Ok(())
}

fn describe(admin: &Admin, row: RootKeyRow, rotations: &[RotationRow]) -> Result<Described, CliError> {
    let hal = backend::open(&admin.config.hsm)?;
    let counts = admin.store.kek_counts()?;
    let trust = admin.store.trust()?;
    let of_it = trust.adapters.into_iter().filter(|adapter| adapter.root_key == row.id);
    let version = |version: &RootKeyVersionRow| Version {
        version: version.version,
        state: match version.state {
            VersionState::Current => "current",
            VersionState::Superseded => "superseded",
            VersionState::Retired => "retired",
        },
        objects: counts
            .iter()
            .find(|count| (count.root, count.version) == (row.id, version.version))
            .map_or(0, |count| count.keks),
        created_at: shown_time(version.created_at),
        retired_at: version.retired_at.map(shown_time),
        kcv: kcv(version.kcv),
        attested: version.attestation.is_some(),
        hsm: (version.state != VersionState::Retired).then(|| ask(&*hal, row.id, version)),
    };
    Ok(Described {
        id: row.id,
        state: if row.is_unmade() { "unfinished" } else { state_name(row.state) },
        current_version: row.current_version,
        created_at: shown_time(row.created_at),
        changed_at: shown_time(row.changed_at),
        destroyed_at: row.destroyed_at.map(shown_time),
        certificate: row.certificate.is_some(),
        adapters: of_it.map(|adapter| adapter.name).collect(),
        versions: row.versions.iter().map(version).collect(),
        rotations: rotations.iter().map(rotation).collect(),
        label: row.label,
    })
}

/// What the HSM says of a version. An HSM that is away is a part of the answer, not the end of it.
fn ask(hal: &dyn RootKeys, root: Uuid, version: &RootKeyVersionRow) -> InHsm {
    match hal.describe_root(root_keys::key(root, version.version)) {
        Ok(info) => {
            let says = protection(&info);
            let RootKeyInfo { kcv, scheme, attributes, tokens, .. } = info;
            // Values of two methods say nothing about each other.
            let same_key = root_keys::recorded_kcv(version).is_none_or(|kept| kept.method != kcv.method || kept == kcv);
            InHsm::Found { kcv: kcv.to_string(), same_key, scheme: scheme.name(), attributes, tokens, says }
        }
        Err(error) => InHsm::Error { error: error.to_string() },
    }
}

fn rotation(row: &RotationRow) -> Rotation {
    Rotation {
        from_version: row.from_version,
        to_version: row.to_version,
        started_at: shown_time(row.started_at),
        finished_at: row.finished_at.map(shown_time),
        total: row.total,
        done: row.done,
        damaged: row.failed,
    }
}

fn show(root: &Described) {
    say(format_args!("root key    {:?}, {}", root.label, root.id));
    say(format_args!("state       {}, since {}", root.state, root.changed_at));
    if let Some(at) = &root.destroyed_at {
        let certificate = if root.certificate { "a signed certificate of that is on record" } else { "not certified" };
        say(format_args!("destroyed   {at}; {certificate}"));
    }
    say(format_args!("made        {}", root.created_at));
    let adapters = if root.adapters.is_empty() { "none".to_owned() } else { root.adapters.join(", ") };
    say(format_args!("adapters    {adapters}"));
    for rotation in root.rotations.iter().rev().take(1) {
        let Rotation { from_version, to_version, total, done, damaged, started_at, finished_at } = rotation;
        let state = finished_at.as_ref().map_or("at work".to_owned(), |at| format!("finished {at}"));
        say(format_args!("rotation    from version {from_version} to {to_version}, begun {started_at}, {state}"));
        say(format_args!("            {done} objects re-wrapped of {total} that there were, {damaged} damaged"));
    }
    let rows: Vec<_> = root.versions.iter().map(line).collect();
    table(
        ["VERSION", "STATE", "OBJECTS", "KCV", "KCV IN HSM", "ATTESTED", "TOKENS", "ATTRIBUTES"],
        &rows,
        "no versions: the root key was not made yet",
    );
    for version in &root.versions {
        match &version.hsm {
            Some(InHsm::Error { error }) => note(format_args!("version {}: {error}", version.version)),
            Some(InHsm::Found { same_key: false, .. }) => note(format_args!(
                "version {}: the HSM holds another key under this id than the one on record: attach the right token",
                version.version
            )),
            _ => {}
        }
    }
}

fn line(version: &Version) -> [String; 8] {
    let (kcv, tokens, says) = match &version.hsm {
        Some(InHsm::Found { kcv, tokens, says, .. }) => {
            let serials: Vec<_> = tokens.iter().map(|token| token.serial.as_str()).collect();
            let tokens = if serials.is_empty() { "(software)".to_owned() } else { serials.join(", ") };
            (kcv.clone(), tokens, says.clone())
        }
        Some(InHsm::Error { .. }) => ("?".to_owned(), "?".to_owned(), "?".to_owned()),
        None => ("-".to_owned(), "-".to_owned(), "-".to_owned()),
    };
    [
        version.version.to_string(),
        version.state.to_owned(),
        version.objects.to_string(),
        version.kcv.clone(),
        kcv,
        if version.attested { "yes" } else { "no" }.to_owned(),
        tokens,
        says,
    ]
}
