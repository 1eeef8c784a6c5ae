//! Makes a token: for SoftHSM2, where making one is a matter of files. Real HSMs are initialised with the vendor's tools.

use std::path::Path;

use cryptoki::{session::UserType, types::AuthPin};

use super::{
    link::{find_token, load_module},
    recovery::Fault,
};
use crate::{HalError, Outage, Refusal, SecretBytes};

/// Initialises a free slot of `module` as a token called `label` and sets its two PINs. Returns false, with nothing done, where
/// there is a token of that label already. Both PINs must be text.
///
/// # Errors
/// [`HalError::Unavailable`] where the module does not load or has no free slot, [`HalError::Refused`] where it does not take
/// the label or a PIN.
pub fn make_token(
    module: &Path,
    label: &str,
    security_officer_pin: &SecretBytes,
    user_pin: &SecretBytes,
) -> Result<bool, HalError> {
    make(module, label, security_officer_pin, user_pin).map_err(Fault::into_error)
}

fn make(path: &Path, label: &str, so_pin: &SecretBytes, user_pin: &SecretBytes) -> Result<bool, Fault> {
    let module = load_module(path)?;
    match find_token(&module, label, None) {
        Ok(_) => return Ok(false),
        Err(Fault::Gone(Outage::TokenAbsent)) => {}
        Err(fault) => return Err(fault),
    }
    let slots = module.get_slots_with_token()?;
    let free = |slot| module.get_token_info(slot).is_ok_and(|info| !info.token_initialized());
    let slot = slots.into_iter().find(|slot| free(*slot)).ok_or(Fault::Gone(Outage::TokenAbsent))?;
    let so_pin = pin(so_pin)?;
    module.init_token(slot, &so_pin, label)?;
    let session = module.open_rw_session(slot)?;
    session.login(UserType::So, Some(&so_pin))?;
    session.init_pin(&pin(user_pin)?)?;
    session.logout()?;
    Ok(true)
}

/// The PIN as cryptoki wants it: a string that is wiped on drop.
fn pin(secret: &SecretBytes) -> Result<AuthPin, Fault> {
    let text = std::str::from_utf8(secret.expose_secret()).map_err(|_| Refusal::PinIncorrect)?;
    Ok(AuthPin::new(text.into()))
}
