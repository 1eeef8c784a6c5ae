//! Sessions of browsers, and who is asking.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::GrantModel;
use crate::admin::permission::Permission;

/// Who is asking, and in which session.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionInfo {
    /// The identity.
    pub identity: Uuid,
    /// Its name.
    pub name: String,
    /// Its roles.
    pub grants: Vec<GrantModel>,
    /// What it may do everywhere.
    pub permissions: Vec<Permission>,
    /// What a change must bring in the header X-CSRF-Token; null outside of a session.
    pub csrf_token: Option<String>,
    /// When the session is over, whatever happens; null outside of a session.
    pub expires_at: Option<String>,
    /// After so many seconds without a request it is over; null outside of a session.
    pub idle_seconds: Option<u64>,
}
