//! A TLS private key that stays in the HSM: rustls' signing key over the HAL.
//!
//! Which key it is comes from the certificate, so that a server can start while its token is away. That the key in the HSM is
//! the certificate's is proven by a signature that the certificate's public key verifies: at the start where the HSM answers
//! then, with the first handshake where it does not. Signing blocks for as long as the HSM takes: see `handshake.rs`.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use hal::{HalError, KeyWrapper, SignScheme, SignerId, SignerKind};
use rustls::{
    OtherError, SignatureAlgorithm, SignatureScheme,
    sign::{Signer, SigningKey},
};
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use webpki::RawPublicKeyEntity;

use super::client_certificate::public_key;
use crate::telemetry::metric;

/// What is signed to prove the key. No protocol signs such a text.
const PROOF: &[u8] = b"keystead: this key is the one in the certificate";

/// Why a key in the HSM cannot be used, or did not sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HsmKeyError {
    /// The HSM did not sign.
    #[error("{0}")]
    Hsm(#[from] HalError),
    /// What it signed does not verify with the certificate's public key.
    #[error("the key in the HSM is not the one in the certificate: have a certificate issued for this key")]
    OtherKey,
    /// The certificate cannot be read, or its key is of another kind.
    #[error("the certificate is not for a key of the kind {0}")]
    OtherKind(SignerKind),
}

/// Which key of which HSM.
#[derive(Clone)]
pub struct HsmKey {
    /// The HSM.
    pub hsm: Arc<dyn KeyWrapper>,
    /// The key.
    pub signer: SignerId,
    /// Its kind, as recorded when it was made.
    pub kind: SignerKind,
}

impl fmt::Debug for HsmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HsmKey").field("signer", &self.signer).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A key in the HSM together with the public key of its certificate.
#[derive(Clone, Debug)]
pub(super) struct CertifiedHsmKey(Arc<Certified>);

#[derive(Debug)]
struct Certified {
    key: HsmKey,
    public: SubjectPublicKeyInfoDer<'static>,
    proven: AtomicBool,
}

impl CertifiedHsmKey {
    /// The key with the public key of `certificate`. Nothing is proven yet.
    ///
    /// # Errors
    /// [`HsmKeyError::OtherKind`].
    pub(super) fn new(key: HsmKey, certificate: &CertificateDer<'_>) -> Result<Self, HsmKeyError> {
        let kind = key.kind;
        let public = public_key(certificate).map_err(|_| HsmKeyError::OtherKind(kind))?;
        let entity = RawPublicKeyEntity::try_from(&public).map_err(|_| HsmKeyError::OtherKind(kind))?;
        // An algorithm that does not fit the public key is told apart from a signature that is wrong.
        let fits = schemes(kind).iter().any(|(scheme, _)| {
            !matches!(
                verify(&entity, *scheme, PROOF, &[]),
                Err(webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_))
            )
        });
        if !fits {
            return Err(HsmKeyError::OtherKind(kind));
        }
        Ok(Self(Arc::new(Certified { key, public, proven: AtomicBool::new(false) })))
    }

    /// Proves that the key in the HSM is the certificate's. Blocks for as long as the HSM takes.
    ///
    /// # Errors
    /// [`HsmKeyError::Hsm`] where the HSM does not sign, [`HsmKeyError::OtherKey`].
    pub(super) fn prove(&self) -> Result<(), HsmKeyError> {
        let Some((scheme, sign_scheme)) = schemes(self.0.key.kind).first() else { return Ok(()) };
        self.0.sign(PROOF, *scheme, *sign_scheme).map(drop)
    }

    /// Whether the key has been proven.
    pub(super) fn is_proven(&self) -> bool {
        self.0.proven.load(Ordering::Acquire)
    }

    /// Takes over the proof of an earlier certificate for the same key.
    pub(super) fn trust_as(&self, earlier: &Self) {
        if self.0.public == earlier.0.public && self.0.key.signer == earlier.0.key.signer && earlier.is_proven() {
            self.0.proven.store(true, Ordering::Release);
        }
    }
}

