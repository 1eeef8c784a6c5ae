//! Who may give, add, change and delete which attribute, and when: the tables of rules of KMIP 1.4 §3, applied.
//!
//! Everything here works on an [`AttributeSet`] in memory; storing it is its caller's.

use kmip::{
    attributes::{
        Attribute, AttributeInstance, AttributeKind, AttributeName, ClientAccess, RevocationReason, UsageLimits,
    },
    enums::{ObjectType, State},
    tree::Value,
};

use super::{attribute_set::AttributeSet, attribute_set::date_of, error::OpError, object::ManagedObject};

/// Longest text or byte string a client may put into an attribute, bytes.
const MAX_VALUE_BYTES: usize = 64 * 1024;
/// Most attribute instances an object may have.
const MAX_INSTANCES: usize = 1024;

/// Most bytes that all attributes of an object may have together. Well below what the engine reads back, because the server adds
/// to them for as long as the object lives.
const MAX_BYTES: usize = 256 * 1024;

/// Takes the attributes that a request gives for a new object.
///
/// # Errors
/// One that clients may not give, that this object type does not have, or more instances than may be.
pub(super) fn give(
    set: &mut AttributeSet,
    given: Vec<AttributeInstance>,
    object_type: ObjectType,
) -> Result<(), OpError> {
    for AttributeInstance { attribute, index } in given {
        check_value(&attribute)?;
        match attribute.kind() {
            Some(kind) => {
                if kind.access() == ClientAccess::ReadOnly {
                    return Err(OpError::InvalidField("an attribute is given that only the server sets"));
                }
                if !applies(kind, object_type) {
                    return Err(OpError::InvalidField("an attribute is given that this object type does not have"));
                }
            }
            None => check_custom(&attribute, OpError::InvalidField)?,
        }
        if is_name_of(set, &attribute, None) {
            return Err(OpError::InvalidField("a name is given twice"));
        }
        set.add(started(attribute), index)?;
        check_count(set)?;
    }
    Ok(())
}

/// Adds an attribute (KMIP 1.4 §4.14) and returns its index.
///
/// # Errors
/// Clients may not add it, the object has it already, or an index other than 0 is given.
pub(super) fn add(object: &mut ManagedObject, added: AttributeInstance, now: i64) -> Result<i32, OpError> {
    let AttributeInstance { attribute, index } = added;
    check_value(&attribute)?;
    if index.is_some_and(|index| index != 0) {
        return Err(OpError::InvalidField("an attribute to be added has no index yet"));
    }
    match attribute.kind() {
        Some(kind) => {
            // When an object was first made may be told later, once (§3.43).
            let told_later = kind == AttributeKind::OriginalCreationDate;
            let at_creation = kind.access() == ClientAccess::AtCreation && !told_later;
            if kind.access() == ClientAccess::ReadOnly || at_creation {
                return Err(OpError::ReadOnlyAttribute("only the server sets this attribute"));
            }
            if !applies(kind, object.object_type) {
                return Err(OpError::PermissionDenied("this object type does not have this attribute"));
            }
            check_date(object, &attribute, now)?;
        }
        None => check_custom(&attribute, OpError::ReadOnlyAttribute)?,
    }
    let single_and_set = attribute
        .kind()
        .is_some_and(|kind| kind.instances() == kmip::attributes::Instances::One && object.attributes.has(kind));
    if single_and_set {
        return Err(OpError::IllegalOperation("the object has this attribute already"));
    }
    if is_name_of(&object.attributes, &attribute, None) {
        return Err(OpError::IllegalOperation("the object has this name already"));
    }
    let index = object.attributes.add(started(attribute), None)?;
    check_count(&object.attributes)?;
    check_size(&object.attributes)?;
    Ok(index)
}

