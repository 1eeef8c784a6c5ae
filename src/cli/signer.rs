//! Signing keys in the HSM: made once, recorded in the store by what they are for, and named in the configuration by label.
//!
//! The record is what a server goes by: it starts while its token is away, when nobody can be asked for a label.

use std::{num::NonZeroUsize, sync::Arc};

use hal::{KeyWrapper, Label, RootKeys, SignerId, SignerInfo, SignerKind};
use jiff::Timestamp;

use super::{
    CliError,
    admin::{Admin, Subject},
    error::UsageError,
    output::{note, progress},
};
use crate::{
    audit::{Audit, AuditSigner, Forwarding, VouchOptions, Vouching},
    ca::PrivateKey,
    config::{Config, KeyPlace},
    net::{HsmKey, ServerCertificate, ServerKey, TlsConfig},
    store::{SignerRow, Store},
};

/// What a signing key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The server's TLS key.
    Tls,
    /// The certificate authority's key.
    Ca,
    /// The key that signs checkpoints of the audit log.
    Audit,
}

impl Purpose {
    /// The setting that names the key.
    pub(super) fn setting(self) -> &'static str {
        match self {
            Purpose::Tls => "tls.key",
            Purpose::Ca => "tls.ca_key",
            Purpose::Audit => "audit.signing_key",
        }
    }

    /// The label that `init` writes into a new configuration.
    pub(super) fn usual_label(self) -> &'static str {
        match self {
            Purpose::Tls => "keystead-tls",
            Purpose::Ca => "keystead-ca",
            Purpose::Audit => "keystead-audit",
        }
    }

    /// Its name in the store.
    fn name(self) -> &'static str {
        match self {
            Purpose::Tls => "tls",
            Purpose::Ca => "ca",
            Purpose::Audit => "audit",
        }
    }

    /// Whether the key on record is for this.
    fn is_of(self, row: &SignerRow) -> bool {
        row.purpose.split(':').next() == Some(self.name())
    }
}

/// The key of this label on record. The HSM is not asked.
pub(super) fn recorded(store: &Store, purpose: Purpose, label: &Label) -> Result<(SignerId, SignerKind), CliError> {
    let rows: Vec<_> = store.signers()?.into_iter().filter(|row| purpose.is_of(row)).collect();
    let found = rows.iter().find(|row| row.label == label.as_str());
    let known = found.and_then(|row| Some((SignerId::from_uuid(row.id), SignerKind::from_name(&row.kind)?)));
    known.ok_or_else(|| CliError::SignerNotRecorded {
        setting: purpose.setting(),
        label: label.to_string(),
        others: rows.into_iter().map(|row| row.label).collect(),
    })
}

/// The key of this label, which is made and recorded where it is not there yet. A key that is on record but not in the HSM is
/// an error to report, never one to cover up with a new key. One key serves one purpose.
pub(super) fn obtain(
    admin: &Admin,
    hal: &dyn RootKeys,
    purpose: Purpose,
    label: &Label,
    kind: Option<SignerKind>,
) -> Result<SignerInfo, CliError> {
    if let Some(kind) = kind.filter(|kind| purpose == Purpose::Audit && !signs_checkpoints(*kind)) {
        return Err(UsageError::AuditSignerKind { label: label.to_string(), kind }.into());
    }
    let rows = admin.store.signers()?;
    let on_record = rows.iter().find(|row| row.label == label.as_str());
    let (signer, is_new) = match on_record {
        Some(row) if !purpose.is_of(row) => {
            let (label, kept, setting) = (label.to_string(), row.purpose.clone(), purpose.setting());
            return Err(UsageError::SignerOfOtherPurpose { label, kept, setting }.into());
        }
        Some(row) => (hal.describe_signer(SignerId::from_uuid(row.id))?, false),
        None => match hal.find_signer(label)? {
            Some(signer) => {
                note(format_args!("kept  key in the HSM: {:?}", label.as_str()));
                (signer, true)
            }
            None => (make(admin, hal, purpose, label, kind.unwrap_or(SignerKind::EcdsaP256))?, true),
        },
    };
    if let Some(given) = kind.filter(|wanted| *wanted != signer.kind) {
        return Err(UsageError::OtherSignerKind { label: label.to_string(), kept: signer.kind, given }.into());
    }
    if is_new {
        let is_first = rows.iter().all(|row| row.purpose != purpose.name());
        let row = SignerRow {
            // A later key for the same purpose stands beside the one that it replaces.
            purpose: if is_first { purpose.name().to_owned() } else { format!("{}:{label}", purpose.name()) },
            id: *signer.id.as_uuid(),
            label: label.to_string(),
            kind: signer.kind.name().to_owned(),
            created_at: Timestamp::now().as_second(),
        };
        admin.act("signer.record", Subject::default(), || Ok(admin.store.insert_signer(row)?))?;
    }
    Ok(signer)
}

