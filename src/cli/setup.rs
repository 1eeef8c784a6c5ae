//! Makes what a server needs in a data directory, step by step. What exists is kept, so that a set-up that was cut short, or
//! one that is run again, goes on where it ended.
//!
//! A root key is made only while there is no adapter: a token that lost its keys is an error to report, never one to cover up
//! with a new key.

mod certificates;
mod clients;

use std::path::{Path, PathBuf};

use hal::{Label, RootKeyInfo, RootKeys, SignerKind, software::SoftwareHal};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

pub(super) use self::{certificates::usual_names, clients::private_key};
use super::{
    CliError,
    admin::Admin,
    backend,
    data_dir::{DataDir, create_folder, exists, write_file},
    error::UsageError,
    output::{note, progress},
    root_key,
    serve::start_logs,
    signer::{self, Purpose},
};
use crate::{
    ca::{CaError, KeyKind, SubjectAltName},
    config::{self, Config, ConfigError, HsmBackend, LogLevel, Pkcs11Config, SoftwareConfig, write_secret_file},
    root_keys,
    store::TrustRows,
};

/// Where SoftHSM2's module lies on Debian and Ubuntu, Fedora, Arch and macOS.
const SOFTHSM_MODULES: [&str; 8] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    "/usr/local/opt/softhsm/lib/softhsm/libsofthsm2.so",
];
/// The label of the token that is made in SoftHSM2.
const TOKEN_LABEL: &str = "keystead";
/// The label of a root key, where none is named.
const ROOT_KEY_LABEL: &str = "keystead-root";

/// What to make.
pub(super) struct Plan<'a> {
    /// Where.
    pub(super) dir: &'a Path,
    /// What holds the root keys; `None` takes what an existing configuration says, or SoftHSM2.
    pub(super) hsm: Option<HsmChoice>,
    /// The kind of all private keys in files.
    pub(super) key: KeyKind,
    /// Which keys a new configuration has in the HSM.
    pub(super) hsm_keys: HsmKeys,
    /// The server's names.
    pub(super) names: Vec<SubjectAltName>,
    /// The root key's label; `None` takes that of the first adapter, or [`ROOT_KEY_LABEL`].
    pub(super) root_key: Option<Label>,
    /// Adapters, each with the folder of its client's files.
    pub(super) clients: Vec<(&'a str, &'a str)>,
    /// The least important log lines that are written; `None` for what the configuration says.
    pub(super) log_level: Option<LogLevel>,
    /// Settings of a new configuration file that are not the defaults, as `config::render` takes them.
    pub(super) settings: Vec<(&'static str, String)>,
}

/// Keys in the HSM, each with its kind. `None` is a key in a file, or no key; in a directory that is there its configuration
/// decides which are in the HSM.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HsmKeys {
    /// The server's.
    pub(super) tls: Option<SignerKind>,
    /// The authority's.
    pub(super) ca: Option<SignerKind>,
    /// The one set aside for the audit log.
    pub(super) audit: Option<SignerKind>,
}

/// What holds the root keys.
pub(super) enum HsmChoice {
    /// A SoftHSM2 token in the data directory.
    SoftHsm {
        /// Its module, where it is not in a usual place.
        module: Option<PathBuf>,
    },
    /// A token that is there.
    Pkcs11 {
        /// The vendor's module.
        module: PathBuf,
        /// The token's label.
        token_label: String,
        /// The file with its user PIN.
        pin_file: PathBuf,
    },
    /// A sealed file.
    Software,
}

/// What there is when the set-up is done.
pub(super) struct Ready {
    /// The configuration, with the store and audit log that it names.
    pub(super) admin: Admin,
    /// The HSM.
    pub(super) hal: std::sync::Arc<dyn RootKeys>,
    /// The root key of the first adapter.
    pub(super) root_key: RootKeyInfo,
}

/// Carries `plan` out.
pub(super) fn prepare(plan: &Plan<'_>) -> Result<Ready, CliError> {
    let dir = DataDir::create(plan.dir)?;
    let Configuration { config, new, unwritten } = configuration(&dir, plan)?;
    if is_own_soft_hsm(&dir, &config.hsm.backend) {
        write_soft_hsm_conf(&dir)?;
    }
    // The program may start again from the beginning here; what it made so far is then kept.
    backend::prepare_environment(&config.hsm.backend)?;
    start_logs(config.telemetry.log_format, plan.log_level.unwrap_or(config.telemetry.log_level));
    // Before the store is there, this is still the first run, perhaps started again for the environment.
    if !new && exists(&config.store.path)? {
        kept("configuration", &dir.config());
    }

    let admin = Admin::open(config)?;
    let trust = admin.store.trust()?;
    if trust.adapters.is_empty() {
        make_token(&dir, &admin.config.hsm.backend)?;
    }
    let hal = backend::open(&admin.config.hsm)?;
    let root_key = root_key(&dir, &admin, &*hal, &trust, plan.root_key.as_ref())?;
    if let Some(text) = unwritten {
        write_configuration(&dir, &text)?;
    }
    certificates::make(&dir, &admin, &hal, root_key.id, plan)?;
    if let Some(label) = &admin.config.audit.signing_key {
        signer::obtain(&admin, &*hal, Purpose::Audit, label, plan.hsm_keys.audit)?;
    }
    Ok(Ready { admin, hal, root_key })
}

