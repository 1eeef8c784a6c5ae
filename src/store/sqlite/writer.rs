//! The one thread that writes.
//!
//! It takes all mutations that wait, makes them in one transaction, each within a savepoint of its own, makes them durable
//! with one COMMIT and then answers every caller: sixteen callers share one wait for the disk. A mutation that is refused
//! is undone alone. When the transaction itself fails, everyone is told, and nothing of it is there.
//!
//! The thread also empties the log (WAL) into the database file, when callers have their answers. Erased material still
//! stands in the log until then, so soon after an erasure the log is emptied and cut to nothing.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use rusqlite::{Connection, ffi, wal::CheckpointMode};

use super::{
    changes::{self, Adapters},
    schema,
    trust::{self, Limits, TrustChange},
};
use crate::store::{Change, StoreError, StoreOptions};

/// At most so many mutations share a transaction: a bound on what one failing COMMIT takes with it.
const BATCH: usize = 256;

/// When so many pages wait in the log it is copied to the database file; a page has 4 KiB.
const CHECKPOINT_PAGES: i32 = 4096;

/// When readers have kept the log from starting over for so many pages, the writer waits for them and cuts it.
const LOG_LIMIT_PAGES: i32 = 3 * CHECKPOINT_PAGES;

/// How long erased material may stay in the log.
const SCRUB_AFTER: Duration = Duration::from_secs(1);

/// How long cutting the log may wait for readers; callers wait meanwhile.
const SCRUB_PATIENCE: Duration = Duration::from_millis(50);

/// What the writer can be asked for.
pub(super) enum Mutation {
    /// Changes of objects, all or none.
    Objects(Vec<Change>),
    /// One change of who may connect.
    Trust(TrustChange),
    /// Cut the log now.
    Scrub,
    /// Let the database grow no larger than so many pages.
    #[cfg(test)]
    Limit(u32),
}

struct Job {
    mutation: Option<Mutation>,
    answer: Sender<Result<(), StoreError>>,
}

/// The way to the writing thread. Dropping it lets the thread finish what waits, and waits for it.
pub(super) struct Writer {
    queue: Option<Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread on `connection`.
    pub(super) fn start(path: &Path, connection: Connection, options: &StoreOptions) -> Result<Self, StoreError> {
        let (queue, jobs) = bounded(options.waiting_mutations.max(1));
        let limits = Limits { adapters: options.max_adapters, certificates: options.max_certificates };
        // Whatever was erased before a crash goes from the log now.
        let desk = Desk { connection, jobs, limits, adapters: Adapters::default(), scrub_at: Some(Instant::now()) };
        let thread = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || desk.run())
            .map_err(|source| StoreError::File { path: path.to_owned(), source })?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Hands `mutation` to the thread and waits until it is durable or refused.
    pub(super) fn run(&self, mutation: Mutation) -> Result<(), StoreError> {
        let (answer, outcome) = bounded(1);
        let queue = self.queue.as_ref().ok_or_else(ended)?;
        queue.try_send(Job { mutation: Some(mutation), answer }).map_err(|refused| match refused {
            TrySendError::Full(_) => StoreError::Overloaded,
            TrySendError::Disconnected(_) => ended(),
        })?;
        outcome.recv().unwrap_or_else(|_| Err(ended()))
    }

    /// How many mutations wait to be taken up.
    pub(super) fn waiting(&self) -> usize {
        self.queue.as_ref().map_or(0, Sender::len)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer ended by a panic");
        }
    }
}

/// For callers whose writer is gone; it only ends before them by a panic.
fn ended() -> StoreError {
    failure(ffi::Error::new(ffi::SQLITE_ABORT), Some("the writer has ended".into()))
}

/// The writing thread's side.
struct Desk {
    connection: Connection,
    jobs: Receiver<Job>,
    limits: Limits,
    adapters: Adapters,
    /// When the log is to be cut because erased material stands in it.
    scrub_at: Option<Instant>,
}

/// What became of a batch that was committed.
struct Committed {
    outcomes: Vec<Result<(), StoreError>>,
    erased: bool,
    /// The positions of those that asked for the log to be cut.
    scrubs: Vec<usize>,
}

impl Desk {
    fn run(mut self) {
        while let Some(first) = self.wait() {
            let mut batch: Vec<Job> = Vec::with_capacity(self.jobs.len() + 1);
            batch.extend(first);
            batch.extend(self.jobs.try_iter().take(BATCH - batch.len()));
            if !batch.is_empty() {
                self.serve(batch);
            }
            self.tend_log();
        }
    }

