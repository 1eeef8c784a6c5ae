//! Rules for certificates of authorities, and the authorities.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::CertificateInfo;
use crate::{admin::http::Resource, store};

/// What of a certificate a rule compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// The only common name of its subject.
    Cn,
    /// Its whole subject (RFC 4514).
    Subject,
    /// A DNS name among its alternative names.
    Dns,
    /// A URI among them.
    Uri,
    /// An e-mail address among them.
    Email,
}

impl From<RuleKind> for store::RuleKind {
    fn from(kind: RuleKind) -> Self {
        match kind {
            RuleKind::Cn => Self::CommonName,
            RuleKind::Subject => Self::Subject,
            RuleKind::Dns => Self::Dns,
            RuleKind::Uri => Self::Uri,
            RuleKind::Email => Self::Email,
        }
    }
}

impl From<store::RuleKind> for RuleKind {
    fn from(kind: store::RuleKind) -> Self {
        match kind {
            store::RuleKind::CommonName => Self::Cn,
            store::RuleKind::Subject => Self::Subject,
            store::RuleKind::Dns => Self::Dns,
            store::RuleKind::Uri => Self::Uri,
            store::RuleKind::Email => Self::Email,
        }
    }
}

/// A rule: certificates of an authority that say this act as the adapter, registered or not.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Rule {
    /// Its identifier.
    pub id: Uuid,
    /// The adapter.
    pub adapter: Uuid,
    /// The fingerprint of the authority's certificate; null for the server's own authority.
    pub issuer: Option<String>,
    /// What is compared.
    pub kind: RuleKind,
    /// With what.
    pub value: String,
    /// When it was made.
    pub added_at: String,
}

/// A rule to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRule {
    /// The fingerprint of the authority's certificate; without it the server's own authority is meant.
    #[serde(default)]
    pub issuer: Option<String>,
    /// What is compared.
    pub kind: RuleKind,
    /// With what: `array-1`, `CN=array-1,O=Example,C=US`, `array-1.example.com`, `spiffe://example.com/array-1` or
    /// `array-1@example.com`.
    #[schema(min_length = 1, max_length = 2048)]
    pub value: String,
}

/// An authority of other people, whose certificates rules let in.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Authority {
    /// What its certificate says.
    #[serde(flatten)]
    pub info: CertificateInfo,
    /// A name for people.
    pub name: String,
    /// Whole days until its certificate ends; negative afterwards.
    pub days_left: i64,
    /// How many rules name it.
    pub rules: usize,
    /// When it was added.
    pub added_at: String,
    /// Its certificate in PEM form; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pem: Option<String>,
}

/// An authority to be added. By itself it lets nobody in: rules do.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAuthority {
    /// A name for people, 2 to 40 characters.
    #[schema(min_length = 2, max_length = 40)]
    pub name: String,
    /// Its certificate, one only, in PEM form.
    pub pem: String,
}

impl Resource for Rule {
    fn path(&self) -> String {
        format!("/v1/adapters/{}/rules/{}", self.adapter, self.id)
    }

    fn revision(&self) -> Option<u64> {
        None
    }
}

impl Resource for Authority {
    fn path(&self) -> String {
        format!("/v1/authorities/{}", self.info.fingerprint)
    }

    fn revision(&self) -> Option<u64> {
        None
    }
}
