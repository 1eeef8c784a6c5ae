//! Which fault hits which call: the rules, and the state of link and tokens. Pure: no time passes here and nothing is called.

use std::{collections::HashSet, time::Duration};

use cryptoki_sys::{CK_RV, CK_SESSION_HANDLE};

use crate::{
    codes::{self, Code},
    forward::Function,
    grammar::{Command, Fault, Rule, Scope},
};

/// The faults that are set.
#[derive(Default)]
pub(crate) struct Faults {
    rules: Vec<Armed>,
    removed: Vec<Removed>,
    wrong_serials: Vec<(Scope, String)>,
    wrong_pins: Vec<Scope>,
    random: Option<Random>,
    /// Sessions that were closed behind the application's back.
    lost: HashSet<CK_SESSION_HANDLE>,
    link: Link,
    /// Whether the device cannot be reached, so that the next C_Initialize finds nothing.
    down: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Link {
    #[default]
    Up,
    Broken,
    /// C_Initialize found the device away: it works, and there are no slots.
    Empty,
}

struct Armed {
    rule: Rule,
    seen: u64,
    hits: u64,
}

struct Removed {
    scope: Scope,
    sticky: bool,
    /// It is back, and being sticky fails until the next C_Initialize.
    back: bool,
}

/// What a call is about, as far as rules can ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subject {
    pub(crate) session: Option<CK_SESSION_HANDLE>,
    /// Whether it names a slot or a session.
    pub(crate) on_token: bool,
    /// The label of the token, where it is known.
    pub(crate) label: Option<String>,
}

