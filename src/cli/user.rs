//! `keystead user`: those who administer (people and programs), their roles, and their API keys.

mod key;

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{
    CliError,
    adapter::{parse_description, parse_name},
    api::Api,
    data_dir::must_be_new,
    output::say,
    place::Where,
    view::{self, text},
};
use crate::admin::permission::Role;

const PATH: &str = "/v1/identities";

/// Those who administer.
#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Make an identity, with its roles
    Create(CreateArgs),
    /// List the identities
    List(ListArgs),
    /// Show one identity
    Show(ShowArgs),
    /// Change an identity: its name, roles or certificate, or whether it may do anything
    Update(UpdateArgs),
    /// Delete an identity; its API keys and sessions end at once
    Delete(NameArgs),
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Key(key::KeyCommand),
}

/// What an identity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A program, recognised by API keys
    Service,
    /// A person, recognised by a client certificate or API keys
    Operator,
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Its name, 2 to 40 characters
    #[arg(value_parser = parse_name)]
    name: String,
    /// What it is
    #[arg(long, value_enum, default_value = "operator")]
    kind: Kind,
    /// A role, as ROLE or, for one adapter only, ROLE@ADAPTER; several times for several
    #[arg(long = "role", value_name = "ROLE[@ADAPTER]")]
    roles: Vec<Granted>,
    /// What it is for, 2 to 240 characters
    #[arg(long, value_parser = parse_description)]
    description: Option<String>,
    /// The client certificate (PEM) by which it is recognised
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Also make its first API key, into this new file (mode 600)
    #[arg(long, value_name = "FILE")]
    api_key_out: Option<PathBuf>,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its name or id
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// Its name or id
    name: String,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
#[group(id = "change", required = true, multiple = true, args = ["rename", "description", "no_description", "roles", "no_roles", "cert", "no_cert", "disable", "enable"])]
pub(super) struct UpdateArgs {
    /// Its name or id
    name: String,
    /// Another name, 2 to 40 characters
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    rename: Option<String>,
    /// What it is for, 2 to 240 characters
    #[arg(long, value_parser = parse_description)]
    description: Option<String>,
    /// Without a description from now on
    #[arg(long, conflicts_with = "description")]
    no_description: bool,
    /// All of its roles from now on, each as ROLE or ROLE@ADAPTER
    #[arg(long = "role", value_name = "ROLE[@ADAPTER]")]
    roles: Vec<Granted>,
    /// Without any role from now on
    #[arg(long, conflicts_with = "roles")]
    no_roles: bool,
    /// The client certificate (PEM) by which it is recognised
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Not recognised by a certificate from now on
    #[arg(long, conflicts_with = "cert")]
    no_cert: bool,
    /// It may do nothing until it is enabled again
    #[arg(long)]
    disable: bool,
    /// It may do again what its roles allow
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    #[command(flatten)]
    place: Where,
}

/// A role as an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Granted {
    role: Role,
    adapter: Option<String>,
}

/// The text names no role.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not a role: viewer, operator, security-officer, auditor or administrator, or one of them with @ADAPTER")]
struct BadRole;

impl FromStr for Granted {
    type Err = BadRole;

    fn from_str(text: &str) -> Result<Self, BadRole> {
        let (role, adapter) = match text.split_once('@') {
            Some((_, "")) => return Err(BadRole),
            Some((role, adapter)) => (role, Some(adapter.to_owned())),
            None => (text, None),
        };
        Ok(Self { role: Role::named(role).ok_or(BadRole)?, adapter })
    }
}

pub(super) fn run(command: &UserCommand) -> Result<(), CliError> {
    match command {
        UserCommand::Create(args) => create(args),
        UserCommand::List(args) => {
            let items = args.place.api()?.list(PATH, None)?;
            let columns = [
                ("NAME", "/name"),
                ("KIND", "/kind"),
                ("ROLES", "/grants"),
                ("CERTIFICATE ENDS", "/certificate/not_after"),
                ("DISABLED", "/disabled"),
                ("ID", "/id"),
            ];
            view::list(&items, args.json, &columns, "no identities: make one with `keystead user create`")
        }
        UserCommand::Show(args) => {
            let api = args.place.api()?;
            let mut shown = api.get(&path(&api, &args.name)?)?;
            if !args.json {
                name_givers(&api, std::slice::from_mut(&mut shown))?;
            }
            view::one(&shown, args.json)
        }
        UserCommand::Update(args) => update(args),
        UserCommand::Delete(args) => {
            let api = args.place.api()?;
            api.delete(&path(&api, &args.name)?)?;
            say(format_args!("identity {:?} deleted; its API keys and sessions have ended", args.name));
            Ok(())
        }
        UserCommand::Key(command) => key::run(command),
    }
}

