//! The PKCS#11 modules of this process: each is loaded once, shared by every backend that names it, and owned here alone.
//!
//! C_Initialize and C_Finalize act on all of a module's tokens and sessions, so no backend calls them past it; only
//! short-lived tools (the probe, making a token, a client's key) do, in processes without a backend. Whoever makes any other
//! call is inside the gate; a restart closes the gate and waits until everybody has left. The number of the module's era grows
//! with every restart: sessions of an earlier era are forgotten, never closed, for their handles may have been given anew.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    session::{Session, UserType},
    slot::Slot,
    types::RawAuthPin,
};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::recovery::Fault;
use crate::{HalError, Outage};

/// How long a restart waits for the calls inside to end. Calls to other tokens of the module wait as long, so it is short;
/// calls that take longer than this put the restart off.
const QUIESCE: Duration = Duration::from_millis(300);

/// Every module that was loaded. None is ever unloaded: modules start threads and register exit handlers that outlive a dlclose.
static LOADED: Mutex<Vec<Arc<Module>>> = Mutex::new(Vec::new());

/// One loaded module.
pub(super) struct Module {
    path: PathBuf,
    pkcs11: Pkcs11,
    gate: RwLock<Era>,
    /// Which slots this process logged in to, and in which era.
    logins: Mutex<HashSet<(u64, Slot)>>,
    /// How many backends are served by it now.
    serving: AtomicUsize,
}

/// The time between two restarts.
#[derive(Default)]
struct Era {
    number: u64,
    /// C_Initialize was the last thing that happened, and it worked.
    live: bool,
    /// This process's call of C_Initialize was the first. Otherwise another library lives in the module, and it stays as it is.
    ours: bool,
}

/// Leave to call the module. While it is held there is no C_Finalize.
pub(super) struct Inside<'a>(RwLockReadGuard<'a, Era>);

impl Inside<'_> {
    /// The era of every session opened under this leave.
    pub(super) fn era(&self) -> u64 {
        self.0.number
    }
}

