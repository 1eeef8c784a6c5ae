//! Where a file ends: its last whole record, and what a writer that was killed left behind that.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use jiff::Timestamp;

use super::{hash::Hash, head::Head};

/// How much is read at first to find the last record, in bytes.
const BLOCK: u64 = 4 * 1024;

/// The last record of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// Its number; 0 before the first one.
    pub(super) sequence: u64,
    /// The hash of its line.
    pub(super) hash: Hash,
    /// It is the last one that its segment shall have.
    pub(super) is_seal: bool,
}

impl Tail {
    /// Before the first record.
    pub(super) const NONE: Self = Self { sequence: 0, hash: Hash::NONE, is_seal: false };
}

/// How a file, or a part of one, ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    /// The last whole record, where there is one.
    pub(super) tail: Option<Tail>,
    /// When that was written.
    pub(super) time: Option<Timestamp>,
    /// What follows it that is no record.
    pub(super) torn: Option<Torn>,
    /// The last byte is no newline.
    pub(super) within_line: bool,
}

/// Bytes that are no record: nobody was ever told that they were one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Torn {
    /// How many, the last newline not counted.
    pub(super) bytes: u64,
    /// Their hash, the last newline left out.
    pub(super) hash: Hash,
}

/// How the first `end` bytes of `file` end.
pub(super) fn read(file: &File, end: u64) -> io::Result<Ending> {
    let mut size = BLOCK;
    loop {
        let from = end.saturating_sub(size);
        let mut bytes = vec![0; usize::try_from(end - from).unwrap_or_default()];
        file.read_exact_at(&mut bytes, from)?;
        // It begins within a line, most likely.
        let begin = if from == 0 { Some(0) } else { bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1) };
        let found = ending(begin.and_then(|begin| bytes.get(begin..)).unwrap_or_default());
        if found.tail.is_some() || from == 0 {
            return Ok(found);
        }
        size = size.saturating_mul(4);
    }
}

/// How `bytes`, which begin with a line, end.
fn ending(bytes: &[u8]) -> Ending {
    let within_line = bytes.last().is_some_and(|byte| *byte != b'\n');
    let mut end = bytes.len() - usize::from(!bytes.is_empty() && !within_line);
    let all = bytes.get(..end).unwrap_or_default();
    let (mut tail, mut time) = (None, None);
    let mut torn_from = 0;
    // From the last line backwards to the first that is a record.
    while let Some(part) = bytes.get(..end).filter(|_| !bytes.is_empty()) {
        let begin = part.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = part.get(begin..).unwrap_or_default();
        if let Some(head) = Head::of_whole(line) {
            let hash = Hash::of(line);
            tail = Some(Tail { sequence: head.sequence, hash, is_seal: head.kind == "seal" });
            time = head.timestamp();
            torn_from = end + 1;
            break;
        }
        if begin == 0 {
            break;
        }
        end = begin - 1;
    }
    let torn = all.get(torn_from..).filter(|_| !bytes.is_empty()).map(|torn| {
        let bytes = u64::try_from(torn.len()).unwrap_or(u64::MAX);
        Torn { bytes, hash: Hash::of(torn) }
    });
    Ending { tail, time, torn, within_line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sequence: u64) -> String {
        let zeros = "0".repeat(64);
        format!(r#"{{"sequence":{sequence},"prev":"{zeros}","time":"t","kind":"request"}}"#)
    }

    fn torn(bytes: &str) -> Option<Torn> {
        Some(Torn { bytes: bytes.len() as u64, hash: Hash::of(bytes.as_bytes()) })
    }

    #[test]
    fn the_last_whole_record_and_what_follows_it_are_found() {
        let (one, two) = (record(1), record(2));
        for (text, sequence, left, within_line) in [
            (String::new(), None, None, false),
            (format!("{one}\n"), Some(1), None, false),
            (format!("{one}\n{two}"), Some(2), None, true),
            (format!("{one}\n{}", &two[..40]), Some(1), torn(&two[..40]), true),
            (format!("{one}\n{}\n", &two[..40]), Some(1), torn(&two[..40]), false),
            (format!("{one}\nab\ncd"), Some(1), torn("ab\ncd"), true),
            (format!("{one}\n\n"), Some(1), torn(""), false),
            ("ab".to_owned(), None, torn("ab"), true),
            ("\n".to_owned(), None, torn(""), false),
        ] {
            let found = ending(text.as_bytes());
            assert_eq!(found.tail.map(|tail| tail.sequence), sequence, "{text}");
            assert_eq!((found.torn, found.within_line), (left, within_line), "{text}");
        }
    }

    #[test]
    fn a_record_before_more_garbage_than_a_block_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let garbage = "x".repeat(300_000);
        let text = format!("{}\n{}\n{garbage}", record(1), record(2));
        std::fs::write(&path, &text).unwrap();
        let found = read(&File::open(&path).unwrap(), text.len() as u64).unwrap();
        assert_eq!(found.tail.unwrap().sequence, 2);
        assert_eq!(found.torn, torn(&garbage));
    }
}
