//! The KMIP protocol: bytes to a tree of fields and back, and the tables of its tags, enumerations and masks.
//!
//! No I/O, no cryptography, no clock. A request flows bytes, tree, typed message; a response flows back.

mod macros;

pub mod enums;
pub mod error;
pub mod masks;
pub mod tags;
pub mod tree;
pub mod ttlv;
pub mod version;
