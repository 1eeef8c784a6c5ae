use std::{path::Path, sync::OnceLock};

use hal::{Label, RootKeys as _, SecretBytes, SignerKind, software::SoftwareHal};
use jiff::Timestamp;
use proptest::prelude::*;
use tempfile::TempDir;

use super::{
    super::{
        Actor, AdminEvent, Audit, Event, Name, Options, Outcome, Own, Signed, SignedKind, Subject, SyncPolicy,
        checkpoint,
    },
    *,
};
use crate::audit::{Hash, head::Head};

/// A log of three segments with checkpoints: the files' names and lines, oldest first, and the signer.
struct Log {
    segments: Vec<(String, Vec<String>)>,
    checkpoints: String,
    signer: PublicKey,
    stranger: PublicKey,
    /// What the newest checkpoint is about; the log ends with the checkpoint itself.
    newest: u64,
}

fn event(number: u128) -> Event {
    Event::Admin(AdminEvent {
        actor: Actor::Server,
        peer: None,
        action: "adapter.create",
        subject: Subject { name: Some(Name::new(&format!("\"nümber\" {number}"))), ..Subject::default() },
        outcome: Outcome::Success,
        correlation: uuid::Uuid::from_u128(number),
    })
}

fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let passphrase = SecretBytes::from(b"a passphrase of a test".to_vec());
        let hal = SoftwareHal::create(&folder.path().join("keys"), &passphrase).unwrap();
        let key = hal.generate_signer(&Label::new("audit").unwrap(), SignerKind::EcdsaP256).unwrap();
        let stranger = hal.generate_signer(&Label::new("other").unwrap(), SignerKind::EcdsaP384).unwrap();
        let open = folder.path().join("audit.jsonl");
        let audit = Audit::open_with(&open, Options { sync: SyncPolicy::Interval, ..Options::default() }).unwrap();
        let mut newest = 0;
        for segment in 0..3 {
            for number in 0..6 {
                audit.append(&[event(segment * 10 + number)]).unwrap();
            }
            let tail = audit.shared.chain.lock().tail();
            newest = tail.sequence;
            let signed = Signed::new(SignedKind::Checkpoint, tail, Timestamp::now()).sign(&hal, &key).unwrap();
            checkpoint::add(&audit.place().checkpoints(), &signed).unwrap();
            audit.shared.append_own(&Own::Signed(&signed)).unwrap();
            if segment < 2 {
                audit.reopen().unwrap();
            }
        }
        let segments = audit.place().segments().unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let segments = segments
            .iter()
            .map(|segment| {
                let name = segment.path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, read(&segment.path).lines().map(str::to_owned).collect())
            })
            .collect();
        Log {
            segments,
            checkpoints: read(&audit.place().checkpoints()),
            signer: PublicKey::of_signer(&key).unwrap(),
            stranger: PublicKey::of_signer(&stranger).unwrap(),
            newest,
        }
    })
}

impl Log {
    /// How many records there are.
    fn len(&self) -> usize {
        self.segments.iter().map(|(_, lines)| lines.len()).sum()
    }

    /// Segment and line of the record `sequence`.
    fn at(&self, sequence: usize) -> (usize, usize) {
        let mut left = sequence - 1;
        for (segment, (_, lines)) in self.segments.iter().enumerate() {
            if left < lines.len() {
                return (segment, left);
            }
            left -= lines.len();
        }
        panic!("no record {sequence}");
    }

    /// What verification says when the lines were changed so.
    fn changed(&self, change: impl FnOnce(&mut Vec<(String, Vec<String>)>)) -> Report {
        let mut segments = self.segments.clone();
        change(&mut segments);
        let texts = segments.into_iter().map(|(name, lines)| {
            let text: String = lines.into_iter().map(|line| line + "\n").collect();
            (name, text.into_bytes())
        });
        self.check(texts, &self.checkpoints, std::slice::from_ref(&self.signer))
    }

    fn check(
        &self,
        files: impl IntoIterator<Item = (String, Vec<u8>)>,
        checkpoints: &str,
        signers: &[PublicKey],
    ) -> Report {
        let folder = TempDir::new().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        fs::write(folder.path().join("checkpoints.jsonl"), checkpoints).unwrap();
        let evidence = Evidence { signers: signers.to_vec(), ..Evidence::of_folder(folder.path()).unwrap() };
        verify(&evidence).unwrap()
    }
}

fn first(report: &Report) -> (Option<u64>, ProblemKind) {
    let problem = report.problems.first().unwrap_or_else(|| panic!("nothing found: {report:?}"));
    (problem.sequence, problem.kind.clone())
}

