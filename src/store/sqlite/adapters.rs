//! Adapters and their end.
//!
//! The row of an adapter that was deleted stays, for its objects name it. It leaves state 1 (live) in the transaction in which
//! everything goes by which anybody connects, and state 2 (deleted) when its last object is destroyed.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{
    Sqlite,
    changes::{self, Adapters},
    entries::{Entries, Place},
    held, root_keys,
    trust::{TrustChange, limit_of, must_be_new, must_find, rows, rows_of, within},
    writer::{Limits, Mutation},
};
use crate::store::{AdapterCredential, AdapterId, AdapterRow, DeletedAdapter, InState, Loss, ObjectId, StoreError};

const SELECT_ADAPTERS: &str = "
    SELECT id, name, description, root_key, username, password_hash, created_at, revision, changed_at, hold_seconds
    FROM adapter WHERE state = 1 AND (?1 IS NULL OR id = ?1) ORDER BY seq";

/// Live objects, and destroyed ones that are held.
pub(super) const SELECT_TO_DESTROY: &str = "
    SELECT seq, id FROM object WHERE adapter = ?1 AND destroyed = 0
    UNION ALL SELECT o.seq, o.id FROM held AS h JOIN object AS o ON o.seq = h.object WHERE h.adapter = ?1
    LIMIT ?2";

/// One change of adapters.
pub(super) enum AdapterChange {
    Insert(AdapterRow),
    Update(AdapterRow),
    SetCredential(AdapterId, Option<AdapterCredential>),
    Delete { id: AdapterId, revision: u64, loss: Loss, at: i64 },
}

/// One step of the end of a deleted adapter.
pub(super) enum Emptying {
    /// These objects are destroyed.
    Destroy { adapter: i64, objects: Vec<i64> },
    /// Nothing is left.
    Gone { adapter: i64 },
}

impl Sqlite {
    pub(in crate::store) fn adapter_rows(&self) -> Result<Vec<AdapterRow>, StoreError> {
        self.readers.read(read)
    }

    pub(in crate::store) fn adapter_row(&self, id: AdapterId) -> Result<Option<AdapterRow>, StoreError> {
        self.readers.read(|connection| {
            let mut select = connection.prepare_cached(SELECT_ADAPTERS)?;
            Ok(select.query_row([id.0.as_bytes()], adapter).optional()?)
        })
    }

    pub(in crate::store) fn insert_adapter(&self, row: AdapterRow) -> Result<(), StoreError> {
        self.change_adapter(AdapterChange::Insert(row))
    }

    pub(in crate::store) fn update_adapter(&self, row: AdapterRow) -> Result<(), StoreError> {
        self.change_adapter(AdapterChange::Update(row))
    }

    pub(in crate::store) fn set_credential(
        &self,
        adapter: AdapterId,
        credential: Option<AdapterCredential>,
    ) -> Result<(), StoreError> {
        self.change_adapter(AdapterChange::SetCredential(adapter, credential))
    }

    pub(in crate::store) fn delete_adapter(
        &self,
        id: AdapterId,
        revision: u64,
        loss: Loss,
        at: i64,
    ) -> Result<(), StoreError> {
        self.change_adapter(AdapterChange::Delete { id, revision, loss, at })
    }

    pub(in crate::store) fn deleted_adapters(&self) -> Result<Vec<DeletedAdapter>, StoreError> {
        let sql = "SELECT id, name, deleted_at FROM adapter WHERE state = 2 ORDER BY deleted_at, seq";
        self.readers.read(|connection| {
            rows(connection, sql, |row| {
                let id = AdapterId(Uuid::from_bytes(row.get(0)?));
                Ok(DeletedAdapter { id, name: row.get(1)?, deleted_at: row.get(2)? })
            })
        })
    }

    pub(in crate::store) fn empty_deleted_adapter<E: From<StoreError>>(
        &self,
        id: AdapterId,
        limit: u64,
        before: impl FnOnce(&[ObjectId]) -> Result<(), E>,
    ) -> Result<Vec<ObjectId>, E> {
        let (adapter, objects) = self.readers.read(|connection| {
            let sql = "SELECT seq FROM adapter WHERE id = ?1 AND state <> 1";
            let seq: Option<i64> =
                connection.prepare_cached(sql)?.query_row([id.0.as_bytes()], |row| row.get(0)).optional()?;
            let seq = seq.ok_or(StoreError::NotFound)?;
            let objects = rows_of(connection, SELECT_TO_DESTROY, [seq, limit_of(limit.max(1))], |row| {
                Ok((row.get::<_, i64>(0)?, ObjectId(Uuid::from_bytes(row.get(1)?))))
            })?;
            Ok((seq, objects))
        })?;
        let (objects, ids): (Vec<i64>, Vec<ObjectId>) = objects.into_iter().unzip();
        before(&ids)?;
        let step = if objects.is_empty() { Emptying::Gone { adapter } } else { Emptying::Destroy { adapter, objects } };
        self.writer.run(Mutation::Empty(step))?;
        Ok(ids)
    }

