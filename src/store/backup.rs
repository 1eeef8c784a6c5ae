//! Copies of the whole database, made while it is in use.

use std::path::Path;

use super::{AdapterId, ObjectUse, RootKeyRow, Store, StoreError};

/// What is in a copy of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Its schema version.
    pub schema: u32,
    /// The root keys in it.
    pub root_keys: Vec<RootKeyRow>,
}

/// Copies.
impl Store {
    /// Writes a copy of the whole database as it is at one moment into the file at `path`, which must be empty, and syncs it.
    /// Writers and readers go on meanwhile; the log cannot be cut until it is done.
    ///
    /// # Errors
    /// The file cannot be written; the disk is full; the database failed.
    pub fn copy_to(&self, path: &Path) -> Result<Copied, StoreError> {
        self.engine.copy_to(path)
    }

    /// The last use of any object of `adapter`. Looks at all that were ever used.
    ///
    /// # Errors
    /// The database failed.
    pub fn last_use(&self, adapter: AdapterId) -> Result<Option<ObjectUse>, StoreError> {
        self.engine.last_use(adapter)
    }
}