/// What to do with a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// A jitter is part of it already.
    pub(crate) delay: Duration,
    pub(crate) hang: Option<Hang>,
    pub(crate) fail: Option<Failure>,
    pub(crate) corrupt: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Failure {
    pub(crate) code: CK_RV,
    /// Whether the module below is called all the same.
    pub(crate) done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hang(pub(crate) Option<Duration>);

impl Faults {
    /// Whether any call could be hit.
    pub(crate) fn any(&self) -> bool {
        !self.rules.is_empty()
            || !self.removed.is_empty()
            || !self.wrong_serials.is_empty()
            || !self.wrong_pins.is_empty()
            || self.random.is_some()
            || !self.lost.is_empty()
            || self.link != Link::Up
            || self.down
    }

    /// Whether some fault is for the token of one label.
    pub(crate) fn scoped(&self) -> bool {
        self.rules.iter().any(|armed| armed.rule.scope.is_some())
            || self.removed.iter().any(|removed| removed.scope.is_some())
            || self.wrong_serials.iter().any(|(scope, _)| scope.is_some())
            || self.wrong_pins.iter().any(Option::is_some)
    }

    /// Takes a command that does no more than change this table.
    pub(crate) fn set(&mut self, command: &Command) {
        match command {
            Command::Rule(rule) => {
                let same = |armed: &Armed| {
                    armed.rule.scope == rule.scope
                        && armed.rule.function == rule.function
                        && std::mem::discriminant(&armed.rule.fault) == std::mem::discriminant(&rule.fault)
                };
                self.rules.retain(|armed| !same(armed));
                self.rules.push(Armed { rule: rule.clone(), seen: 0, hits: 0 });
            }
            Command::Release => self.rules.retain(|armed| !matches!(armed.rule.fault, Fault::Hang(_))),
            Command::RemoveToken { scope, sticky } => {
                self.removed.push(Removed { scope: scope.clone(), sticky: *sticky, back: false });
            }
            Command::RestoreToken(scope) => self.restore(scope),
            Command::BreakLink { down } => (self.link, self.down) = (Link::Broken, *down),
            Command::RestoreLink => self.down = false,
            Command::WrongToken { scope, serial } => {
                self.wrong_serials.retain(|(other, _)| other != scope);
                self.wrong_serials.push((scope.clone(), serial.clone()));
            }
            Command::WrongPin(scope) => self.wrong_pins.push(scope.clone()),
            Command::RandomFaults { seed, rate } => {
                self.random = (*rate > 0.0).then_some(Random { state: *seed, rate: *rate });
            }
            Command::Pass => *self = Self::default(),
            Command::LoseSessions(_) | Command::LogOut(_) | Command::Calls | Command::ResetCalls => {}
        }
    }

    fn restore(&mut self, scope: &Scope) {
        let meant = |removed: &Removed| scope.is_none() || removed.scope == *scope;
        self.removed.retain(|removed| !meant(removed) || removed.sticky);
        self.removed.iter_mut().filter(|removed| meant(removed)).for_each(|removed| removed.back = true);
    }

    /// Sessions are closed behind the application's back; those that were already are not among those returned.
    pub(crate) fn lose(&mut self, sessions: impl IntoIterator<Item = CK_SESSION_HANDLE>) -> Vec<CK_SESSION_HANDLE> {
        sessions.into_iter().filter(|session| self.lost.insert(*session)).collect()
    }

    /// The module below gave a handle out again.
    pub(crate) fn found(&mut self, session: CK_SESSION_HANDLE) {
        self.lost.remove(&session);
    }

    /// C_Initialize succeeded.
    pub(crate) fn initialised(&mut self) {
        self.link = if self.down { Link::Empty } else { Link::Up };
        self.removed.retain(|removed| !removed.back);
        self.lost.clear();
    }

    /// Whether the application sees no slot at all.
    pub(crate) fn no_slots(&self) -> bool {
        self.link == Link::Empty
    }

    /// Whether the token of that label is out of its slot.
    pub(crate) fn is_removed(&self, label: Option<&str>) -> bool {
        self.removed.iter().any(|removed| covers(&removed.scope, label))
    }

    /// The serial number to report for the token of that label.
    pub(crate) fn serial(&self, label: Option<&str>) -> Option<&str> {
        self.wrong_serials.iter().find(|(scope, _)| covers(scope, label)).map(|(_, serial)| serial.as_str())
    }

    /// What the state of link, token and session makes of a call, whatever the rules say.
    pub(crate) fn state(&self, function: Function, subject: &Subject) -> Option<CK_RV> {
        if matches!(function, Function::C_Initialize | Function::C_Finalize | Function::C_GetFunctionList) {
            return None;
        }
        let in_session = subject.session.is_some();
        let answer = |session: Code, slot: Code| Some(if in_session { session.0 } else { slot.0 });
        match self.link {
            Link::Broken => return Some(codes::CKR_DEVICE_ERROR.0),
            Link::Empty if subject.on_token => {
                return answer(codes::CKR_SESSION_HANDLE_INVALID, codes::CKR_SLOT_ID_INVALID);
            }
            Link::Empty | Link::Up => {}
        }
        // C_GetSlotInfo works without a token, and says that there is none.
        if subject.on_token && function != Function::C_GetSlotInfo && self.is_removed(subject.label.as_deref()) {
            return answer(codes::CKR_DEVICE_REMOVED, codes::CKR_TOKEN_NOT_PRESENT);
        }
        let is_lost = subject.session.is_some_and(|session| self.lost.contains(&session));
        is_lost.then_some(codes::CKR_SESSION_HANDLE_INVALID.0)
    }

    /// What to do with a call. Counts it.
    pub(crate) fn verdict(&mut self, function: Function, subject: &Subject, chance: &mut Chance) -> Verdict {
        let mut verdict = Verdict::default();
        if function == Function::C_GetFunctionList {
            return verdict;
        }
        if let Some(code) = self.state(function, subject) {
            verdict.fail = Some(Failure { code, done: false });
            return verdict;
        }
        let label = subject.label.as_deref();
        for armed in &mut self.rules {
            let meant = armed.rule.function.is_none_or(|meant| meant == function);
            if !meant || !covers(&armed.rule.scope, label) || !armed.hits_now() {
                continue;
            }
            match &armed.rule.fault {
                Fault::Latency { base, jitter } => verdict.delay += chance.around(*base, *jitter),
                Fault::Hang(time) => verdict.hang = Some(Hang(*time)),
                Fault::Fail { code, done } => verdict.fail = Some(Failure { code: code.0, done: *done }),
                Fault::Corrupt => verdict.corrupt = true,
            }
        }
        self.rules.retain(|armed| !armed.is_over());
        if function == Function::C_Login && self.wrong_pins.iter().any(|scope| covers(scope, label)) {
            verdict.fail = Some(Failure { code: codes::CKR_PIN_INCORRECT.0, done: false });
        }
        if verdict.fail.is_none() {
            verdict.fail = self.random.as_mut().and_then(|random| random.fault(function, subject));
        }
        verdict
    }
}

/// Whether a fault of that scope is for the token of that label. What has no label has no fault of one token.
fn covers(scope: &Scope, label: Option<&str>) -> bool {
    scope.as_deref().is_none_or(|scope| label == Some(scope))
}

impl Armed {
    fn hits_now(&mut self) -> bool {
        if self.is_over() {
            return false;
        }
        let index = self.seen.checked_sub(self.rule.when.after);
        self.seen += 1;
        let every = self.rule.when.every.max(1);
        // After `after` calls, the first hit of `every k` is the k-th.
        let hits = index.is_some_and(|index| (index + 1).is_multiple_of(every));
        self.hits += u64::from(hits);
        hits
    }

    fn is_over(&self) -> bool {
        self.rule.when.count.is_some_and(|count| self.hits >= count)
    }
}

/// Numbers that look random, and are the same for the same seed (SplitMix64).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1, without 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn around(&mut self, base: Duration, jitter: Duration) -> Duration {
        if jitter.is_zero() {
            return base;
        }
        (base + jitter.mul_f64(2.0 * self.fraction())).saturating_sub(jitter)
    }
}