/// Changes an attribute's value (KMIP 1.4 §4.15) and returns its index.
///
/// # Errors
/// Clients may not change it (any more), or there is no such instance.
pub(super) fn modify(object: &mut ManagedObject, modified: AttributeInstance, now: i64) -> Result<i32, OpError> {
    let AttributeInstance { attribute, index } = modified;
    check_value(&attribute)?;
    let index = index.unwrap_or(0);
    match attribute.kind() {
        Some(kind) => {
            if matches!(kind.access(), ClientAccess::ReadOnly | ClientAccess::AtCreation) {
                return Err(OpError::ReadOnlyAttribute("clients cannot change this attribute"));
            }
        }
        None => check_custom(&attribute, OpError::ReadOnlyAttribute)?,
    }
    let name = attribute.name();
    if object.attributes.named(&name).next().is_none() {
        return Err(OpError::InvalidField("the object does not have this attribute: it must be added first"));
    }
    check_date(object, &attribute, now)?;
    if is_name_of(&object.attributes, &attribute, Some(index)) {
        return Err(OpError::IllegalOperation("the object has this name already"));
    }
    let attribute = match (attribute, object.attributes.get(AttributeKind::UsageLimits)) {
        // The client gives total or unit or both; what it leaves out stays.
        (Attribute::UsageLimits(new), Some(Attribute::UsageLimits(old))) => Attribute::UsageLimits(UsageLimits {
            total: new.total.or(old.total),
            unit: new.unit.or(old.unit),
            count: None,
        }),
        (other, _) => other,
    };
    if !object.attributes.replace(started(attribute), index) {
        return Err(OpError::AttributeNotFound("the attribute has no instance with this index"));
    }
    check_size(&object.attributes)?;
    Ok(index)
}

/// Whether `attribute` is a Name that the object has already, in another instance than the one at `index`.
fn is_name_of(set: &AttributeSet, attribute: &Attribute, index: Option<i32>) -> bool {
    let Attribute::Name(_) = attribute else { return false };
    set.named(&attribute.name()).any(|instance| instance.attribute == *attribute && Some(instance.index) != index)
}

/// Deletes an attribute instance (KMIP 1.4 §4.16) and returns it.
///
/// # Errors
/// Clients may not delete it, or there is no such instance.
pub(super) fn delete(
    object: &mut ManagedObject,
    name: &AttributeName,
    index: Option<i32>,
) -> Result<AttributeInstance, OpError> {
    match name {
        AttributeName::Standard(kind) if kind.access() != ClientAccess::Free => {
            return Err(OpError::ReadOnlyAttribute("clients cannot delete this attribute"));
        }
        AttributeName::Other(other) if other.starts_with("y-") => {
            return Err(OpError::ReadOnlyAttribute("attributes called y- are the server's"));
        }
        _ => {}
    }
    let removed = object.attributes.remove(name, index.unwrap_or(0));
    let removed = removed.ok_or(OpError::AttributeNotFound("the object has no such attribute instance"))?;
    Ok(AttributeInstance { attribute: removed.attribute, index: Some(removed.index).filter(|index| *index != 0) })
}

/// Checks that the dates of a new or changed object are in their order (KMIP 1.4 §3.24 to §3.27).
///
/// # Errors
/// One lies before another that it must follow.
pub(super) fn check_dates(set: &AttributeSet) -> Result<(), OpError> {
    use AttributeKind as K;
    let in_order = [
        (K::ActivationDate, K::ProcessStartDate),
        (K::ActivationDate, K::DeactivationDate),
        (K::ProtectStopDate, K::DeactivationDate),
        (K::ActivationDate, K::ProtectStopDate),
    ];
    for (earlier, later) in in_order {
        if let (Some(earlier), Some(later)) = (set.date(earlier), set.date(later))
            && earlier > later
        {
            return Err(OpError::InvalidField(
                "the activation, process start, protect stop and deactivation dates are not in order",
            ));
        }
    }
    Ok(())
}

/// Keeps Always Sensitive and Never Extractable true to the past of the attributes they watch (KMIP 1.4 §3.49, §3.51).
pub(super) fn remember_exposure(set: &mut AttributeSet) {
    if !set.flag(AttributeKind::Sensitive) {
        set.set(Attribute::AlwaysSensitive(false));
    }
    if set.flag(AttributeKind::Extractable) {
        set.set(Attribute::NeverExtractable(false));
    }
}

/// Whether an object of this type can have the attribute ("Applies to Object Types").
pub(super) fn applies(kind: AttributeKind, object_type: ObjectType) -> bool {
    use AttributeKind as K;
    let symmetric = matches!(object_type, ObjectType::SymmetricKey | ObjectType::SplitKey | ObjectType::Template);
    let asymmetric = matches!(object_type, ObjectType::PublicKey | ObjectType::PrivateKey);
    match kind {
        K::ProcessStartDate | K::ProtectStopDate => symmetric || object_type == ObjectType::SecretData,
        K::CryptographicDomainParameters => asymmetric || object_type == ObjectType::Template,
        K::UsageLimits => symmetric || asymmetric || object_type == ObjectType::PgpKey,
        _ => true,
    }
}

