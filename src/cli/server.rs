//! `keystead server`: a running server as its admin API shows it.

use clap::{Args, Subcommand};

use super::{CliError, output::say, place::Where, view};

/// A running server.
#[derive(Debug, Subcommand)]
pub(super) enum ServerCommand {
    /// Show its version and health, where it listens, and the thumbprints of its certificate
    Show(ShowArgs),
    /// Let it read its certificate again and go on in new log files, as SIGHUP does
    Reload(ReloadArgs),
    /// Let it issue itself a new certificate from its own authority; its thumbprints change
    RenewCertificate(ReloadArgs),
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    place: Where,
}

pub(super) fn run(command: &ServerCommand) -> Result<(), CliError> {
    match command {
        ServerCommand::Show(args) => view::one(&args.place.server()?.get("/v1/server")?, args.json),
        ServerCommand::Reload(args) => act(args, "reload", "reloaded"),
        ServerCommand::RenewCertificate(args) => act(args, "certificate/renew", "renewed"),
    }
}

fn act(args: &ReloadArgs, verb: &str, done: &str) -> Result<(), CliError> {
    let server = args.place.server()?.act(&format!("/v1/server/{verb}"))?;
    let thumbprint = view::text(&server, "/certificate/thumbprint_sha256");
    say(format_args!("{done}; the server's certificate has the thumbprint {thumbprint}"));
    Ok(())
}
