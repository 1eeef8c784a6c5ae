//! What administrators may know of a managed object: everything but its content.
//!
//! It reads a row's public metadata and never opens what is sealed, nor shows what a stranger could test a guess at the content
//! with (the Digest attribute). Attribute text came from clients and may be hostile; it is handed on as plain text.

use jiff::Timestamp;
use kmip::{
    attributes::{Attribute, AttributeKind, AttributeName},
    enums::{CryptographicAlgorithm, ObjectType, State},
    tree::{Item, Value},
    version::Version,
};
use uuid::Uuid;

use super::{attribute_set::Instance, object::ManagedObject};
use crate::store::{AdapterId, ListedObject, ObjectId, ObjectRow, ObjectUse};

/// Characters of one attribute's value that are shown.
const SHOWN_CHARS: usize = 4096;

/// What is public of a managed object.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Its Unique Identifier.
    pub id: ObjectId,
    /// Whose it is.
    pub adapter: AdapterId,
    /// What it is.
    pub object_type: ObjectType,
    /// Its State by the clock.
    pub state: State,
    /// Its names.
    pub names: Vec<String>,
    /// For keys and certificates.
    pub algorithm: Option<CryptographicAlgorithm>,
    /// In bits, for keys and certificates.
    pub length_bits: Option<i32>,
    /// Its life-cycle dates.
    pub dates: Dates,
    /// One more with every change.
    pub revision: u64,
    /// Whether a client was ever given it (it is not Fresh any more).
    pub fetched: bool,
    /// When it was fetched last, and with which certificate.
    pub last_use: Option<ObjectUse>,
    /// Destroyed, but its material is kept until then, in seconds since 1970-01-01 UTC, and it can be recovered.
    pub held_until: Option<i64>,
    /// The root key and version that protect it.
    pub sealed_under: Option<(Uuid, u32)>,
    /// All attributes that are not above, those of the client's own (`x-`) among them.
    pub attributes: Vec<ShownAttribute>,
}

/// Life-cycle dates of an object, in seconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dates {
    /// When the server made or registered it.
    pub initial: Option<i64>,
    /// When it was or will be activated.
    pub activation: Option<i64>,
    /// When it may begin to process.
    pub process_start: Option<i64>,
    /// When it must stop to protect.
    pub protect_stop: Option<i64>,
    /// When it was or will be deactivated.
    pub deactivation: Option<i64>,
    /// When it was destroyed.
    pub destroy: Option<i64>,
    /// When it was or may have been compromised first.
    pub compromise_occurrence: Option<i64>,
    /// When the compromise was told.
    pub compromise: Option<i64>,
    /// When anything of it changed last.
    pub last_change: Option<i64>,
    /// When it was made, wherever that was.
    pub original_creation: Option<i64>,
}

/// An attribute's value as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownAttribute {
    /// Its name in the specification, or the client's own.
    pub name: String,
    /// Its Attribute Index.
    pub index: i32,
    /// Its value. Byte strings are shown by their length alone.
    pub value: String,
}

