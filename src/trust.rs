//! Trust: which certificate acts as which adapter.
//!
//! It owns the snapshot of registered certificates, rules and adapters ([`Trust`]) and its replacement when they change
//! ([`LiveTrust`]), and with it what operators decided about root keys. A registered certificate is trusted by itself: self-signed, without Extended Key Usage and marked as a CA are all
//! normal (vCenter's client certificate is). One that is not registered is trusted only if it chains to the own CA **and** a rule
//! maps its subject's common name to an adapter. It never looks at a request and never changes the store.

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rustls::{
    RootCertStore,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, UnixTime};
use uuid::Uuid;
use x509_parser::prelude::{FromDer, X509Certificate};

pub use self::live::{LiveTrust, TrustSource};
use crate::store::{AdapterId, AdapterRow, Fingerprint, RootKeyRow, RuleKind, StoreError, TrustRows};

mod live;

/// Characters of a certificate's common name that are kept for people to read.
const SHOWN_NAME_CHARS: usize = 64;

/// Who may connect, at one moment. Immutable; shared behind an `Arc`.
pub struct Trust {
    pinned: HashMap<Fingerprint, AdapterId>,
    rules: HashMap<String, AdapterId>,
    adapters: HashMap<AdapterId, AdapterRow>,
    root_keys: HashMap<Uuid, RootKeyRow>,
    /// `None` without an own CA.
    chain_verifier: Option<Arc<dyn ClientCertVerifier>>,
}

/// What a certificate was recognised as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The adapter that its holder acts as.
    pub adapter: AdapterId,
    /// The certificate's fingerprint.
    pub certificate: Fingerprint,
    /// What it is trusted by.
    pub by: TrustedBy,
}

/// Why a certificate is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustedBy {
    /// It is registered.
    Registration,
    /// It was issued by the own CA, and a rule maps this common name.
    Rule {
        /// The common name of its subject.
        common_name: String,
    },
}

/// A certificate that does not open a connection, with what an operator needs to tell which it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("certificate {certificate} (\"{subject}\"): {reason}")]
pub struct Refusal {
    /// The certificate's fingerprint.
    pub certificate: Fingerprint,
    /// The common name of its subject, shortened, without control characters; empty where there is none.
    pub subject: String,
    /// Why.
    pub reason: RefusalReason,
}

/// Why a certificate is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RefusalReason {
    /// It is not registered and does not chain to the own CA.
    #[error("not registered with any adapter")]
    Unknown,
    /// The own CA issued it, but no rule maps its common name.
    #[error("issued by the own CA, but no rule maps its common name to an adapter")]
    NoRule,
    /// Its subject has no common name or several, so no rule can apply.
    #[error("issued by the own CA, but its subject has not exactly one common name")]
    NoCommonName,
    /// Its validity has ended.
    #[error("expired")]
    Expired,
    /// Its validity has not begun.
    #[error("not yet valid; is the clock right?")]
    NotYetValid,
    /// It is not an X.509 certificate.
    #[error("not a readable X.509 certificate")]
    Malformed,
}

impl RefusalReason {
    /// A short name for metrics and log fields.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::NoRule => "no_rule",
            Self::NoCommonName => "no_common_name",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Malformed => "malformed",
        }
    }

    /// What an operator can do about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Unknown => "register this certificate with an adapter if the client is yours",
            Self::NoRule | Self::NoCommonName => {
                "register this certificate with an adapter, or add a rule for its common name"
            }
            Self::Expired => "renew the client's certificate and register the new one",
            Self::NotYetValid => "check the clocks of this machine and of the one that issued the certificate",
            Self::Malformed => "give the client another certificate",
        }
    }
}

/// Why there is no new snapshot.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The store could not be read.
    #[error("adapters and certificates could not be read: {0}")]
    Store(#[from] StoreError),
    /// A certificate given as the own CA's cannot be one.
    #[error("the own CA's certificate cannot be used: {0}")]
    Ca(rustls::Error),
    /// No verifier could be made over the own CA's certificates.
    #[error("the own CA's certificates cannot be used: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The thread that watches for changes could not be started.
    #[error("the trust refresher could not be started: {0}")]
    Thread(std::io::Error),
}

impl Trust {
    /// Makes a snapshot of `rows`; `chain_verifier` comes from [`own_ca_verifier`]. Certificates and rules whose adapter is not
    /// among the rows are left out, so that they open nothing.
    #[must_use]
    pub fn new(rows: TrustRows, chain_verifier: Option<Arc<dyn ClientCertVerifier>>) -> Self {
        let adapters: HashMap<_, _> = rows.adapters.into_iter().map(|row| (row.id, row)).collect();
        let pinned = rows
            .certificates
            .into_iter()
            .filter(|row| adapters.contains_key(&row.adapter))
            .map(|row| (row.fingerprint, row.adapter))
            .collect();
        let rules = rows
            .ca_rules
            .into_iter()
            .filter(|row| adapters.contains_key(&row.adapter))
            .filter(|row| row.issuer.is_none() && row.kind == RuleKind::CommonName)
            .map(|row| (row.value, row.adapter))
            .collect();
        let root_keys = rows.root_keys.into_iter().map(|row| (row.id, row)).collect();
        Self { pinned, rules, adapters, root_keys, chain_verifier }
    }

