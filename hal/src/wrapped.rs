//! The wrapped KEK and its stored form. Parsing is strict: whatever [`WrappedKek::from_bytes`] accepts has the lengths its
//! scheme makes, so no backend checks them again.

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

use crate::{HalError, Kek, Refusal, RootKeyId};

/// How a root key wraps a KEK. The code is stored in every blob and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum WrapScheme {
    /// AES-256-GCM with a random IV and a 128-bit tag; the root key's id, its version and the scheme are additional data.
    #[serde(rename = "aes-gcm")]
    AesGcm,
    /// AES key wrap, RFC 3394.
    #[serde(rename = "aes-kw")]
    AesKw,
    /// AES key wrap with padding, RFC 5649.
    #[serde(rename = "aes-kwp")]
    AesKwp,
}

impl WrapScheme {
    /// The name in configuration, listings and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AesGcm => "aes-gcm",
            Self::AesKw => "aes-kw",
            Self::AesKwp => "aes-kwp",
        }
    }

    /// The scheme of a name; `None` for any other text.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::AesGcm, Self::AesKw, Self::AesKwp].into_iter().find(|scheme| scheme.name() == name)
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::AesGcm => 1,
            Self::AesKw => 2,
            Self::AesKwp => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::AesGcm, Self::AesKw, Self::AesKwp].into_iter().find(|scheme| scheme.code() == code)
    }

    /// Length in bytes of a wrapped KEK, tag or integrity block included.
    pub(crate) fn ciphertext_len(self) -> usize {
        match self {
            Self::AesGcm => Kek::LEN + 16,
            Self::AesKw | Self::AesKwp => Kek::LEN + 8,
        }
    }

    fn iv_len_is_right(self, len: usize) -> bool {
        match self {
            // Luna tokens in FIPS mode make IVs of 16 bytes; every other token uses 12.
            Self::AesGcm => len == 12 || len == 16,
            Self::AesKw | Self::AesKwp => len == 0,
        }
    }
}

impl fmt::Display for WrapScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Self-describing: which root key and version, which scheme, IV, ciphertext. Safe to store and to print. There is no way
/// from here to a [`Kek`] but [`unwrap_kek`](crate::KeyWrapper::unwrap_kek).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKek {
    /// The root key that wrapped it.
    pub root: RootKeyId,
    /// That root key's version, from 1.
    pub version: u32,
    /// How.
    pub scheme: WrapScheme,
    /// The IV (`aes-gcm`: 12 or 16 bytes; otherwise empty).
    pub iv: Vec<u8>,
    /// The wrapped key (`aes-gcm`: 48 bytes with the tag; otherwise 40).
    pub ciphertext: Vec<u8>,
}

/// The format that `to_bytes` writes: format, scheme, root key id (16), version (4, big endian), IV length (1), IV, ciphertext.
const FORMAT: u8 = 1;
const HEADER_LEN: usize = 1 + 1 + 16 + 4 + 1;

impl WrappedKek {
    /// The stored form: at most 87 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.iv.len() + self.ciphertext.len());
        bytes.push(FORMAT);
        bytes.push(self.scheme.code());
        bytes.extend_from_slice(self.root.as_uuid().as_bytes());
        bytes.extend_from_slice(&self.version.to_be_bytes());
        // An IV too long for its length byte cannot be parsed back, so a hand-made value is refused on the way in.
        bytes.push(u8::try_from(self.iv.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(&self.iv);
        bytes.extend_from_slice(&self.ciphertext);
        bytes
    }

    /// Parses the stored form. Accepts exactly the lengths that the scheme makes and nothing behind them.
    ///
    /// # Errors
    /// [`HalError::Tampered`] for anything malformed, [`Refusal::UnknownBlobFormat`] for a format version of the future.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HalError> {
        let (&format, _) = bytes.split_first().ok_or(HalError::Tampered)?;
        if format != FORMAT {
            return Err(HalError::Refused(Refusal::UnknownBlobFormat));
        }
        let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(HalError::Tampered)?;
        let [_, scheme, id @ .., v0, v1, v2, v3, iv_len] = *header;
        let scheme = WrapScheme::from_code(scheme).ok_or(HalError::Tampered)?;
        let (iv, ciphertext) = rest.split_at_checked(usize::from(iv_len)).ok_or(HalError::Tampered)?;
        let wrapped = Self {
            root: RootKeyId::from_uuid(Uuid::from_bytes(id)),
            version: u32::from_be_bytes([v0, v1, v2, v3]),
            scheme,
            iv: iv.to_vec(),
            ciphertext: ciphertext.to_vec(),
        };
        if wrapped.is_well_formed() { Ok(wrapped) } else { Err(HalError::Tampered) }
    }

    /// Whether the parts have the lengths that the scheme makes. The fields are public, so backends ask before opening.
    pub(crate) fn is_well_formed(&self) -> bool {
        self.version != 0
            && self.scheme.iv_len_is_right(self.iv.len())
            && self.ciphertext.len() == self.scheme.ciphertext_len()
    }
}
