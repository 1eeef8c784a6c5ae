//! Module map.

pub mod config;
