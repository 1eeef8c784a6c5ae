//! How typed values become tree items and back: the traits behind every typed structure, and the macro that writes one.
//!
//! A [`Field`] has a tree form of its own; a [`Slot`] says how often it stands in a structure (`T` once, `Option<T>` at most
//! once, `Vec<T>` any number). Reading consumes the tree, so that key material is moved and never copied. Missing,
//! leftover, repeated and out-of-version fields are errors here and nowhere else.

use zeroize::Zeroizing;

use crate::{
    error::{DecodeError, Fault},
    tags::Tag,
    tree::{Enumerated, Item, Value},
    version::Version,
};

/// A type that stands in a message as one item.
pub trait Field: Sized {
    /// The value, read from a message of `version`.
    ///
    /// # Errors
    /// The item has another type, or its content is not defined in `version`.
    fn from_value(value: Value, version: Version) -> Result<Self, DecodeError>;

    /// The value as a message of `version` carries it.
    fn into_value(self, version: Version) -> Value;
}

/// A type that says how often its field stands in a structure.
pub trait Slot: Sized {
    /// Takes the field `tag` out of `fields`.
    ///
    /// # Errors
    /// It is missing though required, or cannot be read.
    fn take_from(fields: &mut Fields, tag: Tag) -> Result<Self, DecodeError>;

    /// Appends the field to a structure.
    fn put(self, tag: Tag, out: &mut Vec<Item>, version: Version);
}

/// The fields of one structure while it is read.
pub struct Fields {
    items: Vec<(Tag, Option<Value>)>,
    version: Version,
}

impl Fields {
    /// The fields of `value`, which must be a structure.
    ///
    /// # Errors
    /// It is no structure.
    pub fn of(value: Value, version: Version) -> Result<Self, DecodeError> {
        match value {
            Value::Structure(items) => {
                Ok(Self { items: items.into_iter().map(|item| (item.tag, Some(item.value))).collect(), version })
            }
            other => Err(wrong_type("Structure", &other)),
        }
    }

    /// The version of the message.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Takes the first field that `wanted` accepts.
    pub fn take_first(&mut self, wanted: impl Fn(Tag) -> bool) -> Option<Item> {
        let (tag, value) = self.items.iter_mut().find(|(tag, value)| value.is_some() && wanted(*tag))?;
        value.take().map(|value| Item::new(*tag, value))
    }

    /// Takes every field that `wanted` accepts, in order.
    pub fn take_all(&mut self, wanted: impl Fn(Tag) -> bool) -> impl Iterator<Item = Item> {
        self.items
            .iter_mut()
            .filter(move |(tag, _)| wanted(*tag))
            .filter_map(|(tag, value)| value.take().map(|value| Item::new(*tag, value)))
    }

    /// Takes the field `tag` as `T`.
    ///
    /// # Errors
    /// It is missing though required, or cannot be read.
    pub fn take<T: Slot>(&mut self, tag: Tag) -> Result<T, DecodeError> {
        T::take_from(self, tag)
    }

    /// Ends reading: whatever was not taken does not belong here.
    ///
    /// # Errors
    /// A field is left over: unknown here, repeated, or not defined in this version.
    pub fn finish(self) -> Result<(), DecodeError> {
        let Some((tag, _)) = self.items.iter().find(|(_, value)| value.is_some()) else { return Ok(()) };
        let read_already = self.items.iter().any(|(other, value)| other == tag && value.is_none());
        let fault = match tag.versions() {
            _ if read_already => Fault::DuplicateField,
            Some(versions) if !versions.contains(self.version) => Fault::NotInVersion { version: self.version },
            _ => Fault::UnexpectedField,
        };
        Err(DecodeError::at(*tag, fault))
    }
}

/// An item of another type than it should have.
pub(crate) fn wrong_type(expected: &'static str, found: &Value) -> DecodeError {
    DecodeError::new(Fault::WrongType { expected, found: found.type_name() })
}

impl<T: Field> Slot for T {
    fn take_from(fields: &mut Fields, tag: Tag) -> Result<Self, DecodeError> {
        let version = fields.version;
        match fields.take_first(|found| found == tag) {
            Some(item) => T::from_value(item.value, version).map_err(|error| error.within(tag)),
            None => Err(DecodeError::new(Fault::MissingField).within(tag)),
        }
    }