    fn change_adapter(&self, change: AdapterChange) -> Result<(), StoreError> {
        self.change_trust(TrustChange::Adapter(change))
    }
}

/// Makes one change inside the writer's transaction.
pub(super) fn apply(
    connection: &Connection,
    adapters: &mut Adapters,
    limits: &Limits,
    change: &AdapterChange,
) -> Result<(), StoreError> {
    match change {
        AdapterChange::Insert(row) => insert(connection, limits, row),
        AdapterChange::Update(row) => update(connection, adapters, row),
        AdapterChange::SetCredential(adapter, credential) => {
            let seq = adapters.seq(connection, *adapter)?;
            let (username, hash) = credential.as_ref().map(|c| (&c.username, &c.password_hash)).unzip();
            connection.execute(
                "UPDATE adapter SET username = ?2, password_hash = ?3, revision = revision + 1 WHERE seq = ?1",
                params![seq, username, hash],
            )?;
            Ok(())
        }
        AdapterChange::Delete { id, revision, loss, at } => {
            let seq = adapters.seq(connection, *id)?;
            adapters.forget();
            if revision_of(connection, seq)? != *revision {
                return Err(StoreError::Conflict);
            }
            no_more_than(connection, (seq, *id), loss, *at)?;
            delete(connection, seq, *at)
        }
    }
}

fn insert(connection: &Connection, limits: &Limits, row: &AdapterRow) -> Result<(), StoreError> {
    if row.revision != 1 {
        return Err(StoreError::Conflict);
    }
    root_keys::active(connection, row.root_key)?;
    let credential = row.credential.as_ref();
    must_be_new(connection.execute(
        "INSERT INTO adapter (id, name, description, root_key, username, password_hash, created_at, revision, changed_at,
                              hold_seconds, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8, ?9, 1) ON CONFLICT DO NOTHING",
        params![
            row.id.0.as_bytes(),
            row.name,
            row.description,
            row.root_key.as_bytes(),
            credential.map(|credential| &credential.username),
            credential.map(|credential| &credential.password_hash),
            row.created_at,
            row.changed_at,
            row.hold_seconds,
        ],
    )?)?;
    let seq = connection.last_insert_rowid();
    connection.execute("INSERT INTO object_count (adapter, live, destroyed) VALUES (?1, 0, 0)", [seq])?;
    within(limits.adapters, connection, "SELECT count(*) FROM adapter WHERE state <> 3", [])
}

fn update(connection: &Connection, adapters: &mut Adapters, row: &AdapterRow) -> Result<(), StoreError> {
    let seq = adapters.seq(connection, row.id)?;
    if revision_of(connection, seq)?.checked_add(1) != Some(row.revision) {
        return Err(StoreError::Conflict);
    }
    // What only this can refuse is the name.
    must_be_new(connection.execute(
        "UPDATE OR IGNORE adapter SET name = ?2, description = ?3, hold_seconds = ?4, changed_at = ?5,
                                      revision = revision + 1
         WHERE seq = ?1",
        params![seq, row.name, row.description, row.hold_seconds, row.changed_at],
    )?)
}

/// Whether not more is lost with the adapter than `loss`. Nothing of it changes before the transaction ends.
fn no_more_than(connection: &Connection, (seq, id): (i64, AdapterId), loss: &Loss, at: i64) -> Result<(), StoreError> {
    let mut count = connection.prepare_cached("SELECT live + destroyed FROM object_count WHERE adapter = ?1")?;
    let objects: u64 = count.query_row([seq], |row| row.get(0))?;
    let held = held::count(connection, seq)?;
    let (mut in_state, mut most_in_state) = (0, u64::MAX);
    if let Some(InState { term, moved, at_most }) = loss.in_state {
        let sql = "SELECT count(*) FROM term WHERE adapter = ?1 AND term = ?2 AND destroyed = 0";
        let mut found: i64 = connection.prepare_cached(sql)?.query_row(params![seq, term.0], |row| row.get(0))?;
        super::visit_due(connection, (seq, id), at, &mut |row| found += moved(row, at))?;
        (in_state, most_in_state) = (u64::try_from(found).unwrap_or(0), at_most);
    }
    if objects > loss.objects || held > loss.held || in_state > most_in_state {
        return Err(StoreError::MoreToLose { objects, in_state, held });
    }
    Ok(())
}

