//! Requests as trees, so that a replay has the fields that the client sends, in its order, and no others.

use kmip::{
    client::RequestBuilder,
    enums::{NameType, Operation},
    tags::Tag,
    tree::{Enumerated, Item, Value},
    version::Version,
};

/// An empty message.
pub fn message(version: Version) -> RequestBuilder {
    RequestBuilder::new(version)
}

/// Adds items whose payloads are trees.
pub trait Batch: Sized {
    /// An item without a Unique Batch Item ID.
    fn op(self, operation: Operation, payload: impl IntoIterator<Item = Item>) -> Self;
    /// An item with one.
    fn named_op(self, id: &[u8], operation: Operation, payload: impl IntoIterator<Item = Item>) -> Self;
}

impl Batch for RequestBuilder {
    fn op(self, operation: Operation, payload: impl IntoIterator<Item = Item>) -> Self {
        self.raw_item(operation, None, structure(payload))
    }

    fn named_op(self, id: &[u8], operation: Operation, payload: impl IntoIterator<Item = Item>) -> Self {
        self.raw_item(operation, Some(id), structure(payload))
    }
}

/// A structure's value.
pub fn structure(fields: impl IntoIterator<Item = Item>) -> Value {
    Value::Structure(fields.into_iter().collect())
}

/// An enumeration's value.
pub fn enumeration(code: u32) -> Value {
    Value::Enumeration(Enumerated::code(code))
}

/// A Unique Identifier.
pub fn uid(id: &str) -> Item {
    Item::new(Tag::UniqueIdentifier, Value::text(id))
}

/// An Object Type.
pub fn object_type(object_type: kmip::enums::ObjectType) -> Item {
    Item::new(Tag::ObjectType, enumeration(object_type.code()))
}

/// An Attribute Name.
pub fn attribute_name(name: &str) -> Item {
    Item::new(Tag::AttributeName, Value::text(name))
}

/// An Attribute without an index.
pub fn attribute(name: &str, value: Value) -> Item {
    Item::structure(Tag::Attribute, vec![attribute_name(name), Item::new(Tag::AttributeValue, value)])
}

/// An Attribute with an index before its value, as the specification has it.
pub fn indexed_attribute(name: &str, index: i32, value: Value) -> Item {
    let index = Item::new(Tag::AttributeIndex, Value::Integer(index));
    Item::structure(Tag::Attribute, vec![attribute_name(name), index, Item::new(Tag::AttributeValue, value)])
}

/// A Template-Attribute of `attributes`.
pub fn template(attributes: impl IntoIterator<Item = Item>) -> Item {
    Item::new(Tag::TemplateAttribute, structure(attributes))
}

/// The value of a Name.
pub fn name_value(name: &str) -> Value {
    structure([
        Item::new(Tag::NameValue, Value::text(name)),
        Item::new(Tag::NameType, enumeration(NameType::UninterpretedTextString.code())),
    ])
}

/// A Name attribute.
pub fn name(text: &str) -> Item {
    attribute("Name", name_value(text))
}

/// A Symmetric Key in format Raw; `compression` goes where the specification has it.
pub fn raw_key(key: &[u8], algorithm: kmip::enums::CryptographicAlgorithm, compression: Option<u32>) -> Item {
    let mut block = vec![Item::new(Tag::KeyFormatType, enumeration(kmip::enums::KeyFormatType::Raw.code()))];
    block.extend(compression.map(|code| Item::new(Tag::KeyCompressionType, enumeration(code))));
    block.push(Item::structure(Tag::KeyValue, vec![Item::new(Tag::KeyMaterial, Value::bytes(key))]));
    block.push(Item::new(Tag::CryptographicAlgorithm, enumeration(algorithm.code())));
    let bits = i32::try_from(key.len() * 8).unwrap();
    block.push(Item::new(Tag::CryptographicLength, Value::Integer(bits)));
    Item::structure(Tag::SymmetricKey, vec![Item::structure(Tag::KeyBlock, block)])
}

/// Secret Data in format Opaque.
pub fn opaque_secret(secret: &[u8], secret_data_type: kmip::enums::SecretDataType) -> Item {
    let block = vec![
        Item::new(Tag::KeyFormatType, enumeration(kmip::enums::KeyFormatType::Opaque.code())),
        Item::structure(Tag::KeyValue, vec![Item::new(Tag::KeyMaterial, Value::bytes(secret))]),
    ];
    let kind = Item::new(Tag::SecretDataType, enumeration(secret_data_type.code()));
    Item::structure(Tag::SecretData, vec![kind, Item::structure(Tag::KeyBlock, block)])
}

/// The three attributes that nearly every client gives a key.
pub fn key_attributes(algorithm: kmip::enums::CryptographicAlgorithm, bits: i32, usage: i32) -> [Item; 3] {
    [
        attribute("Cryptographic Algorithm", enumeration(algorithm.code())),
        attribute("Cryptographic Length", Value::Integer(bits)),
        attribute("Cryptographic Usage Mask", Value::Integer(usage)),
    ]
}

/// A name that no other test and no other run uses.
pub fn unique(what: &str) -> String {
    format!("{what}-{}", uuid::Uuid::new_v4())
}
