//! The audit log: one JSON line for each KMIP batch item and each administrative action, written before the reply leaves.
//!
//! It owns the file and the form of its lines. It never holds key material, by construction: an [`Event`] is made of
//! identifiers, numbers, `&'static str` names from the program's own tables and bounded [`Name`]s of what operators made, so
//! nothing that came out of a client's request can be put into one.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use jiff::Timestamp;
use parking_lot::Mutex;
use uuid::Uuid;

pub use self::event::{Actor, AdminEvent, Event, Identity, Name, Outcome, RequestEvent, Subject, Via};
use self::line::Line;
use crate::telemetry::metric;

mod event;
mod json;
mod line;

/// Why events could not be recorded. The caller must not answer as if they were.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be opened, written or synced.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Writing or syncing failed earlier and has not worked since.
    #[error("the audit log's storage does not keep what is written")]
    Unsynced,
    /// The thread that syncs the file could not be started.
    #[error("the audit thread could not be started: {0}")]
    Thread(std::io::Error),
}

/// The audit log. Cheap to share behind an `Arc`; dropping it syncs the file.
///
/// Several processes may append to one file, such as the server and a command: each opening has its own `writer` identifier and
/// counts its events from 1, so that a missing event shows as a gap.
///
/// An event is *written* when [`Audit::append`] returns: it survives the end of the process, however sudden. It is *synced* to the
/// disk within [`SYNC_PERIOD`], so a power failure can lose that much. If a sync fails, `append` fails until one succeeds.
#[derive(Debug)]
pub struct Audit {
    shared: Arc<Shared>,
    /// Closed when this is dropped, which ends the thread.
    alive: Option<mpsc::Sender<()>>,
    syncing: Option<thread::JoinHandle<()>>,
}

/// How long an event may be in the operating system's memory only.
pub const SYNC_PERIOD: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    writer: Uuid,
    log: Mutex<Log>,
    /// Something was written since the last sync.
    dirty: AtomicBool,
    /// The last sync failed.
    unsynced: AtomicBool,
}

#[derive(Debug)]
struct Log {
    file: Arc<File>,
    /// Number of the last event.
    sequence: u64,
    /// The file ends within a line, because a write failed halfway.
    torn: bool,
    /// Reused from batch to batch.
    lines: Vec<u8>,
}

impl Audit {
    /// Opens the file for appending and makes it, with mode 0600, where it is missing.
    ///
    /// # Errors
    /// The file cannot be used, or the thread that syncs it could not be started.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let (file, torn) = open(path)?;
        let log = Log { file: Arc::new(file), sequence: 0, torn, lines: Vec::new() };
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            writer: Uuid::now_v7(),
            log: Mutex::new(log),
            dirty: AtomicBool::new(false),
            unsynced: AtomicBool::new(false),
        });
        let (alive, ended) = mpsc::channel();
        let for_thread = Arc::clone(&shared);
        let syncing = thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || keep_synced(&for_thread, &ended))
            .map_err(AuditError::Thread)?;
        Ok(Self { shared, alive: Some(alive), syncing: Some(syncing) })
    }

    /// Records `events` in this order with one write, and returns when they are written.
    ///
    /// # Errors
    /// They are not, or not all, in the file.
    pub fn append(&self, events: &[Event]) -> Result<(), AuditError> {
        self.shared.append(events).inspect_err(|_| metrics::counter!(metric::AUDIT_FAILURES).increment(1))
    }

    /// Goes on in a new file at the same path, after the old one was renamed (log rotation).
    ///
    /// # Errors
    /// The new file cannot be opened; the old one stays in use.
    pub fn reopen(&self) -> Result<(), AuditError> {
        let (file, torn) = open(&self.shared.path)?;
        let mut log = self.shared.log.lock();
        let old = std::mem::replace(&mut log.file, Arc::new(file));
        log.torn = torn;
        drop(log);
        old.sync_data().map_err(|source| self.shared.file_error(source))
    }

    /// Whether events are being kept, for readiness.
    ///
    /// # Errors
    /// The last sync failed.
    pub fn health(&self) -> Result<(), AuditError> {
        if self.shared.unsynced.load(Ordering::Relaxed) { Err(AuditError::Unsynced) } else { Ok(()) }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.alive = None;
        if let Some(thread) = self.syncing.take() {
            // It only ends; a panic in it has been logged by then.
            let _: thread::Result<()> = thread.join();
        }
    }
}

impl Shared {
    fn append(&self, events: &[Event]) -> Result<(), AuditError> {
        if events.is_empty() {
            return Ok(());
        }
        if self.unsynced.load(Ordering::Relaxed) {
            return Err(AuditError::Unsynced);
        }
        let mut log = self.log.lock();
        let Log { file, sequence, torn, lines } = &mut *log;
        lines.clear();
        if *torn {
            // The half line becomes a line of its own, which readers skip.
            lines.push(b'\n');
        }
        let time = Timestamp::now();
        for event in events {
            *sequence += 1;
            let line = Line { time, writer: self.writer, sequence: *sequence, event };
            line.write(lines);
        }
        *torn = true;
        (&**file).write_all(lines).map_err(|source| self.file_error(source))?;
        *torn = false;
        self.dirty.store(true, Ordering::Release);
        metrics::counter!(metric::AUDIT_EVENTS).increment(events.len() as u64);
        Ok(())
    }

    /// Syncs what was written. Not under the lock: appending goes on meanwhile.
    fn sync(&self) {
        let failing = self.unsynced.load(Ordering::Relaxed);
        if !self.dirty.swap(false, Ordering::Acquire) && !failing {
            return;
        }
        let file = Arc::clone(&self.log.lock().file);
        match file.sync_data() {
            Ok(()) if failing => {
                self.unsynced.store(false, Ordering::Relaxed);
                tracing::warn!(path = %self.path.display(), "the audit log is synced again; a crash before now may have lost events");
            }
            Ok(()) => {}
            Err(error) => {
                self.unsynced.store(true, Ordering::Relaxed);
                if !failing {
                    metrics::counter!(metric::AUDIT_FAILURES).increment(1);
                    tracing::error!(path = %self.path.display(), %error, "the audit log cannot be synced: requests are refused until it can");
                }
            }
        }
    }

    fn file_error(&self, source: io::Error) -> AuditError {
        AuditError::File { path: self.path.clone(), source }
    }
}

fn keep_synced(shared: &Shared, ended: &mpsc::Receiver<()>) {
    while ended.recv_timeout(SYNC_PERIOD) == Err(RecvTimeoutError::Timeout) {
        shared.sync();
    }
    shared.sync();
}

/// Opens the file, and says whether it ends within a line.
fn open(path: &Path) -> Result<(File, bool), AuditError> {
    let open = || {
        // Readable as well, only to see how it ends.
        let file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
        let mut last = [0];
        let torn = match file.metadata()?.len().checked_sub(1) {
            Some(end) => file.read_at(&mut last, end)? == 1 && last != *b"\n",
            None => false,
        };
        Ok((file, torn))
    };
    open().map_err(|source| AuditError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
