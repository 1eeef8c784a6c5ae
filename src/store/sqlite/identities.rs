//! Identities with what is granted to them.

use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use uuid::Uuid;

use super::{
    Sqlite, api_keys,
    changes::Adapters,
    hands,
    trust::{must_be_new, must_find, rows_of, within},
    writer::{Limits, Mutation},
};
use crate::store::{AdapterId, Fingerprint, GrantRow, IdentityCertificate, IdentityRow, Keep, Spend, StoreError};

/// The columns of an identity, its number first.
pub(super) const COLUMNS: &str = "
    i.seq, i.id, i.kind, i.name, i.description, i.fingerprint, i.der, i.disabled, i.revision, i.created_at, i.changed_at,
    i.created_by, i.hands";

/// Somebody has the role `?1` for everything, is not disabled, and can log in at the time `?2`.
const HOLDER: &str = "
    SELECT 1 FROM identity AS i JOIN identity_grant AS g ON g.identity = i.seq
    WHERE g.role = ?1 AND g.adapter IS NULL AND i.disabled = 0
    AND (i.fingerprint IS NOT NULL OR EXISTS (
        SELECT 1 FROM api_key AS k WHERE k.identity = i.seq AND k.revoked_at IS NULL
        AND (k.expires_at IS NULL OR k.expires_at > ?2) AND (k.single_use = 0 OR k.used_at IS NULL)))
    LIMIT 1";

/// One change of identities.
pub(super) enum IdentityChange {
    Insert(IdentityRow, Option<Spend>),
    Update(IdentityRow, Option<Keep>),
    Delete { id: Uuid, revision: u64, keep: Option<Keep> },
}

impl Sqlite {
    pub(in crate::store) fn identities(&self) -> Result<Vec<IdentityRow>, StoreError> {
        self.read_identities("ORDER BY i.seq", [])
    }

    pub(in crate::store) fn identity(&self, id: Uuid) -> Result<Option<IdentityRow>, StoreError> {
        Ok(self.read_identities("WHERE i.id = ?1", [id.as_bytes()])?.pop())
    }

    pub(in crate::store) fn identity_by_certificate(
        &self,
        fingerprint: Fingerprint,
    ) -> Result<Option<IdentityRow>, StoreError> {
        Ok(self.read_identities("WHERE i.fingerprint = ?1", [fingerprint.0])?.pop())
    }

    pub(in crate::store) fn insert_identity(&self, row: IdentityRow, spend: Option<Spend>) -> Result<(), StoreError> {
        self.change_identity(IdentityChange::Insert(row, spend))
    }

    pub(in crate::store) fn update_identity(&self, row: IdentityRow, keep: Option<Keep>) -> Result<(), StoreError> {
        self.change_identity(IdentityChange::Update(row, keep))
    }

    pub(in crate::store) fn delete_identity(
        &self,
        id: Uuid,
        revision: u64,
        keep: Option<Keep>,
    ) -> Result<(), StoreError> {
        self.change_identity(IdentityChange::Delete { id, revision, keep })
    }

    fn change_identity(&self, change: IdentityChange) -> Result<(), StoreError> {
        self.writer.run(Mutation::Identity(change))
    }

    /// Reads identities and their grants as they were at one moment.
    fn read_identities(&self, which: &str, parameters: impl Params) -> Result<Vec<IdentityRow>, StoreError> {
        self.readers.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let sql = format!("SELECT {COLUMNS} FROM identity AS i {which}");
            let found = rows_of(&snapshot, &sql, parameters, |row| Ok((row.get(0)?, identity(row, 0)?)))?;
            let found = found.into_iter().map(|(seq, row)| with_grants(&snapshot, seq, row)).collect();
            snapshot.finish()?;
            found
        })
    }
}

/// Makes one change inside the writer's transaction.
pub(super) fn apply(
    connection: &Connection,
    adapters: &mut Adapters,
    limits: &Limits,
    change: &IdentityChange,
) -> Result<(), StoreError> {
    hands::note_first_two(connection, limits.deciding_roles)?;
    match change {
        IdentityChange::Insert(row, spend) => {
            insert(connection, adapters, limits, row)?;
            spend.map_or(Ok(()), |spend| api_keys::spend(connection, spend))?;
        }
        IdentityChange::Update(row, keep) => {
            keeping(connection, *keep, || update(connection, adapters, row))?;
        }
        IdentityChange::Delete { id, revision, keep } => {
            keeping(connection, *keep, || delete(connection, *id, *revision))?;
        }
    }
    hands::note_first_two(connection, limits.deciding_roles)
}

/// Makes a change that must not take the last of those away whom `keep` names.
pub(super) fn keeping(
    connection: &Connection,
    keep: Option<Keep>,
    change: impl FnOnce() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let Some(Keep { role, at }) = keep else { return change() };
    let is_held = || Ok::<_, StoreError>(connection.prepare_cached(HOLDER)?.exists(params![role, at])?);
    let was_held = is_held()?;
    change()?;
    if was_held && !is_held()? { Err(StoreError::LastOne) } else { Ok(()) }
}