#[test]
fn a_log_as_it_was_written_is_whole_and_says_from_where_nothing_vouches() {
    let log = log();
    let report = log.changed(|_| ());
    assert!(report.is_clean(), "{report:?}");
    let all = log.len() as u64;
    assert_eq!((report.segments, report.records, report.first, report.last), (3, all, Some(1), Some(all)));
    let newest = report.newest_checkpoint.unwrap();
    assert_eq!((newest.through, newest.trusted), (log.newest, true));
    assert_eq!(report.unvouched_from, Some(all));
}

#[test]
fn every_record_that_is_dropped_repeated_or_moved_is_named() {
    let log = log();
    for sequence in 1..=log.len() {
        let (segment, line) = log.at(sequence);
        let number = Some(sequence as u64);
        let dropped = log.changed(|segments| drop(segments[segment].1.remove(line)));
        if sequence == log.len() {
            assert!(dropped.is_clean(), "nothing vouches for the last one: {dropped:?}");
        } else if sequence == 1 {
            assert_eq!(first(&dropped), (Some(2), ProblemKind::BeginsLate));
        } else {
            assert_eq!(first(&dropped), (number, ProblemKind::Missing { through: sequence as u64 }));
        }
        let repeated = log.changed(|segments| {
            let again = segments[segment].1[line].clone();
            segments[segment].1.insert(line + 1, again);
        });
        assert_eq!(first(&repeated), (number, ProblemKind::Repeated));
        assert_eq!(repeated.problems[0].line, Some(line as u64 + 2));
        if line + 1 < log.segments[segment].1.len() {
            let swapped = log.changed(|segments| segments[segment].1.swap(line, line + 1));
            let expected = if sequence == 1 { ProblemKind::BeginsLate } else { ProblemKind::Reordered };
            assert_eq!(first(&swapped), (Some(sequence as u64 + 1), expected));
        }
        if sequence > 1 && sequence + 1 < log.len() {
            let foreign = log.changed(|segments| segments[segment].1.insert(line, "{\"kind\":\"admin\"}".to_owned()));
            assert_eq!(first(&foreign), (None, ProblemKind::Inserted));
            assert_eq!(foreign.problems[0].line, Some(line as u64 + 1));
        }
    }
    // Moved far away.
    let moved = log.changed(|segments| {
        let line = segments[0].1.remove(3);
        segments[2].1.insert(2, line);
    });
    assert_eq!(first(&moved), (Some(4), ProblemKind::Reordered));
}

#[test]
fn a_log_that_is_cut_anywhere_is_named_by_the_checkpoint() {
    let log = log();
    for kept in 1..usize::try_from(log.newest).unwrap() {
        let (segment, line) = log.at(kept);
        let report = log.changed(|segments| {
            segments.truncate(segment + 1);
            segments[segment].1.truncate(line + 1);
        });
        assert_eq!(first(&report), (Some(kept as u64 + 1), ProblemKind::Truncated { through: log.newest }));
    }
    // Within a line.
    let report = log.changed(|segments| {
        segments.truncate(2);
        segments[1].1.truncate(3);
        let half = segments[1].1[2].len() / 2;
        segments[1].1[2].truncate(half);
    });
    assert!(!report.is_clean());
}

#[test]
fn segments_that_are_missing_repeated_or_renamed_are_recognised() {
    let log = log();
    let without = |segment: usize| log.changed(|segments| drop(segments.remove(segment)));
    let lengths: Vec<_> = log.segments.iter().map(|(_, lines)| lines.len() as u64).collect();
    assert_eq!(first(&without(0)), (Some(lengths[0] + 1), ProblemKind::BeginsLate));
    let missing = ProblemKind::Missing { through: lengths[0] + lengths[1] };
    assert_eq!(first(&without(1)), (Some(lengths[0] + 1), missing));
    let cut = ProblemKind::Truncated { through: log.newest };
    assert_eq!(first(&without(2)), (Some(lengths[0] + lengths[1] + 1), cut));
    let twice = log.changed(|segments| segments.push(("z.jsonl".to_owned(), segments[1].1.clone())));
    assert_eq!(first(&twice), (Some(lengths[0] + 1), ProblemKind::Repeated));
    // Names are nothing: what counts is what is in the files.
    let renamed = log.changed(|segments| {
        segments[0].0 = "z.jsonl".to_owned();
        segments[2].0 = "a.jsonl".to_owned();
    });
    assert!(renamed.is_clean(), "{renamed:?}");
    assert_eq!(first(&log.check([], "", &[])), (None, ProblemKind::NoSegments));
}

