//! Module map.

pub mod ca;
pub mod config;