fn delete(connection: &Connection, seq: i64, at: i64) -> Result<(), StoreError> {
    connection.execute("DELETE FROM certificate WHERE adapter = ?1", [seq])?;
    connection.execute("DELETE FROM ca_rule WHERE adapter = ?1", [seq])?;
    connection.execute("DELETE FROM certificate_seen WHERE adapter = ?1", [seq])?;
    connection.execute(
        "UPDATE identity SET revision = revision + 1, changed_at = ?2
         WHERE seq IN (SELECT identity FROM identity_grant WHERE adapter = ?1)",
        [seq, at],
    )?;
    connection.execute("DELETE FROM identity_grant WHERE adapter = ?1", [seq])?;
    connection.execute(
        "UPDATE adapter SET username = NULL, password_hash = NULL, state = 2, deleted_at = ?2, changed_at = ?2,
                            revision = revision + 1
         WHERE seq = ?1",
        [seq, at],
    )?;
    Ok(())
}

fn revision_of(connection: &Connection, seq: i64) -> Result<u64, StoreError> {
    let mut select = connection.prepare_cached("SELECT revision FROM adapter WHERE seq = ?1")?;
    Ok(select.query_row([seq], |row| row.get(0))?)
}

/// Takes one step of an adapter's end inside the writer's transaction. Returns whether material was overwritten.
pub(super) fn empty(connection: &Connection, step: &Emptying) -> Result<bool, StoreError> {
    match step {
        Emptying::Destroy { adapter, objects } => {
            // An adapter is never live again, so what was read before the transaction still holds.
            for object in objects {
                destroy(connection, *adapter, *object)?;
            }
            Ok(true)
        }
        Emptying::Gone { adapter } => {
            let left: u64 = connection.query_row(
                "SELECT count(*) FROM (SELECT 1 FROM object WHERE adapter = ?1 AND destroyed = 0
                                       UNION ALL SELECT 1 FROM held WHERE adapter = ?1)",
                [adapter],
                |row| row.get(0),
            )?;
            if left > 0 {
                return Err(StoreError::Conflict);
            }
            must_find(connection.execute("UPDATE adapter SET state = 3 WHERE seq = ?1 AND state <> 1", [adapter])?)?;
            Ok(false)
        }
    }
}

/// Destroys an object whose adapter was deleted; one that is destroyed already stays as it is, but what is held of it goes.
fn destroy(connection: &Connection, adapter: i64, object: i64) -> Result<(), StoreError> {
    let mut select =
        connection.prepare_cached("SELECT material, entries FROM object WHERE seq = ?1 AND destroyed = 0")?;
    let live: Option<(Option<i64>, Entries)> = select
        // Damaged entries keep nothing from being destroyed; the index rows that they no longer name find a destroyed object.
        .query_row([object], |row| Ok((row.get(0)?, row.get(1).unwrap_or_default())))
        .optional()?;
    let Some((material, entries)) = live else { return held::erase(connection, object) };
    let was = Place { adapter, object, destroyed: false };
    let nothing = Entries::default();
    nothing.replace(connection, &entries, was, Place { destroyed: true, ..was })?;
    let mut update = connection.prepare_cached(
        "UPDATE object SET revision = revision + 1, destroyed = 1, due_at = NULL, material = NULL, entries = ?2
         WHERE seq = ?1",
    )?;
    update.execute(params![object, nothing])?;
    changes::recount(connection, adapter, -1, 1)?;
    material.map_or(Ok(()), |material| changes::erase_material(connection, material))
}

/// Reads adapters in the caller's snapshot.
pub(super) fn read(connection: &Connection) -> Result<Vec<AdapterRow>, StoreError> {
    rows_of(connection, SELECT_ADAPTERS, [None::<[u8; 16]>], adapter)
}

fn adapter(row: &Row<'_>) -> rusqlite::Result<AdapterRow> {
    let username: Option<String> = row.get(4)?;
    let password_hash: Option<String> = row.get(5)?;
    Ok(AdapterRow {
        id: AdapterId(Uuid::from_bytes(row.get(0)?)),
        name: row.get(1)?,
        description: row.get(2)?,
        root_key: Uuid::from_bytes(row.get(3)?),
        credential: username
            .zip(password_hash)
            .map(|(username, password_hash)| AdapterCredential { username, password_hash }),
        created_at: row.get(6)?,
        revision: row.get(7)?,
        changed_at: row.get(8)?,
        hold_seconds: row.get(9)?,
    })
}
