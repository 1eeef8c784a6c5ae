//! What operators see and decide of an adapter and its objects, beside its clients.

mod authorities;
mod deletion;
mod holds;
mod inventory;
mod sightings;
mod status;
