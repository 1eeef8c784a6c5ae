//! Who may connect as which adapter: client certificates, authorities, rules and what was issued for whom, and all of it read whole.
//!
//! Each change also moves `trust.generation` on, in the same transaction, so that other processes on the same file notice.

use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use uuid::Uuid;

use super::{
    Sqlite,
    adapters::{self, AdapterChange},
    changes::Adapters,
    root_keys,
    writer::{Limits, Mutation},
};
use crate::store::{
    AdapterId, AuthorityRow, CaRuleRow, CertificateRow, Fingerprint, IssuedRow, RuleKind, StoreError, TrustRows,
};

const SELECT_CERTIFICATES: &str = "
    SELECT c.fingerprint, a.id, c.name, c.der, c.added_at
    FROM certificate AS c JOIN adapter AS a ON a.seq = c.adapter ORDER BY c.seq";

const SELECT_CERTIFICATES_OF_ADAPTER: &str = "
    SELECT c.fingerprint, a.id, c.name, c.der, c.added_at
    FROM adapter AS a JOIN certificate AS c ON c.adapter = a.seq WHERE a.id = ?1 ORDER BY c.seq";

const SELECT_RULES: &str = "
    SELECT r.id, a.id, i.fingerprint, r.kind, r.value, r.added_at
    FROM ca_rule AS r JOIN adapter AS a ON a.seq = r.adapter LEFT JOIN authority AS i ON i.seq = r.issuer
    ORDER BY r.seq";

const SELECT_ISSUED: &str = "
    SELECT i.fingerprint, a.id, i.expires_at FROM issued AS i JOIN adapter AS a ON a.seq = i.adapter";

/// How long after its end it is kept for whom a certificate was issued, in seconds: a clock may have been wrong.
const KEPT_AFTER_END: i64 = 30 * 86_400;

const SELECT_AUTHORITIES: &str = "SELECT fingerprint, name, der, added_at FROM authority ORDER BY seq";

/// One change of who may connect.
pub(super) enum TrustChange {
    Adapter(AdapterChange),
    /// With the end of its validity where the own authority issued it.
    InsertCertificate(CertificateRow, Option<i64>),
    RecordIssued {
        rows: Vec<IssuedRow>,
        at: i64,
    },
    DeleteCertificate(Fingerprint),
    InsertCaRule(CaRuleRow),
    DeleteCaRule(Uuid),
    InsertAuthority(AuthorityRow),
    DeleteAuthority(Fingerprint),
}

impl Sqlite {
    pub(in crate::store) fn trust(&self) -> Result<TrustRows, StoreError> {
        self.readers.read(read)
    }

    pub(in crate::store) fn trust_generation(&self) -> Result<u64, StoreError> {
        self.readers.read(generation)
    }

    pub(in crate::store) fn certificates(&self, adapter: AdapterId) -> Result<Vec<CertificateRow>, StoreError> {
        let (sql, adapter) = (SELECT_CERTIFICATES_OF_ADAPTER, adapter.0.as_bytes());
        self.readers.read(|connection| rows_of(connection, sql, [adapter], certificate))
    }

    pub(in crate::store) fn insert_certificate(&self, row: CertificateRow) -> Result<(), StoreError> {
        self.change_trust(TrustChange::InsertCertificate(row, None))
    }

    pub(in crate::store) fn insert_issued(&self, row: CertificateRow, expires_at: i64) -> Result<(), StoreError> {
        self.change_trust(TrustChange::InsertCertificate(row, Some(expires_at)))
    }

    pub(in crate::store) fn record_issued(&self, rows: Vec<IssuedRow>, at: i64) -> Result<(), StoreError> {
        self.change_trust(TrustChange::RecordIssued { rows, at })
    }

    pub(in crate::store) fn delete_certificate(&self, fingerprint: Fingerprint) -> Result<(), StoreError> {
        self.change_trust(TrustChange::DeleteCertificate(fingerprint))
    }

    pub(in crate::store) fn insert_ca_rule(&self, row: CaRuleRow) -> Result<(), StoreError> {
        self.change_trust(TrustChange::InsertCaRule(row))
    }

    pub(in crate::store) fn delete_ca_rule(&self, id: Uuid) -> Result<(), StoreError> {
        self.change_trust(TrustChange::DeleteCaRule(id))
    }

