//! Objects that were destroyed under a hold period: given back before it ends, on an operator's word.

use kmip::enums::State;

use super::{inventory::summary, summary::Summary};
use crate::store::{ObjectId, Store, StoreError};

/// Why an object was not recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// Its material is not held: it is not destroyed, or was erased.
    #[error("the object's material is not held: either it is not destroyed, or it is gone")]
    NotHeld,
    /// The period ended.
    #[error("the hold period has ended: the object's material is being erased")]
    Ended,
    /// It was reported compromised after its destruction; as it was before, nobody would know.
    #[error("the object was reported compromised after it was destroyed, so it stays destroyed")]
    Compromised,
    /// Another object has its name by now.
    #[error("another object has taken its name: rename or destroy that one first")]
    NameTaken,
    /// The root key that protected it was destroyed.
    #[error("the root key that protected the object was destroyed: its material cannot be opened any more")]
    RootKeyDestroyed,
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

/// Makes a held object what it was before it was destroyed; from now on clients get it again. Whoever calls this records it.
///
/// # Errors
/// Why it cannot be; nothing was changed then.
pub fn recover(store: &Store, id: ObjectId, now: i64) -> Result<Summary, RecoverError> {
    let found = summary(store, id, now).map_err(RecoverError::Store)?.ok_or(RecoverError::NotHeld)?;
    if found.held_until.is_none() {
        return Err(RecoverError::NotHeld);
    }
    if found.state == State::DestroyedCompromised {
        return Err(RecoverError::Compromised);
    }
    store.recover_held(id, now).map_err(|error| match error {
        StoreError::NotFound => RecoverError::NotHeld,
        StoreError::Conflict => RecoverError::Ended,
        StoreError::Duplicate => RecoverError::NameTaken,
        StoreError::StaleRootKey => RecoverError::RootKeyDestroyed,
        other => RecoverError::Store(other),
    })?;
    summary(store, id, now).map_err(RecoverError::Store)?.ok_or(RecoverError::NotHeld)
}
