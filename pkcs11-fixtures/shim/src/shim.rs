//! The one shim of this library: the module below, its sessions, and the way of each call.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cryptoki_sys::{
    CK_FUNCTION_LIST, CK_RV, CK_SESSION_HANDLE, CK_SLOT_ID, CKR_BUFFER_TOO_SMALL, CKR_CRYPTOKI_NOT_INITIALIZED,
    CKR_GENERAL_ERROR, CKR_OK, CKR_SESSION_HANDLE_INVALID,
};
use parking_lot::{Condvar, Mutex};

use crate::{
    faults::{Chance, Faults, Hang, Subject, Verdict},
    forward::{self, Function},
    grammar::{Command, Scope},
    operations, special,
    watched::WatchedFile,
};

/// Set in [`Shim::attention`] while some fault is set.
const FAULTS: usize = 1;
/// Set where commands come from a file, which may have changed.
const FILE: usize = 2;
/// Set while nobody may enter the module below.
const CLOSED: usize = 4;

/// How long to wait for the calls that are in the module below.
const PATIENCE: Duration = Duration::from_secs(10);

static SHIM: OnceLock<Shim> = OnceLock::new();

/// What a call names.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    Library,
    Slot(CK_SLOT_ID),
    Session(CK_SESSION_HANDLE),
}

pub(crate) struct Shim {
    real: CK_FUNCTION_LIST,
    list: CK_FUNCTION_LIST,
    /// What C_Initialize is to give to the module below as pReserved.
    init_args: Option<std::ffi::CString>,
    /// Zero where a call may go straight on: the one thing that every call looks at.
    attention: AtomicUsize,
    /// Held by who keeps everybody out of the module below.
    gate: Mutex<()>,
    /// Calls that are in the module below now.
    inside: AtomicUsize,
    calls: Vec<AtomicU64>,
    faults: Mutex<Faults>,
    file: Option<Mutex<WatchedFile>>,
    sessions: Mutex<HashMap<CK_SESSION_HANDLE, CK_SLOT_ID>>,
    labels: Mutex<HashMap<CK_SLOT_ID, Option<String>>>,
    /// Counts C_Finalize: a call that hung over one must not reach the module below with a handle of before.
    epoch: AtomicU64,
    /// Counts releases of hanging calls.
    releases: Mutex<u64>,
    released: Condvar,
    chance: Mutex<Chance>,
}

impl Shim {
    pub(crate) fn new(real: CK_FUNCTION_LIST, init_args: Option<std::ffi::CString>, file: Option<WatchedFile>) -> Self {
        Self {
            real,
            list: forward::list(&real),
            init_args,
            attention: AtomicUsize::new(if file.is_some() { FILE } else { 0 }),
            gate: Mutex::new(()),
            inside: AtomicUsize::new(0),
            calls: Function::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            faults: Mutex::default(),
            file: file.map(Mutex::new),
            sessions: Mutex::default(),
            labels: Mutex::default(),
            epoch: AtomicU64::new(0),
            releases: Mutex::new(0),
            released: Condvar::new(),
            chance: Mutex::new(Chance(u64::from(std::process::id()))),
        }
    }

