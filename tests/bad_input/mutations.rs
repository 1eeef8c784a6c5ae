//! Valid messages with random faults, always the same ones: whatever comes, the engine answers.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kmip::{message::ResponseMessage, tags::Tag, ttlv};
use zeroize::Zeroizing;

use super::valid;
use crate::harness::engine::{TestServer, User};
use keystead::net::Handler;

/// Mutations of each valid message.
const PER_MESSAGE: u64 = 1_000;

/// Marsaglia's xorshift: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}

/// Where each item of a message begins.
fn starts(bytes: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at + 8 <= bytes.len() {
        starts.push(at);
        let length = usize::try_from(u32::from_be_bytes(bytes[at + 4..at + 8].try_into().unwrap())).unwrap();
        // Into a structure, over anything else.
        at += if bytes[at + 3] == 1 { 8 } else { 8 + length.next_multiple_of(8) };
    }
    starts
}

/// One to four faults; three in four leave the encoding intact, so that they reach the operations.
fn mutate(random: &mut Random, sound: &[u8]) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    let starts = starts(sound);
    for _ in 0..=random.below(4) {
        let start = starts[random.below(starts.len())];
        let Some(header) = bytes.get(start..start + 8) else { continue };
        let length = usize::try_from(u32::from_be_bytes(header[4..].try_into().unwrap())).unwrap();
        let value = start + 8..(start + 8 + length).min(bytes.len());
        match random.below(8) {
            // A value's byte.
            0..=3 if !value.is_empty() && bytes[start + 3] != 1 => {
                let at = value.start + random.below(value.len());
                bytes[at] ^= 1 << random.below(8);
            }
            // A tag becomes another of the message, or one nearby.
            4 => {
                let other = starts[random.below(starts.len())];
                let tag: [u8; 3] = sound[other..other + 3].try_into().unwrap();
                bytes[start..start + 3].copy_from_slice(&tag);
            }
            5 => bytes[start + 2] ^= 1 << random.below(8),
            // A type of the same width.
            6 => {
                bytes[start + 3] = match bytes[start + 3] {
                    2 => 5,
                    5 => 10,
                    10 => 2,
                    3 => 9,
                    9 => 3,
                    7 => 8,
                    8 => 7,
                    other => other ^ 3,
                };
            }
            // Anything anywhere: bits, lengths, cuts.
            _ => match random.below(4) {
                0 => bytes[start + 4 + random.below(4)] ^= 1 << random.below(8),
                1 => bytes.truncate(random.below(bytes.len()) + 1),
                2 => {
                    let at = random.below(bytes.len());
                    bytes[at] = u8::try_from(random.next() & 0xFF).unwrap();
                }
                _ => {
                    let (from, to) = (starts[random.below(starts.len())], starts[random.below(starts.len())]);
                    let piece = sound[from.min(to)..from.max(to)].to_vec();
                    let at = start.min(bytes.len());
                    bytes.splice(at..at, piece);
                }
            },
        }
    }
    bytes
}

/// The reply, which must be a response with as many items as it says.
fn answered(user: &User, bytes: &[u8]) -> Result<(), String> {
    let request = Zeroizing::new(bytes.to_vec());
    let reply = catch_unwind(AssertUnwindSafe(|| user.engine.handle(&user.peer, request))).map_err(|_| "a panic")?;
    let limits = ttlv::Limits { bytes: 16 << 20, ..ttlv::Limits::default() };
    let tree = ttlv::decode(&reply.bytes, &limits).map_err(|error| format!("no TTLV: {error}"))?;
    let version = tree.field(Tag::ResponseHeader).and_then(|header| header.field(Tag::ProtocolVersion)).cloned();
    let version = version.and_then(|item| {
        use kmip::{fields::Field, message::ProtocolVersion, version::Version};
        ProtocolVersion::from_value(item.value, Version::V1_0).ok()?.known()
    });
    let version = version.ok_or("no version")?;
    let message = ResponseMessage::from_item(tree, version).map_err(|error| format!("no response: {error}"))?;
    let counted = usize::try_from(message.header.batch_count) == Ok(message.items.len());
    if counted && !reply.close { Ok(()) } else { Err("a wrong count, or a close".to_owned()) }
}

#[test]
fn mutated_messages_never_panic_the_engine_and_always_get_an_answer() {
    let server = TestServer::new();
    let alice = server.alice();
    let bases = valid::bases(&alice);
    let played: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0_u64..2)
            .map(|thread| {
                let (alice, bases) = (&alice, &bases);
                scope.spawn(move || {
                    let mut played = 0;
                    for (number, base) in bases.iter().enumerate() {
                        let sound = ttlv::encode(&base.message);
                        let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ (number as u64 + 1) << 8 ^ thread);
                        for _ in 0..PER_MESSAGE / 2 {
                            let bytes = mutate(&mut random, &sound);
                            if let Err(what) = answered(alice, &bytes) {
                                panic!("{}: {what}: {bytes:02x?}", base.name);
                            }
                            played += 1;
                        }
                    }
                    played
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    println!("{played} mutated messages");
    assert!(played >= 20_000);
    server.bob().ask(crate::harness::create_aes(256, [])).expect("the engine works as before");
}
