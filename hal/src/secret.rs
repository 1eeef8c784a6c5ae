//! The two secret types that cross the HAL: wiped on drop, silent in Debug, neither comparable nor clonable.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

/// A secret of any length: a PIN, a passphrase, a key to import.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes over a buffer. Build it at its exact capacity: a vector that grew has left copies behind.
    #[must_use]
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The secret itself. Every caller is part of the key-exposure review.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

/// The 256-bit key of one managed object: the only thing a root key ever wraps.
pub struct Kek(Zeroizing<[u8; Kek::LEN]>);

impl Kek {
    /// Its length in bytes.
    pub const LEN: usize = 32;

    /// Takes over a key's bytes.
    #[must_use]
    pub fn new(bytes: Zeroizing<[u8; Kek::LEN]>) -> Self {
        Self(bytes)
    }

    /// The key itself. Every caller is part of the key-exposure review.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8; Kek::LEN] {
        &self.0
    }

    /// Whether both are the same key, in constant time.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.0.as_slice(), other.0.as_slice()).is_ok()
    }
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kek(..)")
    }
}
