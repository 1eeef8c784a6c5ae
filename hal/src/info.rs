//! The plain data of the traits: ids, labels, what a root key or a signing key looks like from outside, health, capabilities.

use std::fmt;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::{HalError, WrapScheme, der};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// The id that a stored UUID stands for. Only a backend mints new ones.
            #[must_use]
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID to store.
            #[must_use]
            pub fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }
    };
}

id! {
    /// Names a root key: it wraps KEKs and does nothing else.
    RootKeyId
}

id! {
    /// Names a signing key. The compiler refuses it where a [`RootKeyId`] belongs.
    SignerId
}

/// One version of a root key: what wraps. Rotation makes the next version; blobs name the one that made them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct RootKeyVersion {
    /// The root key.
    pub root: RootKeyId,
    /// Its version, from 1.
    pub version: u32,
}

impl RootKeyVersion {
    /// The first version of `root`.
    #[must_use]
    pub fn first(root: RootKeyId) -> Self {
        Self { root, version: 1 }
    }

    /// The version after this one; `None` after the last number there is.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        Some(Self { version: self.version.checked_add(1)?, ..self })
    }
}

impl fmt::Display for RootKeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} version {}", self.root, self.version)
    }
}

/// A key's label on the token: 1 to 64 characters, none of them a control character, no blank at either end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Label(String);

/// The text is no [`Label`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a label has 1 to 64 characters, no control characters, and no blank at either end")]
pub struct InvalidLabel;

impl Label {
    /// Checks a label.
    ///
    /// # Errors
    /// [`InvalidLabel`].
    pub fn new(text: &str) -> Result<Self, InvalidLabel> {
        let fits = (1..=64).contains(&text.chars().count());
        let clean = text.trim() == text && !text.chars().any(char::is_control);
        if fits && clean { Ok(Self(text.to_owned())) } else { Err(InvalidLabel) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the token says of a root key; `None` where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RootKeyAttributes {
    /// CKA_SENSITIVE: its value cannot be read. A root key is refused unless this is true.
    pub sensitive: Option<bool>,
    /// CKA_EXTRACTABLE: it may be wrapped out. A root key is refused unless this is false.
    pub extractable: Option<bool>,
    /// CKA_LOCAL: made inside the token, not imported.
    pub local: Option<bool>,
    /// CKA_ALWAYS_SENSITIVE.
    pub always_sensitive: Option<bool>,
    /// CKA_NEVER_EXTRACTABLE.
    pub never_extractable: Option<bool>,
}

/// How a key check value was computed. Values of different methods are not comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum KcvMethod {
    /// AES-ECB (or, the same thing, AES-CBC with a zero IV) of a block of zeros.
    #[serde(rename = "aes-ecb-zero-block")]
    EcbZeroBlock,
    /// AES-GCM of a block of zeros with a zero IV of 12 bytes and no additional data, for tokens that offer neither ECB nor
    /// CBC. Real IVs are random, so the zero IV is as unlikely to recur as any other.
    #[serde(rename = "aes-gcm-zero-block")]
    GcmZeroBlock,
}

/// A key check value: the first three bytes. Tells two keys apart without telling the key; not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kcv {
    /// How it was computed.
    pub method: KcvMethod,
    /// Its three bytes.
    pub value: [u8; 3],
}

impl Kcv {
    /// Whether a key with the value `found` may be the one that this value was computed of. Values of different methods
    /// do not tell.
    #[must_use]
    pub fn admits(self, found: Self) -> bool {
        self.method != found.method || self.value == found.value
    }
}

impl fmt::Display for Kcv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.value;
        write!(f, "{a:02x}{b:02x}{c:02x}")
    }
}

impl Serialize for Kcv {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which token it is, as it describes itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TokenInfo {
    /// Its label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// Its model.
    pub model: String,
    /// Its maker.
    pub manufacturer: String,
    /// Its firmware version.
    pub firmware: String,
}

/// One version of a root key as seen from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RootKeyInfo {
    /// Its id.
    pub id: RootKeyId,
    /// Its label.
    pub label: Label,
    /// Which version of it this is, from 1.
    pub version: u32,
    /// Its attributes as read back.
    pub attributes: RootKeyAttributes,
    /// Its key check value.
    pub kcv: Kcv,
    /// The scheme that new KEKs are wrapped with.
    pub scheme: WrapScheme,
    /// The tokens that hold it; none for a software root key.
    pub tokens: Vec<TokenInfo>,
}

impl RootKeyInfo {
    /// Its id and version.
    #[must_use]
    pub fn key(&self) -> RootKeyVersion {
        RootKeyVersion { root: self.id, version: self.version }
    }
}

/// An approval to destroy one version of a root key. Only the administration plane makes one, after its own checks.
#[derive(Debug)]
pub struct DestroyConsent(RootKeyVersion);

impl DestroyConsent {
    /// Records that the destruction of `key`, and of everything it wrapped, was approved.
    #[must_use]
    pub fn approved_for(key: RootKeyVersion) -> Self {
        Self(key)
    }

    /// What it is for.
    #[must_use]
    pub fn key(&self) -> RootKeyVersion {
        self.0
    }
}

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

/// Whether a backend serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Ready,
    /// It does, with less than it should have.
    Degraded(Degradation),
    /// It does not; the error says why and what to do.
    Down(HalError),
}

/// What a degraded backend lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Degradation {
    /// Some workers are inside PKCS#11 calls that have not returned within the deadline.
    #[error("{stuck} of {workers} HSM workers are stuck in calls that do not return")]
    WorkersStuck {
        /// How many.
        stuck: usize,
        /// Of how many.
        workers: usize,
    },
    /// Some of several tokens are away.
    #[error("{away} of {tokens} tokens are away; bring them back while the others serve")]
    TokensAway {
        /// How many.
        away: usize,
        /// Of how many.
        tokens: usize,
    },
    /// Some of several tokens lack a root key that others hold, or hold another under its id, or do not open what the others
    /// wrap. They are passed over for that key.
    #[error(
        "{without} of {tokens} tokens are of no use for a root key that the others hold; see the log, and import it"
    )]
    KeysNotEverywhere {
        /// How many.
        without: usize,
        /// Of how many.
        tokens: usize,
    },
}

/// What a backend is and proved it can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// `pkcs11` or `software`.
    pub backend: &'static str,
    /// Whether keys are held by a token rather than by this process.
    pub is_hsm: bool,
    /// The token, the first of several; `None` for the software backend, and until a token was first reached.
    pub token: Option<TokenInfo>,
    /// The schemes that passed the self-test, best first; blobs of each can be opened.
    pub schemes: Vec<WrapScheme>,
    /// The scheme that new KEKs are wrapped with; `None` until a token was first reached.
    pub scheme: Option<WrapScheme>,
    /// How many calls are served at the same time; 0 where there is no limit.
    pub sessions: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short_printable_and_trimmed() {
        for good in ["a", "root key 1", "Schlüssel", &"x".repeat(64)] {
            assert_eq!(Label::new(good).map(|label| label.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", " a", "a ", "a\nb", "a\0", &"x".repeat(65)] {
            assert_eq!(Label::new(bad), Err(InvalidLabel), "{bad:?}");
        }
    }

    #[test]
    fn a_check_value_prints_as_six_hex_digits() {
        let kcv = Kcv { method: KcvMethod::EcbZeroBlock, value: [0, 0x0a, 0xff] };
        assert_eq!(kcv.to_string(), "000aff");
    }
}
