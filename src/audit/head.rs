//! The beginning that all lines have in common, read without a JSON parser: what the chain, a search and an export go by.

use jiff::Timestamp;
use serde::de::IgnoredAny;

use super::hash::Hash;

/// What every line begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    /// The number of the record, from 1, without gaps.
    pub(super) sequence: u64,
    /// The hash of the line before it.
    pub(super) prev: Hash,
    /// When it was written, RFC 3339.
    pub(super) time: &'a str,
    /// What kind of record it is.
    pub(super) kind: &'a str,
}

impl<'a> Head<'a> {
    /// Reads the beginning of a line; `None` where it does not begin as lines do.
    pub(super) fn read(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"{\"sequence\":")?;
        let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        let (sequence, rest) = rest.split_at_checked(digits)?;
        // One form only, so that nothing reads as two numbers.
        if sequence.is_empty() || sequence.first() == Some(&b'0') {
            return None;
        }
        let sequence = str::from_utf8(sequence).ok()?.parse().ok()?;
        let (prev, rest) = rest.strip_prefix(b",\"prev\":\"")?.split_at_checked(64)?;
        let prev = Hash::parse(prev)?;
        let (time, rest) = text(rest.strip_prefix(b"\",\"time\":\"")?)?;
        let (kind, _) = text(rest.strip_prefix(b",\"kind\":\"")?)?;
        Some(Self { sequence, prev, time, kind })
    }

    /// The same for a line that is one whole JSON object.
    pub(super) fn of_whole(line: &'a [u8]) -> Option<Self> {
        let head = Self::read(line)?;
        serde_json::from_slice::<IgnoredAny>(line).ok().map(|_| head)
    }

    /// When the record was written.
    pub(super) fn timestamp(&self) -> Option<Timestamp> {
        self.time.parse().ok()
    }
}

/// What stands before the next quote, and what follows that.
fn text(rest: &[u8]) -> Option<(&str, &[u8])> {
    let end = rest.iter().position(|byte| *byte == b'"')?;
    let (text, rest) = rest.split_at_checked(end)?;
    Some((str::from_utf8(text).ok()?, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_in_one_form_only() {
        let zeros = "0".repeat(64);
        let line = format!(r#"{{"sequence":12,"prev":"{zeros}","time":"2026-01-01T00:00:00.000Z","kind":"seal"}}"#);
        let head = Head::of_whole(line.as_bytes()).unwrap();
        assert_eq!((head.sequence, head.prev, head.kind), (12, Hash::NONE, "seal"));
        assert!(head.timestamp().is_some());
        for (from, to) in [
            ("12", "012"),
            ("12", "-12"),
            ("12", "1.2"),
            ("12", "99999999999999999999"),
            ("12", ""),
            ("\"prev\":\"0", "\"prev\":\"A"),
            ("\"prev\":\"0", "\"prev\":\""),
            ("{\"s", "{ \"s"),
            ("}", "} "),
            ("}", "}{"),
            ("}", ""),
        ] {
            let changed = line.replacen(from, to, 1);
            // A blank after the object is no part of a line either, but its hash is another one.
            assert_eq!(Head::of_whole(changed.as_bytes()).is_some(), to == "} ", "{changed}");
        }
    }
}
