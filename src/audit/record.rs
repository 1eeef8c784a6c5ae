//! A record as it is read again: for searches, exports and whoever shows them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A record of a request or an administrative action. Field names are those of the log's lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number in the log.
    pub sequence: u64,
    /// When it was written.
    #[serde(with = "time")]
    pub time: Timestamp,
    /// `request` or `admin`; other kinds are the log's own.
    pub kind: String,
    /// Who did something administrative: `server`, `uid:…`, `identity:…` or `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The identity's name at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_name: Option<String>,
    /// What the identity showed: `api_key:…`, `certificate:…` or `session:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// The peer's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The KMIP version of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// KMIP operation or administrative action.
    #[serde(default)]
    pub operation: String,
    /// An adapter.
    #[serde(default, with = "id", skip_serializing_if = "Option::is_none")]
    pub adapter: Option<Uuid>,
    /// A managed object.
    #[serde(default, with = "id", skip_serializing_if = "Option::is_none")]
    pub object: Option<Uuid>,
    /// A rule for certificates.
    #[serde(default, with = "id", skip_serializing_if = "Option::is_none")]
    pub ca_rule: Option<Uuid>,
    /// A root key.
    #[serde(default, with = "id", skip_serializing_if = "Option::is_none")]
    pub root_key: Option<Uuid>,
    /// An identity that it is about.
    #[serde(default, with = "id", skip_serializing_if = "Option::is_none")]
    pub identity: Option<Uuid>,
    /// An API key.
    #[serde(default, with = "id", skip_serializing_if = "Option::is_none")]
    pub api_key: Option<Uuid>,
    /// A request for approval.
    #[serde(default, with = "id", skip_serializing_if = "Option::is_none")]
    pub approval: Option<Uuid>,
    /// The fingerprint of a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The fingerprint of an external authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// The name that the subject had at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `success`, `denied`, a KMIP Result Reason or an administrative error code; `begun` where another record says how it ended.
    #[serde(default)]
    pub outcome: String,
    /// The permission that was missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<String>,
    /// Joins it to log lines and to what the client saw.
    #[serde(default)]
    pub correlation: String,
}

impl Record {
    /// Reads a line; `None` where it is no record.
    #[must_use]
    pub fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// The identity that acted, where one did.
    #[must_use]
    pub fn actor_id(&self) -> Option<Uuid> {
        self.actor.as_deref()?.strip_prefix("identity:")?.parse().ok()
    }
}

/// Identifiers in their usual form.
mod id {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use uuid::Uuid;

    #[expect(clippy::ref_option, reason = "serde asks for this form")]
    pub(super) fn serialize<S: Serializer>(id: &Option<Uuid>, serializer: S) -> Result<S::Ok, S::Error> {
        match id {
            Some(id) => serializer.collect_str(id),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(|_| D::Error::custom("not a UUID"))).transpose()
    }
}

/// Times in RFC 3339, UTC.
mod time {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{time:.3}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(|_| D::Error::custom("not a time"))
    }
}
