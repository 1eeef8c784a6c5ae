//! Root keys of a server, over its admin API. Ceremonies and imports happen on the machine with the HSM alone.

use std::{path::Path, thread, time::Duration};

use serde_json::{Value, json};

use super::PATH;
use crate::cli::{
    CliError,
    api::{Api, ApiError},
    approval,
    context::ContextError,
    data_dir::write_new_file,
    output::{note, say},
    view::{self, text},
};

/// How often the progress of a rotation is looked at.
const POLL: Duration = Duration::from_secs(1);

/// The path of the root key with this label or id.
fn path(api: &Api, label: &str) -> Result<String, CliError> {
    Ok(format!("{PATH}/{}", api.id("root key", PATH, "label", label)?))
}

pub(super) fn create(api: &Api, label: &str) -> Result<(), CliError> {
    let made = api.create(PATH, &json!({ "label": label }))?;
    let kcv = text(&made, "/versions/0/kcv");
    say(format_args!("root key {label:?} made inside the HSM: {}, key check value {kcv}", text(&made, "/id")));
    note(format_args!("make adapters under it with: keystead adapter create NAME --root-key {label:?}"));
    Ok(())
}

pub(super) fn list(api: &Api, as_json: bool) -> Result<(), CliError> {
    let columns = [
        ("LABEL", "/label"),
        ("STATE", "/state"),
        ("VERSION", "/current_version"),
        ("ROTATED", "/rotation/finished_at"),
        ("MADE", "/created_at"),
        ("ID", "/id"),
    ];
    view::list(&api.list(PATH, None)?, as_json, &columns, "no root keys: make one with `keystead root-key create`")
}

pub(super) fn describe(api: &Api, label: &str, as_json: bool, proof: Option<&Path>) -> Result<(), CliError> {
    let root = api.get(&path(api, label)?)?;
    if let Some(file) = proof {
        let found = root.pointer("/rotation/proof").and_then(Value::as_str);
        let label = label.to_owned();
        write_new_file(file, found.ok_or(super::RootKeyError::NoProof { label })?)?;
        note(format_args!("made  the signed proof of the last finished rotation: {}", file.display()));
    }
    view::one(&root, as_json)
}

/// Suspends or resumes.
pub(super) fn set(api: &Api, label: &str, verb: &str) -> Result<(), CliError> {
    let root = api.act(&format!("{}/{verb}", path(api, label)?), None)?;
    say(format_args!("root key {label:?} is now {}", text(&root, "/state")));
    Ok(())
}

/// Begins a rotation unless it is only to be waited for.
pub(super) fn rotate(api: &Api, label: &str, begin: bool, wait: bool) -> Result<(), CliError> {
    let path = path(api, label)?;
    let mut root = if begin { api.act(&format!("{path}/rotate"), None)? } else { api.get(&path)? };
    let (version, total) = (text(&root, "/current_version"), text(&root, "/rotation/total"));
    say(format_args!("root key {label:?}: version {version} is current; {total} objects were under older ones"));
    if !wait && begin {
        note("The server brings them under it; `keystead root-key describe` shows how far it is.");
        return Ok(());
    }
    while root.pointer("/rotation/finished_at").is_some_and(Value::is_null) {
        note(format_args!("{} of {}", text(&root, "/rotation/done"), text(&root, "/rotation/total")));
        thread::sleep(POLL);
        root = api.get(&path)?;
    }
    let (done, damaged) = (text(&root, "/rotation/done"), text(&root, "/rotation/damaged"));
    say(format_args!("nothing is left under older versions: {done} objects brought over, {damaged} damaged"));
    Ok(())
}

pub(super) fn retire(api: &Api, label: &str, version: u32, backups_may_be_lost: bool) -> Result<(), CliError> {
    let body = json!({ "version": version, "backups_may_be_lost": backups_may_be_lost });
    api.act(&format!("{}/retire", path(api, label)?), Some(&body))?;
    say(format_args!("version {version} of root key {label:?} is destroyed in the HSM"));
    Ok(())
}

pub(super) fn attest(api: &Api, label: &str, version: Option<u32>, out: Option<&Path>) -> Result<(), CliError> {
    let path = format!("{}/attest", path(api, label)?);
    let answer = api.act(&path, Some(&json!({ "version": version })))?;
    let statement = answer.get("statement").and_then(Value::as_str);
    let statement = statement.ok_or(ApiError::Incomplete { path, member: "statement" })?;
    match out {
        Some(file) => {
            write_new_file(file, statement)?;
            note(format_args!("made  the signed attestation: {}", file.display()));
        }
        None => say(statement.trim_end()),
    }
    Ok(())
}

/// Says what would be lost, and asks for it where there is a reason to.
pub(super) fn destroy(api: &Api, label: &str, reason: Option<&str>, as_json: bool) -> Result<(), CliError> {
    let path = path(api, label)?;
    match reason {
        Some(reason) => {
            let id = path.rsplit('/').next().unwrap_or_default();
            approval::request(api, "root_key.destroy", id, reason)
        }
        None => {
            let impact = api.get(&format!("{path}/impact"))?;
            if as_json {
                return view::one(&impact, true);
            }
            approval::show_impact(&impact);
            note(
                "nothing is done: to ask for the destruction, which another person must approve, say why with --reason",
            );
            Ok(())
        }
    }
}

/// Refuses what only the machine with the HSM does.
pub(super) fn not_there() -> CliError {
    ContextError::OnlyHere.into()
}
