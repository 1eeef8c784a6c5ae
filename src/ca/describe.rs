//! What people read of a certificate.

use jiff::Timestamp;
use ring::digest;
use x509_parser::public_key::PublicKey;

use super::{CaError, SubjectAltName, parse, subject_text, timestamp};

/// What people compare a certificate by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbprints {
    /// SHA-1, the form that vCenter up to 7.0 shows: `AA:BB:...`.
    pub sha1: String,
    /// SHA-256, the form that browsers and later vCenters show: `AA:BB:...`.
    pub sha256: String,
}

impl Thumbprints {
    /// The thumbprints of a certificate.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        let show = |algorithm| {
            let digest = digest::digest(algorithm, der);
            digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
        };
        Self { sha1: show(&digest::SHA1_FOR_LEGACY_USE_ONLY), sha256: show(&digest::SHA256) }
    }
}

/// What a listing shows of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The first common name of its subject, without control characters; the whole subject where there is none.
    pub common_name: String,
    /// Its subject.
    pub subject: String,
    /// Its subject as RFC 4514 text, as rules compare it.
    pub distinguished_name: String,
    /// The first moment of its validity.
    pub not_before: Timestamp,
    /// The last moment of its validity.
    pub not_after: Timestamp,
    /// Names and addresses of the server that it is for.
    pub alternative_names: Vec<SubjectAltName>,
    /// The kind of its key, as [`KeyKind`] is written; other kinds likewise.
    pub key: String,
    /// Whether it is the certificate of an authority: basicConstraints says so (CA:TRUE), and another one issued it or it may
    /// sign certificates. Many tools write CA:TRUE into the self-signed certificate of a client.
    pub is_authority: bool,
}

/// Describes the certificate `der`.
///
/// # Errors
/// It is none.
pub fn describe(der: &[u8]) -> Result<Description, CaError> {
    let certificate = parse(der)?;
    let clean = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
    let subject = clean(&certificate.subject().to_string());
    let common_name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).map(clean);
    let alternative_names = match certificate.subject_alternative_name() {
        Ok(Some(names)) => names.value.general_names.iter().filter_map(SubjectAltName::of).collect(),
        _ => Vec::new(),
    };
    Ok(Description {
        common_name: common_name.unwrap_or_else(|| subject.clone()),
        subject,
        distinguished_name: subject_text(&certificate),
        not_before: timestamp(certificate.validity().not_before.timestamp()),
        not_after: timestamp(certificate.validity().not_after.timestamp()),
        alternative_names,
        key: match certificate.public_key().parsed() {
            Ok(PublicKey::RSA(key)) => format!("rsa-{}", key.key_size()),
            Ok(PublicKey::EC(key)) => format!("ecdsa-p{}", key.key_size()),
            _ => "unknown".to_owned(),
        },
        is_authority: certificate.is_ca()
            && (certificate.subject() != certificate.issuer()
                || matches!(certificate.key_usage(), Ok(Some(usage)) if usage.value.key_cert_sign())),
    })
}
