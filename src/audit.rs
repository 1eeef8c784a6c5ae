//! The audit log: one JSON line for each KMIP batch item and each administrative action, joined into one chain by hashes, written
//! before the reply leaves. Of an administrative change there is one more, written before anything is changed.
//!
//! It owns the files and the form of their lines (`docs/audit.md`). It never holds key material, by construction: an [`Event`] is
//! made of identifiers, numbers, `&'static str` names from the program's own tables and bounded [`Name`]s of what operators
//! made, so nothing that came out of a client's request can be put into one.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use parking_lot::Mutex;

use self::{
    chain::Chain,
    durable::{Durable, Write},
    line::Own,
    place::Place,
    tail::Tail,
};
pub use self::{
    checkpoint::{Signed, SignedKind},
    event::{Actor, AdminEvent, Event, Identity, Name, Outcome, RequestEvent, Subject, Via, changes_nothing},
    hash::Hash,
    record::Record,
    search::{MAX_PAGE, Page, Query, SearchError, export, search},
    status::{LastCheckpoint, Status},
    syslog::{Facility, Forwarding, Receiver, ReceiverError},
    vouch::{AuditSigner, VouchOptions, Vouching},
};
use crate::telemetry::metric;

mod chain;
mod checkpoint;
mod durable;
mod event;
mod hash;
mod head;
mod json;
mod line;
mod lines;
mod place;
mod record;
mod search;
mod status;
mod syslog;
mod tail;
pub mod verify;
mod vouch;

/// When what is written is synced to the disk. Whatever is chosen, nothing is longer in the system's memory only than
/// [`SYNC_PERIOD`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before a change is acknowledged, and every administrative action.
    #[default]
    Mutations,
    /// Every [`SYNC_PERIOD`] only.
    Interval,
    /// Before anything is answered.
    Every,
}

/// How a log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// When it is synced.
    pub sync: SyncPolicy,
    /// How long the open segment may grow, in bytes, before it is sealed.
    pub segment_bytes: u64,
    /// How old it may grow.
    pub segment_age: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sync: SyncPolicy::Mutations,
            segment_bytes: 256 * 1024 * 1024,
            segment_age: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// Why events could not be recorded. The caller must not answer as if they were.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be opened, written or synced.
    #[error("{path}: {source}{}", advice(source))]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Syncing failed, or failed earlier and has not worked since.
    #[error("the audit log's storage does not keep what is written: look at its disk")]
    Unsynced,
    /// Another process holds the lock and does not let go.
    #[error("{path}: another process has held this lock for {} seconds: end it, or let it go on", patience.as_secs())]
    Locked {
        /// The lock.
        path: PathBuf,
        /// How long it was waited for.
        patience: Duration,
    },
    /// A thread could not be started.
    #[error("a thread of the audit log could not be started: {0}")]
    Thread(io::Error),
}

/// What an operator can do about it.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ": make room on this disk (see audit.keep_days), nothing is answered until then"
        }
        io::ErrorKind::PermissionDenied => ": let the server's user write to this folder and its files",
        io::ErrorKind::ReadOnlyFilesystem => ": mount this file system for writing",
        io::ErrorKind::NotFound => ": make this folder",
        _ => "",
    }
}

/// The audit log. Cheap to share behind an `Arc`; dropping it syncs the file.
///
/// Several processes may append to one log, such as the server and a command: their records are one chain.
///
/// An event is *written* when [`Audit::append`] returns: it survives the end of the process, however sudden. Whether it is on
/// the disk by then is the [`SyncPolicy`]'s choice; it is within [`SYNC_PERIOD`] in any case, so that a power failure can lose
/// that much. If a sync fails, `append` fails until one succeeds.
#[derive(Debug)]
pub struct Audit {
    shared: Arc<Shared>,
    /// Closed when this is dropped, which ends the thread.
    alive: Option<mpsc::Sender<()>>,
    upkeep: Option<thread::JoinHandle<()>>,
}

