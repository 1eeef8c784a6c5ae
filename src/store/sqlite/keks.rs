//! Wrapped KEKs, one for each sealed material: rows of a fixed length that are only ever overwritten in place.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use crate::store::{AdapterId, KekCount, KekRow, ObjectId, RootKeyState, SealedRow, StoreError, WRAPPED_KEK_MAX};

use super::root_keys;

/// The length, the wrapped KEK, zeros.
const STORED: usize = 1 + WRAPPED_KEK_MAX;

/// The version of KEKs that are erased, or that no root key of theirs wrapped.
const NO_VERSION: [u8; 4] = [0; 4];

/// Stores the KEK of new material. Only the current version of an active root key takes new ones: so a rotation that has seen
/// every KEK has left none behind.
pub(super) fn append(
    connection: &Connection,
    material: i64,
    object: i64,
    sealed: &SealedRow,
) -> Result<(), StoreError> {
    let root = root_keys::find(connection, sealed.root)?.ok_or(StoreError::StaleRootKey)?;
    if root.state != RootKeyState::Active || root.current_version != sealed.version {
        return Err(StoreError::StaleRootKey);
    }
    let mut insert = connection
        .prepare_cached("INSERT INTO kek (seq, object, root, version, wrapped) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let (version, wrapped) = (sealed.version.to_be_bytes(), stored(&sealed.wrapped_kek)?);
    insert.execute(params![material, object, root.seq, version, wrapped])?;
    Ok(())
}

/// Writes zeros over the KEK of `material`.
pub(super) fn erase(connection: &Connection, material: i64) -> Result<(), StoreError> {
    let mut erase = connection.prepare_cached("UPDATE kek SET version = ?2, wrapped = ?3 WHERE seq = ?1")?;
    erase.execute(params![material, NO_VERSION, [0_u8; STORED]])?;
    Ok(())
}

/// Whether the KEK of `material` is erased, or was never there.
pub(super) fn is_erased(connection: &Connection, material: i64) -> Result<bool, StoreError> {
    let mut select = connection.prepare_cached("SELECT count(*) FROM kek WHERE seq = ?1 AND version <> ?2")?;
    let keks: u64 = select.query_row(params![material, NO_VERSION], |row| row.get(0))?;
    Ok(keks == 0)
}

/// Writes zeros over every KEK of a root key.
pub(super) fn erase_all(connection: &Connection, root: i64) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE kek SET version = ?2, wrapped = ?3 WHERE root = ?1",
        params![root, NO_VERSION, [0_u8; STORED]],
    )?;
    Ok(())
}

/// Replaces a KEK unless another stands there by now. Returns whether it did.
pub(super) fn replace(
    connection: &Connection,
    seq: i64,
    old: &[u8],
    version: u32,
    new: &[u8],
) -> Result<bool, StoreError> {
    let mut replace =
        connection.prepare_cached("UPDATE kek SET version = ?3, wrapped = ?4 WHERE seq = ?1 AND wrapped = ?2")?;
    Ok(replace.execute(params![seq, stored(old)?, version.to_be_bytes(), stored(new)?])? > 0)
}

/// The sealed content in the columns of `row` from `first` on: body, version, wrapped KEK, root key.
pub(super) fn sealed(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<SealedRow>> {
    let Some(body) = row.get(first)? else { return Ok(None) };
    let version: Option<[u8; 4]> = row.get(first + 1)?;
    let wrapped = row.get_ref(first + 2)?.as_blob_or_null()?;
    let root: Option<[u8; 16]> = row.get(first + 3)?;
    // Material without a KEK is damaged, but the object still has attributes to be read.
    Ok(Some(SealedRow {
        root: Uuid::from_bytes(root.unwrap_or_default()),
        version: u32::from_be_bytes(version.unwrap_or_default()),
        wrapped_kek: wrapped.map(unpadded).unwrap_or_default(),
        body,
    }))
}

/// How many KEKs of a root key are under another version than `version`, or under none but that.
pub(super) fn count(connection: &Connection, root: i64, version: u32, others: bool) -> Result<u64, StoreError> {
    let mut select = connection
        .prepare_cached("SELECT count(*) FROM kek WHERE root = ?1 AND (version <> ?2) = ?3 AND version <> ?4")?;
    Ok(select.query_row(params![root, version.to_be_bytes(), others, NO_VERSION], |row| row.get(0))?)
}

/// How many KEKs are under each version.
pub(super) fn counts(connection: &Connection) -> Result<Vec<KekCount>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT r.id, k.version, count(*) FROM kek AS k JOIN root_key AS r ON r.seq = k.root
         WHERE k.version <> ?1 GROUP BY k.root, k.version ORDER BY k.root, k.version",
    )?;
    let counts = select.query_map([NO_VERSION], |row| {
        let root = Uuid::from_bytes(row.get(0)?);
        Ok(KekCount { root, version: u32::from_be_bytes(row.get(1)?), keks: row.get(2)? })
    })?;
    Ok(counts.collect::<Result<_, _>>()?)
}

