//! The audit log as it is searched.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::audit::Record;

/// A record of the audit log: an item of a KMIP request, or an administrative action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEvent {
    /// Its number in the log.
    pub sequence: u64,
    /// When it was written.
    pub time: String,
    /// `request` or `admin`.
    pub kind: String,
    /// Who did something administrative: `server`, `uid:…`, `identity:…` or `unknown`.
    pub actor: Option<String>,
    /// The identity's name at that time.
    pub actor_name: Option<String>,
    /// What the identity showed: `api_key:…`, `certificate:…` or `session:…`.
    pub via: Option<String>,
    /// The peer's address.
    pub peer: Option<String>,
    /// The KMIP version of a request.
    pub version: Option<String>,
    /// The KMIP operation or administrative action.
    pub action: String,
    /// `success`, `denied`, a KMIP Result Reason or an administrative error code.
    pub outcome: String,
    /// The permission that was missing.
    pub permission: Option<String>,
    /// An adapter that it was about.
    pub adapter: Option<Uuid>,
    /// A managed object.
    pub object: Option<Uuid>,
    /// A root key.
    pub root_key: Option<Uuid>,
    /// A rule for certificates.
    pub ca_rule: Option<Uuid>,
    /// An identity.
    pub identity: Option<Uuid>,
    /// An API key, by its identifier.
    pub api_key: Option<Uuid>,
    /// A request for approval.
    pub approval: Option<Uuid>,
    /// The fingerprint of a certificate.
    pub certificate: Option<String>,
    /// The fingerprint of an external authority.
    pub authority: Option<String>,
    /// The name that the subject had at that time.
    pub name: Option<String>,
    /// Joins it to log lines and to what the caller saw.
    pub correlation: String,
}

impl From<Record> for AuditEvent {
    fn from(record: Record) -> Self {
        Self {
            sequence: record.sequence,
            time: record.time.to_string(),
            kind: record.kind,
            actor: record.actor,
            actor_name: record.actor_name,
            via: record.via,
            peer: record.peer,
            version: record.version,
            action: record.operation,
            outcome: record.outcome,
            permission: record.permission,
            adapter: record.adapter,
            object: record.object,
            root_key: record.root_key,
            ca_rule: record.ca_rule,
            identity: record.identity,
            api_key: record.api_key,
            approval: record.approval,
            certificate: record.certificate,
            authority: record.authority,
            name: record.name,
            correlation: record.correlation,
        }
    }
}
