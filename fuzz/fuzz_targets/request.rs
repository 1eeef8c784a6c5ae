//! A connection's view of a request: the header promises a length, and a message of that length is read or refused.
#![no_main]

use kmip::{
    tags::Tag,
    ttlv::{Limits, decode, frame_len},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(header) = bytes.first_chunk() else { return };
    let Ok(promised) = frame_len(header, Tag::RequestMessage) else { return };
    let Some(frame) = bytes.get(..promised as usize) else { return };
    if let Ok(request) = decode(frame, &Limits::default()) {
        assert_eq!(request.tag, Tag::RequestMessage);
    }
});
