//! The web console as people use it: journeys through it in a real browser, against the real program.

mod driver;
mod faults;
mod files;
mod journeys;
mod pictures;
mod roles;
mod wizard;

pub use driver::Browser;
