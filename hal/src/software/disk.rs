//! The root-key file on disk, for several processes: who may change it, whether it changed, how it is replaced.
//!
//! A change is made under an exclusive lock on a file beside it, `<name>.lock`, which is never removed: a lock on a file that
//! others can replace would exclude nobody. Reading takes no lock, because the file is only ever replaced whole.

use std::{
    ffi::OsStr,
    fs::{self, File, Metadata, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    ops::RangeInclusive,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{HalError, Outage, Refusal};

/// How long a change waits for the changes of other processes, of which each takes a few disk writes.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before the lock is tried again. The system's own wait has no end.
const PAUSE: Duration = Duration::from_millis(2);

/// Held while the file is changed. The system lets go of it when the process ends, however it ends.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock of the root-key file `path`.
    pub(super) fn take(path: &Path) -> Result<Self, HalError> {
        let name = beside(path, "lock").map_err(file_error)?;
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(name).map_err(file_error)?;
        give_to_owner(&file, path).map_err(file_error)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    tracing::warn!(path = %path.display(), "another process keeps the root-key file locked");
                    return Err(HalError::Unavailable(Outage::DeadlinePassed));
                }
                Err(TryLockError::Error(error)) => return Err(file_error(error)),
            }
        }
    }
}

/// One state of the file, told from every later one. It keeps that file open: the system then gives its number to no other,
/// so a file that took its place is seen even where it is as long and came within one tick of the clock.
pub(super) struct Seen {
    _file: File,
    mark: Mark,
}

#[derive(PartialEq, Eq)]
struct Mark {
    place: (u64, u64),
    len: u64,
    changed: (i64, i64),
}

impl Mark {
    fn of(metadata: &Metadata) -> Self {
        Self {
            place: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Seen {
    /// Whether `path` is as it was.
    pub(super) fn is_current(&self, path: &Path) -> Result<bool, HalError> {
        Ok(Mark::of(&fs::metadata(path).map_err(unreadable)?) == self.mark)
    }
}

/// Reads a file that is `len` bytes long, and that nobody but its owner may read.
pub(super) fn read(path: &Path, len: RangeInclusive<u64>) -> Result<(Seen, Vec<u8>), HalError> {
    let file = File::open(path).map_err(unreadable)?;
    // Taken before the content, so that a change in between is seen later.
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(HalError::Refused(Refusal::FileMode));
    }
    if !len.contains(&metadata.len()) {
        return Err(HalError::Refused(Refusal::FileCorrupt));
    }
    let mut bytes = Vec::new();
    (&file).take(*len.end()).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok((Seen { _file: file, mark: Mark::of(&metadata) }, bytes))
}

/// Refuses where there is a file already, whatever it is.
pub(super) fn refuse_existing(path: &Path) -> Result<(), HalError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(file_error(io::ErrorKind::AlreadyExists.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(file_error(error)),
    }
}

/// Replaces the file or makes it: written beside it, synced, renamed over it, directory synced. A crash leaves the old or the
/// new one.
pub(super) fn replace(path: &Path, content: &[u8], _lock: &Lock) -> Result<Seen, HalError> {
    write_and_rename(path, content).map_err(file_error)
}

fn write_and_rename(path: &Path, content: &[u8]) -> io::Result<Seen> {
    let new = beside(path, "new")?;
    // Whatever a crash left there is worth nothing, and whoever has the lock is alone here.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    give_to_owner(&file, path)?;
    file.write_all(content)?;
    file.sync_all()?;
    let mark = Mark::of(&file.metadata()?);
    fs::rename(&new, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()?;
    Ok(Seen { _file: file, mark })
}

/// A command that the system's administrator runs must not take the file away from the server's own user.
fn give_to_owner(file: &File, path: &Path) -> io::Result<()> {
    let Ok(old) = fs::metadata(path) else { return Ok(()) };
    let new = file.metadata()?;
    if (old.uid(), old.gid()) == (new.uid(), new.gid()) {
        return Ok(());
    }
    match fchown(file, Some(old.uid()), Some(old.gid())) {
        // Another user than the administrator keeps what it made.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result,
    }
}

fn beside(path: &Path, extension: &str) -> io::Result<PathBuf> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(OsStr::new("."));
    name.push(extension);
    Ok(path.with_file_name(name))
}

/// Not logged, because it is met again with every look at the file.
fn unreadable(error: io::Error) -> HalError {
    HalError::Refused(Refusal::File(error.kind()))
}

fn file_error(error: io::Error) -> HalError {
    tracing::warn!(%error, "the root-key file cannot be written");
    unreadable(error)
}
