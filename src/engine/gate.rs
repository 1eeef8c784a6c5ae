//! How many large messages are worked on at a time. Small ones, which are nearly all, never meet it.
//!
//! A message that is long, or brings up long objects, takes several times its length in memory while it is worked on. There are
//! many request threads, because most of them wait for the HSM or the disk; if all held such a message at once, the sum would
//! be what the limits of each are there to prevent.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// Messages and objects longer than this are large, bytes.
pub(super) const LARGE_BYTES: usize = 64 * 1024;
/// Large messages at work at a time.
const PLACES: usize = 4;

/// The places for large messages.
#[derive(Debug)]
pub(super) struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A place taken; given back when dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Gate>);

impl Gate {
    /// All places free.
    pub(super) fn new() -> Self {
        Self { free: Mutex::new(PLACES), freed: Condvar::new() }
    }

    /// Waits for a place. So that all are given back in time, whoever has one never waits for another, and nobody who waits
    /// holds the lock of an object.
    pub(super) fn enter(self: &Arc<Self>) -> Place {
        let mut free = self.free.lock();
        self.freed.wait_while(&mut free, |free| *free == 0);
        *free -= 1;
        Place(Arc::clone(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn no_more_are_inside_than_there_are_places_and_all_get_in() {
        let gate = Arc::new(Gate::new());
        let (inside, most, entered) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 * PLACES {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _place = gate.enter();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        entered.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= PLACES);
        assert_eq!(entered.into_inner(), 4 * PLACES * 50);
    }
}
