//! Objects that an administrator destroys: as KMIP's Destroy does, and by force where a second person has approved it.

use kmip::{
    attributes::Attribute,
    enums::{RevocationReasonCode, State},
    fields::DateTime,
};

use super::{
    inventory::summary,
    object::ManagedObject,
    state::{Event, is_destroyed},
    summary::Summary,
};
use crate::store::{ObjectId, Store, StoreError};

/// How often a destruction starts again because a client changed the object first.
const ATTEMPTS: u32 = 100;

/// What to destroy, and how.
#[derive(Clone, Copy, Debug)]
pub struct Removal {
    /// The object.
    pub object: ObjectId,
    /// How many seconds its material is held: the policy of its adapter; 0 erases it at once.
    pub hold_seconds: u32,
    /// Whether an Active object is deactivated and destroyed as well.
    pub force: bool,
}

/// Why an object was not destroyed.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// There is no such object.
    #[error("there is no such object")]
    NotFound,
    /// It is destroyed already.
    #[error("the object is destroyed already")]
    Destroyed,
    /// Its state is Active, and nobody forced it.
    #[error("the object is Active: it may be in use")]
    Active,
    /// The caller does not mean this revision of it.
    #[error("the object was changed meanwhile")]
    Changed,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Destroys an object if `is_meant` says so of the revision that is stored. Whoever calls this has seen to permission and
/// approval, and records it.
///
/// # Errors
/// Why it was not; nothing was changed then.
pub fn remove(
    store: &Store,
    removal: Removal,
    is_meant: impl Fn(u64) -> bool,
    now: i64,
) -> Result<Summary, RemovalError> {
    let Removal { object: id, hold_seconds, force } = removal;
    let hold_until = (hold_seconds > 0).then(|| now.saturating_add(hold_seconds.into()));
    for _ in 0..ATTEMPTS {
        let adapter = store.listed_object(id)?.ok_or(RemovalError::NotFound)?.adapter;
        let row = store.object(adapter, id)?.ok_or(RemovalError::NotFound)?;
        let mut object = ManagedObject::from_row(row, now).map_err(|_| StoreError::Damaged)?;
        if !is_meant(object.revision) {
            return Err(RemovalError::Changed);
        }
        if is_destroyed(object.state()) {
            return Err(RemovalError::Destroyed);
        }
        if object.state() == State::Active && force {
            deactivate(&mut object, now);
        }
        if !object.destroy(hold_until, now) {
            return Err(RemovalError::Active);
        }
        match store.apply(vec![object.to_change()]) {
            Ok(()) => return summary(store, id, now)?.ok_or(RemovalError::NotFound),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Overloaded.into())
}

/// What Revoke does, so that the object tells how it ended.
fn deactivate(object: &mut ManagedObject, now: i64) {
    if object.advance(Event::Deactivate) {
        object.attributes.set(Attribute::DeactivationDate(DateTime(now)));
        let code = RevocationReasonCode::CessationOfOperation;
        let message = Some("destroyed by administrators".to_owned());
        object.attributes.set(Attribute::RevocationReason(kmip::attributes::RevocationReason { code, message }));
    }
}
