//! Adapters.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::present;
use crate::admin::http::Resource;

/// A tenant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Adapter {
    /// Its identifier.
    pub id: Uuid,
    /// 2 to 40 characters, unique.
    pub name: String,
    /// 2 to 240 characters.
    pub description: Option<String>,
    /// The root key that wraps its keys.
    pub root_key: RootKeyReference,
    /// What it can do.
    pub state: AdapterState,
    /// How many seconds the material of a destroyed key is held, out of everybody's reach, before it is erased.
    pub hold_seconds: u32,
    /// The KMIP user name that its clients may have to give.
    pub credential_user: Option<String>,
    /// How many client certificates are registered with it.
    pub certificates: usize,
    /// How many rules map certificates of an authority to it.
    pub rules: usize,
    /// How many keys and other objects it has.
    pub objects: ObjectCounts,
    /// When it was made.
    pub created_at: String,
    /// When it was changed last.
    pub changed_at: String,
    /// One more with every change; its ETag.
    pub revision: u64,
}

/// What an adapter can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdapterState {
    /// Everything.
    Active,
    /// Its keys can be looked for, changed and destroyed, but none is handed out or made until its root key is resumed.
    RootKeySuspended,
    /// The same, for ever: what its root key protected is lost.
    RootKeyDestroyed,
}

/// A root key that something is under.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RootKeyReference {
    /// Its identifier.
    pub id: Uuid,
    /// Its label.
    pub label: Option<String>,
}

/// How many keys and other objects an adapter has.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct ObjectCounts {
    /// Not destroyed.
    pub live: u64,
    /// Destroyed; only their metadata is left.
    pub destroyed: u64,
}

/// An adapter to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAdapter {
    /// 2 to 40 characters, unique.
    #[schema(min_length = 2, max_length = 40)]
    pub name: String,
    /// 2 to 240 characters.
    #[serde(default)]
    #[schema(min_length = 2, max_length = 240)]
    pub description: Option<String>,
    /// The root key that wraps its keys, for ever.
    pub root_key: Uuid,
    /// How many seconds the material of a destroyed key is held before it is erased; without it 0.
    #[serde(default)]
    #[schema(maximum = 31622400)]
    pub hold_seconds: Option<u32>,
}

/// What to change of an adapter. What is left out stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdapterChange {
    /// 2 to 40 characters, unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 2, max_length = 40)]
    pub name: Option<String>,
    /// 2 to 240 characters; null clears it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(min_length = 2, max_length = 240, value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// How many seconds the material of a destroyed key is held before it is erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 31622400)]
    pub hold_seconds: Option<u32>,
}

impl Resource for Adapter {
    fn path(&self) -> String {
        format!("/v1/adapters/{}", self.id)
    }

    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }
}
