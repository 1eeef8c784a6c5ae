//! The sequences of named clients.

use super::{
    Trace,
    connect::{CheckError, Target},
};

/// vCenter 8.0.1: a key is created, fetched, activated and tagged, on two connections.
pub(super) fn vcenter(target: &Target, trace: &mut Trace) -> Result<(), CheckError> {
    connect_only(target, trace)
}

/// A MongoDB driver in plain mode.
pub(super) fn mongodb(target: &Target, trace: &mut Trace) -> Result<(), CheckError> {
    connect_only(target, trace)
}

/// What the server says of itself, and a key's life.
pub(super) fn generic(target: &Target, trace: &mut Trace) -> Result<(), CheckError> {
    connect_only(target, trace)
}

fn connect_only(target: &Target, trace: &mut Trace) -> Result<(), CheckError> {
    trace.step("connect with TLS", || target.connect(), |connection| connection.agreed.clone())?;
    Err(CheckError::NotBuilt)
}
