//! The own certificate authority: it issues the server's certificate and client certificates, and signs requests that
//! clients such as a storage cluster or vCenter bring.
//!
//! What a certificate may be used for is decided here, never by the requester. An authority's key signs in one place,
//! `CertificateAuthority::sign`; it is in a file or in the HSM. It knows neither adapters nor the store.

mod der;
mod describe;
mod issue;
mod key;
mod pem;
mod pkcs12;
mod request;
mod subject;

use std::{fmt, net::IpAddr, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use ring::digest;
use rustls_pki_types::DnsName;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName};
use zeroize::Zeroizing;

pub use self::{
    der::SubjectAltName,
    describe::{Description, Thumbprints, describe},
    issue::{ClientFile, Lifetime, NewClient, SignedRequest},
    key::{KeyKind, PrivateKey},
    pem::read_certificates,
    pkcs12::FilePassword,
    request::{MIN_RSA_BITS, request_for},
    subject::canonical_name,
};
use self::{
    der::{Certificate, Purpose},
    request::check_public_key,
};

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Certificates are valid from a day ago, for clients whose clock is slow.
const BACKDATED_DAYS: i32 = 1;
/// The authority outlives what it issues by far: every client must be told of a new one.
const AUTHORITY_DAYS: i32 = 20 * 365;
/// Longest common name in characters (RFC 5280, ub-common-name).
const MAX_COMMON_NAME: usize = 64;

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// Not PEM.
    #[error("not in PEM form: {0}")]
    Pem(rustls_pki_types::pem::Error),
    /// Not a certificate.
    #[error("there is no X.509 certificate in it")]
    NotACertificate,
    /// Not a PKCS#10 request.
    #[error("there is no certificate request in it")]
    NotARequest,
    /// The request's signature does not verify with the key in it.
    #[error(
        "the request's signature is wrong: whoever made it does not hold the private key, or it was changed on its way"
    )]
    BadRequestSignature,
    /// The request names nobody.
    #[error("the request has no subject")]
    NoSubject,
    /// The request is for the certificate of an authority.
    #[error(
        "the request asks for an authority's certificate (CA:TRUE): have the client make one for a client's, without basicConstraints"
    )]
    WantsAuthority,
    /// The certificate would be valid too briefly or too long.
    #[error("a certificate is valid for 1 to {} days", Lifetime::LONGEST_DAYS)]
    BadLifetime,
    /// The password of a file is too short or too long, or has characters that programs write in different ways.
    #[error("the password of a PKCS#12 file has 12 to 128 characters, all of them printable ASCII")]
    BadPassword,
    /// The server's certificate is not one that the own authority issued.
    #[error("the server's certificate was issued by somebody else, who must renew it: {issuer}")]
    ForeignServer {
        /// Who issued it.
        issuer: String,
    },
    /// The RSA key is too short.
    #[error("the RSA key has {bits} bits: at least {MIN_RSA_BITS} are needed")]
    WeakKey {
        /// Its length.
        bits: usize,
    },
    /// A kind of key that is not used here.
    #[error("this kind of key is not supported: use RSA (2048 bits or more) or ECDSA on P-256 or P-384")]
    UnsupportedKey,
    /// The common name is empty, too long, or has control characters.
    #[error("a common name has 1 to {MAX_COMMON_NAME} characters and no control characters")]
    BadCommonName,
    /// Neither a host name nor an address.
    #[error("neither a host name nor an IP address")]
    BadSubjectAltName,
    /// The key is not the one in the authority's certificate.
    #[error("the private key does not belong to the authority's certificate")]
    KeyMismatch,
    /// The authority's certificate has ended.
    #[error("the authority's certificate ended on {0}: make a new authority")]
    AuthorityEnded(Timestamp),
    /// The HSM that holds the private key did not sign.
    #[error("{0}")]
    Hsm(#[from] hal::HalError),
    /// A private key in the HSM cannot be written to a file.
    #[error("the private key is in the HSM and cannot leave it")]
    KeyInHsm,
    /// The cryptographic library failed: no random numbers, in practice.
    #[error("the cryptographic library failed")]
    Crypto,
}

/// A certificate authority, able to sign.
pub struct CertificateAuthority {
    certificate: Vec<u8>,
    key: PrivateKey,
    subject: Vec<u8>,
    key_id: [u8; 20],
    not_after: Timestamp,
}

/// A certificate in both of its forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// DER.
    pub der: Vec<u8>,
    /// PEM.
    pub pem: String,
}

impl CertificateAuthority {
    /// Makes a new authority whose certificate says `key` and is valid from `now`.
    ///
    /// # Errors
    /// Signing failed.
    pub fn create(key: PrivateKey, now: Timestamp) -> Result<Self, CaError> {
        let key_id = key_id(key.public())?;
        // The name differs for each authority, so that two of them are never taken for one.
        let short = key_id.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>();
        let subject = der::name(&format!("Keystead CA {short}"));
        let not_after = later(now, AUTHORITY_DAYS);
        let mut authority = Self { certificate: Vec::new(), key, subject, key_id, not_after };
        let public_key = authority.key.public();
        authority.certificate = authority.sign(&Subject {
            name: &authority.subject,
            public_key,
            rsa: is_rsa(public_key)?,
            purpose: Purpose::Authority,
            not_before: later(now, -BACKDATED_DAYS),
            not_after,
        })?;
        Ok(authority)
    }

