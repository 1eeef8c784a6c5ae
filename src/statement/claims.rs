//! What statements say: the fields of each kind of claim, and what in an attestation speaks against the root key.
//!
//! Field names are what auditors read, so they are never renamed: a changed meaning gets a new kind.

use std::fmt;

use hal::{Capabilities, Kcv, RootKeyAttributes, RootKeyInfo, SelfTestReport, TokenInfo};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{id, time};
use crate::root_keys::method_name;

/// The check that a software root key never passes, by the name that the HAL has for it.
const HELD_BY_A_TOKEN: &str = "held-by-a-token";

/// What one version of a root key is, as the backend that holds it told at the time of the statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// The root key.
    #[serde(with = "id")]
    pub root_key: Uuid,
    /// Its label.
    pub label: String,
    /// Its version, from 1.
    pub version: u32,
    /// Its key check value.
    pub kcv: CheckValue,
    /// How it wraps KEKs: `aes-gcm`, `aes-kw` or `aes-kwp`.
    pub scheme: String,
    /// `pkcs11` or `software`.
    pub backend: String,
    /// Whether an HSM holds it. `false`: it lies in a file and in the memory of the process.
    pub is_hsm: bool,
    /// Its attributes as they were read back, from the first of several tokens; the self-test reads them on each.
    pub attributes: Attributes,
    /// Where it lies: one entry for each token, and one without a token for a software root key.
    pub copies: Vec<Holding>,
}

/// One copy of a root key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holding {
    /// The token that holds it; `None` for a software root key.
    pub token: Option<Token>,
    /// What was tried with the key on this token just before, and how it went.
    pub self_test: Vec<SelfTest>,
}

/// A token, as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
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

/// PKCS#11 attributes of a root key; `None` where the token does not say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attributes {
    /// CKA_SENSITIVE.
    pub sensitive: Option<bool>,
    /// CKA_EXTRACTABLE.
    pub extractable: Option<bool>,
    /// CKA_LOCAL.
    pub local: Option<bool>,
    /// CKA_ALWAYS_SENSITIVE.
    pub always_sensitive: Option<bool>,
    /// CKA_NEVER_EXTRACTABLE.
    pub never_extractable: Option<bool>,
}

/// One thing that was tried with the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelfTest {
    /// What was tried.
    pub check: String,
    /// Whether it went as it must.
    pub passed: bool,
    /// What was seen.
    pub detail: String,
}

/// A key check value and how it was computed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckValue {
    /// Three bytes in hexadecimal.
    pub value: String,
    /// `aes-ecb-zero-block` or `aes-gcm-zero-block`.
    pub method: String,
}

/// Nothing of the database is under older versions of a root key any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotationProof {
    /// The root key.
    #[serde(with = "id")]
    pub root_key: Uuid,
    /// Its label.
    pub label: String,
    /// The version that was current before.
    pub from_version: u32,
    /// The version that everything is under now.
    pub to_version: u32,
    /// The check value of that version.
    pub kcv: CheckValue,
    /// When the rotation began.
    #[serde(with = "time")]
    pub started_at: Timestamp,
    /// When the last KEK was re-wrapped.
    #[serde(with = "time")]
    pub finished_at: Timestamp,
    /// How many KEKs were re-wrapped, each opened again before it was stored.
    pub rewrapped: u64,
    /// How many KEKs a scan of the whole database then found under any other version: none but damaged ones, which open under
    /// no key.
    pub remaining: u64,
}

/// A root key is destroyed, and with it everything that was sealed under it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShredCertificate {
    /// The root key.
    #[serde(with = "id")]
    pub root_key: Uuid,
    /// Its label.
    pub label: String,
    /// Whether HSMs held it. A software root key may still lie in copies of its file.
    pub is_hsm: bool,
    /// Every version that there ever was.
    pub versions: Vec<Destruction>,
    /// The adapters whose objects were under it.
    pub adapters: Vec<AdapterObjects>,
    /// How many objects they hold, in whatever state.
    pub objects: u64,
    /// How many of these were Active.
    pub active_objects: u64,
    /// How many wrapped KEKs were overwritten in the database.
    pub keks_erased: u64,
    /// The user of the operating system who did it, or as whom the server runs that did.
    pub user_id: u32,
    /// The two people who agreed on it; absent where it was done on the machine itself, by somebody who needs nobody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<TwoPeople>,
}

/// Who asked for something that needs two people, and who approved it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwoPeople {
    /// The request, by its identifier in the database and in the audit log.
    #[serde(with = "id")]
    pub approval: Uuid,
    /// The identity that asked.
    #[serde(with = "id")]
    pub requested_by: Uuid,
    /// Its name at that time.
    pub requested_name: String,
    /// When it asked.
    #[serde(with = "time")]
    pub requested_at: Timestamp,
    /// The identity that approved, another one.
    #[serde(with = "id")]
    pub approved_by: Uuid,
    /// Its name at that time.
    pub approved_name: String,
    /// When it approved.
    #[serde(with = "time")]
    pub approved_at: Timestamp,
}

/// What became of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destruction {
    /// The version.
    pub version: u32,
    /// Its check value, as it was on record.
    pub kcv: CheckValue,
    /// The tokens that it was destroyed on, by this and by an earlier, interrupted run; empty for a software root key, and for
    /// a version that had been retired before.
    pub destroyed_on: Vec<Token>,
}

/// How many objects of an adapter are in which state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterObjects {
    /// The adapter.
    #[serde(with = "id")]
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// States that some object is in, in the order of the KMIP specification.
    pub states: Vec<StateCount>,
}

/// How many objects are in a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateCount {
    /// The state's name in the KMIP specification.
    pub state: String,
    /// How many.
    pub objects: u64,
}

