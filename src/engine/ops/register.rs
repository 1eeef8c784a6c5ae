//! Register (KMIP 1.4 §4.3): takes in an object made elsewhere; and what Create shares with it.

use kmip::{
    attributes::{Attribute, AttributeKind, Attributes},
    enums::{KeyFormatType, LinkType, ObjectType, State},
    fields::{DateTime, Interval},
    masks::CryptographicUsageMask,
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
        terms::{DEFAULT_GROUP, DEFAULT_POLICY, LEASE_SECONDS},
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
    material::take_in(&mut content, &mut object.attributes, ctx.version)?;
    require_pkcs12_password(ctx, &object, &content)?;
    finish(ctx, &mut object, content)?;
    Ok(RegisterResponse { unique_identifier: object.id.0.to_string(), attributes: ImplicitAttributes::default() })
}

/// A PKCS#12 container names the one password that opens it, an active object of the adapter (KMIP 1.4 §4.3, §11.4).
fn require_pkcs12_password(ctx: &Ctx<'_>, object: &ManagedObject, content: &Object) -> Result<(), OpError> {
    if content.key_block().is_none_or(|block| block.key_format_type != KeyFormatType::Pkcs12) {
        return Ok(());
    }
    let mut links = object.attributes.iter().filter_map(|instance| match &instance.attribute {
        Attribute::Link(link) if link.link_type == LinkType::Pkcs12PasswordLink => Some(&link.linked_object_identifier),
        _ => None,
    });
    let (Some(password), None) = (links.next(), links.next()) else {
        return Err(OpError::InvalidField("a PKCS#12 key needs exactly one PKCS#12 password link"));
    };
    let password = ctx.fetch(password).map_err(|error| match error {
        OpError::NotFound => OpError::InvalidField("the PKCS#12 password link leads nowhere"),
        other => other,
    })?;
    if password.object_type != ObjectType::SecretData {
        return Err(OpError::InvalidField("the PKCS#12 password link does not lead to secret data"));
    }
    if password.state() != State::Active {
        return Err(OpError::PermissionDenied("the PKCS#12 password is not active"));
    }
    Ok(())
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
        sealed: None,
        hold_until: None,
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
    if let (false, Some(mask)) = (set.has(AttributeKind::CryptographicUsageMask), default_usage(object.object_type)) {
        set.set(Attribute::CryptographicUsageMask(mask));
    }
    if !set.has(AttributeKind::OperationPolicyName) {
        set.set(Attribute::OperationPolicyName(DEFAULT_POLICY.to_owned()));
    }
    if !set.has(AttributeKind::ObjectGroup) {
        set.set(Attribute::ObjectGroup(DEFAULT_GROUP.to_owned()));
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
    attribute_rules::check_size(&object.attributes)?;
    ctx.create(object, content)
}

/// What an object may be used for when the request does not say: the attribute always has a value (KMIP 1.4 §3.19).
fn default_usage(object_type: ObjectType) -> Option<CryptographicUsageMask> {
    use CryptographicUsageMask as M;
    match object_type {
        ObjectType::SymmetricKey => Some(M::Encrypt | M::Decrypt),
        ObjectType::PrivateKey => Some(M::Sign),
        ObjectType::PublicKey => Some(M::Verify),
        ObjectType::SecretData | ObjectType::PgpKey => Some(M::empty()),
        _ => None,
    }
}
