//! What of a running server is watched rather than asked: how it is, who came, what was done.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use uuid::Uuid;

use super::directory::Latest;
use crate::{
    admin::model::Change,
    engine::Makings,
    net::{OpenConnections, arrivals::Arrivals},
    store::{SeenCertificate, Store, StoreError},
    telemetry::{HsmView, Statistics},
    vault::VaultTimes,
};

/// Changes that are remembered.
const CHANGES: usize = 50;
/// Callers and views that are remembered.
const POLLED: usize = 4096;
/// How often it is looked which certificates were seen.
const SEEN_ANEW: Duration = Duration::from_secs(30);
/// How often the audit log says that somebody keeps looking at something.
const SAY_AGAIN: Duration = Duration::from_secs(600);

/// What the parts of a running server tell by themselves.
#[derive(Clone, Default)]
pub struct Watched {
    /// How many KMIP requests there were.
    pub statistics: Arc<Statistics>,
    /// How long the HSM took.
    pub hsm_times: VaultTimes,
    /// How the HSM was when somebody looked last.
    pub hsm: Arc<HsmView>,
    /// Which clients made objects.
    pub makings: Arc<Makings>,
    /// Who came.
    pub arrivals: Arc<Arrivals>,
    /// How many connections are open.
    pub connections: OpenConnections,
}

/// What the admin plane keeps in memory from request to request. All of it is bounded, and can be lost.
#[derive(Default)]
pub struct Remembered {
    pub(super) directory: Latest,
    changes: Mutex<VecDeque<Change>>,
    polled: Mutex<HashMap<(Uuid, &'static str), Instant>>,
    seen: Mutex<Option<(Instant, Arc<Vec<SeenCertificate>>)>>,
}

impl Remembered {
    /// Notes what somebody changed.
    pub(super) fn note_change(&self, change: Change) {
        let mut changes = self.changes.lock();
        changes.truncate(CHANGES - 1);
        changes.push_front(change);
    }

    /// What was changed since the start, newest first.
    pub(super) fn changes(&self, most: usize) -> Vec<Change> {
        self.changes.lock().iter().take(most).cloned().collect()
    }

    /// The certificates that were seen, as they were some seconds ago.
    pub(super) fn seen_lately(&self, store: &Store) -> Result<Arc<Vec<SeenCertificate>>, StoreError> {
        let mut last = self.seen.lock();
        if let Some((at, seen)) = &*last
            && at.elapsed() < SEEN_ANEW
        {
            return Ok(Arc::clone(seen));
        }
        let seen = Arc::new(store.certificates_seen(None)?);
        *last = Some((Instant::now(), Arc::clone(&seen)));
        Ok(seen)
    }

    /// Whether the audit log is to say that `identity` looks at `view`, which may be every few seconds.
    pub(super) fn is_news(&self, identity: Uuid, view: &'static str) -> bool {
        let mut polled = self.polled.lock();
        let is_old = |said: &Instant| said.elapsed() >= SAY_AGAIN;
        if polled.get(&(identity, view)).is_some_and(|said| !is_old(said)) {
            return false;
        }
        if polled.len() >= POLLED {
            polled.retain(|_, said| !is_old(said));
        }
        if polled.len() < POLLED {
            polled.insert((identity, view), Instant::now());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_that_is_looked_at_all_the_time_is_said_once() {
        let remembered = Remembered::default();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let news = |identity, view| remembered.is_news(identity, view);
        assert!(news(one, "overview.read") && !news(one, "overview.read"));
        assert!(news(one, "statistics.read") && news(other, "overview.read") && !news(other, "overview.read"));
        // Past the bound everything is said.
        (10..10 + POLLED as u128).for_each(|number| assert!(news(Uuid::from_u128(number), "overview.read")));
        assert!(remembered.polled.lock().len() <= POLLED);
        assert!(news(Uuid::from_u128(9), "overview.read") && news(Uuid::from_u128(9), "overview.read"));
    }
}
