//! What the binary encoding costs in one Get: its request and its response, between bytes and tree.
//!
//! The target is 2 µs for reading and writing each.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kmip::{
    enums::{CryptographicAlgorithm, KeyFormatType, ObjectType, Operation, ResultStatus},
    tags::Tag,
    tree::{Enumerated, Item, Value},
    ttlv::{Limits, decode, encode},
};

const IDENTIFIER: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn integer(tag: Tag, value: i32) -> Item {
    Item::new(tag, Value::Integer(value))
}

fn enumeration(tag: Tag, value: Enumerated) -> Item {
    Item::new(tag, Value::Enumeration(value))
}

fn identifier() -> Item {
    Item::new(Tag::UniqueIdentifier, Value::text(IDENTIFIER))
}

fn version() -> Item {
    let numbers = vec![integer(Tag::ProtocolVersionMajor, 1), integer(Tag::ProtocolVersionMinor, 4)];
    Item::structure(Tag::ProtocolVersion, numbers)
}

fn request() -> Item {
    let payload = Item::structure(Tag::RequestPayload, vec![identifier()]);
    let batch_item = vec![enumeration(Tag::Operation, Operation::Get.to_enumerated()), payload];
    Item::structure(
        Tag::RequestMessage,
        vec![
            Item::structure(Tag::RequestHeader, vec![version(), integer(Tag::BatchCount, 1)]),
            Item::structure(Tag::BatchItem, batch_item),
        ],
    )
}

fn response() -> Item {
    let material = Item::new(Tag::KeyMaterial, Value::bytes([0x5A; 32]));
    let key_block = Item::structure(
        Tag::KeyBlock,
        vec![
            enumeration(Tag::KeyFormatType, KeyFormatType::Raw.to_enumerated()),
            Item::structure(Tag::KeyValue, vec![material]),
            enumeration(Tag::CryptographicAlgorithm, CryptographicAlgorithm::Aes.to_enumerated()),
            integer(Tag::CryptographicLength, 256),
        ],
    );
    let payload = vec![
        enumeration(Tag::ObjectType, ObjectType::SymmetricKey.to_enumerated()),
        identifier(),
        Item::structure(Tag::SymmetricKey, vec![key_block]),
    ];
    let header =
        vec![version(), Item::new(Tag::TimeStamp, Value::DateTime(1_700_000_000)), integer(Tag::BatchCount, 1)];
    let batch_item = vec![
        enumeration(Tag::Operation, Operation::Get.to_enumerated()),
        enumeration(Tag::ResultStatus, ResultStatus::Success.to_enumerated()),
        Item::structure(Tag::ResponsePayload, payload),
    ];
    Item::structure(
        Tag::ResponseMessage,
        vec![Item::structure(Tag::ResponseHeader, header), Item::structure(Tag::BatchItem, batch_item)],
    )
}

fn get_exchange(criterion: &mut Criterion) {
    let limits = Limits::default();
    for (name, item) in [("request", request()), ("response", response())] {
        let bytes = encode(&item);
        let mut group = criterion.benchmark_group(format!("ttlv get {name}"));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        // Both include dropping what was made, which wipes it.
        group.bench_function("decode", |bencher| bencher.iter(|| decode(black_box(&bytes), &limits)));
        group.bench_function("encode", |bencher| bencher.iter(|| encode(black_box(&item))));
        group.finish();
    }
}

criterion_group!(benches, get_exchange);
criterion_main!(benches);