impl Summary {
    /// The summary of `listed` at the time `now`; `None` where the row is damaged.
    #[must_use]
    pub fn of(listed: ListedObject, now: i64) -> Option<Self> {
        let ListedObject { id, adapter, object_type, revision, metadata, destroyed, due_at, .. } = listed;
        let row = ObjectRow { id, adapter, object_type, revision, metadata, sealed: None, destroyed, due_at };
        let object = ManagedObject::from_row(row, now).ok()?;
        let date = |kind| object.attributes.date(kind);
        Some(Self {
            id,
            adapter,
            object_type: object.object_type,
            state: object.state(),
            names: object.attributes.iter().filter_map(|instance| name_of(&instance.attribute)).collect(),
            algorithm: match object.attributes.get(AttributeKind::CryptographicAlgorithm) {
                Some(Attribute::CryptographicAlgorithm(algorithm)) => Some(*algorithm),
                _ => None,
            },
            length_bits: match object.attributes.get(AttributeKind::CryptographicLength) {
                Some(Attribute::CryptographicLength(bits)) => Some(*bits),
                _ => None,
            },
            dates: Dates {
                initial: date(AttributeKind::InitialDate),
                activation: date(AttributeKind::ActivationDate),
                process_start: date(AttributeKind::ProcessStartDate),
                protect_stop: date(AttributeKind::ProtectStopDate),
                deactivation: date(AttributeKind::DeactivationDate),
                destroy: date(AttributeKind::DestroyDate),
                compromise_occurrence: date(AttributeKind::CompromiseOccurrenceDate),
                compromise: date(AttributeKind::CompromiseDate),
                last_change: date(AttributeKind::LastChangeDate),
                original_creation: date(AttributeKind::OriginalCreationDate),
            },
            revision,
            fetched: !object.attributes.flag(AttributeKind::Fresh),
            last_use: listed.seen,
            held_until: listed.held_until,
            sealed_under: listed.sealed_under,
            attributes: object.attributes.iter().filter_map(shown).collect(),
        })
    }
}

fn name_of(attribute: &Attribute) -> Option<String> {
    match attribute {
        Attribute::Name(name) => Some(name.name_value.clone()),
        _ => None,
    }
}

fn shown(instance: &Instance) -> Option<ShownAttribute> {
    use AttributeKind as K;
    let name = match instance.attribute.name() {
        AttributeName::Standard(
            K::UniqueIdentifier
            | K::Name
            | K::ObjectType
            | K::State
            | K::CryptographicAlgorithm
            | K::CryptographicLength
            | K::Fresh
            | K::Digest
            | K::InitialDate
            | K::ActivationDate
            | K::ProcessStartDate
            | K::ProtectStopDate
            | K::DeactivationDate
            | K::DestroyDate
            | K::CompromiseOccurrenceDate
            | K::CompromiseDate
            | K::LastChangeDate
            | K::OriginalCreationDate,
        ) => return None,
        AttributeName::Standard(kind) => kind.name().to_owned(),
        AttributeName::Other(name) => name,
    };
    let mut value = String::new();
    match &instance.attribute {
        Attribute::CryptographicUsageMask(mask) => value.push_str(&mask.names().collect::<Vec<_>>().join(", ")),
        other => show(&other.clone().into_value(Version::V1_4), &mut value),
    }
    if let Some((end, _)) = value.char_indices().nth(SHOWN_CHARS) {
        value.truncate(end);
        value.push('…');
    }
    Some(ShownAttribute { name, index: instance.index, value })
}

/// The value in words. What is in a structure stands in braces.
fn show(value: &Value, out: &mut String) {
    match value {
        Value::Structure(fields) => {
            out.push('{');
            for (number, Item { tag, value }) in fields.iter().enumerate() {
                out.push_str(if number == 0 { "" } else { ", " });
                out.push_str(tag.name().unwrap_or("?"));
                out.push_str(": ");
                show(value, out);
            }
            out.push('}');
        }
        Value::Integer(number) => out.push_str(&number.to_string()),
        Value::LongInteger(number) => out.push_str(&number.to_string()),
        Value::Enumeration(value) => match (&value.name, value.code) {
            (Some(name), _) => out.push_str(name),
            (None, Some(code)) => out.push_str(&format!("0x{code:08X}")),
            (None, None) => out.push('?'),
        },
        Value::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::TextString(text) => out.push_str(text),
        Value::BigInteger(bytes) | Value::ByteString(bytes) => out.push_str(&format!("({} bytes)", bytes.len())),
        Value::DateTime(seconds) => {
            out.push_str(&Timestamp::from_second(*seconds).map_or_else(|_| seconds.to_string(), |at| at.to_string()));
        }
        Value::Interval(seconds) => out.push_str(&format!("{seconds} s")),
        Value::DateTimeExtended(micros) => {
            out.push_str(
                &Timestamp::from_microsecond(*micros).map_or_else(|_| micros.to_string(), |at| at.to_string()),
            );
        }
    }
}
