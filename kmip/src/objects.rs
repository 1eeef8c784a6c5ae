//! Managed objects and the key block inside most of them (KMIP 1.4 §2.1.3, §2.2).
//!
//! Key material stays a tree: raw bytes, or a transparent structure that a server stores and returns as it came.

use zeroize::Zeroizing;

use crate::{
    attributes::{Attributes, CryptographicParameters},
    enums::*,
    error::{DecodeError, Fault},
    fields::{Field, Fields, Slot, kmip_struct, wrong_type},
    tags::Tag,
    tree::{Enumerated, Item, Value},
    version::Version,
};

/// A managed object, as Register brings it and Get returns it (KMIP 1.4 §2.2).
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// §2.2.1.
    Certificate(Certificate),
    /// §2.2.2.
    SymmetricKey(KeyHolder),
    /// §2.2.3.
    PublicKey(KeyHolder),
    /// §2.2.4.
    PrivateKey(KeyHolder),
    /// §2.2.6, up to 1.4.
    Template(Attributes),
    /// §2.2.7.
    SecretData(SecretData),
    /// §2.2.8.
    OpaqueObject(OpaqueObject),
    /// §2.2.9, from 1.2.
    PgpKey(PgpKey),
}

impl Object {
    /// Its type.
    pub fn object_type(&self) -> ObjectType {
        match self {
            Self::Certificate(_) => ObjectType::Certificate,
            Self::SymmetricKey(_) => ObjectType::SymmetricKey,
            Self::PublicKey(_) => ObjectType::PublicKey,
            Self::PrivateKey(_) => ObjectType::PrivateKey,
            Self::Template(_) => ObjectType::Template,
            Self::SecretData(_) => ObjectType::SecretData,
            Self::OpaqueObject(_) => ObjectType::OpaqueObject,
            Self::PgpKey(_) => ObjectType::PgpKey,
        }
    }

    /// Its key block; certificates, opaque objects and templates have none.
    pub fn key_block(&self) -> Option<&KeyBlock> {
        match self {
            Self::SymmetricKey(key) | Self::PublicKey(key) | Self::PrivateKey(key) => Some(&key.key_block),
            Self::SecretData(secret) => Some(&secret.key_block),
            Self::PgpKey(key) => Some(&key.key_block),
            Self::Certificate(_) | Self::Template(_) | Self::OpaqueObject(_) => None,
        }
    }

    /// Its key block, to change.
    pub fn key_block_mut(&mut self) -> Option<&mut KeyBlock> {
        match self {
            Self::SymmetricKey(key) | Self::PublicKey(key) | Self::PrivateKey(key) => Some(&mut key.key_block),
            Self::SecretData(secret) => Some(&mut secret.key_block),
            Self::PgpKey(key) => Some(&mut key.key_block),
            Self::Certificate(_) | Self::Template(_) | Self::OpaqueObject(_) => None,
        }
    }

    /// Reads an object from an item whose tag says its type.
    ///
    /// # Errors
    /// The tag is no object's, or the content is not that object's.
    pub fn from_item(item: Item, version: Version) -> Result<Self, DecodeError> {
        let Item { tag, value } = item;
        let read = match tag {
            Tag::Certificate => Certificate::from_value(value, version).map(Self::Certificate),
            Tag::SymmetricKey => KeyHolder::from_value(value, version).map(Self::SymmetricKey),
            Tag::PublicKey => KeyHolder::from_value(value, version).map(Self::PublicKey),
            Tag::PrivateKey => KeyHolder::from_value(value, version).map(Self::PrivateKey),
            Tag::Template => {
                let wrapped = Value::Structure(Fields::of(value, version)?.take_all(|_| true).collect());
                Attributes::from_value(wrapped, version).map(Self::Template)
            }
            Tag::SecretData => SecretData::from_value(value, version).map(Self::SecretData),
            Tag::OpaqueObject => OpaqueObject::from_value(value, version).map(Self::OpaqueObject),
            Tag::PgpKey => PgpKey::from_value(value, version).map(Self::PgpKey),
            _ => Err(DecodeError::new(Fault::UnexpectedField)),
        };
        read.map_err(|error| error.within(tag))
    }