/// How long an event may be in the operating system's memory only.
pub const SYNC_PERIOD: Duration = Duration::from_millis(100);

/// How often a log that cannot be written is tried again while nobody asks for anything.
const RETRY_PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    options: Options,
    chain: Mutex<Chain>,
    durable: Durable,
    /// Writes that failed since the last one that did not.
    failures: AtomicU64,
    /// The last record that a segment was sealed with, for the checkpoint of it.
    sealed: Mutex<Option<Tail>>,
    /// A segment could not be sealed, which was said.
    stuck: AtomicBool,
    /// The last signed checkpoint, as far as the thread that signs has said.
    checkpoint: Mutex<Option<LastCheckpoint>>,
}

impl Audit {
    /// Opens the log whose open segment is at `path` with the default options, and makes it, with mode 0600, where it is missing.
    ///
    /// # Errors
    /// The files cannot be used, or a thread could not be started.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        Self::open_with(path, Options::default())
    }

    /// The same with other options.
    ///
    /// # Errors
    /// As [`Audit::open`].
    pub fn open_with(path: &Path, options: Options) -> Result<Self, AuditError> {
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            options,
            chain: Mutex::new(Chain::open(path)?),
            durable: Durable::default(),
            failures: AtomicU64::new(0),
            sealed: Mutex::new(None),
            stuck: AtomicBool::new(false),
            checkpoint: Mutex::new(None),
        });
        let (alive, ended) = mpsc::channel();
        let for_thread = Arc::clone(&shared);
        let upkeep = thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || keep_up(&for_thread, &ended))
            .map_err(AuditError::Thread)?;
        Ok(Self { shared, alive: Some(alive), upkeep: Some(upkeep) })
    }

    /// Records `events` in this order with one write, and returns when they are written and, where the policy wants it, synced.
    ///
    /// # Errors
    /// They are not, or not all, in the file, or perhaps not on the disk.
    pub fn append(&self, events: &[Event]) -> Result<(), AuditError> {
        self.shared.append(events).inspect_err(|_| metrics::counter!(metric::AUDIT_FAILURES).increment(1))
    }

    /// Seals the open segment and goes on in a new file, as at the end of a day. Does nothing where nothing was recorded.
    ///
    /// # Errors
    /// The files cannot be written or renamed; the old one stays in use.
    pub fn reopen(&self) -> Result<(), AuditError> {
        self.shared.rotate()
    }

    /// Whether events are being kept, for readiness.
    ///
    /// # Errors
    /// The last write or sync failed.
    pub fn health(&self) -> Result<(), AuditError> {
        if self.shared.durable.has_failed() {
            return Err(AuditError::Unsynced);
        }
        if self.shared.failures.load(Ordering::Relaxed) > 0 {
            return self.shared.try_again();
        }
        Ok(())
    }

    /// The folder and the names of the files.
    fn place(&self) -> Place {
        self.shared.chain.lock().place().clone()
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.alive = None;
        if let Some(thread) = self.upkeep.take() {
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
        if self.durable.has_failed() {
            return Err(AuditError::Unsynced);
        }
        let wait = match self.options.sync {
            SyncPolicy::Mutations => events.iter().any(Event::is_mutation),
            SyncPolicy::Interval => false,
            SyncPolicy::Every => true,
        };
        let write = self.write(|chain| chain.append(events))?.1;
        metrics::counter!(metric::AUDIT_EVENTS).increment(events.len() as u64);
        if wait { self.durable.wait(write, || self.sync()).map_err(|_| AuditError::Unsynced) } else { Ok(()) }
    }

    fn append_own(&self, own: &Own<'_>) -> Result<Tail, AuditError> {
        Ok(self.write(|chain| chain.append_own(own))?.0)
    }

    /// Writes, and remembers whether that worked.
    fn write(&self, write: impl Fn(&mut Chain) -> Result<Tail, AuditError>) -> Result<(Tail, Write), AuditError> {
        let mut chain = self.chain.lock();
        let failures = self.failures.load(Ordering::Relaxed);
        let result = if failures > 0 {
            chain.append_own(&Own::Resumed { failures }).and_then(|_| write(&mut chain))
        } else {
            write(&mut chain)
        };
        match result {
            Ok(tail) => {
                if failures > 0 {
                    self.failures.store(0, Ordering::Relaxed);
                    metrics::gauge!(metric::AUDIT_STALLED).set(0.0);
                    tracing::warn!(path = %self.path.display(), failures, "the audit log can be written again");
                }
                Ok((tail, self.durable.wrote()))
            }
            Err(error) => {
                if self.failures.fetch_add(1, Ordering::Relaxed) == 0 {
                    metrics::gauge!(metric::AUDIT_STALLED).set(1.0);
                    tracing::error!(%error, "the audit log cannot be written: what must be recorded is refused until it can");
                }
                Err(error)
            }
        }
    }

    /// Tries to write after a failure.
    fn try_again(&self) -> Result<(), AuditError> {
        self.write(|chain| Ok(chain.tail())).map(drop)
    }

    fn sync(&self) -> io::Result<()> {
        // Not under the lock: appending goes on meanwhile.
        let file = self.chain.lock().file();
        let start = Instant::now();
        let result = file.sync_data();
        metrics::histogram!(metric::AUDIT_SYNC_SECONDS).record(start.elapsed());
        result
    }

    /// Syncs what nobody waited for.
    fn tick(&self) {
        let failing = self.durable.has_failed();
        match self.durable.tick(|| self.sync()) {
            Some(Ok(())) if failing => {
                metrics::gauge!(metric::AUDIT_STALLED).set(0.0);
                tracing::warn!(path = %self.path.display(), "the audit log is synced again; a crash before now may have lost events");
            }
            Some(Err(error)) if !failing => {
                metrics::counter!(metric::AUDIT_FAILURES).increment(1);
                metrics::gauge!(metric::AUDIT_STALLED).set(1.0);
                tracing::error!(
                    path = %self.path.display(), %error,
                    "the audit log cannot be synced: requests are refused until it can; look at its disk"
                );
            }
            _ => {}
        }
    }

    /// Seals the segment where it is long or old enough.
    fn rotate_if_due(&self) {
        let due = {
            let chain = self.chain.lock();
            let Some(begun) = chain.begun() else { return };
            let age = Timestamp::now().duration_since(begun.time);
            chain.bytes() >= self.options.segment_bytes
                || Duration::try_from(age).is_ok_and(|age| age >= self.options.segment_age)
        };
        if !due {
            return;
        }
        match self.rotate() {
            Ok(()) => self.stuck.store(false, Ordering::Relaxed),
            Err(error) if !self.stuck.swap(true, Ordering::Relaxed) => {
                tracing::error!(%error, "the audit log's segment could not be sealed: it goes on in the same file");
            }
            Err(_) => {}
        }
    }

    fn rotate(&self) -> Result<(), AuditError> {
        let seal = self.chain.lock().rotate()?;
        if seal.is_some() {
            *self.sealed.lock() = seal;
        }
        Ok(())
    }
}

/// Syncs, and tries again what failed, until the log is dropped.
fn keep_up(shared: &Shared, ended: &mpsc::Receiver<()>) {
    let mut tried = Instant::now();
    while ended.recv_timeout(SYNC_PERIOD) == Err(RecvTimeoutError::Timeout) {
        shared.tick();
        if shared.failures.load(Ordering::Relaxed) > 0 && tried.elapsed() >= RETRY_PERIOD {
            tried = Instant::now();
            // What is wrong was said when it began.
            let _ = shared.try_again();
        }
    }
    shared.tick();
}

#[cfg(test)]
mod tests;
