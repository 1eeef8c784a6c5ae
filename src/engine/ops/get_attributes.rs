//! Get Attributes and Get Attribute List (KMIP 1.4 §4.12, §4.13). Never wait for the HSM.

use std::collections::HashSet;

use kmip::{
    attributes::AttributeName,
    payloads::{
        GetAttributeListRequest, GetAttributeListResponse, GetAttributesRequest, GetAttributesResponse,
        ReturnedAttributes,
    },
};

use crate::engine::{attribute_set::Instance, ctx::Ctx, error::OpError};

/// Returns the attributes asked for, or all. One that the object does not have is left out.
pub(in crate::engine) fn get_attributes(
    ctx: &Ctx<'_>,
    request: GetAttributesRequest,
) -> Result<GetAttributesResponse, OpError> {
    // A set: a message has room for tens of thousands of names.
    let given = request.attribute_name.len();
    let names: HashSet<AttributeName> = request.attribute_name.into_iter().collect();
    if names.len() < given {
        return Err(OpError::InvalidMessage("an attribute name is given more than once"));
    }
    let object = ctx.fetch_target(request.unique_identifier)?;
    let attributes = object
        .attributes
        .iter()
        .filter(|instance| names.is_empty() || names.contains(&instance.attribute.name()))
        .filter(|instance| instance.is_defined(ctx.version))
        .map(Instance::returned)
        .collect();
    Ok(GetAttributesResponse { unique_identifier: object.id.0.to_string(), attributes: ReturnedAttributes(attributes) })
}

/// Returns the names of the object's attributes.
pub(in crate::engine) fn get_attribute_list(
    ctx: &Ctx<'_>,
    request: GetAttributeListRequest,
) -> Result<GetAttributeListResponse, OpError> {
    let object = ctx.fetch_target(request.unique_identifier)?;
    let mut names: Vec<AttributeName> = Vec::new();
    for instance in object.attributes.iter().filter(|instance| instance.is_defined(ctx.version)) {
        let name = instance.attribute.name();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(GetAttributeListResponse { unique_identifier: object.id.0.to_string(), attribute_name: names })
}
