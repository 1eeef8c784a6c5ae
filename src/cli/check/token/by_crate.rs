//! The crate rustls-pkcs11 (0.1.1), and what must hold before it is called.
//!
//! Its defects, each with its guard here or in `token.rs`:
//! * No slot, no certificate, no name in the certificate: it panics. All are looked for first.
//! * A PIN is tried by it as by us: ours comes first, and a wrong one ends there.
//! * It takes the first slot, the first certificate and, at each signature, the first key of the type: it is used only where
//!   those are the ones that were chosen and proven to belong together.
//! * The scheme follows the issuer's signature rather than the key: both must be RSA.
//! * RSA-PSS has wrong parameters and ECDSA wrong mechanisms and, at times, a wrong encoding: it is used for PKCS #1 v1.5 only.
//! * It initialises the module and fails where that is done: it comes to it first, and once.
//! * Displaying one of its errors overflows the stack: they are never displayed, nor handed to anything that would.
//! * It unwraps what a token that goes away answers: a panic in it is an error here.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use hal::{
    SecretBytes,
    pkcs11::client_key::{ClientToken, KeyFamily},
};
use rustls::{
    OtherError, SignatureAlgorithm, SignatureScheme,
    client::ResolvesClientCert as _,
    sign::{CertifiedKey, Signer, SigningKey},
};
use rustls_pkcs11::PKCS11ClientCertResolver;
use x509_parser::{
    certificate::X509Certificate,
    oid_registry::{OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA},
    x509::X509Name,
};

use super::{Chosen, TokenArg};
use crate::cli::output::note;

/// The scheme that the crate would sign with, or why it is not to be used.
pub(super) fn usable(token: &ClientToken, chosen: &Chosen) -> Result<SignatureScheme, &'static str> {
    if chosen.family != KeyFamily::Rsa {
        return Err("the key is not RSA");
    }
    if !token.is_first() {
        return Err("the token is not in the first slot");
    }
    if !chosen.is_first {
        return Err("the certificate is not the first on the token, or has a chain");
    }
    if !chosen.key.is_first {
        return Err("the key is not the first RSA key on the token");
    }
    let der = chosen.chain.first().ok_or("no certificate")?;
    let (_, certificate) = x509_parser::parse_x509_certificate(der).map_err(|_| "the certificate cannot be read")?;
    if !is_named(certificate.subject()) || !is_named(certificate.issuer()) {
        return Err("the certificate's subject or issuer has no common name");
    }
    let scheme =
        issuers_scheme(&certificate).ok_or("the issuer's signature is neither RSA with SHA-256 nor SHA-384")?;
    let signs = chosen.schemes.iter().any(|(proven, _)| *proven == scheme);
    if signs { Ok(scheme) } else { Err("the token does not sign with the scheme that it would use") }
}

fn issuers_scheme(certificate: &X509Certificate<'_>) -> Option<SignatureScheme> {
    let algorithm = &certificate.signature_algorithm.algorithm;
    if *algorithm == OID_PKCS1_SHA256WITHRSA {
        Some(SignatureScheme::RSA_PKCS1_SHA256)
    } else if *algorithm == OID_PKCS1_SHA384WITHRSA {
        Some(SignatureScheme::RSA_PKCS1_SHA384)
    } else {
        None
    }
}

fn is_named(name: &X509Name<'_>) -> bool {
    name.iter_common_name().next().is_some_and(|name| name.as_str().is_ok())
}

/// The certificate on the token with the crate as its key; `None`, with a note, where that failed after all.
pub(super) fn open(arg: &TokenArg, pin: &SecretBytes, chosen: &Chosen) -> Option<Arc<CertifiedKey>> {
    let pin = std::str::from_utf8(pin.expose_secret()).ok()?;
    let opened = catch_unwind(|| PKCS11ClientCertResolver::new(Some(pin), arg.module.as_os_str()).ok());
    let key = opened.ok().flatten().and_then(|resolver| resolver.resolve(&[], &[]));
    match key {
        Some(key) if key.cert == chosen.chain => {
            let guarded = Guarded(Arc::clone(&key.key));
            Some(Arc::new(CertifiedKey::new(key.cert.clone(), Arc::new(guarded))))
        }
        _ => {
            note("note: rustls-pkcs11 cannot use the token; signing without it");
            None
        }
    }
}

/// The crate's key, whose errors and panics go no further.
#[derive(Debug)]
struct Guarded<T: ?Sized>(T);

/// The crate did not sign.
#[derive(Debug, thiserror::Error)]
#[error("the token did not sign, or went away (by rustls-pkcs11)")]
struct NotSigned;

impl SigningKey for Guarded<Arc<dyn SigningKey>> {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        self.0.choose_scheme(offered).map(|signer| Box::new(Guarded(signer)) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl Signer for Guarded<Box<dyn Signer>> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signed = catch_unwind(AssertUnwindSafe(|| self.0.sign(message)));
        let signed: Result<_, Box<dyn Any + Send>> = signed.map(Result::ok);
        signed.ok().flatten().ok_or_else(|| OtherError(Arc::new(NotSigned)).into())
    }

    fn scheme(&self) -> SignatureScheme {
        self.0.scheme()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    /// Fails as the crate does: its error must not be displayed.
    #[derive(Debug)]
    struct Failing {
        panics: bool,
    }

    #[derive(Debug)]
    struct NeverDisplayed;

    impl fmt::Display for NeverDisplayed {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("an error of the crate was displayed")
        }
    }

    impl std::error::Error for NeverDisplayed {}

    impl Signer for Failing {
        fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
            assert!(!self.panics, "as the crate does where the token is gone");
            Err(OtherError(Arc::new(NeverDisplayed)).into())
        }

        fn scheme(&self) -> SignatureScheme {
            SignatureScheme::RSA_PKCS1_SHA256
        }
    }

    #[test]
    fn what_the_crate_fails_or_panics_with_goes_no_further() {
        for panics in [false, true] {
            let signer: Box<dyn Signer> = Box::new(Failing { panics });
            let error = Guarded(signer).sign(b"message").unwrap_err();
            assert!(error.to_string().contains("the token did not sign"), "{error}");
        }
    }
}
