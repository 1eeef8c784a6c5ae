//! Signed statements about the chain: checkpoints ("this is the record with this number, and nothing before it is missing") and
//! statements of what retention removed.
//!
//! They stand in the chain and, once more, in a small file beside the segments, so that a chain that was cut is noticed by
//! whoever has the file. The key that signs lies in the HSM and is set aside for this.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use base64ct::{Base64, Encoding as _};
use hal::{HalError, RootKeys, SignerInfo};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Hash,
    json::Object,
    place::{MAX_LINE, append_to, missing},
    tail::Tail,
};
use crate::statement::{PublicKey, SignError};

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignedKind {
    /// The record `through` has this hash.
    Checkpoint,
    /// The records up to `through`, which has this hash, were removed because they were old.
    Retention,
}

impl SignedKind {
    fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Retention => "retention",
        }
    }
}

/// A checkpoint or a statement of what was removed. Where no key is set aside for it, it is not signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// What is said.
    pub kind: SignedKind,
    /// The number of the record it is about.
    pub through: u64,
    /// The hash of that record's line.
    pub through_hash: Hash,
    /// When, by the server's clock.
    pub signed_at: String,
    /// SubjectPublicKeyInfo of the signer, Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Its signature (ECDSA, DER), Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// What a signature is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is right, and whose it is.
    Signed(PublicKey),
    /// There is none.
    Unsigned,
    /// It is wrong.
    Wrong,
}

impl Signed {
    /// A statement about the record `about`, not signed.
    pub(super) fn new(kind: SignedKind, about: Tail, time: Timestamp) -> Self {
        Self {
            kind,
            through: about.sequence,
            through_hash: about.hash,
            signed_at: format!("{time:.3}"),
            public_key: None,
            signature: None,
        }
    }

    /// The same, signed by a key in the HSM.
    pub(super) fn sign(mut self, hal: &dyn RootKeys, signer: &SignerInfo) -> Result<Self, SignError> {
        let key = PublicKey::of_signer(signer)?;
        let text = self.text();
        let signature = hal.sign(signer.id, text.as_bytes(), signer.kind.scheme())?;
        key.verify(text.as_bytes(), &signature).map_err(|_| SignError::WrongSignature)?;
        self.public_key = Some(Base64::encode_string(key.spki()));
        self.signature = Some(Base64::encode_string(&signature));
        Ok(self)
    }

    /// What its signature is worth.
    pub(super) fn standing(&self) -> Standing {
        let (key, signature) = match (&self.public_key, &self.signature) {
            (Some(key), Some(signature)) => (Base64::decode_vec(key), Base64::decode_vec(signature)),
            (None, None) => return Standing::Unsigned,
            _ => return Standing::Wrong,
        };
        let key = key.ok().and_then(|der| PublicKey::from_spki(&der));
        match key.zip(signature.ok()) {
            Some((key, signature)) if key.verify(self.text().as_bytes(), &signature).is_ok() => Standing::Signed(key),
            _ => Standing::Wrong,
        }
    }

    /// Adds its fields to a record.
    pub(super) fn write(&self, line: &mut Object<'_>) {
        line.plain("kind", self.kind.name());
        line.number("through", self.through);
        line.hex("through_hash", &self.through_hash.0);
        line.plain("signed_at", &self.signed_at);
        for (field, value) in [("public_key", &self.public_key), ("signature", &self.signature)] {
            if let Some(value) = value {
                line.plain(field, value);
            }
        }
    }

    /// What is signed.
    fn text(&self) -> String {
        let Self { kind, through, through_hash, signed_at, .. } = self;
        format!("keystead-audit-{}-1\nthrough {through}\nhash {through_hash}\ntime {signed_at}\n", kind.name())
    }
}

/// The statements in a file; lines that are none are passed over, for a crash may have left half of one.
pub(super) fn read_all(path: &Path) -> io::Result<Vec<Signed>> {
    let file = match File::open(path).map(Some).or_else(missing)? {
        Some(file) => file,
        None => return Ok(Vec::new()),
    };
    let mut lines = BufReader::new(file);
    let mut found = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(found);
        }
        found.extend(serde_json::from_slice::<Signed>(&line).ok());
    }
}

/// Adds `signed` to the file.
pub(super) fn add(path: &Path, signed: &Signed) -> io::Result<()> {
    let mut file = append_to(path)?;
    // A line of its own, whatever stands before it.
    let mut line = serde_json::to_vec(signed)?;
    line.insert(0, b'\n');
    line.push(b'\n');
    file.write_all(&line)?;
    file.sync_data()
}

/// Leaves in the file the statements of what was removed, and of checkpoints only those that `keep` wants.
pub(super) fn thin_out(path: &Path, keep: impl Fn(&Signed) -> bool) -> io::Result<()> {
    let mut text = Vec::new();
    for signed in read_all(path)?.iter().filter(|signed| signed.kind == SignedKind::Retention || keep(signed)) {
        serde_json::to_writer(&mut text, signed)?;
        text.push(b'\n');
    }
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SigningError {
    #[error(transparent)]
    Hal(#[from] HalError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error(transparent)]
    Audit(#[from] super::AuditError),
}
