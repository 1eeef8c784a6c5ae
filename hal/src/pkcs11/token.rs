//! Which token it is: found among a module's slots by label and serial number, and described.

use cryptoki::{
    context::Pkcs11,
    error::{Error, RvError},
    session::{Session, UserType},
    slot::Slot,
    types::RawAuthPin,
};

use super::recovery::Fault;
use crate::{Outage, Refusal, TokenInfo};

/// The one token of that label (and serial).
pub(super) fn find(
    module: &Pkcs11,
    label: &str,
    serial: Option<&str>,
) -> Result<(Slot, cryptoki::slot::TokenInfo), Fault> {
    let mut found = None;
    for slot in module.get_slots_with_token()? {
        // One unreadable token (opencryptoki's time stamp) must not hide the others.
        let info = match module.get_token_info(slot) {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(slot = slot.id(), %error, "a token does not describe itself");
                continue;
            }
        };
        if info.label() == label && serial.is_none_or(|serial| info.serial_number() == serial) {
            if found.is_some() {
                return Err(Refusal::TokenAmbiguous.into());
            }
            found = Some((slot, info));
        }
    }
    let (slot, info) = found.ok_or(Fault::Gone(Outage::TokenAbsent))?;
    if info.user_pin_locked() {
        return Err(Refusal::PinLocked.into());
    }
    Ok((slot, info))
}

/// The token of that label that has the serial number learnt at the first login. Another token of the label is not taken for
/// it, and no PIN is sent to it.
pub(super) fn find_again(
    module: &Pkcs11,
    label: &str,
    learnt: &str,
) -> Result<(Slot, cryptoki::slot::TokenInfo), Fault> {
    match find(module, label, Some(learnt)) {
        Err(Fault::Gone(Outage::TokenAbsent)) if find(module, label, None).is_ok() => {
            Err(Refusal::TokenReplaced.into())
        }
        found => found,
    }
}

/// A token's own description.
pub(super) fn describe(info: &cryptoki::slot::TokenInfo) -> TokenInfo {
    let firmware = info.firmware_version();
    TokenInfo {
        label: info.label().to_owned(),
        serial: info.serial_number().to_owned(),
        model: info.model().to_owned(),
        manufacturer: info.manufacturer_id().to_owned(),
        firmware: format!("{}.{}", firmware.major(), firmware.minor()),
    }
}

/// Logs a tool's process in as the user.
pub(super) fn log_in(session: &Session, pin: &RawAuthPin) -> Result<(), Fault> {
    match session.login_with_raw(UserType::User, pin) {
        // The login belongs to the process, and this process is its only owner: an earlier one still stands.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
