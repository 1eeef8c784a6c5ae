//! What a worker thread does with its session: a call, the answer to a fault of it, a second try.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use cryptoki::session::Session;

use super::{
    crew::Crew,
    link::Link,
    login::{Expected, Login},
    recovery::Fault,
    roots, schemes,
    seals::Seals,
    self_test::BoundRoot,
};
use crate::{HalError, Outage, Refusal, RootKeyVersion, WrapScheme, WrappedKek};

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

/// One thread's session and the login it belongs to.
pub(super) struct Conn {
    pub(super) session: Session,
    pub(super) login: Arc<Login>,
    pub(super) expected: Arc<Expected>,
    pub(super) seals: Arc<Seals>,
    /// When whoever waits for the present call gives up.
    pub(super) until: Instant,
}

impl Conn {
    /// Fails where nobody waits any more. Asked right before a call that cannot be undone: the search before it may have hung
    /// for minutes, and its caller was told that nothing was done.
    pub(super) fn demand_time(&self) -> Result<(), Fault> {
        if self.is_in_time() { Ok(()) } else { Err(Fault::Stop(HalError::Unavailable(Outage::DeadlinePassed))) }
    }

    pub(super) fn is_in_time(&self) -> bool {
        Instant::now() < self.until
    }

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
    /// This worker's session is gone, and nothing else: open another, try again.
    Reopen,
    /// Session, login or handle went stale: log in, find again, try again.
    Renew,
    /// The token is not there any more.
    Lost(HalError),
}

/// What was tried already for one call.
#[derive(Default)]
struct Tried {
    reopened: bool,
    renewed: bool,
    repeats: u32,
    /// The login under which a failure was suspect, and the token was found alive.
    suspected_in: Option<u64>,
    /// How often that was so under that login.
    failures: u32,
}

impl Worker {
    pub(super) fn new(link: Arc<Link>, crew: Arc<Crew>, desk: usize) -> Self {
        Self { link, crew, desk, conn: None }
    }

    /// Ends this worker, if there are others, because the token has no session for it.
    pub(super) fn starves(&self) -> bool {
        self.crew.starve(self.desk)
    }

    /// The job, or this part of it, ought to be over by `until`.
    pub(super) fn begin(&self, until: Instant) {
        self.crew.set_due(self.desk, self.crew.micros(until).max(1));
    }

