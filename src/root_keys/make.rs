//! Makes a root key inside the HSM, or its next version.
//!
//! A root key is announced on record before it is made, under the id that it will have: whatever interrupts that, doing it
//! again makes the same key or finds it, and no key is left on a token that nobody knows of.

use hal::{HalError, Label, RootKeyInfo, RootKeyVersion, RootKeys};
use jiff::Timestamp;
use uuid::Uuid;

use super::{Failure, key, version_row};
use crate::store::{RootKeyRow, RootKeyState, RotationRow, Store, StoreError};

/// The id that a root key of this label gets: a new one, or the one under which it was announced and not finished.
///
/// # Errors
/// `Exists`; the database failed.
pub fn id_for(store: &Store, label: &Label) -> Result<Uuid, Failure> {
    let rows = store.root_keys()?;
    match rows.iter().find(|row| row.label == label.as_str()) {
        Some(row) if row.is_unmade() => Ok(row.id),
        Some(_) => Err(Failure::Exists { label: label.to_string() }),
        None => Ok(Uuid::new_v4()),
    }
}

/// Makes the root key `id`, which [`id_for`] found for this label, and records it.
///
/// # Errors
/// `Exists`; HSM or database failed.
pub fn make(store: &Store, hal: &dyn RootKeys, id: Uuid, label: &Label) -> Result<RootKeyInfo, Failure> {
    announce(store, id, label)?;
    let root = match hal.generate_version(key(id, 1), label) {
        Ok(root) => root,
        Err(error) => {
            take_back(store, hal, id);
            return Err(error.into());
        }
    };
    store.complete_root_key(id, version_row(&root, Timestamp::now().as_second()))?;
    Ok(root)
}

/// Makes the next version of a root key in the HSM, or finds the one that an interrupted attempt made, and begins the rotation
/// to it. What is under older versions is brought under it by [`crate::rotation`].
///
/// # Errors
/// As [`may_rotate`]; HSM or database failed.
pub fn rotate(store: &Store, hal: &dyn RootKeys, row: &RootKeyRow) -> Result<RootKeyVersion, Failure> {
    let (label, current) = (row.label.clone(), row.current_version);
    let next = key(row.id, current).next().ok_or(Failure::NotNext { label: label.clone(), current, given: current })?;
    may_rotate(store, row, next.version)?;
    let text = Label::new(&row.label).map_err(|_| Failure::NotMade { label: row.label.clone() })?;
    let info = hal.generate_version(next, &text)?;
    match store.add_version(row.id, version_row(&info, Timestamp::now().as_second())) {
        Err(StoreError::Rotating) => Err(Failure::Rotating { label }),
        result => Ok(result.map(|()| next)?),
    }
}

/// Whether `version` may become the current one of `row`.
///
/// # Errors
/// `NotNext`, `Suspended`, `Rotating`; the database failed.
pub fn may_rotate(store: &Store, row: &RootKeyRow, version: u32) -> Result<(), Failure> {
    let (label, current) = (row.label.clone(), row.current_version);
    if current.checked_add(1) != Some(version) {
        return Err(Failure::NotNext { label, current, given: version });
    }
    if row.state == RootKeyState::Suspended {
        return Err(Failure::Suspended { label });
    }
    let unfinished = |rotation: &RotationRow| rotation.root == row.id && rotation.finished_at.is_none();
    if store.rotations()?.iter().any(unfinished) {
        return Err(Failure::Rotating { label });
    }
    Ok(())
}

fn announce(store: &Store, id: Uuid, label: &Label) -> Result<(), Failure> {
    let at = Timestamp::now().as_second();
    let row = RootKeyRow {
        id,
        label: label.to_string(),
        state: RootKeyState::Suspended,
        current_version: 1,
        created_at: at,
        changed_at: at,
        destroyed_at: None,
        destruction: None,
        certificate: None,
        versions: Vec::new(),
    };
    match store.insert_root_key(row) {
        Err(StoreError::Duplicate) => {
            let rows = store.root_keys()?;
            // By the attempt that was interrupted; else another key has taken the label since it was looked for.
            if rows.iter().any(|row| row.id == id && row.is_unmade()) {
                return Ok(());
            }
            Err(Failure::Exists { label: label.to_string() })
        }
        result => Ok(result?),
    }
}

/// Withdraws an announcement where it is certain that there is no key.
fn take_back(store: &Store, hal: &dyn RootKeys, id: Uuid) {
    let there_is_none = matches!(hal.describe_root(key(id, 1)), Err(HalError::UnknownRootKey(_)));
    if there_is_none && let Err(failed) = store.withdraw_root_key(id) {
        // It can be made again under the same label, and that is all it is in the way of.
        tracing::warn!(root_key = %id, error = %failed, "the announcement of a root key stays on record");
    }
}
