//! Query (KMIP 1.4 §4.25): what this server is and can do, truthfully. Waits for nothing.

use kmip::{
    enums::{
        ClientRegistrationMethod, DestroyAction, ObjectType, ProfileName, QueryFunction, RngMode, ShreddingAlgorithm,
        UnwrapMode,
    },
    fields::Structure,
    payloads::{CapabilityInformation, ProfileInformation, QueryRequest, QueryResponse},
};

use crate::engine::{
    ctx::Ctx,
    error::OpError,
    ops::{SUPPORTED, create::rng},
};

/// What the Vendor Identification field says.
const VENDOR: &str = concat!("Keystead ", env!("CARGO_PKG_VERSION"));

/// Types of objects that can be created or registered.
const OBJECT_TYPES: [ObjectType; 7] = [
    ObjectType::Certificate,
    ObjectType::SymmetricKey,
    ObjectType::PublicKey,
    ObjectType::PrivateKey,
    ObjectType::SecretData,
    ObjectType::OpaqueObject,
    ObjectType::PgpKey,
];

/// Answers each function asked for.
pub(in crate::engine) fn query(ctx: &Ctx<'_>, request: QueryRequest) -> Result<QueryResponse, OpError> {
    if request.query_function.is_empty() {
        return Err(OpError::InvalidMessage("Query names no function"));
    }
    let mut response = QueryResponse::default();
    for function in request.query_function {
        match function {
            QueryFunction::QueryOperations => {
                response.operation = SUPPORTED.iter().copied().filter(|known| known.in_version(ctx.version)).collect();
            }
            QueryFunction::QueryObjects => {
                response.object_type = OBJECT_TYPES.into_iter().filter(|known| known.in_version(ctx.version)).collect();
            }
            QueryFunction::QueryServerInformation => {
                response.vendor_identification = Some(VENDOR.to_owned());
                response.server_information = Some(Structure::default());
            }
            QueryFunction::QueryRngs => response.rng_parameters = vec![rng()],
            QueryFunction::QueryProfiles => response.profile_information = profiles(ctx),
            QueryFunction::QueryCapabilities => response.capability_information = vec![capabilities()],
            // Administrators issue certificates, sign requests, and register what clients made themselves.
            QueryFunction::QueryClientRegistrationMethods => {
                response.client_registration_method = vec![
                    ClientRegistrationMethod::ServerOnDemand,
                    ClientRegistrationMethod::ClientGenerated,
                    ClientRegistrationMethod::ClientRegistered,
                ];
            }
            // The server has no application namespaces, extensions, attestation or validations.
            QueryFunction::QueryApplicationNamespaces
            | QueryFunction::QueryExtensionList
            | QueryFunction::QueryExtensionMap
            | QueryFunction::QueryAttestationTypes
            | QueryFunction::QueryValidations
            | QueryFunction::QueryDefaultsInformation
            | QueryFunction::QueryStorageProtectionMasks => {}
        }
    }
    Ok(response)
}

/// The profiles whose demands the server meets (KMIP Profiles 1.4).
fn profiles(ctx: &Ctx<'_>) -> Vec<ProfileInformation> {
    [ProfileName::BaselineServerBasicKmipV1_2]
        .into_iter()
        .filter(|profile| profile.in_version(ctx.version))
        .map(|profile_name| ProfileInformation { profile_name, server_uri: None, server_port: None })
        .collect()
}

fn capabilities() -> CapabilityInformation {
    CapabilityInformation {
        streaming: Some(false),
        asynchronous: Some(false),
        attestation: Some(false),
        batch_undo: Some(true),
        batch_continue: Some(true),
        unwrap_mode: Some(UnwrapMode::NotProcessed),
        destroy_action: Some(DestroyAction::KeyMaterialDeleted),
        shredding_algorithm: Some(ShreddingAlgorithm::Cryptographic),
        rng_mode: Some(RngMode::SharedInstantiation),
    }
}
