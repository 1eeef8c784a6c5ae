//! OS threads, each with a session of its own, fed by a bounded queue.
//!
//! PKCS#11 calls have no time-out, so callers never make one: they wait here for a worker's answer, until a deadline. A caller
//! that gave up is answered into the void, and whatever secret the answer holds is wiped with it. A worker that does not come
//! out of a call is replaced, as often again as there are workers; when it does come out, it finds itself surplus and ends.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use cryptoki::session::Session;
use parking_lot::{Condvar, Mutex};

use super::{
    link::{Expected, Link, Login},
    recovery::Fault,
    roots,
};
use crate::{HalError, Outage, Refusal, RootKeyVersion};

/// How long a closing pool waits for workers that are not known to hang.
const PARTING: Duration = Duration::from_millis(500);

type Job = Box<dyn FnMut(&mut Worker) -> Flow + Send>;

/// What became of a job.
enum Flow {
    Done,
    /// The token has no session for this worker; another worker is to do it.
    HandOn,
}

/// What a call may do twice, and what a failure of it may mean.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Opens a blob under this root key: a failure may be the blob's fault. May be repeated.
    Open(RootKeyVersion),
    /// Any other call of request handling; may be repeated.
    Use,
    /// Makes or destroys keys: repeated only where the first attempt cannot have taken effect. It searches first.
    Manage,
}

/// The door to the workers of one backend.
pub(super) struct Pool {
    jobs: Option<Sender<Job>>,
    pub(super) crew: Arc<Crew>,
    /// Disconnects when the last worker has gone.
    gone: Receiver<Infallible>,
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
    wanted: usize,
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
    fn staff(self: &Arc<Self>) {
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
        thread::Builder::new().name(format!("hsm-{desk}")).spawn(move || {
            crew.work(desk);
            drop(crew);
            drop(alive);
        })?;
        Ok(())
    }

    fn work(self: &Arc<Self>, desk: usize) {
        let mut worker = Worker { link: Arc::clone(&self.link), crew: Arc::clone(self), desk, conn: None };
        while let Ok(mut job) = self.inbox.recv() {
            match job(&mut worker) {
                Flow::Done => {}
                Flow::HandOn => return self.hand_on(job),
            }
            let was_late = self.is_stuck(desk);
            self.set_due(desk, 0);
            if was_late && self.is_surplus(desk) {
                return;
            }
        }
    }

    /// Whether the worker at `desk` was replaced while it hung; it is struck off then.
    fn is_surplus(&self, desk: usize) -> bool {
        let mut roster = self.roster.lock();
        let surplus = roster.hired.saturating_sub(self.stuck()) > roster.target;
        if surplus {
            tracing::info!(desk, "an HSM worker that hung is back; it was replaced and ends");
            roster.strike_off(desk);
        }
        surplus
    }

