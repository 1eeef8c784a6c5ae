//! Identities and their API keys.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{CertificateInfo, Password, present};
use crate::admin::{http::Resource, permission::Role};

/// Somebody, or some program, that administers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Identity {
    /// Its identifier.
    pub id: Uuid,
    /// What it is.
    pub kind: IdentityKind,
    /// 2 to 40 characters, unique.
    pub name: String,
    /// 2 to 240 characters.
    pub description: Option<String>,
    /// The client certificate by which it is recognised.
    pub certificate: Option<CertificateInfo>,
    /// Whether it may do nothing until it is enabled again.
    pub disabled: bool,
    /// Its roles.
    pub grants: Vec<GrantModel>,
    /// When it was made.
    pub created_at: String,
    /// When it was changed last.
    pub changed_at: String,
    /// The identity that made it.
    pub created_by: Option<Uuid>,
    /// The identities through whose hands its roles and its certificate came, directly or through others. Neither decides on what
    /// the other asks for. None of the first two who may decide, nor where it came by a token of the
    /// server's machine.
    pub given_by: Vec<Uuid>,
    /// One more with every change; its ETag.
    pub revision: u64,
}

/// What an identity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdentityKind {
    /// A program, recognised by API keys.
    Service,
    /// A person, recognised by a client certificate or API keys.
    Operator,
    /// The holder of the token that `keystead init` printed. Made by the server only.
    Bootstrap,
}

/// A role of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Grant)]
pub struct GrantModel {
    /// The role.
    pub role: Role,
    /// The only adapter that it is for; null, or left out, for everything.
    #[serde(default)]
    pub adapter: Option<Uuid>,
}

/// An identity to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewIdentity {
    /// `service` or `operator`.
    pub kind: IdentityKind,
    /// 2 to 40 characters, unique.
    #[schema(min_length = 2, max_length = 40)]
    pub name: String,
    /// 2 to 240 characters.
    #[serde(default)]
    #[schema(min_length = 2, max_length = 240)]
    pub description: Option<String>,
    /// Its roles.
    #[serde(default)]
    #[schema(max_items = 256)]
    pub grants: Vec<GrantModel>,
    /// The client certificate by which an operator is recognised, in PEM form.
    #[serde(default)]
    pub certificate_pem: Option<String>,
}

/// What to change of an identity. What is left out stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityChange {
    /// 2 to 40 characters, unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 2, max_length = 40)]
    pub name: Option<String>,
    /// 2 to 240 characters; null clears it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(min_length = 2, max_length = 240, value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// Whether it may do nothing until it is enabled again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// All of its roles from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 256)]
    pub grants: Option<Vec<GrantModel>>,
    /// The client certificate by which an operator is recognised, in PEM form; null removes it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub certificate_pem: Option<Option<String>>,
}

impl IdentityChange {
    /// Whether it ends the identity's access and does nothing else.
    #[must_use]
    pub fn only_disables(&self) -> bool {
        let Self { name, description, disabled, grants, certificate_pem } = self;
        *disabled == Some(true)
            && name.is_none()
            && description.is_none()
            && grants.is_none()
            && certificate_pem.is_none()
    }
}

/// An API key, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct ApiKeyInfo {
    /// Its identifier, the first part of its text.
    pub id: Uuid,
    /// Whose it is.
    pub identity: Uuid,
    /// 2 to 40 characters.
    pub name: String,
    /// When it was made.
    pub created_at: String,
    /// When it expires.
    pub expires_at: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<String>,
    /// When it was used last, to about a minute.
    pub used_at: Option<String>,
    /// The identities through whose hands it came, as of an identity. Whoever logs in with it counts as these, too.
    pub given_by: Vec<Uuid>,
    /// Whether it is good for anything now.
    pub usable: bool,
}

/// An API key to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// 2 to 40 characters.
    #[schema(min_length = 2, max_length = 40)]
    pub name: String,
    /// For how many days it is valid, 1 to 3660; without it 365.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3660)]
    pub expires_in_days: Option<u32>,
}

/// An API key that was just made, with its secret, which is shown this once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct NewlyMadeApiKey {
    /// The key, for the header `Authorization: Bearer`. It is shown only now.
    pub key: Password,
    /// What is kept of it.
    #[serde(flatten)]
    pub info: ApiKeyInfo,
}

impl fmt::Debug for NewlyMadeApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewlyMadeApiKey").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Resource for Identity {
    fn path(&self) -> String {
        format!("/v1/identities/{}", self.id)
    }

    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }
}

impl Resource for NewlyMadeApiKey {
    fn path(&self) -> String {
        format!("/v1/identities/{}/api-keys/{}", self.info.identity, self.info.id)
    }

    fn revision(&self) -> Option<u64> {
        None
    }
}
