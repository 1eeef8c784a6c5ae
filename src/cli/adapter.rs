//! `keystead adapter`: tenants and their KMIP credentials.

mod remote;

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use argon2::{Argon2, password_hash::PasswordHasher as _};
use clap::{Args, Subcommand};
use hal::RootKeyId;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    CliError,
    admin::{Admin, Subject, shown_time},
    error::UsageError,
    output::{as_text, json, say, table},
    place::Where,
    root_key,
};
use crate::{
    config::read_secret_file,
    root_keys::{Failure, must_be_usable},
    store::{AdapterCredential, AdapterId, AdapterRow, RootKeyRow, RootKeyState, StoreError},
    text::{self, BadText},
};

pub(super) use self::remote::{PATH as ADAPTERS, path as adapter_path};

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
    Show(remote::ShowArgs),
    /// Change an adapter's name, description or hold period
    Update(remote::UpdateArgs),
    /// Delete an adapter with its certificates and keys; where keys are Active, another person must have approved it
    Delete(remote::DeleteArgs),
    /// Set or remove the KMIP user name and password that an adapter's clients may have to give
    Credential(CredentialArgs),
    /// Show what clients and administrators did lately with an adapter
    Activity(remote::ActivityArgs),
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
    /// For how many seconds the material of destroyed keys is held, out of reach, before it is erased (with a server only)
    #[arg(long, value_name = "SECONDS", conflicts_with = "config")]
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

pub(super) fn run(command: &AdapterCommand) -> Result<(), CliError> {
    match command {
        AdapterCommand::Create(args) => create(args),
        AdapterCommand::List(args) => list(args),
        AdapterCommand::Show(args) => remote::show(args),
        AdapterCommand::Update(args) => remote::update(args),
        AdapterCommand::Delete(args) => remote::delete(args),
        AdapterCommand::Credential(args) => credential(args),
        AdapterCommand::Activity(args) => remote::activity(args),
    }
}

fn create(args: &CreateArgs) -> Result<(), CliError> {
    if let Some(api) = args.config.there()? {
        return remote::create(&api, args);
    }
    let admin = Admin::open(args.config.load()?)?;
    let root_key = choose_root_key(&admin, args.root_key.as_deref())?;
    let row = insert(&admin, &args.name, args.description.clone(), RootKeyId::from_uuid(root_key.id))?;
    say(format_args!("adapter {:?} made: {}, root key {:?}", row.name, row.id.0, root_key.label));
    Ok(())
}

/// Adds an adapter under `root_key`.
pub(super) fn insert(
    admin: &Admin,
    name: &str,
    description: Option<String>,
    root_key: RootKeyId,
) -> Result<AdapterRow, CliError> {
    let now = Timestamp::now().as_second();
    let row = AdapterRow {
        id: AdapterId(Uuid::new_v4()),
        name: name.to_owned(),
        description,
        root_key: *root_key.as_uuid(),
        credential: None,
        created_at: now,
        revision: 1,
        changed_at: now,
        hold_seconds: 0,
    };
    let about = Subject { adapter: Some(row.id), root_key: Some(row.root_key), ..Subject::default() };
    admin.act("adapter.create", about, || match admin.store.insert_adapter(row.clone()) {
        Err(StoreError::Duplicate) => Err(CliError::Exists { what: "an adapter", name: row.name.clone() }),
        result => Ok(result?),
    })?;
    Ok(row)
}

/// The root key that was asked for, or the only one that there is; it must be active.
fn choose_root_key(admin: &Admin, label: Option<&str>) -> Result<RootKeyRow, CliError> {
    root_key::identify(admin);
    let chosen = match label {
        Some(label) => root_key::find(admin, label)?,
        None => {
            let mut active = admin.store.root_keys()?;
            active.retain(|row| row.state == RootKeyState::Active);
            if active.len() > 1 {
                return Err(
                    UsageError::RootKeyNotChosen { labels: active.into_iter().map(|row| row.label).collect() }.into()
                );
            }
            active.pop().ok_or(CliError::NoRootKey)?
        }
    };
    must_be_usable(&chosen)?;
    let label = chosen.label.clone();
    match chosen.state {
        RootKeyState::Active => Ok(chosen),
        RootKeyState::Suspended => Err(Failure::Suspended { label }.into()),
        RootKeyState::Destroyed => Err(Failure::Destroyed { label }.into()),
    }
}