    /// Strikes a worker off for which the token has no session, unless it is the last one.
    fn starve(&self, desk: usize) -> bool {
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

    fn hand_on(&self, job: Job) {
        if let Some(outbox) = &*self.outbox.lock() {
            // Where the queue is full by now, the job is dropped and its caller told so.
            let _ = outbox.try_send(job);
        }
    }

    fn set_due(&self, desk: usize, due: u64) {
        if let Some(desk) = self.desks.get(desk) {
            desk.0.store(due, Ordering::Relaxed);
        }
    }

    fn is_stuck(&self, desk: usize) -> bool {
        self.desks.get(desk).is_some_and(|desk| desk.is_stuck(self.now()))
    }

    /// How many workers are inside a job that should be over.
    pub(super) fn stuck(&self) -> usize {
        let now = self.now();
        self.desks.iter().filter(|desk| desk.is_stuck(now)).count()
    }

    /// How many workers there are, those that hang included.
    #[cfg(test)]
    pub(super) fn hired(&self) -> usize {
        self.roster.lock().hired
    }

    /// Whether nobody is left to do a job, nor a desk for one more.
    fn all_stuck(&self) -> bool {
        let now = self.now();
        self.desks.iter().all(|desk| desk.is_stuck(now))
    }

    fn now(&self) -> u64 {
        self.micros(Instant::now())
    }

    fn micros(&self, at: Instant) -> u64 {
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

impl Pool {
    pub(super) fn new(link: &Arc<Link>, workers: usize, queue: usize) -> Self {
        let (jobs, inbox) = bounded::<Job>(queue);
        let (alive, gone) = bounded::<Infallible>(0);
        let desks = workers.saturating_mul(2);
        let crew = Arc::new(Crew {
            link: Arc::clone(link),
            inbox,
            outbox: Mutex::new(Some(jobs.clone())),
            alive: Mutex::new(Some(alive)),
            started: Instant::now(),
            desks: (0..desks).map(|_| Desk::default()).collect(),
            roster: Mutex::new(Roster { free: (0..desks).rev().collect(), hired: 0, target: workers }),
            wanted: workers,
        });
        Self { jobs: Some(jobs), crew, gone }
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
        if !jobs.is_empty() {
            self.crew.staff();
        }
        if self.crew.all_stuck() {
            return Err(late);
        }
        let until = Instant::now() + patience;
        let reply = Arc::new(Reply { answer: Mutex::new(None), ready: Condvar::new() });
        let answer_to = AnswerTo(Arc::clone(&reply));
        let job: Job = Box::new(move |worker| {
            // Nobody waits any more, so the token is spared the work.
            if Instant::now() < until {
                worker.begin(until);
                let answer = job(worker, until);
                let starved = matches!(answer, Err(HalError::Unavailable(Outage::SessionsExhausted)));
                if starved && worker.crew.starve(worker.desk) {
                    return Flow::HandOn;
                }
                answer_to.give(answer);
            }
            Flow::Done
        });
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => HalError::Unavailable(Outage::Overloaded),
            TrySendError::Disconnected(_) => HalError::Unavailable(Outage::DeviceFailed),
        })?;
        let answer = reply.wait(until);
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

    /// How many workers there are to be.
    pub(super) fn workers(&self) -> usize {
        self.crew.wanted
    }
}

impl Drop for Pool {
    /// Lets the workers finish and close their sessions, but does not wait for one that hangs in the token.
    fn drop(&mut self) {
        self.jobs = None;
        *self.crew.outbox.lock() = None;
        *self.crew.alive.lock() = None;
        let until = Instant::now() + PARTING;
        while self.crew.stuck() == 0 && Instant::now() < until {
            match self.gone.recv_timeout(PARTING / 20) {
                Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
                _ => return,
            }
        }
    }
}

struct Reply<T> {
    answer: Mutex<Option<Result<T, HalError>>>,
    ready: Condvar,
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

/// One thread's session and the login it belongs to.
pub(super) struct Conn {
    pub(super) session: Session,
    pub(super) login: Arc<Login>,
    pub(super) expected: Arc<Expected>,
}

pub(super) struct Worker {
    link: Arc<Link>,
    crew: Arc<Crew>,
    desk: usize,
    conn: Option<Conn>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.part();
    }
}

/// What one attempt at a call came to.
enum Outcome<T> {
    Answer(Result<T, HalError>),
    Again,
    /// Session, login or handle went stale: log in, find again, try again.
    Renew,
    /// The token is not there any more.
    Lost(HalError),
}

/// What was tried already for one call.
#[derive(Default)]
struct Tried {
    renewed: bool,
    repeats: u32,
    /// The login under which a failure was suspect, and the token was found alive.
    suspected_in: Option<u64>,
}

impl Worker {
    fn begin(&self, until: Instant) {
        self.crew.set_due(self.desk, self.crew.micros(until).max(1));
    }

    /// Runs `op`, and once more where session, login or handle went stale, or where the token fails but is found alive.
    pub(super) fn run<T>(
        &mut self,
        kind: Kind,
        until: Instant,
        op: &dyn Fn(&Conn) -> Result<T, Fault>,
    ) -> Result<T, HalError> {
        let mut tried = Tried::default();
        loop {
            let login = self.login()?;
            let inside = match login.module.enter(until) {
                Ok(inside) => inside,
                Err(Fault::Stop(error)) => return Err(error),
                Err(fault) => return self.lost(&login, fault.into_error()),
            };
            let outcome = if inside.era() == login.era {
                self.attempt(&login, kind, &mut tried, op)
            } else {
                // Another backend restarted the module for the sake of its own token.
                Outcome::Renew
            };
            drop(inside);
            match outcome {
                Outcome::Answer(answer) => return answer,
                Outcome::Again => {}
                Outcome::Renew => {
                    self.part();
                    self.link.renew(login.generation, until)?;
                }
                Outcome::Lost(error) => return self.lost(&login, error),
            }
            if Instant::now() >= until {
                return Err(HalError::Unavailable(Outage::DeadlinePassed));
            }
        }
    }

    /// The newest login. The session of an older one is closed first: tokens count them.
    fn login(&mut self) -> Result<Arc<Login>, HalError> {
        match &self.conn {
            Some(conn) if self.link.is_current(conn.login.generation) => Ok(Arc::clone(&conn.login)),
            _ => {
                self.part();
                self.link.login()
            }
        }
    }

    /// Gives the connection up. The session is closed when there is a next login, for closing it now may hang.
    fn lost<T>(&self, login: &Login, error: HalError) -> Result<T, HalError> {
        self.link.lost(login.generation, &error);
        Err(error)
    }

    fn part(&mut self) {
        if let Some(Conn { session, login, .. }) = self.conn.take() {
            login.module.close(session, login.era);
        }
    }

    fn attempt<T>(
        &mut self,
        login: &Arc<Login>,
        kind: Kind,
        tried: &mut Tried,
        op: &dyn Fn(&Conn) -> Result<T, Fault>,
    ) -> Outcome<T> {
        let conn = match self.connected(login) {
            Ok(conn) => conn,
            Err(Fault::Stop(error)) => return Outcome::Answer(Err(error)),
            Err(fault) => return Outcome::Lost(fault.into_error()),
        };
        let fault = match op(conn) {
            Ok(answer) => return Outcome::Answer(Ok(answer)),
            Err(fault) => fault,
        };
        let failed = HalError::Unavailable(Outage::DeviceFailed);
        match fault {
            Fault::Stale if !tried.renewed => {
                tried.renewed = true;
                Outcome::Renew
            }
            Fault::Stale if is_alive(conn, kind) => Outcome::Answer(Err(failed)),
            Fault::Stale => Outcome::Lost(failed),
            Fault::Suspect if is_alive(conn, kind) => suspect(kind, login.generation, tried),
            // A lost login may look so too, on kryoptic for one. What makes keys is not repeated on a guess.
            Fault::Suspect if !tried.renewed && !matches!(kind, Kind::Manage) => {
                tried.renewed = true;
                Outcome::Renew
            }
            Fault::Suspect => Outcome::Lost(failed),
            Fault::BadData => Outcome::Answer(Err(HalError::Tampered)),
            Fault::Gone(outage) => Outcome::Lost(HalError::Unavailable(outage)),
            Fault::Unsupported => Outcome::Answer(Err(HalError::Refused(match kind {
                Kind::Open(..) => Refusal::SchemeNotSupported,
                Kind::Use | Kind::Manage => Refusal::NotPermitted,
            }))),
            Fault::Stop(error) => Outcome::Answer(Err(error)),
        }
    }

    /// This thread's session under `login`.
    fn connected(&mut self, login: &Arc<Login>) -> Result<&Conn, Fault> {
        if self.conn.is_none() {
            let session = login.module.session(login.slot)?;
            let (login, expected) = (Arc::clone(login), Arc::clone(&self.link.expected));
            self.conn = Some(Conn { session, login, expected });
        }
        self.conn.as_ref().ok_or(Fault::Stale)
    }
}

/// A failure that may be the data's fault, on a token that does its work. A login lost in the middle of a call looks like a bad
/// blob too. So a blob is blamed only when it fails twice on a token that opens its known blob in between, all within one login.
fn suspect<T>(kind: Kind, generation: u64, tried: &mut Tried) -> Outcome<T> {
    match kind {
        Kind::Open(..) if tried.suspected_in == Some(generation) => return Outcome::Answer(Err(HalError::Tampered)),
        Kind::Open(..) if tried.repeats < 3 => {}
        Kind::Use if tried.repeats < 1 => {}
        _ => return Outcome::Answer(Err(HalError::Unavailable(Outage::DeviceFailed))),
    }
    tried.repeats += 1;
    tried.suspected_in = Some(generation);
    Outcome::Again
}

/// Whether the token does its work: the root key in question opens a known blob.
fn is_alive(conn: &Conn, kind: Kind) -> bool {
    match kind {
        Kind::Open(key) => roots::bound(conn, key).is_ok_and(|bound| bound.is_alive(&conn.session)),
        Kind::Use | Kind::Manage => conn.login.answers(&conn.session),
    }
}
