//! The server when its token misbehaves: every fault of a token while clients make, fetch and destroy keys, and random faults
//! for as long as one likes. A ledger knows what was acknowledged; nothing of it may be lost, doubled or changed.

mod clients;
mod ledger;
mod matrix;
mod soak;
