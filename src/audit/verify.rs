//! Checks copied files of an audit log with nothing but the files and, as trust anchor, the public key of the HSM's signer.
//!
//! The chain shows what was changed, taken out, put in or moved between two records that are there. Only a signed checkpoint
//! shows that the end was cut, or that everything from some record on was written anew; what follows the newest checkpoint, no
//! one vouches for, and the report says from where on that is.

mod part;
mod problem;
mod vouchers;
mod walk;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

pub use self::{
    part::{Mark, PartError, verify_part},
    problem::{Problem, ProblemKind},
};
use self::{vouchers::Vouchers, walk::Walk};
use super::{
    lines::Forwards,
    place::{self, Place},
};
use crate::statement::PublicKey;

/// What is to be checked, and by what.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The segments, in any order.
    pub segments: Vec<PathBuf>,
    /// Files of signed checkpoints: the one beside the segments, and copies that were kept elsewhere.
    pub checkpoints: Vec<PathBuf>,
    /// The public keys of those who may sign; where there are none, signatures are checked by the keys that came with them.
    pub signers: Vec<PublicKey>,
    /// The segments are all that there are, so that the first one must be the log's first or be explained.
    pub is_whole: bool,
}

impl Evidence {
    /// All that lies beside the open segment `open`.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn of_log(open: &Path) -> io::Result<Self> {
        let place = Place::new(open);
        let segments = place.segments()?.into_iter().map(|segment| segment.path).collect();
        let checkpoints = [place.checkpoints()].into_iter().filter(|path| path.exists()).collect();
        Ok(Self { segments, checkpoints, signers: Vec::new(), is_whole: true })
    }

    /// All that lies in a folder, whatever its segments are called.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn of_folder(folder: &Path) -> io::Result<Self> {
        let mut found = Self { is_whole: true, ..Self::default() };
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name == "checkpoints.jsonl" {
                found.checkpoints.push(path);
            } else if name.ends_with(".jsonl") {
                found.segments.push(path);
            }
        }
        Ok(found)
    }
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// How many segments were read.
    pub segments: usize,
    /// How many records are in order.
    pub records: u64,
    /// The number of the first of them.
    pub first: Option<u64>,
    /// The number of the last of them.
    pub last: Option<u64>,
    /// When that was written.
    pub last_time: Option<String>,
    /// What is wrong; the first of each kind of evidence.
    pub problems: Vec<Problem>,
    /// What is as it may be, but should be known.
    pub notes: Vec<String>,
    /// How many checkpoints have a right signature.
    pub checkpoints: u64,
    /// The newest of them that the records bear out.
    pub newest_checkpoint: Option<Newest>,
    /// The first record that no checkpoint vouches for.
    pub unvouched_from: Option<u64>,
}

/// The newest checkpoint.
#[derive(Clone, Debug, Serialize)]
pub struct Newest {
    /// The record it is about.
    pub through: u64,
    /// When it was signed.
    pub signed_at: String,
    /// The fingerprint of the key that signed it.
    pub signer: String,
    /// The key is one that was given.
    pub trusted: bool,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Checks `evidence`.
///
/// # Errors
/// A file cannot be read.
pub fn verify(evidence: &Evidence) -> Result<Report, VerifyError> {
    let mut segments = Vec::new();
    for path in &evidence.segments {
        let first = place::first_of(path).map_err(unreadable(path))?.map(|first| first.sequence);
        segments.push((first, path.clone()));
    }
    segments.sort();
    let mut report = Report { segments: segments.len(), ..Report::default() };
    let vouchers = Vouchers::collect(evidence, &segments, &mut report)?;
    let mut walk = Walk::new(&vouchers, evidence.is_whole, &mut report);
    'files: for (_, path) in &segments {
        let mut lines = Forwards::open(path).map_err(unreadable(path))?;
        walk.enter(path, 0);
        while let Some((line, whole)) = lines.next().map_err(unreadable(path))? {
            if !walk.line(line, whole) {
                break 'files;
            }
        }
    }
    walk.end();
    vouchers.judge(&mut report, true, true);
    Ok(report)
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct VerifyError {
    /// The file.
    pub path: PathBuf,
    /// The cause.
    pub source: io::Error,
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> VerifyError {
    move |source| VerifyError { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
