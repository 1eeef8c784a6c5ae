//! Entries made by spoiling each place of each valid message in every way that fits it.

use kmip::{
    attributes::{AttributeKind, Instances},
    enums::ResultReason,
    tags::Tag,
    tree::{Enumerated, Item, Value},
    ttlv,
    version::Version,
};

use super::{Entry, Expect, valid::Base};

/// One item of a message.
struct Node<'a> {
    item: &'a Item,
    /// Positions from the message down to it.
    path: Vec<usize>,
    /// Tags from the message down to it.
    tags: Vec<Tag>,
    /// Where its bytes begin.
    offset: usize,
    /// Whether a client or vendor fills this place as it likes.
    free: bool,
    /// The attribute whose value this is or is in, where it is a standard one.
    attribute: Option<AttributeKind>,
}

impl Node<'_> {
    fn tag(&self) -> Tag {
        self.item.tag
    }

    fn parent(&self) -> Option<Tag> {
        self.tags.iter().rev().nth(1).copied()
    }

    fn is_in(&self, tag: Tag) -> bool {
        self.tags.contains(&tag)
    }

    fn way(&self) -> String {
        self.tags.iter().zip(&self.path).map(|(tag, at)| format!("{tag}.{at}")).collect::<Vec<_>>().join("/")
    }

    /// An answer to the item if the fault is in one, else to the message.
    fn refusal(&self, reason: ResultReason) -> Expect {
        if self.is_in(Tag::BatchItem) { Expect::Item(reason) } else { Expect::Message(reason) }
    }

    /// Whether the version cannot be told if this is spoiled.
    fn holds_version(&self) -> bool {
        self.is_in(Tag::RequestHeader) && self.is_in(Tag::ProtocolVersion)
            || matches!(self.tag(), Tag::RequestHeader | Tag::RequestMessage)
    }
}

/// Every item of the message, outermost first.
fn nodes(message: &Item) -> Vec<Node<'_>> {
    let mut out = Vec::new();
    let root = Node { item: message, path: vec![0], tags: vec![message.tag], offset: 0, free: false, attribute: None };
    walk(root, &mut out);
    out
}

fn walk<'a>(node: Node<'a>, out: &mut Vec<Node<'a>>) {
    let mut offset = node.offset + 8;
    let named = match node.item.field(Tag::AttributeName).map(|item| &item.value) {
        Some(Value::TextString(name)) => Some(name.as_str()),
        _ => None,
    };
    let children: Vec<Node<'a>> = node
        .item
        .fields()
        .iter()
        .enumerate()
        .map(|(at, item)| {
            let is_value = item.tag == Tag::AttributeValue;
            let custom = is_value && named.is_some_and(|name| name.starts_with("x-"));
            let child = Node {
                item,
                path: [&node.path[..], &[at]].concat(),
                tags: [&node.tags[..], &[item.tag]].concat(),
                offset,
                free: node.free || custom || item.tag == Tag::VendorExtension,
                attribute: if is_value { named.and_then(AttributeKind::from_name) } else { node.attribute },
            };
            offset += ttlv::encoded_len(item);
            child
        })
        .collect();
    out.push(node);
    for child in children {
        walk(child, out);
    }
}

/// The item at `path` of a message.
fn at<'a>(message: &'a mut Item, path: &[usize]) -> &'a mut Item {
    path.iter().skip(1).fold(message, |item, position| match &mut item.value {
        Value::Structure(fields) => &mut fields[*position],
        _ => unreachable!("the path leads through structures"),
    })
}

/// The fields of the structure at `path`.
fn fields<'a>(message: &'a mut Item, path: &[usize]) -> &'a mut Vec<Item> {
    match &mut at(message, path).value {
        Value::Structure(fields) => fields,
        _ => unreachable!("a structure"),
    }
}

/// Spoils every place of every message.
pub fn entries(bases: &[Base]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for base in bases {
        for node in nodes(&base.message) {
            let mut add = |fault: String, bytes: Vec<u8>, version: Version, expect: Expect| {
                let name = format!("{} {}: {fault}", base.name, node.way());
                entries.push(Entry { name, bytes, version, expect });
            };
            for (fault, bytes, version) in encoding_faults(base, &node) {
                add(fault, bytes, version, Expect::Message(ResultReason::InvalidMessage));
            }
            for (fault, message, expect) in tree_faults(&base.message, &node) {
                let known = !(node.holds_version() && matches!(expect, Expect::Message(_)))
                    || fault == "twice" && node.tags.len() < 4
                    || fault == "unknown field" && node.tag() != Tag::ProtocolVersion;
                let version = if known { base.version } else { Version::V1_4 };
                add(fault, ttlv::encode(&message).to_vec(), version, expect);
            }
        }
    }
    entries
}

