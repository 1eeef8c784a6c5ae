//! Managed objects: everything but their content, which is in no answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::admin::http::Resource;

/// What administrators may know of a managed object.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ManagedObject {
    /// Its Unique Identifier.
    pub id: Uuid,
    /// The adapter that owns it.
    pub adapter: Uuid,
    /// Its Object Type, such as `SymmetricKey`.
    #[serde(rename = "type")]
    pub object_type: String,
    /// Its State, such as `Active`.
    pub state: String,
    /// Its names. Clients chose them.
    pub names: Vec<String>,
    /// Its cryptographic algorithm.
    pub algorithm: Option<String>,
    /// Its cryptographic length in bits.
    pub length_bits: Option<i32>,
    /// The dates of its life.
    pub dates: ObjectDates,
    /// Whether a client was ever given it.
    pub fetched: bool,
    /// When and with which certificate it was fetched last, to some seconds.
    pub last_use: Option<ObjectUse>,
    /// Destroyed, but its material is held until then and it can be recovered.
    pub held_until: Option<String>,
    /// The root key that protects it; null where its material is gone.
    pub sealed_under: Option<SealedUnder>,
    /// Its other attributes, those of clients among them.
    pub attributes: Vec<ObjectAttribute>,
    /// One more with every change; its ETag.
    pub revision: u64,
}

/// The dates of an object's life.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ObjectDates {
    /// When the server made or registered it.
    pub initial: Option<String>,
    /// When it was or will be activated.
    pub activation: Option<String>,
    /// When it may begin to process.
    pub process_start: Option<String>,
    /// When it must stop to protect.
    pub protect_stop: Option<String>,
    /// When it was or will be deactivated.
    pub deactivation: Option<String>,
    /// When it was destroyed.
    pub destroy: Option<String>,
    /// When it was or may have been compromised first.
    pub compromise_occurrence: Option<String>,
    /// When the compromise was told.
    pub compromise: Option<String>,
    /// When anything of it changed last.
    pub last_change: Option<String>,
    /// When it was made, wherever that was.
    pub original_creation: Option<String>,
}

/// A use of an object.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ObjectUse {
    /// When.
    pub at: String,
    /// The fingerprint of the client's certificate.
    pub certificate: String,
}

/// What protects an object.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SealedUnder {
    /// The root key.
    pub root_key: Uuid,
    /// Its version.
    pub version: u32,
}

/// An attribute as text.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ObjectAttribute {
    /// Its name in the specification, or the client's own.
    pub name: String,
    /// Its Attribute Index.
    pub index: i32,
    /// Its value; of byte strings the length only.
    pub value: String,
}

impl Resource for ManagedObject {
    fn path(&self) -> String {
        format!("/v1/objects/{}", self.id)
    }

    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }
}
