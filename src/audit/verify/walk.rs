//! Along the chain, line by line, until something does not fit; then a look at what follows tells what happened to it.

use std::path::{Path, PathBuf};

use super::{
    super::{Hash, head::Head},
    Problem, ProblemKind, Report,
    vouchers::Vouchers,
};

/// How many lines that do not fit are looked at before the first of them is called wrong.
const MOST_HELD: usize = 64;

/// The chain so far.
pub(super) struct Walk<'a> {
    vouchers: &'a Vouchers,
    is_whole: bool,
    report: &'a mut Report,
    file: PathBuf,
    line: u64,
    /// The last record that fits.
    last: Option<Last>,
    /// Lines since then, which do not.
    held: Vec<Held>,
    /// A number that is looked for in what remains: whether a record is missing or only elsewhere.
    sought: Option<Problem>,
    good_through: Option<u64>,
}

struct Last {
    sequence: u64,
    hash: Hash,
    file: PathBuf,
    line: u64,
}

/// A line that does not fit.
struct Held {
    file: PathBuf,
    line: u64,
    bytes: Vec<u8>,
    is_whole: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(vouchers: &'a Vouchers, is_whole: bool, report: &'a mut Report) -> Self {
        let (file, held) = (PathBuf::new(), Vec::new());
        Self { vouchers, is_whole, report, file, line: 0, last: None, held, sought: None, good_through: None }
    }

    /// Goes on behind a record that was found in order before.
    pub(super) fn behind(mut self, sequence: u64, hash: Hash) -> Self {
        self.last = Some(Last { sequence, hash, file: PathBuf::new(), line: 0 });
        self
    }

    /// The number and hash of the last record, where everything up to it is in order.
    pub(super) fn in_order(&self) -> Option<(u64, Hash)> {
        let last = self.last.as_ref().filter(|_| self.held.is_empty() && self.sought.is_none())?;
        Some((last.sequence, last.hash))
    }

    /// The lines of `file` follow, but for so many at its beginning.
    pub(super) fn enter(&mut self, file: &Path, line: u64) {
        (self.file, self.line) = (file.to_owned(), line);
    }

    /// The next line. Returns whether to go on.
    pub(super) fn line(&mut self, line: &[u8], is_whole: bool) -> bool {
        self.line += 1;
        if let Some(sought) = &mut self.sought {
            let elsewhere = Head::read(line).is_some_and(|head| Some(head.sequence) == sought.sequence);
            if elsewhere {
                sought.kind = ProblemKind::Reordered;
            }
            return !elsewhere;
        }
        match Head::of_whole(line) {
            Some(head) if self.fits(&head) => self.record(line, &head),
            _ => {
                let file = self.file.clone();
                self.held.push(Held { file, line: self.line, bytes: line.to_vec(), is_whole });
                if self.held.len() < MOST_HELD { true } else { self.misfit(false) }
            }
        }
    }

    /// There are more lines, but not now. Returns whether to go on with them: nothing is wrong so far.
    pub(super) fn pause(self) -> bool {
        if self.sought.is_some() {
            self.end();
            return false;
        }
        self.report.last = self.last.map(|last| last.sequence);
        self.report.problems.is_empty()
    }

    /// There are no more lines.
    pub(super) fn end(mut self) {
        if self.sought.is_none() && !self.held.is_empty() {
            self.misfit(false);
        }
        if let Some(problem) = self.sought.take() {
            self.report.problems.push(problem);
        }
        match self.last {
            Some(last) => self.report.last = Some(last.sequence),
            None if self.report.problems.is_empty() => self.problem(None, None, ProblemKind::NoSegments),
            None => {}
        }
    }

    fn fits(&self, head: &Head<'_>) -> bool {
        match &self.last {
            Some(last) => head.sequence == last.sequence.saturating_add(1) && head.prev == last.hash,
            // The first line that is a record begins the chain, wherever that is.
            None => true,
        }
    }

    /// A record that fits.
    fn record(&mut self, line: &[u8], head: &Head<'_>) -> bool {
        if !self.recovers(line, head) {
            return false;
        }
        if self.last.is_none() && !self.begins(head) {
            return false;
        }
        let (sequence, hash) = (head.sequence, Hash::of(line));
        match self.vouchers.bears_out(sequence, hash) {
            Some(false) => {
                let kind = ProblemKind::Rewritten { good_through: self.good_through };
                self.problem(Some(self.line), Some(sequence), kind);
                return false;
            }
            Some(true) => self.good_through = Some(sequence),
            None => {}
        }
        self.last = Some(Last { sequence, hash, file: self.file.clone(), line: self.line });
        self.report.records += 1;
        self.report.first.get_or_insert(sequence);
        self.report.last_time = Some(head.time.to_owned());
        true
    }

