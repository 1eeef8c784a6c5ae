//! Private keys in files: made, read, written and signed with. A key that lives in the HSM never comes here.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256},
};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use zeroize::Zeroizing;

use super::{CaError, der::SignatureAlgorithm, pem};

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

/// A private key in memory. It signs with SHA-256.
pub struct PrivateKey {
    pair: Pair,
    /// SubjectPublicKeyInfo, DER.
    public: Vec<u8>,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
}

impl PrivateKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// The random number generator failed.
    pub fn generate(kind: KeyKind) -> Result<Self, CaError> {
        match kind {
            KeyKind::Rsa3072 => RsaKeyPair::generate(KeySize::Rsa3072).map(Pair::Rsa),
            KeyKind::EcdsaP256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Pair::Ecdsa),
        }
        .map_err(|_| CaError::Crypto)
        .and_then(Self::new)
    }

    /// Reads a PKCS#8 key in PEM form: RSA of at least 2048 bits or ECDSA on P-256.
    ///
    /// # Errors
    /// It is none.
    pub fn from_pem(text: &[u8]) -> Result<Self, CaError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text).map_err(CaError::Pem)?;
        let der = der.secret_pkcs8_der();
        RsaKeyPair::from_pkcs8(der)
            .map(Pair::Rsa)
            .or_else(|_| EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der).map(Pair::Ecdsa))
            .map_err(|_| CaError::UnsupportedKey)
            .and_then(Self::new)
    }

    /// The key as a PKCS#8 PEM block.
    ///
    /// # Errors
    /// The key cannot be encoded.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, CaError> {
        let failed = |_| CaError::Crypto;
        // The library wipes its own buffers of private keys when they are dropped.
        Ok(match &self.pair {
            Pair::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                pem::encode("PRIVATE KEY", der.as_ref())
            }
            Pair::Ecdsa(pair) => pem::encode("PRIVATE KEY", pair.to_pkcs8v1().map_err(failed)?.as_ref()),
        })
    }

    /// Whether the key is the one whose public half is `public_key` (SubjectPublicKeyInfo, DER).
    #[must_use]
    pub fn belongs_to(&self, public_key: &[u8]) -> bool {
        self.public == public_key
    }

    /// SubjectPublicKeyInfo, DER.
    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    pub(super) fn algorithm(&self) -> SignatureAlgorithm {
        match &self.pair {
            Pair::Rsa(_) => SignatureAlgorithm::RsaPkcs1Sha256,
            Pair::Ecdsa(_) => SignatureAlgorithm::EcdsaSha256,
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
        }
    }

    fn new(pair: Pair) -> Result<Self, CaError> {
        let public: PublicKeyX509Der<'_> = match &pair {
            Pair::Rsa(pair) => pair.public_key().as_der(),
            Pair::Ecdsa(pair) => pair.public_key().as_der(),
        }
        .map_err(|_| CaError::Crypto)?;
        let public = public.as_ref().to_vec();
        Ok(Self { pair, public })
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
