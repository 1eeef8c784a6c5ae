//! Answers to requests that may come again.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Sqlite, trust::must_be_new, writer::Mutation};
use crate::store::{AnswerRow, StoreError};

/// So many answers are remembered.
const REMEMBERED: i64 = 10_000;

/// One change of answers.
pub(super) enum AnswerChange {
    Remember(AnswerRow),
    ForgetBefore(i64),
}

impl Sqlite {
    pub(in crate::store) fn answer(&self, key: [u8; 32]) -> Result<Option<AnswerRow>, StoreError> {
        self.readers.read(|connection| {
            let mut select = connection
                .prepare_cached("SELECT key, request, status, body, created_at FROM answer WHERE key = ?1")?;
            let answer = select.query_row([key], |row| {
                Ok(AnswerRow {
                    key: row.get(0)?,
                    request: row.get(1)?,
                    status: row.get(2)?,
                    body: row.get(3)?,
                    created_at: row.get(4)?,
                })
            });
            Ok(answer.optional()?)
        })
    }

    pub(in crate::store) fn remember_answer(&self, row: AnswerRow) -> Result<(), StoreError> {
        self.writer.run(Mutation::Answer(AnswerChange::Remember(row)))
    }

    pub(in crate::store) fn forget_answers_before(&self, time: i64) -> Result<(), StoreError> {
        self.writer.run(Mutation::Answer(AnswerChange::ForgetBefore(time)))
    }
}

/// Makes one change inside the writer's transaction.
pub(super) fn apply(connection: &Connection, change: &AnswerChange) -> Result<(), StoreError> {
    match change {
        AnswerChange::Remember(row) => {
            let mut insert = connection.prepare_cached(
                "INSERT INTO answer (key, request, status, body, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO NOTHING",
            )?;
            must_be_new(insert.execute(params![row.key, row.request, row.status, row.body, row.created_at])?)?;
            let last = connection.last_insert_rowid();
            connection.prepare_cached("DELETE FROM answer WHERE seq <= ?1")?.execute([last - REMEMBERED])?;
        }
        AnswerChange::ForgetBefore(time) => {
            connection.execute("DELETE FROM answer WHERE created_at < ?1", [time])?;
        }
    }
    Ok(())
}
