//! The job that erases what is to be gone: material whose hold period has ended, and the objects of deleted adapters.
//!
//! Everything to be done is on record in the store and is done in small steps, so a job that was cut goes on where it was.
//! Nothing is erased while the audit log cannot take the record of it.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, TryRecvError},
    },
    thread,
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::Clock;
use crate::{
    audit::{Actor, AdminEvent, Audit, AuditError, Event, Outcome, Subject},
    store::{AdapterId, ObjectId, Store, StoreError},
};

/// How often something to be erased is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// Objects erased in one step.
const STEP: u64 = 256;
/// How often the end of the thread is looked for.
const POLL: Duration = Duration::from_millis(5);

/// Why the job does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The audit log failed.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// What the job works with.
pub struct Eraser {
    /// Where it erases.
    pub store: Arc<Store>,
    /// Where every object erased is recorded.
    pub audit: Arc<Audit>,
    /// The time.
    pub clock: Clock,
}

impl Eraser {
    /// Erases what is due now. Returns how many objects' material it erased.
    ///
    /// # Errors
    /// The store or the audit log failed; what was erased before stays erased.
    pub fn run_due(&self) -> Result<u64, ErasureError> {
        self.run(&|| false)
    }

    fn run(&self, stopping: &dyn Fn() -> bool) -> Result<u64, ErasureError> {
        let mut erased = 0;
        let mut failed = None;
        loop {
            let due = self.store.due_holds(self.clock.now(), STEP)?;
            let before = erased;
            for held in &due {
                self.audit.health()?;
                match self.store.release_hold(held.object, held.until) {
                    Ok(()) => {
                        self.record(&[(held.adapter, Some(held.object))], "object.erase")?;
                        erased += 1;
                    }
                    // It was recovered, or its adapter deleted, a moment ago.
                    Err(StoreError::NotFound | StoreError::Conflict) => {}
                    // A row that is damaged must not keep what is due behind it.
                    Err(error) => failed = Some(error),
                }
                if stopping() {
                    return Ok(erased);
                }
            }
            if erased == before {
                break;
            }
        }
        for adapter in self.store.deleted_adapters()? {
            loop {
                if stopping() {
                    return Ok(erased);
                }
                self.audit.health()?;
                let destroyed = self.store.empty_deleted_adapter(adapter.id, STEP)?;
                if destroyed.is_empty() {
                    break;
                }
                let records: Vec<_> = destroyed.iter().map(|object| (adapter.id, Some(*object))).collect();
                self.record(&records, "object.erase")?;
                erased += u64::try_from(destroyed.len()).unwrap_or(u64::MAX);
            }
            self.record(&[(adapter.id, None)], "adapter.erase")?;
            tracing::info!(adapter = %adapter.id.0, name = adapter.name, "every object of a deleted adapter is destroyed");
        }
        failed.map_or(Ok(erased), |error| Err(error.into()))
    }

    fn record(&self, about: &[(AdapterId, Option<ObjectId>)], action: &'static str) -> Result<(), AuditError> {
        let correlation = Uuid::new_v4();
        let event = |(adapter, object): &(AdapterId, Option<ObjectId>)| {
            Event::Admin(AdminEvent {
                actor: Actor::Server,
                peer: None,
                action,
                subject: Subject { adapter: Some(*adapter), object: *object, ..Subject::default() },
                outcome: Outcome::Success,
                correlation,
            })
        };
        self.audit.append(&about.iter().map(event).collect::<Vec<_>>())
    }

    /// Starts the thread that erases what becomes due.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(self) -> io::Result<Erasing> {
        let (alive, ended) = mpsc::channel::<()>();
        let thread = thread::Builder::new().name("erasure".to_owned()).spawn(move || {
            let mut failing = false;
            let stopping = || ended.try_recv() == Err(TryRecvError::Disconnected);
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                match self.run(&stopping) {
                    Ok(_) => failing = false,
                    // Once for each time that it begins to fail.
                    Err(error) if !std::mem::replace(&mut failing, true) => {
                        tracing::error!(%error, "destroyed keys are not erased until this ends");
                    }
                    Err(_) => {}
                }
            }
        })?;
        Ok(Erasing { alive, thread })
    }
}

/// The thread that erases. It ends when this is dropped, but nobody waits for that.
pub struct Erasing {
    alive: mpsc::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Erasing {
    /// Tells it to stop, and waits for its step at work for at most `patience`. A step that is cut is done again.
    pub fn end(self, patience: Duration) {
        drop(self.alive);
        let deadline = Instant::now() + patience;
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
    }
}
