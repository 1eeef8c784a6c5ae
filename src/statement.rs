//! Signed statements: what this installation says about its root keys, in files that anyone can check without it.
//!
//! Owns the form of such a file and of what is said in it. The file carries the exact text that was signed, the public key and
//! the signature; the text itself has one form only, so that what a program reads in it and what was signed cannot differ. The
//! key that signs lies in the HSM and is used for nothing else. Checking needs neither configuration, database nor HSM; what it
//! needs to mean anything is the signer's public key, had from elsewhere. This module never makes or looks for keys, reads no
//! clock and touches no files.

mod claims;
mod public_key;

use std::fmt;

use base64ct::{Base64, Encoding as _};
use hal::{HalError, KeyWrapper, SignerInfo};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    claims::{
        AdapterObjects, Attestation, Attributes, CheckValue, Destruction, Holding, RotationProof, SelfTest,
        ShredCertificate, StateCount, Token, TwoPeople, Weakness,
    },
    public_key::PublicKey,
};

/// The form of the signed text, and its version. Another form gets another name.
const FORMAT: &str = "keystead-statement-1";
/// Longest file that is looked at, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;

/// What is said, by which program, and when. Its text is what is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    format: String,
    /// The program that made it, with its version.
    pub product: String,
    /// When it was made, by the clock of the machine that made it.
    #[serde(with = "time")]
    pub time: Timestamp,
    /// What it says.
    pub claim: Claim,
}

/// What a statement says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Claim {
    /// What one version of a root key is and where it lies.
    #[serde(rename = "root-key-attestation")]
    Attestation(Attestation),
    /// Nothing is left under the older versions of a root key.
    #[serde(rename = "root-key-rotation")]
    Rotation(RotationProof),
    /// A root key is destroyed, and with it all that was under it.
    #[serde(rename = "root-key-destruction")]
    Shred(ShredCertificate),
}

/// The kinds of claims by the names that files have for them.
const KINDS: [&str; 3] = ["root-key-attestation", "root-key-rotation", "root-key-destruction"];

impl Statement {
    /// A statement of this program.
    #[must_use]
    pub fn new(time: Timestamp, claim: Claim) -> Self {
        // Fractions of a second say nothing here, and have no one form.
        let time = Timestamp::from_second(time.as_second()).unwrap_or(time);
        Self {
            format: FORMAT.to_owned(),
            product: concat!("keystead ", env!("CARGO_PKG_VERSION")).to_owned(),
            time,
            claim,
        }
    }

    /// Signs it with `signer`, and returns the text of the file.
    ///
    /// # Errors
    /// The HSM refuses or is away, or holds a key of a kind that statements are not signed with; a signature that the signer's
    /// public key does not confirm is refused as well.
    pub fn sign(&self, hal: &dyn KeyWrapper, signer: &SignerInfo) -> Result<String, SignError> {
        let key = PublicKey::of_signer(signer)?;
        let statement = self.text().map_err(SignError::Text)?;
        let signature = hal.sign(signer.id, statement.as_bytes(), signer.kind.scheme())?;
        key.verify(statement.as_bytes(), &signature).map_err(|_| SignError::WrongSignature)?;
        let file = SignedFile {
            statement,
            signer: SignerPart {
                kind: key.kind().to_owned(),
                public_key: Base64::encode_string(key.spki()),
                fingerprint: key.fingerprint(),
            },
            signature: Base64::encode_string(&signature),
        };
        let mut text = serde_json::to_string_pretty(&file).map_err(SignError::Text)?;
        text.push('\n');
        Ok(text)
    }

    /// The text that is signed: compact JSON, its fields in their order.
    fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    fn parse(text: &str) -> Result<Self, StatementError> {
        // First what it is, so that a statement of a newer program is called that, and not damaged.
        #[derive(Deserialize)]
        struct Head {
            format: String,
            claim: Kind,
        }
        #[derive(Deserialize)]
        struct Kind {
            kind: String,
        }
        let head: Head = serde_json::from_str(text).map_err(StatementError::Text)?;
        if head.format != FORMAT {
            return Err(StatementError::UnknownFormat(Quoted::new(&head.format)));
        }
        if !KINDS.contains(&head.claim.kind.as_str()) {
            return Err(StatementError::UnknownKind(Quoted::new(&head.claim.kind)));
        }
        let statement: Self = serde_json::from_str(text).map_err(StatementError::Text)?;
        match statement.text() {
            Ok(canonical) if canonical == text => Ok(statement),
            _ => Err(StatementError::NotCanonical),
        }
    }
}

