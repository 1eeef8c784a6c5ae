//! When certificates and objects were used last. Written in batches, and never a change of trust.

use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::{
    Sqlite,
    trust::{rows, rows_of},
    writer::Mutation,
};
use crate::store::{AdapterId, Fingerprint, SeenCertificate, SeenObject, StoreError};

/// So many certificates are remembered of one adapter: more than can be registered, for rules let others in.
const REMEMBERED: i64 = 2000;

const SELECT_ALL: &str = "
    SELECT s.fingerprint, a.id, s.subject, s.expires_at, s.at, s.address
    FROM adapter AS a JOIN certificate_seen AS s ON s.adapter = a.seq
    ORDER BY s.at DESC, s.adapter, s.fingerprint";

const SELECT_OF_ADAPTER: &str = "
    SELECT s.fingerprint, a.id, s.subject, s.expires_at, s.at, s.address
    FROM adapter AS a JOIN certificate_seen AS s ON s.adapter = a.seq
    WHERE a.id = ?1 ORDER BY s.at DESC, s.fingerprint";

/// What was seen.
pub(super) enum Seen {
    Certificates(Vec<SeenCertificate>),
    Objects(Vec<SeenObject>),
}

impl Sqlite {
    pub(in crate::store) fn see_certificates(&self, seen: Vec<SeenCertificate>) -> Result<(), StoreError> {
        if seen.is_empty() { Ok(()) } else { self.writer.run(Mutation::Seen(Seen::Certificates(seen))) }
    }

    pub(in crate::store) fn see_objects(&self, seen: Vec<SeenObject>) -> Result<(), StoreError> {
        if seen.is_empty() { Ok(()) } else { self.writer.run(Mutation::Seen(Seen::Objects(seen))) }
    }

    pub(in crate::store) fn certificates_seen(
        &self,
        adapter: Option<AdapterId>,
    ) -> Result<Vec<SeenCertificate>, StoreError> {
        self.readers.read(|connection| match adapter {
            Some(adapter) => rows_of(connection, SELECT_OF_ADAPTER, [adapter.0.as_bytes()], seen_certificate),
            None => rows(connection, SELECT_ALL, seen_certificate),
        })
    }
}

/// Notes it inside the writer's transaction.
pub(super) fn apply(connection: &Connection, seen: &Seen) -> Result<(), StoreError> {
    match seen {
        Seen::Certificates(seen) => {
            seen.iter().try_for_each(|seen| see_certificate(connection, seen))?;
            let mut adapters: Vec<AdapterId> = seen.iter().map(|seen| seen.adapter).collect();
            adapters.sort_unstable();
            adapters.dedup();
            adapters.into_iter().try_for_each(|adapter| forget_oldest(connection, adapter))
        }
        Seen::Objects(seen) => seen.iter().try_for_each(|seen| see_object(connection, seen)),
    }
}

fn see_certificate(connection: &Connection, seen: &SeenCertificate) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO certificate_seen (adapter, fingerprint, subject, expires_at, at, address)
         SELECT seq, ?2, ?3, ?4, ?5, ?6 FROM adapter WHERE id = ?1 AND state = 1
         ON CONFLICT (adapter, fingerprint) DO UPDATE SET at = excluded.at, address = excluded.address
         WHERE excluded.at >= certificate_seen.at",
    )?;
    insert.execute(params![
        seen.adapter.0.as_bytes(),
        seen.fingerprint.0,
        seen.subject,
        seen.expires_at,
        seen.at,
        seen.address,
    ])?;
    Ok(())
}

fn forget_oldest(connection: &Connection, adapter: AdapterId) -> Result<(), StoreError> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM certificate_seen WHERE adapter = (SELECT seq FROM adapter WHERE id = ?1)
         AND fingerprint IN (SELECT fingerprint FROM certificate_seen
                             WHERE adapter = (SELECT seq FROM adapter WHERE id = ?1)
                             ORDER BY at DESC LIMIT -1 OFFSET ?2)",
    )?;
    delete.execute(params![adapter.0.as_bytes(), REMEMBERED])?;
    Ok(())
}

fn see_object(connection: &Connection, seen: &SeenObject) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO object_seen (object, at, fingerprint) SELECT seq, ?2, ?3 FROM object WHERE id = ?1
         ON CONFLICT (object) DO UPDATE SET at = excluded.at, fingerprint = excluded.fingerprint
         WHERE excluded.at >= object_seen.at",
    )?;
    insert.execute(params![seen.object.0.as_bytes(), seen.seen.at, seen.seen.certificate.0])?;
    Ok(())
}

fn seen_certificate(row: &Row<'_>) -> rusqlite::Result<SeenCertificate> {
    Ok(SeenCertificate {
        fingerprint: Fingerprint(row.get(0)?),
        adapter: AdapterId(Uuid::from_bytes(row.get(1)?)),
        subject: row.get(2)?,
        expires_at: row.get(3)?,
        at: row.get(4)?,
        address: row.get(5)?,
    })
}
