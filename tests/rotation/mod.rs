//! Root keys that are suspended, destroyed and rotated: what clients meet, and that no acknowledged key is ever lost.

mod fickle;
mod job;
mod process;
mod states;
