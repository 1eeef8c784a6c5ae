//! Module map.

pub mod store;
