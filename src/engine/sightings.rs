//! Who was seen: which certificate connected when and from where, and which fetched an object when.
//!
//! Requests only leave a note in memory; one thread writes the notes to the store every few seconds, and once more at the end.
//! What finds no room is dropped and counted, and no request ever waits: this is for people who ask whether a key or a
//! certificate is still in use, not a record. The record is the audit log.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    net::PeerIdentity,
    store::{AdapterId, Fingerprint, ObjectId, ObjectUse, SeenCertificate, SeenObject, Store, StoreError},
    telemetry::metric,
    trust::ShownCertificate,
};

/// How often notes are written.
const PERIOD: Duration = Duration::from_secs(5);
/// Parts that are locked on their own.
const SHARDS: usize = 16;
/// Objects noted in one part between two writes.
const OBJECTS: usize = 4096;
/// Certificates remembered in one part.
const CERTIFICATES: usize = 256;
/// Notes in one transaction of the store.
const AT_ONCE: usize = 1000;
/// How often the end of the thread is looked for.
const POLL: Duration = Duration::from_millis(5);

/// Notes that are not written yet.
#[derive(Debug, Default)]
pub struct Sightings {
    objects: [Mutex<HashMap<ObjectId, ObjectUse>>; SHARDS],
    certificates: [Mutex<HashMap<(AdapterId, Fingerprint), Seen>>; SHARDS],
}

/// A certificate that connected to this process. It is remembered beyond the write, for the requests that follow.
#[derive(Debug)]
struct Seen {
    subject: Arc<str>,
    expires_at: i64,
    address: IpAddr,
    at: i64,
    written: Option<i64>,
}

impl Sightings {
    /// A certificate was used to connect.
    pub(super) fn connected(&self, peer: &PeerIdentity, certificate: &ShownCertificate, at: i64) {
        let key = (peer.adapter, peer.certificate);
        let address = peer.address.ip().to_canonical();
        let Some(mut shard) = self.certificates.get(shard_of(peer.certificate.0)).map(Mutex::lock) else { return };
        if let Some(seen) = shard.get_mut(&key) {
            // From another address counts as seen anew, also within the same second.
            let written = seen.written.filter(|_| seen.address == address);
            (seen.at, seen.address, seen.written) = (at.max(seen.at), address, written);
            return;
        }
        if shard.len() >= CERTIFICATES {
            shard.retain(|_, seen| !seen.is_written());
        }
        if shard.len() >= CERTIFICATES {
            return dropped();
        }
        let (subject, expires_at) = (Arc::clone(&certificate.subject), certificate.expires_at);
        shard.insert(key, Seen { subject, expires_at, address, at, written: None });
    }

    /// A connection is in use.
    pub(super) fn asked(&self, peer: &PeerIdentity, at: i64) {
        let Some(shard) = self.certificates.get(shard_of(peer.certificate.0)) else { return };
        if let Some(seen) = shard.lock().get_mut(&(peer.adapter, peer.certificate)) {
            seen.at = at.max(seen.at);
        }
    }

    /// An object was handed out.
    pub(super) fn fetched(&self, object: ObjectId, seen: ObjectUse) {
        let Some(mut shard) = self.objects.get(shard_of(object.0.into_bytes())).map(Mutex::lock) else { return };
        if shard.len() >= OBJECTS && !shard.contains_key(&object) {
            return dropped();
        }
        shard.insert(object, seen);
    }

    /// Writes all notes. Those that cannot be written are kept for the next time.
    ///
    /// # Errors
    /// The store failed.
    pub fn write(&self, store: &Store) -> Result<(), StoreError> {
        for shard in &self.objects {
            let taken = std::mem::take(&mut *shard.lock());
            let rows: Vec<_> = taken.iter().map(|(object, seen)| SeenObject { object: *object, seen: *seen }).collect();
            let written = in_parts(rows, |rows| store.see_objects(rows));
            if written.is_err() {
                let mut shard = shard.lock();
                for (object, seen) in taken {
                    shard.entry(object).or_insert(seen);
                }
            }
            written?;
        }
        for shard in &self.certificates {
            let rows: Vec<_> = shard.lock().iter().filter(|(_, seen)| !seen.is_written()).map(row).collect();
            let written: Vec<_> = rows.iter().map(|row| ((row.adapter, row.fingerprint), row.at)).collect();
            in_parts(rows, |rows| store.see_certificates(rows))?;
            let mut shard = shard.lock();
            for (key, at) in written {
                if let Some(seen) = shard.get_mut(&key) {
                    seen.written = Some(at);
                }
            }
        }
        Ok(())
    }

    /// Starts the thread that writes.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn follow(self: &Arc<Self>, store: &Arc<Store>) -> io::Result<Writing> {
        let (sightings, store) = (Arc::clone(self), Arc::clone(store));
        let (alive, ended) = mpsc::channel::<()>();
        let thread = thread::Builder::new().name("sightings".to_owned()).spawn(move || {
            let mut failing = false;
            loop {
                let last = ended.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout);
                match sightings.write(&store) {
                    Ok(()) => failing = false,
                    // Once for each time that it begins to fail.
                    Err(error) if !std::mem::replace(&mut failing, true) => {
                        tracing::warn!(%error, "when keys and certificates were used last cannot be written");
                    }
                    Err(_) => {}
                }
                if last {
                    return;
                }
            }
        })?;
        Ok(Writing { alive, thread })
    }
}

impl Seen {
    fn is_written(&self) -> bool {
        self.written == Some(self.at)
    }
}

/// The thread that writes notes. It writes once more when this is dropped, but nobody waits for that.
pub struct Writing {
    alive: mpsc::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Writing {
    /// Has what is left written, and waits for that for at most `patience`.
    pub fn end(self, patience: Duration) {
        drop(self.alive);
        let deadline = Instant::now() + patience;
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
    }
}

fn row((key, seen): (&(AdapterId, Fingerprint), &Seen)) -> SeenCertificate {
    SeenCertificate {
        fingerprint: key.1,
        adapter: key.0,
        subject: seen.subject.to_string(),
        expires_at: Some(seen.expires_at),
        at: seen.at,
        address: seen.address.to_string(),
    }
}

fn in_parts<T>(mut rows: Vec<T>, write: impl Fn(Vec<T>) -> Result<(), StoreError>) -> Result<(), StoreError> {
    while !rows.is_empty() {
        let rest = rows.split_off(rows.len().min(AT_ONCE));
        write(std::mem::replace(&mut rows, rest))?;
    }
    Ok(())
}

/// By the last byte, which is random in fingerprints and in identifiers.
fn shard_of<const N: usize>(bytes: [u8; N]) -> usize {
    bytes.last().map_or(0, |byte| usize::from(*byte) % SHARDS)
}

fn dropped() {
    metrics::counter!(metric::SIGHTINGS_DROPPED).increment(1);
}
