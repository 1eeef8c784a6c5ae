//! The one thread that writes.
//!
//! It takes all mutations that wait, makes them in one transaction, makes them durable with one COMMIT and then answers
//! every caller: sixteen callers share one wait for the disk. A mutation that is refused is undone alone. Savepoints see to
//! that; they cost a tenth of an insert, and most mutations that are refused have written nothing, so a batch is tried
//! without them first. When the transaction itself fails, everyone is told, and nothing of it is there.
//!
//! The thread also empties the log (WAL) into the database file, when callers have their answers. Erased material still
//! stands in the log until then, so soon after an erasure the log is emptied and cut to nothing.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, ffi, wal::CheckpointMode};

use super::{
    adapters::{self, Emptying},
    answers::{self, AnswerChange},
    api_keys::{self, ApiKeyChange},
    approvals::{self, ApprovalChange},
    changes::{self, Adapters},
    held::{self, HeldChange},
    identities::{self, IdentityChange},
    root_keys::{self, RootKeyChange},
    rotations::{self, RotationChange},
    schema,
    seen::{self, Seen},
    trust::{self, TrustChange},
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
    /// One change of root keys or signing keys.
    RootKey(RootKeyChange),
    /// One change of a rotation, and of the KEKs it is about.
    Rotation(RotationChange),
    /// One step of the end of a deleted adapter.
    Empty(Emptying),
    /// One end of a hold.
    Held(HeldChange),
    /// When something was used last.
    Seen(Seen),
    /// One change of identities.
    Identity(IdentityChange),
    /// One change of API keys.
    ApiKey(ApiKeyChange),
    /// One change of requests for approval.
    Approval(ApprovalChange),
    /// One change of remembered answers.
    Answer(AnswerChange),
    /// Cut the log now.
    Scrub,
    /// Let the database grow no larger than so many pages.
    #[cfg(test)]
    Limit(u32),
}

/// How many there may be, and what else was set when the store was opened.
pub(super) struct Limits {
    pub(super) adapters: u32,
    pub(super) certificates: u32,
    pub(super) rules: u32,
    pub(super) authorities: u32,
    pub(super) identities: u32,
    pub(super) api_keys: u32,
    pub(super) open_approvals: u32,
    pub(super) deciding_roles: &'static [&'static str],
}

impl From<&StoreOptions> for Limits {
    fn from(options: &StoreOptions) -> Self {
        Self {
            adapters: options.max_adapters,
            certificates: options.max_certificates,
            rules: options.max_rules,
            authorities: options.max_authorities,
            identities: options.max_identities,
            api_keys: options.max_api_keys,
            open_approvals: options.max_open_approvals,
            deciding_roles: options.deciding_roles,
        }
    }
}

struct Job {
    mutation: Mutation,
    answer: Arc<Answer>,
}

impl Drop for Job {
    /// Whatever becomes of the writer, no caller waits for ever.
    fn drop(&mut self) {
        self.answer.give(Err(ended()));
    }
}

/// Where one caller sleeps until its outcome is there. (A channel would spin first, at the writer's expense.)
#[derive(Default)]
struct Answer {
    outcome: Mutex<Option<Result<(), StoreError>>>,
    given: Condvar,
}

impl Answer {
    /// The first outcome counts.
    fn give(&self, outcome: Result<(), StoreError>) {
        self.outcome.lock().get_or_insert(outcome);
        self.given.notify_one();
    }

    fn wait(&self) -> Result<(), StoreError> {
        let mut outcome = self.outcome.lock();
        loop {
            if let Some(outcome) = outcome.take() {
                return outcome;
            }
            self.given.wait(&mut outcome);
        }
    }
}

/// The way to the writing thread. Dropping it lets the thread finish what waits, and waits for it.
pub(super) struct Writer {
    queue: Option<Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
    /// When something was committed last, in seconds since 1970-01-01 UTC; 0 before.
    written_at: Arc<AtomicI64>,
}

impl Writer {
    /// Starts the thread on `connection`.
    pub(super) fn start(path: &Path, connection: Connection, options: &StoreOptions) -> Result<Self, StoreError> {
        let (queue, jobs) = bounded(options.waiting_mutations.max(1));
        let written_at = Arc::new(AtomicI64::new(0));
        let desk = Desk {
            connection,
            jobs,
            written_at: Arc::clone(&written_at),
            limits: Limits::from(options),
            adapters: Adapters::default(),
            generation: 0,
            // Whatever was erased before a crash goes from the log now.
            scrub_at: Some(Instant::now()),
        };
        let thread = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || desk.run())
            .map_err(|source| StoreError::File { path: path.to_owned(), source })?;
        Ok(Self { queue: Some(queue), thread: Some(thread), written_at })
    }

    /// Hands `mutation` to the thread and waits until it is durable or refused.
    pub(super) fn run(&self, mutation: Mutation) -> Result<(), StoreError> {
        let answer = Arc::new(Answer::default());
        let queue = self.queue.as_ref().ok_or_else(ended)?;
        queue.try_send(Job { mutation, answer: Arc::clone(&answer) }).map_err(|refused| match refused {
            TrySendError::Full(_) => StoreError::Overloaded,
            TrySendError::Disconnected(_) => ended(),
        })?;
        answer.wait()
    }

    /// When something was committed last, in seconds since 1970-01-01 UTC.
    pub(super) fn last_write(&self) -> Option<i64> {
        Some(self.written_at.load(Ordering::Relaxed)).filter(|at| *at != 0)
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
    written_at: Arc<AtomicI64>,
    limits: Limits,
    adapters: Adapters,
    /// What of the store `adapters` was learned from: another process may delete an adapter.
    generation: u64,
    /// When the log is to be cut because erased material stands in it.
    scrub_at: Option<Instant>,
}

