//! What users of the server care about, from outside: over its engine, over TLS, over its command line.

mod cli;
mod harness;
mod lifecycle;
