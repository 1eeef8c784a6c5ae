//! Rows about root keys, the signing keys beside them, and what is wrapped under them: who may seal, where a rotation stands.
//!
//! The store keeps what an operator decided and what was read back from the HSM. It never talks to the HSM: whoever changes
//! a row here has done there what the row says, or does it next.

use std::fmt;

use uuid::Uuid;

use super::{AdapterId, ObjectId, Store, StoreError};

/// The longest wrapped KEK in bytes that the store takes.
pub const WRAPPED_KEK_MAX: usize = 87;

/// What an operator decided about a root key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RootKeyState {
    /// It seals and opens.
    Active,
    /// It neither seals nor opens until an operator resumes it.
    Suspended,
    /// Every version of it is gone, and what it protected with it. For ever.
    Destroyed,
}

/// What one version of a root key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VersionState {
    /// New KEKs are wrapped under it.
    Current,
    /// It still opens what was wrapped under it.
    Superseded,
    /// It is gone from the HSM; nothing is under it.
    Retired,
}

/// A root key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootKeyRow {
    /// Its id (`hal::RootKeyId`).
    pub id: Uuid,
    /// Its label, unique. Empty where an older version of the program recorded the key without one, until the HSM was reached.
    pub label: String,
    /// What an operator decided.
    pub state: RootKeyState,
    /// The version that new KEKs are wrapped under.
    pub current_version: u32,
    /// Seconds since 1970-01-01 UTC.
    pub created_at: i64,
    /// When its state or current version changed last.
    pub changed_at: i64,
    /// When it was destroyed.
    pub destroyed_at: Option<i64>,
    /// What its destruction has to do, JSON, from before anything was destroyed: one that was interrupted goes on by it.
    pub destruction: Option<String>,
    /// The signed certificate of its destruction, JSON.
    pub certificate: Option<String>,
    /// Its versions, ascending. None where the label is empty, and none while the key is being made.
    pub versions: Vec<RootKeyVersionRow>,
}

/// One version of a root key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootKeyVersionRow {
    /// From 1.
    pub version: u32,
    /// What it is for.
    pub state: VersionState,
    /// Its key check value.
    pub kcv: [u8; 3],
    /// How that was computed, by the name that the HAL gives the method.
    pub kcv_method: String,
    /// Seconds since 1970-01-01 UTC.
    pub created_at: i64,
    /// When it was retired.
    pub retired_at: Option<i64>,
    /// Its signed attestation, JSON.
    pub attestation: Option<String>,
}

/// A key in the HSM that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerRow {
    /// What it is for: `attestation`, `ca`, `tls` or `audit`. Unique.
    pub purpose: String,
    /// Its id (`hal::SignerId`). Unique.
    pub id: Uuid,
    /// Its label.
    pub label: String,
    /// Its kind, by the name that the HAL gives it.
    pub kind: String,
    /// Seconds since 1970-01-01 UTC.
    pub created_at: i64,
}

/// The sealed content of an object.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedRow {
    /// The root key that its KEK is wrapped under.
    pub root: Uuid,
    /// That root key's version; 0 where the wrapped KEK was erased or is not what the store wrote.
    pub version: u32,
    /// The wrapped KEK, at most [`WRAPPED_KEK_MAX`] bytes; empty where it was erased or is not what the store wrote.
    pub wrapped_kek: Vec<u8>,
    /// What the KEK seals.
    pub body: Vec<u8>,
}

impl SealedRow {
    /// How many bytes it has.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.wrapped_kek.len() + self.body.len()
    }
}

impl fmt::Debug for SealedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { root, version, wrapped_kek, body } = self;
        let (kek, body) = (wrapped_kek.len(), body.len());
        write!(f, "SealedRow({root} version {version}, {kek} + {body} bytes)")
    }
}

/// A wrapped KEK as a rotation reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KekRow {
    /// Its place in the order of a rotation.
    pub seq: i64,
    /// The version it is wrapped under.
    pub version: u32,
    /// The wrapped KEK; empty where it is not what the store wrote.
    pub wrapped: Vec<u8>,
}

/// A KEK that was wrapped again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrapped {
    /// Its place.
    pub seq: i64,
    /// The wrapped KEK it was made from. Where another is stored by now, because the object was destroyed, nothing is done.
    pub old: Vec<u8>,
    /// The wrapped KEK that takes its place.
    pub new: Vec<u8>,
}

/// A step of a rotation.
#[derive(Clone, Debug, Default)]
pub struct RotationStep {
    /// KEKs that were wrapped again.
    pub rewrapped: Vec<Rewrapped>,
    /// How many could not be: they are damaged.
    pub failed: u64,
    /// The rotation is done with everything up to this place. It never goes back.
    pub cursor: i64,
}