/// How many KEKs each root key has ever had.
pub(super) fn ever(connection: &Connection) -> Result<Vec<(Uuid, u64)>, StoreError> {
    let mut select = connection
        .prepare_cached("SELECT r.id, count(*) FROM kek AS k JOIN root_key AS r ON r.seq = k.root GROUP BY k.root")?;
    let counts = select.query_map([], |row| Ok((Uuid::from_bytes(row.get(0)?), row.get(1)?)))?;
    Ok(counts.collect::<Result<_, _>>()?)
}

/// KEKs behind `after` that are under another version than `not_version`.
pub(super) fn next(
    connection: &Connection,
    root: Uuid,
    not_version: u32,
    after: i64,
    limit: u64,
) -> Result<Vec<KekRow>, StoreError> {
    let Some(root) = root_keys::find(connection, root)? else { return Ok(Vec::new()) };
    let mut select = connection.prepare_cached(
        "SELECT seq, version, wrapped FROM kek
         WHERE seq > ?1 AND root = ?2 AND version <> ?3 AND version <> ?4 ORDER BY seq LIMIT ?5",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = select.query_map(params![after, root.seq, not_version.to_be_bytes(), NO_VERSION, limit], |row| {
        let version = u32::from_be_bytes(row.get(1)?);
        Ok(KekRow { seq: row.get(0)?, version, wrapped: unpadded(row.get_ref(2)?.as_blob()?) })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The object that the KEK `seq` is of.
pub(super) fn owner(connection: &Connection, seq: i64) -> Result<Option<(AdapterId, ObjectId)>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT a.id, o.id FROM kek AS k JOIN object AS o ON o.seq = k.object JOIN adapter AS a ON a.seq = o.adapter
         WHERE k.seq = ?1",
    )?;
    let owner = select.query_row([seq], |row| {
        Ok((AdapterId(Uuid::from_bytes(row.get(0)?)), ObjectId(Uuid::from_bytes(row.get(1)?))))
    });
    Ok(owner.optional()?)
}

fn stored(wrapped: &[u8]) -> Result<[u8; STORED], StoreError> {
    let mut out = [0; STORED];
    let length = u8::try_from(wrapped.len()).map_err(|_| StoreError::Damaged)?;
    if wrapped.len() > WRAPPED_KEK_MAX {
        return Err(StoreError::Damaged);
    }
    for (to, from) in out.iter_mut().zip(std::iter::once(&length).chain(wrapped)) {
        *to = *from;
    }
    Ok(out)
}

/// What [`stored`] took; nothing where it did not make these bytes.
fn unpadded(stored: &[u8]) -> Vec<u8> {
    let parts = stored.split_first().and_then(|(length, rest)| rest.split_at_checked(usize::from(*length)));
    match parts {
        Some((wrapped, padding)) if padding.iter().all(|byte| *byte == 0) => wrapped.to_vec(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_comes_back_and_what_is_too_long_or_padded_otherwise_does_not() {
        for length in [0, 1, 63, 83, WRAPPED_KEK_MAX] {
            let wrapped = vec![7; length];
            let mut kept = stored(&wrapped).unwrap();
            assert_eq!(unpadded(&kept), wrapped);
            if length < WRAPPED_KEK_MAX {
                kept[STORED - 1] = 1;
                assert_eq!(unpadded(&kept), Vec::<u8>::new());
            }
        }
        assert!(matches!(stored(&[7; WRAPPED_KEK_MAX + 1]), Err(StoreError::Damaged)));
        assert!(matches!(stored(&[7; 300]), Err(StoreError::Damaged)));
        assert_eq!(unpadded(&[200; STORED]), Vec::<u8>::new(), "a length that cannot be");
    }
}
