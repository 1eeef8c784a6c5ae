//! What goes wrong around the server: its process killed, its disk full, its database damaged or tampered with, its audit
//! log not writable.

mod audit;
mod disk_full;
mod kill;
mod tampering;
