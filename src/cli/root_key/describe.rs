//! `keystead root-key describe`: one root key as it is on record, and on the machine itself beside it what the HSM says now.

use std::path::PathBuf;

use clap::Args;
use hal::RootKeyInfo;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{RootKeyError, path, protection};
use crate::{
    cli::{
        CliError,
        api::Here,
        data_dir::write_new_file,
        output::{json as print_json, note, say},
        place::Where,
        view::{self, items, text},
    },
    root_keys,
    store::{RootKeyVersionRow, VersionState},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct DescribeArgs {
    /// The root key's label or id
    label: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Also write the signed proof of the last rotation, once it is finished, to FILE
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    #[command(flatten)]
    config: Where,
}

pub(super) fn run(args: &DescribeArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let mut root = api.get(&path(&api, &args.label)?)?;
    if let Some(file) = &args.proof {
        let found = root.pointer("/rotation/proof").and_then(Value::as_str);
        write_new_file(file, found.ok_or_else(|| RootKeyError::NoProof { label: args.label.clone() })?)?;
        note(format_args!("made  the signed proof of the last finished rotation: {}", file.display()));
    }
    if let Some(here) = api.here() {
        ask(here, &mut root)?;
    }
    if args.json {
        return print_json(&root);
    }
    show(&root)
}

/// Adds to each version how many objects are under it, and what the HSM says of it now.
fn ask(here: &Here, root: &mut Value) -> Result<(), CliError> {
    let store = &here.admin.store;
    let id: Option<Uuid> = root.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
    let Some(row) = store.root_keys()?.into_iter().find(|row| Some(row.id) == id) else { return Ok(()) };
    let counts = store.kek_counts()?;
    let versions = root.get_mut("versions").and_then(Value::as_array_mut);
    for shown in versions.into_iter().flatten() {
        let number = shown.get("version").and_then(Value::as_u64);
        let Some(version) = row.versions.iter().find(|version| Some(version.version.into()) == number) else {
            continue;
        };
        let under = counts.iter().find(|count| (count.root, count.version) == (row.id, version.version));
        let hsm = if version.state == VersionState::Retired { Value::Null } else { says(here, row.id, version)? };
        if let Value::Object(members) = shown {
            members.insert("objects".to_owned(), under.map_or(0, |count| count.keks).into());
            members.insert("hsm".to_owned(), hsm);
        }
    }
    Ok(())
}

/// What the HSM says of a version. An HSM that is away is a part of the answer, not the end of it.
fn says(here: &Here, root: Uuid, version: &RootKeyVersionRow) -> Result<Value, CliError> {
    Ok(match here.hsm()?.describe_root(root_keys::key(root, version.version)) {
        Ok(info) => {
            let says = protection(&info);
            let RootKeyInfo { kcv, scheme, attributes, tokens, .. } = info;
            // Values of two methods say nothing about each other.
            let same_key = root_keys::recorded_kcv(version).is_none_or(|kept| kept.method != kcv.method || kept == kcv);
            json!({
                "kcv": kcv.to_string(),
                "same_key": same_key,
                "scheme": scheme.name(),
                "attributes": attributes,
                "tokens": tokens,
                "says": says,
            })
        }
        Err(error) => json!({ "error": error.to_string() }),
    })
}

fn show(root: &Value) -> Result<(), CliError> {
    say(format_args!("root key    {:?}, {}", text(root, "/label"), text(root, "/id")));
    say(format_args!("state       {}, since {}", text(root, "/state"), text(root, "/changed_at")));
    if root.get("destroyed_at").is_some_and(Value::is_string) {
        let is_certified = root.get("destruction_certificate").is_some_and(Value::is_string);
        let certificate = if is_certified { "a signed certificate of that is on record" } else { "not certified" };
        say(format_args!("destroyed   {}; {certificate}", text(root, "/destroyed_at")));
    }
    say(format_args!("made        {}", text(root, "/created_at")));
    let adapters: Vec<_> = items(root, "adapters").iter().map(|adapter| text(adapter, "/name")).collect();
    say(format_args!("adapters    {}", if adapters.is_empty() { "none".to_owned() } else { adapters.join(", ") }));
    if let Some(rotation) = root.get("rotation").filter(|rotation| rotation.is_object()) {
        let ended = rotation.get("finished_at").filter(|at| at.is_string());
        let state = ended.map_or("at work".to_owned(), |_| format!("finished {}", text(rotation, "/finished_at")));
        let (from, to, begun) =
            (text(rotation, "/from_version"), text(rotation, "/to_version"), text(rotation, "/started_at"));
        say(format_args!("rotation    from version {from} to {to}, begun {begun}, {state}"));
        let (done, total, damaged) = (text(rotation, "/done"), text(rotation, "/total"), text(rotation, "/damaged"));
        say(format_args!("            {done} objects re-wrapped of {total} that there were, {damaged} damaged"));
    }
    let versions: Vec<_> = items(root, "versions").iter().map(line).collect();
    let columns = [
        ("VERSION", "/version"),
        ("STATE", "/state"),
        ("OBJECTS", "/objects"),
        ("KCV", "/kcv"),
        ("KCV IN HSM", "/hsm/kcv"),
        ("ATTESTED", "/attested"),
        ("TOKENS", "/serials"),
        ("ATTRIBUTES", "/hsm/says"),
    ];
    view::list(&versions, false, &columns, "no versions: the root key was not made yet")?;
    for version in items(root, "versions") {
        let number = text(version, "/version");
        if version.pointer("/hsm/error").is_some() {
            note(format_args!("version {number}: {}", text(version, "/hsm/error")));
        }
        if version.pointer("/hsm/same_key") == Some(&Value::Bool(false)) {
            note(format_args!(
                "version {number}: the HSM holds another key under this id than the one on record: attach the right token"
            ));
        }
    }
    Ok(())
}

/// A version as a line of the table.
fn line(version: &Value) -> Value {
    let mut line = version.clone();
    let tokens = version.pointer("/hsm/tokens").and_then(Value::as_array);
    let serials = tokens.map(|tokens| match tokens.as_slice() {
        [] => "(software)".to_owned(),
        several => several.iter().map(|token| text(token, "/serial")).collect::<Vec<_>>().join(", "),
    });
    if let Value::Object(members) = &mut line {
        let attested = version.get("attestation").is_some_and(Value::is_string);
        members.insert("attested".to_owned(), attested.into());
        members.insert("serials".to_owned(), serials.into());
    }
    line
}
