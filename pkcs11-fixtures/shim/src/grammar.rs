//! The commands, as text and as types: what is one line on the control socket is one [`Command`] here. docs/shim.md is the
//! reference for users.

use std::{fmt, str::FromStr, time::Duration};

use crate::{codes::Code, forward::Function};

mod words;

use words::{Words, duration, shown, shown_duration};

/// One command to a shim.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Adds a rule, or replaces the one of the same kind, function and token.
    Rule(Rule),
    /// Lets every hanging call go on and forgets the rules that made them hang.
    Release,
    /// Every session that is open now is closed, and its handle answers CKR_SESSION_HANDLE_INVALID.
    LoseSessions(Scope),
    /// Logs out whoever is logged in, as another application can.
    LogOut(Scope),
    /// Pulls the token out of its slot.
    RemoveToken {
        /// Which token.
        scope: Scope,
        /// Whether it keeps failing after it was put back, until C_Finalize and C_Initialize.
        sticky: bool,
    },
    /// Puts the token back.
    RestoreToken(Scope),
    /// Every call answers CKR_DEVICE_ERROR until C_Finalize and C_Initialize.
    BreakLink {
        /// Whether the device stays away after that: C_Initialize works, and finds no slot, until [`Command::RestoreLink`].
        down: bool,
    },
    /// The device can be reached again, after the next C_Finalize and C_Initialize.
    RestoreLink,
    /// C_GetTokenInfo reports another serial number, of at most 16 ASCII characters.
    WrongToken {
        /// Which token.
        scope: Scope,
        /// The serial number to report.
        serial: String,
    },
    /// C_Login answers CKR_PIN_INCORRECT.
    WrongPin(Scope),
    /// Each call fails with the given probability, with one of the codes that a later try may not meet.
    RandomFaults {
        /// The same seed gives the same faults for the same sequence of calls.
        seed: u64,
        /// The probability, from 0 to 1.
        rate: f64,
    },
    /// Forgets every fault.
    Pass,
    /// Asks how often each function was called: the answer is a JSON object.
    Calls,
    /// Sets those counts to 0.
    ResetCalls,
}

/// The token that a command is about, by label; all of them where `None`.
pub type Scope = Option<String>;

/// A fault of the calls of one function, or of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The token whose calls are meant.
    pub scope: Scope,
    /// The function; every one where `None`.
    pub function: Option<Function>,
    /// What happens to its calls.
    pub fault: Fault,
    /// To which of them.
    pub when: When,
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It takes longer, by `base` give or take up to `jitter`.
    Latency {
        /// The delay.
        base: Duration,
        /// How far it is off at most, either way.
        jitter: Duration,
    },
    /// It fails.
    Fail {
        /// What it answers.
        code: Code,
        /// Whether the module below does what was asked before the answer is replaced, as if the answer was lost on its way.
        done: bool,
    },
    /// It hangs for that long, or until [`Command::Release`], and then goes on.
    Hang(Option<Duration>),
    /// It works, and one bit of its output is flipped.
    Corrupt,
}

/// Which of the matching calls a rule is for. The default is every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct When {
    /// That many calls pass before the rule starts.
    pub after: u64,
    /// From then on only every so-many-th call is hit; 0 and 1 are every call.
    pub every: u64,
    /// After so many hits the rule is over.
    pub count: Option<u64>,
}

/// A line that is no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError(pub(crate) String);

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SyntaxError {}

impl FromStr for Command {
    type Err = SyntaxError;

    fn from_str(line: &str) -> Result<Self, SyntaxError> {
        let mut words = Words::of(line)?;
        let mut scope = None;
        let mut verb = words.next("a command")?;
        if verb == "token" {
            scope = Some(words.next("a token's label")?);
            verb = words.next("a command")?;
        }
        let scoped = scope.is_some();
        let (command, takes_scope) = match verb.as_str() {
            "latency" | "fail" | "hang" | "corrupt" => (Self::Rule(rule(scope, &verb, &mut words)?), true),
            "release" => (Self::Release, false),
            "lose-sessions" => (Self::LoseSessions(scope), true),
            "log-out" => (Self::LogOut(scope), true),
            "remove-token" => (Self::RemoveToken { scope, sticky: words.take("--sticky") }, true),
            "restore-token" => (Self::RestoreToken(scope), true),
            "break-link" => (Self::BreakLink { down: words.take("--down") }, false),
            "restore-link" => (Self::RestoreLink, false),
            "wrong-token" => (Self::WrongToken { scope, serial: serial(&mut words)? }, true),
            "wrong-pin" => (Self::WrongPin(scope), true),
            "random-faults" => (random(&mut words)?, false),
            "pass" => (Self::Pass, false),
            "calls" if words.take("reset") => (Self::ResetCalls, false),
            "calls" => (Self::Calls, false),
            _ => return Err(SyntaxError(format!("unknown command: {verb}"))),
        };
        words.end()?;
        if scoped && !takes_scope {
            return Err(SyntaxError(format!("{verb} is not about one token")));
        }
        Ok(command)
    }
}

