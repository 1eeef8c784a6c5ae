//! How many workers there are: hired as the token has sessions for them, replaced where they hang, let go where they are too
//! many.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;

use super::{link::Link, lookout::Lookout, workers::Worker};

pub(super) type Job = Box<dyn FnMut(&mut Worker) -> Flow + Send>;

/// What became of a job.
pub(super) enum Flow {
    Done,
    /// The token has no session for this worker; another worker is to do it.
    HandOn,
}

/// The workers of one backend.
pub(super) struct Crew {
    link: Arc<Link>,
    inbox: Receiver<Job>,
    /// Puts a job back that a worker could not do; none once the pool closes.
    outbox: Mutex<Option<Sender<Job>>>,
    /// Copied to every worker, which drops it at its end; none once the pool closes.
    alive: Mutex<Option<Sender<Infallible>>>,
    started: Instant,
    /// Twice as many as there are to be workers: one more for each that may hang.
    desks: Vec<Desk>,
    roster: Mutex<Roster>,
    /// Somebody was hired in the place of one who hangs, and may have to go when that one is back.
    crowded: AtomicBool,
    wanted: usize,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
    /// Where a worker that is about to go to sleep waits for one more job.
    pub(super) lookout: Lookout<Job>,
}

/// When the job that a worker is in has to be over: microseconds after the crew's start, 0 while there is none.
#[derive(Default)]
struct Desk(AtomicU64);

struct Roster {
    free: Vec<usize>,
    hired: usize,
    /// How many workers there are to be, those that hang not counted: less than wanted where the token has too few sessions.
    target: usize,
}

impl Crew {
    pub(super) fn new(
        link: Arc<Link>,
        workers: usize,
        (outbox, inbox): (Sender<Job>, Receiver<Job>),
        alive: Sender<Infallible>,
    ) -> Self {
        let desks = workers.saturating_mul(2);
        Self {
            link,
            inbox,
            outbox: Mutex::new(Some(outbox)),
            alive: Mutex::new(Some(alive)),
            started: Instant::now(),
            desks: (0..desks).map(|_| Desk::default()).collect(),
            roster: Mutex::new(Roster { free: (0..desks).rev().collect(), hired: 0, target: workers }),
            crowded: AtomicBool::new(false),
            wanted: workers,
            threads: Mutex::default(),
            lookout: Lookout::new(),
        }
    }

    /// Lets the workers end once the queue is empty, and hires no more.
    pub(super) fn close(&self) {
        *self.outbox.lock() = None;
        *self.alive.lock() = None;
    }

    /// How many workers there are to be.
    pub(super) fn wanted(&self) -> usize {
        self.wanted
    }

    /// Hires as many workers as the token has sessions for. Called after every login of the supervisor's.
    pub(super) fn staff_anew(self: &Arc<Self>) {
        self.roster.lock().target = self.link.capabilities().sessions.clamp(1, self.wanted);
        self.staff();
    }

    /// Tries for one more worker where the token had too few sessions.
    pub(super) fn regrow(self: &Arc<Self>) {
        let most = self.link.capabilities().sessions.clamp(1, self.wanted);
        let mut roster = self.roster.lock();
        if roster.target < most {
            roster.target += 1;
            drop(roster);
            self.staff();
        }
    }

    /// Fills the places of those that hang, while there are desks.
    pub(super) fn staff(self: &Arc<Self>) {
        let mut roster = self.roster.lock();
        let stuck = self.stuck();
        while roster.hired.saturating_sub(stuck) < roster.target {
            let Some(desk) = roster.free.pop() else { return };
            if let Err(error) = self.hire(desk) {
                tracing::error!(%error, "cannot start another HSM worker thread; going on with fewer");
                roster.free.push(desk);
                return;
            }
            roster.hired += 1;
            if stuck > 0 {
                self.crowded.store(true, Ordering::Relaxed);
                tracing::warn!(
                    stuck,
                    workers = self.wanted,
                    "an HSM worker hangs in the PKCS#11 module and is replaced"
                );
            }
        }
    }

