//! The configuration file: read whole, checked whole, every mistake reported at once.
//!
//! It owns the names, defaults and limits of all settings; `config/keystead.toml` explains them to operators, and a test
//! proves that it states every one of them at its default. It never holds a secret: PINs, passphrases and private keys
//! stay in files of their own, which must be closed to other users.

mod audit;
mod hsm;
mod key_place;
mod reader;
mod secret_file;
mod template;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use hal::pkcs11::Provider;

use self::reader::Reader;
pub use self::{
    audit::AuditConfig,
    key_place::KeyPlace,
    reader::{Problem, ProblemKind},
    secret_file::{SecretFileError, check_secret_file, read_secret_file, write_secret_file},
    template::{TEMPLATE, render},
};
pub use crate::telemetry::LogFormat;

const DEFAULT_KMIP_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 5696);
const DEFAULT_ADMIN_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);
const DEFAULT_TELEMETRY_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

/// The checked configuration. Paths are absolute or relative to the working directory, ready to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where clients connect.
    pub server: ServerConfig,
    /// The server's certificate and the certificate authority.
    pub tls: TlsConfig,
    /// A limit on everything.
    pub limits: Limits,
    /// The database.
    pub store: StoreConfig,
    /// The token that holds the root keys.
    pub hsm: HsmConfig,
    /// The audit log.
    pub audit: AuditConfig,
    /// The admin API.
    pub admin: AdminConfig,
    /// Copies of the database.
    pub backup: BackupConfig,
    /// Logs, health and metrics.
    pub telemetry: TelemetryConfig,
}

/// `[server]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Addresses that accept KMIP over mutual TLS; at least one.
    pub kmip_listen: Vec<SocketAddr>,
}

/// `[tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The server's certificate chain, PEM, the server's own first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: KeyPlace,
    /// The own CA's certificate, PEM.
    pub ca: PathBuf,
    /// The own CA's private key, to issue certificates with: for commands and for the admin API. The server starts without it.
    pub ca_key: KeyPlace,
}

/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest request message in bytes.
    pub frame_bytes: u32,
    /// Open connections in all.
    pub connections: u32,
    /// Open connections of one adapter.
    pub connections_per_adapter: u32,
    /// From the accepted connection to the finished TLS handshake.
    pub handshake: Duration,
    /// How long an open connection may send nothing.
    pub idle: Duration,
    /// From the first byte of a request to its reply.
    pub request: Duration,
    /// How long a stopping server waits for the requests it is working on.
    pub drain: Duration,
    /// Batch items in one request.
    pub batch_items: u32,
    /// Nesting of structures in one request.
    pub tree_depth: u32,
    /// Unique Identifiers in one Locate reply.
    pub locate_page: u32,
    /// Changes that may wait for the store's writer.
    pub waiting_mutations: u32,
    /// Adapters.
    pub adapters: u32,
    /// Client certificates of one adapter.
    pub certificates_per_adapter: u32,
    /// Threads that work on requests.
    pub worker_threads: u32,
}

/// `[store]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// The SQLite database file.
    pub path: PathBuf,
}

/// `[hsm]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HsmConfig {
    /// What holds the root keys.
    pub backend: HsmBackend,
    /// Threads that each own one session with the token.
    pub workers: u32,
    /// Requests that may wait for one of them.
    pub queue: u32,
    /// How long a request waits for the token before it is told to come back later.
    pub deadline: Duration,
    /// How KEKs are wrapped from now on.
    pub scheme: SchemeChoice,
    /// The make of token to take each for; `None` for the one that it says it is.
    pub provider: Option<Provider>,
    /// How many KEKs a rotation re-wraps in a second; 0 where it goes as fast as the token.
    pub rotation_per_second: u32,
}

/// What holds the root keys. The settings of the backend that is not chosen are checked, then dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HsmBackend {
    /// A token behind a PKCS#11 module.
    Pkcs11(Pkcs11Config),
    /// A sealed file, for evaluation, tests and benchmarks. Not an HSM.
    Software(SoftwareConfig),
}

/// The settings of the PKCS#11 backend: those of its token, or of the first of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkcs11Config {
    /// The vendor's PKCS#11 module.
    pub module: PathBuf,
    /// The token is found by this label.
    pub token_label: String,
    /// And by its serial number, where one is stated.
    pub token_serial: Option<String>,
    /// Holds the user PIN.
    pub pin_file: PathBuf,
    /// SoftHSM2 only: its configuration file, handed over in `SOFTHSM2_CONF`.
    pub softhsm_conf: Option<PathBuf>,
    /// The other tokens that hold the same root keys.
    pub others: Vec<TokenConfig>,
}

/// One of several tokens, a table `[[hsm.tokens]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenConfig {
    /// The vendor's PKCS#11 module.
    pub module: PathBuf,
    /// The token is found by this label.
    pub token_label: String,
    /// And by its serial number, where one is stated.
    pub token_serial: Option<String>,
    /// Holds the user PIN.
    pub pin_file: PathBuf,
}