    /// Whether the lines before a record that fits may stand there: only if this record speaks of them.
    fn recovers(&mut self, line: &[u8], head: &Head<'_>) -> bool {
        if head.kind != "recovery" {
            return self.held.is_empty() || self.misfit(true);
        }
        let mut torn = Vec::new();
        for held in &self.held {
            torn.extend_from_slice(&held.bytes);
            torn.push(b'\n');
        }
        torn.pop();
        let said: Option<Recovery> = serde_json::from_slice(line).ok();
        let bytes = u64::try_from(torn.len()).unwrap_or(u64::MAX);
        if said.is_none_or(|said| said.torn_bytes != bytes || said.torn_sha256 != Hash::of(&torn)) {
            self.problem(Some(self.line), Some(head.sequence), ProblemKind::WrongRecovery);
            return false;
        }
        self.held.clear();
        self.report.notes.push(format!(
            "{}:{}: {bytes} bytes in front of record {} are no record: a writer was killed there, and nobody was told that they were recorded",
            self.file.display(), self.line, head.sequence
        ));
        true
    }

    /// Whether the chain may begin with this record.
    fn begins(&mut self, head: &Head<'_>) -> bool {
        let before = head.sequence - 1;
        if before == 0 && head.prev == Hash::NONE {
            return true;
        }
        if before > 0 && self.vouchers.explain(before, head.prev) {
            self.report
                .notes
                .push(format!("records 1 to {before} were removed because they were old, as a statement says"));
            return true;
        }
        if before > 0 && !self.is_whole {
            self.report.notes.push(format!("what was before record {} was not given", head.sequence));
            return true;
        }
        self.problem(Some(self.line), Some(head.sequence), ProblemKind::BeginsLate);
        false
    }

    /// Says what is wrong with the first line that does not fit; `resumes` where the chain goes on behind those that were held.
    /// Returns whether to go on, to look for a record that may stand elsewhere.
    fn misfit(&mut self, resumes: bool) -> bool {
        let held = std::mem::take(&mut self.held);
        let Some(first) = held.first() else { return false };
        let expected = self.last.as_ref().map_or(1, |last| last.sequence.saturating_add(1));
        let next = held.get(1).and_then(|next| Head::read(&next.bytes));
        // Whether the line after it knows it as it is.
        let is_intact = next.map(|next| next.prev == Hash::of(&first.bytes));
        let here = |sequence, kind| Problem { file: Some(first.file.clone()), line: Some(first.line), sequence, kind };
        let previous = |kind| match &self.last {
            Some(last) => {
                let (file, line, sequence) = (Some(last.file.clone()), Some(last.line), Some(last.sequence));
                Problem { file, line, sequence, kind }
            }
            None => here(Some(expected), kind),
        };
        let problem = match Head::of_whole(&first.bytes).map(|head| head.sequence) {
            None if !first.is_whole && held.len() == 1 => here(None, ProblemKind::EndsWithinLine),
            None if resumes && self.last.is_some() => here(None, ProblemKind::Inserted),
            None => here(Some(expected), ProblemKind::NotARecord),
            Some(found) if resumes && found < expected => here(Some(found), ProblemKind::Repeated),
            // It was only pushed back by lines that stand in front of where they belong, or stands too early itself.
            Some(found) if resumes && found > expected && held.len() > 1 => {
                let (file, line) = (Some(self.file.clone()), Some(self.line));
                Problem { file, line, sequence: Some(expected), kind: ProblemKind::Reordered }
            }
            Some(found) if resumes && found > expected => here(Some(found), ProblemKind::Reordered),
            Some(_) if resumes => here(None, ProblemKind::Inserted),
            Some(_) if is_intact == Some(false) => here(Some(expected), ProblemKind::Changed),
            Some(found) if found == expected && is_intact.is_none() => previous(ProblemKind::ChangedAtTheEnd),
            Some(found) if found == expected => previous(ProblemKind::Changed),
            Some(found) if found < expected => here(Some(found), ProblemKind::Repeated),
            Some(found) => {
                let missing = here(Some(expected), ProblemKind::Missing { through: found - 1 });
                let elsewhere =
                    held.iter().any(|held| Head::read(&held.bytes).is_some_and(|head| head.sequence == expected));
                if !elsewhere {
                    self.sought = Some(missing);
                    return true;
                }
                Problem { kind: ProblemKind::Reordered, ..missing }
            }
        };
        self.report.problems.push(problem);
        false
    }

    fn problem(&mut self, line: Option<u64>, sequence: Option<u64>, kind: ProblemKind) {
        let file = line.map(|_| self.file.clone());
        self.report.problems.push(Problem { file, line, sequence, kind });
    }
}

/// What a recovery record says.
#[derive(serde::Deserialize)]
struct Recovery {
    torn_bytes: u64,
    torn_sha256: Hash,
}
