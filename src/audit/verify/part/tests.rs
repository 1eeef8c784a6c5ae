use std::{fs, os::unix::fs::FileExt as _, path::PathBuf, thread};

use jiff::Timestamp;
use tempfile::TempDir;

use super::{
    super::{super::*, Evidence, ProblemKind, verify},
    *,
};

/// Long enough for any of these logs.
const ALL: Duration = Duration::from_secs(600);

struct Log {
    audit: Audit,
    open: PathBuf,
    _folder: TempDir,
}

fn event(number: u128) -> Event {
    Event::Admin(AdminEvent {
        actor: Actor::Server,
        peer: None,
        action: "adapter.create",
        subject: Subject::default(),
        outcome: Outcome::Success,
        correlation: uuid::Uuid::from_u128(number),
    })
}

impl Log {
    /// Three segments of 400 records, each with a checkpoint behind it, which nobody signed.
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let open = folder.path().join("audit.jsonl");
        let audit = Audit::open_with(&open, Options { sync: SyncPolicy::Interval, ..Options::default() }).unwrap();
        let log = Self { audit, open, _folder: folder };
        for segment in 0..3 {
            (0..400).for_each(|number| log.audit.append(&[event(segment * 1000 + number)]).unwrap());
            let tail = log.audit.shared.chain.lock().tail();
            let checkpoint = Signed::new(SignedKind::Checkpoint, tail, Timestamp::now());
            super::super::super::checkpoint::add(&log.audit.place().checkpoints(), &checkpoint).unwrap();
            if segment < 2 {
                log.audit.reopen().unwrap();
            }
        }
        log
    }

    /// What all parts say together: the last report, the records in order, and how many parts there were.
    fn parts(&self) -> (Report, u64, usize) {
        let (mut from, mut records, mut parts) = (None, 0, 0);
        loop {
            let (report, next) = verify_part(&self.open, from, Duration::ZERO).unwrap();
            (records, parts) = (records + report.records, parts + 1);
            match next {
                Some(mark) => {
                    assert!(report.is_clean() && report.unvouched_from.is_none(), "{report:?}");
                    assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
                    from = Some(mark);
                }
                None => return (report, records, parts),
            }
        }
    }

    fn whole(&self) -> Report {
        verify(&Evidence::of_log(&self.open).unwrap()).unwrap()
    }
}

#[test]
fn parts_together_say_what_the_whole_says() {
    let log = Log::new();
    let whole = log.whole();
    assert!(whole.is_clean(), "{whole:?}");
    let (last, records, parts) = log.parts();
    assert!(last.is_clean() && parts > 3, "{parts} parts: {last:?}");
    assert_eq!((records, last.last, last.unvouched_from), (whole.records, whole.last, whole.unvouched_from));
    let (at_once, next) = verify_part(&log.open, None, ALL).unwrap();
    assert!(at_once.is_clean() && next.is_none());
    assert_eq!((at_once.segments, at_once.records, at_once.first), (3, whole.records, Some(1)));
    assert_eq!(at_once.newest_checkpoint.unwrap().through, whole.newest_checkpoint.unwrap().through);
    assert_eq!(at_once.checkpoints, 3);
}

#[test]
fn parts_name_the_record_that_the_whole_names() {
    for (segment, line) in [(0, 1), (0, 255), (0, 256), (1, 0), (1, 300), (2, 2), (2, 390)] {
        for missing in [false, true] {
            let log = Log::new();
            let path = log.audit.place().segments().unwrap()[segment].path.clone();
            let text = fs::read_to_string(&path).unwrap();
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            if missing {
                lines.remove(line);
            } else {
                lines[line] = lines[line].replace("\"time\":\"2", "\"time\":\"3");
            }
            fs::write(&path, lines.join("\n") + "\n").unwrap();
            let (whole, (parts, ..)) = (log.whole(), log.parts());
            let named =
                |report: &Report| report.problems.first().map(|problem| (problem.sequence, problem.kind.clone()));
            assert!(named(&whole).is_some());
            assert_eq!(named(&parts), named(&whole), "segment {segment}, line {line}, missing: {missing}");
        }
    }
}

#[test]
fn a_log_that_was_cut_or_rewritten_is_found_in_the_last_part() {
    let log = Log::new();
    let text = fs::read_to_string(&log.open).unwrap();
    let lines: Vec<_> = text.lines().collect();
    fs::write(&log.open, lines[..350].join("\n") + "\n").unwrap();
    let (report, ..) = log.parts();
    assert!(matches!(report.problems[0].kind, ProblemKind::Truncated { .. }), "{report:?}");
}

#[test]
fn what_is_being_written_is_no_fault_and_a_place_that_is_none_is_refused() {
    let log = Log::new();
    let file = fs::OpenOptions::new().write(true).open(&log.open).unwrap();
    file.write_all_at(b"{\"sequence\":", file.metadata().unwrap().len()).unwrap();
    let (report, next) = verify_part(&log.open, None, ALL).unwrap();
    assert!(report.is_clean() && next.is_none(), "{report:?}");
    let (_, next) = verify_part(&log.open, None, Duration::ZERO).unwrap();
    let elsewhere = Mark { first: 17, ..next.unwrap() };
    assert!(matches!(verify_part(&log.open, Some(elsewhere), ALL), Err(PartError::Gone)));
    for bad in ["", "1.2.3", "a.1.1.1.1", &format!("{}.1.1.1.1.1", Hash::NONE), &format!("{}.1.1.1.-1", Hash::NONE)] {
        assert_eq!(Mark::parse(bad), None, "{bad}");
    }
    // From a forged one nobody learns more than that it is wrong.
    let forged = Mark { hash: Hash::NONE, ..next.unwrap() };
    let (report, next) = verify_part(&log.open, Some(forged), ALL).unwrap();
    assert!(!report.is_clean() && next.is_none());
}

#[test]
fn a_log_that_grows_and_is_sealed_meanwhile_is_whole_in_every_part() {
    let log = Log::new();
    let log = &log;
    thread::scope(|scope| {
        let writer = scope.spawn(move || {
            for number in 0..3000 {
                log.audit.append(&[event(10_000 + number)]).unwrap();
                if number % 500 == 499 {
                    log.audit.reopen().unwrap();
                }
            }
        });
        let mut looks = 0;
        while !writer.is_finished() || looks == 0 {
            let (report, ..) = log.parts();
            assert!(report.is_clean(), "{report:?}");
            looks += 1;
        }
    });
    let (report, records, _) = log.parts();
    assert_eq!((report.last, report.is_clean()), (Some(records), true));
}
