//! How the audit log is, for people who look at it. Nothing here waits for the disk or the HSM but for a look at the folder.

use std::{fs, io, sync::atomic::Ordering};

use super::Audit;

/// How the audit log is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The number of the last record.
    pub records: u64,
    /// How many files it has.
    pub segments: usize,
    /// Their size in bytes.
    pub bytes: u64,
    /// Whether something is written that is not on the disk yet, for a fraction of a second.
    pub is_unsynced: bool,
    /// The last signed checkpoint.
    pub checkpoint: Option<LastCheckpoint>,
}

/// The last signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastCheckpoint {
    /// The number of the last record that it vouches for.
    pub through: u64,
    /// When it was signed, RFC 3339.
    pub at: String,
}

impl Audit {
    /// How the log is.
    ///
    /// # Errors
    /// Its folder cannot be read.
    pub fn status(&self) -> io::Result<Status> {
        let (place, records) = {
            let chain = self.shared.chain.lock();
            (chain.place().clone(), chain.tail().sequence)
        };
        let sealed = place.sealed_segments()?;
        let paths = sealed.iter().map(|segment| &segment.path).chain([&place.open]);
        // One that is taken away meanwhile counts no more.
        let sizes: Vec<u64> = paths.filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).collect();
        Ok(Status {
            records,
            segments: sizes.len(),
            bytes: sizes.iter().sum(),
            is_unsynced: self.shared.durable.is_behind(),
            checkpoint: self.shared.checkpoint.lock().clone(),
        })
    }

    /// Whether events are being kept, as far as is known without trying.
    #[must_use]
    pub fn seems_well(&self) -> bool {
        !self.shared.durable.has_failed() && self.shared.failures.load(Ordering::Relaxed) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Actor, AdminEvent, Event, Outcome, Subject};

    #[test]
    fn records_segments_and_bytes_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(&folder.path().join("audit.jsonl")).unwrap();
        let append = || {
            let event = AdminEvent {
                actor: Actor::Server,
                peer: None,
                action: "test",
                subject: Subject::default(),
                outcome: Outcome::Success,
                correlation: uuid::Uuid::nil(),
            };
            audit.append(&[Event::Admin(event)]).unwrap();
        };
        append();
        let one = audit.status().unwrap();
        assert_eq!((one.segments, one.checkpoint.is_none()), (1, true));
        assert!(one.records >= 1 && one.bytes > 100, "{one:?}");
        audit.reopen().unwrap();
        append();
        let two = audit.status().unwrap();
        assert_eq!(two.segments, 2);
        assert!(two.records > one.records && two.bytes > one.bytes, "{two:?}");
        assert!(audit.seems_well());
    }
}
