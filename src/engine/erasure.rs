//! The job that erases what is to be gone: material whose hold period has ended, and the objects of deleted adapters.
//!
//! Everything to be done is on record in the store and is done in small steps, so a job that was cut goes on where it was.
//! Of every object the audit log has a record that it is about to be erased before it is, and another one that it was.

use std::{
    collections::HashMap,
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

/// An object, or an adapter as a whole.
type About = (AdapterId, Option<ObjectId>);

/// Of what it is on record that it is about to be erased, and the correlation that joins that to the record of its end.
type Begun = HashMap<About, Uuid>;

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
        self.run(&|| false, &mut Begun::default())
    }

    fn run(&self, stopping: &dyn Fn() -> bool, begun: &mut Begun) -> Result<u64, ErasureError> {
        let mut erased = 0;
        let mut failed = None;
        loop {
            let due = self.store.due_holds(self.clock.now(), STEP)?;
            let before = erased;
            let about: Vec<_> = due.iter().map(|held| (held.adapter, Some(held.object))).collect();
            self.intend(&about, "object.erase", begun)?;
            for held in &due {
                self.audit.health()?;
                let about = (held.adapter, Some(held.object));
                match self.store.release_hold(held.object, held.until) {
                    Ok(()) => {
                        self.conclude(&[about], "object.erase", Outcome::Success, begun)?;
                        erased += 1;
                    }
                    // It was recovered, or its adapter deleted, a moment ago.
                    Err(StoreError::NotFound | StoreError::Conflict) => {
                        self.conclude(&[about], "object.erase", Outcome::Failed("state"), begun)?;
                    }
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
            let about = |objects: &[ObjectId]| -> Vec<About> {
                objects.iter().map(|object| (adapter.id, Some(*object))).collect()
            };
            self.intend(&[(adapter.id, None)], "adapter.erase", begun)?;
            loop {
                if stopping() {
                    return Ok(erased);
                }
                self.audit.health()?;
                let destroyed = self.store.empty_deleted_adapter_after(adapter.id, STEP, |objects| {
                    self.intend(&about(objects), "object.erase", begun).map_err(ErasureError::from)
                })?;
                if destroyed.is_empty() {
                    break;
                }
                self.conclude(&about(&destroyed), "object.erase", Outcome::Success, begun)?;
                erased += u64::try_from(destroyed.len()).unwrap_or(u64::MAX);
            }
            self.conclude(&[(adapter.id, None)], "adapter.erase", Outcome::Success, begun)?;
            tracing::info!(adapter = %adapter.id.0, name = adapter.name, "every object of a deleted adapter is destroyed");
        }
        failed.map_or(Ok(erased), |error| Err(error.into()))
    }

    /// Records that something is about to be erased, where that is not on record yet: what fails is tried again and again.
    fn intend(&self, about: &[About], action: &'static str, begun: &mut Begun) -> Result<(), AuditError> {
        let new: Vec<About> = about.iter().copied().filter(|about| !begun.contains_key(about)).collect();
        let correlation = Uuid::new_v4();
        let events = new.iter().map(|about| event(*about, action, Outcome::Begun, correlation));
        self.audit.append(&events.collect::<Vec<_>>())?;
        begun.extend(new.into_iter().map(|about| (about, correlation)));
        Ok(())
    }

    /// Records how it ended.
    fn conclude(
        &self,
        about: &[About],
        action: &'static str,
        outcome: Outcome,
        begun: &mut Begun,
    ) -> Result<(), AuditError> {
        let correlation = |about| begun.get(about).copied().unwrap_or_else(Uuid::new_v4);
        let events = about.iter().map(|about| event(*about, action, outcome, correlation(about)));
        self.audit.append(&events.collect::<Vec<_>>())?;
        for about in about {
            begun.remove(about);
        }
        Ok(())
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
            let mut begun = Begun::default();
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                match self.run(&stopping, &mut begun) {
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

fn event((adapter, object): About, action: &'static str, outcome: Outcome, correlation: Uuid) -> Event {
    Event::Admin(AdminEvent {
        actor: Actor::Server,
        peer: None,
        action,
        subject: Subject { adapter: Some(adapter), object, ..Subject::default() },
        outcome,
        correlation,
    })
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
