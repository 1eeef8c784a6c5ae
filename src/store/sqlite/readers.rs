//! Connections that only read: a fixed number, each used by one thread at a time.

use std::{path::Path, time::Instant};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::schema;
use crate::store::StoreError;

/// The idle connections. The one returned last is taken first: its page cache and the processor's are warm.
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

impl Readers {
    /// Opens `count` connections, at least one.
    pub(super) fn open(path: &Path, count: usize) -> Result<Self, StoreError> {
        let idle = (0..count.max(1)).map(|_| schema::open_reader(path)).collect::<Result<_, _>>()?;
        Ok(Self { idle: Mutex::new(idle), returned: Condvar::new() })
    }

    /// Waits for a connection and reads with it. `Overloaded` when none is returned for as long as a lock is waited for.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let lent = self.take().ok_or(StoreError::Overloaded)?;
        lent.connection.as_ref().map_or(Err(StoreError::Overloaded), read)
    }

    fn take(&self) -> Option<Lent<'_>> {
        let mut idle = self.idle.lock();
        if idle.is_empty() {
            let deadline = Instant::now() + schema::BUSY_TIMEOUT;
            while idle.is_empty() && !self.returned.wait_until(&mut idle, deadline).timed_out() {}
        }
        idle.pop().map(|connection| Lent { readers: self, connection: Some(connection) })
    }
}

/// A connection on loan: it comes back also when its reader panics.
struct Lent<'r> {
    readers: &'r Readers,
    /// Taken only by `drop`.
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.readers.idle.lock().extend(self.connection.take());
        self.readers.returned.notify_one();
    }
}