    fn hire(self: &Arc<Self>, desk: usize) -> io::Result<()> {
        // A pool that closes hires nobody, and nobody minds.
        let Some(alive) = self.alive.lock().clone() else { return Ok(()) };
        let crew = Arc::clone(self);
        let thread = thread::Builder::new().name(format!("hsm-{desk}")).spawn(move || {
            crew.work(desk);
            drop(crew);
            drop(alive);
        })?;
        let mut threads = self.threads.lock();
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        Ok(())
    }

    fn work(self: &Arc<Self>, desk: usize) {
        let mut worker = Worker::new(Arc::clone(&self.link), Arc::clone(self), desk);
        while let Some(mut job) = self.next_job() {
            match job(&mut worker) {
                Flow::Done => {}
                Flow::HandOn => return self.hand_on(job),
            }
            self.set_due(desk, 0);
            if self.crowded.load(Ordering::Relaxed) && self.is_surplus(desk) {
                return;
            }
        }
    }

    /// The next job; `None` where no more will come.
    fn next_job(&self) -> Option<Job> {
        if self.inbox.is_empty()
            && let Some(job) = self.lookout.wait()
        {
            return Some(job);
        }
        self.inbox.recv().ok()
    }

    /// Whether there are more workers than there are to be, because one that hung is back; the one at `desk` is struck off then.
    fn is_surplus(&self, desk: usize) -> bool {
        let mut roster = self.roster.lock();
        let surplus = roster.hired.saturating_sub(self.stuck()) > roster.target;
        if surplus {
            tracing::info!(desk, "an HSM worker that hung is back; one of them ends");
            roster.strike_off(desk);
        }
        if roster.hired <= roster.target {
            self.crowded.store(false, Ordering::Relaxed);
        }
        surplus
    }

    /// Strikes a worker off for which the token has no session, unless it is the last one.
    pub(super) fn starve(&self, desk: usize) -> bool {
        let mut roster = self.roster.lock();
        let working = roster.hired.saturating_sub(self.stuck());
        let others = working.saturating_sub(1);
        if others == 0 {
            return false;
        }
        roster.target = roster.target.min(others);
        self.set_due(desk, 0);
        roster.strike_off(desk);
        tracing::warn!(workers = others, "the token has no session left; going on with fewer HSM workers");
        true
    }

    /// Waits for threads that have nothing left to do but to end. What a module's libraries clean up at the end of a thread must
    /// be over before the process ends, or the two clean up at once and crash.
    pub(super) fn join(&self) {
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A worker that panicked has said so.
            let _ = thread.join();
        }
    }

    fn hand_on(&self, job: Job) {
        if let Some(outbox) = &*self.outbox.lock() {
            // Where the queue is full by now, the job is dropped and its caller told so.
            let _ = outbox.try_send(job);
        }
    }

    pub(super) fn set_due(&self, desk: usize, due: u64) {
        if let Some(desk) = self.desks.get(desk) {
            desk.0.store(due, Ordering::Relaxed);
        }
    }

    /// How many workers are inside a job that should be over.
    pub(super) fn stuck(&self) -> usize {
        let now = self.now();
        self.desks.iter().filter(|desk| desk.is_stuck(now)).count()
    }

    /// How many workers are inside a job.
    pub(super) fn busy(&self) -> usize {
        self.desks.iter().filter(|desk| desk.0.load(Ordering::Relaxed) != 0).count()
    }

    /// How many workers there are, those that hang included.
    #[cfg(test)]
    pub(super) fn hired(&self) -> usize {
        self.roster.lock().hired
    }

    /// Whether nobody is left to do a job, nor a desk for one more.
    pub(super) fn all_stuck(&self) -> bool {
        let now = self.now();
        self.desks.iter().all(|desk| desk.is_stuck(now))
    }

    fn now(&self) -> u64 {
        self.micros(Instant::now())
    }

    pub(super) fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_micros()).unwrap_or(u64::MAX)
    }
}

impl Desk {
    fn is_stuck(&self, now: u64) -> bool {
        let due = self.0.load(Ordering::Relaxed);
        due != 0 && now > due
    }
}

impl Roster {
    fn strike_off(&mut self, desk: usize) {
        self.hired = self.hired.saturating_sub(1);
        self.free.push(desk);
    }
}
