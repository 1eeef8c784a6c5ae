//! The KMIP credential of an adapter.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Password;

/// The KMIP user name and password that an adapter's clients may have to give.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCredential {
    /// The user name, 1 to 255 characters.
    #[schema(min_length = 1, max_length = 255)]
    pub user: String,
    /// The password, 1 to 1024 bytes. Only a hash of it is kept.
    #[schema(min_length = 1, max_length = 1024)]
    pub password: Password,
}