/// Usage Limits begin with everything left: the client gives the total, the server counts (KMIP 1.4 §3.21).
fn started(attribute: Attribute) -> Attribute {
    match attribute {
        Attribute::UsageLimits(limits) => Attribute::UsageLimits(UsageLimits { count: limits.total, ..limits }),
        other => other,
    }
}

/// A life-cycle date may be set while the moment it describes lies ahead.
fn check_date(object: &ManagedObject, new: &Attribute, now: i64) -> Result<(), OpError> {
    use AttributeKind as K;
    let Some(kind) = new.kind().filter(|kind| kind.access() == ClientAccess::Scheduled) else { return Ok(()) };
    let state = object.state();
    let passed = object.attributes.date(kind).is_some_and(|date| date <= now);
    let allowed = match kind {
        K::ActivationDate => state == State::PreActive,
        K::DeactivationDate => matches!(state, State::PreActive | State::Active),
        _ => matches!(state, State::PreActive | State::Active) && !passed,
    };
    if !allowed {
        return Err(OpError::WrongState("the date can no longer be changed in the object's state"));
    }
    let mut after = object.attributes.clone();
    after.set(new.clone());
    date_of(new).map_or(Ok(()), |_| check_dates(&after))
}

fn check_custom(attribute: &Attribute, refuse: fn(&'static str) -> OpError) -> Result<(), OpError> {
    let Attribute::Custom(custom) = attribute else { return Ok(()) };
    if custom.name.starts_with("y-") {
        return Err(refuse("attributes called y- are the server's"));
    }
    if !custom.name.starts_with("x-") {
        return Err(OpError::InvalidField("the attribute is not known; a client's own begin with x-"));
    }
    if let Value::Structure(fields) = &custom.value
        && fields.iter().any(|field| matches!(field.value, Value::Structure(_)))
    {
        return Err(OpError::InvalidField("a custom attribute's structure has no structures in it"));
    }
    Ok(())
}

fn check_value(attribute: &Attribute) -> Result<(), OpError> {
    if matches!(attribute, Attribute::ApplicationSpecificInformation(information) if information.application_data.is_none())
    {
        return Err(OpError::ApplicationNamespace);
    }
    let too_long = match attribute {
        Attribute::Name(name) => name.name_value.is_empty() || name.name_value.len() > MAX_VALUE_BYTES,
        Attribute::Custom(custom) => {
            custom.name.len() > 1024
                || kmip::ttlv::encoded_len(&kmip::tree::Item::new(
                    kmip::tags::Tag::AttributeValue,
                    custom.value.clone(),
                )) > MAX_VALUE_BYTES
        }
        Attribute::CryptographicLength(bits) => *bits < 0,
        Attribute::UsageLimits(limits) => limits.total.is_some_and(|total| total < 0),
        _ => false,
    };
    if too_long { Err(OpError::InvalidField("an attribute's value is empty, negative or too long")) } else { Ok(()) }
}

/// Checks that the attributes can be kept.
///
/// # Errors
/// Together they are longer than the server keeps.
pub(super) fn check_size(set: &AttributeSet) -> Result<(), OpError> {
    let bytes: usize = set.to_items().iter().map(kmip::ttlv::encoded_len).sum();
    if bytes > MAX_BYTES {
        return Err(OpError::InvalidField("the object's attributes are longer together than this server keeps"));
    }
    Ok(())
}

/// Checks the reason of a revocation, which is kept beside the attributes that clients give.
///
/// # Errors
/// Its message is too long.
pub(super) fn check_revocation(reason: &RevocationReason) -> Result<(), OpError> {
    match &reason.message {
        Some(message) if message.len() > MAX_VALUE_BYTES => {
            Err(OpError::InvalidField("the revocation message is too long"))
        }
        _ => Ok(()),
    }
}

fn check_count(set: &AttributeSet) -> Result<(), OpError> {
    if set.iter().count() > MAX_INSTANCES {
        return Err(OpError::IndexOutOfBounds("the object has as many attribute values as it may"));
    }
    Ok(())
}
