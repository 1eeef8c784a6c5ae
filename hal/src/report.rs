//! What operators see of the tokens behind a backend, and what a root key's self-test showed.

use serde::Serialize;

use crate::{Health, Kcv, RootKeyVersion, TokenInfo, WrapScheme};

/// One token now; for the software backend, its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenState {
    /// The configured label; `software` for the software backend.
    pub label: String,
    /// The serial number: the token's own once it was reached, the configured one before.
    pub serial: Option<String>,
    /// Whether it serves.
    pub health: Health,
    /// The scheme that new KEKs are wrapped with; `None` until the token was first reached.
    pub scheme: Option<WrapScheme>,
    /// Worker threads; 0 where there are none.
    pub workers: usize,
    /// How many of them are inside calls that have not returned within the deadline.
    pub stuck: usize,
    /// How many of them are at work, those that are stuck included.
    pub busy: usize,
    /// Calls that wait for one of them.
    pub waiting: usize,
    /// Whether calls are refused at once, without asking the token, because it is away.
    pub refuses: bool,
    /// How many AES-GCM seals each version of a root key counts as having made, of those that are known of: what
    /// [`expect_seals`](crate::RootKeys::expect_seals) said and what this process made on the token since.
    pub seals: Vec<(RootKeyVersion, u64)>,
}

/// What one root key showed, on every token that holds it, when it was tested just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SelfTestReport {
    /// Which key.
    pub key: RootKeyVersion,
    /// Each token's part; never empty.
    pub tokens: Vec<TokenSelfTest>,
}

/// What a root key showed on one token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenSelfTest {
    /// The token; `None` for a software root key.
    pub token: Option<TokenInfo>,
    /// The checks, in the order in which they were made.
    pub checks: Vec<SelfCheck>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SelfCheck {
    /// What was checked, in words with hyphens.
    pub name: String,
    /// Whether it was as it must be.
    pub passed: bool,
    /// What was seen.
    pub detail: String,
}

impl SelfTestReport {
    /// Whether every check passed on every token.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.tokens.iter().all(|token| token.checks.iter().all(|check| check.passed))
    }
}

impl SelfCheck {
    /// A check that came out as `passed`.
    pub(crate) fn new(name: impl Into<String>, passed: bool, detail: impl Into<String>) -> Self {
        Self { name: name.into(), passed, detail: detail.into() }
    }

    /// The key check value found, against the one on record.
    pub(crate) fn of_check_value(found: Kcv, expected: Option<Kcv>) -> Self {
        let passed = expected.is_none_or(|expected| expected.admits(found));
        let detail = match expected {
            None => format!("it is {found}; none is on record"),
            Some(expected) if expected.method != found.method => {
                format!("it is {found}; the one on record was computed in another way")
            }
            Some(expected) => format!("it is {found}; {expected} is on record"),
        };
        Self::new("key-check-value", passed, detail)
    }
}