/// A statement whose signature is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What was signed.
    pub statement: Statement,
    /// The key that signed it. It came with the file, so it proves nothing unless it is known from elsewhere.
    pub signer: PublicKey,
    /// The signer is the one that the caller knew beforehand.
    pub trusted: bool,
}

/// Checks the file of a signed statement. `known` is the signer's public key from elsewhere.
///
/// # Errors
/// What is wrong with it, the first thing found.
pub fn verify(file: &[u8], known: Option<&PublicKey>) -> Result<Verified, StatementError> {
    if file.len() > MAX_BYTES {
        return Err(StatementError::TooLong);
    }
    let file: SignedFile = serde_json::from_slice(file).map_err(StatementError::File)?;
    let spki = Base64::decode_vec(&file.signer.public_key).map_err(|_| StatementError::BadPublicKey)?;
    let signer = PublicKey::from_spki(&spki).ok_or(StatementError::BadPublicKey)?;
    if file.signer.kind != signer.kind() || file.signer.fingerprint != signer.fingerprint() {
        return Err(StatementError::SignerMismatch);
    }
    if let Some(known) = known.filter(|known| **known != signer) {
        return Err(StatementError::OtherSigner { found: signer.fingerprint(), known: known.fingerprint() });
    }
    let signature = Base64::decode_vec(&file.signature).map_err(|_| StatementError::WrongSignature)?;
    signer.verify(file.statement.as_bytes(), &signature).map_err(|_| StatementError::WrongSignature)?;
    // Only now: what nobody signed is not worth a look.
    let statement = Statement::parse(&file.statement)?;
    Ok(Verified { statement, trusted: known.is_some(), signer })
}

/// The file, as it is written and read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedFile {
    /// The text that was signed, as it was signed.
    statement: String,
    signer: SignerPart,
    /// Base64 of the signature; ECDSA in DER.
    signature: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignerPart {
    kind: String,
    /// Base64 of SubjectPublicKeyInfo.
    public_key: String,
    fingerprint: String,
}

/// Why a statement was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The HSM said no, or not now.
    #[error(transparent)]
    Hal(#[from] HalError),
    /// A key of this kind signs no statements.
    #[error("statements are signed with ECDSA on P-256 or P-384, and this key is of another kind")]
    Kind,
    /// The HSM's signature is not one of this key.
    #[error("the HSM's signature does not fit its public key: nothing was signed")]
    WrongSignature,
    /// It has no text.
    #[error("the statement cannot be written as JSON: {0}")]
    Text(#[source] serde_json::Error),
}

/// Why a file is no statement to rely on.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// It is far longer than any statement.
    #[error("the file is longer than {MAX_BYTES} bytes: it is no statement")]
    TooLong,
    /// Its outer form.
    #[error("the file is no signed statement: {0}")]
    File(#[source] serde_json::Error),
    /// The key that came with it.
    #[error("the signer's public key is none that statements are signed with (ECDSA on P-256 or P-384)")]
    BadPublicKey,
    /// What is said of the key is not so.
    #[error("the signer's kind or fingerprint is not that of its public key: the file was changed")]
    SignerMismatch,
    /// Somebody else signed it.
    #[error("it is signed by {found}, not by the key that was given, {known}")]
    OtherSigner {
        /// The fingerprint of the key in the file.
        found: String,
        /// The fingerprint of the known key.
        known: String,
    },
    /// The signature is wrong.
    #[error("the signature is wrong: the statement or its signature was changed")]
    WrongSignature,
    /// Signed, but of a form that this program does not know.
    #[error("the statement has the format {0}, this program knows {FORMAT:?}")]
    UnknownFormat(Quoted),
    /// Signed, but of a kind that this program does not know.
    #[error("the statement is a {0}, which this program does not know")]
    UnknownKind(Quoted),
    /// Signed, but not what its kind says.
    #[error("what was signed is no statement: {0}")]
    Text(#[source] serde_json::Error),
    /// Signed, but written in another way than statements are.
    #[error("what was signed is not written as statements are, so two programs might read it differently")]
    NotCanonical,
}

/// A word out of a file, cut and quoted so that it cannot mislead who reads it in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted(String);

impl Quoted {
    fn new(word: &str) -> Self {
        Self(word.chars().take(60).collect())
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Identifiers in their usual form.
mod id {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(|_| D::Error::custom("not a UUID"))
    }
}

/// Times in RFC 3339, UTC.
mod time {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(time)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(|_| D::Error::custom("not a time"))
    }
}

#[cfg(test)]
mod tests;
