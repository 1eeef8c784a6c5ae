//! One token of a set, and what the set remembers of it: whether it failed just now, and for which keys it is of no use.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::RwLock;

use crate::{HalError, Outage, Refusal, RootKeyVersion, RootKeys};

/// How long a token that failed is tried last. Then one call tries it, and while that one waits the others go elsewhere.
const REST: Duration = Duration::from_millis(500);
/// How long a token is tried last for a key that it lacks. Every wrong guess costs a search on the token.
const PASSED_OVER: Duration = Duration::from_secs(10);

pub(super) struct Member {
    index: usize,
    hal: Arc<dyn RootKeys>,
    started: Instant,
    /// Microseconds after `started` until which it rests; 0 while it serves.
    rests_until: AtomicU64,
    useless_for: RwLock<HashMap<RootKeyVersion, Instant>>,
}

/// The order in which tokens are tried.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    OnTrial,
    Serves,
    Rests,
    PassedOver,
}

impl Member {
    pub(super) fn new(index: usize, hal: Arc<dyn RootKeys>) -> Self {
        let useless_for = RwLock::default();
        Self { index, hal, started: Instant::now(), rests_until: AtomicU64::new(0), useless_for }
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn hal(&self) -> &dyn RootKeys {
        self.hal.as_ref()
    }

    pub(super) fn share(&self) -> Arc<dyn RootKeys> {
        Arc::clone(&self.hal)
    }

    /// For the log.
    pub(super) fn name(&self) -> String {
        match &self.hal.capabilities().token {
            Some(token) => format!("{} (serial {})", token.label, token.serial),
            None => format!("number {} of the configuration", self.index + 1),
        }
    }

    /// Where it stands in the order now. The first to ask after a rest gives it a trial for all.
    pub(super) fn standing(&self, key: Option<RootKeyVersion>) -> Standing {
        if key.is_some_and(|key| self.useless_for.read().get(&key).is_some_and(|since| since.elapsed() < PASSED_OVER)) {
            return Standing::PassedOver;
        }
        let until = self.rests_until.load(Ordering::Relaxed);
        if until == 0 {
            return Standing::Serves;
        }
        let now = self.now();
        let again = now.saturating_add(micros(REST));
        let first = now >= until
            && self.rests_until.compare_exchange(until, again, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if first { Standing::OnTrial } else { Standing::Rests }
    }

    pub(super) fn served(&self) {
        if self.rests_until.load(Ordering::Relaxed) != 0 && self.rests_until.swap(0, Ordering::Relaxed) != 0 {
            tracing::info!(token = self.name(), "the token serves again");
        }
    }

    pub(super) fn failed(&self, error: &HalError) {
        let its_own_fault = match error {
            HalError::Unavailable(Outage::Overloaded)
            | HalError::Tampered
            | HalError::UnknownRootKey(_)
            | HalError::UnknownSigner(_) => false,
            HalError::Unavailable(_) => true,
            HalError::Refused(_) => !is_about_the_key(error),
        };
        if its_own_fault {
            let until = self.now().saturating_add(micros(REST));
            if self.rests_until.swap(until, Ordering::Relaxed) == 0 {
                tracing::warn!(token = self.name(), %error, "the token fails; calls go to the others");
            }
        }
    }

    /// Remembers that the token is of no use for a key that another one just served.
    pub(super) fn pass_over(&self, key: RootKeyVersion, error: &HalError) {
        tracing::error!(
            token = self.name(),
            root = %key,
            %error,
            "the token is of no use for a root key that others serve; calls go to them"
        );
        self.useless_for.write().insert(key, Instant::now());
    }

    pub(super) fn forgive(&self, key: RootKeyVersion) {
        self.useless_for.write().remove(&key);
    }

    pub(super) fn is_passed_over(&self) -> bool {
        self.useless_for.read().values().any(|since| since.elapsed() < PASSED_OVER)
    }

    fn now(&self) -> u64 {
        // Never 0, which means that it serves.
        micros(self.started.elapsed()).max(1)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Whether an error says that the token is of no use for a root key, though it may serve others.
pub(super) fn is_about_the_key(error: &HalError) -> bool {
    matches!(
        error,
        HalError::UnknownRootKey(_)
            | HalError::Refused(
                Refusal::KeyReplaced
                    | Refusal::KeyNotProtected
                    | Refusal::KeyAmbiguous
                    | Refusal::TokenNotEnforcing
                    | Refusal::NoWorkingScheme
                    | Refusal::SchemeNotSupported
                    | Refusal::NotPermitted
            )
    )
}
