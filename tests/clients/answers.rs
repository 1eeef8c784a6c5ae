//! Answers, and what every answer to every client must keep to, whatever was asked.

use kmip::{
    attributes::AttributeName,
    enums::*,
    masks::CryptographicUsageMask,
    tags::Tag,
    tree::{Item, Value},
    version::Version,
};

/// What came back for one item.
#[derive(Debug)]
pub struct Answer {
    reason: Option<ResultReason>,
    payload: Option<Item>,
}

impl Answer {
    /// The payload of an item that must have succeeded.
    pub fn into_payload(self) -> Item {
        assert_eq!(self.reason, None, "the item is refused");
        self.payload.expect("a success has a payload")
    }

    /// Why an item, which must have been refused, was.
    pub fn refusal(&self) -> ResultReason {
        self.reason.expect("the item is refused")
    }

    /// Whether it succeeded.
    pub fn succeeded(&self) -> bool {
        self.reason.is_none()
    }
}

/// The tags of a structure's fields, in order.
pub fn tags(item: &Item) -> Vec<Tag> {
    item.fields().iter().map(|field| field.tag).collect()
}

/// The value at the end of a path of tags below `item`.
pub fn at<'a>(item: &'a Item, path: &[Tag]) -> &'a Value {
    let step = |item: &'a Item, tag: &Tag| item.field(*tag).unwrap_or_else(|| panic!("no {tag} in {item:?}"));
    &path.iter().fold(item, step).value
}

/// The text of a value.
pub fn text(value: &Value) -> &str {
    match value {
        Value::TextString(text) => text,
        other => panic!("{other:?} is no text"),
    }
}

/// The code of a value.
pub fn code(value: &Value) -> u32 {
    match value {
        Value::Enumeration(found) => found.code.expect("the binary encoding has codes"),
        other => panic!("{other:?} is no enumeration"),
    }
}

/// The Unique Identifier in a payload.
pub fn uid_of(payload: &Item) -> String {
    text(at(payload, &[Tag::UniqueIdentifier])).to_owned()
}

/// All Unique Identifiers in a payload.
pub fn uids_of(payload: &Item) -> Vec<String> {
    let ids = payload.fields().iter().filter(|field| field.tag == Tag::UniqueIdentifier);
    ids.map(|field| text(&field.value).to_owned()).collect()
}

/// The key material in the payload of a Get.
pub fn material(payload: &Item) -> Vec<u8> {
    let object = payload.fields().last().expect("a Get returns an object");
    match at(object, &[Tag::KeyBlock, Tag::KeyValue, Tag::KeyMaterial]) {
        Value::ByteString(bytes) => bytes.to_vec(),
        other => panic!("{other:?} are no bytes"),
    }
}

/// The values of attribute `name` in the payload of a Get Attributes.
pub fn values<'a>(payload: &'a Item, name: &str) -> Vec<&'a Value> {
    let attributes = payload.fields().iter().filter(|field| field.tag == Tag::Attribute);
    let named = attributes.filter(|attribute| text(at(attribute, &[Tag::AttributeName])) == name);
    named.map(|attribute| at(attribute, &[Tag::AttributeValue])).collect()
}

/// The State in the payload of a Get Attributes.
pub fn state_of(payload: &Item) -> State {
    let found = values(payload, "State");
    assert_eq!(found.len(), 1);
    State::from_code(code(found[0])).expect("a state")
}

/// Reads the answer to `request`, and holds it against the rules for all answers: the header begins with Protocol Version,
/// Time Stamp and Batch Count (libkmip reads by position), in the request's version; items answer those of the request, in
/// order, with operation and batch item ID repeated; and nothing stands in it that the version does not define.
pub fn read(request: &Item, response: &Item, version: Version) -> Vec<Answer> {
    assert_eq!(response.tag, Tag::ResponseMessage);
    let header = response.fields().first().expect("a header");
    assert_eq!(header.tag, Tag::ResponseHeader);
    assert_eq!(tags(header), [Tag::ProtocolVersion, Tag::TimeStamp, Tag::BatchCount]);
    let numbers = [Value::Integer(version.major()), Value::Integer(version.minor())];
    let found = header.fields()[0].fields().iter().map(|field| field.value.clone()).collect::<Vec<_>>();
    assert_eq!(found, numbers, "the answer is in the version of its request");
    assert!(matches!(header.fields()[1].value, Value::DateTime(_)));
    let items = &response.fields()[1..];
    assert_eq!(header.fields()[2].value, Value::Integer(i32::try_from(items.len()).unwrap()));
    assert_defined(response, version);

    let asked = request.fields().iter().filter(|field| field.tag == Tag::BatchItem).collect::<Vec<_>>();
    assert!(items.len() <= asked.len(), "more answers than questions");
    items.iter().zip(asked).map(|(item, asked)| read_item(item, asked)).collect()
}

fn read_item(item: &Item, asked: &Item) -> Answer {
    assert_eq!(item.tag, Tag::BatchItem);
    // A tree that was built has names beside its codes, one that was read has not.
    assert_eq!(code(at(item, &[Tag::Operation])), code(at(asked, &[Tag::Operation])), "the operation is repeated");
    assert_eq!(
        item.field(Tag::UniqueBatchItemId),
        asked.field(Tag::UniqueBatchItemId),
        "the batch item ID is repeated"
    );
    let order = [
        Tag::Operation,
        Tag::UniqueBatchItemId,
        Tag::ResultStatus,
        Tag::ResultReason,
        Tag::ResultMessage,
        Tag::ResponsePayload,
    ];
    let position = |tag: &Tag| order.iter().position(|known| known == tag).expect("a field of a batch item");
    assert!(tags(item).iter().map(position).is_sorted_by(|a, b| a < b), "{:?} in order", tags(item));
    let status = ResultStatus::from_code(code(at(item, &[Tag::ResultStatus])));
    let reason = item.field(Tag::ResultReason).map(|field| ResultReason::from_code(code(&field.value)).unwrap());
    assert_eq!(status == Some(ResultStatus::Success), reason.is_none(), "a refusal has a reason, a success none");
    Answer { reason, payload: item.field(Tag::ResponsePayload).cloned() }
}

