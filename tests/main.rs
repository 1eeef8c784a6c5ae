//! What users of the server care about, from outside: over its engine, over TLS, over its command line.

#![allow(unreachable_pub, reason = "one binary: modules share their items with each other only")]

mod bad_input;
mod cli;
mod harness;
mod lifecycle;
mod limits;