/// How the mutations of a batch are kept apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    /// Not at all: the attempt ends when one is refused that has written something.
    None,
    /// Each has a savepoint.
    Savepoints,
}

/// What became of a batch.
enum Attempt {
    /// It is durable.
    Committed {
        /// What each caller is told.
        outcomes: Vec<Result<(), StoreError>>,
        /// Whether material was erased.
        erased: bool,
    },
    /// Nothing was done; it takes more care.
    Abandoned,
}

impl Desk {
    fn run(mut self) {
        while let Some(first) = self.wait() {
            let mut batch: Vec<Job> = Vec::with_capacity(self.jobs.len() + 1);
            batch.extend(first);
            batch.extend(self.jobs.try_iter().take(BATCH - batch.len()));
            if !batch.is_empty() {
                self.serve(&batch);
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

    fn serve(&mut self, batch: &[Job]) {
        let mut attempt = self.attempt(batch, Care::None);
        if matches!(attempt, Ok(Attempt::Abandoned)) {
            attempt = self.attempt(batch, Care::Savepoints);
        }
        match attempt {
            Ok(Attempt::Committed { outcomes, erased }) => {
                self.written_at.store(Timestamp::now().as_second(), Ordering::Relaxed);
                if erased {
                    self.scrub_at.get_or_insert_with(|| Instant::now() + SCRUB_AFTER);
                }
                self.answer(batch, outcomes);
            }
            // With savepoints no attempt is abandoned; were it so, dropping the jobs would tell the callers.
            Ok(Attempt::Abandoned) => {}
            Err(error) => batch.iter().for_each(|job| job.answer.give(Err(repeat(&error)))),
        }
    }

    fn answer(&mut self, batch: &[Job], outcomes: Vec<Result<(), StoreError>>) {
        for (job, outcome) in batch.iter().zip(outcomes) {
            let cut = matches!(job.mutation, Mutation::Scrub);
            job.answer.give(if cut { outcome.and_then(|()| self.cut_log(Instant::now())) } else { outcome });
        }
    }

    /// Makes the batch in one transaction. Whatever goes wrong, no transaction is left open.
    fn attempt(&mut self, batch: &[Job], care: Care) -> Result<Attempt, StoreError> {
        let attempt = self.transaction(batch, care);
        if !matches!(attempt, Ok(Attempt::Committed { .. })) {
            self.abandon();
        }
        attempt
    }

    fn transaction(&mut self, batch: &[Job], care: Care) -> Result<Attempt, StoreError> {
        self.execute("BEGIN IMMEDIATE")?;
        let generation = trust::generation(&self.connection)?;
        if std::mem::replace(&mut self.generation, generation) != generation {
            self.adapters.forget();
        }
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut erased = false;
        for job in batch {
            let written = self.connection.total_changes();
            if care == Care::Savepoints {
                self.execute("SAVEPOINT mutation")?;
            }
            let outcome = self.mutate(&job.mutation);
            if outcome.is_err() {
                self.adapters.forget();
                if self.connection.is_autocommit() {
                    // SQLite has given up the whole transaction, as it does when the disk is full.
                    return outcome.map(|_| Attempt::Abandoned);
                }
                match care {
                    Care::Savepoints => self.execute("ROLLBACK TO mutation")?,
                    Care::None if self.connection.total_changes() != written => return Ok(Attempt::Abandoned),
                    Care::None => {}
                }
            }
            if care == Care::Savepoints {
                self.execute("RELEASE mutation")?;
            }
            outcomes.push(outcome.map(|has_erased| erased |= has_erased));
        }
        self.execute("COMMIT")?;
        Ok(Attempt::Committed { outcomes, erased })
    }

    /// Returns whether material was erased.
    fn mutate(&mut self, mutation: &Mutation) -> Result<bool, StoreError> {
        match mutation {
            Mutation::Objects(changes) => {
                let mut erased = false;
                for change in changes {
                    erased |= changes::apply(&self.connection, &mut self.adapters, change)?;
                }
                Ok(erased)
            }
            Mutation::Trust(change) => {
                trust::apply(&self.connection, &mut self.adapters, &self.limits, change).map(|()| false)
            }
            Mutation::RootKey(change) => root_keys::apply(&self.connection, change),
            Mutation::Rotation(change) => rotations::apply(&self.connection, change),
            Mutation::Empty(step) => adapters::empty(&self.connection, step),
            Mutation::Held(change) => held::apply(&self.connection, change),
            Mutation::Seen(seen) => seen::apply(&self.connection, seen).map(|()| false),
            Mutation::Identity(change) => {
                identities::apply(&self.connection, &mut self.adapters, &self.limits, change).map(|()| false)
            }
            Mutation::ApiKey(change) => api_keys::apply(&self.connection, &self.limits, change).map(|()| false),
            Mutation::Approval(change) => approvals::apply(&self.connection, &self.limits, change).map(|()| false),
            Mutation::Answer(change) => answers::apply(&self.connection, change).map(|()| false),
            // Done when the transaction is over.
            Mutation::Scrub => Ok(false),
            #[cfg(test)]
            Mutation::Limit(pages) => {
                Ok(self.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(false))?)
            }
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
