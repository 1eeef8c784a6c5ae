//! A PKCS#11 module that forwards every call to another one and, on command, delays calls, fails them, lets them hang, spoils
//! what they return, or loses sessions, token and link: an HSM that fails when a test wants it to. docs/shim.md says how to use
//! it.
//!
//! Built as a C library it is the module, with `C_GetFunctionList` as its one function. Built as a Rust library it is the
//! commands ([`grammar::Command`]) and the way to send them ([`control::Control`]). It has the functions of PKCS#11 2.40; the
//! interfaces of 3.x are not offered. It belongs in tests: whoever may write to its control socket decides what keys do.
//!
//! A call costs three counters and one look at a flag while no fault is set.

pub mod codes;
pub mod control;
pub mod environment;
mod faults;
mod forward;
pub mod grammar;
mod listener;
mod load;
mod operations;
mod settings;
mod shim;
mod special;
mod watched;

pub use forward::Function;
pub use load::C_GetFunctionList;
pub use settings::{CONTROL_VARIABLE, MODULE_VARIABLE};