    /// The next job; within `Some`, `None` when the log wants cutting first. `None` when no more jobs will come.
    fn wait(&self) -> Option<Option<Job>> {
        let Some(scrub_at) = self.scrub_at else { return self.jobs.recv().ok().map(Some) };
        match self.jobs.recv_deadline(scrub_at) {
            Ok(job) => Some(Some(job)),
            Err(RecvTimeoutError::Timeout) => Some(None),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    fn serve(&mut self, mut batch: Vec<Job>) {
        let committed = self.transaction(&mut batch);
        let outcomes = match committed {
            Ok(committed) => {
                if committed.erased {
                    self.scrub_at.get_or_insert_with(|| Instant::now() + SCRUB_AFTER);
                }
                self.answer_scrubs(&committed.scrubs, committed.outcomes)
            }
            Err(error) => {
                self.abandon();
                batch.iter().map(|_| Err(repeat(&error))).collect()
            }
        };
        for (job, outcome) in batch.iter().zip(outcomes) {
            // A caller that is gone needs no answer.
            let _ = job.answer.send(outcome);
        }
    }

    /// Cuts the log for those in `scrubs` and puts what came of it in their place.
    fn answer_scrubs(
        &mut self,
        scrubs: &[usize],
        mut outcomes: Vec<Result<(), StoreError>>,
    ) -> Vec<Result<(), StoreError>> {
        if scrubs.is_empty() {
            return outcomes;
        }
        let cut = self.cut_log(Instant::now());
        for position in scrubs {
            if let (Some(outcome), Err(error)) = (outcomes.get_mut(*position), &cut) {
                *outcome = Err(repeat(error));
            }
        }
        outcomes
    }

    fn transaction(&mut self, batch: &mut [Job]) -> Result<Committed, StoreError> {
        self.execute("BEGIN IMMEDIATE")?;
        let mut committed = Committed { outcomes: Vec::with_capacity(batch.len()), erased: false, scrubs: Vec::new() };
        for job in batch {
            let Some(mutation) = job.mutation.take() else { continue };
            if matches!(mutation, Mutation::Scrub) {
                committed.scrubs.push(committed.outcomes.len());
            }
            self.execute("SAVEPOINT mutation")?;
            let outcome = self.mutate(mutation);
            if outcome.is_err() {
                self.adapters.forget();
                if self.connection.is_autocommit() {
                    // SQLite has given up the whole transaction, as it does when the disk is full.
                    return outcome.map(|_| committed);
                }
                self.execute("ROLLBACK TO mutation")?;
            }
            self.execute("RELEASE mutation")?;
            committed.outcomes.push(outcome.map(|erased| committed.erased |= erased));
        }
        self.execute("COMMIT")?;
        Ok(committed)
    }

    /// Returns whether material was erased.
    fn mutate(&mut self, mutation: Mutation) -> Result<bool, StoreError> {
        match mutation {
            Mutation::Objects(changes) => {
                let mut erased = false;
                for change in changes {
                    erased |= changes::apply(&self.connection, &mut self.adapters, change)?;
                }
                Ok(erased)
            }
            Mutation::Trust(change) => {
                trust::apply(&self.connection, &mut self.adapters, self.limits, change).map(|()| false)
            }
            Mutation::Scrub => Ok(false),
            #[cfg(test)]
            Mutation::Limit(pages) => self
                .connection
                .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(false))
                .map_err(Into::into),
        }
    }

    fn execute(&self, sql: &'static str) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// Leaves no transaction open after a failure.
    fn abandon(&mut self) {
        self.adapters.forget();
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(%error, "the store could not roll back; it will try to go on");
        }
    }

    fn tend_log(&mut self) {
        let now = Instant::now();
        let outcome = if self.scrub_at.is_some_and(|at| at <= now) { self.cut_log(now) } else { self.checkpoint() };
        match outcome {
            // A reader needs the log, or another process writes. That passes.
            Ok(()) | Err(StoreError::Overloaded) => {}
            Err(error) => tracing::warn!(%error, "the store's log could not be emptied; it will be tried again"),
        }
    }

    /// Copies a long log to the database file without waiting for anyone.
    fn checkpoint(&mut self) -> Result<(), StoreError> {
        let (pages, copied) = self.connection.wal_checkpoint_v2(Some("main"), CheckpointMode::NOOP)?;
        if pages >= LOG_LIMIT_PAGES {
            self.cut_log(Instant::now())?;
        } else if pages.saturating_sub(copied) >= CHECKPOINT_PAGES {
            self.connection.wal_checkpoint_v2(Some("main"), CheckpointMode::PASSIVE)?;
        }
        Ok(())
    }

    /// Copies the log to the database file and cuts it to nothing. When a reader stands in the way it is tried again later.
    fn cut_log(&mut self, now: Instant) -> Result<(), StoreError> {
        self.connection.busy_timeout(SCRUB_PATIENCE)?;
        let outcome = self.connection.wal_checkpoint_v2(Some("main"), CheckpointMode::TRUNCATE);
        self.connection.busy_timeout(schema::BUSY_TIMEOUT)?;
        self.scrub_at = outcome.is_err().then_some(now + SCRUB_AFTER);
        outcome?;
        Ok(())
    }
}

/// The same error once more: every caller of a failed transaction gets it.
fn repeat(error: &StoreError) -> StoreError {
    match error {
        StoreError::DiskFull => StoreError::DiskFull,
        StoreError::Overloaded => StoreError::Overloaded,
        StoreError::Damaged => StoreError::Damaged,
        StoreError::Database(rusqlite::Error::SqliteFailure(code, message)) => failure(*code, message.clone()),
        other => failure(ffi::Error::new(ffi::SQLITE_ERROR), Some(other.to_string())),
    }
}

fn failure(code: ffi::Error, message: Option<String>) -> StoreError {
    StoreError::Database(rusqlite::Error::SqliteFailure(code, message))
}
