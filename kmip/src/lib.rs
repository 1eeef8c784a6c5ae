//! The KMIP protocol.
mod macros;
pub mod attributes;
pub mod enums;
pub mod error;
pub mod fields;
pub mod masks;
pub mod message;
pub mod objects;
pub mod payloads;
pub mod tags;
pub mod tree;
pub mod version;
