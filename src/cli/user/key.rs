//! `keystead user key`: API keys. One is shown once, and goes from the server into a file that only its owner reads.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use uuid::Uuid;

use super::{name_givers, path};
use crate::{
    cli::{
        CliError,
        adapter::parse_name,
        api::{Api, ApiError, take_secret},
        data_dir::must_be_new,
        output::{note, say},
        place::Where,
        view::{self, text},
    },
    config::write_secret_file,
};

/// API keys.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum KeyCommand {
    /// Make an API key, into a new file
    Create(CreateArgs),
    /// List the API keys of an identity, without their secrets
    List(ListArgs),
    /// Revoke an API key: it is worth nothing from then on
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    /// The identity's name or id
    user: String,
    /// A name for the key, 2 to 40 characters
    #[arg(long, value_parser = parse_name)]
    name: String,
    /// For how many days it is good; without it 365
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3660))]
    expires_in_days: Option<u32>,
    /// A new file (mode 600) for the key
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// The identity's name or id
    user: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RevokeArgs {
    /// The identity's name or id
    user: String,
    /// The key's id
    key: Uuid,
    #[command(flatten)]
    place: Where,
}

pub(super) fn run(command: &KeyCommand) -> Result<(), CliError> {
    match command {
        KeyCommand::Create(args) => {
            let api = args.place.api()?;
            must_be_new(&args.out)?;
            let identity = api.id("identity", super::PATH, "name", &args.user)?;
            make(&api, &identity, &args.name, args.expires_in_days, &args.out)
        }
        KeyCommand::List(args) => {
            let api = args.place.api()?;
            let mut items = api.list(&format!("{}/api-keys", path(&api, &args.user)?), None)?;
            if !args.json {
                name_givers(&api, &mut items)?;
            }
            let columns = [
                ("ID", "/id"),
                ("NAME", "/name"),
                ("USABLE", "/usable"),
                ("EXPIRES", "/expires_at"),
                ("LAST USED", "/used_at"),
                ("REVOKED", "/revoked_at"),
                ("GIVEN BY", "/given_by"),
            ];
            view::list(&items, args.json, &columns, "no API keys: make one with `keystead user key create`")
        }
        KeyCommand::Revoke(args) => {
            let api = args.place.api()?;
            api.delete(&format!("{}/api-keys/{}", path(&api, &args.user)?, args.key))?;
            say(format_args!("API key {} revoked", args.key));
            Ok(())
        }
    }
}

/// Makes an API key of the identity with this id, into `file`.
pub(super) fn make(api: &Api, identity: &str, name: &str, days: Option<u32>, file: &Path) -> Result<(), CliError> {
    let path = format!("{}/{identity}/api-keys", super::PATH);
    let mut made = api.create(&path, &json!({ "name": name, "expires_in_days": days }))?;
    let secret = take_secret(&mut made, "key").ok_or(ApiError::Incomplete { path, member: "key" })?;
    let written = write_secret_file(file, secret.as_bytes());
    if written.is_err() {
        note(format_args!("the API key {} was made and is lost: revoke it", text(&made, "/id")));
    }
    written.map_err(CliError::file(file))?;
    let end = text(&made, "/expires_at");
    say(format_args!("API key {name:?} ({}) is in {}, and good until {end}", text(&made, "/id"), file.display()));
    Ok(())
}
