//! Root keys.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::admin::http::Resource;

/// What may be done with a root key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RootKeyStatus {
    /// Its making was interrupted: make it again under the same label.
    Unfinished,
    /// It seals and opens.
    Active,
    /// It neither seals nor opens until it is resumed.
    Suspended,
    /// Its destruction has begun, and only goes on.
    BeingDestroyed,
    /// It is gone, and what it protected with it.
    Destroyed,
}

/// A root key on record.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RootKey {
    /// Its identifier.
    pub id: Uuid,
    /// Its label, unique.
    pub label: String,
    /// What may be done with it.
    pub state: RootKeyStatus,
    /// The version that new keys are wrapped under.
    pub current_version: u32,
    /// Its versions, ascending.
    pub versions: Vec<RootKeyVersion>,
    /// Its last rotation.
    pub rotation: Option<RotationProgress>,
    /// The adapters whose keys are under it. If it is suspended or destroyed, they are disabled.
    pub adapters: Vec<RootKeyAdapter>,
    /// When it was made.
    pub created_at: String,
    /// When its state or current version changed last.
    pub changed_at: String,
    /// When it was destroyed.
    pub destroyed_at: Option<String>,
    /// The signed certificate of its destruction, as text; `keystead root-key verify-attestation` checks it.
    pub destruction_certificate: Option<String>,
}

/// A version of a root key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RootKeyVersion {
    /// Its number, from 1.
    pub version: u32,
    /// `current`, `superseded` (it opens what is under it) or `retired` (it is gone from the HSM).
    pub state: RootKeyVersionState,
    /// Its key check value, hexadecimal.
    pub kcv: String,
    /// How that was computed.
    pub kcv_method: String,
    /// When it was made.
    pub created_at: String,
    /// When it was retired.
    pub retired_at: Option<String>,
    /// Its last signed attestation, as text; `keystead root-key verify-attestation` checks it.
    pub attestation: Option<String>,
}

/// What a version of a root key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RootKeyVersionState {
    /// New keys are wrapped under it.
    Current,
    /// It still opens what is under it.
    Superseded,
    /// It is gone from the HSM; nothing is under it.
    Retired,
}

/// How far a rotation is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RotationProgress {
    /// The version that was current before.
    pub from_version: u32,
    /// The version that everything comes under.
    pub to_version: u32,
    /// When it began.
    pub started_at: String,
    /// When nothing was left to do.
    pub finished_at: Option<String>,
    /// How many keys were under older versions when it began.
    pub total: u64,
    /// How many are done.
    pub done: u64,
    /// How many are damaged and stay as they are.
    pub damaged: u64,
    /// How many are left; 0 once it is finished.
    pub remaining: u64,
    /// How many were done each second, on average since it began; null until one is, and once it is finished.
    pub per_second: Option<f64>,
    /// How long it will take at that rate.
    pub seconds_left: Option<u64>,
    /// The signed proof that nothing is left under older versions, as text.
    pub proof: Option<String>,
}

/// An adapter under a root key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RootKeyAdapter {
    /// Its identifier.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// A root key to be made inside the HSM. From existing material one is made on the machine itself only:
/// `keystead root-key import`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRootKey {
    /// 1 to 64 characters, unique.
    #[schema(min_length = 1, max_length = 64)]
    pub label: String,
}

/// A version of a root key to be retired.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetireVersion {
    /// The version. It is not the current one, and nothing is under it.
    pub version: u32,
    /// That backups of the database from before the rotation may be lost: they open with this version alone.
    pub backups_may_be_lost: bool,
}

/// A version of a root key to be attested.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttestVersion {
    /// The version; without it the current one.
    #[serde(default)]
    pub version: Option<u32>,
}

/// A signed statement about a root key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SignedStatement {
    /// The statement's file, exactly as it is to be kept: `keystead root-key verify-attestation` checks it.
    pub statement: String,
}

impl Resource for RootKey {
    fn path(&self) -> String {
        format!("/v1/root-keys/{}", self.id)
    }

    fn revision(&self) -> Option<u64> {
        None
    }
}