    /// The authority with this certificate (PEM) and private key.
    ///
    /// # Errors
    /// The certificate cannot be read, or they do not belong together.
    pub fn load(certificate: &[u8], key: PrivateKey) -> Result<Self, CaError> {
        let certificate = read_certificates(certificate)?.into_iter().next().ok_or(CaError::NotACertificate)?;
        let (subject, not_after) = {
            let parsed = parse(&certificate)?;
            if !key.belongs_to(parsed.public_key().raw) {
                return Err(CaError::KeyMismatch);
            }
            (parsed.subject().as_raw().to_vec(), timestamp(parsed.validity().not_after.timestamp()))
        };
        let key_id = key_id(key.public())?;
        Ok(Self { certificate: certificate.to_vec(), key, subject, key_id, not_after })
    }

    /// The authority's own certificate.
    #[must_use]
    pub fn certificate(&self) -> IssuedCertificate {
        IssuedCertificate::from_der(self.certificate.clone())
    }

    /// The authority's private key, PEM.
    ///
    /// # Errors
    /// It cannot be encoded.
    pub fn key_pem(&self) -> Result<Zeroizing<String>, CaError> {
        self.key.to_pem()
    }

    /// The one place where the authority's key is used.
    fn sign(&self, subject: &Subject<'_>) -> Result<Vec<u8>, CaError> {
        let algorithm = self.key.algorithm();
        let to_be_signed = Certificate {
            serial: random_serial()?,
            algorithm,
            issuer: &self.subject,
            not_before: subject.not_before,
            not_after: subject.not_after,
            subject: subject.name,
            public_key: subject.public_key,
            rsa: subject.rsa,
            purpose: subject.purpose.clone(),
            key_id: key_id(subject.public_key)?,
            issuer_key_id: self.key_id,
        }
        .to_be_signed();
        let signature = self.key.sign(&to_be_signed)?;
        Ok(algorithm.join(&to_be_signed, &signature))
    }
}

struct Subject<'a> {
    name: &'a [u8],
    public_key: &'a [u8],
    rsa: bool,
    purpose: Purpose,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl IssuedCertificate {
    /// The certificate `der` in both forms.
    #[must_use]
    pub fn from_der(der: Vec<u8>) -> Self {
        let pem = pem::encode("CERTIFICATE", &der).to_string();
        Self { der, pem }
    }
}

impl FromStr for SubjectAltName {
    type Err = CaError;

    fn from_str(text: &str) -> Result<Self, CaError> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(SubjectAltName::Ip(ip));
        }
        // A name made of digits and dots is a mistyped address, not a host.
        let looks_like_an_address = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        match DnsName::try_from(text) {
            Ok(name) if !looks_like_an_address => Ok(SubjectAltName::Dns(name.as_ref().to_ascii_lowercase())),
            _ => Err(CaError::BadSubjectAltName),
        }
    }
}

impl SubjectAltName {
    /// The same name in a certificate that was read; `None` for kinds that are not used here.
    fn of(name: &GeneralName<'_>) -> Option<Self> {
        match name {
            GeneralName::DNSName(name) => Some(SubjectAltName::Dns((*name).to_owned())),
            GeneralName::IPAddress(bytes) => <[u8; 4]>::try_from(*bytes)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
                .map(SubjectAltName::Ip)
                .ok(),
            _ => None,
        }
    }
}

impl fmt::Display for SubjectAltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubjectAltName::Dns(name) => f.write_str(name),
            SubjectAltName::Ip(ip) => ip.fmt(f),
        }
    }
}

/// The key identifier of RFC 7093 section 2, method 1: the first 160 bits of the public key's SHA-256.
fn key_id(public_key: &[u8]) -> Result<[u8; 20], CaError> {
    let key = subject_public_key(public_key)?;
    let hash = digest::digest(&digest::SHA256, &key.subject_public_key.data);
    hash.as_ref().first_chunk().copied().ok_or(CaError::Crypto)
}

fn is_rsa(public_key: &[u8]) -> Result<bool, CaError> {
    check_public_key(&subject_public_key(public_key)?)
}

/// The subject of a certificate as RFC 4514 text, as rules compare it.
#[must_use]
pub fn subject_text(certificate: &X509Certificate<'_>) -> String {
    subject::text_of(certificate.subject())
}

/// The issuer of a certificate likewise; `None` where it is no certificate.
#[must_use]
pub fn issuer_text(der: &[u8]) -> Option<String> {
    Some(subject::text_of(parse(der).ok()?.issuer()))
}

fn subject_public_key(der: &[u8]) -> Result<x509_parser::x509::SubjectPublicKeyInfo<'_>, CaError> {
    use x509_parser::prelude::FromDer as _;
    x509_parser::x509::SubjectPublicKeyInfo::from_der(der).map(|(_, key)| key).map_err(|_| CaError::UnsupportedKey)
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CaError> {
    x509_parser::parse_x509_certificate(der).map(|(_, certificate)| certificate).map_err(|_| CaError::NotACertificate)
}

/// 126 random bits in 16 bytes, of which the first is neither 0 nor negative.
fn random_serial() -> Result<[u8; 16], CaError> {
    let mut serial = [0; 16];
    let random = ring::rand::SystemRandom::new();
    ring::rand::SecureRandom::fill(&random, &mut serial).map_err(|_| CaError::Crypto)?;
    let [first, ..] = &mut serial;
    *first = *first & 0x3f | 0x40;
    Ok(serial)
}

fn later(from: Timestamp, days: i32) -> Timestamp {
    DAY.checked_mul(days).and_then(|span| from.checked_add(span).ok()).unwrap_or(from)
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
