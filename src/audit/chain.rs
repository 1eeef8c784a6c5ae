//! The one chain that all processes append to: who may write, where it ends, what the next record is joined to.
//!
//! Whoever appends holds the lock file's lock and then looks whether the file is as it left it. Only where it is not, because
//! another process wrote, rotated or died, is the end read again. What the file has lost since is never forgotten: the chain
//! goes on from the record that was written last, so that the loss shows.

use std::{
    fs::{self, File, Metadata, TryLockError},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    AuditError,
    event::Event,
    json::Object,
    line::{self, Own},
    place::{Place, append_to, first_of, missing},
    tail::{self, Tail, Torn},
};

/// How long another process may hold the lock; it needs it for microseconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// The end of the chain as this process knows it.
#[derive(Debug)]
pub(super) struct Chain {
    place: Place,
    lock: File,
    file: Arc<File>,
    /// The file as it was left; `None` where nothing is known of how it ends.
    left: Option<Left>,
    tail: Tail,
    /// The first record of the open segment, where it has one.
    begun: Option<Begun>,
    /// What stands after the last record in the file.
    torn: Option<Torn>,
    within_line: bool,
    /// Reused from batch to batch.
    lines: Vec<u8>,
}

/// The first record of the open segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) first: u64,
    pub(super) time: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    device: u64,
    inode: u64,
    bytes: u64,
}