/// Counts a backend among those that a module serves, until dropped.
pub(super) struct Served(Arc<Module>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.serving.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Module {
    /// The module behind `path`, loaded and initialised.
    pub(super) fn open(path: &Path) -> Result<Arc<Self>, Fault> {
        let module = Self::load(path)?;
        module.start()?;
        Ok(module)
    }

    fn load(path: &Path) -> Result<Arc<Self>, Fault> {
        // A bare name is looked up by the dynamic loader and cannot be made canonical.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut loaded = LOADED.lock();
        if let Some(module) = loaded.iter().find(|module| module.path == path) {
            return Ok(Arc::clone(module));
        }
        let pkcs11 = Pkcs11::new(&path).map_err(|error| {
            tracing::debug!(module = %path.display(), %error, "the PKCS#11 module cannot be loaded");
            Fault::Gone(Outage::ModuleMissing)
        })?;
        let gate = RwLock::default();
        let module = Arc::new(Self { path, pkcs11, gate, logins: Mutex::default(), serving: AtomicUsize::new(0) });
        loaded.push(Arc::clone(&module));
        Ok(module)
    }

    fn start(&self) -> Result<(), Fault> {
        if self.gate.try_read_for(QUIESCE).ok_or(late())?.live {
            return Ok(());
        }
        let mut era = self.gate.try_write_for(QUIESCE).ok_or(late())?;
        if era.live { Ok(()) } else { self.initialise(&mut era) }
    }

    /// Finalises and initialises the module anew, unless somebody did so since the era `seen`. A module that another library of
    /// this process initialised is left alone.
    ///
    /// # Errors
    /// Where a call does not leave the module in time, and where the module does not start.
    pub(super) fn restart(&self, seen: u64) -> Result<(), Fault> {
        let Some(mut era) = self.gate.try_write_for(QUIESCE) else {
            tracing::debug!(module = %self.path.display(), "calls hang inside the module, so it is not restarted");
            return Err(Fault::Gone(Outage::DeadlinePassed));
        };
        if era.number != seen && era.live {
            return Ok(());
        }
        if era.live && era.ours {
            match self.pkcs11.clone().finalize() {
                Ok(()) | Err(Error::Pkcs11(RvError::CryptokiNotInitialized, _)) => era.live = false,
                Err(error) => {
                    tracing::warn!(%error, "the PKCS#11 module does not finalise");
                    return Err(Fault::Gone(Outage::DeviceFailed));
                }
            }
        }
        self.initialise(&mut era)
    }

    fn initialise(&self, era: &mut Era) -> Result<(), Fault> {
        match self.pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) => *era = Era { number: era.number + 1, live: true, ours: true },
            // Nothing happened: another library lives there as before.
            Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) if era.live => {}
            // It came first, or came in after C_Finalize had ended our sessions and logins. Theirs may have the same handles.
            Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {
                tracing::warn!(module = %self.path.display(), "another library of this process has initialised the PKCS#11 \
                               module, which is therefore never restarted here");
                *era = Era { number: era.number + 1, live: true, ours: false };
            }
            Err(error) => {
                tracing::warn!(module = %self.path.display(), %error, "the PKCS#11 module cannot be initialised");
                era.live = false;
                return Err(Fault::Gone(Outage::ModuleMissing));
            }
        }
        self.logins.lock().retain(|(number, _)| *number == era.number);
        Ok(())
    }

    /// Asks for leave to call the module, which a restart delays; waits until `until` at most.
    pub(super) fn enter(&self, until: Instant) -> Result<Inside<'_>, Fault> {
        let era = self.gate.try_read_until(until).ok_or(late())?;
        if era.live { Ok(Inside(era)) } else { Err(Fault::Gone(Outage::ModuleMissing)) }
    }

    /// The module's functions. Whoever calls one is [`Inside`].
    pub(super) fn pkcs11(&self) -> &Pkcs11 {
        &self.pkcs11
    }

    /// Opens a session; see [`close`](Self::close).
    pub(super) fn session(&self, slot: Slot) -> Result<Session, Fault> {
        Ok(self.pkcs11.open_rw_session_no_drop(slot)?)
    }

    /// Closes a session of this era and forgets one of another. The caller is not [`Inside`].
    pub(super) fn close(&self, session: Session, era: u64) {
        // A restart that takes longer ends every session by itself.
        if let Some(now) = self.gate.try_read_for(QUIESCE * 2)
            && now.live
            && now.number == era
            && let Err(error) = session.close()
        {
            tracing::debug!(%error, "a session did not close");
        }
    }

    /// Logs the process in as the user of a token. An earlier login counts only where this process made it: another's would
    /// prove nothing about the PIN.
    pub(super) fn log_in(
        &self,
        inside: &Inside<'_>,
        slot: Slot,
        session: &Session,
        pin: &RawAuthPin,
    ) -> Result<(), Fault> {
        let login = (inside.era(), slot);
        match session.login_with_raw(UserType::User, pin) {
            Ok(()) => {
                self.logins.lock().insert(login);
                Ok(())
            }
            Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) if self.logins.lock().contains(&login) => Ok(()),
            Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                tracing::warn!("another library of this process is logged in to the token, which proves nothing");
                Err(Fault::Gone(Outage::DeviceFailed))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Counts one more backend as served.
    pub(super) fn serve(self: &Arc<Self>) -> Served {
        self.serving.fetch_add(1, Ordering::Relaxed);
        Served(Arc::clone(self))
    }

    /// Whether a restart would interrupt a backend that is served well.
    pub(super) fn serves_any(&self) -> bool {
        self.serving.load(Ordering::Relaxed) > 0
    }
}

fn late() -> Fault {
    Fault::Stop(HalError::Unavailable(Outage::DeadlinePassed))
}

#[cfg(test)]
mod tests {
    use pkcs11_fixtures::{PrivateModule, shim::Function};

    use super::*;

    fn era(module: &Module) -> u64 {
        module.enter(Instant::now() + Duration::from_secs(60)).map_or(0, |inside| inside.era())
    }

    #[test]
    fn sessions_end_with_c_finalize_whoever_comes_in_next() {
        let Some(private) = PrivateModule::new("eras") else { return };
        let module = Module::open(&private.module_path()).unwrap();
        let finalized = || private.control().calls().unwrap().get(&Function::C_Finalize).copied().unwrap_or_default();
        assert_eq!(era(&module), 1);
        module.restart(0).unwrap();
        assert_eq!((era(&module), finalized()), (1, 0), "somebody did so since");
        module.restart(1).unwrap();
        assert_eq!((era(&module), finalized()), (2, 1));
        // Another library initialises it before this one does.
        private.control().tell("fail C_Initialize CKR_CRYPTOKI_ALREADY_INITIALIZED done count 1").unwrap();
        module.restart(2).unwrap();
        assert_eq!((era(&module), finalized()), (3, 2));
        // Nothing is done to the other's sessions, nor to ours beside them.
        module.restart(3).unwrap();
        assert_eq!((era(&module), finalized()), (3, 2));
        // It leaves, so the next start is ours, and so is the end after it.
        module.pkcs11.clone().finalize().unwrap();
        module.restart(3).unwrap();
        assert_eq!((era(&module), finalized()), (4, 3));
        module.restart(4).unwrap();
        assert_eq!((era(&module), finalized()), (5, 4));
    }
}
