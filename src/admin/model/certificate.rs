//! Certificates.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::shown_time;
use crate::{
    ca::{CaError, Thumbprints},
    trust::fingerprint,
};

/// A client certificate.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CertificateInfo {
    /// SHA-256 of the certificate, in lower hexadecimal.
    pub fingerprint: String,
    /// SHA-1 of the certificate, as vCenter shows it.
    pub thumbprint_sha1: String,
    /// SHA-256 of the certificate, as vCenter shows it.
    pub thumbprint_sha256: String,
    /// Its subject.
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
            // Whoever made the certificate chose it.
            subject: parsed.subject().to_string().chars().filter(|c| !c.is_control()).collect(),
            not_before: time(parsed.validity().not_before.timestamp()),
            not_after: time(parsed.validity().not_after.timestamp()),
        })
    }
}
