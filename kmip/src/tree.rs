//! `Item` and `Value`: the one shape that every encoding reads and writes.
//!
//! The tree knows types, not meanings: a codec (`ttlv`, later XML and JSON) turns bytes into it and back without a table
//! of tags, and the typed layer turns it into requests and responses. Text, bytes and big integers may hold secrets, so
//! they are wiped on drop and `Debug` shows their length, never their content. KMIP 1.4 §9.1.

use std::{borrow::Cow, fmt};

use zeroize::Zeroizing;

use crate::tags::Tag;

/// One field of a message: a tag and its typed value (KMIP 1.4 §9.1.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    /// What the field is.
    pub tag: Tag,
    /// Its type and value.
    pub value: Value,
}

/// The value of a field, one variant for each Item Type (KMIP 1.4 §9.1.1.2; Date-Time Extended from 2.0).
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Fields in the order in which they stand in the message.
    Structure(Vec<Item>),
    /// 32 bits, signed; also bit masks.
    Integer(i32),
    /// 64 bits, signed.
    LongInteger(i64),
    /// Two's complement, big-endian, as it stands in the message (in TTLV a multiple of eight bytes).
    BigInteger(Zeroizing<Vec<u8>>),
    /// One of a closed list, by code, by name, or both.
    Enumeration(Enumerated),
    /// True or false.
    Boolean(bool),
    /// UTF-8.
    TextString(Zeroizing<String>),
    /// Any bytes.
    ByteString(Zeroizing<Vec<u8>>),
    /// Seconds since 1970-01-01 UTC.
    DateTime(i64),
    /// Seconds.
    Interval(u32),
    /// Microseconds since 1970-01-01 UTC.
    DateTimeExtended(i64),
}

/// An enumeration value as it stands in a message: the binary encoding carries its code, the text encodings its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enumerated {
    /// The number, where known.
    pub code: Option<u32>,
    /// The name without spaces, where known.
    pub name: Option<Cow<'static, str>>,
}

impl Enumerated {
    /// A value known by its number alone.
    pub fn code(code: u32) -> Self {
        Self { code: Some(code), name: None }
    }
}

impl Item {
    /// A field.
    pub fn new(tag: Tag, value: Value) -> Self {
        Self { tag, value }
    }

    /// A structure of `fields`.
    pub fn structure(tag: Tag, fields: Vec<Item>) -> Self {
        Self { tag, value: Value::Structure(fields) }
    }

    /// The fields of a structure; none for any other type.
    pub fn fields(&self) -> &[Item] {
        match &self.value {
            Value::Structure(fields) => fields,
            _ => &[],
        }
    }

    /// The first field with `tag` directly below this structure.
    pub fn field(&self, tag: Tag) -> Option<&Item> {
        self.fields().iter().find(|field| field.tag == tag)
    }
}

impl Value {
    /// A text string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::TextString(Zeroizing::new(text.into()))
    }

    /// A byte string.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::ByteString(Zeroizing::new(bytes.into()))
    }

    /// The name of its Item Type, for messages to people.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Structure(_) => "Structure",
            Self::Integer(_) => "Integer",
            Self::LongInteger(_) => "Long Integer",
            Self::BigInteger(_) => "Big Integer",
            Self::Enumeration(_) => "Enumeration",
            Self::Boolean(_) => "Boolean",
            Self::TextString(_) => "Text String",
            Self::ByteString(_) => "Byte String",
            Self::DateTime(_) => "Date-Time",
            Self::Interval(_) => "Interval",
            Self::DateTimeExtended(_) => "Date-Time Extended",
        }
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.tag, self.value)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Structure(fields) => f.debug_list().entries(fields).finish(),
            Self::Integer(v) => write!(f, "{v}"),
            Self::LongInteger(v) => write!(f, "{v}"),
            Self::BigInteger(v) => write!(f, "Big Integer of {} bytes", v.len()),
            Self::Enumeration(v) => match (&v.name, v.code) {
                (Some(name), _) => write!(f, "{name}"),
                (None, code) => write!(f, "0x{:08x}", code.unwrap_or_default()),
            },
            Self::Boolean(v) => write!(f, "{v}"),
            Self::TextString(v) => write!(f, "Text String of {} bytes", v.len()),
            Self::ByteString(v) => write!(f, "Byte String of {} bytes", v.len()),
            Self::DateTime(v) => write!(f, "{v} s"),
            Self::Interval(v) => write!(f, "{v} s"),
            Self::DateTimeExtended(v) => write!(f, "{v} µs"),
        }
    }
}
