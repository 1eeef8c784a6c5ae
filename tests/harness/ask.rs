//! Short ways to say the requests that most tests send, and to read what comes back.

use kmip::{
    attributes::{
        Attribute, AttributeInstance, AttributeKind, AttributeName, Attributes, CustomAttribute, RevocationReason,
    },
    client::Refusal,
    enums::{CryptographicAlgorithm, KeyFormatType, ObjectType, RevocationReasonCode, State},
    masks::CryptographicUsageMask,
    objects::{KeyBlock, KeyHolder, KeyValue, Object, OpaqueObject, SecretData},
    payloads::*,
    tree::{Enumerated, Value},
    version::Version,
};

use super::engine::User;

/// Get without conversion or wrapping.
pub fn get(id: &str) -> GetRequest {
    GetRequest {
        unique_identifier: Some(id.to_owned()),
        key_format_type: None,
        key_wrap_type: None,
        key_compression_type: None,
        key_wrapping_specification: None,
    }
}

pub fn activate(id: &str) -> ActivateRequest {
    ActivateRequest { unique_identifier: Some(id.to_owned()) }
}

pub fn revoke(id: &str, code: RevocationReasonCode) -> RevokeRequest {
    RevokeRequest {
        unique_identifier: Some(id.to_owned()),
        revocation_reason: RevocationReason { code, message: None },
        compromise_occurrence_date: None,
    }
}

pub fn destroy(id: &str) -> DestroyRequest {
    DestroyRequest { unique_identifier: Some(id.to_owned()) }
}

pub fn add(id: &str, attribute: Attribute) -> AddAttributeRequest {
    AddAttributeRequest { unique_identifier: Some(id.to_owned()), attribute: attribute.into() }
}

pub fn modify(id: &str, attribute: Attribute) -> ModifyAttributeRequest {
    ModifyAttributeRequest { unique_identifier: Some(id.to_owned()), attribute: attribute.into() }
}

pub fn modify_at(id: &str, attribute: Attribute, index: i32) -> ModifyAttributeRequest {
    let attribute = AttributeInstance { attribute, index: Some(index) };
    ModifyAttributeRequest { unique_identifier: Some(id.to_owned()), attribute }
}

pub fn delete(id: &str, attribute_name: AttributeName, index: i32) -> DeleteAttributeRequest {
    DeleteAttributeRequest { unique_identifier: Some(id.to_owned()), attribute_name, attribute_index: Some(index) }
}

/// All attributes where none is named.
pub fn attributes(id: &str, kinds: &[AttributeKind]) -> GetAttributesRequest {
    let attribute_name = kinds.iter().map(|kind| AttributeName::Standard(*kind)).collect();
    GetAttributesRequest { unique_identifier: Some(id.to_owned()), attribute_name }
}

pub fn custom(name: &str, value: Value) -> Attribute {
    Attribute::Custom(CustomAttribute { name: name.to_owned(), value })
}

pub fn custom_text(name: &str, value: &str) -> Attribute {
    custom(name, Value::text(value))
}

/// Locate by whole values.
pub fn locate(criteria: impl IntoIterator<Item = Attribute>) -> LocateRequest {
    locate_by(criteria.into_iter().map(criterion))
}

/// Locate by values that may be parts.
pub fn locate_by(criteria: impl IntoIterator<Item = Criterion>) -> LocateRequest {
    LocateRequest {
        maximum_items: None,
        offset_items: None,
        storage_status_mask: None,
        object_group_member: None,
        criteria: Criteria(criteria.into_iter().collect()),
    }
}

pub fn criterion(attribute: Attribute) -> Criterion {
    Criterion { name: attribute.name(), value: attribute.into_value(Version::V1_4) }
}

fn key_block(format: KeyFormatType, material: &[u8], what: Option<(CryptographicAlgorithm, i32)>) -> KeyBlock {
    KeyBlock {
        key_format_type: format,
        key_compression_type: None,
        key_value: Some(KeyValue::Plain { material: Value::bytes(material), attributes: Vec::new() }),
        cryptographic_algorithm: what.map(|(algorithm, _)| algorithm),
        cryptographic_length: what.map(|(_, bits)| bits),
        key_wrapping_data: None,
    }
}

