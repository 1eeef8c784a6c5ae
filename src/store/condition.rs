//! How the store is, as its files and its writer tell without being asked anything of what is in them.

use super::Store;

/// How the store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The size of the database file and its log in bytes.
    pub bytes: u64,
    /// When this process wrote last, in seconds since 1970-01-01 UTC.
    pub last_write: Option<i64>,
    /// How many mutations wait for the writer.
    pub waiting: usize,
}

impl Store {
    /// How the store is. A file that cannot be looked at counts as empty.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.engine.condition()
    }
}
