//! The server itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::CertificateInfo;

/// The server as administrators see it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServerInfo {
    /// The program's version.
    pub version: String,
    /// When it was started.
    pub started_at: String,
    /// How its parts are.
    pub health: Health,
    /// Where KMIP clients connect.
    pub kmip_listen: Vec<String>,
    /// The host names and addresses that its certificate is good for: clients must use one of them.
    #[serde(default)]
    pub names: Vec<String>,
    /// The server's certificate, whose thumbprints an administrator compares with what vCenter shows.
    pub certificate: CertificateInfo,
    /// The certificate of the server's own authority in PEM form, for clients to trust.
    pub ca_pem: String,
}

/// How the server's parts are.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Whether all of them are well.
    pub ready: bool,
    /// For each part `ready`, or what is wrong with it.
    pub parts: BTreeMap<String, String>,
}
