//! The embedded engine: one SQLite file in WAL mode.
//!
//! One thread writes (`writer`), a few connections read (`readers`), and neither waits for the other. This module joins
//! them and answers what takes one statement. It never hands a connection out, and keeps nothing of an object in memory.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use parking_lot::RwLock;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, ffi, params};
use uuid::Uuid;

pub(super) use self::backup::look_into;
use self::{
    readers::Readers,
    writer::{Mutation, Writer},
};
use super::{AdapterId, Change, Condition, ObjectCount, ObjectId, ObjectRow, Search, StoreError, StoreOptions};

mod across;
mod adapters;
mod answers;
mod api_keys;
mod approvals;
mod backup;
mod changes;
mod entries;
mod hands;
mod held;
mod identities;
mod keks;
mod listing;
mod locate;
mod readers;
mod root_keys;
mod rotations;
mod schema;
mod seen;
mod trust;
mod writer;

const SELECT_OBJECT: &str = "
    SELECT o.id, o.object_type, o.revision, o.metadata, o.destroyed, o.due_at, m.sealed, k.version, k.wrapped, r.id
    FROM object AS o LEFT JOIN material AS m ON m.seq = o.material
    LEFT JOIN kek AS k ON k.seq = o.material LEFT JOIN root_key AS r ON r.seq = k.root
    WHERE o.id = ?1 AND o.adapter = ?2";

const SELECT_DUE: &str = "
    SELECT o.id, o.object_type, o.revision, o.metadata, o.destroyed, o.due_at, m.sealed, k.version, k.wrapped, r.id
    FROM object AS o LEFT JOIN material AS m ON m.seq = o.material
    LEFT JOIN kek AS k ON k.seq = o.material LEFT JOIN root_key AS r ON r.seq = k.root
    WHERE o.adapter = ?1 AND o.due_at <= ?2 ORDER BY o.due_at, o.seq LIMIT ?3";

/// In no order: whoever counts needs none, and rows need not be sorted first.
const SELECT_DUE_WITHOUT_MATERIAL: &str = "
    SELECT o.id, o.object_type, o.revision, o.metadata, o.destroyed, o.due_at, NULL
    FROM object AS o WHERE o.adapter = ?1 AND o.due_at <= ?2";

const SELECT_COUNTS: &str = "SELECT live, destroyed FROM object_count WHERE adapter = ?1";

/// The engine behind [`super::Store`], which documents the methods.
pub(super) struct Sqlite {
    /// Dropped first: what waits is still done. The last reader to close then removes the log.
    writer: Writer,
    readers: Readers,
    path: PathBuf,
    /// The small numbers of adapters, as committed. A number is never reused, not even when its adapter is gone.
    adapters: RwLock<HashMap<AdapterId, i64>>,
}

impl Sqlite {
    pub(super) fn open(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let connection = schema::open_writer(path, options.migrate)?;
        let readers = Readers::open(path, options.readers)?;
        let writer = Writer::start(path, connection, &options)?;
        Ok(Self { writer, readers, path: path.to_owned(), adapters: RwLock::default() })
    }

    pub(super) fn apply(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.writer.run(Mutation::Objects(changes))
    }

    pub(super) fn object(&self, adapter: AdapterId, id: ObjectId) -> Result<Option<ObjectRow>, StoreError> {
        self.read_of(adapter, None, |connection, seq| {
            let mut select = connection.prepare_cached(SELECT_OBJECT)?;
            Ok(select.query_row(params![id.0.as_bytes(), seq], |row| object(row, adapter)).optional()?)
        })
    }

    pub(super) fn search(&self, adapter: AdapterId, search: &Search) -> Result<Vec<ObjectId>, StoreError> {
        self.read_of(adapter, Vec::new(), |connection, seq| locate::search(connection, seq, search))
    }

