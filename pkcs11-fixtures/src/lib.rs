//! Throw-away PKCS#11 tokens for tests, and modules that fail on command.
//!
//! [`SoftHsm`] has any number of fresh SoftHSM2 tokens for a test process. [`PrivateModule`] is a SoftHSM2 of its own behind
//! the fault-injecting shim, for a test that finalises, hangs or breaks its module. [`Kryoptic`] is another software token, and
//! [`PrivateModule::nss`] one that no root key belongs on. [`KeysteadContainer`] is the whole server with a token, in a container.
//!
//! For tests only: it panics where something is wrong, and its PINs protect nothing.

mod container;
mod docker;
mod environment;
mod kryoptic;
mod nss;
mod private;
mod softhsm;
mod token;

pub use container::{KeysteadContainer, REQUIRE_DOCKER_VARIABLE};
pub use environment::CONF_VARIABLE;
pub use kryoptic::{KRYOPTIC_VARIABLE, Kryoptic, REQUIRE_KRYOPTIC_VARIABLE};
pub use nss::NSS_VARIABLE;
pub use pkcs11_shim as shim;
pub use private::{PrivateModule, shim_library};
pub use softhsm::{LoneToken, MODULE_VARIABLE, SKIP_VARIABLE, SoftHsm};
pub use token::Token;