    fn put(self, tag: Tag, out: &mut Vec<Item>, version: Version) {
        out.push(Item::new(tag, self.into_value(version)));
    }
}

impl<T: Field> Slot for Option<T> {
    fn take_from(fields: &mut Fields, tag: Tag) -> Result<Self, DecodeError> {
        let version = fields.version;
        fields
            .take_first(|found| found == tag)
            .map(|item| T::from_value(item.value, version).map_err(|error| error.within(tag)))
            .transpose()
    }

    fn put(self, tag: Tag, out: &mut Vec<Item>, version: Version) {
        if let Some(value) = self {
            value.put(tag, out, version);
        }
    }
}

impl<T: Field> Slot for Vec<T> {
    fn take_from(fields: &mut Fields, tag: Tag) -> Result<Self, DecodeError> {
        let version = fields.version;
        fields
            .take_all(|found| found == tag)
            .map(|item| T::from_value(item.value, version).map_err(|error| error.within(tag)))
            .collect()
    }

    fn put(self, tag: Tag, out: &mut Vec<Item>, version: Version) {
        out.extend(self.into_iter().map(|value| Item::new(tag, value.into_value(version))));
    }
}

/// Writes `Field` for a type that is one variant of `Value`.
macro_rules! plain_field {
    ($($type:ty, $variant:ident, $name:literal, |$value:ident| $in:expr, |$own:ident| $out:expr;)*) => { $(
        impl Field for $type {
            fn from_value(value: Value, _: Version) -> Result<Self, DecodeError> {
                match value {
                    Value::$variant($value) => Ok($in),
                    other => Err(wrong_type($name, &other)),
                }
            }

            fn into_value(self, _: Version) -> Value {
                let $own = self;
                Value::$variant($out)
            }
        }
    )* };
}

/// Seconds since 1970-01-01 UTC (KMIP 1.4 §9.1.1.4, Date-Time).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateTime(pub i64);

/// Seconds (KMIP 1.4 §9.1.1.4, Interval).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval(pub u32);

plain_field! {
    i32, Integer, "Integer", |v| v, |v| v;
    i64, LongInteger, "Long Integer", |v| v, |v| v;
    bool, Boolean, "Boolean", |v| v, |v| v;
    DateTime, DateTime, "Date-Time", |v| DateTime(v), |v| v.0;
    Interval, Interval, "Interval", |v| Interval(v), |v| v.0;
    Zeroizing<String>, TextString, "Text String", |v| v, |v| v;
    Zeroizing<Vec<u8>>, ByteString, "Byte String", |v| v, |v| v;
    // Text that is no secret: names, identifiers. The buffer is moved, not copied.
    String, TextString, "Text String", |v| { let mut v = v; std::mem::take(&mut *v) }, |v| Zeroizing::new(v);
}

/// Any value at all, for fields whose type the sender chooses.
impl Field for Value {
    fn from_value(value: Value, _: Version) -> Result<Self, DecodeError> {
        Ok(value)
    }

    fn into_value(self, _: Version) -> Value {
        self
    }
}

/// A structure of any fields, for what a vendor fills.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Structure(pub Vec<Item>);

impl Field for Structure {
    fn from_value(value: Value, _: Version) -> Result<Self, DecodeError> {
        match value {
            Value::Structure(fields) => Ok(Self(fields)),
            other => Err(wrong_type("Structure", &other)),
        }
    }

    fn into_value(self, _: Version) -> Value {
        Value::Structure(self.0)
    }
}

/// An enumeration of any value, for those that vendors number.
impl Field for Enumerated {
    fn from_value(value: Value, _: Version) -> Result<Self, DecodeError> {
        enumerated(value)
    }

    fn into_value(self, _: Version) -> Value {
        Value::Enumeration(self)
    }
}

/// Reads an enumeration's code and name from a value.
pub(crate) fn enumerated(value: Value) -> Result<Enumerated, DecodeError> {
    match value {
        Value::Enumeration(found) => Ok(found),
        other => Err(wrong_type("Enumeration", &other)),
    }
}

