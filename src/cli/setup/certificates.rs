//! The certificates of a data directory: the own authority's, the server's, and one for each adapter that is set up.
//!
//! A certificate that is there is kept together with its private key, which may then lie elsewhere: the authority's key is
//! needed only where something is issued.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use hal::{Label, RootKeyId, RootKeys};
use jiff::Timestamp;

use super::{
    Plan,
    clients::{self, NewClient, first_certificate, private_key},
    kept, made,
};
use crate::{
    ca::{CaError, CertificateAuthority, KeyKind, PrivateKey, SubjectAltName, describe},
    cli::{
        CliError,
        admin::Admin,
        data_dir::{DataDir, create_folder, exists, write_file},
        output::{note, progress},
        signer::{self, Purpose},
    },
    config::{KeyPlace, read_secret_file, write_secret_file},
};

/// Makes what is missing.
pub(super) fn make(
    dir: &DataDir,
    admin: &Admin,
    hal: &Arc<dyn RootKeys>,
    root_key: RootKeyId,
    plan: &Plan<'_>,
) -> Result<(), CliError> {
    make_private_keys(dir, admin, plan)?;
    let authority = Authority::open(admin, hal, plan)?;
    server_certificate(admin, hal, &authority, plan)?;
    for (adapter, folder) in &plan.clients {
        let new = NewClient { adapter, folder: dir.path(folder), root_key, kind: plan.key };
        clients::make(admin, || authority.ready(), &new)?;
    }
    Ok(())
}

/// Makes the RSA keys that will be needed, at the same time: each takes up to a few seconds of one processor.
fn make_private_keys(dir: &DataDir, admin: &Admin, plan: &Plan<'_>) -> Result<(), CliError> {
    let tls = &admin.config.tls;
    let servers = [(&tls.ca, &tls.ca_key), (&tls.certificate, &tls.key)];
    let in_files =
        servers.into_iter().filter_map(|(certificate, key)| Some((certificate.clone(), key.file()?.clone())));
    let mut pairs: Vec<_> = in_files.collect();
    pairs.extend(
        plan.clients.iter().map(|(_, folder)| (dir.path(folder).join("cert.pem"), dir.path(folder).join("key.pem"))),
    );
    let mut missing = Vec::new();
    for (certificate, key) in pairs {
        if !exists(&certificate)? && !exists(&key)? {
            missing.push(key);
        }
    }
    if missing.is_empty() || plan.key != KeyKind::Rsa3072 {
        return Ok(());
    }
    progress(format_args!("making {} private keys (RSA with 3072 bits)", missing.len()), || {
        std::thread::scope(|scope| {
            let makers: Vec<_> = missing.iter().map(|_| scope.spawn(|| PrivateKey::generate(plan.key))).collect();
            for (maker, path) in makers.into_iter().zip(&missing) {
                let key = maker.join().map_err(|_| CaError::Crypto)??;
                if let Some(folder) = path.parent() {
                    create_folder(folder)?;
                }
                write_secret_file(path, key.to_pem()?.as_bytes()).map_err(CliError::file(path))?;
            }
            Ok(())
        })
    })
}

/// The own authority, whose key may lie elsewhere.
enum Authority {
    Ready(Box<CertificateAuthority>),
    KeyElsewhere { certificate: PathBuf, key: PathBuf },
}

impl Authority {
    fn open(admin: &Admin, hal: &Arc<dyn RootKeys>, plan: &Plan<'_>) -> Result<Self, CliError> {
        let tls = &admin.config.tls;
        if !exists(&tls.ca)? {
            let key = match &tls.ca_key {
                KeyPlace::File(path) => private_key(path, plan.key, "the certificate authority's")?,
                KeyPlace::Hsm(label) => {
                    let signer = signer::obtain(admin, &**hal, Purpose::Ca, label, plan.hsm_keys.ca)?;
                    PrivateKey::in_hsm(signer::wrapper(hal), &signer)
                }
            };
            let authority = CertificateAuthority::create(key, Timestamp::now())?;
            write_file(&tls.ca, &authority.certificate().pem)?;
            made("certificate authority", &tls.ca);
            return Ok(Self::Ready(Box::new(authority)));
        }
        kept("certificate authority", &tls.ca);
        match &tls.ca_key {
            KeyPlace::File(key) if !exists(key)? => {
                Ok(Self::KeyElsewhere { certificate: tls.ca.clone(), key: key.clone() })
            }
            _ => Ok(Self::Ready(Box::new(load_authority(admin, hal)?))),
        }
    }

