//! `keystead root-key list`: the root keys on record. Needs no HSM.
//!
//! With `--hsm`, on the machine itself, it also lists what the HSM holds and no record names. That is not asked each time, because
//! every login with a wrong PIN brings a token closer to locking it.

use clap::Args;
use hal::RootKeyInfo;
use serde_json::{Value, json};

use super::PATH;
use crate::{
    cli::{CliError, admin::Admin, api::Here, backend, context::ContextError, output::note, place::Where, view},
    root_keys,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Ask the HSM of this machine too, and list the root keys that it holds and that are not on record
    #[arg(long)]
    hsm: bool,
    #[command(flatten)]
    config: Where,
}

pub(super) fn run(args: &ListArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let mut listed = api.list(PATH, None)?;
    listed.iter_mut().for_each(tell_check_value);
    let known = listed.len();
    if args.hsm {
        listed.extend(not_on_record(api.here().ok_or(ContextError::OnlyHere)?)?);
    }
    let columns = [
        ("LABEL", "/label"),
        ("STATE", "/state"),
        ("VERSION", "/current_version"),
        ("KCV", "/kcv"),
        ("ROTATED", "/rotation/finished_at"),
        ("MADE", "/created_at"),
        ("ID", "/id"),
    ];
    view::list(&listed, args.json, &columns, "no root keys: make one with `keystead root-key create`")?;
    if listed.len() > known && !args.json {
        note(
            "Those not on record are in the HSM, and nothing in this database is sealed under them. A version of a root key on \
             record is left by a rotation that was cut short: run `keystead root-key rotate` again. Any other belongs to another \
             installation, or was made by an older build and never used: remove it with the HSM's own tool once you know which.",
        );
    }
    Ok(())
}

/// Puts the key check value of the current version beside the label, for people who compare them.
fn tell_check_value(root: &mut Value) {
    let current =
        view::items(root, "versions").iter().find(|version| version.get("version") == root.get("current_version"));
    let kcv = current.and_then(|version| version.get("kcv")).cloned().unwrap_or_default();
    if let Value::Object(members) = root {
        members.insert("kcv".to_owned(), kcv);
    }
}

/// What the HSM holds and no record names.
fn not_on_record(here: &Here) -> Result<Vec<Value>, CliError> {
    let rows = here.admin.store.root_keys()?;
    let is_known = |info: &RootKeyInfo| {
        let row = rows.iter().find(|row| row.id == *info.id.as_uuid());
        // One that is announced, or whose versions an older program did not record, is on record by its current version.
        row.is_some_and(|row| row.version(info.version).is_some() || row.current_version == info.version)
    };
    let shown = |info: RootKeyInfo| {
        json!({
            "id": info.id.to_string(),
            "label": info.label.as_str(),
            "state": "not on record",
            "current_version": info.version,
            "kcv": info.kcv.to_string(),
        })
    };
    Ok(here.hsm()?.list_roots()?.into_iter().filter(|info| !is_known(info)).map(shown).collect())
}

/// Fills in labels that are not on record, which an older version of the program did not write down.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_told_is_that_of_the_current_version() {
        let versions = json!([{"version": 1, "kcv": "aa"}, {"version": 2, "kcv": "bb"}]);
        let mut root = json!({"current_version": 2, "versions": versions});
        tell_check_value(&mut root);
        assert_eq!(root["kcv"], "bb");
        let mut unmade = json!({"current_version": 1, "versions": []});
        tell_check_value(&mut unmade);
        assert_eq!(unmade["kcv"], Value::Null);
    }
}
