//! Material that outlives the destruction of its object for a while: out of reach, until it is erased or given back.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{
    Sqlite,
    changes::{erase_material, recount},
    entries::{Entries, Place},
    keks,
    trust::{limit_of, must_find, rows_of},
    writer::Mutation,
};
use crate::store::{AdapterId, HeldRow, ObjectId, StoreError};

pub(super) const SELECT_HELD: &str = "
    SELECT o.id, a.id, h.until
    FROM held AS h JOIN object AS o ON o.seq = h.object JOIN adapter AS a ON a.seq = h.adapter
    WHERE h.until <= ?1 ORDER BY h.until, h.object LIMIT ?2";

const SELECT_HELD_OF_ADAPTER: &str = "
    SELECT o.id, a.id, h.until
    FROM adapter AS a JOIN held AS h ON h.adapter = a.seq JOIN object AS o ON o.seq = h.object
    WHERE a.id = ?1 ORDER BY h.until, h.object LIMIT ?2";

/// One end of a hold.
pub(super) enum HeldChange {
    Release { object: ObjectId, until: i64 },
    Recover { object: ObjectId, now: i64 },
}

impl Sqlite {
    pub(in crate::store) fn held_objects(
        &self,
        adapter: Option<AdapterId>,
        limit: u64,
    ) -> Result<Vec<HeldRow>, StoreError> {
        let limit = limit_of(limit);
        self.readers.read(|connection| match adapter {
            Some(adapter) => {
                rows_of(connection, SELECT_HELD_OF_ADAPTER, params![adapter.0.as_bytes(), limit], held_row)
            }
            None => rows_of(connection, SELECT_HELD, [i64::MAX, limit], held_row),
        })
    }

    pub(in crate::store) fn held_count(&self, adapter: AdapterId) -> Result<u64, StoreError> {
        self.read_of(adapter, 0, count)
    }

    pub(in crate::store) fn due_holds(&self, now: i64, limit: u64) -> Result<Vec<HeldRow>, StoreError> {
        self.readers.read(|connection| rows_of(connection, SELECT_HELD, [now, limit_of(limit)], held_row))
    }

    pub(in crate::store) fn release_hold(&self, object: ObjectId, until: i64) -> Result<(), StoreError> {
        self.writer.run(Mutation::Held(HeldChange::Release { object, until }))
    }

    pub(in crate::store) fn recover_held(&self, object: ObjectId, now: i64) -> Result<(), StoreError> {
        self.writer.run(Mutation::Held(HeldChange::Recover { object, now }))
    }
}

/// What is kept of a held object.
struct Held {
    object: i64,
    adapter: i64,
    adapter_is_live: bool,
    until: i64,
    material: Option<i64>,
    /// What finds it now that it is destroyed.
    entries: Entries,
    /// What found it before.
    entries_before: Entries,
}

/// Makes one change inside the writer's transaction. Returns whether material was overwritten.
pub(super) fn apply(connection: &Connection, change: &HeldChange) -> Result<bool, StoreError> {
    match change {
        HeldChange::Release { object, until } => {
            let held = find(connection, *object)?;
            if held.until != *until {
                return Err(StoreError::Conflict);
            }
            erase(connection, held.object).map(|()| true)
        }
        HeldChange::Recover { object, now } => recover(connection, *object, *now).map(|()| false),
    }
}

/// Keeps what the object is before the update that destroys it. Nothing of the material is touched.
pub(super) fn hold(connection: &Connection, object: i64, until: i64) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO held (object, adapter, until, material, due_at, entries, metadata)
         SELECT seq, adapter, ?2, material, due_at, entries, metadata FROM object WHERE seq = ?1",
    )?;
    must_find(insert.execute([object, until])?)
}

/// How many objects of an adapter are held.
pub(super) fn count(connection: &Connection, adapter: i64) -> Result<u64, StoreError> {
    let mut select = connection.prepare_cached("SELECT count(*) FROM held WHERE adapter = ?1")?;
    Ok(select.query_row([adapter], |row| row.get(0))?)
}

/// Whether anything is held of `object`.
pub(super) fn is_held(connection: &Connection, object: i64) -> Result<bool, StoreError> {
    let mut select = connection.prepare_cached("SELECT count(*) FROM held WHERE object = ?1")?;
    Ok(select.query_row([object], |row| row.get::<_, u64>(0))? > 0)
}

/// Writes zeros over what is held of `object`, if anything is.
pub(super) fn erase(connection: &Connection, object: i64) -> Result<(), StoreError> {
    let mut select = connection.prepare_cached("SELECT material FROM held WHERE object = ?1")?;
    let material: Option<Option<i64>> = select.query_row([object], |row| row.get(0)).optional()?;
    if let Some(material) = material.flatten() {
        erase_material(connection, material)?;
    }
    end(connection, object)
}

fn recover(connection: &Connection, object: ObjectId, now: i64) -> Result<(), StoreError> {
    let held = find(connection, object)?;
    if !held.adapter_is_live {
        return Err(StoreError::NotFound);
    }
    if held.until <= now {
        return Err(StoreError::Conflict);
    }
    if let Some(material) = held.material
        && keks::is_erased(connection, material)?
    {
        return Err(StoreError::StaleRootKey);
    }
    let was = Place { adapter: held.adapter, object: held.object, destroyed: true };
    let place = Place { destroyed: false, ..was };
    held.entries_before.replace(connection, &held.entries, was, place)?;
    connection.execute(
        "UPDATE object SET revision = revision + 1, destroyed = 0, due_at = h.due_at, material = h.material,
                           entries = h.entries, metadata = h.metadata
         FROM held AS h WHERE h.object = object.seq AND object.seq = ?1",
        [held.object],
    )?;
    recount(connection, held.adapter, 1, -1)?;
    end(connection, held.object)
}

fn end(connection: &Connection, object: i64) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM held WHERE object = ?1")?.execute([object])?;
    Ok(())
}

fn find(connection: &Connection, object: ObjectId) -> Result<Held, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT h.object, h.adapter, a.state = 1, h.until, h.material, o.entries, h.entries
         FROM object AS o JOIN held AS h ON h.object = o.seq JOIN adapter AS a ON a.seq = h.adapter WHERE o.id = ?1",
    )?;
    let found = select.query_row([object.0.as_bytes()], |row| {
        Ok(Held {
            object: row.get(0)?,
            adapter: row.get(1)?,
            adapter_is_live: row.get(2)?,
            until: row.get(3)?,
            material: row.get(4)?,
            entries: row.get(5)?,
            entries_before: row.get(6)?,
        })
    });
    found.optional()?.ok_or(StoreError::NotFound)
}

fn held_row(row: &Row<'_>) -> rusqlite::Result<HeldRow> {
    Ok(HeldRow {
        object: ObjectId(Uuid::from_bytes(row.get(0)?)),
        adapter: AdapterId(Uuid::from_bytes(row.get(1)?)),
        until: row.get(2)?,
    })
}
