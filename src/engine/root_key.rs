//! What may be done with a root key: decided by operators, read from the trust snapshot in force.
//!
//! Only sealing and opening ask. Attributes, searches and Destroy need no root key, so they go on whatever its state is.

use hal::{RootKeyId, RootKeyVersion};
use uuid::Uuid;

use super::error::OpError;
use crate::{
    store::{RootKeyRow, RootKeyState},
    trust::Trust,
};

/// The version of the root key `id` that new KEKs are wrapped under.
///
/// # Errors
/// It is suspended or destroyed.
pub(super) fn to_seal(trust: &Trust, id: Uuid) -> Result<RootKeyVersion, OpError> {
    let row = usable(trust, id, true)?;
    Ok(RootKeyVersion { root: RootKeyId::from_uuid(row.id), version: row.current_version })
}

/// Whether what is wrapped under the root key `id` may be opened.
///
/// # Errors
/// It is suspended or destroyed.
pub(super) fn may_open(trust: &Trust, id: Uuid) -> Result<(), OpError> {
    usable(trust, id, false).map(drop)
}

fn usable(trust: &Trust, id: Uuid, creating: bool) -> Result<&RootKeyRow, OpError> {
    // Every adapter has a root key on record, and so has everything sealed; a row without one is damaged.
    let row = trust.root_key(id).ok_or(OpError::CorruptObject)?;
    match row.state {
        RootKeyState::Active => Ok(row),
        RootKeyState::Suspended => Err(OpError::RootKeySuspended),
        RootKeyState::Destroyed => {
            Err(OpError::RootKeyDestroyed { at: row.destroyed_at.unwrap_or(row.changed_at), creating })
        }
    }
}
