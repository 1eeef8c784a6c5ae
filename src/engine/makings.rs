//! Which clients made objects since the start: for people who connect a client and wait for its first key.
//!
//! In memory only, and bounded. The record is the audit log.

use std::collections::HashMap;

use kmip::enums::Operation;
use parking_lot::Mutex;

use crate::store::{AdapterId, Fingerprint, ObjectId};

/// Clients that are remembered.
const CLIENTS: usize = 4096;

/// Who made objects.
#[derive(Debug, Default)]
pub struct Makings {
    of: Mutex<HashMap<(AdapterId, Fingerprint), Made>>,
}

/// What a client has made since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// How many objects.
    pub count: u64,
    /// The first of them.
    pub first: Making,
    /// The last of them.
    pub last: Making,
}

/// That an object was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Making {
    /// The object.
    pub object: ObjectId,
    /// When, in seconds since 1970-01-01 UTC.
    pub at: i64,
}

impl Makings {
    /// What the holder of a certificate made.
    #[must_use]
    pub fn of(&self, adapter: AdapterId, certificate: Fingerprint) -> Option<Made> {
        self.of.lock().get(&(adapter, certificate)).copied()
    }

    /// Whose certificate made an object, where that was the first or last one of a client.
    #[must_use]
    pub fn maker(&self, adapter: AdapterId, object: ObjectId) -> Option<Fingerprint> {
        let of = self.of.lock();
        let is_its = |made: &Made| made.first.object == object || made.last.object == object;
        of.iter().find(|((of, _), made)| *of == adapter && is_its(made)).map(|((_, certificate), _)| *certificate)
    }

    pub(super) fn note(&self, adapter: AdapterId, certificate: Fingerprint, object: ObjectId, at: i64) {
        let making = Making { object, at };
        let mut of = self.of.lock();
        if let Some(made) = of.get_mut(&(adapter, certificate)) {
            made.count += 1;
            made.last = making;
            return;
        }
        if of.len() >= CLIENTS {
            let longest_ago = of.iter().min_by_key(|(_, made)| made.last.at).map(|(key, _)| *key);
            longest_ago.map(|key| of.remove(&key));
        }
        of.insert((adapter, certificate), Made { count: 1, first: making, last: making });
    }
}

/// Whether the operation of this name makes an object.
pub(super) fn makes(operation: &str) -> bool {
    use Operation as O;
    let making = [
        O::Create,
        O::CreateKeyPair,
        O::Register,
        O::ReKey,
        O::ReKeyKeyPair,
        O::DeriveKey,
        O::Certify,
        O::ReCertify,
        O::Import,
    ];
    making.iter().any(|one| one.name() == operation)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn object(number: u128) -> ObjectId {
        ObjectId(Uuid::from_u128(number))
    }

    #[test]
    fn the_first_and_the_last_are_remembered() {
        let (makings, adapter, certificate) = (Makings::default(), AdapterId(Uuid::from_u128(1)), Fingerprint([1; 32]));
        assert_eq!(makings.of(adapter, certificate), None);
        (1..=3).for_each(|number| makings.note(adapter, certificate, object(number), 100));
        let made = makings.of(adapter, certificate).unwrap();
        assert_eq!((made.count, made.first.object, made.last.object), (3, object(1), object(3)));
        assert_eq!(makings.maker(adapter, object(3)), Some(certificate));
        assert_eq!(makings.maker(adapter, object(2)), None);
        assert_eq!(makings.maker(AdapterId(Uuid::from_u128(2)), object(3)), None);
        assert!(makes("Create") && makes("Register") && !makes("Get"));
    }

    #[test]
    fn clients_without_number_use_up_no_memory() {
        let (makings, adapter) = (Makings::default(), AdapterId(Uuid::from_u128(1)));
        for number in 0..CLIENTS + 10 {
            let mut certificate = [0; 32];
            certificate[..8].copy_from_slice(&number.to_be_bytes());
            makings.note(adapter, Fingerprint(certificate), object(1), i64::try_from(number).unwrap());
        }
        assert_eq!(makings.of.lock().len(), CLIENTS);
        assert_eq!(makings.of(adapter, Fingerprint([0; 32])), None, "the one that made something longest ago is gone");
    }
}
