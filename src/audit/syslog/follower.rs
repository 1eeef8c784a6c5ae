//! Reads records as they are written, from segment to segment.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use super::super::{
    place::{MAX_LINE, Place},
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
            let Some(open) = &mut self.open else {
                if !self.open_segment()? {
                    return Ok(None);
                }
                continue;
            };
            let mut block = vec![0; BLOCK];
            let length = open.file.read_at(&mut block, open.offset)?;
            let block = block.get(..length).unwrap_or_default();
            let lines = match block.iter().rposition(|byte| *byte == b'\n') {
                Some(end) => block.get(..end).unwrap_or_default(),
                // Longer than any line: whatever it is, it is passed over.
                None if length as u64 > MAX_LINE => {
                    open.offset += length as u64;
                    continue;
                }
                None if self.next_segment()? => continue,
                None => return Ok(None),
            };
            open.offset += lines.len() as u64 + 1;
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

    /// Opens the segment that has the next record, or the first one after it.
    fn open_segment(&mut self) -> io::Result<bool> {
        let segments = self.place.segments()?;
        let at = segments.partition_point(|segment| segment.first <= self.sequence + 1);
        let Some(segment) = segments.get(at.saturating_sub(1)) else { return Ok(false) };
        if segment.first > self.sequence + 1 && self.sequence > 0 {
            tracing::warn!(
                after = self.sequence,
                before = segment.first,
                "records of the audit log were removed before they were sent to syslog"
            );
        }
        match File::open(&segment.path) {
            Ok(file) => self.open = Some(Open { file, first: segment.first, offset: 0 }),
            // It was sealed or removed just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Leaves a segment that has no more records, where there is a later one.
    fn next_segment(&mut self) -> io::Result<bool> {
        let Some(open) = &self.open else { return Ok(false) };
        let segments = self.place.segments()?;
        let Some(next) = segments.iter().find(|segment| segment.first > open.first) else { return Ok(false) };
        // Only once everything before the next segment was given is this one done; it may have grown until it was sealed.
        let is_done = next.first <= self.sequence + 1 || open.offset >= open.file.metadata()?.len();
        if !is_done {
            return Ok(true);
        }
        match File::open(&next.path) {
            Ok(file) => {
                self.open = Some(Open { file, first: next.first, offset: 0 });
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
