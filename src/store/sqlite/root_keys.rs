//! Root keys, their versions, and signing keys.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{
    Sqlite, keks, rotations,
    trust::{moved_on, must_be_new, must_find, rows},
    writer::Mutation,
};
use crate::store::{RootKeyRow, RootKeyState, RootKeyVersionRow, SignerRow, StoreError, VersionState};

/// One change of root keys or signing keys.
pub(super) enum RootKeyChange {
    Insert(RootKeyRow),
    Identify { root: Uuid, label: String, first: RootKeyVersionRow },
    Complete { root: Uuid, first: RootKeyVersionRow },
    Withdraw(Uuid),
    AddVersion(Uuid, RootKeyVersionRow),
    SetState { root: Uuid, state: RootKeyState, at: i64 },
    Retire { root: Uuid, version: u32, at: i64 },
    Attest { root: Uuid, version: u32, attestation: String },
    Shred { root: Uuid, at: i64, certificate: String },
    BeginDestruction { root: Uuid, at: i64, journal: String },
    InsertSigner(SignerRow),
    ReplaceSigner(Uuid, SignerRow),
}

/// What decides over a change.
pub(super) struct Found {
    pub(super) seq: i64,
    pub(super) state: RootKeyState,
    pub(super) current_version: u32,
    has_label: bool,
    is_doomed: bool,
}

impl Sqlite {
    pub(in crate::store) fn root_keys(&self) -> Result<Vec<RootKeyRow>, StoreError> {
        self.readers.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let rows = read(&snapshot)?;
            snapshot.finish()?;
            Ok(rows)
        })
    }

    pub(in crate::store) fn insert_root_key(&self, row: RootKeyRow) -> Result<(), StoreError> {
        self.change_root_key(RootKeyChange::Insert(row))
    }

    pub(in crate::store) fn identify_root_key(
        &self,
        root: Uuid,
        label: String,
        first: RootKeyVersionRow,
    ) -> Result<(), StoreError> {
        self.change_root_key(RootKeyChange::Identify { root, label, first })
    }

    pub(in crate::store) fn complete_root_key(&self, root: Uuid, first: RootKeyVersionRow) -> Result<(), StoreError> {
        self.change_root_key(RootKeyChange::Complete { root, first })
    }

    pub(in crate::store) fn withdraw_root_key(&self, root: Uuid) -> Result<(), StoreError> {
        self.change_root_key(RootKeyChange::Withdraw(root))
    }

    pub(in crate::store) fn add_version(&self, root: Uuid, version: RootKeyVersionRow) -> Result<(), StoreError> {
        self.change_root_key(RootKeyChange::AddVersion(root, version))
    }

    pub(in crate::store) fn set_root_key_state(
        &self,
        root: Uuid,
        state: RootKeyState,
        at: i64,
    ) -> Result<(), StoreError> {
        self.change_root_key(RootKeyChange::SetState { root, state, at })
    }

    pub(in crate::store) fn retire_version(&self, root: Uuid, version: u32, at: i64) -> Result<(), StoreError> {
        self.change_root_key(RootKeyChange::Retire { root, version, at })
    }

    pub(in crate::store) fn set_attestation(
        &self,
        root: Uuid,
        version: u32,
        attestation: String,
    ) -> Result<(), StoreError> {
        self.change_root_key(RootKeyChange::Attest { root, version, attestation })
    }

    pub(in crate::store) fn shred(&self, root: Uuid, at: i64, certificate: String) -> Result<(), StoreError> {
        self.change_root_key(RootKeyChange::Shred { root, at, certificate })
    }

    pub(in crate::store) fn signers(&self) -> Result<Vec<SignerRow>, StoreError> {
        self.readers.read(|connection| {
            rows(
                connection,
                "SELECT purpose, id, label, kind, created_at FROM signer ORDER BY created_at, purpose",
                signer,
            )
        })
    }

    pub(in crate::store) fn insert_signer(&self, row: SignerRow) -> Result<(), StoreError> {
        self.change_root_key(RootKeyChange::InsertSigner(row))
    }

    pub(in crate::store) fn replace_signer(&self, old: Uuid, row: SignerRow) -> Result<(), StoreError> {
        self.change_root_key(RootKeyChange::ReplaceSigner(old, row))
    }

    pub(in crate::store) fn begin_destruction(&self, root: Uuid, at: i64, journal: String) -> Result<(), StoreError> {
        self.change_root_key(RootKeyChange::BeginDestruction { root, at, journal })
    }

    fn change_root_key(&self, change: RootKeyChange) -> Result<(), StoreError> {
        self.writer.run(Mutation::RootKey(change))
    }
}