    pub(super) fn due(&self, adapter: AdapterId, now: i64, limit: u64) -> Result<Vec<ObjectRow>, StoreError> {
        self.read_of(adapter, Vec::new(), |connection, seq| {
            let mut select = connection.prepare_cached(SELECT_DUE)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = select.query_map([seq, now, limit], |row| object(row, adapter))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    pub(super) fn each_due(
        &self,
        adapter: AdapterId,
        now: i64,
        mut visit: impl FnMut(ObjectRow),
    ) -> Result<(), StoreError> {
        self.read_of(adapter, (), |connection, seq| visit_due(connection, (seq, adapter), now, &mut visit))
    }

    pub(super) fn count(&self, adapter: AdapterId) -> Result<ObjectCount, StoreError> {
        self.read_of(adapter, ObjectCount::default(), |connection, seq| {
            let mut select = connection.prepare_cached(SELECT_COUNTS)?;
            Ok(select.query_row([seq], |row| Ok(ObjectCount { live: row.get(0)?, destroyed: row.get(1)? }))?)
        })
    }

    pub(super) fn scrub(&self) -> Result<(), StoreError> {
        self.writer.run(Mutation::Scrub)
    }

    pub(super) fn backup(&self, copy: &Path) -> Result<(), StoreError> {
        schema::back_up(&self.path, copy)
    }

    pub(super) fn waiting(&self) -> usize {
        self.writer.waiting()
    }

    pub(super) fn condition(&self) -> Condition {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let bytes = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        Condition {
            bytes: bytes(&self.path) + bytes(Path::new(&log)),
            last_write: self.writer.last_write(),
            waiting: self.writer.waiting(),
        }
    }

    /// Reads something of `adapter`; an adapter that is not there has `nothing`.
    fn read_of<T>(
        &self,
        adapter: AdapterId,
        nothing: T,
        read: impl FnOnce(&Connection, i64) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let known = self.adapters.read().get(&adapter).copied();
        self.readers.read(|connection| {
            if let Some(seq) = known {
                return read(connection, seq);
            }
            let Some(seq) = changes::adapter_seq(connection, adapter)? else { return Ok(nothing) };
            self.adapters.write().insert(adapter, seq);
            read(connection, seq)
        })
    }
}

/// Gives objects of an adapter that are due at `now` to `visit`, without what is sealed.
fn visit_due(
    connection: &Connection,
    (seq, adapter): (i64, AdapterId),
    now: i64,
    visit: &mut dyn FnMut(ObjectRow),
) -> Result<(), StoreError> {
    let mut select = connection.prepare_cached(SELECT_DUE_WITHOUT_MATERIAL)?;
    let mut rows = select.query([seq, now])?;
    while let Some(row) = rows.next()? {
        visit(object(row, adapter)?);
    }
    Ok(())
}

fn object(row: &Row<'_>, adapter: AdapterId) -> rusqlite::Result<ObjectRow> {
    Ok(ObjectRow {
        id: ObjectId(Uuid::from_bytes(row.get(0)?)),
        adapter,
        object_type: row.get(1)?,
        revision: row.get(2)?,
        metadata: row.get(3)?,
        destroyed: row.get(4)?,
        due_at: row.get(5)?,
        sealed: keks::sealed(row, 6)?,
    })
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        // Every column has its type by the schema, so what cannot be read is what the store itself encodes.
        if matches!(error, rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..)) {
            return Self::Damaged;
        }
        let Some(failure) = error.sqlite_error() else { return Self::Database(error) };
        match (failure.code, failure.extended_code) {
            (ErrorCode::DiskFull, _) => Self::DiskFull,
            // A write that the system refused for another reason than a full disk: a quota or a file size limit. A disk
            // that fails shows when the data is synced. The log's index in shared memory grows like a file.
            (_, ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_SHMSIZE) => Self::DiskFull,
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => Self::Overloaded,
            _ => Self::Database(error),
        }
    }
}

#[cfg(test)]
mod tests;
