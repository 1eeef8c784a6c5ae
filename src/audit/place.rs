//! Which files an audit log has and what they are called.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown},
    path::{Path, PathBuf},
};

use jiff::{Timestamp, tz::TimeZone};

use super::{hash::Hash, head::Head};

/// Longest line that is looked at, in bytes; the program writes lines of about five hundred.
pub(super) const MAX_LINE: u64 = 64 * 1024;

/// How many lines may stand before the first record of a segment.
const LEADING_LINES: u32 = 16;

/// The files of an audit log: the open segment, and beside it everything else.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The open segment.
    pub(super) open: PathBuf,
    /// The folder of all of them.
    pub(super) dir: PathBuf,
    /// The open segment's name without its ending.
    stem: String,
}

/// A segment on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The file.
    pub(super) path: PathBuf,
    /// The number of its first record.
    pub(super) first: u64,
}

impl Place {
    /// The files of the log whose open segment is `open`.
    pub(super) fn new(open: &Path) -> Self {
        let dir = match open.parent() {
            Some(dir) if dir != Path::new("") => dir.to_owned(),
            _ => PathBuf::from("."),
        };
        let stem = open.file_stem().unwrap_or(OsStr::new("audit")).to_string_lossy().into_owned();
        Self { open: open.to_owned(), dir, stem }
    }

    /// Whoever appends holds a lock on this file.
    pub(super) fn lock(&self) -> PathBuf {
        self.dir.join(format!("{}.lock", self.stem))
    }

    /// Signed checkpoints, and statements of what was removed.
    pub(super) fn checkpoints(&self) -> PathBuf {
        self.dir.join("checkpoints.jsonl")
    }

    /// Up to where a receiver has everything.
    pub(super) fn cursor(&self) -> PathBuf {
        self.dir.join("syslog.cursor")
    }

    /// What the open segment is called from now on, sealed at `time`.
    pub(super) fn sealed(&self, first: u64, time: Timestamp) -> PathBuf {
        let time = time.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
        self.dir.join(format!("{}-{first:020}-{time}.jsonl", self.stem))
    }

    /// Where a file goes that is no part of a chain.
    pub(super) fn set_aside(&self, time: Timestamp) -> PathBuf {
        self.dir.join(format!("{}.unchained-{}", self.stem, time.as_millisecond()))
    }

    /// The sealed segments, oldest first.
    pub(super) fn sealed_segments(&self) -> io::Result<Vec<Segment>> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(OsStr::to_str);
            let first = name.and_then(|name| self.number_in(name));
            segments.extend(first.map(|first| Segment { path, first }));
        }
        segments.sort_by(|one, other| (one.first, &one.path).cmp(&(other.first, &other.path)));
        Ok(segments)
    }

    /// All segments, oldest first, the open one last where it is there and has a record.
    pub(super) fn segments(&self) -> io::Result<Vec<Segment>> {
        // The open one first: if it is sealed meanwhile, it is seen twice rather than not at all.
        let open = first_of(&self.open).or_else(missing)?.map(|first| first.sequence);
        let mut segments = self.sealed_segments()?;
        if let Some(first) = open.filter(|first| segments.last().is_none_or(|last| last.first < *first)) {
            segments.push(Segment { path: self.open.clone(), first });
        }
        Ok(segments)
    }

    /// Opens a segment that was listed, wherever it is now: it may have been sealed since. `None` where it was removed.
    pub(super) fn open_segment<T>(
        &self,
        segment: &Segment,
        open: impl Fn(&Path) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        let mut path = segment.path.clone();
        for _ in 0..3 {
            let opened = open(&path).map(Some).or_else(missing)?;
            // Only after it was opened: the path may have come to name the next one before.
            let first = first_of(&path).or_else(missing)?.map(|first| first.sequence);
            if opened.is_some() && first == Some(segment.first) {
                return Ok(opened);
            }
            match self.sealed_segments()?.into_iter().find(|sealed| sealed.first == segment.first) {
                Some(sealed) => path = sealed.path,
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The first record's number in the name of a sealed segment.
    fn number_in(&self, name: &str) -> Option<u64> {
        let rest = name.strip_prefix(&self.stem)?.strip_prefix('-')?.strip_suffix(".jsonl")?;
        rest.split('-').next()?.parse().ok()
    }
}

/// The first record of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    /// Its number.
    pub(super) sequence: u64,
    /// The hash of the record before it.
    pub(super) prev: Hash,
    /// When it was written.
    pub(super) time: Option<Timestamp>,
}

/// The first record in a file; `None` where it has none.
pub(super) fn first_of(path: &Path) -> io::Result<Option<First>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    // A writer that was killed may have left half a line in front.
    for _ in 0..LEADING_LINES {
        line.clear();
        if (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if let Some(head) = Head::read(&line) {
            return Ok(Some(First { sequence: head.sequence, prev: head.prev, time: head.timestamp() }));
        }
    }
    Ok(None)
}

/// Opens a file to append to, and makes it, closed to others, where it is missing. One that a command of root's makes belongs to
/// whoever the folder belongs to, so that the server can go on in it. Readable as well, to see how it ends.
pub(super) fn append_to(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
    let made = file.metadata()?;
    if made.is_file() && made.len() == 0 {
        let folder = fs::metadata(path.parent().filter(|dir| *dir != Path::new("")).unwrap_or(Path::new(".")))?;
        if (folder.uid(), folder.gid()) != (made.uid(), made.gid()) {
            // Only root can, and only root needs to.
            let _ = fchown(&file, Some(folder.uid()), Some(folder.gid()));
        }
    }
    Ok(file)
}

/// A file that is not there has nothing in it.
pub(super) fn missing<T>(error: io::Error) -> io::Result<Option<T>> {
    if error.kind() == io::ErrorKind::NotFound { Ok(None) } else { Err(error) }
}
