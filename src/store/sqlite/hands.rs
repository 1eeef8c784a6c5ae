//! Through whose hands access came: how it is written, and the first two who have none.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row, types::Type};
use uuid::Uuid;

use super::trust::rows_of;
use crate::store::StoreError;

/// Identities with this role, for everything or for an adapter, as which somebody can log in or could.
const DECIDERS: &str = "
    SELECT DISTINCT i.seq FROM identity_grant AS g JOIN identity AS i ON i.seq = g.identity
    WHERE g.role = ?1 AND (i.fingerprint IS NOT NULL OR EXISTS (SELECT 1 FROM api_key AS k WHERE k.identity = i.seq))
    LIMIT 2";

/// Notes the moment from which on two can decide, once and for good, and takes the hands from those two: somebody has to bring in
/// the second person. Of everybody else they stay. Asked before every
/// change as well, for a database that is older may have the two already, and what is given now came through hands.
pub(super) fn note_first_two(connection: &Connection, deciding_roles: &[&str]) -> Result<(), StoreError> {
    if connection.prepare_cached("SELECT 1 FROM hands_kept")?.exists([])? {
        return Ok(());
    }
    let mut deciders = BTreeSet::new();
    for role in deciding_roles {
        deciders.extend(rows_of(connection, DECIDERS, [role], |row| row.get::<_, i64>(0))?);
    }
    if deciders.len() < 2 {
        return Ok(());
    }
    for decider in deciders {
        connection.execute("UPDATE identity SET hands = '' WHERE seq = ?1", [decider])?;
        connection.execute("UPDATE api_key SET hands = '' WHERE identity = ?1", [decider])?;
    }
    connection.execute("INSERT INTO hands_kept (one, since) VALUES (1, unixepoch())", [])?;
    Ok(())
}

/// Hands as they are stored.
pub(super) fn text(hands: &BTreeSet<Uuid>) -> String {
    hands.iter().map(Uuid::to_string).collect::<Vec<_>>().join(",")
}

/// The hands in a column.
pub(super) fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<BTreeSet<Uuid>> {
    let text: String = row.get(column)?;
    if text.is_empty() {
        return Ok(BTreeSet::new());
    }
    let damaged = |error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error));
    text.split(',').map(|id| Uuid::parse_str(id).map_err(damaged)).collect()
}
