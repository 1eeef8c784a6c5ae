//! One custodian's share, and its file: JSON, with a checksum against damage.
//!
//! The checksum is no protection against a custodian who changes a share on purpose; the commitment is.

use std::{borrow::Cow, fmt, fmt::Write as _};

use base64ct::{Base64, Encoding as _};
use hal::{InvalidLabel, Kcv, KcvMethod, Label, RootKeyId, RootKeyVersion};
use jiff::Timestamp;
use ring::digest::{Context, SHA256, digest};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{LEN, Quorum, Terms};

/// The form of the file, and its version.
const FORMAT: &str = "keystead-root-key-share-1";
/// Room for the longest file, so that the buffer never grows and leaves a copy behind: a label of 64 characters has at most 384
/// bytes as JSON writes them, everything else is shorter than 1000.
const CAPACITY: usize = 2048;
/// Base64 of a share.
const BASE64_LEN: usize = LEN.div_ceil(3) * 4;

/// One share of a root key.
pub struct Share {
    terms: Terms,
    number: u8,
    value: Zeroizing<[u8; LEN]>,
}

/// Why a file is no share.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// It is written in another way.
    #[error("it is no share of a root key, or was damaged: line {line}, column {column}")]
    Json {
        /// Where, from 1.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// Its format is another.
    #[error("it has the format {found:?}, this program knows {FORMAT:?}")]
    Format {
        /// What it says.
        found: String,
    },
    /// The checksum is not that of the content.
    #[error("it was damaged: its checksum is not that of what it says")]
    Checksum,
    /// One of its fields has a value that no share has.
    #[error("its {field} is none that a share has")]
    Field {
        /// The field.
        field: &'static str,
    },
    /// The label.
    #[error(transparent)]
    Label(#[from] InvalidLabel),
}

/// The error's own words may repeat what was read, and so the share: only the place is kept.
impl From<serde_json::Error> for ShareError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json { line: error.line(), column: error.column() }
    }
}

/// The file, as it is written and read. The value is borrowed, so that reading makes no copy of it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File<'a> {
    format: Cow<'a, str>,
    ceremony: Cow<'a, str>,
    root_key: Cow<'a, str>,
    version: u32,
    label: Cow<'a, str>,
    threshold: u8,
    shares: u8,
    number: u8,
    created_at: Cow<'a, str>,
    kcv: Cow<'a, str>,
    commitment: Cow<'a, str>,
    share: &'a str,
    checksum: Cow<'a, str>,
}

impl Share {
    pub(super) fn new(terms: Terms, number: u8, value: Zeroizing<[u8; LEN]>) -> Self {
        Self { terms, number, value }
    }

    /// What it has in common with the others.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Its number, from 1.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.number
    }

    pub(super) fn value(&self) -> &[u8; LEN] {
        &self.value
    }

    /// The text of its file.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn to_file(&self) -> Result<Zeroizing<Vec<u8>>, ShareError> {
        let mut buffer = Zeroizing::new([0; BASE64_LEN]);
        let share = Base64::encode(self.value.as_slice(), buffer.as_mut_slice())
            .map_err(|_| ShareError::Field { field: "share" })?;
        let Terms { ceremony, key, label, quorum, created_at, kcv, commitment } = &self.terms;
        let file = File {
            format: FORMAT.into(),
            ceremony: ceremony.to_string().into(),
            root_key: key.root.to_string().into(),
            version: key.version,
            label: label.as_str().into(),
            threshold: quorum.threshold,
            shares: quorum.shares,
            number: self.number,
            created_at: created_at.to_string().into(),
            kcv: kcv.to_string().into(),
            commitment: hex(commitment).into(),
            share,
            checksum: hex(&checksum(&self.terms, self.number, share)).into(),
        };
        let mut text = Zeroizing::new(Vec::with_capacity(CAPACITY));
        serde_json::to_writer_pretty(&mut *text, &file)?;
        text.push(b'\n');
        Ok(text)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// It is no share, or was damaged.
    pub fn parse(text: &[u8]) -> Result<Self, ShareError> {
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(borrow)]
            format: Cow<'a, str>,
        }
        let Head { format } = serde_json::from_slice(text)?;
        if format != FORMAT {
            return Err(ShareError::Format { found: format.chars().take(60).collect() });
        }
        let file: File<'_> = serde_json::from_slice(text)?;
        let kcv = unhex(&file.kcv).ok_or(ShareError::Field { field: "kcv" })?;
        let terms = Terms {
            ceremony: uuid(&file.ceremony, "ceremony")?,
            key: RootKeyVersion {
                root: RootKeyId::from_uuid(uuid(&file.root_key, "root_key")?),
                version: file.version,
            },
            label: Label::new(&file.label)?,
            quorum: Quorum::new(file.threshold, file.shares).map_err(|_| ShareError::Field { field: "threshold" })?,
            created_at: file.created_at.parse::<Timestamp>().map_err(|_| ShareError::Field { field: "created_at" })?,
            kcv: Kcv { method: KcvMethod::EcbZeroBlock, value: kcv },
            commitment: unhex(&file.commitment).ok_or(ShareError::Field { field: "commitment" })?,
        };
        // Against what it says, however it is written: so a file whose line ends were changed on its way is still good.
        if unhex(&file.checksum) != Some(checksum(&terms, file.number, file.share)) {
            return Err(ShareError::Checksum);
        }
        if !(1..=terms.quorum.shares).contains(&file.number) {
            return Err(ShareError::Field { field: "number" });
        }
        if terms.key.version == 0 {
            return Err(ShareError::Field { field: "version" });
        }
        let mut value = Zeroizing::new([0; LEN]);
        match Base64::decode(file.share, value.as_mut_slice()) {
            Ok(bytes) if bytes.len() == LEN => {}
            _ => return Err(ShareError::Field { field: "share" }),
        }
        Ok(Self { terms, number: file.number, value })
    }

    /// The fingerprint of a share file: SHA-256 of its bytes in hexadecimal, what `sha256sum` prints.
    #[must_use]
    pub fn fingerprint(file: &[u8]) -> String {
        hex(digest(&SHA256, file).as_ref())
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("terms", &self.terms).field("number", &self.number).finish_non_exhaustive()
    }
}

/// SHA-256 over the format, what all shares say, the commitment, the number and the share, each in a line of its own.
fn checksum(terms: &Terms, number: u8, share: &str) -> [u8; LEN] {
    let mut context = Context::new(&SHA256);
    let before = format!("{FORMAT}\n{}{}\n{number}\n", terms.lines(), hex(&terms.commitment));
    for part in [before.as_bytes(), share.as_bytes(), b"\n"] {
        context.update(part);
    }
    let mut sum = [0; LEN];
    for (to, from) in sum.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    sum
}

fn uuid(text: &str, field: &'static str) -> Result<Uuid, ShareError> {
    text.parse().map_err(|_| ShareError::Field { field })
}

/// Nothing secret is ever written in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    let digits = text.as_bytes();
    let clean = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if digits.len() != 2 * N || !clean {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}