/// Joins the records from `from` on anew, as somebody could who has no key.
fn join_anew(segments: &mut [(String, Vec<String>)], from: u64) {
    let mut prev = Hash::NONE;
    for line in segments.iter_mut().flat_map(|(_, lines)| lines) {
        let head = Head::read(line.as_bytes()).unwrap();
        if head.sequence >= from {
            let old = head.prev.to_string();
            *line = line.replacen(&old, &prev.to_string(), 1);
        }
        prev = Hash::of(line.as_bytes());
    }
}

#[test]
fn a_log_that_was_written_anew_is_found_by_the_next_checkpoint() {
    let log = log();
    let mut rewritten = 0;
    for sequence in 2..=usize::try_from(log.newest).unwrap() {
        let (segment, line) = log.at(sequence);
        let report = log.changed(|segments| {
            let text = &mut segments[segment].1[line];
            if !text.contains("\"outcome\":\"success\"") {
                return;
            }
            *text = text.replace("\"outcome\":\"success\"", "\"outcome\":\"failure\"");
            join_anew(segments, sequence as u64 + 1);
        });
        if report.is_clean() {
            continue;
        }
        rewritten += 1;
        let (found, kind) = first(&report);
        assert!(matches!(kind, ProblemKind::Rewritten { .. }), "{kind:?}");
        assert!(found >= Some(sequence as u64));
    }
    assert_eq!(rewritten, 18);
}

#[test]
fn signatures_count_by_whose_they_are() {
    let log = log();
    let files = || {
        let text = |lines: &Vec<String>| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        log.segments.iter().map(move |(name, lines)| (name.clone(), text(lines).into_bytes()))
    };
    let unknown = log.check(files(), &log.checkpoints, &[]);
    assert!(unknown.is_clean() && !unknown.newest_checkpoint.unwrap().trusted);
    let stranger = log.check(files(), &log.checkpoints, std::slice::from_ref(&log.stranger));
    let kind = ProblemKind::OtherSigner { fingerprint: log.signer.fingerprint() };
    assert_eq!(stranger.problems[0].kind, kind);
    let both = log.check(files(), &log.checkpoints, &[log.stranger.clone(), log.signer.clone()]);
    assert!(both.is_clean());
    // A checkpoint with another number, and one without a signature.
    let lines: Vec<_> = log.checkpoints.lines().filter(|line| !line.is_empty()).collect();
    let mut forged: Signed = serde_json::from_str(lines[0]).unwrap();
    forged.through += 1;
    let text = serde_json::to_string(&forged).unwrap();
    assert_eq!(log.check(files(), &text, &[]).problems[0].kind, ProblemKind::WrongSignature);
    (forged.signature, forged.public_key) = (None, None);
    let text = serde_json::to_string(&forged).unwrap();
    assert_eq!(log.check(files(), &text, std::slice::from_ref(&log.signer)).problems[0].kind, ProblemKind::NotSigned);
}

#[test]
fn a_part_of_a_log_is_checked_as_a_part() {
    let log = log();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("copy");
    fs::write(&path, log.segments[1].1.join("\n") + "\n").unwrap();
    let evidence = Evidence { segments: vec![path], ..Evidence::default() };
    let report = verify(&evidence).unwrap();
    assert!(report.is_clean() && report.notes.len() == 1, "{report:?}");
    let whole = verify(&Evidence { is_whole: true, ..evidence }).unwrap();
    assert_eq!(whole.problems[0].kind, ProblemKind::BeginsLate);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_byte_that_is_changed_is_found_and_its_record_named(
        place in any::<prop::sample::Index>(), flip in 1_u8..=255,
    ) {
        let log = log();
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        let mut bytes: Vec<(usize, usize, u64)> = Vec::new();
        let mut sequence = 0;
        for (file, (name, lines)) in log.segments.iter().enumerate() {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            for line in lines {
                sequence += 1;
                let begin = bytes.iter().filter(|(of, ..)| *of == file).count();
                bytes.extend((begin..=begin + line.len()).map(|at| (file, at, sequence)));
            }
            files.push((name.clone(), text.into_bytes()));
        }
        // Nothing vouches for the last record.
        bytes.retain(|(.., sequence)| *sequence <= log.newest);
        let (file, at, sequence) = bytes[place.index(bytes.len())];
        files[file].1[at] ^= flip;
        let report = log.check(files, &log.checkpoints, std::slice::from_ref(&log.signer));
        prop_assert!(!report.is_clean());
        let named = report.problems.iter().any(|problem| problem.sequence == Some(sequence));
        prop_assert!(named || sequence == 1, "{sequence}: {:?}", report.problems);
    }
}
