//! The server's modules, in the order in which a request meets them; ARCHITECTURE.md tells the way.
//!
//! `net` (bytes, TLS) → `trust` (who) → `engine` (what) → `vault` (sealing) and `store` (keeping) → `audit` (the record).
//! `root_keys` compares what is on record with what the HSM holds, `rotation` brings everything under a root key's new version.
//! Around them: `config` and `cli` (the operator), `ca` (certificates), `statement`, `proof` and `ceremony` (proof and escrow
//! of root keys), `telemetry` and `process` (the machine).

pub mod admin;
pub mod audit;
pub mod ca;
pub mod ceremony;
pub mod cli;
pub mod config;
mod console;
pub mod engine;
pub mod expiry;
pub mod net;
pub mod process;
pub mod proof;
pub mod root_keys;
pub mod rotation;
pub mod statement;
pub mod store;
pub mod telemetry;
pub mod text;
pub mod trust;
pub mod vault;
