//! Records of the audit log.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::audit::Record;

/// Which records of an adapter are asked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ActivityQuery {
    /// Written at this time (RFC 3339) or later.
    pub since: Option<String>,
    /// Written before this time.
    pub until: Option<String>,
    /// Of this KMIP operation or administrative action; with `*` at its end, all that begin so.
    #[param(example = "certificate.*")]
    pub action: Option<String>,
    /// `success`, `denied`, `begun`, a reason, `failure` for everything that ended without success, or `ended` for everything but
    /// `begun`.
    pub outcome: Option<String>,
    /// About this managed object.
    pub object: Option<Uuid>,
    /// At most so many items, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// `next_page` of the page before.
    pub page: Option<String>,
}

/// A KMIP item or an administrative action, allowed or refused.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Activity {
    /// Its number in the audit log.
    pub sequence: u64,
    /// When it was recorded.
    pub time: String,
    /// `request` for a KMIP item, `admin` for an administrative action.
    pub kind: String,
    /// The KMIP operation or administrative action.
    pub operation: String,
    /// `success`, `denied`, a KMIP Result Reason or an administrative error code; `begun` before a change, where another record says
    /// how it ended.
    pub outcome: String,
    /// The permission that was missing.
    pub permission: Option<String>,
    /// Who did something administrative: `server`, `uid:…`, `identity:…` or `unknown`.
    pub actor: Option<String>,
    /// The identity's name at that time.
    pub actor_name: Option<String>,
    /// The client's address.
    pub peer: Option<String>,
    /// The KMIP version of a request.
    pub version: Option<String>,
    /// The managed object that it was about.
    pub object: Option<Uuid>,
    /// The rule for certificates that it was about.
    pub ca_rule: Option<Uuid>,
    /// The certificate, by its fingerprint: that of the client, or the one that it was about.
    pub certificate: Option<String>,
    /// The name that its subject had at that time.
    pub name: Option<String>,
    /// Finds it in the audit log and in the server's log.
    pub correlation: String,
}

impl From<Record> for Activity {
    fn from(record: Record) -> Self {
        Self {
            sequence: record.sequence,
            time: record.time.to_string(),
            kind: record.kind,
            operation: record.operation,
            outcome: record.outcome,
            permission: record.permission,
            actor: record.actor,
            actor_name: record.actor_name,
            peer: record.peer,
            version: record.version,
            object: record.object,
            ca_rule: record.ca_rule,
            certificate: record.certificate,
            name: record.name,
            correlation: record.correlation,
        }
    }
}
