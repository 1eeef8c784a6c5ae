//! A fixed set of OS threads, each with a session of its own, fed by a bounded queue.
//!
//! PKCS#11 calls have no time-out, so callers never make one: they wait here for a worker's answer, until a deadline. A caller
//! that gave up is answered into the void, and whatever secret the answer holds is wiped with it.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
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

type Job = Box<dyn FnOnce(&mut Worker) + Send>;

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

/// The workers of one backend.
pub(super) struct Pool {
    jobs: Option<Sender<Job>>,
    clocks: Arc<Clocks>,
    /// Disconnects when the last worker has gone.
    gone: Receiver<Infallible>,
}

/// Who is inside a job since when.
struct Clocks {
    started: Instant,
    /// Microseconds after `started`, 0 while idle; one for each worker that may come to be.
    since: Vec<AtomicU64>,
    /// How many workers there are.
    hired: AtomicUsize,
}

/// What a new worker is given. The first worker alone tries for a login; the others are hired when there is one, as many as
/// the token has sessions for.
#[derive(Clone)]
struct Crew {
    link: Arc<Link>,
    inbox: Receiver<Job>,
    /// Dropped with the worker, after its session.
    _alive: Sender<Infallible>,
    clocks: Arc<Clocks>,
}

impl Crew {
    fn hire(&self, index: usize) -> io::Result<()> {
        let crew = self.clone();
        let worker = Worker { link: Arc::clone(&self.link), conn: None };
        thread::Builder::new().name(format!("hsm-{index}")).spawn(move || crew.work(index, worker))?;
        self.clocks.hired.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn work(self, index: usize, mut worker: Worker) {
        let mut alone = index == 0;
        while let Ok(job) = self.inbox.recv() {
            self.clocks.set(index, self.clocks.now().max(1));
            job(&mut worker);
            self.clocks.set(index, 0);
            if alone && let Some(limit) = self.link.session_limit() {
                alone = false;
                self.hire_others(limit);
            }
        }
    }

    fn hire_others(&self, limit: usize) {
        for index in 1..limit {
            if let Err(error) = self.hire(index) {
                tracing::error!(%error, "cannot start another HSM worker thread; going on with fewer");
                return;
            }
        }
    }
}

impl Clocks {
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn set(&self, index: usize, since: u64) {
        if let Some(clock) = self.since.get(index) {
            clock.store(since, Ordering::Relaxed);
        }
    }
}

impl Pool {
    pub(super) fn start(link: &Arc<Link>, workers: usize, queue: usize) -> Result<Self, HalError> {
        let (jobs, inbox) = bounded::<Job>(queue);
        let (alive, gone) = bounded::<Infallible>(0);
        let since = (0..workers).map(|_| AtomicU64::new(0)).collect();
        let clocks = Arc::new(Clocks { started: Instant::now(), since, hired: AtomicUsize::new(0) });
        let crew = Crew { link: Arc::clone(link), inbox, _alive: alive, clocks: Arc::clone(&clocks) };
        crew.hire(0).map_err(|error| {
            tracing::error!(%error, "cannot start an HSM worker thread");
            HalError::Unavailable(Outage::Overloaded)
        })?;
        Ok(Self { jobs: Some(jobs), clocks, gone })
    }

    /// Runs `op` on a worker's session and waits for its answer, at most `patience`. `op` may run twice.
    pub(super) fn call<T, F>(&self, patience: Duration, kind: Kind, op: F) -> Result<T, HalError>
    where
        T: Send + 'static,
        F: Fn(&Conn) -> Result<T, Fault> + Send + 'static,
    {
        let late = HalError::Unavailable(Outage::DeadlinePassed);
        let Some(jobs) = &self.jobs else { return Err(late) };
        if !jobs.is_empty() && self.stuck(patience) >= self.workers() {
            return Err(late);
        }
        let deadline = Instant::now() + patience;
        let reply = Arc::new(Reply { answer: Mutex::new(None), ready: Condvar::new() });
        let answer_to = Arc::clone(&reply);
        let job: Job = Box::new(move |worker| {
            // Nobody waits any more, so the token is spared the work.
            if Instant::now() < deadline {
                let answer = worker.run(kind, &op);
                *answer_to.answer.lock() = Some(answer);
                answer_to.ready.notify_one();
            }
        });
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => HalError::Unavailable(Outage::Overloaded),
            TrySendError::Disconnected(_) => HalError::Unavailable(Outage::DeviceFailed),
        })?;
        let mut answer = reply.answer.lock();
        while answer.is_none() {
            if reply.ready.wait_until(&mut answer, deadline).timed_out() {
                break;
            }
        }
        answer.take().unwrap_or(Err(late))
    }

    /// How many workers have been inside one job for longer than `patience`.
    pub(super) fn stuck(&self, patience: Duration) -> usize {
        let now = self.clocks.now();
        let limit = u64::try_from(patience.as_micros()).unwrap_or(u64::MAX);
        let since = self.clocks.since.iter().map(|since| since.load(Ordering::Relaxed));
        since.filter(|since| *since != 0 && now.saturating_sub(*since) > limit).count()
    }

    pub(super) fn workers(&self) -> usize {
        self.clocks.hired.load(Ordering::Relaxed)
    }
}

