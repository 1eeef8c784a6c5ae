//! Rules: which certificates of which authority act as which adapter, by what their subject says.
//!
//! Each authority has rules of its own. Whether it issued a certificate is verified over it alone, so no rule of one authority
//! ever lets in a certificate of another, whatever that one wrote into it.

use std::{collections::HashMap, sync::Arc};

use rustls::{
    RootCertStore,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, DnsName, UnixTime};
use uuid::Uuid;
use x509_parser::{extensions::GeneralName, prelude::X509Certificate};

use super::{RefusalReason, TrustError};
use crate::{
    ca::{canonical_name, subject_text},
    store::{AdapterId, CaRuleRow, RuleKind},
};

/// Longest common name, in characters (RFC 5280, ub-common-name).
const COMMON_NAME_CHARS: usize = 64;
/// Longest value of any rule, in bytes.
const VALUE_BYTES: usize = 2048;

/// A value that no certificate could be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// For [`RuleKind::CommonName`].
    #[error("a common name has 1 to {COMMON_NAME_CHARS} characters and no control characters")]
    CommonName,
    /// For [`RuleKind::Subject`].
    #[error("not a distinguished name such as CN=array-1,O=Example,C=US (RFC 4514, last part first)")]
    Subject,
    /// For [`RuleKind::Dns`].
    #[error("not a DNS name such as array-1.example.com")]
    Dns,
    /// For [`RuleKind::Uri`].
    #[error("not a URI such as spiffe://example.com/array-1")]
    Uri,
    /// For [`RuleKind::Email`].
    #[error("not an e-mail address such as array-1@example.com")]
    Email,
}

/// The form in which the value of a rule is stored and compared.
///
/// # Errors
/// No certificate can have such a value.
pub fn rule_value(kind: RuleKind, text: &str) -> Result<String, BadRule> {
    let fits = text.len() <= VALUE_BYTES && !text.contains(char::is_control);
    match kind {
        RuleKind::CommonName => {
            let length = text.chars().count();
            let fits = fits && (1..=COMMON_NAME_CHARS).contains(&length);
            fits.then(|| text.to_owned()).ok_or(BadRule::CommonName)
        }
        RuleKind::Subject => canonical_name(text).filter(|_| fits).ok_or(BadRule::Subject),
        RuleKind::Dns => {
            let name = text.strip_prefix("*.").unwrap_or(text);
            DnsName::try_from(name).map(|_| text.to_ascii_lowercase()).map_err(|_| BadRule::Dns)
        }
        RuleKind::Uri => {
            let is_uri = text.split_once(':').is_some_and(|(scheme, rest)| {
                scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                    && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
                    && !rest.is_empty()
                    && rest.bytes().all(|byte| byte.is_ascii_graphic())
            });
            (fits && is_uri).then(|| text.to_owned()).ok_or(BadRule::Uri)
        }
        RuleKind::Email => {
            let is_address = fits && text.bytes().all(|byte| byte.is_ascii_graphic());
            email(text).filter(|_| is_address).ok_or(BadRule::Email)
        }
    }
}

/// An authority and its rules.
pub(super) struct Authority {
    verifier: Arc<dyn ClientCertVerifier>,
    rules: HashMap<(RuleKind, String), (AdapterId, Uuid)>,
}

/// What a rule made of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) adapter: AdapterId,
    pub(super) rule: Uuid,
}

impl Authority {
    /// An authority whose chains `verifier` checks, without rules.
    pub(super) fn new(verifier: Arc<dyn ClientCertVerifier>) -> Self {
        Self { verifier, rules: HashMap::new() }
    }

    pub(super) fn add(&mut self, row: CaRuleRow) {
        self.rules.insert((row.kind, row.value), (row.adapter, row.id));
    }

    pub(super) fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    pub(super) fn rules(&self) -> impl Iterator<Item = (Uuid, AdapterId)> {
        self.rules.values().map(|(adapter, rule)| (*rule, *adapter))
    }

    /// Whether the authority issued `end_entity`, for a TLS client.
    pub(super) fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), RefusalReason> {
        let verified = self.verifier.verify_client_cert(end_entity, intermediates, now);
        verified.map(drop).map_err(|error| chain_refusal(&error))
    }

    /// The rules that a certificate of this authority meets.
    pub(super) fn matches<'a>(&'a self, names: &'a Names) -> impl Iterator<Item = Match> + 'a {
        names
            .0
            .iter()
            .filter_map(|name| self.rules.get(name))
            .map(|(adapter, rule)| Match { adapter: *adapter, rule: *rule })
    }
}

/// What rules can compare of a certificate.
pub(super) struct Names(Vec<(RuleKind, String)>);

impl Names {
    pub(super) fn of(certificate: &X509Certificate<'_>) -> Self {
        let mut names = vec![(RuleKind::Subject, subject_text(certificate))];
        names.extend(common_name(certificate).map(|name| (RuleKind::CommonName, name)));
        // An extension that is there twice is as good as none.
        if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
            names.extend(alternatives.value.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((RuleKind::Dns, name.to_ascii_lowercase())),
                GeneralName::URI(uri) => Some((RuleKind::Uri, (*uri).to_owned())),
                GeneralName::RFC822Name(address) => email(address).map(|address| (RuleKind::Email, address)),
                _ => None,
            }));
        }
        Self(names)
    }

    pub(super) fn has_common_name(&self) -> bool {
        self.0.iter().any(|(kind, _)| *kind == RuleKind::CommonName)
    }
}

/// The only common name of a certificate: of several, none is meant.
fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let mut names = certificate.subject().iter_common_name();
    let (Some(name), None) = (names.next(), names.next()) else { return None };
    name.as_str().ok().map(str::to_owned)
}

/// Case counts before the @ and not behind it (RFC 5280 section 7.5).
fn email(address: &str) -> Option<String> {
    let (local, host) = address.rsplit_once('@')?;
    let is_one = !local.is_empty() && !local.contains('@') && !host.is_empty();
    is_one.then(|| format!("{local}@{}", host.to_ascii_lowercase()))
}

/// What checks chains over `anchors` and nothing else.
///
/// # Errors
/// One of them cannot be a trust anchor.
pub(super) fn verifier(anchors: &[CertificateDer<'_>]) -> Result<Arc<dyn ClientCertVerifier>, TrustError> {
    let mut roots = RootCertStore::empty();
    for certificate in anchors {
        roots.add(certificate.clone().into_owned()).map_err(TrustError::Ca)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?)
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