/// What no encoder may write: the message as a whole cannot be read.
fn encoding_faults(base: &Base, node: &Node<'_>) -> Vec<(String, Vec<u8>, Version)> {
    let sound = ttlv::encode(&base.message).to_vec();
    let mut out = Vec::new();
    for (what, end) in
        [("cut before", node.offset), ("cut after its tag", node.offset + 4), ("cut within", node.offset + 12)]
    {
        if end < sound.len() {
            let version = if end >= 52 { base.version } else { Version::V1_4 };
            out.push((what.to_owned(), sound[..end].to_vec(), version));
        }
    }
    let mut spoil = |what: String, change: &dyn Fn(&mut [u8])| {
        let mut bytes = sound.clone();
        change(&mut bytes[node.offset..]);
        out.push((what, bytes, base.version));
    };
    for length in wrong_lengths(&node.item.value) {
        spoil(format!("length {length}"), &|bytes| bytes[4..8].copy_from_slice(&length.to_be_bytes()));
    }
    for item_type in [0x00, 0x0C, 0xFF] {
        spoil(format!("type {item_type}"), &|bytes| bytes[3] = item_type);
    }
    spoil("a tag of no range".to_owned(), &|bytes| bytes[0] = 0x43);
    let (length, padded) = lengths(&node.item.value);
    if padded > length {
        spoil("padding".to_owned(), &|bytes| bytes[8 + padded - 1] = 1);
        spoil("padding's first byte".to_owned(), &|bytes| bytes[8 + length] = 0x80);
    }
    match &node.item.value {
        Value::Boolean(_) => {
            spoil("Boolean 2".to_owned(), &|bytes| bytes[15] = 2);
            spoil("Boolean 2^56".to_owned(), &|bytes| bytes[8] = 1);
        }
        Value::TextString(text) if !text.is_empty() => {
            spoil("not UTF-8".to_owned(), &|bytes| bytes[8] = 0xFF);
            spoil("a lone continuation".to_owned(), &|bytes| bytes[8 + length - 1] = 0x80);
        }
        _ => {}
    }
    out
}

/// Bytes of a value that is no structure, without and with padding.
fn lengths(value: &Value) -> (usize, usize) {
    let length = match value {
        Value::Integer(_) | Value::Enumeration(_) | Value::Interval(_) => 4,
        Value::TextString(text) => text.len(),
        Value::ByteString(bytes) => bytes.len(),
        _ => 8,
    };
    (length, length.next_multiple_of(8))
}

/// Lengths that the type, or the message around it, does not allow.
fn wrong_lengths(value: &Value) -> Vec<u32> {
    match value {
        Value::Integer(_) | Value::Enumeration(_) | Value::Interval(_) => vec![0, 1, 3, 5, 8, u32::MAX],
        Value::LongInteger(_) | Value::Boolean(_) | Value::DateTime(_) | Value::DateTimeExtended(_) => {
            vec![0, 1, 4, 7, 9, 16, 0x8000_0000]
        }
        Value::BigInteger(_) => vec![0, 1, 7],
        Value::TextString(_) | Value::ByteString(_) => vec![0x0010_0000, u32::MAX],
        // Not a multiple of eight; longer than the message; the most there is.
        Value::Structure(_) => vec![1, 0x0010_0000, u32::MAX - 7, u32::MAX],
    }
}

