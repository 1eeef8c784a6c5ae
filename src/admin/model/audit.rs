//! The audit log as it is searched and verified.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::audit::{
    Record,
    verify::{Problem, ProblemKind, Report},
};

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
    /// `success`, `denied`, a KMIP Result Reason or an administrative error code; `begun` before a change, where another record of
    /// the same action and correlation says how it ended.
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

/// What a verification of the audit log found, or of a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditVerification {
    /// Nothing is wrong with what was checked.
    pub clean: bool,
    /// How many segments were begun with.
    pub segments: usize,
    /// How many records are in order.
    pub records: u64,
    /// The number of the first of them.
    pub first: Option<u64>,
    /// The number of the last of them.
    pub last: Option<u64>,
    /// When that was written.
    pub last_time: Option<String>,
    /// What is wrong; the first of each kind of evidence.
    pub problems: Vec<AuditProblem>,
    /// What is as it may be, but should be known.
    pub notes: Vec<String>,
    /// How many of the records have a checkpoint with a right signature.
    pub checkpoints: u64,
    /// The newest of them that the records bear out.
    pub newest_checkpoint: Option<AuditCheckpoint>,
    /// The first record that no checkpoint vouches for; known at the end of the log only.
    pub unvouched_from: Option<u64>,
    /// To go on with; none where the log ends, or where something is wrong.
    pub next_page: Option<String>,
}

/// Something that is wrong with the audit log, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditProblem {
    /// What is wrong: `changed`, `missing`, `reordered` and others.
    pub problem: String,
    /// The number of the record.
    pub sequence: Option<u64>,
    /// The last one that is missing, or was signed.
    pub through: Option<u64>,
    /// The file, in the folder of the audit log.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u64>,
    /// The same in words.
    pub detail: String,
}

/// The newest checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditCheckpoint {
    /// The record it is about.
    pub through: u64,
    /// When it was signed.
    pub signed_at: String,
    /// The fingerprint of the key that signed it; `nobody` where it is not signed.
    pub signer: String,
    /// That is the key that this server has its checkpoints signed with.
    pub trusted: bool,
}

impl AuditVerification {
    /// What `report` says, where `signer` is the fingerprint of the server's own key.
    #[must_use]
    pub fn of(report: Report, signer: Option<&str>, next_page: Option<String>) -> Self {
        Self {
            clean: report.is_clean(),
            segments: report.segments,
            records: report.records,
            first: report.first,
            last: report.last,
            last_time: report.last_time,
            problems: report.problems.into_iter().map(AuditProblem::from).collect(),
            notes: report.notes,
            checkpoints: report.checkpoints,
            newest_checkpoint: report.newest_checkpoint.map(|newest| AuditCheckpoint {
                through: newest.through,
                signed_at: newest.signed_at,
                trusted: signer == Some(newest.signer.as_str()),
                signer: newest.signer,
            }),
            unvouched_from: report.unvouched_from,
            next_page,
        }
    }
}

impl From<Problem> for AuditProblem {
    fn from(mut problem: Problem) -> Self {
        // Where the server keeps its files is its own business.
        problem.file = problem.file.and_then(|file| file.file_name().map(Into::into));
        let through = match problem.kind {
            ProblemKind::Missing { through } | ProblemKind::Truncated { through } => Some(through),
            _ => None,
        };
        Self {
            problem: problem.kind.name().to_owned(),
            sequence: problem.sequence,
            through,
            file: problem.file.as_ref().map(|file| file.display().to_string()),
            line: problem.line,
            detail: problem.to_string(),
        }
    }
}
