//! The connection to one token: module, slot, login, and what was learnt since that login.
//!
//! Owns the login of the process to its token, the anchor session that keeps the login alive, and the PIN. It never makes a key.
//! Locks are taken in this order: dialler, the module's gate, standing; the last is never held during a PKCS#11 call.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cryptoki::{
    context::Pkcs11,
    session::Session,
    slot::{Limit, Slot},
    types::RawAuthPin,
};
use parking_lot::{Mutex, RwLock};

pub(super) use super::token::{describe, find as find_token, log_in};
use super::{
    login::{self, Expected, Login},
    module::{Inside, Module, Served},
    pin::{self, PinSource, Pins},
    profile::{Dialect, Provider, ProviderProfile},
    recovery::Fault,
    seals::Seals,
    self_test::{self, BoundRoot},
    supervisor::Bell,
    token,
    workers::Conn,
};
use crate::{Capabilities, HalError, Kcv, Outage, Refusal, RootKeyVersion, TokenInfo, WrapScheme};

/// How long an attempt to connect waits while another backend restarts the module.
const GATE_PATIENCE: Duration = Duration::from_secs(2);
/// Which token, and how to log in.
pub(super) struct Target {
    pub(super) module: PathBuf,
    pub(super) label: String,
    pub(super) serial: Option<String>,
    pub(super) pin: PinSource,
    pub(super) pinned: Option<WrapScheme>,
    pub(super) provider: Option<Provider>,
    pub(super) workers: usize,
}

/// How much an attempt to connect tears down first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rung {
    /// Nothing: a new session and a new login are enough after most losses.
    Login,
    /// Everything: C_Finalize and C_Initialize, the only thing that helps after a link broke or a SoftHSM2 token went away.
    Restart,
}

/// The connection, shared by all workers.
pub(super) struct Link {
    path: PathBuf,
    label: String,
    serial: Option<String>,
    pinned: Option<WrapScheme>,
    provider: Option<Provider>,
    workers: usize,
    /// Whether `standing` has a login; read without the lock on the way of every call.
    up: AtomicBool,
    /// The generation of that login.
    generation: AtomicU64,
    standing: RwLock<Standing>,
    /// Held by whoever connects, for as long as that takes.
    dialler: Mutex<Dialler>,
    pub(super) bell: Arc<Bell>,
    /// The check values on record.
    pub(super) expected: Arc<Expected>,
    /// The seals made so far.
    pub(super) seals: Arc<Seals>,
    learnt: OnceLock<Capabilities>,
    /// How the token is spoken to; settled with what was learnt.
    dialect: OnceLock<Dialect>,
    unconnected: Capabilities,
}

/// How things stand.
struct Standing {
    login: Option<(Arc<Login>, Served)>,
    /// Why there is no login.
    failure: HalError,
    /// Since when a login is wanted, and whether there was one before.
    down_since: Instant,
    was_up: bool,
    /// Root keys that worked under the lost login. One of them must work again.
    keepsakes: Vec<Arc<BoundRoot>>,
}

/// What a token showed when it was tried.
struct Examined {
    token: TokenInfo,
    candidates: Vec<WrapScheme>,
    dialect: Dialect,
}

/// What only whoever connects needs.
struct Dialler {
    pins: Pins,
    /// The module, and the era in which the last attempt was made.
    module: Option<(Arc<Module>, u64)>,
}