/// What can be written but is not what the operation asks for.
fn tree_faults(message: &Item, node: &Node<'_>) -> Vec<(String, Item, Expect)> {
    let mut out = Vec::new();
    let mut edit = |what: &str, expect: Expect, change: &dyn Fn(&mut Item)| {
        let mut spoiled = message.clone();
        change(&mut spoiled);
        out.push((what.to_owned(), spoiled, expect));
    };
    if !node.free {
        for value in other_types(&node.item.value) {
            let what = format!("{} instead", value.type_name());
            let reason = wrong_type_reason(node, &value);
            edit(&what, node.refusal(reason), &|spoiled| at(spoiled, &node.path).value = value.clone());
        }
        if let (Value::Enumeration(_), Some(reason)) = (&node.item.value, unknown_enumeration_reason(node)) {
            for code in [0, 0x7FFF_FFFE, 0x8000_0001] {
                edit(&format!("value {code:08X}"), node.refusal(reason), &|spoiled| {
                    at(spoiled, &node.path).value = Value::Enumeration(Enumerated::code(code));
                });
            }
        }
        if let Value::Structure(_) = &node.item.value {
            let expect = node.refusal(unknown_field_reason(node));
            for tag in [Tag(0x42_0FFF), Tag(0x54_0001)] {
                edit("unknown field", expect, &|spoiled| {
                    fields(spoiled, &node.path).push(Item::new(tag, Value::Integer(1)));
                });
            }
        }
    }
    let Some((last, parent)) = node.path.split_last().filter(|(_, parent)| !parent.is_empty()) else { return out };
    let inside = node.free && node.tag() != Tag::AttributeValue && node.tag() != Tag::VendorExtension;
    if let (Some(expect), false) = (missing(node), inside) {
        edit("missing", expect, &|spoiled| drop(fields(spoiled, parent).remove(*last)));
    }
    if let (Some(expect), false) = (twice(message, node), inside) {
        edit("twice", expect, &|spoiled| fields(spoiled, parent).insert(*last, node.item.clone()));
    }
    out
}

/// A type that is nearly right, and one that is far from it.
fn other_types(value: &Value) -> [Value; 2] {
    let nothing = Value::Structure(Vec::new());
    match value {
        Value::Structure(_) => [Value::Integer(1), Value::bytes(*b"bytes")],
        Value::Integer(v) => [Value::Enumeration(Enumerated::code(v.unsigned_abs())), nothing],
        Value::LongInteger(v) => [Value::DateTime(*v), nothing],
        Value::BigInteger(_) => [Value::LongInteger(1), nothing],
        Value::Enumeration(v) => [Value::Integer(v.code.unwrap().cast_signed()), nothing],
        Value::Boolean(v) => [Value::Integer(i32::from(*v)), nothing],
        Value::TextString(text) => [Value::bytes(text.as_bytes()), nothing],
        Value::ByteString(bytes) => [Value::text("x".repeat(bytes.len())), nothing],
        Value::DateTime(v) => [Value::LongInteger(*v), nothing],
        Value::Interval(v) => [Value::Integer(v.cast_signed()), nothing],
        Value::DateTimeExtended(v) => [Value::DateTime(*v), nothing],
    }
}

fn wrong_type_reason(node: &Node<'_>, value: &Value) -> ResultReason {
    match (node.tag(), value) {
        // Either type is a key's; which one is right follows from the format.
        (Tag::KeyMaterial, Value::Structure(_) | Value::ByteString(_)) => ResultReason::InvalidField,
        (Tag::KeyValue, Value::ByteString(_)) => ResultReason::InvalidField,
        (Tag::Key, _) => ResultReason::InvalidField,
        _ => ResultReason::InvalidMessage,
    }
}

fn unknown_enumeration_reason(node: &Node<'_>) -> Option<ResultReason> {
    match node.tag() {
        Tag::Operation if node.parent() == Some(Tag::BatchItem) => Some(ResultReason::OperationNotSupported),
        // Vendors number these.
        Tag::OpaqueDataType => None,
        _ => Some(ResultReason::InvalidField),
    }
}

fn unknown_field_reason(node: &Node<'_>) -> ResultReason {
    // Without a version nobody can tell which fields are known.
    if node.tag() == Tag::ProtocolVersion && node.is_in(Tag::RequestHeader) {
        return ResultReason::InvalidMessage;
    }
    ResultReason::InvalidField
}

