//! Thumbprints as people copy them from one screen to another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::ca::Thumbprints;

/// A thumbprint that a certificate must have: SHA-1 or SHA-256, upper-case hexadecimal without colons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Thumbprint(String);

/// The text is no thumbprint.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not a thumbprint: 64 hexadecimal digits (SHA-256) or 40 (SHA-1), with or without colons")]
pub(super) struct BadThumbprint;

impl Thumbprint {
    /// Whether the certificate `der` has it.
    pub(super) fn is_of(&self, der: &[u8]) -> bool {
        let Thumbprints { sha1, sha256 } = Thumbprints::of(der);
        [sha1, sha256].iter().any(|thumbprint| thumbprint.replace(':', "") == self.0)
    }

    /// Whether it is a SHA-1, for which a second certificate could be made with enough effort.
    pub(super) fn is_sha1(&self) -> bool {
        self.0.len() == 40
    }
}

impl FromStr for Thumbprint {
    type Err = BadThumbprint;

    fn from_str(text: &str) -> Result<Self, BadThumbprint> {
        let digits = text.replace(':', "").to_ascii_uppercase();
        let good = [40, 64].contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if good { Ok(Self(digits)) } else { Err(BadThumbprint) }
    }
}

impl TryFrom<String> for Thumbprint {
    type Error = BadThumbprint;

    fn try_from(text: String) -> Result<Self, BadThumbprint> {
        text.parse()
    }
}

impl From<Thumbprint> for String {
    fn from(thumbprint: Thumbprint) -> Self {
        thumbprint.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_is_taken_with_and_without_colons_and_nothing_else_is() {
        let plain: Thumbprint = "ab".repeat(32).parse().unwrap();
        assert_eq!(["AB"; 32].join(":").parse::<Thumbprint>().unwrap(), plain);
        assert!("cd".repeat(20).parse::<Thumbprint>().unwrap().is_sha1());
        for bad in ["", "ab", &"ab".repeat(33), &"xy".repeat(32)] {
            assert!(bad.parse::<Thumbprint>().is_err(), "{bad}");
        }
    }
}