impl Certified {
    /// Signs, and verifies until the first signature has proven the key.
    fn sign(&self, message: &[u8], scheme: SignatureScheme, sign_scheme: SignScheme) -> Result<Vec<u8>, HsmKeyError> {
        let start = Instant::now();
        let signature = self.key.hsm.sign(self.key.signer, message, sign_scheme);
        metrics::histogram!(metric::HSM_SECONDS, "operation" => "tls_sign").record(start.elapsed());
        let signature = signature?;
        if !self.proven.load(Ordering::Acquire) {
            let entity = RawPublicKeyEntity::try_from(&self.public).map_err(|_| HsmKeyError::OtherKey)?;
            verify(&entity, scheme, message, &signature).map_err(|_| HsmKeyError::OtherKey)?;
            self.proven.store(true, Ordering::Release);
        }
        Ok(signature)
    }
}

impl SigningKey for CertifiedHsmKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let (scheme, sign_scheme) = *schemes(self.0.key.kind).iter().find(|(scheme, _)| offered.contains(scheme))?;
        Some(Box::new(HsmSigner { key: Arc::clone(&self.0), scheme, sign_scheme }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.0.public.as_ref()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.0.key.kind {
            SignerKind::EcdsaP256 | SignerKind::EcdsaP384 => SignatureAlgorithm::ECDSA,
            SignerKind::Rsa2048 | SignerKind::Rsa3072 => SignatureAlgorithm::RSA,
        }
    }
}

/// One handshake's signature.
#[derive(Debug)]
struct HsmSigner {
    key: Arc<Certified>,
    scheme: SignatureScheme,
    sign_scheme: SignScheme,
}

impl Signer for HsmSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        // Carried whole to where the operator is told.
        self.key.sign(message, self.scheme, self.sign_scheme).map_err(|error| OtherError(Arc::new(error)).into())
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

/// Finds the failure of the HSM that made a handshake fail.
pub(super) fn failure_in(error: &rustls::Error) -> Option<&HsmKeyError> {
    match error {
        rustls::Error::Other(OtherError(cause)) => cause.downcast_ref(),
        _ => None,
    }
}

/// What a kind of key signs with, best first; TLS 1.3 leaves PKCS #1 v1.5 out by itself (RFC 8446 section 4.2.3).
fn schemes(kind: SignerKind) -> &'static [TlsScheme] {
    match kind {
        SignerKind::EcdsaP256 => P256_SCHEMES,
        SignerKind::EcdsaP384 => P384_SCHEMES,
        SignerKind::Rsa2048 | SignerKind::Rsa3072 => RSA_SCHEMES,
    }
}

/// A signature scheme of TLS, and how the HAL calls it.
pub(crate) type TlsScheme = (SignatureScheme, SignScheme);

/// The schemes of P-256 keys.
pub(crate) const P256_SCHEMES: &[TlsScheme] = &[(SignatureScheme::ECDSA_NISTP256_SHA256, SignScheme::EcdsaP256Sha256)];
/// The schemes of P-384 keys.
pub(crate) const P384_SCHEMES: &[TlsScheme] = &[(SignatureScheme::ECDSA_NISTP384_SHA384, SignScheme::EcdsaP384Sha384)];
/// The schemes of RSA keys.
pub(crate) const RSA_SCHEMES: &[TlsScheme] = &[
    (SignatureScheme::RSA_PSS_SHA256, SignScheme::RsaPssSha256),
    (SignatureScheme::RSA_PSS_SHA384, SignScheme::RsaPssSha384),
    (SignatureScheme::RSA_PSS_SHA512, SignScheme::RsaPssSha512),
    (SignatureScheme::RSA_PKCS1_SHA256, SignScheme::RsaPkcs1Sha256),
    (SignatureScheme::RSA_PKCS1_SHA384, SignScheme::RsaPkcs1Sha384),
    (SignatureScheme::RSA_PKCS1_SHA512, SignScheme::RsaPkcs1Sha512),
];

/// Whether `signature` over `message` is one by the key of `certificate`.
pub(crate) fn verifies(
    certificate: &CertificateDer<'_>,
    scheme: SignatureScheme,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let Ok(public) = public_key(certificate) else { return false };
    let entity = RawPublicKeyEntity::try_from(&public);
    entity.is_ok_and(|entity| verify(&entity, scheme, message, signature).is_ok())
}

fn verify(
    key: &RawPublicKeyEntity<'_>,
    scheme: SignatureScheme,
    message: &[u8],
    signature: &[u8],
) -> Result<(), webpki::Error> {
    let all = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let found = all.mapping.iter().find(|(known, _)| *known == scheme);
    let algorithm = found.and_then(|(_, candidates)| candidates.first()).copied();
    match algorithm {
        Some(algorithm) => key.verify_signature(algorithm, message, signature),
        None => Err(webpki::Error::InvalidSignatureForPublicKey),
    }
}
