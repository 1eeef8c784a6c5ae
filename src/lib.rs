//! Module map.

pub mod audit;
pub mod ca;
pub mod cli;
pub mod config;
pub mod engine;
pub mod net;
pub mod process;
pub mod store;
pub mod telemetry;
pub mod trust;
pub mod vault;
