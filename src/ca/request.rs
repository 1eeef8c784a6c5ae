//! Certificate signing requests (PKCS#10, RFC 2986): read, and refused unless their key is good and was proven.

use x509_parser::{
    certification_request::X509CertificationRequest,
    oid_registry::{OID_EC_P256, OID_NIST_EC_P384},
    prelude::FromDer as _,
    public_key::PublicKey,
    x509::SubjectPublicKeyInfo,
};

use super::{CaError, pem};

/// Smallest RSA modulus that is signed, in bits.
pub const MIN_RSA_BITS: usize = 2048;

/// A request whose sender has proven to hold the private key.
#[derive(Debug)]
pub(super) struct CheckedRequest {
    /// The subject's Name, DER, exactly as it was sent.
    pub(super) subject: Vec<u8>,
    /// SubjectPublicKeyInfo, DER, exactly as it was sent.
    pub(super) public_key: Vec<u8>,
}

impl CheckedRequest {
    /// Reads PEM or DER. The version field may be any number: NetApp Element does not send the 0 that the standard wants.
    /// Extensions that the request asks for are not looked at: the authority's policy sets them.
    pub(super) fn read(file: &[u8]) -> Result<Self, CaError> {
        let der = pem::read_request(file)?;
        let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|_| CaError::NotARequest)?;
        let info = &request.certification_request_info;
        if !rest.is_empty() {
            return Err(CaError::NotARequest);
        }
        if info.subject.iter().next().is_none() {
            return Err(CaError::NoSubject);
        }
        check_public_key(&info.subject_pki)?;
        request.verify_signature().map_err(|_| CaError::BadRequestSignature)?;
        Ok(Self { subject: info.subject.as_raw().to_vec(), public_key: info.subject_pki.raw.to_vec() })
    }
}

/// Refuses keys that are weak or that TLS here cannot use. Says whether the key is RSA.
pub(super) fn check_public_key(key: &SubjectPublicKeyInfo<'_>) -> Result<bool, CaError> {
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            // The modulus is a signed number, so its leading zero byte does not count.
            let bits = rsa.modulus.iter().skip_while(|byte| **byte == 0).count() * 8;
            if bits < MIN_RSA_BITS { Err(CaError::WeakKey { bits }) } else { Ok(true) }
        }
        Ok(PublicKey::EC(_)) => {
            let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
            if curve.is_some_and(|curve| curve == OID_EC_P256 || curve == OID_NIST_EC_P384) {
                Ok(false)
            } else {
                Err(CaError::UnsupportedKey)
            }
        }
        _ => Err(CaError::UnsupportedKey),
    }
}
