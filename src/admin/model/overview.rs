//! How the server is, in one answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::ObjectCounts;
use crate::telemetry;

/// How the server is. What the caller may not know is null.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// The program's version.
    pub version: String,
    /// When it was started.
    pub started_at: String,
    /// How long that is ago.
    pub uptime_seconds: i64,
    /// The server's clock.
    pub now: String,
    /// Whether HSM, store and audit log are all well, as far as is known without asking them.
    pub ready: bool,
    /// The HSM, as it was some seconds ago.
    pub hsm: Option<HsmOverview>,
    /// The database.
    pub store: Option<StoreOverview>,
    /// The audit log.
    pub audit: Option<AuditOverview>,
    /// Connections of KMIP clients.
    pub connections: Option<ConnectionsOverview>,
    /// How many adapters there are that the caller may see.
    pub adapters: usize,
    /// How many keys and other objects these have.
    pub objects: ObjectCounts,
    /// When certificates end.
    pub certificates: CertificatesOverview,
    /// What waits for a second person.
    pub approvals: ApprovalsOverview,
    /// Rotations of root keys that are under way.
    pub rotations: Option<Vec<RunningRotation>>,
    /// What was changed by this API since the server's start, newest first, at most 20.
    pub changes: Option<Vec<Change>>,
}

/// How the HSM is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HsmOverview {
    /// Whether it serves.
    pub state: HsmState,
    /// What is wrong with it, and what to do.
    pub message: Option<String>,
    /// `pkcs11` or `software`.
    pub backend: String,
    /// The time that `wrap` and `unwrap` are about.
    pub latency_window_seconds: u64,
    /// How long it took to wrap keys.
    pub wrap: Latency,
    /// How long it took to unwrap keys.
    pub unwrap: Latency,
    /// Its tokens.
    pub tokens: Vec<TokenOverview>,
}

/// Whether something of the HSM serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HsmState {
    /// It does.
    Ready,
    /// It does, with less than it should have.
    Degraded,
    /// It does not.
    Down,
}

/// How long something took. Null where it did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// How often it happened.
    pub count: u64,
    /// What half of them took at most, in microseconds; up to an eighth too much.
    pub p50_us: Option<u64>,
    /// What 99 of 100 took at most.
    pub p99_us: Option<u64>,
    /// What the longest took.
    pub max_us: Option<u64>,
}

/// How a token is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenOverview {
    /// Its label.
    pub label: String,
    /// Its serial number; null until it was reached once.
    pub serial: Option<String>,
    /// Whether it serves.
    pub state: HsmState,
    /// What is wrong with it, and what to do.
    pub message: Option<String>,
    /// How keys are wrapped, such as `aes-kwp`; null until it was reached once.
    pub scheme: Option<String>,
    /// The PKCS#11 mechanism of that.
    pub mechanism: Option<String>,
    /// Its sessions.
    pub sessions: SessionsOverview,
    /// Whether calls reach it.
    pub breaker: BreakerState,
}

/// Whether calls reach a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// They do.
    Closed,
    /// They are refused at once, until the token is back.
    Open,
}

/// The sessions with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionsOverview {
    /// How many there are; 0 where nothing limits them.
    pub size: usize,
    /// How many are at work.
    pub busy: usize,
    /// How many calls wait for one.
    pub waiting: usize,
    /// How many are in calls that do not return.
    pub stuck: usize,
}

/// How the database is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StoreOverview {
    /// Its size, with its log.
    pub bytes: u64,
    /// How much the server may still write there.
    pub disk_free_bytes: Option<u64>,
    /// When something was written last; null where nothing was since the start.
    pub last_write_at: Option<String>,
    /// How many changes wait to be written.
    pub waiting: usize,
}

/// How the audit log is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditOverview {
    /// Whether it can be written.
    pub healthy: bool,
    /// What is wrong with it, and what to do.
    pub message: Option<String>,
    /// The number of its last record.
    pub records: u64,
    /// How many files it has.
    pub segments: usize,
    /// Their size.
    pub bytes: u64,
    /// How much the server may still write there.
    pub disk_free_bytes: Option<u64>,
    /// Whether something is written that is not on the disk yet.
    pub unsynced: bool,
    /// Records since the last signed checkpoint; all where there is none.
    pub unsigned_records: u64,
    /// When the last checkpoint was signed; null where none was.
    pub last_checkpoint_at: Option<String>,
}

/// Connections of KMIP clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionsOverview {
    /// How many are open, those in their handshake included.
    pub open: usize,
    /// How many there may be.
    pub limit: u32,
}

/// When certificates end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificatesOverview {
    /// How many there are: of clients, and, for those who may see them, of authorities and the server.
    pub total: usize,
    /// How many of them end within `within_days`.
    pub expiring: usize,
    /// How many have ended.
    pub expired: usize,
    /// What `expiring` is about.
    pub within_days: u32,
}

/// What waits for a second person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalsOverview {
    /// How many requests that the caller may see are not decided.
    pub pending: usize,
}

/// A rotation that is under way.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunningRotation {
    /// The root key.
    pub root_key: Uuid,
    /// Its label.
    pub label: String,
    /// How many keys are done.
    pub done: u64,
    /// How many there were when it began.
    pub total: u64,
    /// How many a second, on average since it began.
    pub per_second: Option<f64>,
    /// How long it will take at that rate.
    pub seconds_left: Option<u64>,
}

/// That something was changed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// When.
    pub time: String,
    /// The action, such as `adapter.create`.
    pub action: String,
    /// Who did it: `identity:…`.
    pub actor: String,
    /// The identity's name at that time.
    pub actor_name: String,
    /// An adapter that it was about.
    pub adapter: Option<Uuid>,
    /// A root key.
    pub root_key: Option<Uuid>,
    /// A managed object.
    pub object: Option<Uuid>,
    /// An identity.
    pub identity: Option<Uuid>,
    /// The fingerprint of a certificate.
    pub certificate: Option<String>,
    /// The name that it had at that time.
    pub name: Option<String>,
    /// Finds it in the audit log.
    pub correlation: String,
}

impl From<telemetry::Latency> for Latency {
    fn from(found: telemetry::Latency) -> Self {
        let known = |micros| (found.count > 0).then_some(micros);
        Self {
            count: found.count,
            p50_us: known(found.p50_us),
            p99_us: known(found.p99_us),
            max_us: known(found.max_us),
        }
    }
}
