//! Private keys: those in files are made, read, written and signed with; those in the HSM are only signed with.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256},
};
use hal::{KeyWrapper, SignScheme, SignerId, SignerInfo, SignerKind};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use zeroize::Zeroizing;

use super::{CaError, der::SignatureAlgorithm, parse, pem};

/// What kind of key to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA with 3072 bits: what every KMIP client understands. Making one takes up to a few seconds.
    Rsa3072,
    /// ECDSA on P-256: faster handshakes; some older clients cannot.
    EcdsaP256,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyKind::Rsa3072 => "rsa-3072",
            KeyKind::EcdsaP256 => "ecdsa-p256",
        })
    }
}

/// A private key, in memory or in the HSM. It signs with SHA-256; on P-384 with SHA-384.
pub struct PrivateKey {
    pair: Pair,
    /// SubjectPublicKeyInfo, DER.
    public: Vec<u8>,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Hsm { hsm: Arc<dyn KeyWrapper>, signer: SignerId, scheme: SignScheme, algorithm: SignatureAlgorithm },
}

impl PrivateKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// The random number generator failed.
    pub fn generate(kind: KeyKind) -> Result<Self, CaError> {
        let failed = |_| CaError::Crypto;
        match kind {
            KeyKind::Rsa3072 => Self::rsa(RsaKeyPair::generate(KeySize::Rsa3072).map_err(failed)?),
            KeyKind::EcdsaP256 => Self::ecdsa(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(failed)?),
        }
    }

    /// Reads a PKCS#8 key in PEM form: RSA of at least 2048 bits or ECDSA on P-256.
    ///
    /// # Errors
    /// It is none.
    pub fn from_pem(text: &[u8]) -> Result<Self, CaError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text).map_err(CaError::Pem)?;
        let der = der.secret_pkcs8_der();
        if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
            return Self::rsa(pair);
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der);
        Self::ecdsa(pair.map_err(|_| CaError::UnsupportedKey)?)
    }

    /// The key that `hsm` holds and describes as `signer`.
    #[must_use]
    pub fn in_hsm(hsm: Arc<dyn KeyWrapper>, signer: &SignerInfo) -> Self {
        let (scheme, algorithm) = match signer.kind {
            SignerKind::EcdsaP256 => (SignScheme::EcdsaP256Sha256, SignatureAlgorithm::EcdsaSha256),
            SignerKind::EcdsaP384 => (SignScheme::EcdsaP384Sha384, SignatureAlgorithm::EcdsaSha384),
            SignerKind::Rsa2048 | SignerKind::Rsa3072 => {
                (SignScheme::RsaPkcs1Sha256, SignatureAlgorithm::RsaPkcs1Sha256)
            }
        };
        Self { pair: Pair::Hsm { hsm, signer: signer.id, scheme, algorithm }, public: signer.spki() }
    }

    /// The key as a PKCS#8 PEM block.
    ///
    /// # Errors
    /// The key cannot be encoded, or is in the HSM.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, CaError> {
        self.with_pkcs8(|der| pem::encode("PRIVATE KEY", der))
    }

    /// Hands the key as PKCS#8 to `work`, which must leave no copy behind.
    pub(super) fn with_pkcs8<T>(&self, work: impl FnOnce(&[u8]) -> T) -> Result<T, CaError> {
        let failed = |_| CaError::Crypto;
        // The library wipes its own buffers of private keys when they are dropped.
        match &self.pair {
            Pair::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                Ok(work(der.as_ref()))
            }
            Pair::Ecdsa(pair) => Ok(work(pair.to_pkcs8v1().map_err(failed)?.as_ref())),
            Pair::Hsm { .. } => Err(CaError::KeyInHsm),
        }
    }

    /// Whether the key is the one whose public half is `public_key` (SubjectPublicKeyInfo, DER).
    #[must_use]
    pub fn belongs_to(&self, public_key: &[u8]) -> bool {
        self.public == public_key
    }

    /// Whether `certificate` (DER) is for this key.
    ///
    /// # Errors
    /// It is no certificate.
    pub fn certifies(&self, certificate: &[u8]) -> Result<bool, CaError> {
        Ok(self.belongs_to(parse(certificate)?.public_key().raw))
    }

    /// SubjectPublicKeyInfo, DER.
    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    pub(super) fn algorithm(&self) -> SignatureAlgorithm {
        match &self.pair {
            Pair::Rsa(_) => SignatureAlgorithm::RsaPkcs1Sha256,
            Pair::Ecdsa(_) => SignatureAlgorithm::EcdsaSha256,
            Pair::Hsm { algorithm, .. } => *algorithm,
        }
    }

    /// Signs `message` in the form that X.509 wants.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CaError> {
        let rng = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &rng, message, &mut signature).map_err(|_| CaError::Crypto)?;
                Ok(signature)
            }
            Pair::Ecdsa(pair) => Ok(pair.sign(&rng, message).map_err(|_| CaError::Crypto)?.as_ref().to_vec()),
            Pair::Hsm { hsm, signer, scheme, .. } => Ok(hsm.sign(*signer, message, *scheme)?),
        }
    }

    fn rsa(pair: RsaKeyPair) -> Result<Self, CaError> {
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| CaError::Crypto)?;
        let public = public.as_ref().to_vec();
        Ok(Self { pair: Pair::Rsa(pair), public })
    }

    fn ecdsa(pair: EcdsaKeyPair) -> Result<Self, CaError> {
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| CaError::Crypto)?;
        let public = public.as_ref().to_vec();
        Ok(Self { pair: Pair::Ecdsa(pair), public })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_pem_form() {
        for kind in [KeyKind::Rsa3072, KeyKind::EcdsaP256] {
            let key = PrivateKey::generate(kind).unwrap();
            let pem = key.to_pem().unwrap();
            let read = PrivateKey::from_pem(pem.as_bytes()).unwrap();
            assert!(read.belongs_to(key.public()));
            assert!(!PrivateKey::generate(KeyKind::EcdsaP256).unwrap().belongs_to(key.public()));
        }
    }

    #[test]
    fn refuses_what_is_no_private_key() {
        for text in [&b""[..], b"hello", b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"] {
            assert!(PrivateKey::from_pem(text).is_err());
        }
    }
}