fn delete(connection: &Connection, id: Uuid, revision: u64) -> Result<(), StoreError> {
    let (seq, stored) = find(connection, id)?.ok_or(StoreError::NotFound)?;
    if stored != revision {
        return Err(StoreError::Conflict);
    }
    connection.execute("DELETE FROM api_key WHERE identity = ?1", [seq])?;
    connection.execute("DELETE FROM identity_grant WHERE identity = ?1", [seq])?;
    must_find(connection.execute("DELETE FROM identity WHERE seq = ?1", [seq])?)
}

/// The number and the revision of the identity `id`.
pub(super) fn find(connection: &Connection, id: Uuid) -> Result<Option<(i64, u64)>, StoreError> {
    let mut select = connection.prepare_cached("SELECT seq, revision FROM identity WHERE id = ?1")?;
    Ok(select.query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

fn insert(
    connection: &Connection,
    adapters: &mut Adapters,
    limits: &Limits,
    row: &IdentityRow,
) -> Result<(), StoreError> {
    if row.revision != 1 {
        return Err(StoreError::Conflict);
    }
    let certificate = row.certificate.as_ref();
    must_be_new(connection.execute(
        "INSERT INTO identity (id, kind, name, description, fingerprint, der, disabled, revision, created_at, changed_at,
                               created_by, hands)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING",
        params![
            row.id.as_bytes(),
            row.kind,
            row.name,
            row.description,
            certificate.map(|certificate| certificate.fingerprint.0),
            certificate.map(|certificate| &certificate.der),
            row.disabled,
            row.created_at,
            row.changed_at,
            row.created_by.map(Uuid::into_bytes),
            hands::text(&row.hands),
        ],
    )?)?;
    grant(connection, adapters, connection.last_insert_rowid(), &row.grants)?;
    within(limits.identities, connection, "SELECT count(*) FROM identity", [])
}

fn update(connection: &Connection, adapters: &mut Adapters, row: &IdentityRow) -> Result<(), StoreError> {
    let (seq, stored) = find(connection, row.id)?.ok_or(StoreError::NotFound)?;
    if stored.checked_add(1) != Some(row.revision) {
        return Err(StoreError::Conflict);
    }
    let certificate = row.certificate.as_ref();
    // What only this can refuse is the name or the certificate.
    must_be_new(connection.execute(
        "UPDATE OR IGNORE identity SET kind = ?2, name = ?3, description = ?4, fingerprint = ?5, der = ?6, disabled = ?7,
                                       changed_at = ?8, hands = ?9, revision = revision + 1
         WHERE seq = ?1",
        params![
            seq,
            row.kind,
            row.name,
            row.description,
            certificate.map(|certificate| certificate.fingerprint.0),
            certificate.map(|certificate| &certificate.der),
            row.disabled,
            row.changed_at,
            hands::text(&row.hands),
        ],
    )?)?;
    connection.execute("DELETE FROM identity_grant WHERE identity = ?1", [seq])?;
    grant(connection, adapters, seq, &row.grants)
}

fn grant(
    connection: &Connection,
    adapters: &mut Adapters,
    identity: i64,
    grants: &[GrantRow],
) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO identity_grant (identity, role, adapter) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    for grant in grants {
        let adapter = grant.adapter.map(|adapter| adapters.seq(connection, adapter)).transpose()?;
        insert.execute(params![identity, grant.role, adapter])?;
    }
    Ok(())
}

/// The identity in the columns of `row` from `first` on, without its grants.
pub(super) fn identity(row: &Row<'_>, first: usize) -> rusqlite::Result<IdentityRow> {
    let fingerprint = row.get::<_, Option<[u8; 32]>>(first + 5)?.map(Fingerprint);
    let der: Option<Vec<u8>> = row.get(first + 6)?;
    Ok(IdentityRow {
        id: Uuid::from_bytes(row.get(first + 1)?),
        kind: row.get(first + 2)?,
        name: row.get(first + 3)?,
        description: row.get(first + 4)?,
        certificate: fingerprint.zip(der).map(|(fingerprint, der)| IdentityCertificate { fingerprint, der }),
        disabled: row.get(first + 7)?,
        revision: row.get(first + 8)?,
        created_at: row.get(first + 9)?,
        changed_at: row.get(first + 10)?,
        created_by: row.get::<_, Option<[u8; 16]>>(first + 11)?.map(Uuid::from_bytes),
        grants: Vec::new(),
        hands: hands::read(row, first + 12)?,
    })
}

/// The identity `seq` with its grants, in the order in which they were given.
pub(super) fn with_grants(connection: &Connection, seq: i64, row: IdentityRow) -> Result<IdentityRow, StoreError> {
    let sql = "SELECT g.role, a.id FROM identity_grant AS g LEFT JOIN adapter AS a ON a.seq = g.adapter
               WHERE g.identity = ?1 ORDER BY g.seq";
    let grants = rows_of(connection, sql, [seq], |row| {
        let adapter = row.get::<_, Option<[u8; 16]>>(1)?.map(|id| AdapterId(Uuid::from_bytes(id)));
        Ok(GrantRow { role: row.get(0)?, adapter })
    })?;
    Ok(IdentityRow { grants, ..row })
}
