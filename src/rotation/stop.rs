//! Waiting that ends early when the job is to stop.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

/// Tells a job to stop. Clones tell the same job.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Signal>);

#[derive(Debug, Default)]
struct Signal {
    stopped: Mutex<bool>,
    told: Condvar,
}

impl Stop {
    /// Tells the job to stop.
    pub fn stop(&self) {
        *self.0.stopped.lock() = true;
        self.0.told.notify_all();
    }

    /// Whether it was told.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0.stopped.lock()
    }

    /// Waits, and returns whether the job is to stop.
    #[must_use]
    pub fn sleep(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut stopped = self.0.stopped.lock();
        while !*stopped {
            if self.0.told.wait_until(&mut stopped, until).timed_out() {
                break;
            }
        }
        *stopped
    }
}

/// Waits longer each time that something does not work.
pub(super) struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(3);

    pub(super) fn new() -> Self {
        Self(Self::FIRST)
    }

    pub(super) fn is_first(&self) -> bool {
        self.0 == Self::FIRST
    }

    /// Waits, and returns whether the job is to stop.
    pub(super) fn sleep(&mut self, stop: &Stop) -> bool {
        let time = self.0;
        self.0 = (time * 2).min(Self::LONGEST);
        stop.sleep(time)
    }
}

/// Lets at most so many through in a second.
pub(super) struct Throttle {
    per_second: u32,
    next: Mutex<Instant>,
}

impl Throttle {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second, next: Mutex::new(Instant::now()) }
    }

    /// Waits until `count` more may pass, and returns whether the job is to stop.
    pub(super) fn pass(&self, count: usize, stop: &Stop) -> bool {
        if self.per_second == 0 {
            return stop.is_stopped();
        }
        let now = Instant::now();
        let mut next = self.next.lock();
        let turn = now.max(*next);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        *next = turn + Duration::from_secs(1).saturating_mul(count) / self.per_second;
        drop(next);
        stop.sleep(turn.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_is_told_to_stop_does_not_wait() {
        let stop = Stop::default();
        assert!(!stop.sleep(Duration::ZERO));
        stop.clone().stop();
        assert!(stop.is_stopped() && stop.sleep(Duration::from_secs(3600)));
        assert!(Throttle::new(1).pass(1000, &stop), "whoever waits is told as well");
    }

    #[test]
    fn a_throttle_lets_its_rate_through_and_0_lets_all() {
        let stop = Stop::default();
        let (free, slow) = (Throttle::new(0), Throttle::new(1000));
        let start = Instant::now();
        assert!((0..1000).all(|_| !free.pass(1_000_000, &stop)));
        assert!((0..4).all(|_| !slow.pass(20, &stop)));
        // The first passes at once, three wait for their 20 ms.
        assert!(start.elapsed() >= Duration::from_millis(60));
    }
}
