//! `keystead context`: the servers that this user administers, and as whom.

mod file;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

pub(super) use self::file::ContextError;
pub(super) use self::file::{Context, Contexts};
use super::{
    CliError,
    adapter::parse_text,
    api::{Api, parse_server},
    output::{json, say, table},
    thumbprint::Thumbprint,
};
use crate::text::BadText;

/// Servers to administer.
#[derive(Debug, Subcommand)]
pub(super) enum ContextCommand {
    /// Add a server, or replace what is kept of it
    Add(AddArgs),
    /// List the servers; the current one is marked
    List(ListArgs),
    /// Make a server the one that commands speak to where none is named
    Use(NameArgs),
    /// Forget a server
    Remove(NameArgs),
    /// Connect to a server, and say who it takes you for
    Test(TestArgs),
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// A name of your choice, 1 to 40 characters
    #[arg(value_parser = parse_context_name)]
    name: String,
    /// Its admin API, as https://HOST:PORT
    #[arg(long, value_name = "URL", value_parser = checked_server)]
    server: String,
    /// The certificate (PEM) that the server's is, or is issued by
    #[arg(long, value_name = "FILE", required_unless_present = "thumbprint")]
    ca: Option<PathBuf>,
    /// The SHA-256 thumbprint of the server's certificate
    #[arg(long, value_name = "HEX", conflicts_with = "ca", value_parser = parse_sha256)]
    thumbprint: Option<Thumbprint>,
    /// A file (mode 600) with your API key
    #[arg(long, value_name = "FILE", required_unless_present = "cert")]
    api_key_file: Option<PathBuf>,
    /// Your client certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "api_key_file")]
    cert: Option<PathBuf>,
    /// Its private key (PEM, mode 600)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// Its name
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Its name; without it the current one
    name: Option<String>,
}

pub(super) fn run(command: &ContextCommand) -> Result<(), CliError> {
    let mut contexts = Contexts::load()?;
    match command {
        ContextCommand::Add(args) => {
            contexts.put(&args.name, new(args)?);
            contexts.save()?;
            let current = if contexts.current() == Some(&args.name) { ", and is the current one" } else { "" };
            say(format_args!("context {:?} is in {}{current}", args.name, contexts.path().display()));
            say(format_args!("try it with: keystead context test {}", args.name));
        }
        ContextCommand::List(args) => list(&contexts, args)?,
        ContextCommand::Use(args) => {
            contexts.choose(&args.name)?;
            contexts.save()?;
            say(format_args!("commands now speak to {:?}", args.name));
        }
        ContextCommand::Remove(args) => {
            contexts.remove(&args.name)?;
            contexts.save()?;
            say(format_args!("context {:?} removed; the files that it named are still there", args.name));
        }
        ContextCommand::Test(args) => {
            let name = args.name.as_deref().or(contexts.current()).ok_or(ContextError::NotChosen)?;
            Api::of(name, contexts.get(name)?)?.test()?;
        }
    }
    Ok(())
}

fn new(args: &AddArgs) -> Result<Context, CliError> {
    // Commands run in other directories later.
    let whole = |path: &Option<PathBuf>| path.as_deref().map(absolute).transpose();
    Ok(Context {
        server: args.server.clone(),
        ca: whole(&args.ca)?,
        thumbprint: args.thumbprint.clone(),
        api_key_file: whole(&args.api_key_file)?,
        certificate: whole(&args.cert)?,
        key: whole(&args.key)?,
    })
}

fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(CliError::file(path))
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    current: bool,
    #[serde(flatten)]
    context: &'a Context,
}

fn list(contexts: &Contexts, args: &ListArgs) -> Result<(), CliError> {
    let is_current = |name: &str| contexts.current() == Some(name);
    let listing: Vec<_> =
        contexts.all().map(|(name, context)| Listed { name, current: is_current(name), context }).collect();
    if args.json {
        return json(&listing);
    }
    let rows: Vec<_> = listing
        .iter()
        .map(|row| {
            let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
            let speaks = shown(&row.context.api_key_file).or_else(|| shown(&row.context.certificate));
            let trusts = shown(&row.context.ca).or_else(|| row.context.thumbprint.as_ref().map(ToString::to_string));
            [
                if row.current { "*" } else { "" }.to_owned(),
                row.name.to_owned(),
                row.context.server.clone(),
                trusts.unwrap_or_default(),
                speaks.unwrap_or_default(),
            ]
        })
        .collect();
    table(["", "NAME", "SERVER", "TRUSTS", "SPEAKS WITH"], &rows, "no contexts: `keystead context add` adds one");
    Ok(())
}

fn parse_context_name(text: &str) -> Result<String, BadText> {
    parse_text(text, (1, 40))
}

fn checked_server(text: &str) -> Result<String, super::api::BadServer> {
    parse_server(text).map(|_| text.to_owned())
}

/// A thumbprint that is good enough to trust a server by.
fn parse_sha256(text: &str) -> Result<Thumbprint, NotSha256> {
    text.parse().ok().filter(|thumbprint: &Thumbprint| !thumbprint.is_sha1()).ok_or(NotSha256)
}

/// Not a SHA-256 thumbprint.
#[derive(Debug, thiserror::Error)]
#[error("not a SHA-256 thumbprint: 64 hexadecimal digits, with or without colons")]
struct NotSha256;