    /// Does `job`. One that panics has failed like any other, and costs this worker its session, in which an operation may
    /// have been left half done.
    pub(super) fn survive<T>(&mut self, job: impl FnOnce(&mut Self) -> Result<T, HalError>) -> Result<T, HalError> {
        // All that a panic may leave half done is the session, which is given up.
        catch_unwind(AssertUnwindSafe(|| job(self))).unwrap_or_else(|_| {
            tracing::error!(desk = self.desk, "a call to the token panicked; its worker goes on with a new session");
            self.part();
            Err(HalError::Unavailable(Outage::DeviceFailed))
        })
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
                self.attempt(&login, (kind, until), &mut tried, op)
            } else {
                // Another backend restarted the module for the sake of its own token.
                Outcome::Renew
            };
            drop(inside);
            match outcome {
                Outcome::Answer(answer) => return answer,
                Outcome::Again => {}
                // Not closed: there is nothing to close, and its handle may be another session's by now.
                Outcome::Reopen => self.conn = None,
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
        let kek = self.run(Kind::Open(old.key(), old.scheme), until, &|conn| {
            let from = roots::bound(conn, old.key())?;
            schemes::unwrap(&conn.session, from.root, old)
        })?;
        // Whatever goes wrong from here on is not the old blob's fault.
        self.run(Kind::Use, until, &|conn| {
            let to = roots::bound(conn, under)?;
            conn.seal_with(&to)?;
            schemes::wrap_and_reopen(&conn.session, &to, &kek)
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
        (kind, until): (Kind, Instant),
        tried: &mut Tried,
        op: &dyn Fn(&Conn) -> Result<T, Fault>,
    ) -> Outcome<T> {
        let conn = match self.connected(login, until) {
            Ok(conn) => conn,
            Err(Fault::Stop(error)) => return Outcome::Answer(Err(error)),
            Err(fault) => return Outcome::Lost(fault.into_error()),
        };
        let fault = match op(conn) {
            Ok(answer) => return Outcome::Answer(Ok(answer)),
            Err(Fault::SessionGone) if !tried.reopened && login.stands(until) => {
                tried.reopened = true;
                return Outcome::Reopen;
            }
            Err(Fault::SessionGone) => Fault::Stale,
            Err(fault) => fault,
        };
        let failed = HalError::Unavailable(Outage::DeviceFailed);
        match fault {
            Fault::Stale if !tried.renewed => {
                tried.renewed = true;
                Outcome::Renew
            }
            Fault::Stale if is_alive(conn, kind) => Outcome::Answer(Err(failed)),
            Fault::Stale | Fault::SessionGone => Outcome::Lost(failed),
            Fault::Suspect if is_alive(conn, kind) => suspect(kind, login.generation, tried),
            // A lost login may look so too, on kryoptic for one. What makes keys is not repeated on a guess.
            Fault::Suspect if !tried.renewed && !matches!(kind, Kind::Manage) => {
                tried.renewed = true;
                Outcome::Renew
            }
            Fault::Suspect => Outcome::Lost(failed),
            Fault::BadData => Outcome::Answer(Err(match kind {
                Kind::Open(..) => HalError::Tampered,
                Kind::Use | Kind::Manage => failed,
            })),
            Fault::Gone(outage) => Outcome::Lost(HalError::Unavailable(outage)),
            Fault::Unsupported => Outcome::Answer(Err(HalError::Refused(match kind {
                Kind::Open(..) => Refusal::SchemeNotSupported,
                Kind::Use | Kind::Manage => Refusal::NotPermitted,
            }))),
            Fault::Stop(error) => Outcome::Answer(Err(error)),
        }
    }

    /// This thread's session under `login`, for a call that is waited for until `until`.
    fn connected(&mut self, login: &Arc<Login>, until: Instant) -> Result<&Conn, Fault> {
        if self.conn.is_none() {
            let session = login.module.session(login.slot)?;
            self.conn = Some(self.link.conn(session, Arc::clone(login), until));
        }
        let conn = self.conn.as_mut().ok_or(Fault::Stale)?;
        conn.until = until;
        Ok(conn)
    }
}

/// How often a blob must fail on a token that opens its known blob each time, before the blob is blamed: a token that fails
/// now and then, whatever it is asked, must not make good blobs look damaged.
const FAILURES_TO_BLAME: u32 = 4;
/// How often a call of any kind is tried again in all on a token that does its work.
const MOST_REPEATS: u32 = 8;

/// A failure that may be the data's fault, on a token that does its work. A login lost in the middle of a call looks like a bad
/// blob too, so only failures within one login count.
fn suspect<T>(kind: Kind, generation: u64, tried: &mut Tried) -> Outcome<T> {
    let failures = if tried.suspected_in == Some(generation) { tried.failures + 1 } else { 1 };
    (tried.suspected_in, tried.failures) = (Some(generation), failures);
    tried.repeats += 1;
    match kind {
        Kind::Open(..) if failures >= FAILURES_TO_BLAME => Outcome::Answer(Err(HalError::Tampered)),
        Kind::Open(..) | Kind::Use if tried.repeats <= MOST_REPEATS => Outcome::Again,
        _ => Outcome::Answer(Err(HalError::Unavailable(Outage::DeviceFailed))),
    }
}

/// Whether the token does its work: the root key in question opens a known blob of the scheme in question. Asked twice where it
/// does not at first: a token that fails now and then is not one that is lost, which would cost everybody a login.
fn is_alive(conn: &Conn, kind: Kind) -> bool {
    let works = || match kind {
        Kind::Open(key, scheme) => roots::bound(conn, key).is_ok_and(|bound| bound.is_alive_for(&conn.session, scheme)),
        Kind::Use | Kind::Manage => conn.login.is_well(&conn.session),
    };
    works() || works()
}
