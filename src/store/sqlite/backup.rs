//! Copies the whole database while it is in use, by SQLite's `VACUUM INTO`: one read transaction, and a file without any pages
//! that are no longer used.

use std::{fs, path::Path};

use rusqlite::{Connection, OptionalExtension};

use super::{Sqlite, root_keys, schema};
use crate::store::{AdapterId, Copied, Fingerprint, ObjectUse, StoreError};

impl Sqlite {
    pub(in crate::store) fn copy_to(&self, path: &Path) -> Result<Copied, StoreError> {
        let bad_name = || StoreError::File { path: path.to_owned(), source: std::io::ErrorKind::InvalidInput.into() };
        let name = path.to_str().ok_or_else(bad_name)?;
        // A connection of its own: those of the pool may not write anywhere, and requests wait for them.
        let connection = schema::connect(&self.path)?;
        connection.execute("VACUUM INTO ?1", [name])?;
        drop(connection);
        let copy = schema::connect(path)?;
        let copied = Copied { schema: schema::schema_version(&copy)?, root_keys: root_keys::read(&copy)? };
        check(&copy)?;
        drop(copy);
        let failed = |source| StoreError::File { path: path.to_owned(), source };
        fs::File::open(path).and_then(|file| file.sync_all()).map_err(failed)?;
        Ok(copied)
    }

    pub(in crate::store) fn last_use(&self, adapter: AdapterId) -> Result<Option<ObjectUse>, StoreError> {
        self.readers.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT s.at, s.fingerprint FROM adapter AS a JOIN object AS o ON o.adapter = a.seq
                 JOIN object_seen AS s ON s.object = o.seq WHERE a.id = ?1 ORDER BY s.at DESC LIMIT 1",
            )?;
            let found = select.query_row([adapter.0.as_bytes()], |row| {
                Ok(ObjectUse { at: row.get(0)?, certificate: Fingerprint(row.get(1)?) })
            });
            Ok(found.optional()?)
        })
    }
}

/// A copy that cannot be read is found now, and not when it is needed.
fn check(copy: &Connection) -> Result<(), StoreError> {
    let said: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if said == "ok" { Ok(()) } else { Err(StoreError::Damaged) }
}