impl Link {
    pub(super) fn new(target: Target) -> Self {
        let Target { module: path, label, serial, pin, pinned, provider, workers } = target;
        let unconnected = Capabilities {
            backend: "pkcs11",
            is_hsm: true,
            token: None,
            schemes: Vec::new(),
            scheme: None,
            sessions: workers,
        };
        let standing = Standing {
            login: None,
            // What calls are told while the first attempt takes its time.
            failure: HalError::Unavailable(Outage::DeadlinePassed),
            down_since: Instant::now(),
            was_up: false,
            keepsakes: Vec::new(),
        };
        Self {
            path,
            label,
            serial,
            pinned,
            provider,
            workers,
            up: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            standing: RwLock::new(standing),
            dialler: Mutex::new(Dialler { pins: Pins::new(pin), module: None }),
            bell: Arc::default(),
            expected: Arc::default(),
            seals: Arc::default(),
            learnt: OnceLock::new(),
            dialect: OnceLock::new(),
            unconnected,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Refuses at once while the token is away, so that callers neither queue nor wait.
    pub(super) fn fail_fast(&self) -> Result<(), HalError> {
        if self.is_up() { Ok(()) } else { Err(self.standing.read().failure.clone()) }
    }

    /// Whether a login of this generation is the newest and stands.
    pub(super) fn is_current(&self, generation: u64) -> bool {
        self.is_up() && self.generation.load(Ordering::Acquire) == generation
    }

    /// The standing login.
    pub(super) fn login(&self) -> Result<Arc<Login>, HalError> {
        let standing = self.standing.read();
        match &standing.login {
            Some((login, _)) => Ok(Arc::clone(login)),
            None => Err(standing.failure.clone()),
        }
    }

    /// The supervisor's attempt to connect; does nothing while there is a connection.
    pub(super) fn attempt(&self, rung: Rung) -> Result<(), HalError> {
        if self.is_up() {
            return Ok(());
        }
        let mut dialler = self.dialler.lock();
        if self.is_up() {
            return Ok(());
        }
        match self.connect(&mut dialler, rung) {
            Ok(login) => {
                self.install(login);
                Ok(())
            }
            Err(fault) => {
                let error = fault.into_error();
                self.failed(&error);
                Err(error)
            }
        }
    }

    /// Logs in again because something of `generation` no longer holds; does nothing where another worker has done so, or has
    /// given the token up.
    pub(super) fn renew(&self, generation: u64, until: Instant) -> Result<(), HalError> {
        let late = HalError::Unavailable(Outage::DeadlinePassed);
        let mut dialler = self.dialler.try_lock_until(until).ok_or(late)?;
        if !self.is_current(generation) {
            return self.fail_fast();
        }
        match self.connect(&mut dialler, Rung::Login) {
            Ok(login) => {
                tracing::debug!(token = %self.label, "logged in to the token again");
                self.install(login);
                Ok(())
            }
            Err(fault) => {
                let error = fault.into_error();
                self.lost(generation, &error);
                Err(error)
            }
        }
    }

    /// Gives up a login whose token failed, and sets the supervisor to work.
    pub(super) fn lost(&self, generation: u64, error: &HalError) {
        let mut standing = self.standing.write();
        if standing.login.as_ref().is_none_or(|(login, _)| login.generation != generation) {
            return;
        }
        self.up.store(false, Ordering::Release);
        let old = standing.login.take();
        if let Some((login, _)) = &old {
            standing.keepsakes = login.keepsakes();
        }
        standing.failure = error.clone();
        standing.down_since = Instant::now();
        standing.was_up = true;
        drop(standing);
        tracing::error!(token = %self.label, %error, "the token is lost: calls are refused until it is back, which is tried \
                        for all the time");
        self.bell.lost();
        // Closing the anchor can block where the token hangs, so it happens outside the lock.
        drop(old);
    }

    /// Closes the connection for good.
    pub(super) fn hang_up(&self) {
        self.up.store(false, Ordering::Release);
        let old = self.standing.write().login.take();
        drop(old);
    }

    /// A session with what is known of the token, for a call that is waited for until `until`.
    pub(super) fn conn(&self, session: Session, login: Arc<Login>, until: Instant) -> Conn {
        Conn { session, login, expected: Arc::clone(&self.expected), seals: Arc::clone(&self.seals), until }
    }

    /// Whether an attempt to connect may interrupt another backend that is served by the same module.
    pub(super) fn is_shared(&self) -> bool {
        // An attempt that hangs holds the lock, and then nothing is interrupted.
        let dialler = self.dialler.try_lock();
        dialler.is_some_and(|dialler| dialler.module.as_ref().is_some_and(|(module, _)| module.serves_any()))
    }

    /// Records a check value. Keys bound already are bound anew, so that it holds for them too.
    pub(super) fn expect(&self, key: RootKeyVersion, kcv: Kcv) {
        if self.expected.set(key, kcv)
            && let Some((login, _)) = &self.standing.read().login
        {
            login.roots.write().remove(&key);
        }
    }

    /// The configured label and, where one is stated, serial number.
    pub(super) fn names(&self) -> (&str, Option<&str>) {
        (&self.label, self.serial.as_deref())
    }

    pub(super) fn capabilities(&self) -> &Capabilities {
        self.learnt.get().unwrap_or(&self.unconnected)
    }

    fn install(&self, login: Arc<Login>) {
        let (generation, served) = (login.generation, login.module.serve());
        let (label, serial) = (login.token.label.clone(), login.token.serial.clone());
        let mut standing = self.standing.write();
        let old = standing.login.replace((login, served));
        standing.keepsakes.clear();
        let (outage, was_up) = (standing.down_since.elapsed(), standing.was_up);
        self.generation.store(generation, Ordering::Release);
        let was_down = !self.up.swap(true, Ordering::AcqRel);
        drop(standing);
        if was_down && was_up {
            tracing::info!(token = %label, %serial, outage_ms = outage.as_millis(), "the token is back and serves again");
        } else if was_down {
            tracing::info!(token = %label, %serial, "logged in to the token");
        }
        // Only now, or the process would be logged out in between.
        drop(old);
    }

    fn failed(&self, error: &HalError) {
        let mut standing = self.standing.write();
        let is_news = standing.failure != *error;
        standing.failure = error.clone();
        drop(standing);
        if is_news {
            tracing::error!(token = %self.label, %error, "no connection to the token; it is tried for all the time");
        }
    }

    fn connect(&self, dialler: &mut Dialler, rung: Rung) -> Result<Arc<Login>, Fault> {
        let module = match &dialler.module {
            Some((module, seen)) => {
                if rung == Rung::Restart {
                    module.restart(*seen)?;
                }
                Arc::clone(module)
            }
            None => Module::open(&self.path)?,
        };
        let inside = module.enter(Instant::now() + GATE_PATIENCE)?;
        dialler.module = Some((Arc::clone(&module), inside.era()));
        let (slot, info) = self.find_token(&module, &mut dialler.pins)?;
        // Asked for before anything is sent to the token: a PIN that was refused is not tried again. cryptoki wipes this copy.
        let pin = RawAuthPin::new(Box::new(dialler.pins.next()?.expose_secret().to_vec()));
        let anchor = module.session(slot)?;
        let tested = log_in_once(&module, &inside, slot, &anchor, &pin, &mut dialler.pins)
            .and_then(|()| self.examine(&module, &anchor, &info));
        let Examined { token, candidates, dialect } = match tested {
            Ok(tested) => tested,
            Err(fault) => {
                // Should this fail, the session is gone already.
                let _ = anchor.close();
                return Err(fault);
            }
        };
        let login = Arc::new(Login {
            generation: self.generation.load(Ordering::Acquire) + 1,
            era: inside.era(),
            module: Arc::clone(&module),
            slot,
            token,
            dialect,
            candidates,
            roots: RwLock::default(),
            signers: RwLock::default(),
            anchor: Mutex::new(None),
            making: Mutex::new(()),
        });
        // Its time is over from the start: who connects makes and destroys nothing.
        let conn = self.conn(anchor, login, Instant::now());
        let tested = login::demand_keepsake(&conn, &self.keepsakes(), rung == Rung::Restart);
        drop(inside);
        let Conn { session, login, .. } = conn;
        *login.anchor.lock() = Some(session);
        tested.map(|()| login)
    }

    fn find_token(&self, module: &Module, pins: &mut Pins) -> Result<(Slot, cryptoki::slot::TokenInfo), Fault> {
        let learnt = self.learnt.get().and_then(|learnt| learnt.token.as_ref());
        let found = match learnt {
            Some(learnt) => token::find_again(module.pkcs11(), &self.label, &learnt.serial),
            None => find_token(module.pkcs11(), &self.label, self.serial.as_deref()),
        };
        match &found {
            Ok(_) => pins.shown_locked(false),
            Err(Fault::Stop(HalError::Refused(Refusal::PinLocked))) => pins.shown_locked(true),
            Err(_) => {}
        }
        found
    }

    /// Finds out, once, what the token can do; afterwards repeats it.
    fn examine(&self, module: &Module, anchor: &Session, info: &cryptoki::slot::TokenInfo) -> Result<Examined, Fault> {
        let token = describe(info);
        let (proven, dialect) = match self.learnt.get().zip(self.dialect.get()) {
            Some((learnt, dialect)) => (learnt.schemes.clone(), *dialect),
            None => {
                let own = || ProviderProfile::of(module.pkcs11().get_library_info().ok().as_ref(), &token);
                let profile = self.provider.map_or_else(own, |provider| provider.0);
                let (proven, dialect) = self_test::proven_schemes(anchor, profile)?;
                tracing::info!(profile = profile.name, ?proven, iv = ?dialect.iv, "the token was tried out");
                (proven, dialect)
            }
        };
        let candidates: Vec<_> =
            proven.iter().copied().filter(|scheme| self.pinned.is_none_or(|pinned| pinned == *scheme)).collect();
        let Some(&scheme) = candidates.first() else {
            tracing::error!(?proven, pinned = ?self.pinned, "no wrap scheme to use on this token");
            return Err(Refusal::NoWorkingScheme.into());
        };
        self.dialect.get_or_init(|| dialect);
        self.learnt.get_or_init(|| Capabilities {
            token: Some(token.clone()),
            schemes: proven,
            scheme: Some(scheme),
            sessions: self.sessions(info),
            ..self.unconnected.clone()
        });
        Ok(Examined { token, candidates, dialect })
    }

    /// How many sessions the workers may have, beside the anchor session and, at a new login, the next one.
    fn sessions(&self, info: &cryptoki::slot::TokenInfo) -> usize {
        let limits = [info.max_session_count(), info.max_rw_session_count()].into_iter();
        let Some(max) = limits.filter_map(|limit| if let Limit::Max(max) = limit { Some(max) } else { None }).min()
        else {
            return self.workers;
        };
        let spare = usize::try_from(max).unwrap_or(usize::MAX).saturating_sub(2).max(1);
        if spare < self.workers {
            tracing::warn!(max, workers = self.workers, "the token allows fewer sessions than `workers`");
        }
        spare.min(self.workers)
    }

    /// Root keys that worked under the login that stands, or stood last.
    fn keepsakes(&self) -> Vec<Arc<BoundRoot>> {
        let standing = self.standing.read();
        let current = standing.login.as_ref().map(|(login, _)| login.keepsakes());
        current.unwrap_or_else(|| standing.keepsakes.clone())
    }
}

/// Logs in with a PIN that was not refused before, and remembers what came of it.
fn log_in_once(
    module: &Module,
    inside: &Inside<'_>,
    slot: Slot,
    anchor: &Session,
    pin: &RawAuthPin,
    pins: &mut Pins,
) -> Result<(), Fault> {
    let logged_in = module.log_in(inside, slot, anchor, pin);
    match &logged_in {
        Ok(()) => pins.allow(),
        Err(Fault::Stop(HalError::Refused(refusal))) if pin::is_about_pin(*refusal) => pins.refuse(*refusal),
        Err(_) => {}
    }
    logged_in
}

/// Loads and initialises a module for a tool that looks at it. A module that this process has initialised before is shared.
pub(super) fn load_module(path: &Path) -> Result<Pkcs11, Fault> {
    Ok(Module::open(path)?.pkcs11().clone())
}
