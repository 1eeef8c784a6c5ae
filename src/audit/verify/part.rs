//! The log of a running server, checked a part at a time: in bounded time, while records are added and segments sealed.
//!
//! A part begins behind a record that was found in order, and is read twice: once for the checkpoints in it, for as long as may
//! be, and once more along the chain. What was written after the first reading began does not count.

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    super::{
        Hash,
        lines::Forwards,
        place::{Place, Segment, missing},
    },
    Report,
    vouchers::Vouchers,
    walk::Walk,
};

/// How many lines are read before the time is looked at.
const LINES: u32 = 256;

/// Behind a record that is in order: where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The number of that record.
    sequence: u64,
    /// The hash of its line.
    hash: Hash,
    /// The first record of the segment that the next line is in.
    first: u64,
    /// Where in that segment's file the next line begins.
    at: u64,
    /// How many lines of the file come before it.
    lines: u64,
}

impl Mark {
    /// The same as [`Mark::to_string`] gave it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let hash = Hash::parse(parts.next()?.as_bytes())?;
        let mut next = || parts.next()?.parse().ok();
        let mark = Self { hash, sequence: next()?, first: next()?, at: next()?, lines: next()? };
        parts.next().is_none().then_some(mark)
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sequence, hash, first, at, lines } = self;
        write!(f, "{hash}.{sequence}.{first}.{at}.{lines}")
    }
}

/// Why a part was not checked.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// A file cannot be read.
    #[error("the audit log cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The segment where this was to go on is not there any more.
    #[error("the segment where this was to go on is not there any more: begin again")]
    Gone,
}

/// Checks the log whose open segment is `log` from `from` on, or from its beginning. Returns where to go on, where `patience`
/// ended before the log did and nothing was wrong so far.
///
/// # Errors
/// A file cannot be read, or retention removed it meanwhile.
pub fn verify_part(log: &Path, from: Option<Mark>, patience: Duration) -> Result<(Report, Option<Mark>), PartError> {
    let place = Place::new(log);
    // Before the segments: a checkpoint is about records that are there.
    let mut report = Report::default();
    let mut vouchers = Vouchers::of_file(&place.checkpoints(), &mut report)?;
    let segments = place.segments()?;
    let begin = match from {
        None => 0,
        Some(mark) => segments.iter().position(|segment| segment.first == mark.first).ok_or(PartError::Gone)?,
    };
    let part = segments.get(begin..).unwrap_or_default();
    let end = read_statements(&place, part, from, Instant::now() + patience, &mut vouchers, &mut report)?;
    let next = walk(&place, part, from, end, &vouchers, &mut report)?;
    let begun = |end: End| part.iter().filter(|segment| segment.first <= end.first).count();
    report.segments = end.map_or(0, begun).saturating_sub(usize::from(from.is_some()));
    report.checkpoints = vouchers.among(report.first, report.last);
    // Whatever came before this part was checked with it.
    vouchers.judge(&mut report, from.is_none(), next.is_none());
    Ok((report, next))
}

/// Where a part ends.
#[derive(Clone, Copy)]
struct End {
    /// The first record of the segment.
    first: u64,
    /// Where in its file.
    at: u64,
    /// There is more.
    is_early: bool,
}

/// Collects what was signed, until all is read or the time is up.
fn read_statements(
    place: &Place,
    segments: &[Segment],
    from: Option<Mark>,
    until: Instant,
    vouchers: &mut Vouchers,
    report: &mut Report,
) -> Result<Option<End>, PartError> {
    let mut end = None;
    let mut seen: u32 = 0;
    for segment in segments {
        let at = from.filter(|mark| mark.first == segment.first).map_or(0, |mark| mark.at);
        let mut lines = open(place, segment, at)?;
        loop {
            end = Some(End { first: segment.first, at: lines.at(), is_early: false });
            let Some((line, whole)) = lines.next()? else { break };
            if !whole && Some(segment) == segments.last() {
                // It is being written just now, or the next record will speak of it.
                break;
            }
            vouchers.add_line(line, &segment.path, report);
            seen = seen.wrapping_add(1);
            if seen.is_multiple_of(LINES) && Instant::now() >= until {
                return Ok(Some(End { first: segment.first, at: lines.at(), is_early: true }));
            }
        }
    }
    Ok(end)
}

/// Goes along the chain up to `end`.
fn walk(
    place: &Place,
    segments: &[Segment],
    from: Option<Mark>,
    end: Option<End>,
    vouchers: &Vouchers,
    report: &mut Report,
) -> Result<Option<Mark>, PartError> {
    let mut walk = Walk::new(vouchers, true, report);
    let mut mark = from;
    if let Some(mark) = from {
        walk = walk.behind(mark.sequence, mark.hash);
    }
    'segments: for segment in segments {
        let Some(end) = end else { break };
        let begun = from.filter(|mark| mark.first == segment.first);
        let (at, mut number) = begun.map_or((0, 0), |mark| (mark.at, mark.lines));
        let mut lines = open(place, segment, at)?;
        walk.enter(&segment.path, number);
        while segment.first != end.first || lines.at() < end.at {
            let Some((line, whole)) = lines.next()? else { break };
            number += 1;
            if !walk.line(line, whole) {
                break 'segments;
            }
            if let Some((sequence, hash)) = walk.in_order() {
                mark = Some(Mark { sequence, hash, first: segment.first, at: lines.at(), lines: number });
            }
        }
        if segment.first == end.first {
            break;
        }
    }
    if end.is_some_and(|end| end.is_early) {
        return Ok(if walk.pause() { mark } else { None });
    }
    walk.end();
    Ok(None)
}

/// A segment from a place on, wherever it is now. A sealed one is what its name says: its first record may be what was changed.
fn open(place: &Place, segment: &Segment, at: u64) -> Result<Forwards, PartError> {
    if let Some(lines) = place.open_segment(segment, |path| Forwards::open_at(path, at))? {
        return Ok(lines);
    }
    if segment.path == place.open {
        return Err(PartError::Gone);
    }
    Forwards::open_at(&segment.path, at).map(Some).or_else(missing)?.ok_or(PartError::Gone)
}

#[cfg(test)]
mod tests;
