//! Suspends and resumes root keys, and destroys old versions that nothing is under.

use hal::{DestroyConsent, HalError, RootKeys};
use jiff::Timestamp;

use super::{Failure, key};
use crate::store::{RootKeyRow, RootKeyState, Store, StoreError, VersionState};

/// Whether anything can still be done with a root key.
///
/// # Errors
/// `Destroyed`, `NotMade`.
pub fn must_be_usable(row: &RootKeyRow) -> Result<(), Failure> {
    let label = || row.label.clone();
    if row.state == RootKeyState::Destroyed || row.destruction.is_some() {
        return Err(Failure::Destroyed { label: label() });
    }
    if row.is_unmade() { Err(Failure::NotMade { label: label() }) } else { Ok(()) }
}

/// Suspends or resumes a root key.
///
/// # Errors
/// As [`must_be_usable`]; the database failed.
pub fn set_state(store: &Store, row: &RootKeyRow, state: RootKeyState) -> Result<(), Failure> {
    must_be_usable(row)?;
    match store.set_root_key_state(row.id, state, Timestamp::now().as_second()) {
        // Somebody has begun to destroy it since it was read.
        Err(StoreError::StaleRootKey) => Err(Failure::Destroyed { label: row.label.clone() }),
        result => Ok(result?),
    }
}

/// Whether `version` could be retired: it is an old one, and nothing is under it.
///
/// # Errors
/// As [`must_be_usable`]; `IsCurrent`, `NoVersion`, `StillInUse`; the database failed.
pub fn may_retire(store: &Store, row: &RootKeyRow, version: u32) -> Result<(), Failure> {
    must_be_usable(row)?;
    let label = row.label.clone();
    if row.current_version == version {
        return Err(Failure::IsCurrent { label, version });
    }
    if row.version(version).is_none() {
        return Err(Failure::NoVersion { label, version, current: row.current_version });
    }
    match store.kek_count(row.id, version)? {
        0 => Ok(()),
        keks => Err(Failure::StillInUse { label, version, keks }),
    }
}

/// Destroys an old version in the HSM. The store refuses it while anything is under the version, and from the moment that it is
/// on record as retired nothing can come under it; so what follows in the HSM takes nothing away but backups from before the
/// rotation. Done again, it goes on where it was interrupted.
///
/// # Errors
/// As [`may_retire`]; `NotInHsm`; HSM or database failed.
pub fn retire(store: &Store, hal: &dyn RootKeys, row: &RootKeyRow, version: u32) -> Result<(), Failure> {
    may_retire(store, row, version)?;
    let label = || row.label.clone();
    let was_retired = row.version(version).is_some_and(|old| old.state == VersionState::Retired);
    let key_version = key(row.id, version);
    // The right token is attached: one that does not know the version would else seem to have lost it already.
    hal.describe_root(key(row.id, row.current_version))?;
    // On record as retired only what can be destroyed: a token that is not attached may hold the version.
    if !was_retired && !hal.list_roots()?.iter().any(|info| info.key() == key_version) {
        return Err(Failure::NotInHsm { label: label(), version });
    }
    match store.retire_version(row.id, version, Timestamp::now().as_second()) {
        Err(StoreError::InUse { keks }) => return Err(Failure::StillInUse { label: label(), version, keks }),
        result => result?,
    }
    match hal.destroy_root(key_version, DestroyConsent::approved_for(key_version)) {
        Ok(()) => Ok(()),
        // An attempt that was interrupted has destroyed it.
        Err(HalError::UnknownRootKey(_)) if was_retired => Ok(()),
        Err(HalError::UnknownRootKey(_)) => Err(Failure::NotInHsm { label: label(), version }),
        Err(error) => Err(error.into()),
    }
}