fn rule(scope: Scope, verb: &str, words: &mut Words) -> Result<Rule, SyntaxError> {
    let name = words.next("a function, or *")?;
    let function: Option<Function> = match name.as_str() {
        "*" => None,
        name => Some(name.parse()?),
    };
    let fault = match verb {
        "latency" => {
            let base = duration(&words.next("a duration")?)?;
            let jitter = if words.take("jitter") { duration(&words.next("a duration")?)? } else { Duration::ZERO };
            Fault::Latency { base, jitter }
        }
        "fail" => Fault::Fail { code: words.next("a CKR_ code")?.parse()?, done: words.take("done") },
        "hang" => Fault::Hang(words.optional(duration)),
        _ => match function {
            Some(function) if !function.writes_bytes() => {
                return Err(SyntaxError(format!("{function} has no output of bytes")));
            }
            _ => Fault::Corrupt,
        },
    };
    let mut when = When::default();
    if words.take("after") {
        when.after = words.number()?;
    }
    if words.take("every") {
        when.every = words.number()?;
    }
    if words.take("count") {
        when.count = Some(words.number()?);
    }
    Ok(Rule { scope, function, fault, when })
}

fn serial(words: &mut Words) -> Result<String, SyntaxError> {
    let serial = words.next("a serial number")?;
    if serial.len() > 16 || !serial.is_ascii() {
        return Err(SyntaxError("a serial number has at most 16 ASCII characters".to_owned()));
    }
    Ok(serial)
}

fn random(words: &mut Words) -> Result<Command, SyntaxError> {
    let seed = words.number()?;
    let word = words.next("a probability")?;
    match word.parse() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(Command::RandomFaults { seed, rate }),
        _ => Err(SyntaxError(format!("no probability from 0 to 1: {word}"))),
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => rule.fmt(f),
            Self::Release => f.write_str("release"),
            Self::LoseSessions(scope) => write!(f, "{}lose-sessions", prefix(scope)),
            Self::LogOut(scope) => write!(f, "{}log-out", prefix(scope)),
            Self::RemoveToken { scope, sticky } => {
                write!(f, "{}remove-token{}", prefix(scope), if *sticky { " --sticky" } else { "" })
            }
            Self::RestoreToken(scope) => write!(f, "{}restore-token", prefix(scope)),
            Self::BreakLink { down } => write!(f, "break-link{}", if *down { " --down" } else { "" }),
            Self::RestoreLink => f.write_str("restore-link"),
            Self::WrongToken { scope, serial } => write!(f, "{}wrong-token {}", prefix(scope), shown(serial)),
            Self::WrongPin(scope) => write!(f, "{}wrong-pin", prefix(scope)),
            Self::RandomFaults { seed, rate } => write!(f, "random-faults {seed} {rate}"),
            Self::Pass => f.write_str("pass"),
            Self::Calls => f.write_str("calls"),
            Self::ResetCalls => f.write_str("calls reset"),
        }
    }
}

fn prefix(scope: &Scope) -> String {
    scope.as_ref().map_or_else(String::new, |label| format!("token {} ", shown(label)))
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let function = self.function.map_or("*", Function::name);
        f.write_str(&prefix(&self.scope))?;
        match &self.fault {
            Fault::Latency { base, jitter } => {
                write!(f, "latency {function} {}", shown_duration(*base))?;
                if !jitter.is_zero() {
                    write!(f, " jitter {}", shown_duration(*jitter))?;
                }
            }
            Fault::Fail { code, done } => write!(f, "fail {function} {code}{}", if *done { " done" } else { "" })?,
            Fault::Hang(None) => write!(f, "hang {function}")?,
            Fault::Hang(Some(time)) => write!(f, "hang {function} {}", shown_duration(*time))?,
            Fault::Corrupt => write!(f, "corrupt {function}")?,
        }
        let When { after, every, count } = self.when;
        if after > 0 {
            write!(f, " after {after}")?;
        }
        if every > 1 {
            write!(f, " every {every}")?;
        }
        count.map_or(Ok(()), |count| write!(f, " count {count}"))
    }
}

#[cfg(test)]
mod tests;
