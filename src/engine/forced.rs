//! Destroys an object on the word of two administrators, whatever its state: what no KMIP client can do to an Active one.
//!
//! The states of the specification are kept: an Active object is deactivated first. The adapter's hold period counts as it does
//! for Destroy.

use kmip::{attributes::Attribute, enums::State, fields::DateTime};

use super::{error::OpError, object::ManagedObject, state, state::Event};
use crate::store::{ObjectId, Store, StoreError};

/// Attempts to store an object that clients keep changing.
const ATTEMPTS: u32 = 8;

/// How a forced destruction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forced {
    /// It was destroyed; its material is held until then, in seconds since 1970-01-01 UTC, or gone.
    Destroyed {
        /// When the material is to be erased, where the adapter's policy holds it.
        held_until: Option<i64>,
    },
    /// It was destroyed before.
    Before,
}

/// Destroys the object `id` at the time `now`, in whatever state it is. Whoever calls this has seen to approval and records it.
///
/// # Errors
/// `NotFound`, also where its adapter was deleted; `Damaged`; the store failed.
pub fn destroy_by_force(store: &Store, id: ObjectId, now: i64) -> Result<Forced, StoreError> {
    for _ in 0..ATTEMPTS {
        let listed = store.listed_object(id)?.ok_or(StoreError::NotFound)?;
        let adapter = store.adapter(listed.adapter)?.ok_or(StoreError::NotFound)?;
        let row = store.object(adapter.id, id)?.ok_or(StoreError::NotFound)?;
        let mut object = ManagedObject::from_row(row, now).map_err(|error| match error {
            OpError::Store(error) => error,
            _ => StoreError::Damaged,
        })?;
        if state::is_destroyed(object.state()) {
            return Ok(Forced::Before);
        }
        if object.state() == State::Active && object.advance(Event::Deactivate) {
            object.attributes.set(Attribute::DeactivationDate(DateTime(now)));
        }
        if !object.advance(Event::Destroy) {
            return Err(StoreError::Damaged);
        }
        let until = now.saturating_add(i64::from(adapter.hold_seconds));
        let held_until = Some(until).filter(|_| adapter.hold_seconds > 0 && object.sealed.is_some());
        object.hold_until = held_until;
        object.sealed = None;
        object.attributes.set(Attribute::DestroyDate(DateTime(now)));
        object.touch(now);
        match store.apply(vec![object.to_change()]) {
            Ok(()) => return Ok(Forced::Destroyed { held_until }),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Conflict)
}
