//! Copies of the whole database, and what is in them.

use std::path::Path;

use super::{AdapterId, ObjectUse, RootKeyRow, Store, StoreError, sqlite};

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
    /// Looks into a copy of a database, such as [`Store::backup`] makes, and reads it through once.
    ///
    /// # Errors
    /// `Damaged`; it is no database.
    pub fn look_into(copy: &Path) -> Result<Copied, StoreError> {
        sqlite::look_into(copy)
    }

    /// The last use of any object of `adapter`. Looks at all that were ever used.
    ///
    /// # Errors
    /// The database failed.
    pub fn last_use(&self, adapter: AdapterId) -> Result<Option<ObjectUse>, StoreError> {
        self.engine.last_use(adapter)
    }
}
