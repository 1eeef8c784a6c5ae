//! Register (KMIP 1.4 §4.3): takes in an object made elsewhere; and what Create shares with it.

use kmip::{
    attributes::{Attribute, AttributeKind, Attributes},
    enums::{ObjectType, State},
    fields::{DateTime, Interval},
    objects::Object,
    payloads::{ImplicitAttributes, RegisterRequest, RegisterResponse},
};
use uuid::Uuid;

use crate::{
    engine::{
        attribute_rules,
        attribute_set::AttributeSet,
        ctx::Ctx,
        error::OpError,
        material,
        object::ManagedObject,
        terms::{DEFAULT_POLICY, LEASE_SECONDS},
    },
    store::ObjectId,
};

/// Takes an object in and returns its identifier.
pub(in crate::engine) fn register(ctx: &Ctx<'_>, request: RegisterRequest) -> Result<RegisterResponse, OpError> {
    let RegisterRequest { object_type, attributes, object: mut content } = request;
    if content.object_type() != object_type {
        return Err(OpError::InvalidField("the object type is not that of the object"));
    }
    let mut object = begin(ctx, object_type, attributes.0)?;
    material::take_in(&mut content, &mut object.attributes)?;
    let needs_mask = matches!(content, Object::SymmetricKey(_) | Object::PublicKey(_) | Object::PrivateKey(_));
    if needs_mask && !object.attributes.has(AttributeKind::CryptographicUsageMask) {
        return Err(OpError::InvalidField("a key needs a cryptographic usage mask"));
    }
    object.key_format = content.key_block().map(|block| block.key_format_type);
    finish(ctx, &mut object, content)?;
    Ok(RegisterResponse { unique_identifier: object.id.0.to_string(), attributes: ImplicitAttributes::default() })
}

/// A new object with the attributes that the request gives.
///
/// # Errors
/// Attributes that clients may not give, or templates.
pub(in crate::engine) fn begin(
    ctx: &Ctx<'_>,
    object_type: ObjectType,
    given: Attributes,
) -> Result<ManagedObject, OpError> {
    if !given.templates.is_empty() {
        return Err(OpError::NotFound);
    }
    let id = ObjectId(Uuid::now_v7());
    let mut set = AttributeSet::default();
    set.set(Attribute::UniqueIdentifier(id.0.to_string()));
    set.set(Attribute::ObjectType(object_type));
    attribute_rules::give(&mut set, given.attributes, object_type)?;
    attribute_rules::check_dates(&set)?;
    Ok(ManagedObject {
        id,
        adapter: ctx.principal.adapter,
        object_type,
        revision: 0,
        attributes: set,
        key_format: None,
        sealed: None,
    })
}

/// Sets what the server sets on every new object, seals its content and stores it.
///
/// # Errors
/// The HSM or the store failed; the name is taken.
pub(in crate::engine) fn finish(ctx: &Ctx<'_>, object: &mut ManagedObject, content: Object) -> Result<(), OpError> {
    let set = &mut object.attributes;
    let now = DateTime(ctx.now);
    set.set(Attribute::State(State::PreActive));
    set.set(Attribute::InitialDate(now));
    set.set(Attribute::LastChangeDate(now));
    set.set(Attribute::LeaseTime(Interval(LEASE_SECONDS)));
    set.set(Attribute::Fresh(true));
    if !set.has(AttributeKind::OperationPolicyName) {
        set.set(Attribute::OperationPolicyName(DEFAULT_POLICY.to_owned()));
    }
    if !set.has(AttributeKind::Sensitive) {
        set.set(Attribute::Sensitive(false));
    }
    if !set.has(AttributeKind::Extractable) {
        set.set(Attribute::Extractable(true));
    }
    let (sensitive, extractable) = (set.flag(AttributeKind::Sensitive), set.flag(AttributeKind::Extractable));
    set.set(Attribute::AlwaysSensitive(sensitive));
    set.set(Attribute::NeverExtractable(!extractable));
    object.settle(ctx.now);
    ctx.create(object, content)
}
