//! `keystead authority`: authorities of other people, whose certificates rules may let in.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    CliError,
    adapter::parse_name,
    error::UsageError,
    output::say,
    place::Where,
    view::{self, text},
};

const PATH: &str = "/v1/authorities";
/// Shortest beginning of a fingerprint that names an authority.
const MIN_PREFIX: usize = 8;

/// Authorities of other people.
#[derive(Debug, Subcommand)]
pub(super) enum AuthorityCommand {
    /// Add an authority; by itself it lets nobody in, rules do
    Add(AddArgs),
    /// List the authorities
    List(ListArgs),
    /// Remove an authority that no rule names any more
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Its certificate (PEM)
    file: PathBuf,
    /// A name for people, 2 to 40 characters
    #[arg(long, value_parser = parse_name)]
    name: String,
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
pub(super) struct RemoveArgs {
    /// The SHA-256 fingerprint of its certificate, or the first 8 digits or more of it
    fingerprint: String,
    #[command(flatten)]
    place: Where,
}

pub(super) fn run(command: &AuthorityCommand) -> Result<(), CliError> {
    match command {
        AuthorityCommand::Add(args) => {
            let pem = std::fs::read_to_string(&args.file).map_err(CliError::file(&args.file))?;
            let made = args.place.api()?.create(PATH, &json!({ "name": args.name, "pem": pem }))?;
            let fingerprint = text(&made, "/fingerprint");
            say(format_args!("authority {:?} added; SHA-256 {fingerprint}", args.name));
            say(format_args!(
                "let its certificates in with: keystead cert rule add --adapter NAME --issuer {fingerprint} ..."
            ));
            Ok(())
        }
        AuthorityCommand::List(args) => {
            let columns = [
                ("NAME", "/name"),
                ("ENDS", "/not_after"),
                ("RULES", "/rules"),
                ("SUBJECT", "/subject"),
                ("SHA-256", "/fingerprint"),
            ];
            let items = args.place.api()?.list(PATH, None)?;
            view::list(&items, args.json, &columns, "no authorities: rules are for the server's own")
        }
        AuthorityCommand::Remove(args) => {
            let wanted = args.fingerprint.replace(':', "").to_ascii_lowercase();
            if wanted.len() < MIN_PREFIX {
                return Err(UsageError::ShortFingerprint { given: wanted.len(), least: MIN_PREFIX }.into());
            }
            let api = args.place.api()?;
            let mut found = api.list(PATH, None)?;
            found.retain(|item| text(item, "/fingerprint").starts_with(&wanted));
            let [one] = found.as_slice() else {
                let others = found.iter().map(|item| text(item, "/fingerprint")).collect();
                return Err(CliError::NoSuch { what: "authority", name: args.fingerprint.clone(), others });
            };
            api.delete(&format!("{PATH}/{}", text(one, "/fingerprint")))?;
            say(format_args!("authority {:?} removed", text(one, "/name")));
            Ok(())
        }
    }
}
