//! The connection to one token: module, slot, login, and what was learnt since that login.
//!
//! Owns the only C_Login of the process for its token, the anchor session that keeps the login alive, the PIN, and the back-off
//! between attempts to connect. It never makes a key, and never calls C_Finalize.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    object::ObjectHandle,
    session::{Session, SessionState, UserType},
    slot::{Limit, Slot},
    types::RawAuthPin,
};
use parking_lot::{Mutex, RwLock};

use super::{
    recovery::Fault,
    schemes::PREFERENCE,
    self_test::{self, BoundRoot},
};
use crate::{
    Capabilities, HalError, Kcv, Outage, Refusal, RootKeyVersion, SecretBytes, SignerId, SignerKind, TokenInfo,
    WrapScheme,
};

const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const LONGEST_BACKOFF: Duration = Duration::from_secs(8);

/// Which token, and how to log in.
pub(super) struct Target {
    pub(super) module: PathBuf,
    pub(super) label: String,
    pub(super) serial: Option<String>,
    pub(super) pin: SecretBytes,
    pub(super) pinned: Option<WrapScheme>,
    pub(super) workers: usize,
}

/// The connection, shared by all workers.
pub(super) struct Link {
    target: Target,
    state: Mutex<State>,
    /// Whether `state` has a login; read without the lock on the way of every call.
    up: AtomicBool,
    /// The generation of that login.
    generation: AtomicU64,
    failure: RwLock<Option<Failure>>,
    /// The check values on record.
    pub(super) expected: Arc<Expected>,
    learnt: OnceLock<Capabilities>,
    unconnected: Capabilities,
}

/// The check values that root keys must have.
#[derive(Default)]
pub(super) struct Expected(RwLock<HashMap<RootKeyVersion, Kcv>>);

impl Expected {
    pub(super) fn get(&self, key: RootKeyVersion) -> Option<Kcv> {
        self.0.read().get(&key).copied()
    }

    pub(super) fn set(&self, key: RootKeyVersion, kcv: Kcv) {
        self.0.write().insert(key, kcv);
    }
}

#[derive(Default)]
struct State {
    module: Option<Pkcs11>,
    login: Option<Arc<Login>>,
    failures: u32,
}

/// Why the last attempt failed, and when the next is allowed; never, where an operator must act first.
struct Failure {
    error: HalError,
    retry_at: Option<Instant>,
}

/// One login and the handles found since. Handles may change with every login, so they die with it.
pub(super) struct Login {
    pub(super) generation: u64,
    pub(super) module: Pkcs11,
    pub(super) slot: Slot,
    pub(super) token: TokenInfo,
    /// Schemes to bind a root key with, best first.
    pub(super) candidates: Vec<WrapScheme>,
    pub(super) roots: RwLock<HashMap<RootKeyVersion, Arc<BoundRoot>>>,
    pub(super) signers: RwLock<HashMap<SignerId, (ObjectHandle, SignerKind)>>,
    /// Closing the last session logs the process out, so this one stays open. Nothing else uses it.
    _anchor: Mutex<Session>,
}

impl Link {
    pub(super) fn new(target: Target) -> Self {
        let unconnected = Capabilities {
            backend: "pkcs11",
            is_hsm: true,
            token: None,
            schemes: Vec::new(),
            scheme: None,
            sessions: target.workers,
        };
        Self {
            target,
            state: Mutex::default(),
            up: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            failure: RwLock::new(None),
            expected: Arc::default(),
            learnt: OnceLock::new(),
            unconnected,
        }
    }