#[derive(Serialize)]
struct Listed {
    #[serde(serialize_with = "as_text")]
    id: Uuid,
    name: String,
    description: Option<String>,
    #[serde(serialize_with = "as_text")]
    root_key: Uuid,
    credential_user: Option<String>,
    certificates: usize,
    live_objects: u64,
    destroyed_objects: u64,
    created_at: String,
}

fn list(args: &ListArgs) -> Result<(), CliError> {
    if let Some(api) = args.config.there()? {
        return remote::list(&api, args);
    }
    let admin = Admin::open(args.config.load()?)?;
    let trust = admin.store.trust()?;
    let mut listing = Vec::with_capacity(trust.adapters.len());
    for row in trust.adapters {
        let count = admin.store.count(row.id)?;
        listing.push(Listed {
            id: row.id.0,
            certificates: trust.certificates.iter().filter(|certificate| certificate.adapter == row.id).count(),
            name: row.name,
            description: row.description,
            root_key: row.root_key,
            credential_user: row.credential.map(|credential| credential.username),
            live_objects: count.live,
            destroyed_objects: count.destroyed,
            created_at: shown_time(row.created_at),
        });
    }
    listing.sort_by(|a, b| a.name.cmp(&b.name));
    if args.json {
        return json(&listing);
    }
    let rows: Vec<_> = listing
        .into_iter()
        .map(|row| {
            let user = row.credential_user.unwrap_or_else(|| "-".to_owned());
            [row.name, row.live_objects.to_string(), row.certificates.to_string(), user, row.root_key.to_string()]
        })
        .collect();
    table(
        ["NAME", "KEYS", "CERTIFICATES", "USER", "ROOT KEY"],
        &rows,
        "no adapters: make one with `keystead adapter create`",
    );
    Ok(())
}

fn credential(args: &CredentialArgs) -> Result<(), CliError> {
    if let Some(api) = args.config.there()? {
        return remote::credential(&api, args);
    }
    let admin = Admin::open(args.config.load()?)?;
    let adapter = admin.adapter(&args.name)?;
    match &args.user {
        Some(user) => {
            let password = read_password(args.password_file.as_deref())?;
            set_credential(&admin, &adapter, Some((user, &password)))?;
            say(format_args!("adapter {:?}: clients that give a credential must now give user {user:?}", adapter.name));
        }
        None => {
            set_credential(&admin, &adapter, None)?;
            say(format_args!("adapter {:?}: credential removed", adapter.name));
        }
    }
    Ok(())
}

/// Sets or removes an adapter's user name and password.
pub(super) fn set_credential(
    admin: &Admin,
    adapter: &AdapterRow,
    credential: Option<(&str, &str)>,
) -> Result<(), CliError> {
    let credential = match credential {
        Some((user, password)) => {
            let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|_| CliError::PasswordHash)?;
            Some(AdapterCredential { username: user.to_owned(), password_hash: hash.to_string() })
        }
        None => None,
    };
    let about = Subject { adapter: Some(adapter.id), ..Subject::default() };
    let action = if credential.is_some() { "adapter.credential.set" } else { "adapter.credential.remove" };
    admin.act(action, about, || Ok(admin.store.set_credential(adapter.id, credential)?))
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
    parse_text(text, text::NAME)
}

/// Checks a description.
pub(super) fn parse_description(text: &str) -> Result<String, BadText> {
    parse_text(text, text::DESCRIPTION)
}

fn parse_user(text: &str) -> Result<String, BadText> {
    parse_text(text, text::USER)
}

/// Checks a text that people read; its length is (least, greatest).
pub(super) fn parse_text(text: &str, length: (usize, usize)) -> Result<String, BadText> {
    text::check(text, length).map(|()| text.to_owned())
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
