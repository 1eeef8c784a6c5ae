//! What is in copies of the database, and what is not.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::{Sqlite, root_keys, schema};
use crate::store::{AdapterId, Copied, Fingerprint, ObjectUse, StoreError};

/// What became of requests that were open when a copy was made.
const RESTORED: &str = "void: the database was restored from a backup";

impl Sqlite {
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

/// Cancels every open request in a copy: what two people agreed on is not done by a server that is started on the copy one day.
pub(super) fn cancel_requests(copy: &Path) -> Result<(), StoreError> {
    let connection = schema::connect(copy)?;
    connection.execute(
        "UPDATE approval SET state = 7, outcome = ?1, finished_at = unixepoch(), revision = revision + 1 WHERE state <= 3",
        [RESTORED],
    )?;
    connection.close().map_err(|(_, error)| error.into())
}

/// Looks into a copy. It is in no use, so it needs no log.
pub(in crate::store) fn look_into(copy: &Path) -> Result<Copied, StoreError> {
    let copy = schema::connect(copy)?;
    // A copy that cannot be read is found now, and not when it is needed.
    check(&copy)?;
    Ok(Copied { schema: schema::schema_version(&copy)?, root_keys: root_keys::read(&copy)? })
}

fn check(copy: &Connection) -> Result<(), StoreError> {
    let said: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if said == "ok" { Ok(()) } else { Err(StoreError::Damaged) }
}