    /// Refuses at once while the token is known to be away, so that callers neither queue nor wait.
    pub(super) fn fail_fast(&self) -> Result<(), HalError> {
        if self.up.load(Ordering::Acquire) {
            return Ok(());
        }
        match &*self.failure.read() {
            Some(Failure { error, retry_at: None }) => Err(error.clone()),
            Some(Failure { error, retry_at: Some(at) }) if Instant::now() < *at => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Whether a login of this generation is the newest and stands.
    pub(super) fn is_current(&self, generation: u64) -> bool {
        self.up.load(Ordering::Acquire) && self.generation.load(Ordering::Acquire) == generation
    }

    /// The standing login, or a new one.
    pub(super) fn login(&self) -> Result<Arc<Login>, HalError> {
        let mut state = self.state.lock();
        if let Some(login) = &state.login {
            return Ok(Arc::clone(login));
        }
        self.fail_fast()?;
        self.establish(&mut state)
    }

    /// Logs in again because something of `generation` no longer holds; does nothing where another worker has done
    /// so, or has given the token up.
    pub(super) fn renew(&self, generation: u64) -> Result<(), HalError> {
        let mut state = self.state.lock();
        if state.login.as_ref().is_some_and(|login| login.generation == generation) {
            // The old login's anchor is dropped only after the new one is open, or the process would be logged out.
            let old = state.login.take();
            self.establish(&mut state)?;
            drop(state);
            drop(old);
        }
        Ok(())
    }

    /// Gives up a login whose token failed; the next call after the back-off connects anew.
    pub(super) fn lost(&self, generation: u64, outage: Outage) {
        let mut state = self.state.lock();
        if state.login.as_ref().is_some_and(|login| login.generation == generation) {
            let old = state.login.take();
            self.failed(&mut state, &HalError::Unavailable(outage));
            drop(state);
            // Closing the anchor can block where the token hangs, so it happens outside the lock.
            drop(old);
        }
    }

    /// Records a check value. Keys bound already are bound anew, so that it holds for them too.
    pub(super) fn expect(&self, key: RootKeyVersion, kcv: Kcv) {
        self.expected.set(key, kcv);
        if let Some(login) = &self.state.lock().login {
            login.roots.write().remove(&key);
        }
    }

    /// The configured label and, where one is stated, serial number.
    pub(super) fn names(&self) -> (&str, Option<&str>) {
        (&self.target.label, self.target.serial.as_deref())
    }

    /// How many sessions the workers may have; `None` until the token was first reached.
    pub(super) fn session_limit(&self) -> Option<usize> {
        self.learnt.get().map(|learnt| learnt.sessions)
    }

    pub(super) fn capabilities(&self) -> &Capabilities {
        self.learnt.get().unwrap_or(&self.unconnected)
    }

    fn establish(&self, state: &mut State) -> Result<Arc<Login>, HalError> {
        match self.connect(state) {
            Ok(login) => {
                let login = Arc::new(login);
                state.login = Some(Arc::clone(&login));
                state.failures = 0;
                *self.failure.write() = None;
                self.generation.store(login.generation, Ordering::Release);
                self.up.store(true, Ordering::Release);
                tracing::info!(token = %login.token.label, serial = %login.token.serial, "logged in to the token");
                Ok(login)
            }
            Err(fault) => {
                let error = match fault {
                    Fault::Stop(error) => error,
                    Fault::Gone(outage) => HalError::Unavailable(outage),
                    Fault::Stale | Fault::Suspect | Fault::BadData | Fault::Unsupported => {
                        HalError::Unavailable(Outage::DeviceFailed)
                    }
                };
                self.failed(state, &error);
                Err(error)
            }
        }
    }

    fn failed(&self, state: &mut State, error: &HalError) {
        self.up.store(false, Ordering::Release);
        state.failures = state.failures.saturating_add(1);
        // Wrong PINs are counted by the token, so nothing that an operator must mend is tried again.
        let terminal = matches!(error, HalError::Refused(_));
        let retry_at = (!terminal).then(|| Instant::now() + backoff(state.failures));
        tracing::error!(%error, terminal, "no connection to the token");
        *self.failure.write() = Some(Failure { error: error.clone(), retry_at });
    }

    fn connect(&self, state: &mut State) -> Result<Login, Fault> {
        let module = match &state.module {
            Some(module) => module.clone(),
            None => state.module.insert(load_module(&self.target.module)?).clone(),
        };
        let (slot, info) = find_token(&module, &self.target.label, self.target.serial.as_deref())?;
        let anchor = module.open_rw_session(slot)?;
        // cryptoki wipes this copy on drop.
        let pin = RawAuthPin::new(Box::new(self.target.pin.expose_secret().to_vec()));
        log_in(&anchor, &pin)?;
        let token = describe(&info);
        let candidates = self.candidates(&anchor, &token, info.max_session_count())?;
        Ok(Login {
            generation: self.generation.load(Ordering::Acquire) + 1,
            module,
            slot,
            token,
            candidates,
            roots: RwLock::default(),
            signers: RwLock::default(),
            _anchor: Mutex::new(anchor),
        })
    }

    /// Finds out, once, what the token can do; afterwards repeats it.
    fn candidates(&self, anchor: &Session, token: &TokenInfo, limit: Limit) -> Result<Vec<WrapScheme>, Fault> {
        let proven = match self.learnt.get() {
            Some(learnt) => learnt.schemes.clone(),
            None => self_test::proven_schemes(anchor)?,
        };
        let candidates: Vec<_> = match self.target.pinned {
            Some(pinned) => PREFERENCE.into_iter().filter(|scheme| *scheme == pinned).collect(),
            None => proven.clone(),
        };
        let Some(&scheme) = candidates.iter().find(|scheme| proven.contains(scheme)) else {
            tracing::error!(?proven, pinned = ?self.target.pinned, "no wrap scheme to use on this token");
            return Err(Refusal::NoWorkingScheme.into());
        };
        let sessions = match limit {
            Limit::Max(max) => {
                let spare = usize::try_from(max).unwrap_or(usize::MAX).saturating_sub(1);
                if spare < self.target.workers {
                    tracing::warn!(
                        max,
                        workers = self.target.workers,
                        "the token allows fewer sessions than `workers`"
                    );
                }
                spare.min(self.target.workers)
            }
            Limit::Infinite | Limit::Unavailable => self.target.workers,
        };
        let capabilities = Capabilities {
            token: Some(token.clone()),
            schemes: proven,
            scheme: Some(scheme),
            sessions,
            ..self.unconnected.clone()
        };
        self.learnt.get_or_init(|| capabilities);
        Ok(candidates)
    }
}

impl Login {
    /// Whether this process is logged in as the user.
    pub(super) fn is_logged_in(&self, session: &Session) -> Result<bool, Fault> {
        let state = session.get_session_info()?.session_state();
        Ok(matches!(state, SessionState::RwUser | SessionState::RoUser))
    }

    /// Whether the token still describes itself as the one that was logged in to. A session's own state proves nothing:
    /// SoftHSM2 keeps answering for a token whose directory is gone.
    pub(super) fn answers(&self, session: &Session) -> bool {
        let known = self.module.get_token_info(self.slot);
        known.is_ok_and(|info| describe(&info) == self.token) && self.is_logged_in(session).unwrap_or(false)
    }

    /// Whether the token does its work: a known blob opens, where a root key is in use.
    pub(super) fn is_well(&self, session: &Session) -> bool {
        let bound = self.roots.read().values().next().cloned();
        match bound {
            Some(bound) => bound.is_alive(session),
            None => self.answers(session),
        }
    }
}

/// Loads and initialises a module. A module that this process has initialised before is shared.
pub(super) fn load_module(path: &std::path::Path) -> Result<Pkcs11, Fault> {
    let module = Pkcs11::new(path)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => {
            tracing::warn!(%error, "the PKCS#11 module cannot be initialised");
            return Err(Fault::Gone(Outage::ModuleMissing));
        }
    }
    // Modules start threads and register exit handlers that outlive a dlclose: once loaded, a module stays loaded.
    std::mem::forget(module.clone());
    Ok(module)
}

/// Logs the process in as the user.
pub(super) fn log_in(session: &Session, pin: &RawAuthPin) -> Result<(), Fault> {
    match session.login_with_raw(UserType::User, pin) {
        // The login belongs to the process, and this process is its only owner: an earlier one still stands.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The one token of that label (and serial).
pub(super) fn find_token(
    module: &Pkcs11,
    label: &str,
    serial: Option<&str>,
) -> Result<(Slot, cryptoki::slot::TokenInfo), Fault> {
    let mut found = None;
    for slot in module.get_slots_with_token()? {
        // One unreadable token (opencryptoki's time stamp) must not hide the others.
        let info = match module.get_token_info(slot) {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(slot = slot.id(), %error, "a token does not describe itself");
                continue;
            }
        };
        if info.label() == label && serial.is_none_or(|serial| info.serial_number() == serial) {
            if found.is_some() {
                return Err(Refusal::TokenAmbiguous.into());
            }
            found = Some((slot, info));
        }
    }
    let (slot, info) = found.ok_or(Fault::Gone(Outage::TokenAbsent))?;
    if info.user_pin_locked() {
        return Err(Refusal::PinLocked.into());
    }
    Ok((slot, info))
}

/// A token's own description.
pub(super) fn describe(info: &cryptoki::slot::TokenInfo) -> TokenInfo {
    let firmware = info.firmware_version();
    TokenInfo {
        label: info.label().to_owned(),
        serial: info.serial_number().to_owned(),
        model: info.model().to_owned(),
        manufacturer: info.manufacturer_id().to_owned(),
        firmware: format!("{}.{}", firmware.major(), firmware.minor()),
    }
}

/// Doubles with each failure; up to a quarter is random, so that nodes do not return to a shared token in step.
fn backoff(failures: u32) -> Duration {
    let doubled = FIRST_BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(5));
    let capped = doubled.min(LONGEST_BACKOFF);
    let [dice, ..] = uuid::Uuid::new_v4().into_bytes();
    capped + capped.mul_f32(f32::from(dice) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_grows_and_stays_bounded() {
        assert!(backoff(1) >= FIRST_BACKOFF && backoff(1) < FIRST_BACKOFF * 2);
        assert!(backoff(3) >= FIRST_BACKOFF * 4);
        assert!(backoff(u32::MAX) <= LONGEST_BACKOFF.mul_f32(1.25));
    }
}