    pub(in crate::store) fn authorities(&self) -> Result<Vec<AuthorityRow>, StoreError> {
        self.readers.read(|connection| rows(connection, SELECT_AUTHORITIES, authority))
    }

    pub(in crate::store) fn insert_authority(&self, row: AuthorityRow) -> Result<(), StoreError> {
        self.change_trust(TrustChange::InsertAuthority(row))
    }

    pub(in crate::store) fn delete_authority(&self, fingerprint: Fingerprint) -> Result<(), StoreError> {
        self.change_trust(TrustChange::DeleteAuthority(fingerprint))
    }

    pub(super) fn change_trust(&self, change: TrustChange) -> Result<(), StoreError> {
        self.writer.run(Mutation::Trust(change))
    }
}

/// Makes one change inside the writer's transaction.
pub(super) fn apply(
    connection: &Connection,
    adapters: &mut Adapters,
    limits: &Limits,
    change: &TrustChange,
) -> Result<(), StoreError> {
    match change {
        TrustChange::Adapter(change) => adapters::apply(connection, adapters, limits, change)?,
        TrustChange::InsertCertificate(row, issued_until) => {
            let adapter = adapters.seq(connection, row.adapter)?;
            insert_certificate(connection, limits, adapter, row)?;
            if let Some(expires_at) = issued_until {
                record_issued(connection, row.fingerprint, adapter, *expires_at)?;
                forget_issued(connection, row.added_at)?;
            }
        }
        TrustChange::RecordIssued { rows, at } => {
            for row in rows {
                let adapter = adapters.seq(connection, row.adapter)?;
                record_issued(connection, row.fingerprint, adapter, row.expires_at)?;
            }
            forget_issued(connection, *at)?;
        }
        TrustChange::DeleteCertificate(fingerprint) => {
            must_find(connection.execute("DELETE FROM certificate WHERE fingerprint = ?1", [fingerprint.0])?)?;
        }
        TrustChange::InsertCaRule(row) => {
            let adapter = adapters.seq(connection, row.adapter)?;
            insert_ca_rule(connection, limits, adapter, row)?;
        }
        TrustChange::DeleteCaRule(id) => {
            must_find(connection.execute("DELETE FROM ca_rule WHERE id = ?1", [id.as_bytes()])?)?;
        }
        TrustChange::InsertAuthority(row) => {
            must_be_new(connection.execute(
                "INSERT INTO authority (fingerprint, name, der, added_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING",
                params![row.fingerprint.0, row.name, row.der, row.added_at],
            )?)?;
            within(limits.authorities, connection, "SELECT count(*) FROM authority", [])?;
        }
        TrustChange::DeleteAuthority(fingerprint) => delete_authority(connection, *fingerprint)?,
    }
    moved_on(connection)
}

/// Records that trust has changed.
pub(super) fn moved_on(connection: &Connection) -> Result<(), StoreError> {
    connection.execute("UPDATE trust SET generation = generation + 1", [])?;
    Ok(())
}

fn insert_certificate(
    connection: &Connection,
    limits: &Limits,
    adapter: i64,
    row: &CertificateRow,
) -> Result<(), StoreError> {
    must_be_new(connection.execute(
        "INSERT INTO certificate (fingerprint, adapter, name, der, added_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING",
        params![row.fingerprint.0, adapter, row.name, row.der, row.added_at],
    )?)?;
    let count = "SELECT count(*) FROM certificate WHERE adapter = ?1";
    within(limits.certificates, connection, count, [adapter])
}

fn record_issued(
    connection: &Connection,
    fingerprint: Fingerprint,
    adapter: i64,
    expires_at: i64,
) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO issued (fingerprint, adapter, expires_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    insert.execute(params![fingerprint.0, adapter, expires_at])?;
    Ok(())
}

fn forget_issued(connection: &Connection, at: i64) -> Result<(), StoreError> {
    let mut delete = connection.prepare_cached("DELETE FROM issued WHERE expires_at < ?1")?;
    delete.execute([at.saturating_sub(KEPT_AFTER_END)])?;
    Ok(())
}

fn insert_ca_rule(connection: &Connection, limits: &Limits, adapter: i64, row: &CaRuleRow) -> Result<(), StoreError> {
    let issuer = row.issuer.map(|issuer| authority_seq(connection, issuer)).transpose()?;
    must_be_new(connection.execute(
        "INSERT INTO ca_rule (id, adapter, issuer, kind, value, added_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO NOTHING",
        params![row.id.as_bytes(), adapter, issuer, kind_code(row.kind), row.value, row.added_at],
    )?)?;
    within(limits.rules, connection, "SELECT count(*) FROM ca_rule WHERE adapter = ?1", [adapter])
}

