//! The wrapped KEK and its stored form. Parsing is strict: whatever [`WrappedKek::from_bytes`] accepts has the lengths its
//! scheme makes, so no backend checks them again.

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

use crate::{HalError, Kek, Refusal, RootKeyId, RootKeyVersion};

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
    /// The longest stored form, in bytes.
    pub const MAX_LEN: usize = HEADER_LEN + 16 + 48;

    /// The root key and version that wrapped it.
    #[must_use]
    pub fn key(&self) -> RootKeyVersion {
        RootKeyVersion { root: self.root, version: self.version }
    }

    /// The stored form: at most [`MAX_LEN`](Self::MAX_LEN) bytes.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(scheme: WrapScheme) -> WrappedKek {
        let iv = if scheme == WrapScheme::AesGcm { vec![1; 12] } else { Vec::new() };
        let root = RootKeyId::from_uuid(Uuid::from_bytes([9; 16]));
        WrappedKek { root, version: 1, scheme, iv, ciphertext: vec![2; scheme.ciphertext_len()] }
    }

    #[test]
    fn the_stored_form_is_fixed() {
        let bytes = sample(WrapScheme::AesKw).to_bytes();
        let expected = [&[1, 2][..], &[9; 16], &[0, 0, 0, 1], &[0], &[2; 40]].concat();
        assert_eq!(bytes, expected);
        assert_eq!(WrapScheme::from_name("aes-kw"), Some(WrapScheme::AesKw));
        assert_eq!(WrapScheme::from_name("AES-KW"), None);
    }

    #[test]
    fn every_scheme_comes_back_and_every_other_length_is_refused() {
        for scheme in [WrapScheme::AesGcm, WrapScheme::AesKw, WrapScheme::AesKwp] {
            let bytes = sample(scheme).to_bytes();
            assert_eq!(WrappedKek::from_bytes(&bytes), Ok(sample(scheme)));
            for len in 0..bytes.len() {
                assert_eq!(WrappedKek::from_bytes(&bytes[..len]), Err(HalError::Tampered), "{len} bytes");
            }
            assert_eq!(WrappedKek::from_bytes(&[bytes.as_slice(), &[0]].concat()), Err(HalError::Tampered));
        }
    }

    #[test]
    fn a_format_of_the_future_is_not_called_tampered() {
        let mut bytes = sample(WrapScheme::AesGcm).to_bytes();
        bytes[0] = 2;
        assert_eq!(WrappedKek::from_bytes(&bytes), Err(HalError::Refused(Refusal::UnknownBlobFormat)));
        bytes[0] = 1;
        bytes[1] = 4;
        assert_eq!(WrappedKek::from_bytes(&bytes), Err(HalError::Tampered), "an unknown scheme");
    }

    #[test]
    fn an_iv_of_16_bytes_is_taken_and_one_of_13_is_not() {
        let luna = WrappedKek { iv: vec![3; 16], ..sample(WrapScheme::AesGcm) };
        assert_eq!(WrappedKek::from_bytes(&luna.to_bytes()), Ok(luna));
        let odd = WrappedKek { iv: vec![3; 13], ..sample(WrapScheme::AesGcm) };
        assert_eq!(WrappedKek::from_bytes(&odd.to_bytes()), Err(HalError::Tampered));
        let huge = WrappedKek { iv: vec![3; 300], ..sample(WrapScheme::AesGcm) };
        assert_eq!(WrappedKek::from_bytes(&huge.to_bytes()), Err(HalError::Tampered));
    }

    proptest! {
        #[test]
        fn whatever_parses_writes_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(parsed) = WrappedKek::from_bytes(&bytes) {
                prop_assert_eq!(parsed.to_bytes(), bytes);
            }
        }
    }
}
