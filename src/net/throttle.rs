//! Log lines that strangers can cause, kept to one for each cause and period.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Causes that are told apart at a time; strangers choose them, so their number is bounded.
const MAX_CAUSES: usize = 256;

/// Lets one line for each cause and period pass, and counts the others.
#[derive(Debug)]
pub(super) struct Throttle<K> {
    period: Duration,
    causes: Mutex<HashMap<K, Cause>>,
}

#[derive(Debug)]
struct Cause {
    passed_at: Instant,
    suppressed: u64,
}

impl<K: Hash + Eq> Throttle<K> {
    pub(super) fn new(period: Duration) -> Self {
        Self { period, causes: Mutex::new(HashMap::new()) }
    }

    /// Whether a line about `cause` may be written now, and if so how many were not since the last.
    pub(super) fn pass(&self, cause: K, now: Instant) -> Option<u64> {
        let mut causes = self.causes.lock();
        if let Some(known) = causes.get_mut(&cause) {
            if now.saturating_duration_since(known.passed_at) < self.period {
                known.suppressed += 1;
                return None;
            }
            known.passed_at = now;
            return Some(std::mem::take(&mut known.suppressed));
        }
        if causes.len() >= MAX_CAUSES {
            causes.retain(|_, known| now.saturating_duration_since(known.passed_at) < self.period);
        }
        if causes.len() >= MAX_CAUSES {
            return None;
        }
        causes.insert(cause, Cause { passed_at: now, suppressed: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_in_each_period_and_the_next_tells_how_many_did_not() {
        let throttle = Throttle::new(Duration::from_secs(60));
        let start = Instant::now();
        assert_eq!(throttle.pass("a", start), Some(0));
        assert_eq!(throttle.pass("a", start + Duration::from_secs(1)), None);
        assert_eq!(throttle.pass("b", start + Duration::from_secs(1)), Some(0));
        assert_eq!(throttle.pass("a", start + Duration::from_secs(60)), Some(1));
    }

    #[test]
    fn strangers_cannot_make_it_grow() {
        let throttle = Throttle::new(Duration::from_secs(60));
        let start = Instant::now();
        assert_eq!((0..10_000).filter(|cause| throttle.pass(*cause, start).is_some()).count(), MAX_CAUSES);
        assert_eq!(throttle.pass(10_000, start + Duration::from_secs(60)), Some(0));
    }
}