impl Left {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), bytes: metadata.len() }
    }

    fn is_same_file(self, other: Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl Chain {
    /// Opens the log whose open segment is at `path`, and makes it where it is missing.
    pub(super) fn open(path: &Path) -> Result<Self, AuditError> {
        let place = Place::new(path);
        let file = append_to(&place.open).map_err(file_error(&place.open))?;
        let lock_path = place.lock();
        let lock = append_to(&lock_path).map_err(file_error(&lock_path))?;
        let mut chain = Self {
            place,
            lock,
            file: Arc::new(file),
            left: None,
            tail: Tail::NONE,
            begun: None,
            torn: None,
            within_line: false,
            lines: Vec::new(),
        };
        chain.refresh()?;
        Ok(chain)
    }

    /// The files.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The open segment.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// The last record that this process knows of.
    pub(super) fn tail(&self) -> Tail {
        self.tail
    }

    /// How long the open segment was when this process last looked, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.left.map_or(0, |left| left.bytes)
    }

    /// Where and when the open segment begins.
    pub(super) fn begun(&self) -> Option<Begun> {
        self.begun
    }

    /// Looks how the chain ends now.
    pub(super) fn refresh(&mut self) -> Result<Tail, AuditError> {
        self.locked(|chain| chain.catch_up().map(|()| chain.tail))
    }

    /// Writes `events` in their order with one write.
    pub(super) fn append(&mut self, events: &[Event]) -> Result<Tail, AuditError> {
        self.locked(|chain| {
            chain.write(|lines, mut tail, time| {
                for event in events {
                    tail = add(lines, tail, time, |line| line::event(line, event));
                }
                tail
            })
        })
    }

    /// Writes a record of the log's own.
    pub(super) fn append_own(&mut self, own: &Own<'_>) -> Result<Tail, AuditError> {
        self.locked(|chain| chain.write(|lines, tail, time| add_own(lines, tail, time, own)))
    }

    /// Seals the open segment and goes on in a new one; returns the seal. Does nothing where nothing was recorded in it.
    pub(super) fn rotate(&mut self) -> Result<Option<Tail>, AuditError> {
        self.locked(|chain| {
            chain.catch_up()?;
            if chain.begun.is_none_or(|begun| begun.first >= chain.tail.sequence) {
                return Ok(None);
            }
            let seal = chain.write(|lines, tail, time| add_own(lines, tail, time, &Own::Seal))?;
            chain.next_segment()?;
            chain.write(|_, tail, _| tail)?;
            Ok(Some(seal))
        })
    }

    /// Writes what must stand before the next record, and what `records` adds.
    fn write(&mut self, records: impl FnOnce(&mut Vec<u8>, Tail, &str) -> Tail) -> Result<Tail, AuditError> {
        self.catch_up()?;
        if self.tail.is_seal && self.begun.is_some() {
            // Whoever sealed it did not live to rename it. Where that cannot be done now, the chain goes on behind the seal.
            if let Err(error) = self.next_segment() {
                tracing::error!(%error, "the audit log could not go on in a new file");
            }
        }
        let now = Timestamp::now();
        let time = format!("{now:.3}");
        self.lines.clear();
        if self.within_line {
            self.lines.push(b'\n');
        }
        let mut tail = self.tail;
        if let Some(torn) = self.torn {
            tail = add_own(&mut self.lines, tail, &time, &Own::Recovery(torn));
        }
        let mut begun = self.begun;
        if begun.is_none() {
            begun = Some(Begun { first: self.tail.sequence + 1, time: now });
            tail = add_own(&mut self.lines, tail, &time, &Own::Segment);
        }
        tail = records(&mut self.lines, tail, &time);
        if self.lines.is_empty() {
            return Ok(tail);
        }
        // Until it has worked, nothing is known of how the file ends.
        let left = self.left.take();
        (&*self.file).write_all(&self.lines).map_err(file_error(&self.place.open))?;
        let written = u64::try_from(self.lines.len()).unwrap_or(u64::MAX);
        self.left = left.map(|left| Left { bytes: left.bytes.saturating_add(written), ..left });
        (self.tail, self.begun, self.torn, self.within_line) = (tail, begun, None, false);
        Ok(tail)
    }

    /// Reads how the file ends where it is not as this process left it.
    fn catch_up(&mut self) -> Result<(), AuditError> {
        let now = match fs::metadata(&self.place.open) {
            Ok(metadata) => Some(Left::of(&metadata)),
            Err(error) => missing(error).map_err(file_error(&self.place.open))?,
        };
        match (now, self.left) {
            (Some(now), Some(left)) if now == left => Ok(()),
            (Some(now), Some(left)) if now.is_same_file(left) => {
                self.look_again().map_err(file_error(&self.place.open))
            }
            _ => self.look_anew().map_err(file_error(&self.place.open)),
        }
    }

    /// The same file, longer or shorter.
    fn look_again(&mut self) -> io::Result<()> {
        let now = Left::of(&self.file.metadata()?);
        let ending = tail::read(&self.file, now.bytes)?;
        if self.begun.is_none() {
            self.begun = begun(&self.place.open)?;
        }
        (self.torn, self.within_line, self.left) = (ending.torn, ending.within_line, Some(now));
        self.adopt(ending.tail);
        Ok(())
    }

    /// Another file, or none.
    fn look_anew(&mut self) -> io::Result<()> {
        let mut file = append_to(&self.place.open)?;
        let mut now = Left::of(&file.metadata()?);
        let mut ending = tail::read(&file, now.bytes)?;
        let mut found = ending.tail;
        if found.is_none() {
            found = self.sealed_tail()?;
        }
        if found.is_none() && self.tail == Tail::NONE && now.bytes > 0 {
            let aside = self.place.set_aside(Timestamp::now());
            fs::rename(&self.place.open, &aside)?;
            tracing::warn!(path = %aside.display(), "the audit log had no record of a chain: it was set aside, and a chain begins");
            file = append_to(&self.place.open)?;
            now = Left::of(&file.metadata()?);
            ending = tail::read(&file, now.bytes)?;
        }
        self.begun = begun(&self.place.open)?;
        (self.torn, self.within_line, self.left) = (ending.torn, ending.within_line, Some(now));
        self.file = Arc::new(file);
        self.adopt(found);
        Ok(())
    }

    /// The last record of the newest sealed segment.
    fn sealed_tail(&self) -> io::Result<Option<Tail>> {
        let Some(newest) = self.place.sealed_segments()?.pop() else { return Ok(None) };
        let file = File::open(&newest.path)?;
        let tail = tail::read(&file, file.metadata()?.len())?.tail;
        // It is sealed, whatever it ends with.
        Ok(tail.map(|tail| Tail { is_seal: false, ..tail }))
    }

    /// Goes on from `found`, unless this process has written more than that.
    fn adopt(&mut self, found: Option<Tail>) {
        let found = found.unwrap_or(Tail::NONE);
        if found.sequence > self.tail.sequence {
            self.tail = found;
        } else if found.hash != self.tail.hash {
            tracing::error!(
                path = %self.place.open.display(), sequence = self.tail.sequence, found = found.sequence,
                "the audit log was changed or cut by somebody: it goes on, and `keystead audit verify` shows where"
            );
        }
    }

    /// Renames the sealed segment and makes the next one. What was written to the old one is on the disk then.
    fn next_segment(&mut self) -> Result<(), AuditError> {
        let Some(begun) = self.begun else { return Ok(()) };
        let sealed = self.place.sealed(begun.first, Timestamp::now());
        let go_on = || {
            self.file.sync_data()?;
            fs::rename(&self.place.open, &sealed)?;
            let file = append_to(&self.place.open)?;
            File::open(&self.place.dir)?.sync_all()?;
            let left = Left::of(&file.metadata()?);
            Ok((file, left))
        };
        let (file, left) = go_on().map_err(file_error(&self.place.open))?;
        (self.file, self.left, self.begun) = (Arc::new(file), Some(left), None);
        self.tail.is_seal = false;
        tracing::info!(path = %sealed.display(), "a segment of the audit log is sealed");
        Ok(())
    }

    /// Does `work` while no other process writes.
    fn locked<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, AuditError>) -> Result<T, AuditError> {
        self.take_lock()?;
        let result = work(self);
        // The lock ends with the process in any case, and taking it again needs no unlocking.
        let _ = self.lock.unlock();
        result
    }

    fn take_lock(&self) -> Result<(), AuditError> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        let mut pause = Duration::from_micros(20);
        loop {
            match self.lock.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(source)) => return Err(file_error(&self.place.lock())(source)),
                Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                    return Err(AuditError::Locked { path: self.place.lock(), patience: LOCK_PATIENCE });
                }
                Err(TryLockError::WouldBlock) => thread::sleep(pause),
            }
            pause = (pause * 2).min(Duration::from_millis(5));
        }
    }
}

