//! Where callers wait for the workers.
//!
//! PKCS#11 calls have no time-out, so callers never make one: they wait here for a worker's answer, until a deadline. A caller
//! that gave up is answered into the void, and whatever secret the answer holds is wiped with it.

use std::{
    convert::Infallible,
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use parking_lot::{Condvar, Mutex};

use super::{
    crew::{Crew, Flow, Job},
    link::Link,
    recovery::Fault,
    workers::{Conn, Kind, Worker},
};
use crate::{HalError, Outage};

/// How long a closing pool waits for workers that are not known to hang.
const PARTING: Duration = Duration::from_secs(2);

/// The door to the workers of one backend.
pub(super) struct Pool {
    jobs: Option<Sender<Job>>,
    patrol: Patrol,
    pub(super) crew: Arc<Crew>,
    /// Disconnects when the last worker has gone.
    gone: Receiver<Infallible>,
}

impl Pool {
    pub(super) fn new(link: &Arc<Link>, workers: usize, queue: usize) -> Self {
        let (jobs, inbox) = bounded::<Job>(queue);
        let (alive, gone) = bounded::<Infallible>(0);
        let crew = Arc::new(Crew::new(Arc::clone(link), workers, (jobs.clone(), inbox), alive));
        Self { jobs: Some(jobs), patrol: Patrol::new(), crew, gone }
    }

    /// Runs `op` on a worker's session and waits for its answer, at most `patience`. `op` may run twice.
    pub(super) fn call<T, F>(&self, patience: Duration, kind: Kind, op: F) -> Result<T, HalError>
    where
        T: Send + 'static,
        F: Fn(&Conn) -> Result<T, Fault> + Send + 'static,
    {
        self.submit(patience, move |worker, until| worker.run(kind, until, &op))
    }

    /// Has a worker do `job`, which ought to end by the time it is given, and waits for its answer, at most `patience`.
    pub(super) fn submit<T, F>(&self, patience: Duration, mut job: F) -> Result<T, HalError>
    where
        T: Send + 'static,
        F: FnMut(&mut Worker, Instant) -> Result<T, HalError> + Send + 'static,
    {
        let late = HalError::Unavailable(Outage::DeadlinePassed);
        let Some(jobs) = &self.jobs else { return Err(late) };
        if !jobs.is_empty() && self.crew.stuck() > 0 {
            self.crew.staff();
        }
        if self.crew.all_stuck() {
            return Err(late);
        }
        let asked = Instant::now();
        let until = asked + patience;
        let reply =
            Arc::new(Reply { answer: Mutex::new(None), ready: Condvar::new(), is_there: AtomicBool::new(false) });
        let answer_to = AnswerTo(Arc::clone(&reply));
        let job: Job = Box::new(move |worker| {
            // Nobody waits any more, so the token is spared the work.
            if Instant::now() < until {
                worker.begin(until);
                let answer = worker.survive(|worker| job(worker, until));
                let starved = matches!(answer, Err(HalError::Unavailable(Outage::SessionsExhausted)));
                if starved && worker.starves() {
                    return Flow::HandOn;
                }
                answer_to.give(answer);
            }
            Flow::Done
        });
        let sent = match self.crew.lookout.hand(job) {
            Ok(()) => Ok(()),
            Err(job) => jobs.try_send(job),
        };
        sent.map_err(|error| match error {
            TrySendError::Full(_) => HalError::Unavailable(Outage::Overloaded),
            TrySendError::Disconnected(_) => HalError::Unavailable(Outage::DeviceFailed),
        })?;
        self.patrol.watch(&reply.is_there);
        let answer = reply.wait(until);
        self.patrol.learn(asked.elapsed());
        if answer.is_none() {
            // A worker hangs with this job, or all of them with the jobs before it.
            self.crew.staff();
        }
        answer.unwrap_or(Err(late))
    }

    /// How many workers hang.
    pub(super) fn stuck(&self) -> usize {
        self.crew.stuck()
    }

    /// How many workers are at work.
    pub(super) fn busy(&self) -> usize {
        self.crew.busy()
    }

    /// How many calls wait for a worker.
    pub(super) fn waiting(&self) -> usize {
        self.jobs.as_ref().map_or(0, Sender::len)
    }

    /// How many workers there are to be.
    pub(super) fn workers(&self) -> usize {
        self.crew.wanted()
    }
}

impl Drop for Pool {
    /// Lets the workers finish and close their sessions, but does not wait for one that hangs in the token.
    fn drop(&mut self) {
        self.jobs = None;
        self.crew.close();
        let until = Instant::now() + PARTING;
        while self.crew.stuck() == 0 && Instant::now() < until {
            match self.gone.recv_timeout(PARTING / 20) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return self.crew.join(),
            }
        }
    }
}

/// Decides who watches for an answer before going to sleep. Falling asleep and being woken takes longer than a fast token's
/// answer; so where answers come fast, as many callers as there are processors to spare keep their eyes open for a moment.
struct Patrol {
    posts: usize,
    watching: AtomicUsize,
    /// Whether the last answer came fast.
    brisk: AtomicBool,
}

/// How fast an answer must come for the next one to be watched for.
const BRISK: Duration = Duration::from_micros(200);
/// How long it is watched for.
const WATCH: Duration = Duration::from_micros(100);

impl Patrol {
    fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        Self { posts: processors / 2, watching: AtomicUsize::new(0), brisk: AtomicBool::new(true) }
    }

    fn watch(&self, for_what: &AtomicBool) {
        if !self.brisk.load(Ordering::Relaxed) {
            return;
        }
        if self.watching.fetch_add(1, Ordering::Relaxed) < self.posts {
            let end = Instant::now() + WATCH;
            while !for_what.load(Ordering::Acquire) && Instant::now() < end {
                std::hint::spin_loop();
            }
        }
        self.watching.fetch_sub(1, Ordering::Relaxed);
    }

    fn learn(&self, took: Duration) {
        self.brisk.store(took < BRISK, Ordering::Relaxed);
    }
}

struct Reply<T> {
    answer: Mutex<Option<Result<T, HalError>>>,
    ready: Condvar,
    /// Whether there is an answer; a hint for those who watch.
    is_there: AtomicBool,
}

impl<T> Reply<T> {
    fn wait(&self, until: Instant) -> Option<Result<T, HalError>> {
        let mut answer = self.answer.lock();
        while answer.is_none() {
            if self.ready.wait_until(&mut answer, until).timed_out() {
                break;
            }
        }
        answer.take()
    }
}

/// The worker's end of a reply. Dropped without an answer, it tells the caller that there will be none.
struct AnswerTo<T>(Arc<Reply<T>>);

impl<T> AnswerTo<T> {
    fn give(&self, answer: Result<T, HalError>) {
        *self.0.answer.lock() = Some(answer);
        self.0.is_there.store(true, Ordering::Release);
        self.0.ready.notify_one();
    }
}

impl<T> Drop for AnswerTo<T> {
    fn drop(&mut self) {
        let mut answer = self.0.answer.lock();
        if answer.is_none() {
            *answer = Some(Err(HalError::Unavailable(Outage::Overloaded)));
            self.0.ready.notify_one();
        }
    }
}
