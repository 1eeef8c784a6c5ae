//! Changes of objects, made inside the writer's transaction.
//!
//! Everything that can refuse a change is asked before or by the statement that writes; what a refused change has written
//! already is undone by the writer.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    entries::{Entries, Place},
    held, keks,
};
use crate::store::{AdapterId, Change, IndexEntries, ObjectRow, SealedRow, StoreError};

/// The small numbers of adapters that were not deleted, as the writer's transaction sees them.
#[derive(Default)]
pub(super) struct Adapters(HashMap<AdapterId, i64>);

impl Adapters {
    /// The number of `adapter`; `NotFound` where it was deleted.
    pub(super) fn seq(&mut self, connection: &Connection, adapter: AdapterId) -> Result<i64, StoreError> {
        if let Some(seq) = self.0.get(&adapter) {
            return Ok(*seq);
        }
        let mut select = connection.prepare_cached("SELECT seq FROM adapter WHERE id = ?1 AND state = 1")?;
        let seq = select.query_row([adapter.0.as_bytes()], |row| row.get(0)).optional()?;
        let seq = seq.ok_or(StoreError::NotFound)?;
        self.0.insert(adapter, seq);
        Ok(seq)
    }

    /// To be called when anything was rolled back, for an adapter that was seen may never have been, and when one was deleted.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// The number of `adapter` in the snapshot that `connection` sees, also where it was deleted.
pub(super) fn adapter_seq(connection: &Connection, adapter: AdapterId) -> Result<Option<i64>, StoreError> {
    let mut select = connection.prepare_cached("SELECT seq FROM adapter WHERE id = ?1")?;
    Ok(select.query_row([adapter.0.as_bytes()], |row| row.get(0)).optional()?)
}

/// Makes one change. Returns whether sealed material was overwritten, of which the log still has the old copy.
pub(super) fn apply(connection: &Connection, adapters: &mut Adapters, change: &Change) -> Result<bool, StoreError> {
    match change {
        Change::Insert { row, index } => insert(connection, adapters, row, index).map(|()| false),
        Change::Update { row, index } => update(connection, adapters, row, index.as_ref(), None),
        Change::Hold { row, index, until } => update(connection, adapters, row, index.as_ref(), Some(*until)),
    }
}

/// Counts objects of `adapter` in or out.
pub(super) fn recount(connection: &Connection, adapter: i64, live: i64, destroyed: i64) -> Result<(), StoreError> {
    let mut count = connection
        .prepare_cached("UPDATE object_count SET live = live + ?2, destroyed = destroyed + ?3 WHERE adapter = ?1")?;
    count.execute([adapter, live, destroyed])?;
    Ok(())
}

fn insert(
    connection: &Connection,
    adapters: &mut Adapters,
    row: &ObjectRow,
    index: &IndexEntries,
) -> Result<(), StoreError> {
    if row.revision != 1 {
        return Err(StoreError::Conflict);
    }
    let adapter = adapters.seq(connection, row.adapter)?;
    let material = row.sealed.as_ref().map(|sealed| append_material(connection, sealed)).transpose()?;
    let entries = Entries::from(index);
    let mut insert = connection.prepare_cached(
        "INSERT INTO object (id, adapter, object_type, revision, destroyed, due_at, material, entries, metadata)
         VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING",
    )?;
    let inserted = insert.execute(params![
        row.id.0.as_bytes(),
        adapter,
        row.object_type,
        row.destroyed,
        row.due_at,
        material,
        entries,
        row.metadata,
    ])?;
    if inserted == 0 {
        return Err(StoreError::Duplicate);
    }
    let place = Place { adapter, object: connection.last_insert_rowid(), destroyed: row.destroyed };
    recount(connection, adapter, i64::from(!row.destroyed), i64::from(row.destroyed))?;
    if let Some((sealed, material)) = row.sealed.as_ref().zip(material) {
        keks::append(connection, material, place.object, sealed)?;
    }
    entries.insert(connection, place)
}

/// What an update must know of the stored object.
struct Stored {
    place: Place,
    material: Option<i64>,
    same_material: bool,
    entries: Entries,
}

fn update(
    connection: &Connection,
    adapters: &mut Adapters,
    row: &ObjectRow,
    index: Option<&IndexEntries>,
    hold_until: Option<i64>,
) -> Result<bool, StoreError> {
    let adapter = adapters.seq(connection, row.adapter)?;
    let stored = stored(connection, adapter, row)?;
    let place = Place { destroyed: row.destroyed, ..stored.place };
    if let Some(until) = hold_until {
        if stored.place.destroyed || !row.destroyed || row.sealed.is_some() {
            return Err(StoreError::Conflict);
        }
        held::hold(connection, stored.place.object, until)?;
    } else if stored.place.destroyed && !row.destroyed && held::is_held(connection, stored.place.object)? {
        // Only the end of the hold gives the object back what is held of it.
        return Err(StoreError::Conflict);
    }

    let entries = index.map(Entries::from);
    let entries = entries.as_ref().unwrap_or(&stored.entries);
    entries.replace(connection, &stored.entries, stored.place, place)?;

    let material = if stored.same_material {
        stored.material
    } else {
        row.sealed.as_ref().map(|sealed| append_material(connection, sealed)).transpose()?
    };
    if let Some((sealed, material)) = row.sealed.as_ref().zip(material).filter(|_| !stored.same_material) {
        keks::append(connection, material, place.object, sealed)?;
    }
    let mut update = connection.prepare_cached(
        "UPDATE object SET revision = ?2, destroyed = ?3, due_at = ?4, material = ?5, entries = ?6, metadata = ?7
         WHERE seq = ?1",
    )?;
    let revision = i64::try_from(row.revision).map_err(|_| StoreError::Conflict)?;
    update.execute(params![place.object, revision, row.destroyed, row.due_at, material, entries, row.metadata])?;
    if stored.place.destroyed != place.destroyed {
        let (live, destroyed) = if place.destroyed { (-1, 1) } else { (1, -1) };
        recount(connection, adapter, live, destroyed)?;
    }
    match stored.material {
        Some(old) if !stored.same_material && hold_until.is_none() => erase_material(connection, old).map(|()| true),
        _ => Ok(false),
    }
}

/// Finds the object that `row` replaces and checks that `row` was made from it.
fn stored(connection: &Connection, adapter: i64, row: &ObjectRow) -> Result<Stored, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT o.seq, o.object_type, o.revision, o.destroyed, o.material, o.entries, m.sealed
         FROM object AS o LEFT JOIN material AS m ON m.seq = o.material
         WHERE o.id = ?1 AND o.adapter = ?2",
    )?;
    let mut rows = select.query(params![row.id.0.as_bytes(), adapter])?;
    let found = rows.next()?.ok_or(StoreError::NotFound)?;
    if found.get::<_, u32>(1)? != row.object_type {
        return Err(StoreError::NotFound);
    }
    let revision: u64 = found.get(2)?;
    if revision.checked_add(1) != Some(row.revision) {
        return Err(StoreError::Conflict);
    }
    let body = found.get_ref(6)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
    Ok(Stored {
        place: Place { adapter, object: found.get(0)?, destroyed: found.get(3)? },
        material: found.get(4)?,
        same_material: body == row.sealed.as_ref().map(|sealed| sealed.body.as_slice()),
        entries: found.get(5)?,
    })
}

fn append_material(connection: &Connection, sealed: &SealedRow) -> Result<i64, StoreError> {
    let mut insert = connection.prepare_cached("INSERT INTO material (sealed) VALUES (?1)")?;
    Ok(insert.insert([&sealed.body])?)
}

/// Writes zeros over the material and its KEK. The rows keep their size, so SQLite writes them where those were.
pub(super) fn erase_material(connection: &Connection, material: i64) -> Result<(), StoreError> {
    let mut erase =
        connection.prepare_cached("UPDATE material SET sealed = zeroblob(length(sealed)) WHERE seq = ?1")?;
    erase.execute([material])?;
    keks::erase(connection, material)
}
