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
    data_dir::{DataDir, exists, write_file},
    error::UsageError,
    output::{note, progress},
};
use crate::{
    ca::{CertificateAuthority, KeyKind, SubjectAltName, read_certificates},
    config::{self, Config, HsmBackend, Pkcs11Config, SoftwareConfig, write_secret_file},
    store::{AdapterRow, TrustRows},
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
    let config = configuration(&dir, plan)?;
    backend::prepare_environment(&config.hsm.backend)?;

    let admin = Admin::open(config)?;
    let trust = admin.store.trust()?;
    if trust.adapters.is_empty() {
        make_token(&dir, &admin.config.hsm.backend)?;
    }
    let hal = backend::open(&admin.config.hsm)?;
    let root_key = root_key(&admin, &*hal, &trust, &plan.root_key)?;
    let authority = authority(&dir, &admin, plan.key)?;
    server_certificate(&dir, &admin, &authority, plan)?;
    for (name, folder) in &plan.clients {
        client(&dir, &admin, &authority, plan.key, root_key.id, name, folder)?;
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
fn configuration(dir: &DataDir, plan: &Plan<'_>) -> Result<Config, CliError> {
    let path = dir.config();
    if exists(&path)? {
        let config = Config::load(&path)?;
        if let Some(hsm) = &plan.hsm
            && !hsm.matches(&config.hsm.backend)
        {
            return Err(UsageError::OtherBackend { dir: dir.root().to_owned() }.into());
        }
        kept("configuration", &path);
        return Ok(config);
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
    Ok(Config::load(&path)?)
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
        HsmBackend::Pkcs11(token) if token.softhsm_conf == Some(dir.hsm().join("softhsm2.conf")) => {
            make_soft_hsm_token(dir, token)
        }
        HsmBackend::Pkcs11(_) => Ok(()),
    }
}

fn make_soft_hsm_token(dir: &DataDir, token: &Pkcs11Config) -> Result<(), CliError> {
    todo!()
}

/// The root key of the adapters that are there; without any, the one with this label, made where it is missing.
fn root_key(
    admin: &Admin,
    hal: &dyn RootKeys,
    trust: &TrustRows,
    label: &Label,
) -> Result<RootKeyInfo, CliError> {
    if let Some(adapter) = trust.adapters.first() {
        return Ok(hal.describe_root(RootKeyId::from_uuid(adapter.root_key))?);
    }
    if let Some(root) = hal.list_roots()?.into_iter().find(|root| root.label == *label) {
        note(format_args!("kept  root key {label:?}: {}", root.id));
        return Ok(root);
    }
    let root = progress(format_args!("making root key {:?} in the HSM", label.as_str()), || {
        admin.act("root_key.create", Subject::default(), || Ok::<_, CliError>(hal.generate_root(label)?))
    })?;
    Ok(root)
}

fn authority(dir: &DataDir, admin: &Admin, kind: KeyKind) -> Result<CertificateAuthority, CliError> {
    let tls = &admin.config.tls;
    if exists(&tls.ca)? {
        kept("certificate authority", &tls.ca);
        return load_authority(tls);
    }
    debug_assert!(tls.ca.starts_with(dir.root()) || !tls.ca.as_os_str().is_empty());
    let key = private_key(&tls.ca_key, kind, "the certificate authority's")?;
    let authority = CertificateAuthority::create(key, Timestamp::now())?;
    write_file(&tls.ca, &authority.certificate().pem)?;
    made("certificate authority", &tls.ca);
    Ok(authority)
}
