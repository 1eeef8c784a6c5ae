//! `keystead backup`: copies of a server's database, made by the server while it works.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    CliError,
    output::say,
    place::Where,
    view::{self, items, text},
};

const PATH: &str = "/v1/backups";

/// Copies of the database.
#[derive(Debug, Subcommand)]
pub(super) enum BackupCommand {
    /// Have the server make a copy of its database, in its own folder of backups
    Create(CreateArgs),
    /// List the copies in that folder
    List(ListArgs),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
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

pub(super) fn run(command: &BackupCommand) -> Result<(), CliError> {
    match command {
        BackupCommand::Create(args) => {
            let made = args.place.api()?.create(PATH, &json!({}))?;
            say(format_args!(
                "{}: {} bytes, SHA-256 {}",
                text(&made, "/file"),
                text(&made, "/bytes"),
                text(&made, "/sha256")
            ));
            for root in items(&made, "root_keys") {
                let (label, version, kcv) = (text(root, "/label"), text(root, "/version"), text(root, "/kcv"));
                say(format_args!("it opens with version {version} of the root key {label:?}, key check value {kcv}"));
            }
            Ok(())
        }
        BackupCommand::List(args) => {
            let columns = [
                ("FILE", "/file"),
                ("MADE", "/created_at"),
                ("BYTES", "/bytes"),
                ("SCHEMA", "/schema_version"),
                ("SHA-256", "/sha256"),
            ];
            view::list(
                &args.place.api()?.list(PATH, None)?,
                args.json,
                &columns,
                "no backups: `keystead backup create` makes one",
            )
        }
    }
}
