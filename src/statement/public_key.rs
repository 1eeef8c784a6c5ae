//! The public half of a key that signs statements: SubjectPublicKeyInfo (RFC 5480), its fingerprint, and its PEM file.

use std::fmt;

use base64ct::{Base64, Encoding as _};
use hal::SignerInfo;
use ring::{
    digest::{SHA256, digest},
    error::Unspecified,
    signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, UnparsedPublicKey},
};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};

use super::SignError;

/// What stands before the point in the SubjectPublicKeyInfo of a P-256 key (RFC 5480).
const P256_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The same for P-384.
const P384_PREFIX: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
    0x22, 0x03, 0x62, 0x00,
];

/// A public key that confirms statements.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    curve: Curve,
    /// SubjectPublicKeyInfo, DER.
    spki: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
}

impl PublicKey {
    /// The public key of `signer`.
    ///
    /// # Errors
    /// [`SignError::Kind`] where it is of a kind that signs no statements.
    pub fn of_signer(signer: &SignerInfo) -> Result<Self, SignError> {
        Self::from_spki(&signer.spki()).ok_or(SignError::Kind)
    }

    /// Reads a SubjectPublicKeyInfo: an uncompressed point on P-256 or P-384, in the one form that DER has for it.
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        let curve = [Curve::P256, Curve::P384].into_iter().find(|curve| {
            der.strip_prefix(curve.prefix())
                .is_some_and(|point| point.len() == curve.point_len() && point.first() == Some(&4))
        })?;
        Some(Self { curve, spki: der.to_vec() })
    }

    /// Reads a PEM file as [`to_pem`](Self::to_pem) writes it.
    pub fn from_pem(text: &[u8]) -> Option<Self> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text).ok()?;
        Self::from_spki(&der)
    }

    /// The key as a PEM block.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let base64 = Base64::encode_string(&self.spki);
        let mut text = String::from("-----BEGIN PUBLIC KEY-----\n");
        let mut rest = base64.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at_checked(64).unwrap_or((rest, ""));
            text.push_str(line);
            text.push('\n');
            rest = more;
        }
        text.push_str("-----END PUBLIC KEY-----\n");
        text
    }

    /// SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Its kind by the name that the HAL has for it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.curve {
            Curve::P256 => "ecdsa-p256",
            Curve::P384 => "ecdsa-p384",
        }
    }

    /// SHA-256 of the SubjectPublicKeyInfo, in hexadecimal after `sha256:`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = digest(&SHA256, &self.spki);
        digest.as_ref().iter().fold(String::from("sha256:"), |text, byte| format!("{text}{byte:02x}"))
    }

    /// Whether `signature` (DER) is this key's over `message`.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Unspecified> {
        let point = self.spki.strip_prefix(self.curve.prefix()).ok_or(Unspecified)?;
        let algorithm = match self.curve {
            Curve::P256 => &ECDSA_P256_SHA256_ASN1,
            Curve::P384 => &ECDSA_P384_SHA384_ASN1,
        };
        UnparsedPublicKey::new(algorithm, point).verify(message, signature)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

impl Curve {
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::P256 => P256_PREFIX,
            Self::P384 => P384_PREFIX,
        }
    }

    fn point_len(self) -> usize {
        match self {
            Self::P256 => 65,
            Self::P384 => 97,
        }
    }
}
