//! `keystead check`: goes through the set-up of TLS between a client and any KMIP server check by check ([`diagnosis`]), or plays
//! a named client's sequence against it, and says in words what works and what fails.
//!
//! Each thing done in a sequence is a [`Step`]; the steps are printed as they happen, or as JSON at the end. Key bytes are never printed: at
//! most the first four bytes of a key's SHA-256.

mod connect;
mod diagnosis;
mod dialogue;
pub(super) mod explain;
mod generic;
mod mongodb;
mod token;
mod vcenter;

use std::{fmt::Display, path::PathBuf, time::Instant};

use clap::{Args, ValueEnum};
use serde::Serialize;

pub(super) use self::connect::CheckError;
use self::{connect::Target, token::TokenArg};
use super::{
    CliError,
    data_dir::exists,
    error::UsageError,
    output::{json, say},
    thumbprint::Thumbprint,
};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Whose sequence to play; without it, the set-up of TLS is gone through check by check
    #[arg(long = "as", value_enum, value_name = "CLIENT", requires_all = ["addr", "ca"])]
    client: Option<Client>,
    /// The server, as HOST:PORT or IP:PORT; without a port, 5696
    #[arg(long, value_name = "ADDRESS", required_unless_present = "config")]
    addr: Option<String>,
    /// The name that the server's certificate must have; without it the host of --addr
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// The certificate (PEM) that the server's must be, or must be issued by
    #[arg(long, value_name = "FILE", required_unless_present_any = ["thumbprint", "config"])]
    ca: Option<PathBuf>,
    /// The SHA-256 or SHA-1 thumbprint that the server's certificate must have
    #[arg(long, value_name = "HEX", conflicts_with = "client")]
    thumbprint: Option<Thumbprint>,
    /// The configuration file of the server, on its own machine: also say why it lets the client's certificate in, or not
    #[arg(long, value_name = "FILE", conflicts_with = "client", requires = "cert")]
    config: Option<PathBuf>,
    /// The client's certificate (PEM); with --client-token the one on the token is taken without it
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "cert", conflicts_with = "client_token")]
    key: Option<PathBuf>,
    /// A PKCS#11 token with the private key: MODULE,token=LABEL,pin-file=FILE; see docs/tls-keys.md
    #[arg(long, value_name = "TOKEN")]
    client_token: Option<TokenArg>,
    /// Offers this version of TLS only
    #[arg(long, value_enum, value_name = "VERSION")]
    tls: Option<TlsVersion>,
    /// A file with one line user:password (mode 600): the KMIP credential to give
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
    /// Leave the key that was made on the server; otherwise it is revoked and destroyed at the end
    #[arg(long, requires = "client")]
    keep_key: bool,
    /// How long to wait for the server at each step, in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout_seconds: u64,
    /// Print the steps as JSON
    #[arg(long)]
    json: bool,
}

/// A client whose sequence can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Client {
    /// vCenter 8: create, fetch, activate and tag a key, on two connections, KMIP 1.1
    Vcenter,
    /// A MongoDB driver: register, activate and fetch a secret, KMIP 1.0
    Mongodb,
    /// What the server says of itself, and a key's life from creation to destruction
    Generic,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TlsVersion {
    /// TLS 1.2
    #[value(name = "1.2")]
    Tls12,
    /// TLS 1.3
    #[value(name = "1.3")]
    Tls13,
}

/// One thing that was done, and how it ended.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Step {
    /// What was done, in words.
    pub(super) what: String,
    /// What came back, or what failed, in words.
    pub(super) outcome: String,
    /// Whether it ended as it should.
    pub(super) ok: bool,
    /// How long it took.
    pub(super) millis: f64,
}

/// The steps of a check, printed as they happen unless they are wanted as JSON.
pub(super) struct Trace {
    steps: Vec<Step>,
    quiet: bool,
}

impl Trace {
    fn new(quiet: bool) -> Self {
        Self { steps: Vec::new(), quiet }
    }

    /// Does one step. `describe` says in words what came back, or why that is wrong.
    pub(super) fn step<T>(
        &mut self,
        what: impl Display,
        work: impl FnOnce() -> Result<T, CheckError>,
        describe: impl FnOnce(&T) -> String,
    ) -> Result<T, CheckError> {
        let start = Instant::now();
        let result = work();
        let millis = start.elapsed().as_secs_f64() * 1000.0;
        let (ok, outcome) = match &result {
            Ok(value) => (true, describe(value)),
            Err(error) => (false, error.to_string()),
        };
        let step = Step { what: what.to_string(), outcome, ok, millis };
        if !self.quiet {
            let mark = if ok { "ok  " } else { "FAIL" };
            say(format_args!("{mark} {millis:8.2} ms  {:<44} {}", step.what, step.outcome));
        }
        self.steps.push(step);
        result
    }
}

#[derive(Serialize)]
struct Report<'a> {
    client: &'static str,
    server: &'a str,
    ok: bool,
    /// The key that was left on the server.
    kept_key: Option<&'a str>,
    steps: &'a [Step],
}

/// The key that a check made.
struct Made {
    id: String,
    kept: bool,
}

pub(super) fn run(args: &CheckArgs) -> Result<(), CliError> {
    let files = [("--ca", &args.ca), ("--cert", &args.cert), ("--key", &args.key)];
    for (option, path) in files.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?))) {
        if !exists(path)? {
            return Err(UsageError::NoFile { option, path: path.clone() }.into());
        }
    }
    match args.client {
        Some(client) => play(args, client),
        None => diagnosis::run(args),
    }
}

fn play(args: &CheckArgs, client: Client) -> Result<(), CliError> {
    let target = Target::read(args)?;
    let address = args.addr.as_deref().unwrap_or_default();
    let mut trace = Trace::new(args.json);
    let name = match client {
        Client::Vcenter => "vcenter",
        Client::Mongodb => "mongodb",
        Client::Generic => "generic",
    };
    if !args.json {
        say(format_args!("playing {name} against {address}"));
    }
    let result = match client {
        Client::Vcenter => vcenter::play(&target, &mut trace, args.keep_key),
        Client::Mongodb => mongodb::play(&target, &mut trace, args.keep_key),
        Client::Generic => generic::play(&target, &mut trace),
    };
    let kept_key = result.as_ref().ok().filter(|made| made.kept).map(|made| made.id.as_str());
    if args.json {
        json(&Report { client: name, server: address, ok: result.is_ok(), kept_key, steps: &trace.steps })?;
    } else if result.is_ok() {
        let total: f64 = trace.steps.iter().map(|step| step.millis).sum();
        say(format_args!("all {} steps are right, {total:.1} ms", trace.steps.len()));
        if let Some(id) = kept_key {
            say(format_args!("key left on the server: {id}"));
        }
    }
    result.map(drop).map_err(CliError::Check)
}
