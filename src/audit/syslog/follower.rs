//! Reads records as they are written, from segment to segment.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use super::super::{
    place::{Place, Segment},
    record::Record,
};

/// How much is read at once, in bytes.
const BLOCK: usize = 128 * 1024;

/// A place in the log that moves on.
pub(super) struct Follower {
    place: Place,
    /// The last record that was given.
    sequence: u64,
    open: Option<Open>,
}

struct Open {
    file: File,
    first: u64,
    /// The beginning of the next line.
    offset: u64,
}

impl Follower {
    /// After the record `sequence`.
    pub(super) fn new(place: Place, sequence: u64) -> Self {
        Self { place, sequence, open: None }
    }

    /// Goes on after the record `sequence`.
    pub(super) fn go_back_to(&mut self, sequence: u64) {
        (self.sequence, self.open) = (sequence, None);
    }

    /// Gives the next records to `each` with their lines, some of them where there are many. Returns the number of the last one.
    pub(super) fn read(&mut self, mut each: impl FnMut(&[u8], &Record)) -> io::Result<Option<u64>> {
        loop {
            if self.open.is_none() {
                self.open = self.find_segment()?;
            }
            let Some(mut open) = self.open.take() else { return Ok(None) };
            let mut lines = open.lines()?;
            if lines.is_empty() {
                let next = self.segment_after(open.first)?;
                if next.is_some() {
                    // Before it was sealed, more may have been written to this one.
                    lines = open.lines()?;
                }
                if let Some(next) = next.filter(|_| lines.is_empty()) {
                    self.open = self.open_at(&next)?;
                    continue;
                }
            }
            self.open = Some(open);
            if lines.is_empty() {
                return Ok(None);
            }
            let before = self.sequence;
            for line in lines.split(|byte| *byte == b'\n') {
                if let Some(record) = Record::read(line).filter(|record| record.sequence > self.sequence) {
                    self.sequence = record.sequence;
                    each(line, &record);
                }
            }
            if self.sequence > before {
                return Ok(Some(self.sequence));
            }
        }
    }

    /// The segment that has the next record, or the first one after it.
    fn find_segment(&self) -> io::Result<Option<Open>> {
        let segments = self.place.segments()?;
        let at = segments.partition_point(|segment| segment.first <= self.sequence + 1);
        let Some(segment) = segments.get(at.saturating_sub(1)) else { return Ok(None) };
        if segment.first > self.sequence + 1 && self.sequence > 0 {
            tracing::warn!(
                after = self.sequence,
                before = segment.first,
                "records of the audit log were removed before they were sent to syslog"
            );
        }
        self.open_at(segment)
    }

    fn segment_after(&self, first: u64) -> io::Result<Option<Segment>> {
        Ok(self.place.segments()?.into_iter().find(|segment| segment.first > first))
    }

    fn open_at(&self, segment: &Segment) -> io::Result<Option<Open>> {
        let file = self.place.open_segment(segment, |path| File::open(path))?;
        Ok(file.map(|file| Open { file, first: segment.first, offset: 0 }))
    }
}

impl Open {
    /// The next whole lines; nothing where there are none yet.
    fn lines(&mut self) -> io::Result<Vec<u8>> {
        let mut block = vec![0; BLOCK];
        let length = self.file.read_at(&mut block, self.offset)?;
        block.truncate(length);
        match block.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => block.truncate(end + 1),
            // Longer than any line: whatever it is, it is passed over.
            None if length == BLOCK => {}
            None => block.clear(),
        }
        self.offset += u64::try_from(block.len()).unwrap_or_default();
        Ok(block)
    }
}