/// Adds one line to `lines`, joined to the record before it.
fn add(lines: &mut Vec<u8>, before: Tail, time: &str, write: impl FnOnce(&mut Object<'_>)) -> Tail {
    let begin = lines.len();
    let sequence = before.sequence.saturating_add(1);
    let mut line = Object::new(lines);
    line.number("sequence", sequence);
    line.hex("prev", &before.hash.0);
    line.plain("time", time);
    write(&mut line);
    line.end();
    let hash = super::Hash::of(lines.get(begin..).unwrap_or_default());
    lines.push(b'\n');
    Tail { sequence, hash, is_seal: false }
}

fn add_own(lines: &mut Vec<u8>, before: Tail, time: &str, own: &Own<'_>) -> Tail {
    let tail = add(lines, before, time, |line| line::own(line, own));
    Tail { is_seal: matches!(own, Own::Seal), ..tail }
}

/// The first record of a segment, where it has one.
fn begun(path: &Path) -> io::Result<Option<Begun>> {
    Ok(first_of(path)?.map(|first| Begun { first: first.sequence, time: first.time.unwrap_or_else(Timestamp::now) }))
}

pub(super) fn file_error(path: &Path) -> impl FnOnce(io::Error) -> AuditError {
    move |source| AuditError::File { path: path.to_owned(), source }
}