/// Puts names in the places of the identities through whose hands `items` came; of those that are gone, the identifiers stay.
fn name_givers(api: &Api, items: &mut [Value]) -> Result<(), CliError> {
    let givers = |item: &mut Value| item.get_mut("given_by").and_then(Value::as_array_mut).map(std::mem::take);
    let mut given: Vec<_> = items.iter_mut().map(givers).collect();
    if given.iter().flatten().any(|givers| !givers.is_empty()) {
        let known = api.list(PATH, None)?;
        for giver in given.iter_mut().flatten().flatten() {
            let found = known.iter().find(|identity| identity.get("id") == Some(giver));
            if let Some(name) = found.and_then(|identity| identity.get("name")) {
                *giver = name.clone();
            }
        }
    }
    for (item, givers) in items.iter_mut().zip(given) {
        if let (Some(place), Some(givers)) = (item.get_mut("given_by"), givers) {
            *place = Value::Array(givers);
        }
    }
    Ok(())
}

/// The path of the identity of this name or id.
fn path(api: &Api, name: &str) -> Result<String, CliError> {
    Ok(format!("{PATH}/{}", api.id("identity", PATH, "name", name)?))
}

fn create(args: &CreateArgs) -> Result<(), CliError> {
    let api = args.place.api()?;
    args.api_key_out.as_deref().map_or(Ok(()), must_be_new)?;
    let kind = match args.kind {
        Kind::Service => "service",
        Kind::Operator => "operator",
    };
    let mut body = json!({ "name": args.name, "kind": kind, "grants": grants(&api, &args.roles)? });
    set(&mut body, "description", args.description.as_deref());
    set(&mut body, "certificate_pem", certificate(args.cert.as_ref())?.as_deref());
    let made = api.create(PATH, &body)?;
    say(format_args!("identity {:?} made: {}", args.name, text(&made, "/id")));
    match &args.api_key_out {
        Some(file) => key::make(&api, &text(&made, "/id"), "first", None, file),
        None => Ok(()),
    }
}

fn update(args: &UpdateArgs) -> Result<(), CliError> {
    let api = args.place.api()?;
    let mut body = json!({});
    set(&mut body, "name", args.rename.as_deref());
    set(&mut body, "description", args.description.as_deref());
    set(&mut body, "certificate_pem", certificate(args.cert.as_ref())?.as_deref());
    for (cleared, member) in [(args.no_description, "description"), (args.no_cert, "certificate_pem")] {
        if cleared && let Value::Object(members) = &mut body {
            members.insert(member.to_owned(), Value::Null);
        }
    }
    if let Value::Object(members) = &mut body {
        if !args.roles.is_empty() || args.no_roles {
            members.insert("grants".to_owned(), grants(&api, &args.roles)?);
        }
        if args.disable || args.enable {
            members.insert("disabled".to_owned(), Value::Bool(args.disable));
        }
    }
    let changed = api.change(&path(&api, &args.name)?, &body)?;
    say(format_args!("identity {:?} changed: {}", text(&changed, "/name"), text(&changed, "/grants")));
    Ok(())
}

/// Sets a member where there is something to say.
fn set(body: &mut Value, member: &str, value: Option<&str>) {
    if let (Value::Object(members), Some(value)) = (body, value) {
        members.insert(member.to_owned(), value.into());
    }
}

fn certificate(file: Option<&PathBuf>) -> Result<Option<String>, CliError> {
    file.map(|file| std::fs::read_to_string(file).map_err(CliError::file(file))).transpose()
}

fn grants(api: &Api, roles: &[Granted]) -> Result<Value, CliError> {
    let grant = |granted: &Granted| {
        let adapter = match &granted.adapter {
            Some(adapter) => Some(api.id("adapter", "/v1/adapters", "name", adapter)?),
            None => None,
        };
        Ok::<_, CliError>(json!({ "role": granted.role.name(), "adapter": adapter }))
    };
    roles.iter().map(grant).collect::<Result<Vec<_>, _>>().map(Value::Array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_may_be_for_one_adapter() {
        let granted: Granted = "operator@my esx".parse().unwrap();
        assert_eq!(granted, Granted { role: Role::Operator, adapter: Some("my esx".to_owned()) });
        assert_eq!("auditor".parse::<Granted>().unwrap().adapter, None);
        for bad in ["", "root", "operator@", "@a", "Operator"] {
            assert!(bad.parse::<Granted>().is_err(), "{bad}");
        }
    }
}