    /// The object as an item of a message of `version`.
    pub fn into_item(self, version: Version) -> Item {
        match self {
            Self::Certificate(object) => Item::new(Tag::Certificate, object.into_value(version)),
            Self::SymmetricKey(object) => Item::new(Tag::SymmetricKey, object.into_value(version)),
            Self::PublicKey(object) => Item::new(Tag::PublicKey, object.into_value(version)),
            Self::PrivateKey(object) => Item::new(Tag::PrivateKey, object.into_value(version)),
            Self::Template(attributes) => Item::new(Tag::Template, attributes.into_value(version)),
            Self::SecretData(object) => Item::new(Tag::SecretData, object.into_value(version)),
            Self::OpaqueObject(object) => Item::new(Tag::OpaqueObject, object.into_value(version)),
            Self::PgpKey(object) => Item::new(Tag::PgpKey, object.into_value(version)),
        }
    }

    /// Whether `tag` is an object's.
    pub fn is_object_tag(tag: Tag) -> bool {
        matches!(
            tag,
            Tag::Certificate
                | Tag::SymmetricKey
                | Tag::PublicKey
                | Tag::PrivateKey
                | Tag::Template
                | Tag::SecretData
                | Tag::OpaqueObject
                | Tag::PgpKey
                | Tag::SplitKey
        )
    }
}

/// An object in a payload, under the tag of its type. Its place in the table names no tag of its own.
impl Slot for Object {
    fn take_from(fields: &mut Fields, _: Tag) -> Result<Self, DecodeError> {
        let version = fields.version();
        match fields.take_first(Self::is_object_tag) {
            Some(item) => Self::from_item(item, version),
            None => Err(DecodeError::new(Fault::MissingField)),
        }
    }

    fn put(self, _: Tag, out: &mut Vec<Item>, version: Version) {
        out.push(self.into_item(version));
    }
}

kmip_struct! {
    /// A symmetric, public or private key (KMIP 1.4 §2.2.2 to §2.2.4).
    pub struct KeyHolder {
        /// The key.
        KeyBlock => key_block: KeyBlock, in V1_0..;
    }
}

kmip_struct! {
    /// A certificate (KMIP 1.4 §2.2.1).
    pub struct Certificate {
        /// X.509 or PGP.
        CertificateType => certificate_type: CertificateType, in V1_0..;
        /// DER for X.509.
        CertificateValue => certificate_value: Zeroizing<Vec<u8>>, in V1_0..;
    }
}

kmip_struct! {
    /// A secret that is no key: a password, a seed (KMIP 1.4 §2.2.7).
    pub struct SecretData {
        /// What it is.
        SecretDataType => secret_data_type: SecretDataType, in V1_0..;
        /// The secret.
        KeyBlock => key_block: KeyBlock, in V1_0..;
    }
}

kmip_struct! {
    /// Bytes that the server cannot interpret (KMIP 1.4 §2.2.8).
    pub struct OpaqueObject {
        /// A vendor's number.
        OpaqueDataType => opaque_data_type: Enumerated, in V1_0..;
        /// The bytes.
        OpaqueDataValue => opaque_data_value: Zeroizing<Vec<u8>>, in V1_0..;
    }
}

kmip_struct! {
    /// A PGP key (KMIP 1.4 §2.2.9).
    pub struct PgpKey {
        /// Its format's version.
        PgpKeyVersion => pgp_key_version: i32, in V1_2..;
        /// The key.
        KeyBlock => key_block: KeyBlock, in V1_2..;
    }
}

kmip_struct! {
    /// A key and what is needed to read it (KMIP 1.4 §2.1.3).
    pub struct KeyBlock {
        /// How the material is encoded.
        KeyFormatType => key_format_type: KeyFormatType, in V1_0..;
        /// How an elliptic curve point is written.
        KeyCompressionType => key_compression_type: Option<KeyCompressionType>, in V1_0..;
        /// The key; left out from 1.2 on where the server does not hold it.
        KeyValue => key_value: Option<KeyValue>, in V1_0..;
        /// What the key is for.
        CryptographicAlgorithm => cryptographic_algorithm: Option<CryptographicAlgorithm>, in V1_0..;
        /// In bits.
        CryptographicLength => cryptographic_length: Option<i32>, in V1_0..;
        /// How the key value is wrapped, where it is.
        KeyWrappingData => key_wrapping_data: Option<KeyWrappingData>, in V1_0..;
    }
}