fn made(what: impl std::fmt::Display, path: &Path) {
    note(format_args!("made  {what}: {}", path.display()));
}

fn kept(what: impl std::fmt::Display, path: &Path) {
    note(format_args!("kept  {what}: {}", path.display()));
}

/// The configuration of a data directory.
struct Configuration {
    config: Config,
    new: bool,
    /// Its text where it is not in its file yet.
    unwritten: Option<String>,
}

/// The configuration that is there, or a new one with what its backend needs beside it. One that names a token of somebody
/// else's is written only once the token has proven to work: a mistyped option must not stay behind.
fn configuration(dir: &DataDir, plan: &Plan<'_>) -> Result<Configuration, CliError> {
    let path = dir.config();
    if exists(&path)? {
        let config = Config::load(&path)?;
        if let Some(hsm) = &plan.hsm
            && !hsm.matches(&config.hsm.backend)
        {
            return Err(UsageError::OtherBackend { dir: dir.root().to_owned() }.into());
        }
        return Ok(Configuration { config, new: false, unwritten: None });
    }
    let mut settings = plan.settings.clone();
    settings.extend(plan.hsm_keys.settings());
    settings.extend(match &plan.hsm {
        None => soft_hsm_settings(dir, None)?,
        Some(HsmChoice::SoftHsm { module }) => soft_hsm_settings(dir, module.as_deref())?,
        Some(HsmChoice::Software) => {
            secret_file(&dir.hsm().join("passphrase"), "passphrase of the software root keys")?;
            vec![("hsm.backend", "\"software\"".to_owned())]
        }
        Some(HsmChoice::Pkcs11 { module, token_label, pin_file }) => vec![
            ("hsm.module", quoted(&absolute(module)?.to_string_lossy())),
            ("hsm.token_label", quoted(token_label)),
            ("hsm.pin_file", quoted(&absolute(pin_file)?.to_string_lossy())),
        ],
    });
    let text = config::render(&settings);
    if matches!(plan.hsm, Some(HsmChoice::Pkcs11 { .. })) {
        let config = Config::parse(&text, dir.root()).map_err(|problems| ConfigError::Invalid { path, problems })?;
        return Ok(Configuration { config, new: true, unwritten: Some(text) });
    }
    write_configuration(dir, &text)?;
    Ok(Configuration { config: Config::load(&path)?, new: true, unwritten: None })
}

fn write_configuration(dir: &DataDir, text: &str) -> Result<(), CliError> {
    let path = dir.config();
    write_file(&path, text)?;
    made("configuration", &path);
    Ok(())
}

fn soft_hsm_settings(dir: &DataDir, module: Option<&Path>) -> Result<Vec<(&'static str, String)>, CliError> {
    let module = match module {
        Some(module) => absolute(module)?,
        None => SOFTHSM_MODULES.iter().map(PathBuf::from).find(|path| path.exists()).ok_or(UsageError::NoSoftHsm)?,
    };
    secret_file(&dir.hsm().join("so-pin"), "security officer's PIN of the token")?;
    secret_file(&dir.hsm().join("pin"), "user PIN of the token")?;
    Ok(vec![
        ("hsm.module", quoted(&module.to_string_lossy())),
        ("hsm.token_label", quoted(TOKEN_LABEL)),
        ("hsm.softhsm_conf", quoted("hsm/softhsm2.conf")),
    ])
}

/// Makes the empty token or root-key file of the backends that have theirs in the data directory.
fn make_token(dir: &DataDir, backend: &HsmBackend) -> Result<(), CliError> {
    match backend {
        HsmBackend::Software(SoftwareConfig { key_file, passphrase_file }) => {
            if exists(key_file)? {
                return Ok(());
            }
            let passphrase = backend::secret(passphrase_file)?;
            progress("making the sealed file of software root keys", || SoftwareHal::create(key_file, &passphrase))?;
            made("software root keys (not an HSM)", key_file);
            Ok(())
        }
        HsmBackend::Pkcs11(token) if is_own_soft_hsm(dir, backend) => make_soft_hsm_token(dir, token),
        HsmBackend::Pkcs11(_) => Ok(()),
    }
}

