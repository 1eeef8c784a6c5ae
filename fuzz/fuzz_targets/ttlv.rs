//! Whatever bytes arrive, reading them does not panic; what is read is written as it stood, and reads the same again.
#![no_main]

use kmip::ttlv::{Limits, decode, encode, encoded_len};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    match decode(bytes, &limits) {
        Ok(item) => {
            assert_eq!(encoded_len(&item), bytes.len());
            let again = encode(&item);
            assert_eq!(&again[..], bytes);
            assert_eq!(decode(&again, &limits), Ok(item));
        }
        Err(error) => {
            // Both are made for people, and are never to fail.
            let _ = (error.to_string(), error.path().count());
        }
    }
});
