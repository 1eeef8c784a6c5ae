//! A short way from a caller to a worker that is still awake.
//!
//! Whoever had an answer from a fast token often asks again at once. To go to sleep and be woken takes longer than the token's
//! answer, so where there are processors to spare one worker keeps its eyes open for a moment, and is handed the next job
//! without a system call.

use std::{
    num::NonZero,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// How long a worker looks out. A caller that goes on needs about a microsecond; a request on its way through the server more.
const LOOK: Duration = Duration::from_micros(20);

/// The place where one worker looks out. At most one job waits here, and only while somebody looks.
pub(super) struct Lookout<J> {
    /// No processor is to spare where there is only one.
    worth_it: bool,
    place: Mutex<Place<J>>,
    /// Hints of what `place` holds, read without its lock.
    manned: AtomicBool,
    filled: AtomicBool,
}

struct Place<J> {
    manned: bool,
    job: Option<J>,
}

impl<J> Lookout<J> {
    pub(super) fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            worth_it: processors > 1,
            place: Mutex::new(Place { manned: false, job: None }),
            manned: AtomicBool::new(false),
            filled: AtomicBool::new(false),
        }
    }

    /// Hands a job to the worker that looks out; back where none does.
    pub(super) fn hand(&self, job: J) -> Result<(), J> {
        if !self.manned.load(Ordering::Relaxed) {
            return Err(job);
        }
        let mut place = self.place.lock();
        if !place.manned || place.job.is_some() {
            return Err(job);
        }
        place.job = Some(job);
        self.filled.store(true, Ordering::Release);
        Ok(())
    }

    /// Looks out for a moment, unless another worker does. A job that was handed over is always returned: whoever leaves the
    /// place looks into it under its lock.
    pub(super) fn wait(&self) -> Option<J> {
        if !self.worth_it || self.manned.load(Ordering::Relaxed) {
            return None;
        }
        {
            let mut place = self.place.lock();
            if place.manned {
                return None;
            }
            place.manned = true;
            self.manned.store(true, Ordering::Relaxed);
        }
        let end = Instant::now() + LOOK;
        while !self.filled.load(Ordering::Acquire) && Instant::now() < end {
            std::hint::spin_loop();
        }
        let mut place = self.place.lock();
        place.manned = false;
        self.manned.store(false, Ordering::Relaxed);
        self.filled.store(false, Ordering::Relaxed);
        place.job.take()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn nothing_is_taken_where_nobody_looks() {
        let lookout = Lookout::new();
        assert_eq!(lookout.hand(1), Err(1));
        assert_eq!(lookout.wait(), None);
        assert_eq!(lookout.hand(2), Err(2));
    }

    #[test]
    fn every_job_is_either_taken_or_given_back() {
        let lookout = Lookout::new();
        let (taken, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let mut handed = 0;
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(Ordering::Acquire) {
                        taken.fetch_add(usize::from(lookout.wait().is_some()), Ordering::Relaxed);
                    }
                });
            }
            for job in 0..20_000 {
                handed += usize::from(lookout.hand(job).is_ok());
            }
            over.store(true, Ordering::Release);
        });
        assert_eq!(taken.load(Ordering::Relaxed), handed);
        assert!(lookout.wait().is_none(), "none is left behind");
    }
}