fn make(
    admin: &Admin,
    hal: &dyn RootKeys,
    purpose: Purpose,
    label: &Label,
    kind: SignerKind,
) -> Result<SignerInfo, CliError> {
    let what = format_args!("making the key {:?} ({kind}) of {} in the HSM", label.as_str(), purpose.setting());
    progress(what, || {
        admin.act("signer.create", Subject::default(), || Ok::<_, CliError>(hal.generate_signer(label, kind)?))
    })
}

/// The key on record under this label, to sign certificates with.
pub(super) fn private_key(
    store: &Store,
    hal: &Arc<dyn RootKeys>,
    purpose: Purpose,
    label: &Label,
) -> Result<PrivateKey, CliError> {
    let (id, _) = recorded(store, purpose, label)?;
    let signer = hal.describe_signer(id)?;
    Ok(PrivateKey::in_hsm(wrapper(hal), &signer))
}

/// The server's certificate with its key, from a file or in the HSM, which may be away.
pub(super) fn server_certificate(
    config: &Config,
    store: &Store,
    hal: &Arc<dyn RootKeys>,
) -> Result<ServerCertificate, CliError> {
    let key = match &config.tls.key {
        KeyPlace::File(path) => ServerKey::File(path.clone()),
        KeyPlace::Hsm(label) => {
            let (signer, kind) = recorded(store, Purpose::Tls, label)?;
            ServerKey::Hsm(HsmKey { hsm: wrapper(hal), signer, kind }, label.clone())
        }
    };
    Ok(ServerCertificate::load(config.tls.certificate.clone(), key)?)
}

/// Signs checkpoints of the audit log, takes its old segments away and sends copies to its receiver, until this is dropped.
pub(super) struct AuditWork {
    _forwarding: Option<Forwarding>,
    _vouching: Vouching,
}

impl AuditWork {
    pub(super) fn start(
        config: &Config,
        store: &Store,
        hal: &Arc<dyn RootKeys>,
        audit: &Arc<Audit>,
    ) -> Result<Self, CliError> {
        let signer = match &config.audit.signing_key {
            None => None,
            Some(label) => match recorded(store, Purpose::Audit, label)? {
                (key, SignerKind::EcdsaP256 | SignerKind::EcdsaP384) => Some(AuditSigner { hal: Arc::clone(hal), key }),
                (_, kind) => return Err(UsageError::AuditSignerKind { label: label.to_string(), kind }.into()),
            },
        };
        let options = VouchOptions { signer, every: config.audit.checkpoint, keep: config.audit.keep };
        Ok(Self {
            _forwarding: config.audit.syslog.clone().map(|receiver| Forwarding::start(audit, receiver)).transpose()?,
            _vouching: Vouching::start(Arc::clone(audit), options)?,
        })
    }
}

/// Whether checkpoints can be signed with a key of this kind.
fn signs_checkpoints(kind: SignerKind) -> bool {
    matches!(kind, SignerKind::EcdsaP256 | SignerKind::EcdsaP384)
}

/// Leaves half of the HSM's sessions to requests: every stranger who connects causes a signature.
pub(super) fn bound_handshakes(tls: TlsConfig, config: &Config) -> TlsConfig {
    let half = usize::try_from(config.hsm.workers.div_ceil(2)).ok().and_then(NonZeroUsize::new);
    half.map_or(tls.clone(), |threads| tls.handshakes_at_once(threads))
}

/// The HSM as those who may only use it see it.
pub(super) fn wrapper(hal: &Arc<dyn RootKeys>) -> Arc<dyn KeyWrapper> {
    let hal: Arc<dyn RootKeys> = Arc::clone(hal);
    hal
}
