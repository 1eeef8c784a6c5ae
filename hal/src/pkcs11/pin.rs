//! The user PIN: where it is read, and which PIN is never tried again.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use crate::{Refusal, SecretBytes};

/// Where the user PIN comes from. It is asked again for every login, so that a PIN changed on the token and in its file is taken
/// up without a restart.
pub struct PinSource(Box<dyn Fn() -> Option<SecretBytes> + Send + Sync>);

impl PinSource {
    /// Reads the PIN anew whenever it is needed; `None` where it cannot be read now, which leaves the last one in use. `read` is
    /// called about once a second while the token refuses the PIN.
    #[must_use]
    pub fn new(read: impl Fn() -> Option<SecretBytes> + Send + Sync + 'static) -> Self {
        Self(Box::new(read))
    }
}

impl From<SecretBytes> for PinSource {
    /// A PIN that never changes.
    fn from(pin: SecretBytes) -> Self {
        Self::new(move || Some(copy(&pin)))
    }
}

impl fmt::Debug for PinSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinSource(..)")
    }
}

/// The PIN in use and those that the token refused. A token counts wrong PINs and locks, so none of them is tried again.
pub(super) struct Pins {
    source: PinSource,
    last: Option<SecretBytes>,
    refused: Vec<(SecretBytes, Refusal)>,
    /// Whether the token said, when it last described itself, that the PIN is locked. Some tokens never say so.
    shown_locked: bool,
}

impl Pins {
    pub(super) fn new(source: PinSource) -> Self {
        Self { source, last: None, refused: Vec::new(), shown_locked: false }
    }

    /// The PIN to log in with.
    ///
    /// # Errors
    /// Why the last login was refused, where there is no other PIN than that one.
    pub(super) fn next(&mut self) -> Result<&SecretBytes, Refusal> {
        if let Some(read) = (self.source.0)() {
            self.last = Some(read);
        }
        let pin = self.last.as_ref().ok_or(Refusal::PinIncorrect)?;
        match self.refused.iter().find(|(refused, _)| is_same(refused, pin)) {
            Some((_, refusal)) => Err(*refusal),
            None => Ok(pin),
        }
    }

    /// Records that the token refused the PIN in use.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.refused.extend(self.last.as_ref().map(|pin| (copy(pin), refusal)));
    }

    /// Forgets every refusal: a PIN was accepted.
    pub(super) fn allow(&mut self) {
        self.refused.clear();
    }

    /// Takes in whether the token says of itself that the PIN is locked. Where it said so before and no longer does, somebody
    /// with the right to do so unlocked it; a token that never says so tells nothing by not saying it.
    pub(super) fn shown_locked(&mut self, locked: bool) {
        if self.shown_locked && !locked {
            self.refused.retain(|(_, refusal)| *refusal != Refusal::PinLocked);
        }
        self.shown_locked = locked;
    }
}

/// Whether a refusal is about the PIN, so that nothing but another PIN or an operator at the token mends it.
pub(super) fn is_about_pin(refusal: Refusal) -> bool {
    matches!(refusal, Refusal::PinIncorrect | Refusal::PinLocked | Refusal::PinNotSet)
}

fn is_same(a: &SecretBytes, b: &SecretBytes) -> bool {
    verify_slices_are_equal(a.expose_secret(), b.expose_secret()).is_ok()
}

fn copy(pin: &SecretBytes) -> SecretBytes {
    SecretBytes::new(Zeroizing::new(pin.expose_secret().to_vec()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    fn pins(first: &'static str) -> (Arc<Mutex<Option<&'static str>>>, Pins) {
        let file = Arc::new(Mutex::new(Some(first)));
        let read = Arc::clone(&file);
        let source = PinSource::new(move || read.lock().map(|text| SecretBytes::from(text.as_bytes().to_vec())));
        (file, Pins::new(source))
    }

    fn next(pins: &mut Pins) -> Result<Vec<u8>, Refusal> {
        pins.next().map(|pin| pin.expose_secret().to_vec())
    }

    #[test]
    fn a_refused_pin_is_not_given_again_and_another_is_given_once() {
        let (file, mut pins) = pins("1111");
        assert_eq!(next(&mut pins), Ok(b"1111".to_vec()));
        pins.refuse(Refusal::PinIncorrect);
        assert_eq!(next(&mut pins), Err(Refusal::PinIncorrect));
        assert_eq!(next(&mut pins), Err(Refusal::PinIncorrect));
        *file.lock() = Some("2222");
        assert_eq!(next(&mut pins), Ok(b"2222".to_vec()));
        pins.refuse(Refusal::PinLocked);
        // The token has not said that the PIN is locked, so that it does not say so now means nothing.
        pins.shown_locked(false);
        assert_eq!(next(&mut pins), Err(Refusal::PinLocked));
        *file.lock() = Some("1111");
        assert_eq!(next(&mut pins), Err(Refusal::PinIncorrect));
        *file.lock() = Some("2222");
        pins.shown_locked(true);
        assert_eq!(next(&mut pins), Err(Refusal::PinLocked));
        pins.shown_locked(false);
        assert_eq!(next(&mut pins), Ok(b"2222".to_vec()));
        *file.lock() = Some("1111");
        assert_eq!(next(&mut pins), Err(Refusal::PinIncorrect), "unlocking a PIN makes no wrong one right");
        pins.allow();
        assert_eq!(next(&mut pins), Ok(b"1111".to_vec()));
    }

    #[test]
    fn an_unreadable_source_leaves_the_last_pin_in_use() {
        let (file, mut pins) = pins("1111");
        assert!(next(&mut pins).is_ok());
        *file.lock() = None;
        assert_eq!(next(&mut pins), Ok(b"1111".to_vec()));
        let mut never_read = Pins::new(PinSource::new(|| None));
        assert_eq!(next(&mut never_read), Err(Refusal::PinIncorrect));
    }

    #[test]
    fn debug_output_holds_no_pin() {
        assert_eq!(format!("{:?}", PinSource::from(SecretBytes::from(b"1234".to_vec()))), "PinSource(..)");
    }
}
