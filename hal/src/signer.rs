//! Signing keys as callers see them: kinds, the schemes that fit them, public keys.

use std::fmt;

use serde::Serialize;

use crate::{Label, SignerId, der};

/// The kinds of signing keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum SignerKind {
    /// ECDSA on NIST P-256.
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    /// ECDSA on NIST P-384.
    #[serde(rename = "ecdsa-p384")]
    EcdsaP384,
    /// RSA with a modulus of 2048 bits and the public exponent 65537.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// RSA with a modulus of 3072 bits and the public exponent 65537.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
}

impl SignerKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::EcdsaP256, Self::EcdsaP384, Self::Rsa2048, Self::Rsa3072];

    /// The name in configuration, listings and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
        }
    }

    /// The kind of a name; `None` for any other text.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The scheme to sign with where the choice is free: RSASSA-PSS with SHA-256 for RSA keys.
    #[must_use]
    pub fn scheme(self) -> SignScheme {
        match self {
            Self::EcdsaP256 => SignScheme::EcdsaP256Sha256,
            Self::EcdsaP384 => SignScheme::EcdsaP384Sha384,
            Self::Rsa2048 | Self::Rsa3072 => SignScheme::RsaPssSha256,
        }
    }
}

impl fmt::Display for SignerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How to sign. Each needs a key that it [fits](Self::fits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignScheme {
    /// ECDSA on P-256 over SHA-256.
    EcdsaP256Sha256,
    /// ECDSA on P-384 over SHA-384.
    EcdsaP384Sha384,
    /// RSASSA-PSS (RFC 8017 section 8.1) with SHA-256, for MGF1 too, and a salt of 32 bytes.
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384, for MGF1 too, and a salt of 48 bytes.
    RsaPssSha384,
    /// RSASSA-PSS with SHA-512, for MGF1 too, and a salt of 64 bytes.
    RsaPssSha512,
    /// RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2) with SHA-256.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RsaPkcs1Sha512,
}

impl SignScheme {
    /// Every scheme.
    pub const ALL: [Self; 8] = [
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::RsaPssSha256,
        Self::RsaPssSha384,
        Self::RsaPssSha512,
        Self::RsaPkcs1Sha256,
        Self::RsaPkcs1Sha384,
        Self::RsaPkcs1Sha512,
    ];

    /// The name in reports and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::EcdsaP384Sha384 => "ecdsa-p384-sha384",
            Self::RsaPssSha256 => "rsa-pss-sha256",
            Self::RsaPssSha384 => "rsa-pss-sha384",
            Self::RsaPssSha512 => "rsa-pss-sha512",
            Self::RsaPkcs1Sha256 => "rsa-pkcs1-sha256",
            Self::RsaPkcs1Sha384 => "rsa-pkcs1-sha384",
            Self::RsaPkcs1Sha512 => "rsa-pkcs1-sha512",
        }
    }

    /// Whether keys of that kind sign so.
    #[must_use]
    pub fn fits(self, kind: SignerKind) -> bool {
        match self {
            Self::EcdsaP256Sha256 => kind == SignerKind::EcdsaP256,
            Self::EcdsaP384Sha384 => kind == SignerKind::EcdsaP384,
            Self::RsaPssSha256
            | Self::RsaPssSha384
            | Self::RsaPssSha512
            | Self::RsaPkcs1Sha256
            | Self::RsaPkcs1Sha384
            | Self::RsaPkcs1Sha512 => matches!(kind, SignerKind::Rsa2048 | SignerKind::Rsa3072),
        }
    }
}

/// A signing key as seen from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignerInfo {
    /// Its id.
    pub id: SignerId,
    /// Its label.
    pub label: Label,
    /// Its kind.
    pub kind: SignerKind,
    /// Its public key. ECDSA: the uncompressed point (SEC 1 section 2.3.3), 65 bytes for P-256, 97 for P-384. RSA: the DER of
    /// an RSAPublicKey (RFC 8017 appendix A.1.1).
    pub public_key: Vec<u8>,
}

impl SignerInfo {
    /// The public key as the DER of a SubjectPublicKeyInfo (RFC 5280 section 4.1).
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        der::spki(self.kind, &self.public_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_their_names_and_each_has_a_scheme_that_fits() {
        for kind in SignerKind::ALL {
            assert_eq!(SignerKind::from_name(kind.name()), Some(kind));
            assert!(kind.scheme().fits(kind));
        }
        assert_eq!(SignerKind::from_name("RSA-2048"), None);
        assert_eq!(SignerKind::from_name("rsa-1024"), None);
    }
}
