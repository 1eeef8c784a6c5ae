//! Trust: which certificate acts as which adapter.
//!
//! It owns the snapshot of registered certificates, rules and adapters ([`Trust`]) and its replacement when they change
//! ([`LiveTrust`]), and with it what operators decided about root keys. A registered certificate is trusted by itself: self-signed, without Extended Key Usage and marked as a CA are all
//! normal (vCenter's client certificate is). One that is not registered is trusted only if it chains to an authority, the own CA or
//! one that an operator has registered, **and** a rule of that authority maps its subject to an adapter. What the own authority
//! issued for one adapter no rule maps to another. It never looks at a request and never changes the store.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};
use uuid::Uuid;
use x509_parser::prelude::{FromDer, X509Certificate};

use self::rules::{Authority, Names, verifier};
pub use self::{
    authorities::{BadAuthority, check_authority},
    issued::{issued_row, keep_registered},
    live::{LiveTrust, TrustSource},
    rules::{BadRule, rule_value},
};
use crate::{
    ca::subject_text,
    store::{AdapterId, AdapterRow, Fingerprint, RootKeyRow, StoreError, TrustRows},
};

mod authorities;
mod issued;
mod live;
mod rules;

/// Characters of a certificate's common name that are kept for people to read.
const SHOWN_NAME_CHARS: usize = 64;
/// Characters of a certificate's subject that are kept.
const SHOWN_SUBJECT_CHARS: usize = 256;

/// Who may connect, at one moment. Immutable; shared behind an `Arc`.
pub struct Trust {
    pinned: HashMap<Fingerprint, AdapterId>,
    /// For whom the own authority issued a certificate, registered or not; the adapter may be gone.
    issued: HashMap<Fingerprint, AdapterId>,
    adapters: HashMap<AdapterId, AdapterRow>,
    root_keys: HashMap<Uuid, RootKeyRow>,
    /// By their certificates; the own CA is `None` and may be missing.
    authorities: BTreeMap<Option<[u8; 32]>, Authority>,
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
    /// What people are shown of it.
    pub shown: ShownCertificate,
}

/// What people are shown of a certificate that connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownCertificate {
    /// Its subject as RFC 4514 text, shortened. Whoever made the certificate chose it.
    pub subject: Arc<str>,
    /// When its validity ends, in seconds since 1970-01-01 UTC.
    pub expires_at: i64,
}

/// Why a certificate is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustedBy {
    /// It is registered.
    Registration,
    /// An authority issued it, and a rule maps it.
    Rule {
        /// The authority's certificate; `None` for the own CA.
        issuer: Option<Fingerprint>,
        /// The rule.
        rule: Uuid,
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
    /// The adapter that its holder would act as.
    pub adapter: Option<AdapterId>,
    /// The certificate as the client sent it, DER.
    pub der: Arc<[u8]>,
    /// Why.
    pub reason: RefusalReason,
}

/// Why a certificate is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RefusalReason {
    /// It is not registered and does not chain to any authority.
    #[error("not registered with any adapter")]
    Unknown,
    /// A known authority issued it, but none of that authority's rules maps it.
    #[error("issued by a known authority, but no rule of that authority maps it to an adapter")]
    NoRule,
    /// The same, and its subject has no common name or several, so no rule for a common name can apply.
    #[error("issued by a known authority, but no rule maps it, and its subject has not exactly one common name")]
    NoCommonName,
    /// Rules map it to several adapters.
    #[error("rules map it to more than one adapter")]
    Ambiguous,
    /// The own authority issued it for one adapter, and rules map it to others only.
    #[error("issued by the own authority for another adapter than the one that a rule maps it to")]
    IssuedForAnother,
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
            Self::Ambiguous => "ambiguous",
            Self::IssuedForAnother => "issued_for_another",
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
                "register this certificate with an adapter, or add a rule for its subject or an alternative name"
            }
            Self::Ambiguous => "remove a rule, or register this certificate with the adapter that is meant",
            Self::IssuedForAnother => {
                "issue the client a certificate for the adapter that is meant, or register this one with it"
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
    /// A certificate given as an authority's cannot be one.
    #[error("an authority's certificate cannot be used: {0}")]
    Ca(rustls::Error),
    /// No verifier could be made over an authority's certificates.
    #[error("an authority's certificates cannot be used: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The thread that watches for changes could not be started.
    #[error("the trust refresher could not be started: {0}")]
    Thread(std::io::Error),
}