/// A rotation: everything under a root key's older versions comes under `to_version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationRow {
    /// The root key.
    pub root: Uuid,
    /// The version that was current before.
    pub from_version: u32,
    /// The version that is current now.
    pub to_version: u32,
    /// Seconds since 1970-01-01 UTC.
    pub started_at: i64,
    /// The last place that it is done with.
    pub cursor: i64,
    /// How many KEKs were under older versions when it began.
    pub total: u64,
    /// How many it has wrapped again.
    pub done: u64,
    /// How many it could not wrap again, because they are damaged.
    pub failed: u64,
    /// When a scan found nothing left to do.
    pub finished_at: Option<i64>,
    /// The signed proof of that, JSON.
    pub proof: Option<String>,
}

/// How many KEKs are wrapped under one version of a root key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KekCount {
    /// The root key.
    pub root: Uuid,
    /// Its version.
    pub version: u32,
    /// How many.
    pub keks: u64,
}

impl RootKeyRow {
    /// Whether it was announced and not made yet.
    #[must_use]
    pub fn is_unmade(&self) -> bool {
        !self.label.is_empty() && self.versions.is_empty()
    }

    /// Its version of this number.
    #[must_use]
    pub fn version(&self, version: u32) -> Option<&RootKeyVersionRow> {
        self.versions.iter().find(|row| row.version == version)
    }
}

/// Root keys. Every change of them also moves [`Store::trust_generation`] on.
impl Store {
    /// All root keys, in the order in which they were added.
    ///
    /// # Errors
    /// The database failed.
    pub fn root_keys(&self) -> Result<Vec<RootKeyRow>, StoreError> {
        self.engine.root_keys()
    }

    /// Adds a root key with its versions.
    ///
    /// # Errors
    /// `Duplicate` id or label.
    pub fn insert_root_key(&self, row: RootKeyRow) -> Result<(), StoreError> {
        self.engine.insert_root_key(row)
    }

    /// Fills in what an older version of the program did not record of a root key: its label and its first version.
    ///
    /// # Errors
    /// `NotFound`, `Duplicate` label, `StaleRootKey` where it has a label or that version already.
    pub fn identify_root_key(&self, root: Uuid, label: String, first: RootKeyVersionRow) -> Result<(), StoreError> {
        self.engine.identify_root_key(root, label, first)
    }

    /// Records that the making of a root key, which was announced by a suspended row without versions, is finished: it becomes
    /// active.
    ///
    /// # Errors
    /// `NotFound`, `StaleRootKey` where nothing was announced, or it is finished already.
    pub fn complete_root_key(&self, root: Uuid, first: RootKeyVersionRow) -> Result<(), StoreError> {
        self.engine.complete_root_key(root, first)
    }

    /// Forgets a root key that was announced and not made.
    ///
    /// # Errors
    /// `NotFound`, `StaleRootKey` where it was made.
    pub fn withdraw_root_key(&self, root: Uuid) -> Result<(), StoreError> {
        self.engine.withdraw_root_key(root)
    }

    /// Makes `version` the current one of `root` and begins the rotation from the one before.
    ///
    /// # Errors
    /// `NotFound`; `StaleRootKey` where the key is not active, or the version is not the one after the current one; `Rotating`
    /// while its last rotation is not finished.
    pub fn add_version(&self, root: Uuid, version: RootKeyVersionRow) -> Result<(), StoreError> {
        self.engine.add_version(root, version)
    }

    /// Suspends or resumes a root key.
    ///
    /// # Errors
    /// `NotFound`, `StaleRootKey` where it is destroyed or about to be, or not made yet, or `state` is destroyed (that is for
    /// [`Store::shred`]).
    pub fn set_root_key_state(&self, root: Uuid, state: RootKeyState, at: i64) -> Result<(), StoreError> {
        self.engine.set_root_key_state(root, state, at)
    }

    /// Records that a version is gone, or about to be: from now on nothing may open under it. Doing it again changes nothing.
    ///
    /// # Errors
    /// `NotFound`, `StaleRootKey` where it is the current one, `InUse` while KEKs are under it.
    pub fn retire_version(&self, root: Uuid, version: u32, at: i64) -> Result<(), StoreError> {
        self.engine.retire_version(root, version, at)
    }

