//! How many AES-GCM seals each version of a root key has made.
//!
//! With random IVs of 96 bits the chance of one recurring stays below 2^-32 up to 2^32 seals under one key (NIST SP 800-38D
//! section 8.3). Nothing is sealed beyond that, and halfway there an operator is told.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;

use super::recovery::Fault;
use crate::{Refusal, RootKeyVersion};

const ALARM: u64 = 1 << 31;
const LIMIT: u64 = 1 << 32;

/// The counts of one process. What was sealed before it started is told to it; the seal or two of each self-test are not counted.
#[derive(Default)]
pub(super) struct Seals(RwLock<HashMap<RootKeyVersion, Arc<AtomicU64>>>);

impl Seals {
    /// Counts one more seal.
    ///
    /// # Errors
    /// [`Refusal::SealsExhausted`], where it would be one too many.
    pub(super) fn count(&self, key: RootKeyVersion) -> Result<(), Fault> {
        let before = self.of(key).fetch_add(1, Ordering::Relaxed);
        if before >= LIMIT {
            self.of(key).fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::SealsExhausted.into());
        }
        if before + 1 == ALARM {
            tracing::error!(root = %key, seals = ALARM, limit = LIMIT, "half of the seals that this version of the root \
                            key may make are made; rotate it");
        }
        Ok(())
    }

    /// Raises the count to what is on record.
    pub(super) fn at_least(&self, key: RootKeyVersion, made: u64) {
        let before = self.of(key).fetch_max(made, Ordering::Relaxed);
        if before < ALARM && made >= ALARM {
            tracing::error!(root = %key, seals = made, limit = LIMIT, "more than half of the seals that this version of the \
                            root key may make are made; rotate it");
        }
    }

    /// The counts, by key.
    pub(super) fn made(&self) -> Vec<(RootKeyVersion, u64)> {
        let counts = self.0.read();
        let mut made: Vec<_> = counts.iter().map(|(key, count)| (*key, count.load(Ordering::Relaxed))).collect();
        made.sort_unstable();
        made
    }

    fn of(&self, key: RootKeyVersion) -> Arc<AtomicU64> {
        if let Some(count) = self.0.read().get(&key) {
            return Arc::clone(count);
        }
        Arc::clone(self.0.write().entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{HalError, RootKeyId};

    #[test]
    fn the_last_seal_is_made_and_the_next_one_refused() {
        let seals = Seals::default();
        let key = RootKeyVersion::first(RootKeyId::from_uuid(Uuid::from_bytes([1; 16])));
        seals.at_least(key, LIMIT - 1);
        seals.at_least(key, 5);
        assert!(seals.count(key).is_ok());
        for _ in 0..2 {
            let refused = seals.count(key);
            assert!(matches!(refused, Err(Fault::Stop(HalError::Refused(Refusal::SealsExhausted)))));
        }
        let next = key.next().unwrap();
        assert!(seals.count(next).is_ok(), "another version has a count of its own");
        assert_eq!(seals.made(), [(key, LIMIT), (next, 1)]);
    }
}