/// The content of a key block (KMIP 1.4 §2.1.4).
#[derive(Clone, PartialEq)]
pub enum KeyValue {
    /// Wrapped bytes.
    Wrapped(Zeroizing<Vec<u8>>),
    /// Material in the clear: bytes, or a transparent structure; and attributes that travel with it.
    Plain {
        /// Bytes or a structure (KMIP 1.4 §2.1.7).
        material: Value,
        /// Attribute items as they came.
        attributes: Vec<Item>,
    },
}

impl std::fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wrapped(_) => "KeyValue::Wrapped(..)",
            Self::Plain { .. } => "KeyValue::Plain(..)",
        })
    }
}

impl Field for KeyValue {
    fn from_value(value: Value, version: Version) -> Result<Self, DecodeError> {
        if let Value::ByteString(bytes) = value {
            return Ok(Self::Wrapped(bytes));
        }
        let mut fields = Fields::of(value, version)?;
        let material = fields.take::<Value>(Tag::KeyMaterial)?;
        if !matches!(material, Value::ByteString(_) | Value::Structure(_)) {
            return Err(wrong_type("Byte String or Structure", &material).within(Tag::KeyMaterial));
        }
        let attributes = fields.take_all(|tag| tag == Tag::Attribute || tag == Tag::Attributes).collect();
        fields.finish()?;
        Ok(Self::Plain { material, attributes })
    }

    fn into_value(self, _: Version) -> Value {
        match self {
            Self::Wrapped(bytes) => Value::ByteString(bytes),
            Self::Plain { material, attributes } => {
                let mut fields = Vec::with_capacity(1 + attributes.len());
                fields.push(Item::new(Tag::KeyMaterial, material));
                fields.extend(attributes);
                Value::Structure(fields)
            }
        }
    }
}

kmip_struct! {
    /// How a key value was wrapped (KMIP 1.4 §2.1.5).
    pub struct KeyWrappingData {
        /// Encrypted, signed, or both.
        WrappingMethod => wrapping_method: WrappingMethod, in V1_0..;
        /// The key that encrypts.
        EncryptionKeyInformation => encryption_key_information: Option<KeyInformation>, in V1_0..;
        /// The key that signs.
        MacSignatureKeyInformation => mac_signature_key_information: Option<KeyInformation>, in V1_0..;
        /// The signature.
        MacSignature => mac_signature: Option<Zeroizing<Vec<u8>>>, in V1_0..;
        /// What the mode needs.
        IvCounterNonce => iv_counter_nonce: Option<Zeroizing<Vec<u8>>>, in V1_0..;
        /// Whether the bytes or their TTLV form were wrapped; TTLV where left out.
        EncodingOption => encoding_option: Option<EncodingOption>, in V1_1..;
    }
}

kmip_struct! {
    /// Which key wraps, and how (KMIP 1.4 §2.1.5, tables 10 and 11).
    pub struct KeyInformation {
        /// The wrapping key.
        UniqueIdentifier => unique_identifier: String, in V1_0..;
        /// Its use.
        CryptographicParameters => cryptographic_parameters: Option<CryptographicParameters>, in V1_0..;
    }
}

kmip_struct! {
    /// How the client wants a key wrapped (KMIP 1.4 §2.1.6).
    pub struct KeyWrappingSpecification {
        /// Encrypted, signed, or both.
        WrappingMethod => wrapping_method: WrappingMethod, in V1_0..;
        /// The key that encrypts.
        EncryptionKeyInformation => encryption_key_information: Option<KeyInformation>, in V1_0..;
        /// The key that signs.
        MacSignatureKeyInformation => mac_signature_key_information: Option<KeyInformation>, in V1_0..;
        /// Attributes to wrap along.
        AttributeName => attribute_name: Vec<String>, in V1_0..;
        /// Whether to wrap the bytes or their TTLV form; TTLV where left out.
        EncodingOption => encoding_option: Option<EncodingOption>, in V1_1..;
    }
}