/// Asserts that `version` defines every tag, attribute, enumeration value and mask bit in `item`.
pub fn assert_defined(item: &Item, version: Version) {
    let tag = item.tag;
    assert!(tag.in_version(version), "{tag} is not a tag of {version}");
    if tag == Tag::AttributeName {
        attribute_of(text(&item.value), version);
    }
    if tag == Tag::Attribute {
        let name = text(at(item, &[Tag::AttributeName]));
        // A custom attribute's value is its client's own affair.
        let AttributeName::Standard(kind) = attribute_of(name, version) else { return };
        let value = at(item, &[Tag::AttributeValue]).clone();
        kind.read(value.clone(), version).unwrap_or_else(|error| panic!("{name} in {version}: {error}"));
        assert_defined(&Item::new(kind.tag(), value), version);
        return;
    }
    match &item.value {
        Value::Structure(fields) => fields.iter().for_each(|field| assert_defined(field, version)),
        Value::Enumeration(_) => {
            let code = code(&item.value);
            assert!(is_defined(tag, code, version), "{tag} {code:#010x} is not a value of {version}");
        }
        Value::Integer(bits) if tag == Tag::CryptographicUsageMask => {
            assert!(CryptographicUsageMask::from_bits(*bits).in_version(version), "usage mask {bits:#x} in {version}");
        }
        Value::DateTimeExtended(_) => panic!("Date-Time Extended is of 2.0"),
        _ => {}
    }
}

fn attribute_of(name: &str, version: Version) -> AttributeName {
    let parsed = AttributeName::parse(name.to_owned(), version);
    let known = matches!(parsed, AttributeName::Standard(_)) || parsed.is_custom();
    assert!(known, "{name} is not an attribute of {version}");
    parsed
}

/// Whether `version` defines the value `code` of the enumeration under `tag`.
fn is_defined(tag: Tag, code: u32, version: Version) -> bool {
    macro_rules! enumerations {
        ($($tag:ident => $type:ty,)*) => {
            match tag {
                $(Tag::$tag => <$type>::from_code(code).is_some_and(|value| value.in_version(version)),)*
                // Vendors number these.
                Tag::OpaqueDataType => true,
                _ => panic!("the table has no enumeration for {tag}"),
            }
        };
    }
    enumerations! {
        AlternativeNameType => AlternativeNameType,
        BlockCipherMode => BlockCipherMode,
        CertificateType => CertificateType,
        ClientRegistrationMethod => ClientRegistrationMethod,
        CryptographicAlgorithm => CryptographicAlgorithm,
        DestroyAction => DestroyAction,
        DigitalSignatureAlgorithm => DigitalSignatureAlgorithm,
        EncodingOption => EncodingOption,
        HashingAlgorithm => HashingAlgorithm,
        KeyCompressionType => KeyCompressionType,
        KeyFormatType => KeyFormatType,
        KeyRoleType => KeyRoleType,
        KeyValueLocationType => KeyValueLocationType,
        LinkType => LinkType,
        NameType => NameType,
        ObjectType => ObjectType,
        Operation => Operation,
        PaddingMethod => PaddingMethod,
        ProfileName => ProfileName,
        RecommendedCurve => RecommendedCurve,
        ResultReason => ResultReason,
        ResultStatus => ResultStatus,
        RevocationReasonCode => RevocationReasonCode,
        RngAlgorithm => RngAlgorithm,
        RngMode => RngMode,
        SecretDataType => SecretDataType,
        ShreddingAlgorithm => ShreddingAlgorithm,
        State => State,
        UnwrapMode => UnwrapMode,
        UsageLimitsUnit => UsageLimitsUnit,
        WrappingMethod => WrappingMethod,
    }
}

#[test]
fn the_check_of_answers_sees_what_a_version_does_not_define() {
    use std::panic::catch_unwind;

    use super::message::{attribute, attribute_name, enumeration, structure};

    let refused = |item: Item, version| catch_unwind(|| assert_defined(&item, version)).is_err();
    let fresh = Item::new(Tag::ResponsePayload, structure([attribute("Fresh", Value::Boolean(true))]));
    assert!(refused(fresh.clone(), Version::V1_0));
    assert!(!refused(fresh, Version::V1_1));
    let listed = Item::new(Tag::ResponsePayload, structure([attribute_name("Sensitive")]));
    assert!(refused(listed.clone(), Version::V1_3));
    assert!(!refused(listed, Version::V1_4));
    let correlated = Item::new(Tag::ServerCorrelationValue, Value::text("x"));
    assert!(refused(correlated.clone(), Version::V1_3));
    assert!(!refused(correlated, Version::V1_4));
    let reason = Item::new(Tag::ResultReason, enumeration(ResultReason::Sensitive.code()));
    assert!(refused(reason.clone(), Version::V1_3));
    assert!(!refused(reason, Version::V1_4));
    let algorithm = attribute("Cryptographic Algorithm", enumeration(CryptographicAlgorithm::ChaCha20.code()));
    assert!(refused(algorithm.clone(), Version::V1_3));
    assert!(!refused(algorithm, Version::V1_4));
    let mask = attribute("Cryptographic Usage Mask", Value::Integer(1 << 30));
    assert!(refused(mask, Version::V1_4));
}