fn delete_authority(connection: &Connection, fingerprint: Fingerprint) -> Result<(), StoreError> {
    let authority = authority_seq(connection, fingerprint)?;
    let count = "SELECT count(*) FROM ca_rule WHERE issuer = ?1";
    let rules: u64 = connection.query_row(count, [authority], |row| row.get(0))?;
    if rules > 0 {
        return Err(StoreError::Referenced { rules });
    }
    must_find(connection.execute("DELETE FROM authority WHERE seq = ?1", [authority])?)
}

fn authority_seq(connection: &Connection, fingerprint: Fingerprint) -> Result<i64, StoreError> {
    let mut select = connection.prepare_cached("SELECT seq FROM authority WHERE fingerprint = ?1")?;
    select.query_row([fingerprint.0], |row| row.get(0)).optional()?.ok_or(StoreError::NotFound)
}

pub(super) fn must_find(rows: usize) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}

pub(super) fn must_be_new(rows: usize) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::Duplicate) } else { Ok(()) }
}

/// Whether what `count` counts is within `limit`. The row that passes it is written already; the writer takes it back.
pub(super) fn within(
    limit: u32,
    connection: &Connection,
    count: &str,
    parameters: impl Params,
) -> Result<(), StoreError> {
    let count: u64 = connection.prepare_cached(count)?.query_row(parameters, |row| row.get(0))?;
    if count > u64::from(limit) { Err(StoreError::LimitReached { limit }) } else { Ok(()) }
}

/// The limit of a page as SQL takes it.
pub(super) fn limit_of(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Reads the tables as they were at one moment, in the order in which rows were added.
fn read(connection: &Connection) -> Result<TrustRows, StoreError> {
    let snapshot = connection.unchecked_transaction()?;
    let rows = TrustRows {
        adapters: adapters::read(&snapshot)?,
        certificates: rows(&snapshot, SELECT_CERTIFICATES, certificate)?,
        ca_rules: rows(&snapshot, SELECT_RULES, ca_rule)?,
        authorities: rows(&snapshot, SELECT_AUTHORITIES, authority)?,
        root_keys: root_keys::read(&snapshot)?,
        issued: rows(&snapshot, SELECT_ISSUED, issued)?,
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
    rows_of(connection, sql, [], one)
}

pub(super) fn rows_of<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    one: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    Ok(connection.prepare_cached(sql)?.query_map(parameters, one)?.collect::<Result<_, _>>()?)
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

fn issued(row: &Row<'_>) -> rusqlite::Result<IssuedRow> {
    Ok(IssuedRow {
        fingerprint: Fingerprint(row.get(0)?),
        adapter: AdapterId(Uuid::from_bytes(row.get(1)?)),
        expires_at: row.get(2)?,
    })
}

fn ca_rule(row: &Row<'_>) -> rusqlite::Result<CaRuleRow> {
    Ok(CaRuleRow {
        id: Uuid::from_bytes(row.get(0)?),
        adapter: AdapterId(Uuid::from_bytes(row.get(1)?)),
        issuer: row.get::<_, Option<[u8; 32]>>(2)?.map(Fingerprint),
        kind: kind_of(row.get(3)?)?,
        value: row.get(4)?,
        added_at: row.get(5)?,
    })
}

fn authority(row: &Row<'_>) -> rusqlite::Result<AuthorityRow> {
    Ok(AuthorityRow {
        fingerprint: Fingerprint(row.get(0)?),
        name: row.get(1)?,
        der: row.get(2)?,
        added_at: row.get(3)?,
    })
}

fn kind_code(kind: RuleKind) -> i64 {
    match kind {
        RuleKind::CommonName => 1,
        RuleKind::Subject => 2,
        RuleKind::Dns => 3,
        RuleKind::Uri => 4,
        RuleKind::Email => 5,
    }
}

fn kind_of(code: i64) -> rusqlite::Result<RuleKind> {
    let kinds = [RuleKind::CommonName, RuleKind::Subject, RuleKind::Dns, RuleKind::Uri, RuleKind::Email];
    kinds.into_iter().find(|kind| kind_code(*kind) == code).ok_or_else(|| root_keys::unknown(3, code))
}
