//! What can be wrong with an audit log, in words that say where to look.

use std::{fmt, path::PathBuf};

use serde::Serialize;

/// Something that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub file: Option<PathBuf>,
    /// The line in it, from 1.
    pub line: Option<u64>,
    /// The number of the record.
    pub sequence: Option<u64>,
    /// What is wrong.
    #[serde(flatten)]
    pub kind: ProblemKind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum ProblemKind {
    /// The record was changed: the one after it names another hash.
    Changed,
    /// It is the last record or the link to it that was changed, which cannot be told apart.
    ChangedAtTheEnd,
    /// Records up to `through` are not there.
    Missing {
        /// The last one that is missing.
        through: u64,
    },
    /// A record stands where another one belongs.
    Reordered,
    /// A record stands there once more.
    Repeated,
    /// A line stands there that the chain knows nothing of.
    Inserted,
    /// A line is no record.
    NotARecord,
    /// What a recovery record speaks of was changed or is not there.
    WrongRecovery,
    /// The file ends within a line. A writer that was killed leaves this, and the next record will speak of it.
    EndsWithinLine,
    /// This record is not the one that was signed: it, or one before it, was written anew.
    Rewritten {
        /// The last record that a checkpoint bears out.
        good_through: Option<u64>,
    },
    /// The log ends before a record that was signed.
    Truncated {
        /// The number of the signed record.
        through: u64,
    },
    /// The log does not begin with its first record, and no signed statement says that retention removed what was before.
    BeginsLate,
    /// The signature of a checkpoint or statement is wrong.
    WrongSignature,
    /// Somebody signed it whose key was not given.
    OtherSigner {
        /// The fingerprint of the key.
        fingerprint: String,
    },
    /// A checkpoint or statement is not signed, though a key was given.
    NotSigned,
    /// There is no segment.
    NoSegments,
}

impl ProblemKind {
    /// Its name in reports.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::ChangedAtTheEnd => "changed_at_the_end",
            Self::Missing { .. } => "missing",
            Self::Reordered => "reordered",
            Self::Repeated => "repeated",
            Self::Inserted => "inserted",
            Self::NotARecord => "not_a_record",
            Self::WrongRecovery => "wrong_recovery",
            Self::EndsWithinLine => "ends_within_line",
            Self::Rewritten { .. } => "rewritten",
            Self::Truncated { .. } => "truncated",
            Self::BeginsLate => "begins_late",
            Self::WrongSignature => "wrong_signature",
            Self::OtherSigner { .. } => "other_signer",
            Self::NotSigned => "not_signed",
            Self::NoSegments => "no_segments",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        let record = self.sequence.map_or_else(|| "a record".to_owned(), |sequence| format!("record {sequence}"));
        match &self.kind {
            ProblemKind::Changed => write!(f, "{record} was changed"),
            ProblemKind::ChangedAtTheEnd => write!(f, "{record} was changed, or the record after it was"),
            ProblemKind::Missing { through } if self.sequence == Some(*through) => write!(f, "{record} is missing"),
            ProblemKind::Missing { through } => write!(f, "{record} and those after it up to {through} are missing"),
            ProblemKind::Reordered => write!(f, "{record} stands in another record's place"),
            ProblemKind::Repeated => write!(f, "{record} stands there once more"),
            ProblemKind::Inserted => f.write_str("a line was put in that the chain knows nothing of"),
            ProblemKind::NotARecord => write!(f, "{record} is damaged: this line is no record"),
            ProblemKind::WrongRecovery => {
                write!(f, "{record} speaks of a half line in front of it that was changed or is not there")
            }
            ProblemKind::EndsWithinLine => {
                f.write_str("the last line is not whole: a writer was killed, or the file was cut; the next record will speak of it")
            }
            ProblemKind::Rewritten { good_through: Some(good) } => {
                write!(f, "{record} is not the one that was signed: records were written anew after {good}")
            }
            ProblemKind::Rewritten { good_through: None } => {
                write!(f, "{record} is not the one that was signed: it or records before it were written anew")
            }
            ProblemKind::Truncated { through } => {
                write!(f, "the end was cut off: {record} is missing, and a checkpoint was signed for {through}")
            }
            ProblemKind::BeginsLate => {
                write!(f, "the log begins with {record}, and no signed statement says that what was before it was removed because it was old")
            }
            ProblemKind::WrongSignature => f.write_str("the signature is wrong"),
            ProblemKind::OtherSigner { fingerprint } => write!(f, "signed by {fingerprint}, which is none of the keys that were given"),
            ProblemKind::NotSigned => f.write_str("not signed"),
            ProblemKind::NoSegments => f.write_str("there is no segment of an audit log"),
        }
    }
}
