//! What needs two people, and what it would mean.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{admin::http::Resource, store::ApprovalState};

/// Something that needs two people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ApprovalAction {
    /// A root key is destroyed, and every key under it is lost.
    #[serde(rename = "root_key.destroy")]
    RootKeyDestroy,
    /// An adapter is deleted with all of its keys, Active ones among them.
    #[serde(rename = "adapter.delete")]
    AdapterDelete,
    /// A key or another object is destroyed, though it is Active.
    #[serde(rename = "object.destroy")]
    ObjectDestroy,
}

impl ApprovalAction {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::RootKeyDestroy, Self::AdapterDelete, Self::ObjectDestroy];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RootKeyDestroy => "root_key.destroy",
            Self::AdapterDelete => "adapter.delete",
            Self::ObjectDestroy => "object.destroy",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.name() == name)
    }
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalStatus {
    /// Nobody has decided.
    Pending,
    /// Somebody has approved; it is done when the hold ends, and can be cancelled until then.
    Approved,
    /// It is being done, and cannot be stopped.
    Executing,
    /// It was done.
    Done,
    /// It could not be done.
    Failed,
    /// Somebody has refused.
    Rejected,
    /// It was cancelled before anything was done, or more was at stake than had been shown.
    Cancelled,
    /// Nobody decided in time.
    Expired,
}

/// Somebody, as they were called at that time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Person {
    /// The identity.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// A request for what needs two people.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Approval {
    /// Its identifier.
    pub id: Uuid,
    /// What is to be done.
    pub action: ApprovalAction,
    /// What it is to be done to.
    pub subject: Uuid,
    /// What that was called.
    pub subject_name: Option<String>,
    /// The adapter that it belongs to, or that it is.
    pub adapter: Option<Uuid>,
    /// Where it stands.
    pub state: ApprovalStatus,
    /// Why it is asked for.
    pub reason: String,
    /// What it would have meant when it was asked for. If by the time of the approval or of the execution more keys are Active,
    /// it is void.
    pub impact: ImpactReport,
    /// Who asked.
    pub requested_by: Person,
    /// When.
    pub requested_at: String,
    /// From when on nobody can approve it any more.
    pub expires_at: String,
    /// Who approved or rejected.
    pub decided_by: Option<Person>,
    /// When.
    pub decided_at: Option<String>,
    /// Before this time nothing is done, and it can be cancelled.
    pub hold_until: Option<String>,
    /// What became of it.
    pub outcome: Option<String>,
    /// When that was.
    pub finished_at: Option<String>,
    /// One more with every step; its ETag.
    pub revision: u64,
}

/// Something to be asked for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApproval {
    /// What is to be done.
    pub action: ApprovalAction,
    /// The root key, adapter or object.
    pub subject: Uuid,
    /// Why, for whoever decides: 2 to 240 characters.
    #[schema(min_length = 2, max_length = 240)]
    pub reason: String,
}

/// What would be lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImpactReport {
    /// When this was looked at.
    pub computed_at: String,
    /// Objects that would be lost, in whatever state they are.
    pub objects: u64,
    /// Those of them that are Active.
    pub active_objects: u64,
    /// Those of them that are destroyed and held: until then they could be recovered.
    #[serde(default)]
    pub held_objects: u64,
    /// How many keys are wrapped under the root key.
    pub wrapped_keks: Option<u64>,
    /// The adapters affected.
    pub adapters: Vec<AdapterImpactReport>,
    /// The object, where it is about one.
    pub object: Option<ObjectImpactReport>,
    /// What else to know before deciding.
    pub warnings: Vec<String>,
}

/// What an adapter would lose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdapterImpactReport {
    /// The adapter.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its objects.
    pub objects: u64,
    /// Those of them that are Active.
    pub active_objects: u64,
    /// Those of them that are destroyed and held: until then they could be recovered.
    #[serde(default)]
    pub held_objects: u64,
    /// How many are in which state.
    pub states: Vec<StateCountReport>,
    /// When the newest object was made.
    pub newest_at: Option<String>,
    /// When a client was given one of them last.
    pub last_use_at: Option<String>,
    /// Who connected, last first; at most 50.
    pub clients: Vec<ClientReport>,
    /// How many have connected that are not in the list.
    pub more_clients: usize,
}

/// How many objects are in a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StateCountReport {
    /// The state, by its name in the KMIP specification.
    pub state: String,
    /// How many.
    pub objects: u64,
}

/// A client that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClientReport {
    /// SHA-256 of its certificate.
    pub fingerprint: String,
    /// The certificate's subject.
    pub subject: String,
    /// Where it connected from last.
    pub address: String,
    /// When.
    pub seen_at: String,
}

/// The object that would be destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ObjectImpactReport {
    /// Its identifier.
    pub id: Uuid,
    /// Its names.
    pub names: Vec<String>,
    /// Its type, by its name in the KMIP specification.
    pub object_type: String,
    /// Its state, likewise.
    pub state: String,
    /// When it was made.
    pub created_at: Option<String>,
    /// When a client was given it last.
    pub last_use_at: Option<String>,
    /// The certificate of that client.
    pub last_use_certificate: Option<String>,
    /// How long its material is held, out of reach, after it is destroyed, in seconds: the adapter's policy.
    pub hold_seconds: u32,
}

impl From<ApprovalState> for ApprovalStatus {
    fn from(state: ApprovalState) -> Self {
        match state {
            ApprovalState::Pending => Self::Pending,
            ApprovalState::Approved => Self::Approved,
            ApprovalState::Executing => Self::Executing,
            ApprovalState::Done => Self::Done,
            ApprovalState::Failed => Self::Failed,
            ApprovalState::Rejected => Self::Rejected,
            ApprovalState::Cancelled => Self::Cancelled,
            ApprovalState::Expired => Self::Expired,
        }
    }
}

impl From<ApprovalStatus> for ApprovalState {
    fn from(status: ApprovalStatus) -> Self {
        match status {
            ApprovalStatus::Pending => Self::Pending,
            ApprovalStatus::Approved => Self::Approved,
            ApprovalStatus::Executing => Self::Executing,
            ApprovalStatus::Done => Self::Done,
            ApprovalStatus::Failed => Self::Failed,
            ApprovalStatus::Rejected => Self::Rejected,
            ApprovalStatus::Cancelled => Self::Cancelled,
            ApprovalStatus::Expired => Self::Expired,
        }
    }
}

impl Resource for Approval {
    fn path(&self) -> String {
        format!("/v1/approvals/{}", self.id)
    }

    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }
}