/// Makes one change inside the writer's transaction. Returns whether KEKs were overwritten.
pub(super) fn apply(connection: &Connection, change: &RootKeyChange) -> Result<bool, StoreError> {
    let erased = matches!(change, RootKeyChange::Shred { .. });
    match change {
        RootKeyChange::Insert(row) => insert(connection, row)?,
        RootKeyChange::Identify { root, label, first } => identify(connection, *root, label, first)?,
        RootKeyChange::Complete { root, first } => complete(connection, *root, first)?,
        RootKeyChange::Withdraw(root) => {
            let root = find(connection, *root)?.ok_or(StoreError::NotFound)?;
            if root.is_doomed || !is_unmade(connection, &root)? {
                return Err(StoreError::StaleRootKey);
            }
            must_find(connection.execute("DELETE FROM root_key WHERE seq = ?1", [root.seq])?)?;
        }
        RootKeyChange::AddVersion(root, version) => add_version(connection, *root, version)?,
        RootKeyChange::SetState { root, state, at } => {
            let root = find(connection, *root)?.ok_or(StoreError::NotFound)?;
            if root.state == RootKeyState::Destroyed
                || *state == RootKeyState::Destroyed
                || root.is_doomed
                || is_unmade(connection, &root)?
            {
                return Err(StoreError::StaleRootKey);
            }
            let sql = "UPDATE root_key SET state = ?2, changed_at = ?3 WHERE seq = ?1";
            connection.execute(sql, params![root.seq, state_code(*state), at])?;
        }
        RootKeyChange::Retire { root, version, at } => retire(connection, *root, *version, *at)?,
        RootKeyChange::Attest { root, version, attestation } => {
            let root = find(connection, *root)?.ok_or(StoreError::NotFound)?;
            let sql = "UPDATE root_key_version SET attestation = ?3 WHERE root = ?1 AND version = ?2";
            must_find(connection.execute(sql, params![root.seq, version, attestation])?)?;
        }
        RootKeyChange::Shred { root, at, certificate } => shred(connection, *root, *at, certificate)?,
        RootKeyChange::BeginDestruction { root, at, journal } => {
            let root = find(connection, *root)?.ok_or(StoreError::NotFound)?;
            if root.state == RootKeyState::Destroyed || root.is_doomed {
                return Err(StoreError::StaleRootKey);
            }
            let sql = "UPDATE root_key SET state = ?2, changed_at = ?3, destruction = ?4 WHERE seq = ?1";
            connection.execute(sql, params![root.seq, state_code(RootKeyState::Suspended), at, journal])?;
        }
        RootKeyChange::InsertSigner(row) => insert_signer(connection, row)?,
        RootKeyChange::ReplaceSigner(old, row) => {
            let sql = "DELETE FROM signer WHERE id = ?1 AND purpose = ?2";
            must_find(connection.execute(sql, params![old.as_bytes(), row.purpose])?)?;
            insert_signer(connection, row)?;
        }
    }
    moved_on(connection)?;
    Ok(erased)
}

/// The root key `id`.
pub(super) fn find(connection: &Connection, id: Uuid) -> Result<Option<Found>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT seq, state, current_version, label <> '', destruction IS NOT NULL FROM root_key WHERE id = ?1",
    )?;
    let found = select.query_row([id.as_bytes()], |row| {
        Ok(Found {
            seq: row.get(0)?,
            state: state_of(row.get(1)?)?,
            current_version: row.get(2)?,
            has_label: row.get(3)?,
            is_doomed: row.get(4)?,
        })
    });
    Ok(found.optional()?)
}

/// The root key `id`, which must be active.
pub(super) fn active(connection: &Connection, id: Uuid) -> Result<Found, StoreError> {
    let root = find(connection, id)?.ok_or(StoreError::NotFound)?;
    if root.state == RootKeyState::Active { Ok(root) } else { Err(StoreError::StaleRootKey) }
}

