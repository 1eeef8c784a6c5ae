//! Adapters, client certificates and rules of the own CA: small tables, read whole and changed seldom.
//!
//! Each change also moves `trust.generation` on, in the same transaction, so that other processes on the same file notice.

use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::{changes::Adapters, root_keys};
use crate::store::{
    AdapterCredential, AdapterId, AdapterRow, CaRuleRow, CertificateRow, Fingerprint, StoreError, TrustRows,
};

/// One change of who may connect.
pub(super) enum TrustChange {
    InsertAdapter(AdapterRow),
    SetCredential(AdapterId, Option<AdapterCredential>),
    InsertCertificate(CertificateRow),
    DeleteCertificate(Fingerprint),
    InsertCaRule(CaRuleRow),
    DeleteCaRule(Uuid),
}

/// How many there may be.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) adapters: u32,
    pub(super) certificates: u32,
}

/// Makes one change inside the writer's transaction.
pub(super) fn apply(
    connection: &Connection,
    adapters: &mut Adapters,
    limits: Limits,
    change: &TrustChange,
) -> Result<(), StoreError> {
    match change {
        TrustChange::InsertAdapter(row) => insert_adapter(connection, limits, row)?,
        TrustChange::SetCredential(adapter, credential) => {
            let seq = adapters.seq(connection, *adapter)?;
            let (username, hash) = credential.as_ref().map(|c| (&c.username, &c.password_hash)).unzip();
            connection.execute(
                "UPDATE adapter SET username = ?2, password_hash = ?3 WHERE seq = ?1",
                params![seq, username, hash],
            )?;
        }
        TrustChange::InsertCertificate(row) => {
            let adapter = adapters.seq(connection, row.adapter)?;
            insert_certificate(connection, limits, adapter, row)?;
        }
        TrustChange::DeleteCertificate(fingerprint) => {
            must_find(connection.execute("DELETE FROM certificate WHERE fingerprint = ?1", [fingerprint.0])?)?;
        }
        TrustChange::InsertCaRule(row) => {
            let adapter = adapters.seq(connection, row.adapter)?;
            must_be_new(connection.execute(
                "INSERT INTO ca_rule (id, adapter, common_name, added_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING",
                params![row.id.as_bytes(), adapter, row.common_name, row.added_at],
            )?)?;
        }
        TrustChange::DeleteCaRule(id) => {
            must_find(connection.execute("DELETE FROM ca_rule WHERE id = ?1", [id.as_bytes()])?)?;
        }
    }
    moved_on(connection)
}

/// Records that trust has changed.
pub(super) fn moved_on(connection: &Connection) -> Result<(), StoreError> {
    connection.execute("UPDATE trust SET generation = generation + 1", [])?;
    Ok(())
}

fn insert_adapter(connection: &Connection, limits: Limits, row: &AdapterRow) -> Result<(), StoreError> {
    root_keys::active(connection, row.root_key)?;
    let credential = row.credential.as_ref();
    must_be_new(connection.execute(
        "INSERT INTO adapter (id, name, description, root_key, username, password_hash, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        params![
            row.id.0.as_bytes(),
            row.name,
            row.description,
            row.root_key.as_bytes(),
            credential.map(|credential| &credential.username),
            credential.map(|credential| &credential.password_hash),
            row.created_at,
        ],
    )?)?;
    let adapters: u64 = connection.query_row("SELECT count(*) FROM adapter", [], |row| row.get(0))?;
    within(limits.adapters, adapters)
}

fn insert_certificate(
    connection: &Connection,
    limits: Limits,
    adapter: i64,
    row: &CertificateRow,
) -> Result<(), StoreError> {
    must_be_new(connection.execute(
        "INSERT INTO certificate (fingerprint, adapter, name, der, added_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING",
        params![row.fingerprint.0, adapter, row.name, row.der, row.added_at],
    )?)?;
    let certificates: u64 =
        connection.query_row("SELECT count(*) FROM certificate WHERE adapter = ?1", [adapter], |row| row.get(0))?;
    within(limits.certificates, certificates)
}

pub(super) fn must_find(rows: usize) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}

pub(super) fn must_be_new(rows: usize) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::Duplicate) } else { Ok(()) }
}

/// The row that passes the limit is written already; the writer takes it back.
fn within(limit: u32, count: u64) -> Result<(), StoreError> {
    if count > u64::from(limit) { Err(StoreError::LimitReached { limit }) } else { Ok(()) }
}

/// Reads the tables as they were at one moment, in the order in which rows were added.
pub(super) fn read(connection: &Connection) -> Result<TrustRows, StoreError> {
    let snapshot = connection.unchecked_transaction()?;
    let rows = TrustRows {
        adapters: rows(
            &snapshot,
            "SELECT id, name, description, root_key, username, password_hash, created_at FROM adapter ORDER BY seq",
            adapter,
        )?,
        certificates: rows(
            &snapshot,
            "SELECT c.fingerprint, a.id, c.name, c.der, c.added_at
             FROM certificate AS c JOIN adapter AS a ON a.seq = c.adapter ORDER BY c.seq",
            certificate,
        )?,
        ca_rules: rows(
            &snapshot,
            "SELECT r.id, a.id, r.common_name, r.added_at
             FROM ca_rule AS r JOIN adapter AS a ON a.seq = r.adapter ORDER BY r.seq",
            ca_rule,
        )?,
        root_keys: root_keys::read(&snapshot)?,
    };
    snapshot.finish()?;
    Ok(rows)
}

/// The number that every change of trust moves on.
pub(super) fn generation(connection: &Connection) -> Result<u64, StoreError> {
    let mut select = connection.prepare_cached("SELECT generation FROM trust")?;
    Ok(select.query_row([], |row| row.get(0))?)
}

pub(super) fn rows<T>(
    connection: &Connection,
    sql: &str,
    one: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    Ok(connection.prepare_cached(sql)?.query_map([], one)?.collect::<Result<_, _>>()?)
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
    })
}

fn certificate(row: &Row<'_>) -> rusqlite::Result<CertificateRow> {
    Ok(CertificateRow {
        fingerprint: Fingerprint(row.get(0)?),
        adapter: AdapterId(Uuid::from_bytes(row.get(1)?)),
        name: row.get(2)?,
        der: row.get(3)?,
        added_at: row.get(4)?,
    })
}

fn ca_rule(row: &Row<'_>) -> rusqlite::Result<CaRuleRow> {
    Ok(CaRuleRow {
        id: Uuid::from_bytes(row.get(0)?),
        adapter: AdapterId(Uuid::from_bytes(row.get(1)?)),
        common_name: row.get(2)?,
        added_at: row.get(3)?,
    })
}