impl Pkcs11Config {
    /// Every token, in the order of the file.
    pub fn tokens(&self) -> impl Iterator<Item = TokenConfig> {
        let Self { module, token_label, token_serial, pin_file, .. } = self.clone();
        [TokenConfig { module, token_label, token_serial, pin_file }].into_iter().chain(self.others.iter().cloned())
    }
}

/// The settings of the software backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoftwareConfig {
    /// The sealed root keys.
    pub key_file: PathBuf,
    /// Holds the passphrase that seals them.
    pub passphrase_file: PathBuf,
}

/// Which wrap scheme new KEKs get. Blobs of every scheme open for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemeChoice {
    /// The best one that the token's self-test proves.
    Auto,
    /// AES-256-GCM by `C_Encrypt`.
    AesGcm,
    /// AES key wrap (RFC 3394) by `C_WrapKey`.
    AesKw,
    /// AES key wrap with padding (RFC 5649) by `C_WrapKey`.
    AesKwp,
}

/// `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where the admin API is served over HTTPS.
    pub listen: SocketAddr,
    /// Open connections in all.
    pub connections: u32,
    /// How long something that needs two people waits for the second, in seconds.
    pub approval_seconds: u32,
    /// How long the destruction of a root key can be cancelled after it was approved, in seconds.
    pub root_key_hold_seconds: u32,
    /// The same for the deletion of an adapter with Active keys.
    pub adapter_hold_seconds: u32,
    /// The same for the destruction of an Active key.
    pub object_hold_seconds: u32,
}

/// `[backup]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupConfig {
    /// The folder for copies of the database.
    pub path: PathBuf,
    /// How many are kept.
    pub keep: u32,
}

/// `[telemetry]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// Answers `/healthz`, `/readyz` and `/metrics`; always a loopback address.
    pub listen: SocketAddr,
    /// The form of log lines.
    pub log_format: LogFormat,
    /// The least important lines that are written.
    pub log_level: LogLevel,
}

/// The least important log lines that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// An operator must act.
    Error,
    /// Something is not as it should be.
    Warn,
    /// What the server does at large.
    Info,
    /// Each request.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level's name in the configuration file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source} (--config FILE chooses another)")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file, or a file that it names, is not as it must be. All problems are here.
    #[error("{path} has {} problem{}{}", problems.len(), if problems.len() == 1 { "" } else { "s" }, list(path, problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, in the order of the file.
        problems: Vec<Problem>,
    },
}

impl Config {
    /// Reads and checks the file at `path`. Files that it names are not looked at: see [`Config::file_problems`].
    ///
    /// # Errors
    /// The file cannot be read; or it has problems, all of which are reported.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, folder).map_err(|problems| ConfigError::Invalid { path: path.to_owned(), problems })
    }

    /// Like [`Config::load`], and also demands that every file the server will read is there and, where it holds a
    /// secret, is closed to other users.
    ///
    /// # Errors
    /// Those of [`Config::load`], with the problems of the named files added to them.
    pub fn load_checked(path: &Path) -> Result<Self, ConfigError> {
        let config = Self::load(path)?;
        let problems = config.file_problems();
        if problems.is_empty() { Ok(config) } else { Err(ConfigError::Invalid { path: path.to_owned(), problems }) }
    }

    /// Checks `text`; relative paths in it start at `folder`.
    ///
    /// # Errors
    /// All problems, in the order of the file.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::new(text, folder);
        let config = read(&mut reader);
        let problems = reader.finish();
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    /// What is wrong with the files that the server will read.
    #[must_use]
    pub fn file_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut present = |key, path: &Path| {
            if let Err(source) = std::fs::File::open(path) {
                problems.push(Problem::of_file(key, path, ProblemKind::FileUnusable(source.into())));
            }
        };
        present("tls.certificate", &self.tls.certificate);
        present("tls.ca", &self.tls.ca);
        self.audit.syslog.iter().for_each(|receiver| present("audit.syslog.ca_file", &receiver.ca_file));
        let secrets = match &self.hsm.backend {
            HsmBackend::Pkcs11(token) => {
                token.softhsm_conf.iter().for_each(|path| present("hsm.softhsm_conf", path));
                let (module, pin_file) = match token.others.as_slice() {
                    [] => ("hsm.module", "hsm.pin_file"),
                    _ => ("hsm.tokens.module", "hsm.tokens.pin_file"),
                };
                let (mut modules, mut pins): (Vec<_>, Vec<_>) =
                    token.tokens().map(|token| (token.module, (pin_file, token.pin_file))).unzip();
                // Tokens may share a module or a PIN file, and then one problem is enough.
                modules.dedup();
                pins.dedup();
                modules.iter().for_each(|path| present(module, path));
                pins
            }
            HsmBackend::Software(file) => {
                let SoftwareConfig { key_file, passphrase_file } = file.clone();
                vec![("hsm.key_file", key_file), ("hsm.passphrase_file", passphrase_file)]
            }
        };
        for (key, path) in self.tls.key.file().map(|path| ("tls.key", path.clone())).into_iter().chain(secrets) {
            if let Err(error) = check_secret_file(&path) {
                problems.push(Problem::of_file(key, &path, ProblemKind::FileUnusable(error)));
            }
        }
        problems
    }
}

