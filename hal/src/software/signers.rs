//! Signing keys in memory: ECDSA by `ring`, RSA by `aws-lc-rs`, which also makes RSA keys.

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::KeySize,
    signature::{
        KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
        RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
    },
};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        KeyPair as _,
    },
};
use zeroize::Zeroizing;

use crate::{HalError, Label, Outage, Refusal, SignScheme, SignerId, SignerInfo, SignerKind};

/// A signing key, with the PKCS#8 document that is stored.
pub(super) struct Signer {
    pub(super) label: Label,
    pub(super) kind: SignerKind,
    pub(super) pkcs8: Zeroizing<Vec<u8>>,
    pair: Pair,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Signer {
    pub(super) fn generate(label: &Label, kind: SignerKind, rng: &SystemRandom) -> Result<Self, HalError> {
        let failed = || HalError::Unavailable(Outage::DeviceFailed);
        let pkcs8 = match Family::of(kind) {
            Family::Ec(algorithm) => {
                let document = EcdsaKeyPair::generate_pkcs8(algorithm, rng).map_err(|_| failed())?;
                Zeroizing::new(document.as_ref().to_vec())
            }
            Family::Rsa(size) => {
                let pair = RsaKeyPair::generate(size).map_err(|_| failed())?;
                let document: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| failed())?;
                Zeroizing::new(document.as_ref().to_vec())
            }
        };
        Self::open(label.clone(), kind, pkcs8)
    }

    /// The key of a stored document.
    pub(super) fn open(label: Label, kind: SignerKind, pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, HalError> {
        let corrupt = HalError::Refused(Refusal::FileCorrupt);
        let pair = match Family::of(kind) {
            Family::Ec(algorithm) => {
                EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8, &SystemRandom::new()).map(Pair::Ec).map_err(|_| corrupt)?
            }
            Family::Rsa(size) => {
                let pair = RsaKeyPair::from_pkcs8(&pkcs8).map_err(|_| corrupt.clone())?;
                if pair.public_modulus_len() != size.len() {
                    return Err(corrupt);
                }
                Pair::Rsa(pair)
            }
        };
        Ok(Self { label, kind, pkcs8, pair })
    }

    pub(super) fn sign(&self, message: &[u8], scheme: SignScheme, rng: &SystemRandom) -> Result<Vec<u8>, HalError> {
        if !scheme.fits(self.kind) {
            return Err(HalError::Refused(Refusal::WrongSignerKind));
        }
        let failed = |_| HalError::Unavailable(Outage::DeviceFailed);
        match &self.pair {
            Pair::Ec(pair) => {
                let signature = pair.sign(rng, message).map_err(|_| HalError::Unavailable(Outage::DeviceFailed))?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Rsa(pair) => {
                let encoding = encoding(scheme).ok_or(HalError::Refused(Refusal::WrongSignerKind))?;
                let mut signature = vec![0; pair.public_modulus_len()];
                let random = aws_lc_rs::rand::SystemRandom::new();
                pair.sign(encoding, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }

    pub(super) fn info(&self, id: SignerId) -> SignerInfo {
        let public_key = match &self.pair {
            Pair::Ec(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
        };
        SignerInfo { id, label: self.label.clone(), kind: self.kind, public_key }
    }
}

/// What a kind is to the libraries.
enum Family {
    Ec(&'static EcdsaSigningAlgorithm),
    Rsa(KeySize),
}

impl Family {
    fn of(kind: SignerKind) -> Self {
        match kind {
            SignerKind::EcdsaP256 => Self::Ec(&ECDSA_P256_SHA256_ASN1_SIGNING),
            SignerKind::EcdsaP384 => Self::Ec(&ECDSA_P384_SHA384_ASN1_SIGNING),
            SignerKind::Rsa2048 => Self::Rsa(KeySize::Rsa2048),
            SignerKind::Rsa3072 => Self::Rsa(KeySize::Rsa3072),
        }
    }
}

fn encoding(scheme: SignScheme) -> Option<&'static dyn RsaEncoding> {
    match scheme {
        SignScheme::EcdsaP256Sha256 | SignScheme::EcdsaP384Sha384 => None,
        SignScheme::RsaPssSha256 => Some(&RSA_PSS_SHA256),
        SignScheme::RsaPssSha384 => Some(&RSA_PSS_SHA384),
        SignScheme::RsaPssSha512 => Some(&RSA_PSS_SHA512),
        SignScheme::RsaPkcs1Sha256 => Some(&RSA_PKCS1_SHA256),
        SignScheme::RsaPkcs1Sha384 => Some(&RSA_PKCS1_SHA384),
        SignScheme::RsaPkcs1Sha512 => Some(&RSA_PKCS1_SHA512),
    }
}
