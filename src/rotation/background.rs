//! The job beside a running server.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use super::{Rotator, Stop};

/// How often a rotation that nobody was told of is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How often the end of the thread is looked for.
const POLL: Duration = Duration::from_millis(5);

/// A thread that works on rotations as they begin. It ends when this is dropped, but nobody waits for that.
pub struct Background {
    stop: Stop,
    thread: thread::JoinHandle<()>,
}

impl Background {
    /// Starts it.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(rotator: Rotator) -> io::Result<Self> {
        let stop = Stop::default();
        let told = stop.clone();
        let work = move || {
            let mut failing = false;
            while !told.sleep(LOOK) {
                match rotator.run_pending(&told) {
                    Ok(()) => failing = false,
                    // Once for each time that it begins to fail.
                    Err(error) if !std::mem::replace(&mut failing, true) => {
                        tracing::error!(%error, "rotations of root keys do not go on until this ends");
                    }
                    Err(_) => {}
                }
            }
        };
        let thread = thread::Builder::new().name("rotation".to_owned()).spawn(work)?;
        Ok(Self { stop, thread })
    }

    /// Tells it to stop, and waits for its steps at work for at most `patience`. A step that is cut is done again.
    pub fn end(self, patience: Duration) {
        self.stop.stop();
        let deadline = Instant::now() + patience;
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.stop();
    }
}
