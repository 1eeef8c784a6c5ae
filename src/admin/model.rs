//! What goes in and out of the admin API, one file for each kind of thing. The command line reads the same types.
//!
//! Names are in snake case, times RFC 3339 in UTC, identifiers UUIDs, fingerprints lower hexadecimal SHA-256. Unknown fields
//! of a request are refused; unknown fields of an answer are for clients to pass over.

mod activity;
mod adapters;
mod approvals;
mod audit;
mod backups;
mod certificate;
mod credential;
mod forecast;
mod handshakes;
mod identities;
mod objects;
mod overview;
mod root_keys;
mod rules;
mod server;
mod session;
mod statistics;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::problem::Problem;

pub use self::{
    activity::{Activity, ActivityQuery},
    adapters::{Adapter, AdapterChange, AdapterState, NewAdapter, ObjectCounts, RootKeyReference},
    approvals::{
        AdapterImpactReport, Approval, ApprovalAction, ApprovalStatus, ClientReport, ImpactReport, NewApproval,
        ObjectImpactReport, Person, StateCountReport,
    },
    audit::{AuditCheckpoint, AuditEvent, AuditProblem, AuditVerification},
    backups::{Backup, BackupRootKey, NewBackup},
    certificate::{
        Certificate, CertificateInfo, ClientKey, Issued, NewCertificate, NewIssued, Password, RegisteredCertificates,
        Sighting, SignedCertificate, SigningRequest,
    },
    credential::NewCredential,
    forecast::{CertificateKind, ExpiringCertificate, ForecastQuery},
    handshakes::{
        AdapterUsage, Handshake, HandshakeOutcome, HandshakeQuery, Handshakes, MadeObject, ObjectMade, ObjectsMade,
        PresentedCertificate,
    },
    identities::{
        ApiKeyInfo, GrantModel, Identity, IdentityChange, IdentityKind, NewApiKey, NewIdentity, NewlyMadeApiKey,
    },
    objects::{ManagedObject, ObjectAttribute, ObjectDates, ObjectQuery, ObjectSearch, ObjectUse, SealedUnder},
    overview::{
        ApprovalsOverview, AuditOverview, BreakerState, CertificatesOverview, Change, ConnectionsOverview, HsmOverview,
        HsmState, Latency, Overview, RunningRotation, SessionsOverview, StoreOverview, TokenOverview,
    },
    root_keys::{
        AttestVersion, NewRootKey, RetireVersion, RootKey, RootKeyAdapter, RootKeyStatus, RootKeyVersion,
        RootKeyVersionState, RotationProgress, SignedStatement,
    },
    rules::{Authority, NewAuthority, NewRule, Rule, RuleKind},
    server::{Health, ServerInfo},
    session::SessionInfo,
    statistics::{Statistics, StatisticsBucket, StatisticsQuery, StatisticsWindow},
};

/// Seconds since 1970-01-01 UTC as they are shown.
#[must_use]
pub fn shown_time(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

/// A time in a query; `field` is its name there.
pub(super) fn parse_time(field: &str, text: Option<String>) -> Result<Option<Timestamp>, Problem> {
    let time = text.map(|text| text.parse::<Timestamp>()).transpose();
    time.map_err(|_| Problem::invalid(field, "not a time such as 2026-01-31T12:00:00Z (RFC 3339)"))
}

/// A field of a change: absent leaves it as it is, null clears it.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
