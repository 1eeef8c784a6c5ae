//! What the answers of several tokens come to where none of them served.

use super::member::Member;
use crate::HalError;

/// The answers so far.
#[derive(Default)]
pub(super) struct Verdict {
    tampered: bool,
    away: Option<HalError>,
    refused: Option<HalError>,
    unknown: Option<HalError>,
}

impl Verdict {
    pub(super) fn add(&mut self, error: HalError) {
        match error {
            HalError::Tampered => self.tampered = true,
            HalError::Unavailable(_) => self.away = self.away.take().or(Some(error)),
            HalError::Refused(_) => self.refused = self.refused.take().or(Some(error)),
            HalError::UnknownRootKey(_) | HalError::UnknownSigner(_) => {
                self.unknown = self.unknown.take().or(Some(error));
            }
        }
    }

    pub(super) fn has_any(&self) -> bool {
        self.tampered || self.away.is_some() || self.refused.is_some() || self.unknown.is_some()
    }

    /// A blob is tampered with where one token that is alive and holds the right key says so and no other opens it: a token
    /// that is away cannot judge. But where one is away nothing else is final, for that one may hold the key. And where one
    /// refuses, an operator must act before it is known that no token holds it.
    pub(super) fn sum_up(self) -> HalError {
        if self.tampered {
            return HalError::Tampered;
        }
        let nobody_asked = HalError::Unavailable(crate::Outage::DeadlinePassed);
        self.away.or(self.refused).or(self.unknown).unwrap_or(nobody_asked)
    }

    /// A blob that one token opens and another calls damaged is a fault of that other.
    pub(super) fn warn_if_tampered(&self, opened_by: &Member) {
        if self.tampered {
            tracing::error!(
                token = opened_by.name(),
                "the token opened a wrapped key that another token of the set called damaged; test the others"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{Outage, Refusal, RootKeyId, RootKeyVersion};

    fn of(errors: &[HalError]) -> HalError {
        let mut verdict = Verdict::default();
        errors.iter().cloned().for_each(|error| verdict.add(error));
        verdict.sum_up()
    }

    #[test]
    fn only_what_no_absent_token_could_deny_is_final() {
        let unknown = HalError::UnknownRootKey(RootKeyVersion::first(RootKeyId::from_uuid(Uuid::nil())));
        let away = HalError::Unavailable(Outage::TokenAbsent);
        let replaced = HalError::Refused(Refusal::KeyReplaced);
        assert_eq!(of(&[unknown.clone(), away.clone()]), away);
        assert_eq!(of(&[replaced.clone(), away.clone()]), away);
        assert_eq!(of(&[unknown.clone(), replaced.clone()]), replaced);
        assert_eq!(of(&[unknown.clone(), unknown.clone()]), unknown);
        assert_eq!(of(&[away.clone(), HalError::Tampered]), HalError::Tampered);
        assert_eq!(
            of(&[HalError::Unavailable(Outage::DeviceFailed), away]),
            HalError::Unavailable(Outage::DeviceFailed)
        );
    }
}
