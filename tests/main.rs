//! What users of the server care about, from outside: over its engine, over TLS, over its command line.
#![allow(unreachable_pub, reason = "the modules of a test binary have no outside")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod adapters;
mod admin;
mod audit;
mod bad_input;
mod cli;
mod clients;
mod conformance;
mod console;
mod container;
mod faults;
mod harness;
mod hsm;
mod isolation;
mod lifecycle;
mod limits;
mod races;
mod real_clients;
mod root_keys;
mod rotation;
mod secrets;
mod several_tokens;
mod tidy;