/// An AES key of `material`.
pub fn register_aes(material: &[u8], more: impl IntoIterator<Item = Attribute>) -> RegisterRequest {
    let bits = i32::try_from(material.len() * 8).unwrap();
    let mask = CryptographicUsageMask::Encrypt | CryptographicUsageMask::Decrypt;
    let given = [Attribute::CryptographicUsageMask(mask)].into_iter().chain(more);
    let block = key_block(KeyFormatType::Raw, material, Some((CryptographicAlgorithm::Aes, bits)));
    RegisterRequest {
        object_type: ObjectType::SymmetricKey,
        attributes: GivenAttributes(Attributes::from_iter(given)),
        object: Object::SymmetricKey(KeyHolder { key_block: block }),
    }
}

/// A password.
pub fn register_secret(secret: &[u8], more: impl IntoIterator<Item = Attribute>) -> RegisterRequest {
    let secret_data_type = kmip::enums::SecretDataType::Password;
    RegisterRequest {
        object_type: ObjectType::SecretData,
        attributes: GivenAttributes(Attributes::from_iter(more)),
        object: Object::SecretData(SecretData {
            secret_data_type,
            key_block: key_block(KeyFormatType::Opaque, secret, None),
        }),
    }
}

/// Bytes that mean nothing to the server.
pub fn register_opaque(bytes: &[u8], more: impl IntoIterator<Item = Attribute>) -> RegisterRequest {
    RegisterRequest {
        object_type: ObjectType::OpaqueObject,
        attributes: GivenAttributes(Attributes::from_iter(more)),
        object: Object::OpaqueObject(OpaqueObject {
            opaque_data_type: Enumerated::code(0x8000_0001),
            opaque_data_value: zeroize::Zeroizing::new(bytes.to_vec()),
        }),
    }
}

/// The bytes of the object that Get returned.
pub fn material(response: Response) -> Vec<u8> {
    let Response::Get(GetResponse { object, .. }) = response else { panic!("{response:?}") };
    if let Object::OpaqueObject(opaque) = &object {
        return opaque.opaque_data_value.to_vec();
    }
    match object.key_block().and_then(|block| block.key_value.clone()) {
        Some(KeyValue::Plain { material: Value::ByteString(bytes), .. }) => bytes.to_vec(),
        other => panic!("{other:?}"),
    }
}

/// The identifier of what was made.
pub fn made(response: Response) -> String {
    match response {
        Response::Create(response) => response.unique_identifier,
        Response::Register(response) => response.unique_identifier,
        other => panic!("{other:?}"),
    }
}

/// The identifiers found.
pub fn found(response: Response) -> Vec<String> {
    match response {
        Response::Locate(response) => response.unique_identifier,
        other => panic!("{other:?}"),
    }
}

impl User {
    /// Makes an object and returns its identifier.
    pub fn make(&self, request: impl Into<Request>) -> String {
        made(self.ask(request).expect("it is made"))
    }

    /// The identifiers that a search finds.
    pub fn find(&self, request: LocateRequest) -> Vec<String> {
        found(self.ask(request).expect("the search is answered"))
    }

    /// The attributes of an object called by `kinds`; all where none is.
    pub fn attributes(&self, id: &str, kinds: &[AttributeKind]) -> Result<Vec<AttributeInstance>, Refusal> {
        match self.ask(attributes(id, kinds))? {
            Response::GetAttributes(response) => Ok(response.attributes.0),
            other => panic!("{other:?}"),
        }
    }

    /// An object's State.
    pub fn state(&self, id: &str) -> State {
        let found = self.attributes(id, &[AttributeKind::State]).expect("the object is there");
        match found.first().map(|one| &one.attribute) {
            Some(Attribute::State(state)) => *state,
            other => panic!("{other:?}"),
        }
    }

    /// The values of a custom attribute by index.
    pub fn custom(&self, id: &str, name: &str) -> Vec<(i32, Value)> {
        let attribute_name = vec![AttributeName::Other(name.to_owned())];
        let request = GetAttributesRequest { unique_identifier: Some(id.to_owned()), attribute_name };
        let Ok(Response::GetAttributes(response)) = self.ask(request) else { panic!("the object is there") };
        let values = response.attributes.0.into_iter();
        values.map(|one| (one.index.unwrap_or(0), one.attribute.into_value(Version::V1_4))).collect()
    }

    /// The material of an object.
    pub fn material(&self, id: &str) -> Vec<u8> {
        material(self.ask(get(id)).expect("the object is handed out"))
    }
}