/// Every setting, its default and what is allowed. A default stands in for a value that is missing or refused, so that
/// the rest of the file can still be checked.
fn read(r: &mut Reader<'_>) -> Config {
    let config = read_sections(r);
    let (admin, telemetry) = (config.admin.listen, config.telemetry.listen);
    if admin == telemetry && admin.port() != 0 {
        r.conflict(
            0,
            "telemetry.listen",
            &telemetry.to_string(),
            "admin.listen is the same address: give one of them another port",
        );
    }
    config
}

fn read_sections(r: &mut Reader<'_>) -> Config {
    Config {
        server: ServerConfig { kmip_listen: r.addresses("server.kmip_listen", DEFAULT_KMIP_LISTEN) },
        tls: TlsConfig {
            certificate: r.path("tls.certificate", "tls/server.pem"),
            key: r.key_place("tls.key", "tls/server.key"),
            ca: r.path("tls.ca", "tls/ca.pem"),
            ca_key: r.key_place("tls.ca_key", "tls/ca.key"),
        },
        limits: read_limits(r),
        store: StoreConfig { path: r.path("store.path", "keystead.db") },
        hsm: hsm::read(r),
        audit: audit::read(r),
        admin: read_admin(r),
        backup: BackupConfig { path: r.path("backup.path", "backups"), keep: r.integer("backup.keep", 1..=1000, 8) },
        telemetry: TelemetryConfig {
            listen: r.loopback_address("telemetry.listen", DEFAULT_TELEMETRY_LISTEN),
            log_format: r.choice("telemetry.log_format", ("text", LogFormat::Text), &[("json", LogFormat::Json)]),
            log_level: r.choice(
                "telemetry.log_level",
                ("info", LogLevel::Info),
                &[LogLevel::Error, LogLevel::Warn, LogLevel::Debug, LogLevel::Trace].map(|l| (l.as_str(), l)),
            ),
        },
    }
}

fn read_admin(r: &mut Reader<'_>) -> AdminConfig {
    AdminConfig {
        listen: r.address("admin.listen", DEFAULT_ADMIN_LISTEN),
        connections: r.integer("admin.connections", 1..=65_536, 256),
        approval_seconds: 3600 * r.integer("admin.approval_hours", 1..=720, 72),
        root_key_hold_seconds: 60 * r.integer("admin.root_key_hold_minutes", 0..=43_200, 60),
        adapter_hold_seconds: 60 * r.integer("admin.adapter_hold_minutes", 0..=43_200, 60),
        object_hold_seconds: 60 * r.integer("admin.object_hold_minutes", 0..=43_200, 0),
    }
}

fn read_limits(r: &mut Reader<'_>) -> Limits {
    let limits = Limits {
        frame_bytes: r.integer("limits.frame_bytes", 4096..=64 * 1024 * 1024, 1024 * 1024),
        connections: r.integer("limits.connections", 1..=100_000, 2048),
        connections_per_adapter: r.integer("limits.connections_per_adapter", 1..=100_000, 1024),
        handshake: r.seconds("limits.handshake_seconds", 1..=300, 10),
        idle: r.seconds("limits.idle_seconds", 1..=86_400, 300),
        request: r.seconds("limits.request_seconds", 1..=600, 30),
        drain: r.seconds("limits.drain_seconds", 0..=600, 20),
        batch_items: r.integer("limits.batch_items", 1..=10_000, 256),
        tree_depth: r.integer("limits.tree_depth", 8..=64, 32),
        locate_page: r.integer("limits.locate_page", 1..=100_000, 10_000),
        waiting_mutations: r.integer("limits.waiting_mutations", 1..=1_000_000, 1024),
        adapters: r.integer("limits.adapters", 1..=100_000, 200),
        certificates_per_adapter: r.integer("limits.certificates_per_adapter", 1..=100_000, 200),
        worker_threads: r.integer("limits.worker_threads", 1..=1024, 16),
    };
    r.at_most(
        ("limits.connections_per_adapter", limits.connections_per_adapter.into()),
        ("limits.connections", limits.connections.into()),
    );
    limits
}

fn list(path: &Path, problems: &[Problem]) -> String {
    let file = path.display();
    problems
        .iter()
        .map(|problem| match problem.line {
            Some(line) => format!("\n  {file}:{line}: {problem}"),
            None => format!("\n  {problem}"),
        })
        .collect()
}

#[cfg(test)]
mod tests;