impl Trust {
    /// Makes a snapshot of `rows`; `chain_verifier` comes from [`own_ca_verifier`]. Certificates and rules whose adapter is not
    /// among the rows are left out, and so are rules whose authority is not, so that they open nothing.
    #[must_use]
    pub fn new(rows: TrustRows, chain_verifier: Option<Arc<dyn ClientCertVerifier>>) -> Self {
        let adapters: HashMap<_, _> = rows.adapters.into_iter().map(|row| (row.id, row)).collect();
        let pinned = rows
            .certificates
            .into_iter()
            .filter(|row| adapters.contains_key(&row.adapter))
            .map(|row| (row.fingerprint, row.adapter))
            .collect();
        let mut authorities = BTreeMap::new();
        authorities.extend(chain_verifier.map(|own| (None, Authority::new(own))));
        for row in rows.authorities {
            match verifier(&[CertificateDer::from(row.der)]) {
                Ok(verifier) => drop(authorities.insert(Some(row.fingerprint.0), Authority::new(verifier))),
                // It was checked when it was registered; one that cannot be used any more lets nobody in.
                Err(error) => tracing::error!(authority = %row.fingerprint, %error, "an authority is left out"),
            }
        }
        for row in rows.ca_rules.into_iter().filter(|row| adapters.contains_key(&row.adapter)) {
            if let Some(authority) = authorities.get_mut(&row.issuer.map(|issuer| issuer.0)) {
                authority.add(row);
            }
        }
        // Chains are not built over an authority for nothing.
        authorities.retain(|issuer, authority| issuer.is_none() || authority.has_rules());
        let root_keys = rows.root_keys.into_iter().map(|row| (row.id, row)).collect();
        let issued = rows.issued.into_iter().map(|row| (row.fingerprint, row.adapter)).collect();
        Self { pinned, issued, adapters, root_keys, authorities }
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
        let malformed = || Refusal {
            certificate,
            subject: String::new(),
            adapter: None,
            der: end_entity.as_ref().into(),
            reason: RefusalReason::Malformed,
        };
        let (rest, parsed) = X509Certificate::from_der(end_entity).map_err(|_| malformed())?;
        if !rest.is_empty() {
            return Err(malformed());
        }
        let refuse = |adapter, reason| Refusal { subject: shown_name(&parsed), adapter, reason, ..malformed() };
        let (adapter, by) = match self.pinned.get(&certificate) {
            Some(adapter) => (*adapter, TrustedBy::Registration),
            None => {
                let issued_for = self.issued_for(&certificate);
                self.identify_by_rule(&parsed, issued_for, end_entity, intermediates, now)
                    .map_err(|reason| refuse(None, reason))?
            }
        };
        check_dates(&parsed, now).map_err(|reason| refuse(Some(adapter), reason))?;
        let subject = subject_text(&parsed).chars().take(SHOWN_SUBJECT_CHARS).collect::<String>().into();
        let shown = ShownCertificate { subject, expires_at: parsed.validity().not_after.timestamp() };
        Ok(Identity { adapter, certificate, by, shown })
    }

    /// Whether `identity`, recognised earlier, would be recognised as the same adapter today. Does not look at dates.
    #[must_use]
    pub fn still_holds(&self, identity: &Identity) -> bool {
        match &identity.by {
            TrustedBy::Registration => self.pinned.get(&identity.certificate) == Some(&identity.adapter),
            TrustedBy::Rule { issuer, rule } => {
                let authority = self.authorities.get(&issuer.map(|issuer| issuer.0));
                self.issued_for(&identity.certificate).is_none_or(|meant| meant == identity.adapter)
                    && authority
                        .is_some_and(|authority| authority.rules().any(|found| found == (*rule, identity.adapter)))
            }
        }
    }

    /// The adapters whose rules name a certificate, whichever authority issued it: it may reach the rule's authority through
    /// certificates that only its holder has. Nothing for one that names itself as its issuer.
    #[must_use]
    pub fn named_by_rules(&self, certificate: &CertificateDer<'_>) -> Vec<AdapterId> {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
        if parsed.issuer().as_raw() == parsed.subject().as_raw() {
            return Vec::new();
        }
        let names = Names::of(&parsed);
        self.authorities
            .values()
            .flat_map(|authority| authority.matches(&names))
            .map(|matched| matched.adapter)
            .collect()
    }

    /// The adapter that rules map a certificate to. Every authority is asked about its own certificates only, and rules of other
    /// adapters than the one that it was issued for are nothing to it.
    fn identify_by_rule(
        &self,
        parsed: &X509Certificate<'_>,
        issued_for: Option<AdapterId>,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(AdapterId, TrustedBy), RefusalReason> {
        let names = Names::of(parsed);
        let (mut found, mut refusal, mut is_for_another) = (None, RefusalReason::Unknown, false);
        for (issuer, authority) in &self.authorities {
            match authority.check(end_entity, intermediates, now) {
                Ok(()) => refusal = RefusalReason::NoRule,
                Err(reason) => {
                    if refusal == RefusalReason::Unknown {
                        refusal = reason;
                    }
                    continue;
                }
            }
            for matched in authority.matches(&names) {
                if issued_for.is_some_and(|meant| meant != matched.adapter) {
                    is_for_another = true;
                    continue;
                }
                let by = TrustedBy::Rule { issuer: issuer.map(Fingerprint), rule: matched.rule };
                match &found {
                    Some((adapter, _)) if *adapter != matched.adapter => return Err(RefusalReason::Ambiguous),
                    Some(_) => {}
                    None => found = Some((matched.adapter, by)),
                }
            }
        }
        if is_for_another {
            refusal = RefusalReason::IssuedForAnother;
        } else if refusal == RefusalReason::NoRule && !names.has_common_name() {
            refusal = RefusalReason::NoCommonName;
        }
        found.ok_or(refusal)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("adapters", &self.adapters.len())
            .field("certificates", &self.pinned.len())
            .field("rules", &self.authorities.values().map(|authority| authority.rules().count()).sum::<usize>())
            .field("own_ca", &self.authorities.contains_key(&None))
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
    verifier(own_ca).map(Some)
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

/// The subject's common name as it may go to a log: a stranger chose it, so it is cut and stripped of control characters.
fn shown_name(parsed: &X509Certificate<'_>) -> String {
    let name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default();
    name.chars().filter(|c| !c.is_control()).take(SHOWN_NAME_CHARS).collect()
}
