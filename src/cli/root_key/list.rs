//! `keystead root-key list`: the root keys on record. Needs no HSM, but asks it about keys that an older version of the
//! program recorded without their labels.
//!
//! With `--hsm` it also lists what the HSM holds and no record names. That is not asked each time, because every login with a
//! wrong PIN brings a token closer to locking it.

use clap::Args;
use hal::RootKeyInfo;
use serde::Serialize;
use uuid::Uuid;

use super::{remote, state_name};
use crate::{
    cli::{
        CliError,
        admin::{Admin, shown_time},
        backend,
        output::{as_text, json, note, table},
        place::Where,
    },
    root_keys,
    store::{KekCount, RootKeyRow},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Ask the HSM too, and list the root keys that it holds and that are not on record
    #[arg(long)]
    hsm: bool,
    #[command(flatten)]
    config: Where,
}

#[derive(Serialize)]
struct Listed {
    label: String,
    #[serde(serialize_with = "as_text")]
    id: Uuid,
    state: &'static str,
    /// The version that new objects are sealed under.
    version: u32,
    /// That version's key check value; `None` until it was read from the HSM.
    kcv: Option<String>,
    /// Objects sealed under any version of it.
    objects: u64,
    adapters: Vec<String>,
    /// When it was recorded; `None` for one that is not on record.
    created_at: Option<String>,
    /// How far the rotation is that is not finished.
    rotation: Option<String>,
    /// False for a root key, or a version of one, that only the HSM knows.
    on_record: bool,
}

pub(super) fn run(args: &ListArgs) -> Result<(), CliError> {
    if let Some(api) = args.config.there()? {
        return remote::list(&api, args.json);
    }
    let admin = Admin::open(args.config.load()?)?;
    identify(&admin);
    let trust = admin.store.trust()?;
    let counts = admin.store.kek_counts()?;
    let rotations = admin.store.rotations()?;
    let list = |row: RootKeyRow| {
        let of_it = |adapter: &&crate::store::AdapterRow| adapter.root_key == row.id;
        let adapters = trust.adapters.iter().filter(of_it).map(|adapter| adapter.name.clone()).collect();
        let open = rotations.iter().find(|rotation| rotation.root == row.id && rotation.finished_at.is_none());
        Listed {
            id: row.id,
            state: if row.is_unmade() { "unfinished" } else { state_name(row.state) },
            version: row.current_version,
            kcv: row.version(row.current_version).map(|version| kcv(version.kcv)),
            objects: objects(&counts, row.id),
            adapters,
            created_at: Some(shown_time(row.created_at)),
            rotation: open.map(|rotation| format!("{} of {}", rotation.done, rotation.total)),
            label: row.label,
            on_record: true,
        }
    };
    let mut listing: Vec<_> = trust.root_keys.iter().cloned().map(list).collect();
    if args.hsm {
        let held = backend::open(&admin.config.hsm)?.list_roots()?;
        listing.extend(not_on_record(&trust.root_keys, held).map(Listed::held_only));
    }
    let strangers = listing.iter().any(|row| !row.on_record);
    if args.json {
        return json(&listing);
    }
    let rows: Vec<_> = listing
        .into_iter()
        .map(|row| {
            [
                if row.label.is_empty() { "(not read yet)".to_owned() } else { row.label },
                row.id.to_string(),
                row.state.to_owned(),
                row.version.to_string(),
                row.kcv.unwrap_or_else(|| "-".to_owned()),
                row.objects.to_string(),
                row.adapters.len().to_string(),
                row.rotation.unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    table(
        ["LABEL", "ID", "STATE", "VERSION", "KCV", "OBJECTS", "ADAPTERS", "ROTATED"],
        &rows,
        "no root keys: make one with `keystead root-key create`",
    );
    if strangers {
        note(
            "Those not on record are in the HSM, and nothing in this database is sealed under them. A version of a root key on \
             record is left by a rotation that was cut short: run `keystead root-key rotate` again. Any other belongs to another \
             installation, or was made by an older build and never used: remove it with the HSM's own tool once you know which.",
        );
    }
    Ok(())
}

/// What the HSM holds and no record names.
fn not_on_record(rows: &[RootKeyRow], held: Vec<RootKeyInfo>) -> impl Iterator<Item = RootKeyInfo> {
    held.into_iter().filter(|info| {
        let row = rows.iter().find(|row| row.id == *info.id.as_uuid());
        // One that is announced, or whose versions an older program did not record, is on record by its current version.
        !row.is_some_and(|row| row.version(info.version).is_some() || row.current_version == info.version)
    })
}

impl Listed {
    fn held_only(info: RootKeyInfo) -> Self {
        Self {
            label: info.label.to_string(),
            id: *info.id.as_uuid(),
            state: "not on record",
            version: info.version,
            kcv: Some(info.kcv.to_string()),
            objects: 0,
            adapters: Vec::new(),
            created_at: None,
            rotation: None,
            on_record: false,
        }
    }
}

/// Fills in labels that are not on record; a listing without them is better than none.
pub(in crate::cli) fn identify(admin: &Admin) {
    let unknown = admin.store.root_keys().is_ok_and(|rows| rows.iter().any(|row| row.label.is_empty()));
    if unknown {
        let identified = backend::open(&admin.config.hsm)
            .map_err(|error| error.to_string())
            .and_then(|hal| root_keys::identify(&admin.store, &*hal).map_err(|error| error.to_string()));
        if let Err(error) = identified {
            note(format_args!("labels could not be read from the HSM: {error}"));
        }
    }
}

/// Objects under any version of a root key.
fn objects(counts: &[KekCount], root: Uuid) -> u64 {
    counts.iter().filter(|count| count.root == root).map(|count| count.keks).sum()
}

/// A key check value in hexadecimal.
pub(super) fn kcv([a, b, c]: [u8; 3]) -> String {
    format!("{a:02x}{b:02x}{c:02x}")
}
