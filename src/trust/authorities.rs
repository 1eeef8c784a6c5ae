//! Which certificates can be registered as authorities of other people.

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{TrustError, rules::verifier};

/// Why a certificate cannot be registered as an authority's.
#[derive(Debug, thiserror::Error)]
pub enum BadAuthority {
    /// It is not an X.509 certificate.
    #[error("not a readable X.509 certificate")]
    Malformed,
    /// It may not issue certificates.
    #[error("not an authority's certificate: it lacks basicConstraints CA:TRUE, or may not sign certificates")]
    NotAnAuthority,
    /// It is the own authority's, which rules without an issuer are for.
    #[error("this is the own authority: its certificates are accepted by rules that name no issuer")]
    OwnAuthority,
    /// Chains cannot be built over it.
    #[error(transparent)]
    Unusable(#[from] TrustError),
}

/// Whether chains can be checked over the certificate `der`, which is not one of `own_ca`.
///
/// # Errors
/// What it lacks.
pub fn check_authority(der: &[u8], own_ca: &[CertificateDer<'_>]) -> Result<(), BadAuthority> {
    let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| BadAuthority::Malformed)?;
    if !rest.is_empty() {
        return Err(BadAuthority::Malformed);
    }
    let key = parsed.public_key().raw;
    let is_ours = |own: &CertificateDer<'_>| {
        X509Certificate::from_der(own)
            .is_ok_and(|(_, own)| own.public_key().raw == key && own.subject() == parsed.subject())
    };
    if own_ca.iter().any(is_ours) {
        return Err(BadAuthority::OwnAuthority);
    }
    let signs =
        parsed.key_usage().map_err(|_| BadAuthority::Malformed)?.is_none_or(|usage| usage.value.key_cert_sign());
    if !parsed.is_ca() || !signs {
        return Err(BadAuthority::NotAnAuthority);
    }
    verifier(&[CertificateDer::from(der)])?;
    Ok(())
}
