//! Sorts PKCS#11 errors by what is to be done. The one place that reads CKR_ codes; they go to the log and no further.

use std::time::{Duration, Instant};

use cryptoki::{
    context::Function,
    error::{Error, RvError},
};

use parking_lot::Mutex;

use crate::{HalError, Outage, Refusal};

/// A token that fails every call must not fill the log: one failure in a second is told, with the number of the others.
static SAID: Said = Said(Mutex::new(None));
const SILENCE: Duration = Duration::from_secs(1);

/// When something was last told, and how often it was not since.
struct Said(Mutex<Option<(Instant, u64)>>);

impl Said {
    /// How many failures went untold before this one, where it may be told.
    fn may_speak(&self) -> Option<u64> {
        let mut said = self.0.lock();
        if let Some((last, unsaid)) = &mut *said
            && last.elapsed() < SILENCE
        {
            *unsaid += 1;
            return None;
        }
        let before = said.replace((Instant::now(), 0));
        Some(before.map_or(0, |(_, unsaid)| unsaid))
    }
}

/// What a failed call asks for.
#[derive(Debug)]
pub(super) enum Fault {
    /// The session of this call is gone. With it alone a new one is enough; where the login went with it, as [`Stale`](Self::Stale).
    SessionGone,
    /// The login or a handle is no longer valid: log in again, find the key again, try once more.
    Stale,
    /// Either the data is bad or the token is: SoftHSM2 and kryoptic answer a tampered blob with GENERAL_ERROR and
    /// DEVICE_ERROR. A probe with a known blob decides.
    Suspect,
    /// The token says that the data is bad.
    BadData,
    /// The token or the module went away: connect anew, later.
    Gone(Outage),
    /// The token does not offer this mechanism, or not for this key.
    Unsupported,
    /// Nothing here mends it.
    Stop(HalError),
}

impl Fault {
    /// Whether it is about the connection, so that nothing was learnt about a key or a blob.
    pub(super) fn is_about_connection(&self) -> bool {
        matches!(self, Self::SessionGone | Self::Stale | Self::Gone(_))
    }

    /// Whether the token is to blame, and not what it was asked to do.
    pub(super) fn is_failure_of_token(&self) -> bool {
        self.is_about_connection() || matches!(self, Self::Suspect | Self::Stop(HalError::Unavailable(_)))
    }

