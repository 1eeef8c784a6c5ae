//! Which certificates end soon.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Sighting;
use crate::expiry;

/// Which certificates are asked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ForecastQuery {
    /// Those that end within so many days, 0 to 3660; without it 60. Those that have ended are always among them.
    #[param(maximum = 3660)]
    pub expiring_within_days: Option<u32>,
    /// At most so many items, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// `next_page` of the page before.
    pub page: Option<String>,
}

/// Whose certificate it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateKind {
    /// A client's.
    Client,
    /// The server's.
    Server,
    /// That of the server's own authority.
    OwnAuthority,
    /// That of an authority of other people.
    Authority,
}

impl From<expiry::CertificateKind> for CertificateKind {
    fn from(kind: expiry::CertificateKind) -> Self {
        match kind {
            expiry::CertificateKind::Client => Self::Client,
            expiry::CertificateKind::Server => Self::Server,
            expiry::CertificateKind::OwnAuthority => Self::OwnAuthority,
            expiry::CertificateKind::Authority => Self::Authority,
        }
    }
}

/// A certificate and when it ends.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ExpiringCertificate {
    /// Whose it is.
    pub kind: CertificateKind,
    /// The adapter, for certificates of clients.
    pub adapter: Option<Uuid>,
    /// Its name for people, or its common name.
    pub name: String,
    /// Whether it is registered; a client's that is not was let in by a rule when it connected last.
    pub registered: bool,
    /// SHA-256 of the certificate, in lower hexadecimal.
    pub fingerprint: String,
    /// Its subject. Whoever made the certificate chose it.
    pub subject: String,
    /// When its validity ends.
    pub not_after: String,
    /// Whole days until then; negative afterwards.
    pub days_left: i64,
    /// When a client used it last.
    pub last_seen: Option<Sighting>,
}
