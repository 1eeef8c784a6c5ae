//! OS threads, each with a session of its own, fed by a bounded queue.
//!
//! PKCS#11 calls have no time-out, so callers never make one: they wait here for a worker's answer, until a deadline. A caller
//! that gave up is answered into the void, and whatever secret the answer holds is wiped with it. A worker that does not come
//! out of a call is replaced, as often again as there are workers; when it does come out, it finds itself surplus and ends.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use cryptoki::session::Session;
use parking_lot::{Condvar, Mutex};

use super::{
    crew::{Crew, Flow, Job},
    link::Link,
    login::{Expected, Login},
    recovery::Fault,
    roots, schemes,
    seals::Seals,
    self_test::BoundRoot,
};
use crate::{HalError, Outage, Refusal, RootKeyVersion, WrapScheme, WrappedKek};

/// How long a closing pool waits for workers that are not known to hang.
const PARTING: Duration = Duration::from_millis(500);

/// What a call may do twice, and what a failure of it may mean.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Opens a blob under this root key by this scheme: a failure may be the blob's fault. May be repeated.
    Open(RootKeyVersion, WrapScheme),
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

impl Pool {
    pub(super) fn new(link: &Arc<Link>, workers: usize, queue: usize) -> Self {
        let (jobs, inbox) = bounded::<Job>(queue);
        let (alive, gone) = bounded::<Infallible>(0);
        let crew = Arc::new(Crew::new(Arc::clone(link), workers, (jobs.clone(), inbox), alive));
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
    pub(super) seals: Arc<Seals>,
}

impl Conn {
    /// Counts the seal that a wrap under this root key is about to make, if it makes one.
    pub(super) fn seal_with(&self, bound: &BoundRoot) -> Result<(), Fault> {
        match bound.scheme {
            WrapScheme::AesGcm => self.seals.count(bound.root.key),
            WrapScheme::AesKw | WrapScheme::AesKwp => Ok(()),
        }
    }
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
    pub(super) fn new(link: Arc<Link>, crew: Arc<Crew>, desk: usize) -> Self {
        Self { link, crew, desk, conn: None }
    }

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

    /// Opens a blob and wraps what was in it under another version, by `until`.
    pub(super) fn rewrap(
        &mut self,
        old: &WrappedKek,
        under: RootKeyVersion,
        until: Instant,
    ) -> Result<WrappedKek, HalError> {
        if !old.is_well_formed() {
            return Err(HalError::Tampered);
        }
        if Instant::now() >= until {
            return Err(HalError::Unavailable(Outage::DeadlinePassed));
        }
        self.begin(until);
        self.run(Kind::Open(old.key(), old.scheme), until, &|conn| {
            let (from, to) = (roots::bound(conn, old.key())?, roots::bound(conn, under)?);
            conn.seal_with(&to)?;
            schemes::rewrap(&conn.session, from.root, old, &to)
        })
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
            self.conn = Some(self.link.conn(session, Arc::clone(login)));
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

/// Whether the token does its work: the root key in question opens a known blob of the scheme in question.
fn is_alive(conn: &Conn, kind: Kind) -> bool {
    match kind {
        Kind::Open(key, scheme) => roots::bound(conn, key).is_ok_and(|bound| bound.is_alive_for(&conn.session, scheme)),
        Kind::Use | Kind::Manage => conn.login.answers(&conn.session),
    }
}
