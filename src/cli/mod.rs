//! The command line: one file for each command, arguments in, exit code out.
//!
//! Exit codes are 0 for success, 1 where the operation failed and 2 for wrong usage or configuration. Results go to standard
//! output, progress and errors to standard error. No secret is ever taken from an argument: passwords and PINs come from
//! files or standard input.

mod adapter;
mod admin;
mod admin_token;
mod api;
mod approval;
mod audit;
mod authority;
mod backend;
mod backup;
mod cert;
mod check;
mod check_config;
mod context;
mod data_dir;
mod dev;
mod error;
mod events;
mod gauges;
mod hsm;
mod init;
mod judged;
mod key;
mod output;
mod place;
mod root_key;
mod serve;
mod server;
mod setup;
mod shell;
mod signer;
mod thumbprint;
mod user;
mod view;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

pub use self::error::CliError;
use crate::{
    ca::KeyKind,
    config::{Config, LogFormat, LogLevel},
    process,
};

/// A key management server: KMIP over mutual TLS, keys sealed under root keys that never leave an HSM.
#[derive(Debug, Parser)]
#[command(name = "keystead", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a data directory: root key, certificate authority, server certificate, a first adapter, configuration
    Init(init::InitArgs),
    /// Serve with everything made by itself, to try Keystead out and to develop clients
    Dev(dev::DevArgs),
    /// Serve as the configuration file says
    Serve(ConfigArgs),
    /// Check a configuration file and the files that it names, and report every problem at once
    CheckConfig(ConfigArgs),
    /// Explain the TLS set-up of a client check by check, or play a client's sequence: what works, what fails, what to do
    Check(check::CheckArgs),
    /// Print a single-use token that makes an administrator of the admin API within 24 hours; earlier ones are revoked
    AdminToken(ConfigArgs),
    /// Add, list, choose and try the servers that you administer
    #[command(subcommand)]
    Context(context::ContextCommand),
    /// Ask for what needs two people, and decide on what others ask for
    #[command(subcommand)]
    Approval(approval::ApprovalCommand),
    /// Add, list and remove authorities of other people, for rules
    #[command(subcommand)]
    Authority(authority::AuthorityCommand),
    /// Make and list copies of a server's database
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Make, list, change and delete those who administer, and their API keys
    #[command(subcommand)]
    User(user::UserCommand),
    /// Show a running server, or let it read its certificate again
    #[command(subcommand)]
    Server(server::ServerCommand),
    /// Look at the HSM
    #[command(subcommand)]
    Hsm(hsm::HsmCommand),
    /// Make and list root keys
    #[command(subcommand)]
    RootKey(root_key::RootKeyCommand),
    /// Make and list adapters (tenants), and set their KMIP credential
    #[command(subcommand)]
    Adapter(adapter::AdapterCommand),
    /// Register, issue, sign, list and remove client certificates, and rules for issued ones
    #[command(subcommand)]
    Cert(cert::CertCommand),
    /// See where managed objects lie and how they are sealed; never their material
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Verify, search and export the audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Print what a shell needs to complete commands and options
    Completions(shell::CompletionsArgs),
    /// Write manual pages, one for each command
    Man(shell::ManArgs),
}

/// Which server a command is about.
#[derive(Clone, Debug, Args)]
struct ConfigArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "keystead.toml")]
    config: PathBuf,
}

impl ConfigArgs {
    /// The checked configuration, with the environment as the HSM's module wants it.
    fn load(&self) -> Result<Config, CliError> {
        let config = Config::load(&self.config)?;
        backend::prepare_environment(&config.hsm.backend)?;
        // What a command of an administrator runs into, not what a server reports all day.
        serve::start_logs(LogFormat::Text, LogLevel::Warn);
        Ok(config)
    }
}

/// A kind of private key, as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KeyArg {
    /// RSA with 3072 bits: every KMIP client can use it
    #[value(name = "rsa-3072")]
    Rsa3072,
    /// ECDSA on P-256: faster, but some older clients cannot use it
    #[value(name = "ecdsa-p256")]
    EcdsaP256,
}

impl From<KeyArg> for KeyKind {
    fn from(key: KeyArg) -> Self {
        match key {
            KeyArg::Rsa3072 => KeyKind::Rsa3072,
            KeyArg::EcdsaP256 => KeyKind::EcdsaP256,
        }
    }
}

/// Runs the command that `arguments` (the program's name first) ask for.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        // Help and version are such "errors" too: clap knows where each goes, and its exit code.
        Err(error) => {
            let _ = error.print();
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    if let Err(source) = process::harden() {
        let error = CliError::System { what: "to keep its memory private", source };
        output::complain(&error);
        return error.exit_code();
    }
    let result = match cli.command {
        Command::Init(args) => init::run(&args),
        Command::Dev(args) => dev::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::Check(args) => check::run(&args),
        Command::AdminToken(args) => admin_token::run(&args),
        Command::Context(command) => context::run(&command),
        Command::Approval(command) => approval::run(&command),
        Command::Authority(command) => authority::run(&command),
        Command::Backup(command) => backup::run(&command),
        Command::User(command) => user::run(&command),
        Command::Server(command) => server::run(&command),
        Command::Hsm(command) => hsm::run(&command),
        Command::RootKey(command) => root_key::run(&command),
        Command::Adapter(command) => adapter::run(&command),
        Command::Cert(command) => cert::run(&command),
        Command::Key(command) => key::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Completions(args) => {
            shell::completions(&args, Cli::command());
            Ok(())
        }
        Command::Man(args) => shell::man(&args, Cli::command()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            error.exit_code()
        }
    }
}

#[cfg(test)]
mod tests;