    /// What a caller is told where nothing more is tried.
    pub(super) fn into_error(self) -> HalError {
        match self {
            Self::Stop(error) => error,
            Self::Gone(outage) => HalError::Unavailable(outage),
            Self::SessionGone | Self::Stale | Self::Suspect | Self::BadData | Self::Unsupported => {
                HalError::Unavailable(Outage::DeviceFailed)
            }
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Stop(HalError::Refused(refusal))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let fault = sort(&error);
        if let Some(unsaid) = SAID.may_speak() {
            match &error {
                // cryptoki's text for a code is a paragraph; its name is what operators look up.
                Error::Pkcs11(code, function) => {
                    tracing::warn!(?code, %function, ?fault, unsaid, "a PKCS#11 call failed");
                }
                other => tracing::warn!(error = %other, ?fault, unsaid, "a PKCS#11 call failed"),
            }
        }
        fault
    }
}

/// What an error asks for, without a line in the log: for calls that are expected to fail.
pub(super) fn sort(error: &Error) -> Fault {
    match error {
        Error::Pkcs11(code, function) => of_code(code, *function),
        Error::LibraryLoading(_) | Error::MissingSymbol(_) => Fault::Gone(Outage::ModuleMissing),
        Error::NullFunctionPointer | Error::NotSupported => Fault::Unsupported,
        Error::TryFromInt(_)
        | Error::TryFromSlice(_)
        | Error::ParseInt(_)
        | Error::Utf8(_)
        | Error::NulError(_)
        | Error::InvalidValue
        | Error::PinNotSet => Fault::Suspect,
    }
}

fn of_code(code: &RvError, function: Function) -> Fault {
    match code {
        RvError::SessionHandleInvalid | RvError::SessionClosed => Fault::SessionGone,

        RvError::UserNotLoggedIn
        | RvError::ObjectHandleInvalid
        | RvError::KeyHandleInvalid
        | RvError::WrappingKeyHandleInvalid
        | RvError::UnwrappingKeyHandleInvalid
        | RvError::OperationActive
        | RvError::OperationNotInitialized => Fault::Stale,

        RvError::EncryptedDataInvalid
        | RvError::EncryptedDataLenRange
        | RvError::WrappedKeyInvalid
        | RvError::WrappedKeyLenRange
        // CKR_AEAD_DECRYPT_FAILED of PKCS#11 3.0, which cryptoki has no name for.
        | RvError::UnknownErrorCode(0x35) => Fault::BadData,

        RvError::CryptokiNotInitialized
        | RvError::TokenNotPresent
        | RvError::TokenNotRecognized
        | RvError::DeviceRemoved
        | RvError::SlotIdInvalid => Fault::Gone(Outage::TokenAbsent),

        RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => Refusal::PinIncorrect.into(),
        // SoftHSM2 answers an empty PIN so.
        RvError::ArgumentsBad if matches!(function, Function::Login) => Refusal::PinIncorrect.into(),
        RvError::PinLocked => Refusal::PinLocked.into(),
        RvError::PinExpired | RvError::UserPinNotInitialized => Refusal::PinNotSet.into(),

        RvError::SessionCount => Fault::Stop(HalError::Unavailable(Outage::SessionsExhausted)),
        RvError::HostMemory => Fault::Stop(HalError::Unavailable(Outage::Overloaded)),

        RvError::MechanismInvalid
        | RvError::MechanismParamInvalid
        | RvError::FunctionNotSupported
        | RvError::KeyTypeInconsistent
        | RvError::KeySizeRange
        | RvError::CurveNotSupported
        | RvError::DomainParamsInvalid => Fault::Unsupported,

        RvError::ActionProhibited
        | RvError::KeyFunctionNotPermitted
        | RvError::KeyNotWrappable
        | RvError::KeyUnextractable
        | RvError::TokenWriteProtected
        | RvError::SessionReadOnly
        | RvError::UserAnotherAlreadyLoggedIn
        | RvError::AttributeReadOnly
        | RvError::AttributeTypeInvalid
        | RvError::AttributeValueInvalid
        | RvError::TemplateIncomplete
        | RvError::TemplateInconsistent => Refusal::NotPermitted.into(),

        _ => Fault::Suspect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: RvError) -> Fault {
        Fault::from(Error::Pkcs11(code, Function::Decrypt))
    }

    #[test]
    fn a_storm_of_failures_is_told_once() {
        let said = Said(Mutex::new(None));
        assert_eq!(said.may_speak(), Some(0));
        assert_eq!((said.may_speak(), said.may_speak()), (None, None));
        said.0.lock().as_mut().unwrap().0 -= SILENCE;
        assert_eq!(said.may_speak(), Some(2));
    }

    #[test]
    fn a_lost_login_is_mended_and_a_wrong_pin_is_not() {
        assert!(matches!(fault(RvError::UserNotLoggedIn), Fault::Stale));
        assert!(matches!(fault(RvError::SessionHandleInvalid), Fault::SessionGone));
        assert!(matches!(fault(RvError::PinIncorrect), Fault::Stop(HalError::Refused(Refusal::PinIncorrect))));
        assert!(matches!(fault(RvError::PinLocked), Fault::Stop(HalError::Refused(Refusal::PinLocked))));
    }

    #[test]
    fn a_general_error_blames_nobody_yet_and_a_bad_ciphertext_blames_the_data() {
        assert!(matches!(fault(RvError::GeneralError), Fault::Suspect));
        assert!(matches!(fault(RvError::DeviceError), Fault::Suspect));
        assert!(matches!(fault(RvError::EncryptedDataInvalid), Fault::BadData));
        assert!(matches!(fault(RvError::UnknownErrorCode(0x35)), Fault::BadData));
        assert!(matches!(fault(RvError::UnknownErrorCode(0x36)), Fault::Suspect));
    }
}
