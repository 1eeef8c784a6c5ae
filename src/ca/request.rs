//! Certificate signing requests (PKCS#10, RFC 2986): read, and refused unless their key is good and was proven; and made for a key
//! that stays where it was made.

use x509_parser::{
    certification_request::{X509CertificationRequest, X509CertificationRequestInfo},
    cri_attributes::ParsedCriAttribute,
    extensions::{ParsedExtension, X509Extension},
    oid_registry::{
        OID_EC_P256, OID_NIST_EC_P384, OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE,
        OID_X509_EXT_KEY_USAGE, OID_X509_EXT_SUBJECT_ALT_NAME,
    },
    prelude::FromDer as _,
    public_key::PublicKey,
    x509::SubjectPublicKeyInfo,
};

use super::{CaError, PrivateKey, der, issue::check_common_name, pem};

/// Smallest RSA modulus that is signed, in bits.
pub const MIN_RSA_BITS: usize = 2048;

/// A request whose sender has proven to hold the private key.
#[derive(Debug)]
pub(super) struct CheckedRequest {
    /// The subject's Name, DER, exactly as it was sent.
    pub(super) subject: Vec<u8>,
    /// SubjectPublicKeyInfo, DER, exactly as it was sent.
    pub(super) public_key: Vec<u8>,
    /// The extensions that it wishes for, by name or number.
    pub(super) wishes: Vec<String>,
}

impl CheckedRequest {
    /// Reads PEM or DER. The version field may be any number: NetApp Element does not send the 0 that the standard wants.
    /// Extensions are the authority's to set; a request to become an authority is refused rather than granted in part.
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
        if extensions(info).any(wants_authority) {
            return Err(CaError::WantsAuthority);
        }
        Ok(Self {
            subject: info.subject.as_raw().to_vec(),
            public_key: info.subject_pki.raw.to_vec(),
            wishes: extensions(info).map(name_of).collect(),
        })
    }
}

/// A request for a certificate of `key` with this common name, in PEM form.
///
/// # Errors
/// The common name is not allowed; signing failed.
pub fn request_for(key: &PrivateKey, common_name: &str) -> Result<String, CaError> {
    check_common_name(common_name)?;
    let info = der::request_info(&der::name(common_name), key.public());
    let request = key.algorithm().join(&info, &key.sign(&info)?);
    Ok(pem::encode("CERTIFICATE REQUEST", &request).to_string())
}

fn extensions<'a>(info: &'a X509CertificationRequestInfo<'a>) -> impl Iterator<Item = &'a X509Extension<'a>> {
    info.iter_attributes().flat_map(|attribute| match attribute.parsed_attribute() {
        ParsedCriAttribute::ExtensionRequest(request) => request.extensions.as_slice(),
        _ => &[],
    })
}

/// Constraints that cannot be read are not taken for harmless.
fn wants_authority(extension: &X509Extension<'_>) -> bool {
    extension.oid == OID_X509_EXT_BASIC_CONSTRAINTS
        && !matches!(extension.parsed_extension(), ParsedExtension::BasicConstraints(constraints) if !constraints.ca)
}

fn name_of(extension: &X509Extension<'_>) -> String {
    let named = [
        (OID_X509_EXT_SUBJECT_ALT_NAME, "subjectAltName"),
        (OID_X509_EXT_KEY_USAGE, "keyUsage"),
        (OID_X509_EXT_EXTENDED_KEY_USAGE, "extendedKeyUsage"),
        (OID_X509_EXT_BASIC_CONSTRAINTS, "basicConstraints"),
    ];
    let known = named.iter().find(|(oid, _)| *oid == extension.oid);
    known.map_or_else(|| extension.oid.to_id_string(), |(_, name)| (*name).to_owned())
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
