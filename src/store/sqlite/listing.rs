//! Objects as administrators see them. Nothing here reads sealed content.

use rusqlite::{Connection, OptionalExtension, Row};
use uuid::Uuid;

use super::{Sqlite, trust::rows};
use crate::store::{AdapterId, Fingerprint, ListedObject, ObjectCount, ObjectId, ObjectUse, StoreError};

macro_rules! listed {
    ($which:literal) => {
        concat!(
            "
    SELECT o.id, a.id, o.object_type, o.revision, o.metadata, o.destroyed, o.due_at, k.version, r.id, h.until, s.at,
           s.fingerprint
    FROM object AS o JOIN adapter AS a ON a.seq = o.adapter
    LEFT JOIN kek AS k ON k.seq = o.material LEFT JOIN root_key AS r ON r.seq = k.root
    LEFT JOIN held AS h ON h.object = o.seq LEFT JOIN object_seen AS s ON s.object = o.seq
    ",
            $which
        )
    };
}

pub(super) const SELECT_LISTED: &str = listed!("WHERE o.id = ?1");

pub(super) const SELECT_PLACED: &str = listed!("WHERE o.seq = ?1");

impl Sqlite {
    pub(in crate::store) fn listed_object(&self, id: ObjectId) -> Result<Option<ListedObject>, StoreError> {
        self.readers.read(|connection| {
            let mut select = connection.prepare_cached(SELECT_LISTED)?;
            Ok(select.query_row([id.0.as_bytes()], listed).optional()?)
        })
    }

    pub(in crate::store) fn counts(&self) -> Result<Vec<(AdapterId, ObjectCount)>, StoreError> {
        self.readers.read(|connection| {
            rows(
                connection,
                "SELECT a.id, c.live, c.destroyed FROM adapter AS a JOIN object_count AS c ON c.adapter = a.seq
                 WHERE a.state <> 3 ORDER BY a.seq",
                |row| {
                    let count = ObjectCount { live: row.get(1)?, destroyed: row.get(2)? };
                    Ok((AdapterId(Uuid::from_bytes(row.get(0)?)), count))
                },
            )
        })
    }
}

/// The object at a place in the order of creation.
pub(super) fn by_place(connection: &Connection, seq: i64) -> Result<Option<ListedObject>, StoreError> {
    let mut select = connection.prepare_cached(SELECT_PLACED)?;
    Ok(select.query_row([seq], listed).optional()?)
}

fn listed(row: &Row<'_>) -> rusqlite::Result<ListedObject> {
    let version = row.get::<_, Option<[u8; 4]>>(7)?.map(u32::from_be_bytes).filter(|version| *version > 0);
    let root = row.get::<_, Option<[u8; 16]>>(8)?.map(Uuid::from_bytes);
    let at: Option<i64> = row.get(10)?;
    let certificate = row.get::<_, Option<[u8; 32]>>(11)?.map(Fingerprint);
    Ok(ListedObject {
        id: ObjectId(Uuid::from_bytes(row.get(0)?)),
        adapter: AdapterId(Uuid::from_bytes(row.get(1)?)),
        object_type: row.get(2)?,
        revision: row.get(3)?,
        metadata: row.get(4)?,
        destroyed: row.get(5)?,
        due_at: row.get(6)?,
        sealed_under: root.zip(version),
        held_until: row.get(9)?,
        seen: at.zip(certificate).map(|(at, certificate)| ObjectUse { at, certificate }),
    })
}