    /// Keeps the attestation of a version.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_attestation(&self, root: Uuid, version: u32, attestation: String) -> Result<(), StoreError> {
        self.engine.set_attestation(root, version, attestation)
    }

    /// Suspends a root key that is about to be destroyed, for ever, and keeps `journal`: what is to be done.
    ///
    /// # Errors
    /// `NotFound`, `StaleRootKey` where it is destroyed, or its destruction has begun.
    pub fn begin_destruction(&self, root: Uuid, at: i64, journal: String) -> Result<(), StoreError> {
        self.engine.begin_destruction(root, at, journal)
    }

    /// Records that a root key was destroyed, with the certificate of it, and erases every KEK under it: all in one transaction.
    ///
    /// # Errors
    /// `NotFound`, `StaleRootKey` where it is destroyed already.
    pub fn shred(&self, root: Uuid, at: i64, certificate: String) -> Result<(), StoreError> {
        self.engine.shred(root, at, certificate)
    }

    /// The signing keys.
    ///
    /// # Errors
    /// The database failed.
    pub fn signers(&self) -> Result<Vec<SignerRow>, StoreError> {
        self.engine.signers()
    }

    /// Adds a signing key.
    ///
    /// # Errors
    /// `Duplicate`: there is one for this purpose, or of this id.
    pub fn insert_signer(&self, row: SignerRow) -> Result<(), StoreError> {
        self.engine.insert_signer(row)
    }

    /// Puts a signing key in the place of `old`, which is for the same purpose.
    ///
    /// # Errors
    /// `NotFound`: `old` is not on record, or for another purpose. `Duplicate` id.
    pub fn replace_signer(&self, old: Uuid, row: SignerRow) -> Result<(), StoreError> {
        self.engine.replace_signer(old, row)
    }
}

/// What is wrapped under root keys.
impl Store {
    /// How many KEKs are under a version of a root key. Reads all of them.
    ///
    /// # Errors
    /// The database failed.
    pub fn kek_count(&self, root: Uuid, version: u32) -> Result<u64, StoreError> {
        let counts = self.kek_counts()?;
        Ok(counts.iter().find(|count| (count.root, count.version) == (root, version)).map_or(0, |count| count.keks))
    }

    /// How many KEKs are under each version that has any. Reads all of them.
    ///
    /// # Errors
    /// The database failed.
    pub fn kek_counts(&self) -> Result<Vec<KekCount>, StoreError> {
        self.engine.kek_counts()
    }

    /// How many KEKs each root key has ever had, those erased since included. Reads all of them.
    ///
    /// # Errors
    /// The database failed.
    pub fn keks_ever(&self) -> Result<Vec<(Uuid, u64)>, StoreError> {
        self.engine.keks_ever()
    }

    /// KEKs of `root` behind the place `after_seq` that are under another version than `not_version`, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub fn next_keks(
        &self,
        root: Uuid,
        not_version: u32,
        after_seq: i64,
        limit: u64,
    ) -> Result<Vec<KekRow>, StoreError> {
        self.engine.next_keks(root, not_version, after_seq, limit)
    }

    /// The object whose KEK is at the place `seq`.
    ///
    /// # Errors
    /// The database failed.
    pub fn kek_owner(&self, seq: i64) -> Result<Option<(AdapterId, ObjectId)>, StoreError> {
        self.engine.kek_owner(seq)
    }

    /// Takes a step of the rotation of `root` to `to_version`: replaces KEKs, counts them, moves the cursor on. Durable when it
    /// returns. The KEKs replaced are overwritten; the log keeps them until the rotation is finished, or [`Store::scrub`].
    ///
    /// # Errors
    /// `NotFound` without such a rotation, `Damaged` for a new KEK that is too long.
    pub fn rotation_step(&self, root: Uuid, to_version: u32, step: RotationStep) -> Result<(), StoreError> {
        self.engine.rotation_step(root, to_version, step)
    }

    /// Starts the scan of a rotation again from the beginning: something before the cursor is left to do.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn restart_rotation(&self, root: Uuid, to_version: u32) -> Result<(), StoreError> {
        self.engine.restart_rotation(root, to_version)
    }

    /// Records that a rotation is finished but for `damaged` KEKs, with the proof of it.
    ///
    /// # Errors
    /// `NotFound` without such a rotation that is not finished; `InUse` where more KEKs are under other versions.
    pub fn finish_rotation(
        &self,
        root: Uuid,
        to_version: u32,
        at: i64,
        damaged: u64,
        proof: String,
    ) -> Result<(), StoreError> {
        self.engine.finish_rotation(root, to_version, at, damaged, proof)
    }

    /// All rotations, in the order in which they began.
    ///
    /// # Errors
    /// The database failed.
    pub fn rotations(&self) -> Result<Vec<RotationRow>, StoreError> {
        self.engine.rotations()
    }
}
