//! Throw-away PKCS#11 tokens for tests, and modules that fail on command.
//!
//! [`SoftHsm`] has any number of fresh SoftHSM2 tokens for a test process. [`PrivateModule`] is a SoftHSM2 of its own behind
//! the fault-injecting shim, for a test that finalises, hangs or breaks its module.
//!
//! For tests only: it panics where something is wrong, and its PINs protect nothing.

mod private;
mod softhsm;

pub use pkcs11_shim as shim;
pub use private::{PrivateModule, shim_library};
pub use softhsm::{CONF_VARIABLE, MODULE_VARIABLE, SKIP_VARIABLE, SoftHsm, Token};
