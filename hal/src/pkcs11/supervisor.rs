//! The thread that sees to one backend's connection: it makes the first one, and brings it back after a loss.
//!
//! Calls of request handling never connect; while the token is away they are refused at once, and this thread alone knocks at
//! its door, whether calls come or not.

use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use parking_lot::{Condvar, Mutex};

use super::{
    crew::Crew,
    link::{Link, Rung},
    pin,
};
use crate::HalError;

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// With the time an attempt takes, a token that returns is served again within 5 seconds.
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);
/// The same where each attempt interrupts another backend's token.
const LONGEST_SHARED_BACKOFF: Duration = Duration::from_secs(3);
/// How often the PIN's source is read while its PIN is refused.
const PIN_INTERVAL: Duration = Duration::from_secs(1);
/// How often a pool that had to shrink tries for one more worker.
const REGROWTH: Duration = Duration::from_secs(30);

/// Wakes the supervisor, and tells when it first tried.
#[derive(Default)]
pub(super) struct Bell {
    state: Mutex<Orders>,
    rung: Condvar,
}

#[derive(Default)]
struct Orders {
    lost: bool,
    stop: bool,
    tried: bool,
}

impl Bell {
    /// The connection is lost.
    pub(super) fn lost(&self) {
        self.state.lock().lost = true;
        self.rung.notify_all();
    }

    fn stop(&self) {
        self.state.lock().stop = true;
        self.rung.notify_all();
    }

    fn tried(&self) {
        self.state.lock().tried = true;
        self.rung.notify_all();
    }

    /// Waits until the first attempt to connect is over, `patience` at most.
    pub(super) fn first_attempt(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut state = self.state.lock();
        while !state.tried && !self.rung.wait_until(&mut state, until).timed_out() {}
    }

    /// Waits for the next order; false where it is to stop.
    fn wait(&self, patience: Duration, for_loss: bool) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.state.lock();
        while !state.stop {
            let called = for_loss && state.lost;
            if called || self.rung.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        state.lost = false;
        !state.stop
    }
}

/// How long the backend's end waits for the thread's.
const PARTING: Duration = Duration::from_secs(2);

/// The running thread.
pub(super) struct Supervisor {
    bell: Arc<Bell>,
    gone: Receiver<()>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Supervisor {
    pub(super) fn start(link: Arc<Link>, crew: Arc<Crew>) -> io::Result<Self> {
        let bell = Arc::clone(&link.bell);
        let (going, gone) = bounded(0);
        let thread = thread::Builder::new().name("hsm-link".to_owned()).spawn(move || {
            watch(&link, &crew);
            // The last session is closed here, because closing one may hang.
            link.hang_up();
            drop((link, crew));
            drop(going);
        })?;
        Ok(Self { bell, gone, thread: Some(thread) })
    }
}

impl Drop for Supervisor {
    /// Lets the thread close the connection, but does not wait for it where the token hangs.
    fn drop(&mut self) {
        self.bell.stop();
        let ends = self.gone.recv_timeout(PARTING) == Err(RecvTimeoutError::Disconnected);
        // As for the workers: what is cleaned up at a thread's end must be over before the process ends.
        if let Some(thread) = self.thread.take().filter(|_| ends) {
            // A panic has said so.
            let _ = thread.join();
        }
    }
}

fn watch(link: &Link, crew: &Arc<Crew>) {
    let mut failures = 0;
    loop {
        if let Err(error) = link.attempt(rung(link, failures)) {
            failures += 1;
            link.bell.tried();
            if !link.bell.wait(pause(&error, failures, link.is_shared()), false) {
                return;
            }
            continue;
        }
        failures = 0;
        crew.staff_anew();
        link.bell.tried();
        while link.is_up() {
            if !link.bell.wait(REGROWTH, true) {
                return;
            }
            crew.regrow();
        }
    }
}

/// A new login first; where that was not enough, the module is started anew. Nothing but another PIN helps against a refused
/// one, so that the module is left alone then.
fn rung(link: &Link, failures: u32) -> Rung {
    let refused = matches!(link.fail_fast(), Err(HalError::Refused(refusal)) if pin::is_about_pin(refusal));
    if failures == 0 || refused { Rung::Login } else { Rung::Restart }
}

fn pause(error: &HalError, failures: u32, shared: bool) -> Duration {
    match error {
        HalError::Refused(refusal) if pin::is_about_pin(*refusal) => PIN_INTERVAL,
        _ => backoff(failures, if shared { LONGEST_SHARED_BACKOFF } else { LONGEST_BACKOFF }),
    }
}

/// Doubles with each failure; up to a quarter is taken off at random, so that nodes do not return to a shared token in step.
fn backoff(failures: u32, longest: Duration) -> Duration {
    let doubled = FIRST_BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(8));
    let capped = doubled.min(longest);
    let [dice, ..] = uuid::Uuid::new_v4().into_bytes();
    capped - capped.mul_f32(f32::from(dice) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_grows_and_stays_bounded() {
        let at = |failures| backoff(failures, LONGEST_BACKOFF);
        assert!(at(1) > FIRST_BACKOFF / 2 && at(1) <= FIRST_BACKOFF);
        assert!(at(4) > FIRST_BACKOFF * 4 && at(4) <= FIRST_BACKOFF * 8);
        assert!(at(u32::MAX) > LONGEST_BACKOFF / 2 && at(u32::MAX) <= LONGEST_BACKOFF);
    }
}