fn is_own_soft_hsm(dir: &DataDir, backend: &HsmBackend) -> bool {
    let own = dir.hsm().join("softhsm2.conf");
    matches!(backend, HsmBackend::Pkcs11(token) if token.softhsm_conf.as_ref().is_some_and(|path| *path == own))
}

fn make_soft_hsm_token(dir: &DataDir, token: &Pkcs11Config) -> Result<(), CliError> {
    let (so_pin, pin) = (backend::secret(&dir.hsm().join("so-pin"))?, backend::secret(&token.pin_file)?);
    if hal::pkcs11::initialise::make_token(&token.module, &token.token_label, &so_pin, &pin)? {
        made(format_args!("SoftHSM2 token {:?}", token.token_label), &dir.hsm().join("tokens"));
    }
    Ok(())
}

/// SoftHSM2's configuration wants an absolute path, so it is written again wherever the data directory now lies.
fn write_soft_hsm_conf(dir: &DataDir) -> Result<(), CliError> {
    let (conf, tokens) = (dir.hsm().join("softhsm2.conf"), dir.hsm().join("tokens"));
    create_folder(&tokens)?;
    let text = format!(
        "# Made by keystead.\ndirectories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    if std::fs::read_to_string(&conf).is_ok_and(|found| found == text) { Ok(()) } else { write_file(&conf, &text) }
}

/// The root key of the adapters that are there; without any, the one with this label, made where it is missing.
fn root_key(
    dir: &DataDir,
    admin: &Admin,
    hal: &dyn RootKeys,
    trust: &TrustRows,
    label: Option<&Label>,
) -> Result<RootKeyInfo, CliError> {
    if let Some(adapter) = trust.adapters.first() {
        let current =
            trust.root_keys.iter().find(|row| row.id == adapter.root_key).map_or(1, |row| row.current_version);
        let root = hal.describe_root(root_keys::key(adapter.root_key, current))?;
        return match label {
            Some(label) if *label != root.label => {
                let (kept, given) = (root.label.to_string(), label.to_string());
                Err(UsageError::OtherRootKey { kept, given, config: dir.config() }.into())
            }
            _ => Ok(root),
        };
    }
    let usual = Label::new(ROOT_KEY_LABEL).map_err(UsageError::Label)?;
    let label = label.unwrap_or(&usual);
    // One that was announced on record goes on where its making was interrupted.
    let announced = trust.root_keys.iter().any(|row| row.label == label.as_str() && row.is_unmade());
    let found = hal.list_roots()?.into_iter().rfind(|root| root.label == *label);
    if let Some(root) = found.filter(|_| !announced) {
        note(format_args!("kept  root key {:?}: {}", label.as_str(), root.id));
        // A set-up that was cut short made it and had no time to record it.
        if !trust.root_keys.iter().any(|row| row.id == *root.id.as_uuid()) {
            root_key::record(admin, &root)?;
        }
        return Ok(root);
    }
    progress(format_args!("making root key {:?} in the HSM", label.as_str()), || root_key::make(admin, hal, label))
}

impl HsmKeys {
    /// What a new configuration says of them.
    fn settings(&self) -> impl Iterator<Item = (&'static str, String)> {
        let keys = [(Purpose::Tls, self.tls), (Purpose::Ca, self.ca), (Purpose::Audit, self.audit)];
        keys.into_iter()
            .filter(|(_, kind)| kind.is_some())
            .map(|(purpose, _)| (purpose.setting(), quoted(&format!("hsm:{}", purpose.usual_label()))))
    }
}

impl HsmChoice {
    fn matches(&self, backend: &HsmBackend) -> bool {
        match (self, backend) {
            (HsmChoice::Software, HsmBackend::Software(_)) => true,
            (HsmChoice::SoftHsm { .. }, HsmBackend::Pkcs11(token)) => token.softhsm_conf.is_some(),
            (HsmChoice::Pkcs11 { .. }, HsmBackend::Pkcs11(token)) => token.softhsm_conf.is_none(),
            _ => false,
        }
    }
}

/// A file with 128 random bits in hexadecimal, unless it is there.
fn secret_file(path: &Path, what: &str) -> Result<(), CliError> {
    if exists(path)? {
        return Ok(());
    }
    let mut random = Zeroizing::new([0; 16]);
    SystemRandom::new().fill(&mut *random).map_err(|_| CliError::Ca(CaError::Crypto))?;
    let mut text = Zeroizing::new(String::with_capacity(32));
    for byte in random.iter() {
        for half in [byte >> 4, byte & 15] {
            text.push(char::from_digit(half.into(), 16).unwrap_or_default());
        }
    }
    write_secret_file(path, text.as_bytes()).map_err(CliError::file(path))?;
    made(what, path);
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(CliError::file(path))
}

/// `text` as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