struct Random {
    state: u64,
    rate: f64,
}

impl Random {
    fn fault(&mut self, function: Function, subject: &Subject) -> Option<Failure> {
        let spared = [
            Function::C_Initialize,
            Function::C_Finalize,
            Function::C_GetInfo,
            Function::C_CloseSession,
            Function::C_CloseAllSessions,
        ];
        if spared.contains(&function) {
            return None;
        }
        let mut chance = Chance(self.state);
        let hit = chance.fraction() < self.rate;
        let (choice, done) = (chance.next(), chance.next() & 1 == 1);
        // Sessions that nobody knows of would pile up.
        let done = done && function != Function::C_OpenSession;
        self.state = chance.0;
        let codes = match (subject.session, subject.on_token) {
            (Some(_), _) => TRANSIENT,
            (None, true) => TRANSIENT_OF_SLOTS,
            (None, false) => TRANSIENT_OF_THE_LIBRARY,
        };
        let index = choice.checked_rem(codes.len() as u64).and_then(|index| usize::try_from(index).ok())?;
        codes.get(index).filter(|_| hit).map(|code| Failure { code: code.0, done })
    }
}

const TRANSIENT: &[Code] = &[
    codes::CKR_DEVICE_ERROR,
    codes::CKR_DEVICE_MEMORY,
    codes::CKR_DEVICE_REMOVED,
    codes::CKR_FUNCTION_FAILED,
    codes::CKR_GENERAL_ERROR,
    codes::CKR_SESSION_CLOSED,
    codes::CKR_SESSION_HANDLE_INVALID,
    codes::CKR_TOKEN_NOT_PRESENT,
    codes::CKR_USER_NOT_LOGGED_IN,
];
const TRANSIENT_OF_SLOTS: &[Code] = &[
    codes::CKR_DEVICE_ERROR,
    codes::CKR_DEVICE_REMOVED,
    codes::CKR_FUNCTION_FAILED,
    codes::CKR_GENERAL_ERROR,
    codes::CKR_TOKEN_NOT_PRESENT,
];
const TRANSIENT_OF_THE_LIBRARY: &[Code] =
    &[codes::CKR_DEVICE_ERROR, codes::CKR_FUNCTION_FAILED, codes::CKR_GENERAL_ERROR];

#[cfg(test)]
mod tests;
