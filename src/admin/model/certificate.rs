//! Certificates: those of clients, how they come to an adapter, and when they end.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;
use uuid::Uuid;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use super::shown_time;
use crate::{
    admin::http::Resource,
    ca::{CaError, KeyKind, Thumbprints, subject_text},
    text,
    trust::fingerprint,
};

/// Characters of a subject that are shown.
const SUBJECT_CHARS: usize = 512;

/// What a certificate says.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CertificateInfo {
    /// SHA-256 of the certificate, in lower hexadecimal.
    pub fingerprint: String,
    /// SHA-1 of the certificate, as vCenter shows it.
    pub thumbprint_sha1: String,
    /// SHA-256 of the certificate, as vCenter shows it.
    pub thumbprint_sha256: String,
    /// Its subject (RFC 4514), of which a very long one is cut. Whoever made the certificate chose it.
    pub subject: String,
    /// When its validity begins.
    pub not_before: String,
    /// When its validity ends.
    pub not_after: String,
}

impl CertificateInfo {
    /// Describes the certificate `der`.
    ///
    /// # Errors
    /// It is none.
    pub fn of(der: &[u8]) -> Result<Self, CaError> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|_| CaError::NotACertificate)?;
        let thumbprints = Thumbprints::of(der);
        let time = |time: i64| shown_time(time.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second()));
        Ok(Self {
            fingerprint: fingerprint(&der.into()).to_string(),
            thumbprint_sha1: thumbprints.sha1,
            thumbprint_sha256: thumbprints.sha256,
            subject: text::shown(&subject_text(&parsed), SUBJECT_CHARS),
            not_before: time(parsed.validity().not_before.timestamp()),
            not_after: time(parsed.validity().not_after.timestamp()),
        })
    }
}

/// A client certificate that is registered with an adapter: whoever holds its private key acts as that adapter.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Certificate {
    /// What it says.
    #[serde(flatten)]
    pub info: CertificateInfo,
    /// The adapter.
    pub adapter: Uuid,
    /// A name for people.
    pub name: String,
    /// The kind of its key, such as `rsa-3072`.
    pub key: String,
    /// Whole days until its validity ends; negative afterwards.
    pub days_left: i64,
    /// When it was registered.
    pub added_at: String,
    /// When it was used last to connect, to some seconds; null where it never was.
    pub last_seen: Option<Sighting>,
    /// The certificate in PEM form; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pem: Option<String>,
}

/// When and from where a certificate was used.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Sighting {
    /// When.
    pub at: String,
    /// The client's address.
    pub address: String,
}

/// Client certificates to be registered.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCertificate {
    /// A name for people, 2 to 40 characters; without it the common name of the certificate. Of several certificates the
    /// second is called `name (2)`, and so on.
    #[serde(default)]
    #[schema(min_length = 2, max_length = 40)]
    pub name: Option<String>,
    /// One or several certificates (BEGIN/END CERTIFICATE). Behind the first, those of authorities are passed over: a chain
    /// may be given as it is.
    pub pem: String,
}

/// Client certificates that were registered.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RegisteredCertificates {
    /// They.
    pub items: Vec<Certificate>,
    /// What the operator should know about them.
    pub notes: Vec<String>,
}

/// A certificate signing request of a client, such as a storage cluster.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SigningRequest {
    /// The request (PKCS#10), in PEM form or as the base64 of its DER form.
    pub request: String,
    /// A name for people, 2 to 40 characters; without it the common name.
    #[serde(default)]
    #[schema(min_length = 2, max_length = 40)]
    pub name: Option<String>,
    /// For how many days the certificate is valid, 1 to 1825; without it 1825.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1825)]
    pub days: Option<u16>,
    /// Whether the certificate is registered with the adapter, as it is where nothing is said. False is allowed where a rule of
    /// the adapter covers it.
    #[serde(default)]
    pub register: Option<bool>,
}

/// A certificate that the server's own authority issued for a request.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SignedCertificate {
    /// What it says.
    #[serde(flatten)]
    pub info: CertificateInfo,
    /// The adapter that its holder acts as.
    pub adapter: Uuid,
    /// The certificate in PEM form, for the client.
    pub certificate_pem: String,
    /// The certificate of the authority, which the client must trust, in PEM form.
    pub ca_pem: String,
    /// What the request wished for and was not granted: the authority decides what a certificate is for.
    pub not_granted: Vec<String>,
    /// Whether it is registered.
    pub registered: bool,
    /// The rule of the adapter that covers it as well.
    pub rule: Option<Uuid>,
}

/// The kind of a new private key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ClientKey {
    /// RSA with 3072 bits, which every client understands.
    #[default]
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    /// ECDSA on P-256.
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
}

impl From<ClientKey> for KeyKind {
    fn from(key: ClientKey) -> Self {
        match key {
            ClientKey::Rsa3072 => Self::Rsa3072,
            ClientKey::EcdsaP256 => Self::EcdsaP256,
        }
    }
}

/// A text that is in no log, such as a password.
#[derive(Clone, ToSchema)]
#[schema(value_type = String, format = Password)]
pub struct Password(pub Zeroizing<String>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The error would repeat what it found instead of a text.
        let text = String::deserialize(deserializer).map_err(|_| de::Error::custom("a password must be a text"))?;
        Ok(Self(text.into()))
    }
}

impl Serialize for Password {
    /// For the command line, which sends it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A client certificate to be issued together with its private key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewIssued {
    /// The common name of its subject, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    pub common_name: String,
    /// A name for people, 2 to 40 characters; without it the common name.
    #[serde(default)]
    #[schema(min_length = 2, max_length = 40)]
    pub name: Option<String>,
    /// The password of the file, 12 to 128 printable ASCII characters.
    #[schema(min_length = 12, max_length = 128)]
    pub password: Password,
    /// The kind of the private key.
    #[serde(default)]
    pub key: ClientKey,
    /// For how many days the certificate is valid, 1 to 1825; without it 1825.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1825)]
    pub days: Option<u16>,
}

/// A client certificate that was issued and registered, with its private key.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Issued {
    /// The certificate.
    #[serde(flatten)]
    pub certificate: Certificate,
    /// A PKCS#12 file (base64): certificate, private key and the authority's certificate, under the password of the request.
    /// It is in this answer only; the server keeps no copy.
    pub pkcs12: String,
    /// The certificate of the authority, which the client must trust, in PEM form.
    pub ca_pem: String,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Certificate {
    fn place(&self) -> String {
        format!("/v1/adapters/{}/certificates/{}", self.adapter, self.info.fingerprint)
    }
}

impl Resource for RegisteredCertificates {
    /// That of the only one, or of the list.
    fn path(&self) -> String {
        match self.items.as_slice() {
            [one] => one.place(),
            [first, ..] => format!("/v1/adapters/{}/certificates", first.adapter),
            [] => String::new(),
        }
    }

    fn revision(&self) -> Option<u64> {
        None
    }
}

impl Resource for SignedCertificate {
    fn path(&self) -> String {
        match self.rule.filter(|_| !self.registered) {
            Some(rule) => format!("/v1/adapters/{}/rules/{rule}", self.adapter),
            None => format!("/v1/adapters/{}/certificates/{}", self.adapter, self.info.fingerprint),
        }
    }

    fn revision(&self) -> Option<u64> {
        None
    }
}

impl Resource for Issued {
    fn path(&self) -> String {
        self.certificate.place()
    }

    fn revision(&self) -> Option<u64> {
        None
    }
}
