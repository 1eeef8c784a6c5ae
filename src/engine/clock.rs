//! The time of day, injected so that tests can move it.

use std::{
    sync::Arc,
    sync::atomic::{AtomicI64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// Where the engine reads the time.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's clock.
    System,
    /// Seconds since 1970-01-01 UTC that its owner sets.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// Seconds since 1970-01-01 UTC.
    pub fn now(&self) -> i64 {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |elapsed| i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)),
            Self::Manual(seconds) => seconds.load(Ordering::SeqCst),
        }
    }
}
