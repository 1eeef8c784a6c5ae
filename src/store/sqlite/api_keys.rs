//! API keys.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{
    Sqlite, hands, identities,
    trust::{must_be_new, rows_of, within},
    writer::{Limits, Mutation},
};
use crate::store::{ApiKeyRow, IdentityRow, Keep, Spend, StoreError};

/// The columns of an API key, but for whose it is.
const COLUMNS: &str =
    "k.id, k.name, k.hash, k.single_use, k.created_at, k.expires_at, k.revoked_at, k.used_at, k.hands";

/// Where whose it is, and the identity, come behind those.
const OWNER: usize = 9;

/// How many keys of an identity are usable at a time.
const COUNT_USABLE: &str = "
    SELECT count(*) FROM api_key WHERE identity = ?1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?2)
    AND (single_use = 0 OR used_at IS NULL)";

/// One change of API keys.
pub(super) enum ApiKeyChange {
    Insert(ApiKeyRow, Option<Spend>),
    Revoke { id: Uuid, at: i64, keep: Option<Keep> },
    Spend(Spend),
    Touch(Vec<(Uuid, i64)>),
}

impl Sqlite {
    pub(in crate::store) fn api_key(&self, id: Uuid) -> Result<Option<(ApiKeyRow, IdentityRow)>, StoreError> {
        self.readers.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let identity = identities::COLUMNS;
            let sql = format!(
                "SELECT {COLUMNS}, i.id, {identity} FROM api_key AS k JOIN identity AS i ON i.seq = k.identity
                 WHERE k.id = ?1"
            );
            let found = rows_of(&snapshot, &sql, [id.as_bytes()], |row| {
                Ok((api_key(row)?, row.get(OWNER + 1)?, identities::identity(row, OWNER + 1)?))
            })?;
            let found = found.into_iter().next();
            let found = found.map(|(key, seq, row)| Ok((key, identities::with_grants(&snapshot, seq, row)?)));
            snapshot.finish()?;
            found.transpose()
        })
    }

    pub(in crate::store) fn api_keys(&self, identity: Uuid) -> Result<Vec<ApiKeyRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, i.id FROM identity AS i JOIN api_key AS k ON k.identity = i.seq
             WHERE i.id = ?1 ORDER BY k.seq"
        );
        self.readers.read(|connection| rows_of(connection, &sql, [identity.as_bytes()], api_key))
    }

    pub(in crate::store) fn insert_api_key(&self, row: ApiKeyRow, spend: Option<Spend>) -> Result<(), StoreError> {
        self.change_api_key(ApiKeyChange::Insert(row, spend))
    }

    pub(in crate::store) fn revoke_api_key(&self, id: Uuid, at: i64, keep: Option<Keep>) -> Result<(), StoreError> {
        self.change_api_key(ApiKeyChange::Revoke { id, at, keep })
    }

    pub(in crate::store) fn spend_api_key(&self, spend: Spend) -> Result<(), StoreError> {
        self.change_api_key(ApiKeyChange::Spend(spend))
    }

    pub(in crate::store) fn touch_api_keys(&self, used: Vec<(Uuid, i64)>) -> Result<(), StoreError> {
        if used.is_empty() { Ok(()) } else { self.change_api_key(ApiKeyChange::Touch(used)) }
    }

    fn change_api_key(&self, change: ApiKeyChange) -> Result<(), StoreError> {
        self.writer.run(Mutation::ApiKey(change))
    }
}

/// Makes one change inside the writer's transaction.
pub(super) fn apply(connection: &Connection, limits: &Limits, change: &ApiKeyChange) -> Result<(), StoreError> {
    match change {
        ApiKeyChange::Insert(row, spent) => {
            hands::note_first_two(connection, limits.deciding_roles)?;
            insert(connection, limits, row)?;
            spent.map_or(Ok(()), |spent| spend(connection, spent))?;
            hands::note_first_two(connection, limits.deciding_roles)
        }
        ApiKeyChange::Revoke { id, at, keep } => identities::keeping(connection, *keep, || {
            let sql = "UPDATE api_key SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
            let revoked = connection.execute(sql, params![id.as_bytes(), at])?;
            found_or(connection, revoked, *id, false)
        }),
        ApiKeyChange::Spend(spent) => spend(connection, *spent),
        ApiKeyChange::Touch(used) => {
            let mut touch = connection.prepare_cached(
                "UPDATE api_key SET used_at = ?2 WHERE id = ?1 AND single_use = 0 AND ifnull(used_at < ?2, 1)",
            )?;
            for (id, at) in used {
                touch.execute(params![id.as_bytes(), at])?;
            }
            Ok(())
        }
    }
}

/// Spends a single-use key, which is possible once.
pub(super) fn spend(connection: &Connection, spend: Spend) -> Result<(), StoreError> {
    let mut update = connection.prepare_cached(
        "UPDATE api_key SET used_at = ?2 WHERE id = ?1 AND single_use = 1 AND used_at IS NULL AND revoked_at IS NULL
         AND (expires_at IS NULL OR expires_at > ?2)",
    )?;
    let spent = update.execute(params![spend.key.as_bytes(), spend.at])?;
    found_or(connection, spent, spend.key, true)
}

/// `Conflict` where a statement changed nothing of a key that is there, `NotFound` where it is not.
fn found_or(connection: &Connection, changed: usize, id: Uuid, single_use: bool) -> Result<(), StoreError> {
    if changed > 0 {
        return Ok(());
    }
    let mut select = connection.prepare_cached("SELECT 1 FROM api_key WHERE id = ?1 AND single_use >= ?2")?;
    let found = select.query_row(params![id.as_bytes(), single_use], |_| Ok(())).optional()?;
    Err(if found.is_some() { StoreError::Conflict } else { StoreError::NotFound })
}

fn insert(connection: &Connection, limits: &Limits, row: &ApiKeyRow) -> Result<(), StoreError> {
    let (identity, _) = identities::find(connection, row.identity)?.ok_or(StoreError::NotFound)?;
    must_be_new(connection.execute(
        "INSERT INTO api_key (id, identity, name, hash, single_use, created_at, expires_at, revoked_at, used_at,
                              hands)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
        params![
            row.id.as_bytes(),
            identity,
            row.name,
            row.hash,
            row.single_use,
            row.created_at,
            row.expires_at,
            row.revoked_at,
            row.used_at,
            hands::text(&row.hands),
        ],
    )?)?;
    within(limits.api_keys, connection, COUNT_USABLE, [identity, row.created_at])
}

fn api_key(row: &Row<'_>) -> rusqlite::Result<ApiKeyRow> {
    Ok(ApiKeyRow {
        id: Uuid::from_bytes(row.get(0)?),
        name: row.get(1)?,
        hash: row.get(2)?,
        single_use: row.get(3)?,
        created_at: row.get(4)?,
        expires_at: row.get(5)?,
        revoked_at: row.get(6)?,
        used_at: row.get(7)?,
        hands: hands::read(row, 8)?,
        identity: Uuid::from_bytes(row.get(OWNER)?),
    })
}
