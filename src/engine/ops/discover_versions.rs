//! Discover Versions (KMIP 1.4 §4.26): what the server speaks, best first. Waits for nothing.

use kmip::{
    message::ProtocolVersion,
    payloads::{DiscoverVersionsRequest, DiscoverVersionsResponse},
};

use crate::engine::{batch::VERSIONS, ctx::Ctx, error::OpError};

/// Lists the versions that the client asked about, or all.
pub(in crate::engine) fn discover_versions(
    _: &Ctx<'_>,
    request: DiscoverVersionsRequest,
) -> Result<DiscoverVersionsResponse, OpError> {
    let asked = request.protocol_version;
    let ours = VERSIONS.into_iter().map(ProtocolVersion::from);
    let protocol_version = ours.filter(|version| asked.is_empty() || asked.contains(version)).collect();
    Ok(DiscoverVersionsResponse { protocol_version })
}