/// Declares a structure and its tree form: `Tag => field: Type, in V1_0..;` a row, in the order of the message.
macro_rules! kmip_struct {
    (
        $(#[$meta:meta])*
        pub struct $name:ident { $(
            $(#[$field_meta:meta])*
            $tag:ident => $field:ident: $type:ty, in $from:ident .. $($until:ident)?;
        )* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq)]
        pub struct $name { $( $(#[$field_meta])* pub $field: $type, )* }

        /// The names of the fields only: any of them may hold a secret.
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), " {", $(" ", stringify!($field),)* " }"))
            }
        }

        impl $crate::fields::Field for $name {
            fn from_value(
                value: $crate::tree::Value,
                version: $crate::version::Version,
            ) -> Result<Self, $crate::error::DecodeError> {
                #[allow(unused_mut, reason = "a structure may have no fields")]
                let mut fields = $crate::fields::Fields::of(value, version)?;
                let read = Self { $( $field: $crate::fields::take_in_version(
                    &mut fields,
                    $crate::tags::Tag::$tag,
                    $crate::macros::versions!($from .. $($until)?),
                )?, )* };
                fields.finish()?;
                Ok(read)
            }

            #[allow(unused_variables, unused_mut, reason = "a structure may have no fields")]
            fn into_value(self, version: $crate::version::Version) -> $crate::tree::Value {
                let mut out = Vec::with_capacity(0 $( + { let _ = $crate::tags::Tag::$tag; 1 } )*);
                $( if $crate::macros::versions!($from .. $($until)?).contains(version) {
                    $crate::fields::Slot::put(self.$field, $crate::tags::Tag::$tag, &mut out, version);
                } )*
                $crate::tree::Value::Structure(out)
            }
        }
    };
}

pub(crate) use kmip_struct;

/// Takes a field; one that the message's version does not define reads as absent, so that `finish` reports it.
pub(crate) fn take_in_version<T: Slot>(
    fields: &mut Fields,
    tag: Tag,
    range: crate::version::VersionRange,
) -> Result<T, DecodeError> {
    if range.contains(fields.version) {
        return T::take_from(fields, tag);
    }
    // Nothing to take from: `Option` and `Vec` become empty, and a required field is always in every version of its structure.
    T::take_from(&mut Fields { items: Vec::new(), version: fields.version }, tag)
}

/// Writes `Field` for enumerations: a value that the message's version does not define is an unknown one.
macro_rules! enum_fields {
    ($($type:ident)*) => { $(
        impl Field for crate::enums::$type {
            fn from_value(value: Value, version: Version) -> Result<Self, DecodeError> {
                let found = enumerated(value)?;
                match Self::from_enumerated(&found) {
                    Some(known) if known.in_version(version) => Ok(known),
                    Some(_) => Err(DecodeError::new(Fault::NotInVersion { version })),
                    None => Err(DecodeError::new(Fault::UnknownEnumeration { code: found.code })),
                }
            }

            fn into_value(self, _: Version) -> Value {
                Value::Enumeration(self.to_enumerated())
            }
        }
    )* };
}

enum_fields! {
    AlternativeNameType AttestationType BatchErrorContinuationOption BlockCipherMode CertificateType
    ClientRegistrationMethod CredentialType CryptographicAlgorithm DestroyAction DigitalSignatureAlgorithm DrbgAlgorithm
    EncodingOption Fips186Variation HashingAlgorithm KeyCompressionType KeyFormatType KeyRoleType KeyValueLocationType
    KeyWrapType LinkType MaskGenerator NameType ObjectGroupMember ObjectType Operation PaddingMethod ProfileName
    QueryFunction RecommendedCurve ResultReason ResultStatus RevocationReasonCode RngAlgorithm RngMode SecretDataType
    ShreddingAlgorithm State UnwrapMode UsageLimitsUnit WrappingMethod
}

/// Writes `Field` for bit masks.
macro_rules! mask_fields {
    ($($type:ident)*) => { $(
        impl Field for crate::masks::$type {
            fn from_value(value: Value, version: Version) -> Result<Self, DecodeError> {
                i32::from_value(value, version).map(Self::from_bits)
            }

            fn into_value(self, _: Version) -> Value {
                Value::Integer(self.bits())
            }
        }
    )* };
}

mask_fields! { CryptographicUsageMask StorageStatusMask }
