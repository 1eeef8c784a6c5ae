//! Adapters of a server, over its admin API.

use clap::Args;
use serde_json::{Value, json};

use super::{CreateArgs, CredentialArgs, ListArgs, parse_description, parse_name, read_password};
use crate::cli::{
    CliError,
    api::Api,
    error::UsageError,
    output::say,
    place::Where,
    root_key,
    view::{self, text},
};

/// Where the admin API has adapters.
pub(in crate::cli) const PATH: &str = "/v1/adapters";

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// The adapter's name or id
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Where,
}

#[derive(Debug, Args)]
#[group(id = "change", required = true, multiple = true, args = ["rename", "description", "no_description", "hold_seconds"])]
pub(in crate::cli) struct UpdateArgs {
    /// The adapter's name or id
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
    /// For how many seconds the material of destroyed keys is held, out of reach, before it is erased; 0 for not at all
    #[arg(long, value_name = "SECONDS")]
    hold_seconds: Option<u32>,
    #[command(flatten)]
    config: Where,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DeleteArgs {
    /// The adapter's name or id
    name: String,
    #[command(flatten)]
    config: Where,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ActivityArgs {
    /// The adapter's name or id
    name: String,
    /// At most so many events, the latest first
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Where,
}

/// The path of the adapter of this name or id.
pub(in crate::cli) fn path(api: &Api, name: &str) -> Result<String, CliError> {
    Ok(format!("{PATH}/{}", api.id("adapter", PATH, "name", name)?))
}

pub(super) fn create(api: &Api, args: &CreateArgs) -> Result<(), CliError> {
    let root_key = choose_root_key(api, args.root_key.as_deref())?;
    let body = json!({
        "name": args.name,
        "description": args.description,
        "root_key": text(&root_key, "/id"),
        "hold_seconds": args.hold_seconds,
    });
    let made = api.create(PATH, &body)?;
    let label = text(&root_key, "/label");
    say(format_args!("adapter {:?} made: {}, root key {label:?}", args.name, text(&made, "/id")));
    Ok(())
}

/// The root key that was asked for, or the only active one that there is.
fn choose_root_key(api: &Api, label: Option<&str>) -> Result<Value, CliError> {
    if let Some(label) = label {
        return api.find("root key", root_key::PATH, "label", label);
    }
    let mut all = api.list(root_key::PATH, None)?;
    all.retain(|root| text(root, "/state") == "active");
    if all.len() > 1 {
        let labels = all.iter().map(|root| text(root, "/label")).collect();
        return Err(UsageError::RootKeyNotChosen { labels }.into());
    }
    all.pop().ok_or(CliError::NoRootKey)
}

pub(super) fn list(api: &Api, args: &ListArgs) -> Result<(), CliError> {
    let items = api.list(PATH, None)?;
    let columns = [
        ("NAME", "/name"),
        ("KEYS", "/objects/live"),
        ("CERTIFICATES", "/certificates"),
        ("USER", "/credential_user"),
        ("ROOT KEY", "/root_key/label"),
        ("ID", "/id"),
    ];
    view::list(&items, args.json, &columns, "no adapters: make one with `keystead adapter create`")
}

pub(super) fn show(args: &ShowArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    view::one(&api.get(&path(&api, &args.name)?)?, args.json)
}

pub(super) fn update(args: &UpdateArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let mut body = serde_json::Map::new();
    if let Some(name) = &args.rename {
        body.insert("name".to_owned(), name.clone().into());
    }
    if args.description.is_some() || args.no_description {
        body.insert("description".to_owned(), args.description.clone().into());
    }
    if let Some(seconds) = args.hold_seconds {
        body.insert("hold_seconds".to_owned(), seconds.into());
    }
    let changed = api.change(&path(&api, &args.name)?, &Value::Object(body))?;
    say(format_args!("adapter {:?} changed", text(&changed, "/name")));
    Ok(())
}

pub(super) fn delete(args: &DeleteArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    api.delete(&path(&api, &args.name)?)?;
    say(format_args!("adapter {:?} deleted; its clients' connections end within a second", args.name));
    Ok(())
}

pub(super) fn credential(api: &Api, args: &CredentialArgs) -> Result<(), CliError> {
    let path = path(api, &args.name)?;
    let Some(user) = &args.user else {
        api.delete_below(&path, "credential")?;
        say(format_args!("adapter {:?}: credential removed", args.name));
        return Ok(());
    };
    let password = read_password(args.password_file.as_deref())?;
    api.put(&path, "credential", &json!({ "user": user, "password": password.as_str() }))?;
    say(format_args!("adapter {:?}: clients that give a credential must now give user {user:?}", args.name));
    Ok(())
}

pub(super) fn activity(args: &ActivityArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let items = api.list(&format!("{}/activity", path(&api, &args.name)?), Some(limit))?;
    view::list(&items, args.json, &crate::cli::events::OF_ADAPTER, "no activity")
}
