//! A connection's view of a request: the header promises a length, and a message of that length is read or refused; what is
//! read becomes typed item by item, and what is typed is written and read again as the same.
#![no_main]

use kmip::{
    enums::Operation,
    message::{RequestItem, RequestMessage},
    payloads::Request,
    tags::Tag,
    tree::{Item, Value},
    ttlv::{Limits, decode, encode, frame_len},
    version::Version,
};
use libfuzzer_sys::fuzz_target;

const VERSIONS: [Version; 5] = [Version::V1_0, Version::V1_1, Version::V1_2, Version::V1_3, Version::V1_4];

/// The payload of any operation, as messages of any version read it.
fn typed(payload: &Value) {
    for version in VERSIONS {
        for operation in Request::OPERATIONS {
            let Ok(Some(request)) = Request::from_value(*operation, payload.clone(), version) else { continue };
            assert_eq!(request.operation(), *operation);
            let item = Item::new(Tag::RequestPayload, request.clone().into_value(version));
            let again = decode(&encode(&item), &Limits::default()).expect("what is typed can be encoded");
            assert_eq!(Request::from_value(*operation, again.value, version), Ok(Some(request)));
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some(header) = bytes.first_chunk() else { return };
    let Ok(promised) = frame_len(header, Tag::RequestMessage) else { return };
    let Some(frame) = bytes.get(..promised as usize) else { return };
    let Ok(message) = decode(frame, &Limits::default()) else { return };
    assert_eq!(message.tag, Tag::RequestMessage);
    for item in message.fields() {
        if let Some(payload) = item.field(Tag::RequestPayload) {
            typed(&payload.value);
        }
    }
    let known = RequestMessage::version_of(&message);
    let Ok(RequestMessage { header, items, version }) = RequestMessage::from_item(message) else { return };
    assert_eq!(known.and_then(|numbers| numbers.known()), Some(version));
    assert_eq!(usize::try_from(header.batch_count), Ok(items.len()));
    for item in &items {
        let (operation, id) = RequestItem::outline(item);
        let Ok(read) = RequestItem::from_item(item.clone(), version) else { continue };
        assert_eq!(Some(read.operation_code), operation);
        assert_eq!(read.unique_batch_item_id, id);
        let named = read.operation.is_none_or(|operation: Operation| operation.in_version(version));
        assert!(named, "an operation of another version");
    }
    let written = RequestMessage { header: header.clone(), items, version }.into_item();
    let again = decode(&encode(&written), &Limits::default()).expect("what is typed can be encoded");
    let again = RequestMessage::from_item(again).expect("and read again");
    assert_eq!((again.header, again.version), (header, version));
});