/// Why a statement, though signed, does not show what it should: that a root key is safe in an HSM, or that a rotation left
/// nothing behind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// It is a software key.
    #[error("no HSM holds the root key: it lies in a file and in the memory of the process")]
    Software,
    /// No copy is listed.
    #[error("the attestation names no place where the root key lies")]
    Nowhere,
    /// It is not said that its value cannot be read.
    #[error("the HSM does not say that the root key is SENSITIVE")]
    NotSensitive,
    /// It is not said that it cannot be wrapped out.
    #[error("the HSM does not say that the root key is not EXTRACTABLE")]
    Extractable,
    /// Nothing was tried.
    #[error("on the token {serial} the root key was not tested")]
    Untested {
        /// The token.
        serial: String,
    },
    /// A rotation could not open everything.
    #[error("{remaining} damaged KEKs were left under older versions: what they seal cannot be opened")]
    LeftBehind {
        /// How many.
        remaining: u64,
    },
    /// Something that was tried went wrong.
    #[error("on the token {serial} the root key failed its self-test: {check}: {detail}")]
    SelfTest {
        /// The token.
        serial: String,
        /// What was tried.
        check: String,
        /// What was seen.
        detail: String,
    },
}

impl Attestation {
    /// An attestation of `root`, which a backend holds that says `capabilities` of itself and just tested the key.
    #[must_use]
    pub fn new(root: &RootKeyInfo, capabilities: &Capabilities, report: &SelfTestReport) -> Self {
        let holding = |test: &hal::TokenSelfTest| Holding {
            token: test.token.as_ref().map(Token::from),
            self_test: test.checks.iter().map(SelfTest::from).collect(),
        };
        let copies: Vec<_> = report.tokens.iter().map(holding).collect();
        Self {
            root_key: *root.id.as_uuid(),
            label: root.label.to_string(),
            version: root.version,
            kcv: root.kcv.into(),
            scheme: root.scheme.to_string(),
            backend: capabilities.backend.to_owned(),
            // Both must say so: what one of them does not know to be in an HSM is not.
            is_hsm: capabilities.is_hsm && !root.tokens.is_empty(),
            attributes: (&root.attributes).into(),
            copies,
        }
    }

    /// What speaks against the root key. Nothing, where it is in HSMs that keep it inside.
    #[must_use]
    pub fn weaknesses(&self) -> Vec<Weakness> {
        let mut found = Vec::new();
        if self.copies.is_empty() {
            found.push(Weakness::Nowhere);
        }
        if !self.is_hsm {
            // A key in memory is neither sensitive nor unextractable; that it is none of an HSM says it all.
            found.push(Weakness::Software);
            found.extend(self.copies.iter().flat_map(Holding::failures));
            return found;
        }
        if self.attributes.sensitive != Some(true) {
            found.push(Weakness::NotSensitive);
        }
        if self.attributes.extractable != Some(false) {
            found.push(Weakness::Extractable);
        }
        found.extend(self.copies.iter().flat_map(Holding::weaknesses));
        found
    }
}

impl RotationProof {
    /// What the rotation left behind.
    #[must_use]
    pub fn weaknesses(&self) -> Vec<Weakness> {
        match self.remaining {
            0 => Vec::new(),
            remaining => vec![Weakness::LeftBehind { remaining }],
        }
    }
}

impl Holding {
    fn weaknesses(&self) -> Vec<Weakness> {
        if self.self_test.is_empty() {
            return vec![Weakness::Untested { serial: self.serial() }];
        }
        let found = self.failures();
        // A token that was never reached does not say which it is; then nothing was tried on it either.
        if self.token.is_none() && found.is_empty() {
            vec![Weakness::Untested { serial: self.serial() }]
        } else {
            found
        }
    }

    /// Everything that went wrong, but that a software root key is not held by a token: that has a weakness of its own.
    fn failures(&self) -> Vec<Weakness> {
        let failed = self.self_test.iter().filter(|test| !test.passed && test.check != HELD_BY_A_TOKEN).cloned();
        failed
            .map(|SelfTest { check, detail, .. }| Weakness::SelfTest { serial: self.serial(), check, detail })
            .collect()
    }

    fn serial(&self) -> String {
        self.token.as_ref().map_or_else(|| "(unknown)".to_owned(), |token| token.serial.clone())
    }
}

impl From<&hal::SelfCheck> for SelfTest {
    fn from(check: &hal::SelfCheck) -> Self {
        let hal::SelfCheck { name, passed, detail } = check.clone();
        Self { check: name, passed, detail }
    }
}

impl CheckValue {
    /// A check value as the database keeps it.
    #[must_use]
    pub fn stored([a, b, c]: [u8; 3], method: &str) -> Self {
        Self { value: format!("{a:02x}{b:02x}{c:02x}"), method: method.to_owned() }
    }
}

impl From<Kcv> for CheckValue {
    fn from(kcv: Kcv) -> Self {
        Self::stored(kcv.value, method_name(kcv.method))
    }
}

impl fmt::Display for CheckValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.value, self.method)
    }
}

impl From<&TokenInfo> for Token {
    fn from(token: &TokenInfo) -> Self {
        let TokenInfo { label, serial, model, manufacturer, firmware } = token.clone();
        Self { label, serial, model, manufacturer, firmware }
    }
}

impl From<&RootKeyAttributes> for Attributes {
    fn from(attributes: &RootKeyAttributes) -> Self {
        let RootKeyAttributes { sensitive, extractable, local, always_sensitive, never_extractable } = *attributes;
        Self { sensitive, extractable, local, always_sensitive, never_extractable }
    }
}
