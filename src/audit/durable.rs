//! Group commit: many who wait for the disk share one sync.

use std::io;

use parking_lot::{Condvar, Mutex};

/// What is written and what of it is on the disk, counted in writes.
#[derive(Debug, Default)]
pub(super) struct Durable {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    written: u64,
    synced: u64,
    /// Somebody syncs.
    running: bool,
    /// Syncs that failed, ever.
    failures: u64,
    /// The last one failed.
    failed: bool,
}

/// A write that somebody may wait for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write(u64);

/// The disk does not keep what is written.
#[derive(Debug)]
pub(super) struct Unsynced;

impl Durable {
    /// Counts a write. It is called while no other process or thread can write.
    pub(super) fn wrote(&self) -> Write {
        let mut state = self.state.lock();
        state.written += 1;
        Write(state.written)
    }

    /// Whether the last sync failed.
    pub(super) fn has_failed(&self) -> bool {
        self.state.lock().failed
    }

    /// Whether something written is not on the disk.
    pub(super) fn is_behind(&self) -> bool {
        let state = self.state.lock();
        state.synced < state.written
    }

    /// Returns when `write` is on the disk; whoever comes first calls `sync` for all that is written by then.
    pub(super) fn wait(&self, write: Write, sync: impl Fn() -> io::Result<()>) -> Result<(), Unsynced> {
        let mut state = self.state.lock();
        let failures = state.failures;
        loop {
            if state.synced >= write.0 {
                return Ok(());
            }
            // After a failed sync the system may forget what it could not write, and call the next one a success.
            if state.failures > failures {
                return Err(Unsynced);
            }
            if state.running {
                self.done.wait(&mut state);
                continue;
            }
            state.running = true;
            let target = state.written;
            drop(state);
            let result = sync();
            state = self.state.lock();
            self.finish(&mut state, target, result.is_ok());
            drop(result);
        }
    }

    /// Syncs what was written since the last time, or tries again where that failed. `None` where there is nothing to do.
    pub(super) fn tick(&self, sync: impl Fn() -> io::Result<()>) -> Option<io::Result<()>> {
        let mut state = self.state.lock();
        if state.running || (state.synced >= state.written && !state.failed) {
            return None;
        }
        state.running = true;
        let target = state.written;
        drop(state);
        let result = sync();
        self.finish(&mut self.state.lock(), target, result.is_ok());
        Some(result)
    }

    fn finish(&self, state: &mut State, target: u64, done: bool) {
        state.running = false;
        state.failed = !done;
        if done {
            state.synced = state.synced.max(target);
        } else {
            state.failures += 1;
        }
        self.done.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicU32, Ordering},
        },
        thread,
    };

    use super::*;

    #[test]
    fn many_who_wait_share_a_sync() {
        let durable = Durable::default();
        let (syncs, barrier) = (AtomicU32::new(0), Barrier::new(8));
        let first = durable.wrote();
        thread::scope(|scope| {
            // The first sync lasts until everybody else has written.
            scope.spawn(|| {
                durable
                    .wait(first, || {
                        syncs.fetch_add(1, Ordering::SeqCst);
                        if syncs.load(Ordering::SeqCst) == 1 {
                            barrier.wait();
                        }
                        Ok(())
                    })
                    .unwrap();
            });
            for _ in 0..7 {
                scope.spawn(|| {
                    let write = durable.wrote();
                    barrier.wait();
                    let sync = || {
                        syncs.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    };
                    durable.wait(write, sync).unwrap();
                });
            }
        });
        assert!(syncs.load(Ordering::SeqCst) <= 2, "{syncs:?}");
    }

    #[test]
    fn a_failed_sync_fails_everyone_who_waited_for_it_and_is_tried_again() {
        let durable = Durable::default();
        let write = durable.wrote();
        let failing = || Err(io::Error::from(io::ErrorKind::StorageFull));
        assert!(durable.wait(write, failing).is_err());
        assert!(durable.has_failed());
        assert!(durable.tick(failing).unwrap().is_err());
        assert!(durable.tick(|| Ok(())).unwrap().is_ok());
        assert!(!durable.has_failed());
        assert!(durable.tick(|| Ok(())).is_none());
    }
}
