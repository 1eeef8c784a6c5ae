//! `keystead adapter`: tenants and their KMIP credentials.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    CliError,
    api::Api,
    error::UsageError,
    events,
    output::say,
    place::Where,
    root_key,
    view::{self, text},
};
use crate::{
    admin::model::{NewCredential, Password},
    config::read_secret_file,
    text::{self as texts, BadText},
};

/// Where the admin API has adapters.
pub(super) const ADAPTERS: &str = "/v1/adapters";
/// Longest password in bytes.
const MAX_PASSWORD: usize = 1024;

/// Make and list adapters (tenants), and set their KMIP credential.
#[derive(Debug, Subcommand)]
pub(super) enum AdapterCommand {
    /// Make an adapter
    Create(CreateArgs),
    /// List the adapters
    List(ListArgs),
    /// Show one adapter
    Show(ShowArgs),
    /// Change an adapter's name, description or hold period
    Update(UpdateArgs),
    /// Delete an adapter with its certificates and keys; where keys are Active, another person must have approved it
    Delete(DeleteArgs),
    /// Set or remove the KMIP user name and password that an adapter's clients may have to give
    Credential(CredentialArgs),
    /// Show what clients and administrators did lately with an adapter
    Activity(ActivityArgs),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The adapter's name, 2 to 40 characters
    #[arg(value_parser = parse_name)]
    name: String,
    /// What it is for, 2 to 240 characters
    #[arg(long, value_parser = parse_description)]
    description: Option<String>,
    /// The label of the root key that wraps its keys; may be left out where there is only one root key
    #[arg(long, value_name = "LABEL")]
    root_key: Option<String>,
    /// For how many seconds the material of destroyed keys is held, out of reach, before it is erased
    #[arg(long, value_name = "SECONDS")]
    hold_seconds: Option<u32>,
    #[command(flatten)]
    config: Where,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Where,
}

#[derive(Debug, Args)]
pub(super) struct CredentialArgs {
    /// The adapter's name
    name: String,
    /// The KMIP user name
    #[arg(long, required_unless_present = "remove", value_parser = parse_user)]
    user: Option<String>,
    /// A file that holds the password; without it the password is read from standard input
    #[arg(long, value_name = "FILE", conflicts_with = "remove")]
    password_file: Option<PathBuf>,
    /// Remove the credential: clients need none from then on
    #[arg(long, conflicts_with = "user")]
    remove: bool,
    #[command(flatten)]
    config: Where,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
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
pub(super) struct UpdateArgs {
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
pub(super) struct DeleteArgs {
    /// The adapter's name or id
    name: String,
    #[command(flatten)]
    config: Where,
}

#[derive(Debug, Args)]
pub(super) struct ActivityArgs {
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

pub(super) fn run(command: &AdapterCommand) -> Result<(), CliError> {
    match command {
        AdapterCommand::Create(args) => create(args),
        AdapterCommand::List(args) => list(args),
        AdapterCommand::Show(args) => show(args),
        AdapterCommand::Update(args) => update(args),
        AdapterCommand::Delete(args) => delete(args),
        AdapterCommand::Credential(args) => credential(args),
        AdapterCommand::Activity(args) => activity(args),
    }
}

/// The path of the adapter of this name or id.
pub(super) fn adapter_path(api: &Api, name: &str) -> Result<String, CliError> {
    Ok(format!("{ADAPTERS}/{}", api.id("adapter", ADAPTERS, "name", name)?))
}

fn create(args: &CreateArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let root_key = choose_root_key(&api, args.root_key.as_deref())?;
    let body = json!({
        "name": args.name,
        "description": args.description,
        "root_key": text(&root_key, "/id"),
        "hold_seconds": args.hold_seconds,
    });
    let made = api.create(ADAPTERS, &body)?;
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

fn list(args: &ListArgs) -> Result<(), CliError> {
    let items = args.config.api()?.list(ADAPTERS, None)?;
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

fn show(args: &ShowArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    view::one(&api.get(&adapter_path(&api, &args.name)?)?, args.json)
}

fn update(args: &UpdateArgs) -> Result<(), CliError> {
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
    let changed = api.change(&adapter_path(&api, &args.name)?, &Value::Object(body))?;
    say(format_args!("adapter {:?} changed", text(&changed, "/name")));
    Ok(())
}

fn delete(args: &DeleteArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    api.delete(&adapter_path(&api, &args.name)?)?;
    say(format_args!("adapter {:?} deleted; its clients' connections end within a second", args.name));
    Ok(())
}

fn credential(args: &CredentialArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let path = adapter_path(&api, &args.name)?;
    let Some(user) = &args.user else {
        api.delete_below(&path, "credential")?;
        say(format_args!("adapter {:?}: credential removed", args.name));
        return Ok(());
    };
    let password = read_password(args.password_file.as_deref())?;
    api.put(&path, "credential", &NewCredential { user: user.clone(), password: Password(password) })?;
    say(format_args!("adapter {:?}: clients that give a credential must now give user {user:?}", args.name));
    Ok(())
}

fn activity(args: &ActivityArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let items = api.list(&format!("{}/activity", adapter_path(&api, &args.name)?), Some(limit))?;
    view::list(&items, args.json, &events::OF_ADAPTER, "no activity")
}

fn read_password(file: Option<&Path>) -> Result<Zeroizing<String>, CliError> {
    let bytes = match file {
        Some(path) => read_secret_file(path).map_err(CliError::secret(path))?,
        None => {
            // One byte more than allowed, so that a longer password is noticed.
            let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_PASSWORD + 3));
            let limit = u64::try_from(MAX_PASSWORD + 2).unwrap_or(u64::MAX);
            std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(CliError::file("standard input"))?;
            while matches!(bytes.last(), Some(b'\n' | b'\r')) {
                bytes.pop();
            }
            bytes
        }
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| UsageError::BadPassword)?;
    if text.is_empty() || text.len() > MAX_PASSWORD {
        return Err(UsageError::BadPassword.into());
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// Checks an adapter's name.
pub(super) fn parse_name(text: &str) -> Result<String, BadText> {
    parse_text(text, texts::NAME)
}

/// Checks a description.
pub(super) fn parse_description(text: &str) -> Result<String, BadText> {
    parse_text(text, texts::DESCRIPTION)
}

fn parse_user(text: &str) -> Result<String, BadText> {
    parse_text(text, texts::USER)
}

/// Checks a text that people read; its length is (least, greatest).
pub(super) fn parse_text(text: &str, length: (usize, usize)) -> Result<String, BadText> {
    texts::check(text, length).map(|()| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_comes_from_a_closed_file_without_its_newline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        crate::config::write_secret_file(&path, b"a b c\n").unwrap();
        assert_eq!(read_password(Some(&path)).unwrap().as_str(), "a b c");
        let long = folder.path().join("long");
        crate::config::write_secret_file(&long, &[b'x'; 1025]).unwrap();
        assert!(matches!(read_password(Some(&long)), Err(CliError::Usage(UsageError::BadPassword))));
        let binary = folder.path().join("binary");
        crate::config::write_secret_file(&binary, b"\xff\xfe").unwrap();
        assert!(matches!(read_password(Some(&binary)), Err(CliError::Usage(UsageError::BadPassword))));
    }
}