/// What is answered where the field is left out; none where it may be.
fn missing(node: &Node<'_>) -> Option<Expect> {
    use ResultReason as R;
    let parent = node.parent()?;
    let in_locate = node.is_in(Tag::RequestPayload) && node.attribute.is_some() && !node.is_in(Tag::TemplateAttribute);
    let reason = match (parent, node.tag()) {
        (Tag::RequestMessage, _) => R::InvalidMessage,
        (Tag::RequestHeader, Tag::ProtocolVersion | Tag::BatchCount) => R::InvalidMessage,
        (Tag::RequestHeader | Tag::Authentication, _) | (Tag::CredentialValue, Tag::Password) => return None,
        (Tag::BatchItem, Tag::UniqueBatchItemId | Tag::MessageExtension) => return None,
        (Tag::RequestPayload, Tag::UniqueIdentifier) => R::ItemNotFound,
        // Required by §4.3, but clients leave it out where they have nothing to say.
        (Tag::RequestPayload, Tag::TemplateAttribute) if node.item.fields().len() < 3 => return None,
        (Tag::RequestPayload, Tag::TemplateAttribute) => R::InvalidField,
        (Tag::RequestPayload, Tag::Attribute) if !locates(node) => R::InvalidMessage,
        (
            Tag::RequestPayload,
            Tag::Attribute
            | Tag::AttributeIndex
            | Tag::CompromiseOccurrenceDate
            | Tag::CryptographicUsageMask
            | Tag::KeyFormatType
            | Tag::KeyWrappingSpecification
            | Tag::LeaseTime
            | Tag::MaximumItems
            | Tag::ObjectGroupMember
            | Tag::OffsetItems
            | Tag::ProtocolVersion
            | Tag::StorageStatusMask
            | Tag::UsageLimitsCount,
        ) => return None,
        (Tag::RequestPayload, Tag::AttributeName) if node.tags.len() == 4 && !deletes(node) => return None,
        (Tag::TemplateAttribute, Tag::Attribute) | (Tag::Attribute, Tag::AttributeIndex) => return None,
        (Tag::RevocationReason, Tag::RevocationMessage) | (Tag::AttributeValue, Tag::UsageLimitsTotal) => return None,
        (Tag::AttributeValue, Tag::UsageLimitsUnit) => return None,
        (Tag::AttributeValue, Tag::ApplicationData) => R::ApplicationNamespaceNotSupported,
        (Tag::AttributeValue, _) if in_locate && locates(node) => return None,
        (Tag::AttributeValue, _) if node.attribute == Some(AttributeKind::CryptographicParameters) => return None,
        (Tag::CryptographicParameters, _) | (Tag::EncryptionKeyInformation, Tag::CryptographicParameters) => {
            return None;
        }
        (Tag::KeyWrappingSpecification, Tag::EncryptionKeyInformation) => R::InvalidField,
        (Tag::KeyWrappingSpecification, Tag::AttributeName | Tag::EncodingOption) => return None,
        // From 1.2 on a key value may stay with the client.
        (Tag::KeyBlock, Tag::KeyValue) => return None,
        // One without the other; and the transparent key's bytes.
        (Tag::KeyBlock, Tag::CryptographicAlgorithm | Tag::CryptographicLength) => R::InvalidField,
        (Tag::KeyMaterial, _) => R::InvalidField,
        _ => R::InvalidMessage,
    };
    Some(node.refusal(reason))
}

/// Whether the item with this node is one of Locate: the only one with several Attribute fields in its payload.
fn locates(node: &Node<'_>) -> bool {
    node.path.get(3).is_some_and(|position| *position >= 4) && node.tags.get(3) == Some(&Tag::Attribute)
}

/// Whether this is the Attribute Name of Delete Attribute; Get Attributes has two, the last of them at position 2.
fn deletes(node: &Node<'_>) -> bool {
    matches!(&node.item.value, Value::TextString(name) if name.starts_with("x-"))
}

/// What is answered where the field stands twice; none where it may.
fn twice(message: &Item, node: &Node<'_>) -> Option<Expect> {
    use ResultReason as R;
    match (node.parent()?, node.tag()) {
        (Tag::RequestMessage, Tag::BatchItem) => Some(Expect::Message(R::InvalidMessage)),
        (Tag::RequestHeader, Tag::AttestationType) | (Tag::Authentication, Tag::Credential) => None,
        (Tag::BatchItem, Tag::MessageExtension) => None,
        (Tag::RequestPayload, Tag::QueryFunction | Tag::ProtocolVersion) => None,
        (Tag::RequestPayload, Tag::Attribute) if locates(node) => None,
        (Tag::TemplateAttribute, Tag::Attribute) => {
            let value = nodes(message).into_iter().find(|other| {
                other.tag() == Tag::AttributeValue && other.path.starts_with(&node.path) && other.attribute.is_some()
            })?;
            let single = value.attribute?.instances() == Instances::One;
            single.then_some(Expect::Item(R::IndexOutOfBounds))
        }
        (Tag::KeyMaterial, _) => Some(node.refusal(R::InvalidField)),
        _ => Some(node.refusal(R::InvalidMessage)),
    }
}
