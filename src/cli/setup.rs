//! Makes what a server needs in a data directory, step by step. What exists is kept, so that a set-up that was cut short, or
//! one that is run again, goes on where it ended.
//!
//! A root key is made only while there is no adapter: a token that lost its keys is an error to report, never one to cover up
//! with a new key.

use std::path::{Path, PathBuf};

use hal::{Label, RootKeyId, RootKeyInfo, RootKeys, software::SoftwareHal};
use jiff::Timestamp;
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use super::{
    CliError, adapter,
    admin::{Admin, Subject},
    backend,
    cert::{insert, issue_files, load_authority, private_key},
    data_dir::{DataDir, create_folder, exists, write_file},
    error::UsageError,
    output::{note, progress},
    serve::start_logs,
};
use crate::{
    ca::{CaError, CertificateAuthority, KeyKind, SubjectAltName, describe, read_certificates},
    config::{self, Config, HsmBackend, LogLevel, Pkcs11Config, SoftwareConfig, write_secret_file},
    store::TrustRows,
    trust::fingerprint,
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

/// What to make.
pub(super) struct Plan<'a> {
    /// Where.
    pub(super) dir: &'a Path,
    /// What holds the root keys; `None` takes what an existing configuration says, or SoftHSM2.
    pub(super) hsm: Option<Hsm>,
    /// The kind of all private keys.
    pub(super) key: KeyKind,
    /// The server's names.
    pub(super) names: Vec<SubjectAltName>,
    /// The root key's label.
    pub(super) root_key: Label,
    /// Adapters, each with the folder of its client's files.
    pub(super) clients: Vec<(&'a str, &'a str)>,
    /// The least important log lines that are written; `None` for what the configuration says.
    pub(super) log_level: Option<LogLevel>,
    /// Settings of a new configuration file that are not the defaults, as `config::render` takes them.
    pub(super) settings: Vec<(&'static str, String)>,
}

/// What holds the root keys.
pub(super) enum Hsm {
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
    let (config, new) = configuration(&dir, plan)?;
    if is_own_soft_hsm(&dir, &config.hsm.backend) {
        write_soft_hsm_conf(&dir)?;
    }
    // The program may start again from the beginning here; what it made so far is then kept.
    backend::prepare_environment(&config.hsm.backend)?;
    start_logs(config.telemetry.log_format, plan.log_level.unwrap_or(config.telemetry.log_level));
    if !new {
        kept("configuration", &dir.config());
    }

    let admin = Admin::open(config)?;
    let trust = admin.store.trust()?;
    if trust.adapters.is_empty() {
        make_token(&dir, &admin.config.hsm.backend)?;
    }
    let hal = backend::open(&admin.config.hsm)?;
    let root_key = root_key(&admin, &*hal, &trust, &plan.root_key)?;
    let authority = authority(&admin, plan.key)?;
    server_certificate(&admin, &authority, plan)?;
    for (adapter, folder) in &plan.clients {
        let folder = dir.path(folder);
        client(&admin, &authority, &NewClient { adapter, folder, root_key: root_key.id, kind: plan.key })?;
    }
    Ok(Ready { admin, hal, root_key })
}

fn made(what: impl std::fmt::Display, path: &Path) {
    note(format_args!("made  {what}: {}", path.display()));
}

fn kept(what: impl std::fmt::Display, path: &Path) {
    note(format_args!("kept  {what}: {}", path.display()));
}

/// The configuration that is there, or a new one with what its backend needs beside it.
/// Says also whether it is new.
fn configuration(dir: &DataDir, plan: &Plan<'_>) -> Result<(Config, bool), CliError> {
    let path = dir.config();
    if exists(&path)? {
        let config = Config::load(&path)?;
        if let Some(hsm) = &plan.hsm
            && !hsm.matches(&config.hsm.backend)
        {
            return Err(UsageError::OtherBackend { dir: dir.root().to_owned() }.into());
        }
        return Ok((config, false));
    }
    let mut settings = plan.settings.clone();
    settings.extend(match &plan.hsm {
        None => soft_hsm_settings(dir, None)?,
        Some(Hsm::SoftHsm { module }) => soft_hsm_settings(dir, module.as_deref())?,
        Some(Hsm::Software) => {
            secret_file(&dir.hsm().join("passphrase"), "passphrase of the software root keys")?;
            vec![("hsm.backend", "\"software\"".to_owned())]
        }
        Some(Hsm::Pkcs11 { module, token_label, pin_file }) => vec![
            ("hsm.module", quoted(&absolute(module)?.to_string_lossy())),
            ("hsm.token_label", quoted(token_label)),
            ("hsm.pin_file", quoted(&absolute(pin_file)?.to_string_lossy())),
        ],
    });
    write_file(&path, &config::render(&settings))?;
    made("configuration", &path);
    Ok((Config::load(&path)?, true))
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
fn root_key(admin: &Admin, hal: &dyn RootKeys, trust: &TrustRows, label: &Label) -> Result<RootKeyInfo, CliError> {
    if let Some(adapter) = trust.adapters.first() {
        return Ok(hal.describe_root(RootKeyId::from_uuid(adapter.root_key))?);
    }
    if let Some(root) = hal.list_roots()?.into_iter().find(|root| root.label == *label) {
        note(format_args!("kept  root key {:?}: {}", label.as_str(), root.id));
        return Ok(root);
    }
    let root = progress(format_args!("making root key {:?} in the HSM", label.as_str()), || {
        admin.act("root_key.create", Subject::default(), || Ok::<_, CliError>(hal.generate_root(label)?))
    })?;
    Ok(root)
}

fn authority(admin: &Admin, kind: KeyKind) -> Result<CertificateAuthority, CliError> {
    let tls = &admin.config.tls;
    if exists(&tls.ca)? {
        kept("certificate authority", &tls.ca);
        return load_authority(tls);
    }
    let key = private_key(&tls.ca_key, kind, "the certificate authority's")?;
    let authority = CertificateAuthority::create(key, Timestamp::now())?;
    write_file(&tls.ca, &authority.certificate().pem)?;
    made("certificate authority", &tls.ca);
    Ok(authority)
}

fn server_certificate(admin: &Admin, authority: &CertificateAuthority, plan: &Plan<'_>) -> Result<(), CliError> {
    let tls = &admin.config.tls;
    if exists(&tls.certificate)? {
        if !exists(&tls.key)? {
            return Err(CliError::HalfThere { present: tls.certificate.clone(), missing: tls.key.clone() });
        }
        kept("server certificate", &tls.certificate);
        return warn_of_missing_names(&tls.certificate, &plan.names);
    }
    let key = private_key(&tls.key, plan.key, "the server's")?;
    let issued = authority.issue_server(&key, &plan.names, Timestamp::now())?;
    write_file(&tls.certificate, &issued.pem)?;
    let names = plan.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    made(format_args!("server certificate for {names}"), &tls.certificate);
    Ok(())
}

fn warn_of_missing_names(path: &Path, names: &[SubjectAltName]) -> Result<(), CliError> {
    let file = std::fs::read(path).map_err(CliError::file(path))?;
    let certificates = read_certificates(&file).map_err(CliError::content(path))?;
    let Some(certificate) = certificates.first() else { return Ok(()) };
    let there = describe(certificate)?.alternative_names;
    for name in names.iter().filter(|name| !there.contains(name)) {
        note(format_args!("      it does not name {name}: remove {} to have a new one made", path.display()));
    }
    Ok(())
}

/// An adapter with a client certificate of its own.
struct NewClient<'a> {
    adapter: &'a str,
    folder: PathBuf,
    root_key: RootKeyId,
    kind: KeyKind,
}

fn client(admin: &Admin, authority: &CertificateAuthority, new: &NewClient<'_>) -> Result<(), CliError> {
    let trust = admin.store.trust()?;
    let adapter = match trust.adapters.iter().find(|row| row.name == new.adapter) {
        Some(row) => row.clone(),
        None => {
            let row = adapter::insert(admin, new.adapter, None, new.root_key)?;
            note(format_args!("made  adapter {:?}: {}", row.name, row.id.0));
            row
        }
    };
    let path = new.folder.join("cert.pem");
    let der = if exists(&path)? {
        let file = std::fs::read(&path).map_err(CliError::file(&path))?;
        let certificates = read_certificates(&file).map_err(CliError::content(&path))?;
        kept(format_args!("client certificate of adapter {:?}", adapter.name), &path);
        certificates.into_iter().next().map(|certificate| certificate.to_vec()).unwrap_or_default()
    } else {
        let issued = issue_files(authority, new.adapter, new.kind, &new.folder)?;
        made(format_args!("client certificate of adapter {:?}", adapter.name), &path);
        issued.der
    };
    // A set-up that was cut short may have left a certificate that is not registered.
    let registered = trust.certificates.iter().any(|row| row.fingerprint == fingerprint(&der.as_slice().into()));
    if !registered {
        insert(admin, &adapter, None, der)?;
    }
    Ok(())
}

impl Hsm {
    fn matches(&self, backend: &HsmBackend) -> bool {
        match (self, backend) {
            (Hsm::Software, HsmBackend::Software(_)) => true,
            (Hsm::SoftHsm { .. }, HsmBackend::Pkcs11(token)) => token.softhsm_conf.is_some(),
            (Hsm::Pkcs11 { .. }, HsmBackend::Pkcs11(token)) => token.softhsm_conf.is_none(),
            _ => false,
        }
    }
}

/// The names under which clients may reach this machine: its host name and the loopback ones.
pub(super) fn usual_names() -> Vec<SubjectAltName> {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy().into_owned();
    [host.as_str(), "localhost", "127.0.0.1", "::1"].iter().filter_map(|name| name.parse().ok()).fold(
        Vec::new(),
        |mut names, name| {
            if !names.contains(&name) {
                names.push(name);
            }
            names
        },
    )
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
