//! Rotations: where each stands, and its steps. A step replaces KEKs and moves the cursor in one transaction, so whoever goes
//! on after a crash misses nothing.

use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::{
    Sqlite, keks, root_keys,
    trust::{must_find, rows},
    writer::Mutation,
};
use crate::store::{AdapterId, KekCount, KekRow, ObjectId, RootKeyVersionRow, RotationRow, RotationStep, StoreError};

/// A change of the rotation of a root key to a version.
pub(super) struct RotationChange {
    root: Uuid,
    to_version: u32,
    what: What,
}

enum What {
    Step(RotationStep),
    Restart,
    Finish { at: i64, damaged: u64, proof: String },
}

impl Sqlite {
    pub(in crate::store) fn kek_counts(&self) -> Result<Vec<KekCount>, StoreError> {
        self.readers.read(keks::counts)
    }

    pub(in crate::store) fn keks_ever(&self) -> Result<Vec<(Uuid, u64)>, StoreError> {
        self.readers.read(keks::ever)
    }

    pub(in crate::store) fn next_keks(
        &self,
        root: Uuid,
        not_version: u32,
        after_seq: i64,
        limit: u64,
    ) -> Result<Vec<KekRow>, StoreError> {
        self.readers.read(|connection| keks::next(connection, root, not_version, after_seq, limit))
    }

    pub(in crate::store) fn kek_owner(&self, seq: i64) -> Result<Option<(AdapterId, ObjectId)>, StoreError> {
        self.readers.read(|connection| keks::owner(connection, seq))
    }

    pub(in crate::store) fn rotation_step(
        &self,
        root: Uuid,
        to_version: u32,
        step: RotationStep,
    ) -> Result<(), StoreError> {
        self.change_rotation(root, to_version, What::Step(step))
    }

    pub(in crate::store) fn restart_rotation(&self, root: Uuid, to_version: u32) -> Result<(), StoreError> {
        self.change_rotation(root, to_version, What::Restart)
    }

    pub(in crate::store) fn finish_rotation(
        &self,
        root: Uuid,
        to_version: u32,
        at: i64,
        damaged: u64,
        proof: String,
    ) -> Result<(), StoreError> {
        self.change_rotation(root, to_version, What::Finish { at, damaged, proof })
    }

    pub(in crate::store) fn rotations(&self) -> Result<Vec<RotationRow>, StoreError> {
        self.readers.read(|connection| {
            rows(
                connection,
                "SELECT r.id, t.from_version, t.to_version, t.started_at, t.cursor, t.total, t.done, t.failed,
                        t.finished_at, t.proof
                 FROM rotation AS t JOIN root_key AS r ON r.seq = t.root ORDER BY t.seq",
                rotation,
            )
        })
    }

    fn change_rotation(&self, root: Uuid, to_version: u32, what: What) -> Result<(), StoreError> {
        self.writer.run(Mutation::Rotation(RotationChange { root, to_version, what }))
    }
}

/// Makes one change inside the writer's transaction. Returns whether the log is to be cut soon: at the end of a rotation, so
/// that nothing is left of the KEKs it replaced, and not at each of its steps, which would make requests wait every second.
pub(super) fn apply(connection: &Connection, change: &RotationChange) -> Result<bool, StoreError> {
    let RotationChange { root, to_version, what } = change;
    let root = root_keys::find(connection, *root)?.ok_or(StoreError::NotFound)?.seq;
    match what {
        What::Step(step) => take_step(connection, root, *to_version, step)?,
        What::Restart => {
            let sql = "UPDATE rotation SET cursor = 0, failed = 0
                       WHERE root = ?1 AND to_version = ?2 AND finished_at IS NULL";
            must_find(connection.execute(sql, params![root, to_version])?)?;
        }
        What::Finish { at, damaged, proof } => {
            finish(connection, root, *to_version, *at, *damaged, proof)?;
            return Ok(true);
        }
    }
    Ok(false)
}

fn take_step(connection: &Connection, root: i64, to_version: u32, step: &RotationStep) -> Result<(), StoreError> {
    let mut done: u64 = 0;
    for kek in &step.rewrapped {
        done += u64::from(keks::replace(connection, kek.seq, &kek.old, to_version, &kek.new)?);
    }
    let mut count = connection.prepare_cached(
        "UPDATE rotation SET done = done + ?3, failed = failed + ?4, cursor = max(cursor, ?5)
         WHERE root = ?1 AND to_version = ?2 AND finished_at IS NULL",
    )?;
    must_find(count.execute(params![root, to_version, done, step.failed, step.cursor])?)
}

fn finish(
    connection: &Connection,
    root: i64,
    to_version: u32,
    at: i64,
    damaged: u64,
    proof: &str,
) -> Result<(), StoreError> {
    let keks = keks::count(connection, root, to_version, true)?;
    if keks > damaged {
        return Err(StoreError::InUse { keks });
    }
    must_find(connection.execute(
        "UPDATE rotation SET finished_at = ?3, proof = ?4, failed = ?5
         WHERE root = ?1 AND to_version = ?2 AND finished_at IS NULL",
        params![root, to_version, at, proof, damaged],
    )?)
}

/// Whether a rotation of `root` is at work.
pub(super) fn is_unfinished(connection: &Connection, root: i64) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM rotation WHERE root = ?1 AND finished_at IS NULL";
    let unfinished: u64 = connection.query_row(sql, [root], |row| row.get(0))?;
    Ok(unfinished > 0)
}

/// Begins the rotation to the version `to`, which is current from now on.
pub(super) fn begin(connection: &Connection, root: i64, from: u32, to: &RootKeyVersionRow) -> Result<(), StoreError> {
    let total = keks::count(connection, root, to.version, true)?;
    connection.execute(
        "INSERT INTO rotation (root, from_version, to_version, started_at, total) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![root, from, to.version, to.created_at, total],
    )?;
    Ok(())
}

/// Ends the rotation of a root key that is no more.
pub(super) fn abandon(connection: &Connection, root: i64, at: i64) -> Result<(), StoreError> {
    connection.execute("UPDATE rotation SET finished_at = ?2 WHERE root = ?1 AND finished_at IS NULL", [root, at])?;
    Ok(())
}

fn rotation(row: &Row<'_>) -> rusqlite::Result<RotationRow> {
    Ok(RotationRow {
        root: Uuid::from_bytes(row.get(0)?),
        from_version: row.get(1)?,
        to_version: row.get(2)?,
        started_at: row.get(3)?,
        cursor: row.get(4)?,
        total: row.get(5)?,
        done: row.get(6)?,
        failed: row.get(7)?,
        finished_at: row.get(8)?,
        proof: row.get(9)?,
    })
}
