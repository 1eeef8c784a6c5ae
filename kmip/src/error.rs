//! What can be wrong with a message, and the way of tags to where it is wrong.
//!
//! The codecs and the typed layer share this one error. It never carries the value of a text or byte string: it ends up in
//! logs and answers, and the value may be a secret. Nothing is allocated until something is wrong.

use std::fmt;

use crate::{tags::Tag, version::Version};

/// What is wrong with a message, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{fault}", Way(.inner_first))]
pub struct DecodeError {
    /// What is wrong.
    pub fault: Fault,
    /// The tags from the offending field outwards: an error learns its way while it goes up.
    inner_first: Vec<Tag>,
}

/// What is wrong with a message.
///
/// The first group is about the encoding: nothing that follows in the message can be trusted. The second is about one
/// field of a message that is well formed, so one batch item can fail alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes end before the item does, or a structure before its last field.
    #[error("ends too early")]
    Truncated,
    /// Bytes follow the one item there should be.
    #[error("bytes follow the end")]
    TrailingBytes,
    /// The message has more bytes than the limit.
    #[error("longer than {limit} bytes")]
    TooLarge {
        /// The most bytes allowed.
        limit: usize,
    },
    /// Structures are nested deeper than the limit.
    #[error("nested deeper than {limit} structures")]
    TooDeep {
        /// The most structures inside each other allowed.
        limit: usize,
    },
    /// The message has more items than the limit.
    #[error("more than {limit} items")]
    TooManyItems {
        /// The most items allowed.
        limit: usize,
    },
    /// A tag outside the two ranges there are (0x42…, 0x54…).
    #[error("0x{0:06X} is no tag")]
    BadTag(u32),
    /// An item type that does not exist.
    #[error("0x{0:02X} is no item type")]
    BadType(u8),
    /// A length that the item's type does not allow.
    #[error("{length} is no length of {item_type}")]
    BadLength {
        /// The name of the item's type.
        item_type: &'static str,
        /// The length, in bytes.
        length: u32,
    },
    /// Padding that is not zero.
    #[error("padding is not zero")]
    BadPadding,
    /// A Boolean that is neither 0 nor 1.
    #[error("neither true nor false")]
    BadBoolean,
    /// A Text String that is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,

    /// A field that must be there is not.
    #[error("missing")]
    MissingField,
    /// A field that has no place here.
    #[error("does not belong here")]
    UnexpectedField,
    /// A field that stands twice where it may stand once.
    #[error("stands more than once")]
    DuplicateField,
    /// A field of another type than its tag asks for.
    #[error("{found} instead of {expected}")]
    WrongType {
        /// The type the tag asks for.
        expected: &'static str,
        /// The type it has.
        found: &'static str,
    },
    /// A value that no version lists; without its number where the encoding gave a name.
    #[error("unknown value{}", Code(.code))]
    UnknownEnumeration {
        /// The number, where the encoding gave one.
        code: Option<u32>,
    },
    /// A field, or an enumeration's value, that some other version defines.
    #[error("not defined in KMIP {version}")]
    NotInVersion {
        /// The version of the message.
        version: Version,
    },
    /// A Batch Count that is not the number of batch items.
    #[error("not the number of items that follow")]
    WrongCount,
    /// A value of the right type that the field does not allow.
    #[error("value not allowed")]
    InvalidValue,
}

impl DecodeError {
    /// `fault`, of the field or message that the caller is looking at.
    pub fn new(fault: Fault) -> Self {
        Self { fault, inner_first: Vec::new() }
    }

    /// `fault`, of the field `tag`.
    pub fn at(tag: Tag, fault: Fault) -> Self {
        Self { fault, inner_first: vec![tag] }
    }

    /// The same error seen from one structure further out: what is wrong is below `tag`.
    #[must_use]
    pub fn within(mut self, tag: Tag) -> Self {
        self.inner_first.push(tag);
        self
    }

    /// The tags from the outermost structure to the offending field.
    pub fn path(&self) -> impl DoubleEndedIterator<Item = Tag> + ExactSizeIterator {
        self.inner_first.iter().rev().copied()
    }
}

impl From<Fault> for DecodeError {
    fn from(fault: Fault) -> Self {
        Self::new(fault)
    }
}

/// `RequestMessage/BatchItem: `, or nothing.
struct Way<'a>(&'a [Tag]);

impl fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, tag) in self.0.iter().rev().enumerate() {
            let slash = if position == 0 { "" } else { "/" };
            write!(f, "{slash}{tag}")?;
        }
        if self.0.is_empty() { Ok(()) } else { f.write_str(": ") }
    }
}

/// ` 0x00000099`, or nothing.
struct Code<'a>(&'a Option<u32>);

impl fmt::Display for Code<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(code) => write!(f, " 0x{code:08X}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_way_from_the_message_to_the_field() {
        let error = DecodeError::at(Tag::ObjectType, Fault::UnknownEnumeration { code: Some(0x99) })
            .within(Tag::RequestPayload)
            .within(Tag::BatchItem)
            .within(Tag::RequestMessage);
        assert_eq!(error.to_string(), "RequestMessage/BatchItem/RequestPayload/ObjectType: unknown value 0x00000099");
        assert_eq!(
            error.path().collect::<Vec<_>>(),
            [Tag::RequestMessage, Tag::BatchItem, Tag::RequestPayload, Tag::ObjectType]
        );
    }

    #[test]
    fn a_fault_without_a_way_stands_alone() {
        assert_eq!(DecodeError::new(Fault::Truncated).to_string(), "ends too early");
        assert_eq!(DecodeError::from(Fault::UnknownEnumeration { code: None }).to_string(), "unknown value");
    }

    #[test]
    fn names_a_vendors_field_by_its_number() {
        let error = DecodeError::at(Tag(0x54_0001), Fault::WrongType { expected: "Integer", found: "Text String" });
        assert_eq!(error.to_string(), "0x540001: Text String instead of Integer");
    }

    #[test]
    fn says_what_a_version_lacks() {
        let error = DecodeError::at(Tag::Attributes, Fault::NotInVersion { version: Version::V1_4 });
        assert_eq!(error.to_string(), "Attributes: not defined in KMIP 1.4");
    }
}
