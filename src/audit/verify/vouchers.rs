//! The signed statements: collected from the records themselves and from the files beside them before the chain is walked, for
//! a checkpoint stands behind the record that it is about.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use super::{
    super::{
        Hash, Signed, SignedKind,
        checkpoint::{self, Standing},
        head::Head,
        lines::Forwards,
    },
    Evidence, Newest, Problem, ProblemKind, Report, VerifyError, unreadable,
};

/// All statements whose signature is right.
#[derive(Default)]
pub(super) struct Vouchers {
    checkpoints: HashMap<u64, Vec<Voucher>>,
    /// What retention removed: number and hash of the last record of it.
    removed: Vec<(u64, Hash)>,
    newest: u64,
}

/// A statement about one record.
struct Voucher {
    hash: Hash,
    signed_at: String,
    signer: String,
    trusted: bool,
}

impl Vouchers {
    pub(super) fn collect(
        evidence: &Evidence,
        segments: &[(Option<u64>, PathBuf)],
        report: &mut Report,
    ) -> Result<Self, VerifyError> {
        let mut vouchers = Self::default();
        for path in &evidence.checkpoints {
            for signed in checkpoint::read_all(path).map_err(unreadable(path))? {
                let place =
                    Problem { file: Some(path.clone()), line: None, sequence: None, kind: ProblemKind::NotSigned };
                vouchers.add(&signed, evidence, place, report);
            }
        }
        for (_, path) in segments {
            let mut lines = Forwards::open(path).map_err(unreadable(path))?;
            let mut number = 0;
            while let Some((line, _)) = lines.next().map_err(unreadable(path))? {
                number += 1;
                let Some(head) = Head::read(line).filter(|head| matches!(head.kind, "checkpoint" | "retention")) else {
                    continue;
                };
                if let Ok(signed) = serde_json::from_slice::<Signed>(line) {
                    let (file, sequence) = (Some(path.clone()), Some(head.sequence));
                    let place = Problem { file, line: Some(number), sequence, kind: ProblemKind::NotSigned };
                    vouchers.add(&signed, evidence, place, report);
                }
            }
        }
        Ok(vouchers)
    }

    /// Those in a file beside the segments.
    pub(super) fn of_file(path: &Path, report: &mut Report) -> io::Result<Self> {
        let mut vouchers = Self::default();
        for signed in checkpoint::read_all(path)? {
            let (file, kind) = (Some(path.to_owned()), ProblemKind::NotSigned);
            vouchers.add(&signed, &Evidence::default(), Problem { file, line: None, sequence: None, kind }, report);
        }
        Ok(vouchers)
    }

    /// What a line of the segment `path` says, if it is a statement.
    pub(super) fn add_line(&mut self, line: &[u8], path: &Path, report: &mut Report) {
        let head = Head::read(line).filter(|head| matches!(head.kind, "checkpoint" | "retention"));
        if let Some((head, signed)) = head.zip(serde_json::from_slice::<Signed>(line).ok()) {
            let (file, sequence) = (Some(path.to_owned()), Some(head.sequence));
            let place = Problem { file, line: None, sequence, kind: ProblemKind::NotSigned };
            self.add(&signed, &Evidence::default(), place, report);
        }
    }

    /// How many of the records from `first` to `last` are vouched for.
    pub(super) fn among(&self, first: Option<u64>, last: Option<u64>) -> u64 {
        let Some((first, last)) = first.zip(last) else { return 0 };
        let found = self.checkpoints.keys().filter(|through| (first..=last).contains(through)).count();
        u64::try_from(found).unwrap_or(u64::MAX)
    }

    /// `place` says where it stands.
    fn add(&mut self, signed: &Signed, evidence: &Evidence, place: Problem, report: &mut Report) {
        let mut refuse = |kind| {
            // One is enough: who changed one may have changed a thousand.
            if report.problems.is_empty() {
                report.problems.push(Problem { kind, ..place.clone() });
            }
        };
        let (signer, trusted) = match signed.standing() {
            Standing::Wrong => return refuse(ProblemKind::WrongSignature),
            Standing::Unsigned if !evidence.signers.is_empty() => return refuse(ProblemKind::NotSigned),
            Standing::Unsigned => (String::from("nobody"), false),
            Standing::Signed(key) if evidence.signers.is_empty() => (key.fingerprint(), false),
            Standing::Signed(key) if evidence.signers.contains(&key) => (key.fingerprint(), true),
            Standing::Signed(key) => return refuse(ProblemKind::OtherSigner { fingerprint: key.fingerprint() }),
        };
        match signed.kind {
            SignedKind::Retention => self.removed.push((signed.through, signed.through_hash)),
            SignedKind::Checkpoint => {
                report.checkpoints += 1;
                self.newest = self.newest.max(signed.through);
                let (hash, signed_at) = (signed.through_hash, signed.signed_at.clone());
                let known = self.checkpoints.entry(signed.through).or_default();
                // Most of them stand in two places.
                if !known.iter().any(|known| known.hash == hash && known.signer == signer) {
                    known.push(Voucher { hash, signed_at, signer, trusted });
                }
            }
        }
    }

    /// Whether retention removed everything up to this record.
    pub(super) fn explain(&self, through: u64, hash: Hash) -> bool {
        self.removed.contains(&(through, hash))
    }

    /// Whether this record is the one that was signed, where one was.
    pub(super) fn bears_out(&self, sequence: u64, hash: Hash) -> Option<bool> {
        let known = self.checkpoints.get(&sequence)?;
        Some(known.iter().all(|known| known.hash == hash))
    }

    /// The newest checkpoint against the end of the chain, where this was the end of it. Where it was not the beginning, what
    /// came before has been checked.
    pub(super) fn judge(&self, report: &mut Report, is_beginning: bool, is_end: bool) {
        let last = report.last.unwrap_or_default();
        let chain_is_good = report.problems.iter().all(|problem| problem.kind == ProblemKind::EndsWithinLine);
        if is_end && self.newest > last && chain_is_good {
            let kind = ProblemKind::Truncated { through: self.newest };
            report.problems.push(Problem { file: None, line: None, sequence: Some(last + 1), kind });
        }
        let first = if is_beginning { report.first.unwrap_or_default() } else { 0 };
        let newest =
            self.checkpoints.iter().filter(|(through, _)| (first..=last).contains(*through)).max_by_key(|(n, _)| **n);
        report.newest_checkpoint = newest.and_then(|(through, known)| {
            known.first().map(|known| Newest {
                through: *through,
                signed_at: known.signed_at.clone(),
                signer: known.signer.clone(),
                trusted: known.trusted,
            })
        });
        let vouched = report.newest_checkpoint.as_ref().map_or(0, |newest| newest.through);
        report.unvouched_from = (is_end && last > vouched).then(|| first.max(vouched + 1));
    }
}
