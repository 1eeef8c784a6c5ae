//! The KMIP protocol: bytes to a tree of fields and back, typed messages of every version, a small client.
//!
//! No I/O, no cryptography, no clock. A request flows bytes, tree, typed message; a response flows back.

mod macros;

pub mod attributes;
pub mod client;
pub mod enums;
pub mod error;
pub mod fields;
pub mod masks;
pub mod message;
pub mod objects;
pub mod payloads;
pub mod tags;
pub mod tree;
pub mod ttlv;
pub mod version;
