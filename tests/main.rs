//! What users of the server care about, from outside: over its engine, over TLS, over its command line.
#![allow(unreachable_pub, reason = "the modules of a test binary have no outside")]

mod faults;
mod harness;
mod isolation;
mod lifecycle;
mod races;
mod secrets;