impl Drop for Pool {
    /// Lets the workers finish and close their sessions, but does not wait for one that hangs in the token.
    fn drop(&mut self) {
        self.jobs = None;
        let _ = self.gone.recv_timeout(Duration::from_secs(2));
    }
}

struct Reply<T> {
    answer: Mutex<Option<Result<T, HalError>>>,
    ready: Condvar,
}

/// One thread's session and the login it belongs to. The session closes before the login's anchor does.
pub(super) struct Conn {
    pub(super) session: Session,
    pub(super) login: Arc<Login>,
    pub(super) expected: Arc<Expected>,
}

pub(super) struct Worker {
    link: Arc<Link>,
    conn: Option<Conn>,
}

impl Worker {
    /// Runs `op`, and once more where session, login or handle went stale, or where the token fails but is found alive.
    fn run<T>(&mut self, kind: Kind, op: &dyn Fn(&Conn) -> Result<T, Fault>) -> Result<T, HalError> {
        let (mut renewed, mut repeats, mut suspected_in) = (false, 0, None);
        loop {
            let conn = self.connected()?;
            let generation = conn.login.generation;
            let fault = match op(conn) {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            match fault {
                Fault::Stale if !renewed => {
                    renewed = true;
                    self.conn = None;
                    self.link.renew(generation)?;
                }
                Fault::Stale => {
                    self.demand_alive(kind)?;
                    return Err(HalError::Unavailable(Outage::DeviceFailed));
                }
                Fault::Suspect => {
                    let alive_in = self.demand_alive(kind)?;
                    // A login lost in the middle of a call looks like a bad blob too. So a blob is blamed only when it
                    // fails twice on a token that opens its known blob in between, all within one login.
                    match kind {
                        Kind::Open(..) if suspected_in == Some(alive_in) => return Err(HalError::Tampered),
                        Kind::Open(..) if repeats < 3 => {}
                        Kind::Use if repeats < 1 => {}
                        _ => return Err(HalError::Unavailable(Outage::DeviceFailed)),
                    }
                    repeats += 1;
                    suspected_in = (alive_in == generation).then_some(generation);
                }
                Fault::BadData => return Err(HalError::Tampered),
                Fault::Gone(outage) => {
                    self.conn = None;
                    self.link.lost(generation, outage);
                    return Err(HalError::Unavailable(outage));
                }
                Fault::Unsupported => {
                    return Err(HalError::Refused(match kind {
                        Kind::Open(..) => Refusal::SchemeNotSupported,
                        Kind::Use | Kind::Manage => Refusal::NotPermitted,
                    }));
                }
                Fault::Stop(error) => return Err(error),
            }
        }
    }

    /// This thread's session under the newest login.
    fn connected(&mut self) -> Result<&Conn, HalError> {
        // An old session is closed before a new one is opened: tokens count them.
        drop(self.conn.take_if(|conn| !self.link.is_current(conn.login.generation)));
        if self.conn.is_none() {
            let login = self.link.login()?;
            let session = login.module.open_rw_session(login.slot).map_err(|error| {
                let fault = Fault::from(error);
                if let Fault::Stop(error) = fault {
                    return error;
                }
                self.link.lost(login.generation, Outage::DeviceFailed);
                HalError::Unavailable(Outage::DeviceFailed)
            })?;
            self.conn = Some(Conn { session, login, expected: Arc::clone(&self.link.expected) });
        }
        self.conn.as_ref().ok_or(HalError::Unavailable(Outage::DeviceFailed))
    }

    /// Gives the connection up unless the token does its work: the root key in question opens a known blob.
    /// Returns the login's generation.
    fn demand_alive(&mut self, kind: Kind) -> Result<u64, HalError> {
        let conn = self.connected()?;
        let generation = conn.login.generation;
        let alive = match kind {
            Kind::Open(key) => roots::bound(conn, key).is_ok_and(|bound| bound.is_alive(&conn.session)),
            Kind::Use | Kind::Manage => conn.login.answers(&conn.session),
        };
        if alive {
            return Ok(generation);
        }
        self.conn = None;
        self.link.lost(generation, Outage::DeviceFailed);
        Err(HalError::Unavailable(Outage::DeviceFailed))
    }
}