fn insert(connection: &Connection, row: &RootKeyRow) -> Result<(), StoreError> {
    must_be_new(connection.execute(
        "INSERT INTO root_key (id, label, state, current_version, created_at, changed_at, destroyed_at, destruction,
                               certificate)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
        params![
            row.id.as_bytes(),
            row.label,
            state_code(row.state),
            row.current_version,
            row.created_at,
            row.changed_at,
            row.destroyed_at,
            row.destruction,
            row.certificate,
        ],
    )?)?;
    let root = connection.last_insert_rowid();
    row.versions.iter().try_for_each(|version| insert_version(connection, root, version))
}

fn insert_version(connection: &Connection, root: i64, row: &RootKeyVersionRow) -> Result<(), StoreError> {
    must_be_new(connection.execute(
        "INSERT INTO root_key_version (root, version, state, kcv, kcv_method, created_at, retired_at, attestation)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
        params![
            root,
            row.version,
            version_code(row.state),
            row.kcv,
            row.kcv_method,
            row.created_at,
            row.retired_at,
            row.attestation,
        ],
    )?)
}

fn identify(connection: &Connection, root: Uuid, label: &str, first: &RootKeyVersionRow) -> Result<(), StoreError> {
    let root = find(connection, root)?.ok_or(StoreError::NotFound)?;
    if root.has_label {
        return Err(StoreError::StaleRootKey);
    }
    let sql = "UPDATE OR IGNORE root_key SET label = ?2 WHERE seq = ?1";
    must_be_new(connection.execute(sql, params![root.seq, label])?)?;
    insert_version(connection, root.seq, first).map_err(|error| match error {
        StoreError::Duplicate => StoreError::StaleRootKey,
        other => other,
    })
}

fn complete(connection: &Connection, root: Uuid, first: &RootKeyVersionRow) -> Result<(), StoreError> {
    let root = find(connection, root)?.ok_or(StoreError::NotFound)?;
    if root.state != RootKeyState::Suspended || root.is_doomed || !is_unmade(connection, &root)? {
        return Err(StoreError::StaleRootKey);
    }
    insert_version(connection, root.seq, first)?;
    let sql = "UPDATE root_key SET state = ?2, changed_at = ?3 WHERE seq = ?1";
    connection.execute(sql, params![root.seq, state_code(RootKeyState::Active), first.created_at])?;
    Ok(())
}

/// Whether it was announced and not made yet. What an older version of the program recorded has no label.
fn is_unmade(connection: &Connection, root: &Found) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM root_key_version WHERE root = ?1";
    let versions: u64 = connection.query_row(sql, [root.seq], |row| row.get(0))?;
    Ok(root.has_label && versions == 0)
}

fn add_version(connection: &Connection, root: Uuid, row: &RootKeyVersionRow) -> Result<(), StoreError> {
    let root = active(connection, root)?;
    if root.current_version.checked_add(1) != Some(row.version) {
        return Err(StoreError::StaleRootKey);
    }
    if rotations::is_unfinished(connection, root.seq)? {
        return Err(StoreError::Rotating);
    }
    let demote = "UPDATE root_key_version SET state = ?3 WHERE root = ?1 AND version = ?2 AND state = ?4";
    let (before, after) = (version_code(VersionState::Current), version_code(VersionState::Superseded));
    must_find(connection.execute(demote, params![root.seq, root.current_version, after, before])?)?;
    insert_version(connection, root.seq, &RootKeyVersionRow { state: VersionState::Current, ..row.clone() })?;
    let promote = "UPDATE root_key SET current_version = ?2, changed_at = ?3 WHERE seq = ?1";
    connection.execute(promote, params![root.seq, row.version, row.created_at])?;
    rotations::begin(connection, root.seq, root.current_version, row)
}

fn retire(connection: &Connection, root: Uuid, version: u32, at: i64) -> Result<(), StoreError> {
    let root = find(connection, root)?.ok_or(StoreError::NotFound)?;
    if root.current_version == version {
        return Err(StoreError::StaleRootKey);
    }
    let keks = keks::count(connection, root.seq, version, false)?;
    if keks > 0 {
        return Err(StoreError::InUse { keks });
    }
    let sql = "UPDATE root_key_version SET state = ?3, retired_at = coalesce(retired_at, ?4) WHERE root = ?1 AND version = ?2";
    must_find(connection.execute(sql, params![root.seq, version, version_code(VersionState::Retired), at])?)
}

