//! Through whose hands access came: how it is written, and since when.

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

/// Whether hands are kept: from the moment on when two could decide, whatever becomes of them. The moment is noted here, so this
/// is asked before and after every change that can bring it.
pub(super) fn are_kept(connection: &Connection, deciding_roles: &[&str]) -> Result<bool, StoreError> {
    if connection.prepare_cached("SELECT 1 FROM hands_kept")?.exists([])? {
        return Ok(true);
    }
    let mut deciders = BTreeSet::new();
    for role in deciding_roles {
        deciders.extend(rows_of(connection, DECIDERS, [role], |row| row.get::<_, i64>(0))?);
    }
    if deciders.len() < 2 {
        return Ok(false);
    }
    connection.execute("INSERT INTO hands_kept (one, since) VALUES (1, unixepoch())", [])?;
    Ok(true)
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
