//! Copies of the database.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::admin::http::Resource;

/// A copy of the database, in the server's folder for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Backup {
    /// Its identifier.
    pub id: Uuid,
    /// The name of its file.
    pub file: String,
    /// How long that is, in bytes.
    pub bytes: u64,
    /// SHA-256 of it, hexadecimal.
    pub sha256: String,
    /// The schema version of the database in it.
    pub schema_version: u32,
    /// The version of the program that made it.
    pub program_version: String,
    /// When it was made.
    pub created_at: String,
    /// The root keys that the HSM must hold to open what is in it.
    pub root_keys: Vec<BackupRootKey>,
}

/// A backup to be made. There is nothing to be said about it yet: `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBackup {}

/// A version of a root key that is needed to open what is in a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupRootKey {
    /// The root key.
    pub id: Uuid,
    /// Its label.
    pub label: String,
    /// Its version.
    pub version: u32,
    /// That version's key check value, hexadecimal.
    pub kcv: String,
    /// How that was computed.
    pub kcv_method: String,
}

impl Resource for Backup {
    fn path(&self) -> String {
        format!("/v1/backups/{}", self.id)
    }

    fn revision(&self) -> Option<u64> {
        None
    }
}