fn insert_signer(connection: &Connection, row: &SignerRow) -> Result<(), StoreError> {
    must_be_new(connection.execute(
        "INSERT INTO signer (purpose, id, label, kind, created_at) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        params![row.purpose, row.id.as_bytes(), row.label, row.kind, row.created_at],
    )?)
}

fn shred(connection: &Connection, root: Uuid, at: i64, certificate: &str) -> Result<(), StoreError> {
    let root = find(connection, root)?.ok_or(StoreError::NotFound)?;
    if root.state == RootKeyState::Destroyed {
        return Err(StoreError::StaleRootKey);
    }
    connection.execute(
        "UPDATE root_key SET state = ?2, changed_at = ?3, destroyed_at = ?3, certificate = ?4 WHERE seq = ?1",
        params![root.seq, state_code(RootKeyState::Destroyed), at, certificate],
    )?;
    connection.execute(
        "UPDATE root_key_version SET state = ?2, retired_at = coalesce(retired_at, ?3) WHERE root = ?1",
        params![root.seq, version_code(VersionState::Retired), at],
    )?;
    rotations::abandon(connection, root.seq, at)?;
    keks::erase_all(connection, root.seq)
}

/// Reads root keys and their versions in the caller's snapshot.
pub(super) fn read(connection: &Connection) -> Result<Vec<RootKeyRow>, StoreError> {
    let mut roots = rows(
        connection,
        "SELECT id, label, state, current_version, created_at, changed_at, destroyed_at, destruction, certificate
         FROM root_key
         ORDER BY seq",
        root_key,
    )?;
    let versions = rows(
        connection,
        "SELECT r.id, v.version, v.state, v.kcv, v.kcv_method, v.created_at, v.retired_at, v.attestation
         FROM root_key_version AS v JOIN root_key AS r ON r.seq = v.root ORDER BY v.root, v.version",
        version,
    )?;
    for (id, version) in versions {
        if let Some(root) = roots.iter_mut().find(|root| root.id == id) {
            root.versions.push(version);
        }
    }
    Ok(roots)
}

fn root_key(row: &Row<'_>) -> rusqlite::Result<RootKeyRow> {
    Ok(RootKeyRow {
        id: Uuid::from_bytes(row.get(0)?),
        label: row.get(1)?,
        state: state_of(row.get(2)?)?,
        current_version: row.get(3)?,
        created_at: row.get(4)?,
        changed_at: row.get(5)?,
        destroyed_at: row.get(6)?,
        destruction: row.get(7)?,
        certificate: row.get(8)?,
        versions: Vec::new(),
    })
}

fn version(row: &Row<'_>) -> rusqlite::Result<(Uuid, RootKeyVersionRow)> {
    let code: i64 = row.get(2)?;
    let states = [VersionState::Current, VersionState::Superseded, VersionState::Retired];
    let version = RootKeyVersionRow {
        version: row.get(1)?,
        state: states.into_iter().find(|state| version_code(*state) == code).ok_or_else(|| unknown(2, code))?,
        kcv: row.get(3)?,
        kcv_method: row.get(4)?,
        created_at: row.get(5)?,
        retired_at: row.get(6)?,
        attestation: row.get(7)?,
    };
    Ok((Uuid::from_bytes(row.get(0)?), version))
}

fn signer(row: &Row<'_>) -> rusqlite::Result<SignerRow> {
    Ok(SignerRow {
        purpose: row.get(0)?,
        id: Uuid::from_bytes(row.get(1)?),
        label: row.get(2)?,
        kind: row.get(3)?,
        created_at: row.get(4)?,
    })
}

fn state_code(state: RootKeyState) -> i64 {
    match state {
        RootKeyState::Active => 1,
        RootKeyState::Suspended => 2,
        RootKeyState::Destroyed => 3,
    }
}

fn state_of(code: i64) -> rusqlite::Result<RootKeyState> {
    let states = [RootKeyState::Active, RootKeyState::Suspended, RootKeyState::Destroyed];
    states.into_iter().find(|state| state_code(*state) == code).ok_or_else(|| unknown(0, code))
}

fn version_code(state: VersionState) -> i64 {
    match state {
        VersionState::Current => 1,
        VersionState::Superseded => 2,
        VersionState::Retired => 3,
    }
}

/// The schema lets no such number in.
pub(super) fn unknown(column: usize, code: i64) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, format!("{code}"), rusqlite::types::Type::Integer)
}