    fn ready(&self) -> Result<&CertificateAuthority, CliError> {
        match self {
            Self::Ready(authority) => Ok(authority),
            Self::KeyElsewhere { certificate, key } => {
                Err(CliError::HalfThere { present: certificate.clone(), missing: key.clone() })
            }
        }
    }
}

fn load_authority(admin: &Admin, hal: &Arc<dyn RootKeys>) -> Result<CertificateAuthority, CliError> {
    let tls = &admin.config.tls;
    let certificate = std::fs::read(&tls.ca).map_err(CliError::file(&tls.ca))?;
    let key = match &tls.ca_key {
        KeyPlace::File(path) => {
            let text = read_secret_file(path).map_err(CliError::secret(path))?;
            PrivateKey::from_pem(&text).map_err(CliError::content(path))?
        }
        KeyPlace::Hsm(label) => signer::private_key(&admin.store, hal, Purpose::Ca, label)?,
    };
    CertificateAuthority::load(&certificate, key).map_err(CliError::content(&tls.ca))
}

fn server_certificate(
    admin: &Admin,
    hal: &Arc<dyn RootKeys>,
    authority: &Authority,
    plan: &Plan<'_>,
) -> Result<(), CliError> {
    let tls = &admin.config.tls;
    if exists(&tls.certificate)? {
        match &tls.key {
            KeyPlace::File(key) if exists(key)? => {}
            KeyPlace::File(key) => {
                return Err(CliError::HalfThere { present: tls.certificate.clone(), missing: key.clone() });
            }
            KeyPlace::Hsm(label) => check_key_of_certificate(admin, hal, label)?,
        }
        kept("server certificate", &tls.certificate);
        return warn_of_missing_names(&tls.certificate, &plan.names);
    }
    let key = match &tls.key {
        KeyPlace::File(path) => private_key(path, plan.key, "the server's")?,
        KeyPlace::Hsm(label) => {
            let signer = signer::obtain(admin, &**hal, Purpose::Tls, label, plan.hsm_keys.tls)?;
            PrivateKey::in_hsm(signer::wrapper(hal), &signer)
        }
    };
    let issued = authority.ready()?.issue_server(&key, &plan.names, Timestamp::now())?;
    write_file(&tls.certificate, &issued.pem)?;
    let names = plan.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    made(format_args!("server certificate for {names}"), &tls.certificate);
    Ok(())
}

/// Refuses a server certificate that was issued before the configuration named this key in the HSM.
fn check_key_of_certificate(admin: &Admin, hal: &Arc<dyn RootKeys>, label: &Label) -> Result<(), CliError> {
    let path = &admin.config.tls.certificate;
    let key = signer::private_key(&admin.store, hal, Purpose::Tls, label);
    let belongs = match key {
        Ok(key) => key.certifies(&first_certificate(path)?).map_err(CliError::content(path))?,
        Err(CliError::SignerNotRecorded { .. }) => false,
        Err(error) => return Err(error),
    };
    if belongs {
        return Ok(());
    }
    let (setting, label) = (Purpose::Tls.setting(), label.to_string());
    Err(CliError::OtherKeysCertificate { certificate: path.clone(), setting, label })
}

fn warn_of_missing_names(path: &Path, names: &[SubjectAltName]) -> Result<(), CliError> {
    let there = describe(&first_certificate(path)?)?.alternative_names;
    for name in names.iter().filter(|name| !there.contains(name)) {
        note(format_args!("      it does not name {name}: remove {} to have a new one made", path.display()));
    }
    Ok(())
}

/// The names under which clients may reach this machine: its host name and the loopback ones.
pub(in crate::cli) fn usual_names() -> Vec<SubjectAltName> {
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