    /// The adapter with this identifier.
    #[must_use]
    pub fn adapter(&self, id: AdapterId) -> Option<&AdapterRow> {
        self.adapters.get(&id)
    }

    /// The root key with this identifier: its state, and the version that seals.
    #[must_use]
    pub fn root_key(&self, id: Uuid) -> Option<&RootKeyRow> {
        self.root_keys.get(&id)
    }

    /// All root keys, in no order.
    pub fn root_keys(&self) -> impl Iterator<Item = &RootKeyRow> {
        self.root_keys.values()
    }

    /// The adapter that a registered certificate belongs to.
    #[must_use]
    pub fn adapter_of(&self, certificate: &Fingerprint) -> Option<AdapterId> {
        self.pinned.get(certificate).copied()
    }

    /// Recognises the certificate that a peer presented. Whether the peer holds its private key is for TLS to prove.
    ///
    /// # Errors
    /// The certificate opens no connection at `now`.
    pub fn identify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Identity, Refusal> {
        let certificate = fingerprint(end_entity);
        let malformed = || Refusal { certificate, subject: String::new(), reason: RefusalReason::Malformed };
        let (rest, parsed) = X509Certificate::from_der(end_entity).map_err(|_| malformed())?;
        if !rest.is_empty() {
            return Err(malformed());
        }
        let refuse = |reason| Refusal { certificate, subject: shown_name(&parsed), reason };
        let mapped = match self.pinned.get(&certificate) {
            Some(adapter) => Identity { adapter: *adapter, certificate, by: TrustedBy::Registration },
            None => self.identify_by_rule(certificate, &parsed, end_entity, intermediates, now).map_err(refuse)?,
        };
        check_dates(&parsed, now).map_err(refuse)?;
        Ok(mapped)
    }

    /// Whether `identity`, recognised earlier, would be recognised as the same adapter today. Does not look at dates.
    #[must_use]
    pub fn still_holds(&self, identity: &Identity) -> bool {
        let adapter = match &identity.by {
            TrustedBy::Registration => self.pinned.get(&identity.certificate),
            TrustedBy::Rule { common_name } => self.rules.get(common_name),
        };
        adapter == Some(&identity.adapter)
    }

    fn identify_by_rule(
        &self,
        certificate: Fingerprint,
        parsed: &X509Certificate<'_>,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Identity, RefusalReason> {
        let verifier = self.chain_verifier.as_ref().ok_or(RefusalReason::Unknown)?;
        verifier.verify_client_cert(end_entity, intermediates, now).map_err(|error| chain_refusal(&error))?;
        let mut names = parsed.subject().iter_common_name();
        let (Some(name), None) = (names.next(), names.next()) else { return Err(RefusalReason::NoCommonName) };
        let common_name = name.as_str().map_err(|_| RefusalReason::NoCommonName)?.to_owned();
        let adapter = *self.rules.get(&common_name).ok_or(RefusalReason::NoRule)?;
        Ok(Identity { adapter, certificate, by: TrustedBy::Rule { common_name } })
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("adapters", &self.adapters.len())
            .field("certificates", &self.pinned.len())
            .field("rules", &self.rules.len())
            .field("own_ca", &self.chain_verifier.is_some())
            .finish()
    }
}

/// What checks chains against the own CA's certificates; `None` without any.
///
/// # Errors
/// One of them is not a CA certificate that can be a trust anchor.
pub fn own_ca_verifier(own_ca: &[CertificateDer<'static>]) -> Result<Option<Arc<dyn ClientCertVerifier>>, TrustError> {
    if own_ca.is_empty() {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for certificate in own_ca {
        roots.add(certificate.clone()).map_err(TrustError::Ca)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
    Ok(Some(verifier))
}

/// SHA-256 of a certificate's DER form.
#[must_use]
pub fn fingerprint(certificate: &CertificateDer<'_>) -> Fingerprint {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    Fingerprint(bytes)
}

/// The present time as rustls wants it.
pub(crate) fn now() -> UnixTime {
    UnixTime::since_unix_epoch(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn check_dates(parsed: &X509Certificate<'_>, now: UnixTime) -> Result<(), RefusalReason> {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < parsed.validity().not_before.timestamp() {
        Err(RefusalReason::NotYetValid)
    } else if now > parsed.validity().not_after.timestamp() {
        Err(RefusalReason::Expired)
    } else {
        Ok(())
    }
}

/// Only dates are worth telling apart from a certificate of somebody else's.
fn chain_refusal(error: &rustls::Error) -> RefusalReason {
    use rustls::CertificateError as E;
    match error {
        rustls::Error::InvalidCertificate(E::Expired | E::ExpiredContext { .. }) => RefusalReason::Expired,
        rustls::Error::InvalidCertificate(E::NotValidYet | E::NotValidYetContext { .. }) => RefusalReason::NotYetValid,
        _ => RefusalReason::Unknown,
    }
}

/// The subject's common name as it may go to a log: a stranger chose it, so it is cut and stripped of control characters.
fn shown_name(parsed: &X509Certificate<'_>) -> String {
    let name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default();
    name.chars().filter(|c| !c.is_control()).take(SHOWN_NAME_CHARS).collect()
}
