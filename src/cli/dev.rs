//! `keystead dev`: a server that needs nothing, to try Keystead out and to develop clients.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use argon2::{Argon2, password_hash::PasswordHasher as _};
use clap::{Args, ValueEnum};
use zeroize::Zeroizing;

use super::{
    CliError, KeyArg,
    admin::{Admin, Subject},
    data_dir::{ServerLock, exists},
    error::UsageError,
    output::note,
    serve,
    setup::{self, HsmChoice, HsmKeys, Plan, quoted, usual_names},
};
use crate::{
    admin::first,
    ca::SubjectAltName,
    config::{read_secret_file, write_secret_file},
    store::{AdapterCredential, StoreError},
};

/// The file with the API key of the administrator.
const ADMIN_TOKEN: &str = "admin.token";
/// The administrator's name.
const ADMINISTRATOR: &str = "administrator";
/// The adapter of `DIR/client`.
const FIRST_ADAPTER: &str = "demo";
/// The adapter of `DIR/client2`.
const SECOND_ADAPTER: &str = "other";

#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// Where everything is kept; what is there is used again
    #[arg(long)]
    dir: PathBuf,
    /// Where KMIP clients connect; port 0 takes any free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5696")]
    kmip_listen: SocketAddr,
    /// Where the admin API is, over HTTPS; a loopback address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443", value_parser = parse_loopback)]
    admin_listen: SocketAddr,
    /// Where health and metrics are; a loopback address, of which port 0 takes any free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = parse_loopback)]
    telemetry_listen: SocketAddr,
    /// What holds the root keys; without it what the directory was made with, or SoftHSM2
    #[arg(long, value_enum)]
    hsm: Option<DevHsm>,
    /// The kind of private keys of the authority, the server and the clients
    #[arg(long, value_enum, default_value = "rsa-3072")]
    tls_key: KeyArg,
    /// A file with lines user:password (mode 600); the last is the KMIP credential of the adapter `demo`
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
}

/// What holds the root keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DevHsm {
    /// A SoftHSM2 token made in the directory
    #[value(name = "softhsm")]
    SoftHsm,
    /// A sealed file: not an HSM
    Software,
}

/// The address can be reached from elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("not a loopback address such as 127.0.0.1:8443")]
struct NotLoopback;

pub(super) fn run(args: &DevArgs) -> Result<(), CliError> {
    let credential = args.credential_file.as_ref().map(read_credential).transpose()?;
    let mut names = usual_names();
    let listens_on = SubjectAltName::Ip(args.kmip_listen.ip());
    if !args.kmip_listen.ip().is_unspecified() && !names.contains(&listens_on) {
        names.push(listens_on);
    }
    let mut ready = setup::prepare(&Plan {
        dir: &args.dir,
        hsm: args.hsm.map(|hsm| match hsm {
            DevHsm::SoftHsm => HsmChoice::SoftHsm { module: None },
            DevHsm::Software => HsmChoice::Software,
        }),
        key: args.tls_key.into(),
        hsm_keys: HsmKeys::default(),
        names,
        root_key: None,
        clients: vec![(FIRST_ADAPTER, "client"), (SECOND_ADAPTER, "client2")],
        log_level: None,
        settings: vec![
            ("server.kmip_listen", format!("[{}]", quoted(&args.kmip_listen.to_string()))),
            ("admin.listen", quoted(&args.admin_listen.to_string())),
            ("telemetry.listen", quoted(&args.telemetry_listen.to_string())),
            ("telemetry.log_level", quoted("warn")),
        ],
    })?;
    let lock = ServerLock::take(&ready.admin.config.store.path)?;
    if let Some((user, password)) = credential {
        set_credential(&ready.admin, user, &password)?;
    }
    ready.admin.config.server.kmip_listen = vec![args.kmip_listen];
    ready.admin.config.admin.listen = args.admin_listen;
    ready.admin.config.telemetry.listen = args.telemetry_listen;
    keep_administrator(&ready.admin, &args.dir)?;
    serve::serve(ready.admin, ready.hal, &lock)
}

/// Sees to it that the API key in `dir` is an administrator's, so that the admin API can be used at once.
fn keep_administrator(admin: &Admin, dir: &Path) -> Result<(), CliError> {
    let path = dir.join(ADMIN_TOKEN);
    if exists(&path)? {
        let kept = read_secret_file(&path).map_err(CliError::secret(&path))?;
        if first::is_usable(&admin.store, std::str::from_utf8(&kept).unwrap_or_default())? {
            return Ok(());
        }
        std::fs::remove_file(&path).map_err(CliError::file(&path))?;
    }
    let key = admin.act("api_key.create", Subject::default(), || {
        Ok(first::administrator(&admin.store, ADMINISTRATOR, "Made by keystead dev")?)
    })?;
    write_secret_file(&path, format!("{}\n", *key.text).as_bytes()).map_err(CliError::file(&path))?;
    note(format_args!("made  API key of the administrator: {}", path.display()));
    Ok(())
}

/// Gives the first adapter a user name and password.
fn set_credential(admin: &Admin, username: String, password: &str) -> Result<(), CliError> {
    let adapter = admin.store.trust()?.adapters.into_iter().find(|row| row.name == FIRST_ADAPTER);
    let adapter = adapter.ok_or(StoreError::NotFound)?.id;
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|_| CliError::PasswordHash)?;
    let credential = AdapterCredential { username, password_hash: hash.to_string() };
    let about = Subject { adapter: Some(adapter), ..Subject::default() };
    admin.act("adapter.credential.set", about, || Ok(admin.store.set_credential(adapter, Some(credential))?))
}

fn parse_loopback(text: &str) -> Result<SocketAddr, NotLoopback> {
    text.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback()).ok_or(NotLoopback)
}

/// The last user:password in the file `path`.
pub(super) fn read_credential(path: &PathBuf) -> Result<(String, Zeroizing<String>), CliError> {
    let content = read_secret_file(path).map_err(CliError::secret(path))?;
    let text = std::str::from_utf8(&content).map_err(|_| UsageError::BadPassword)?;
    let mut found = None;
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let bad = || UsageError::BadCredentialLine { path: path.clone(), line: index + 1 };
        let (user, password) = line.split_once(':').ok_or_else(bad)?;
        if user.is_empty() || password.is_empty() {
            return Err(bad().into());
        }
        found = Some((user.to_owned(), Zeroizing::new(password.to_owned())));
    }
    Ok(found.ok_or_else(|| UsageError::BadCredentialLine { path: path.clone(), line: 1 })?)
}