    /// Puts this shim in its place. Only the first one stays.
    pub(crate) fn install(self) -> &'static Self {
        SHIM.get_or_init(|| self)
    }

    pub(crate) fn installed() -> Option<&'static Self> {
        SHIM.get()
    }

    /// The way of every call of the application. `below` calls the module below, `corrupt` spoils what it wrote.
    pub(crate) fn call(
        function: Function,
        target: Target,
        below: impl FnOnce(&'static Self) -> CK_RV,
        corrupt: impl FnOnce(),
    ) -> CK_RV {
        // A panic must not unwind into C.
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let Some(shim) = SHIM.get() else { return CKR_GENERAL_ERROR };
            if let Some(calls) = shim.calls.get(function as usize) {
                calls.fetch_add(1, Ordering::Relaxed);
            }
            shim.inside.fetch_add(1, Ordering::SeqCst);
            let inside = Inside(&shim.inside);
            if shim.attention.load(Ordering::SeqCst) == 0 {
                return below(shim);
            }
            drop(inside);
            shim.call_with_faults(function, target, below, corrupt)
        }));
        answer.unwrap_or(CKR_GENERAL_ERROR)
    }

    fn call_with_faults(
        &'static self,
        function: Function,
        target: Target,
        below: impl FnOnce(&'static Self) -> CK_RV,
        corrupt: impl FnOnce(),
    ) -> CK_RV {
        self.read_file();
        let epoch = self.epoch.load(Ordering::SeqCst);
        let subject = self.subject(target);
        let verdict = {
            let mut faults = self.faults.lock();
            let verdict = faults.verdict(function, &subject, &mut self.chance.lock());
            self.set_attention(&faults);
            verdict
        };
        let Verdict { delay, hang, fail, corrupt: spoil } = verdict;
        let waited = !delay.is_zero() || hang.is_some();
        if !delay.is_zero() {
            thread::sleep(delay);
        }
        if let Some(Hang(time)) = hang {
            self.hang(time);
        }
        // A module that is finalised while a call is in it answers that call somehow; it must not see old handles.
        if waited && epoch != self.epoch.load(Ordering::SeqCst) {
            return if subject.session.is_some() { CKR_SESSION_HANDLE_INVALID } else { CKR_CRYPTOKI_NOT_INITIALIZED };
        }
        // The world may have changed meanwhile.
        if waited && let Some(code) = self.faults.lock().state(function, &subject) {
            return code;
        }
        if let Some(failure) = fail {
            let _inside = self.enter();
            if failure.done {
                below(self);
            }
            // Where a call fails for real, the operation is over; not where only the caller's buffer was too small.
            if let Target::Session(session) = target
                && !matches!(failure.code, CKR_OK | CKR_BUFFER_TOO_SMALL)
            {
                operations::end(&self.real, function, session);
            }
            return failure.code;
        }
        let inside = self.enter();
        let answer = below(self);
        drop(inside);
        if spoil && answer == CKR_OK {
            corrupt();
        }
        answer
    }

    pub(crate) fn real(&self) -> &CK_FUNCTION_LIST {
        &self.real
    }

    pub(crate) fn list(&'static self) -> &'static CK_FUNCTION_LIST {
        &self.list
    }

    pub(crate) fn init_args(&self) -> Option<&std::ffi::CStr> {
        self.init_args.as_deref()
    }

    /// Waits until the module below may be entered, and enters.
    fn enter(&self) -> Inside<'_> {
        loop {
            self.inside.fetch_add(1, Ordering::SeqCst);
            let inside = Inside(&self.inside);
            if self.attention.load(Ordering::SeqCst) & CLOSED == 0 {
                return inside;
            }
            drop(inside);
            thread::yield_now();
        }
    }

    /// Does something while no call is in the module below. False where one would not leave it.
    fn alone(&self, act: impl FnOnce()) -> bool {
        let _one_at_a_time = self.gate.lock();
        self.attention.fetch_or(CLOSED, Ordering::SeqCst);
        let start = Instant::now();
        // One look that finds nobody is enough: who comes later counts itself for a moment, sees the gate and turns back.
        let alone = loop {
            if self.inside.load(Ordering::SeqCst) == 0 {
                break true;
            }
            if start.elapsed() > PATIENCE {
                break false;
            }
            thread::yield_now();
        };
        if alone {
            act();
        }
        self.attention.fetch_and(!CLOSED, Ordering::SeqCst);
        alone
    }

    fn hang(&self, time: Option<Duration>) {
        let end = time.map(|time| Instant::now() + time);
        let mut releases = self.releases.lock();
        let before = *releases;
        while *releases == before {
            match end {
                Some(end) if self.released.wait_until(&mut releases, end).timed_out() => return,
                Some(_) => {}
                None => self.released.wait(&mut releases),
            }
        }
    }

    fn set_attention(&self, faults: &Faults) {
        if faults.any() {
            self.attention.fetch_or(FAULTS, Ordering::SeqCst);
        } else {
            self.attention.fetch_and(!FAULTS, Ordering::SeqCst);
        }
    }

    fn read_file(&self) {
        let Some(file) = &self.file else { return };
        let Some(lines) = file.lock().changed() else { return };
        let commands = std::iter::once(Ok(Command::Pass)).chain(lines.iter().map(|line| line.parse::<Command>()));
        for command in commands {
            let done = command.map_err(|error| error.to_string()).and_then(|command| self.command(&command));
            if let Err(error) = done {
                eprintln!("pkcs11-shim: {error}");
            }
        }
    }

    fn subject(&self, target: Target) -> Subject {
        let (session, slot) = match target {
            Target::Library => return Subject::default(),
            Target::Slot(slot) => (None, Some(slot)),
            Target::Session(session) => (Some(session), None),
        };
        let slot = slot.or_else(|| session.and_then(|session| self.sessions.lock().get(&session).copied()));
        let label = slot.and_then(|slot| self.label_if_scoped(slot));
        Subject { session, on_token: true, label }
    }

    /// The label of the token in a slot, asked for once.
    pub(crate) fn label(&self, slot: CK_SLOT_ID) -> Option<String> {
        let known = self.labels.lock().get(&slot).cloned();
        known.unwrap_or_else(|| {
            let label = special::label(self, slot);
            self.labels.lock().insert(slot, label.clone());
            label
        })
    }

    /// The same where some fault asks for it. The module below is not called with a lock held.
    fn label_if_scoped(&self, slot: CK_SLOT_ID) -> Option<String> {
        let scoped = self.faults.lock().scoped();
        if scoped { self.label(slot) } else { None }
    }

    /// Does what a command asks for; the answer where it asks for one.
    pub(crate) fn command(&self, command: &Command) -> Result<Option<String>, String> {
        match command {
            Command::Calls => return Ok(Some(self.counts())),
            Command::ResetCalls => self.calls.iter().for_each(|calls| calls.store(0, Ordering::Relaxed)),
            Command::LoseSessions(scope) => self.lose_sessions(scope)?,
            Command::LogOut(scope) => self.log_out(scope),
            other => {
                let mut faults = self.faults.lock();
                faults.set(other);
                self.set_attention(&faults);
                drop(faults);
                match other {
                    // No session outlives its token.
                    Command::RemoveToken { scope, .. } => self.lose_sessions(scope)?,
                    Command::Release | Command::Pass => {
                        *self.releases.lock() += 1;
                        self.released.notify_all();
                    }
                    _ => {}
                }
            }
        }
        Ok(None)
    }

    fn counts(&self) -> String {
        let counts = Function::ALL.iter().zip(&self.calls);
        let counts = counts.map(|(function, calls)| (function, calls.load(Ordering::Relaxed)));
        let counts: Vec<_> =
            counts.filter(|(_, calls)| *calls > 0).map(|(function, calls)| format!("\"{function}\":{calls}")).collect();
        format!("{{{}}}", counts.join(","))
    }

    fn lose_sessions(&self, scope: &Scope) -> Result<(), String> {
        let open: Vec<_> = self.sessions.lock().iter().map(|(session, slot)| (*session, *slot)).collect();
        let meant = |slot| scope.is_none() || self.label(slot) == *scope;
        let meant: Vec<_> = open.into_iter().filter(|(_, slot)| meant(*slot)).map(|(session, _)| session).collect();
        let mut faults = self.faults.lock();
        let meant = faults.lose(meant);
        self.set_attention(&faults);
        drop(faults);
        let close = || {
            for session in &meant {
                special::close(self, *session);
            }
        };
        if self.alone(close) { Ok(()) } else { Err("a call does not leave the module below".to_owned()) }
    }

    fn log_out(&self, scope: &Scope) {
        let mut slots: Vec<_> = self.sessions.lock().values().copied().collect();
        slots.sort_unstable();
        slots.dedup();
        let meant = |slot: &CK_SLOT_ID| scope.is_none() || self.label(*slot) == *scope;
        slots.into_iter().filter(meant).for_each(|slot| special::log_out(self, slot));
    }

    // What the special functions report.

    pub(crate) fn initialised(&self) {
        self.labels.lock().clear();
        self.sessions.lock().clear();
        let mut faults = self.faults.lock();
        faults.initialised();
        self.set_attention(&faults);
    }

    pub(crate) fn finalising(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn token_changed(&self, slot: CK_SLOT_ID) {
        self.labels.lock().remove(&slot);
    }

    pub(crate) fn opened(&self, session: CK_SESSION_HANDLE, slot: CK_SLOT_ID) {
        self.sessions.lock().insert(session, slot);
        if self.attention.load(Ordering::SeqCst) != 0 {
            let mut faults = self.faults.lock();
            faults.found(session);
            self.set_attention(&faults);
        }
    }

    pub(crate) fn closed(&self, session: CK_SESSION_HANDLE) {
        self.sessions.lock().remove(&session);
    }

    pub(crate) fn all_closed(&self, slot: CK_SLOT_ID) {
        self.sessions.lock().retain(|_, other| *other != slot);
    }

    pub(crate) fn no_slots(&self) -> bool {
        self.attention.load(Ordering::SeqCst) != 0 && self.faults.lock().no_slots()
    }

    pub(crate) fn is_removed(&self, slot: CK_SLOT_ID) -> bool {
        if self.attention.load(Ordering::SeqCst) == 0 {
            return false;
        }
        let label = self.label_if_scoped(slot);
        self.faults.lock().is_removed(label.as_deref())
    }

    pub(crate) fn serial(&self, slot: CK_SLOT_ID) -> Option<String> {
        if self.attention.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let label = self.label_if_scoped(slot);
        self.faults.lock().serial(label.as_deref()).map(str::to_owned)
    }
}

/// A call that is in the module below.
struct Inside<'a>(&'a AtomicUsize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
