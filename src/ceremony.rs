//! Key ceremonies: a root key is made in memory, split among custodians, and put together again from enough of their shares.
//!
//! Shamir's secret sharing over GF(2^8): any `threshold` of the shares give the key, fewer say nothing about it. What a share
//! file says besides (which key, which version, how many shares) is bound to the key by a commitment, so shares that were
//! mixed, changed or mislabelled give an error and never another key. Key bytes lie in wiped memory only and leave this module
//! for the HSM alone. This module reads no clock and no configuration, and touches no files.

mod check_value;
mod field;
mod share;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hal::{Kcv, KcvMethod, Label, RootKeyVersion, SecretBytes};
use jiff::Timestamp;
use ring::{
    digest::{Context, SHA256},
    error::Unspecified,
    rand::{SecureRandom as _, SystemRandom},
};
use uuid::Uuid;
use zeroize::Zeroizing;

pub use self::share::{Share, ShareError};

/// Length of a root key, and of a share of one, in bytes.
const LEN: usize = 32;
/// The most shares that a key is split into.
pub const MAX_SHARES: u8 = 16;
/// What the commitment begins with, so that it can mean nothing elsewhere.
const COMMITMENT: &str = "keystead-root-key-commitment-1";

/// How many shares there are, and how many of them it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    threshold: u8,
    shares: u8,
}

impl Quorum {
    /// `threshold` of `shares`.
    ///
    /// # Errors
    /// Not 2 <= threshold <= shares <= [`MAX_SHARES`].
    pub fn new(threshold: u8, shares: u8) -> Result<Self, CeremonyError> {
        let fits = (2..=shares).contains(&threshold) && shares <= MAX_SHARES;
        if fits { Ok(Self { threshold, shares }) } else { Err(CeremonyError::Quorum) }
    }

    /// How many shares it takes.
    #[must_use]
    pub fn threshold(self) -> u8 {
        self.threshold
    }

    /// How many there are.
    #[must_use]
    pub fn shares(self) -> u8 {
        self.shares
    }
}

/// What all shares of a ceremony have in common. Nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The ceremony: shares of another one never fit.
    pub ceremony: Uuid,
    /// The root key and its version.
    pub key: RootKeyVersion,
    /// The root key's label.
    pub label: Label,
    /// How many shares there are, and how many it takes.
    pub quorum: Quorum,
    /// When the key was made, in whole seconds.
    pub created_at: Timestamp,
    /// The key check value, by AES-ECB of a block of zeros.
    pub kcv: Kcv,
    /// SHA-256 over all of the above and the key.
    pub commitment: [u8; LEN],
}

/// A key that was just made, in shares only.
pub struct Ceremony {
    /// What the shares have in common.
    pub terms: Terms,
    /// The shares, in the order of their numbers.
    pub shares: Vec<Share>,
}

/// A key that was put together again.
pub struct Recovered {
    /// What its shares said of it, confirmed by the commitment.
    pub terms: Terms,
    key: Zeroizing<[u8; LEN]>,
}

/// Why no key was made or put together.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyError {
    /// The numbers make no sense.
    #[error("a key is split into at most {MAX_SHARES} shares, of which at least 2 and at most all are needed")]
    Quorum,
    /// The system has no random numbers, or no AES.
    #[error("the cryptographic library failed")]
    Crypto,
    /// There are no shares.
    #[error("no shares were given")]
    NoShares,
    /// Shares of several ceremonies.
    #[error(
        "share {second} is of the ceremony {other}, share {first} of {ceremony}: shares of two ceremonies give no key"
    )]
    Mixed {
        /// The number of a share.
        first: u8,
        /// Its ceremony.
        ceremony: Uuid,
        /// The number of another share.
        second: u8,
        /// That one's ceremony.
        other: Uuid,
    },
    /// They disagree about the threshold.
    #[error(
        "share {second} says that {} of {} shares are needed, share {first} says {} of {}: one of them was changed",
        other.threshold, other.shares, quorum.threshold, quorum.shares
    )]
    Threshold {
        /// The number of a share.
        first: u8,
        /// What it says.
        quorum: Quorum,
        /// The number of another share.
        second: u8,
        /// What that one says.
        other: Quorum,
    },
    /// They disagree about something else.
    #[error("shares {first} and {second} are of one ceremony but describe different keys: one of them was changed")]
    Terms {
        /// The number of a share.
        first: u8,
        /// The number of another share.
        second: u8,
    },
    /// One share was given twice.
    #[error("share {number} was given more than once; each counts once")]
    Duplicate {
        /// Its number.
        number: u8,
    },
    /// Too few shares.
    #[error("{given} of the {needed} shares that are needed were given")]
    TooFew {
        /// How many were given.
        given: u8,
        /// How many are needed.
        needed: u8,
    },
    /// These shares are not what was written, although their checksums are right.
    #[error(
        "share {} was changed after it was written, although its checksum is right: compare the fingerprints of the share \
         files with the signed protocol, and leave it out",
        numbers(changed)
    )]
    Changed {
        /// Their numbers.
        changed: Vec<u8>,
    },
    /// Some share is not what was written, and there are too few to tell which.
    #[error(
        "these shares do not give the key that they were made of: at least one was changed after it was written, although \
         its checksum is right; compare the fingerprints of the share files with the signed protocol"
    )]
    WrongKey,
}

fn numbers(changed: &[u8]) -> String {
    changed.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")
}

impl From<Unspecified> for CeremonyError {
    fn from(_: Unspecified) -> Self {
        Self::Crypto
    }
}

impl Ceremony {
    /// Makes a key and splits it. `now` is written into the shares.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn hold(key: RootKeyVersion, label: Label, quorum: Quorum, now: Timestamp) -> Result<Self, CeremonyError> {
        let random = SystemRandom::new();
        let mut made = Zeroizing::new([0; LEN]);
        random.fill(&mut *made)?;
        Self::split(&made, Uuid::new_v4(), key, label, quorum, now, &mut |out| random.fill(out))
    }

    fn split(
        made: &[u8; LEN],
        ceremony: Uuid,
        key: RootKeyVersion,
        label: Label,
        quorum: Quorum,
        now: Timestamp,
        random: &mut dyn FnMut(&mut [u8]) -> Result<(), Unspecified>,
    ) -> Result<Self, CeremonyError> {
        let created_at = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let kcv = check_value::of(made, KcvMethod::EcbZeroBlock)?;
        let mut terms = Terms { ceremony, key, label, quorum, created_at, kcv, commitment: [0; LEN] };
        terms.commitment = terms.commit(made);

        // One polynomial for each byte. Its constant is the key's byte; every other coefficient is any element, zero too, or
        // fewer shares than the threshold would say something about the key.
        let mut coefficients = Zeroizing::new(vec![[0; LEN]; usize::from(quorum.threshold)]);
        for (place, coefficient) in coefficients.iter_mut().enumerate() {
            if place == 0 {
                coefficient.copy_from_slice(made);
            } else {
                random(coefficient)?;
            }
        }
        let share = |number: u8| {
            let mut value = Zeroizing::new([0; LEN]);
            for (place, byte) in value.iter_mut().enumerate() {
                let polynomial = coefficients.iter().map(|coefficient| byte_at(coefficient, place));
                *byte = field::evaluate(polynomial, number);
            }
            Share::new(terms.clone(), number, value)
        };
        let shares = (1..=quorum.shares).map(share).collect();
        Ok(Self { terms, shares })
    }
}

impl Terms {
    /// SHA-256 over what the shares say, line by line, and the key.
    fn commit(&self, key: &[u8; LEN]) -> [u8; LEN] {
        let mut context = Context::new(&SHA256);
        context.update(COMMITMENT.as_bytes());
        context.update(b"\n");
        context.update(self.lines().as_bytes());
        context.update(key);
        let mut commitment = [0; LEN];
        for (to, from) in commitment.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        commitment
    }

    /// Each thing that the shares say of the key, in a line of its own. No value has a line end in it.
    fn lines(&self) -> String {
        let Self { ceremony, key, label, quorum, created_at, kcv, commitment: _ } = self;
        let Quorum { threshold, shares } = quorum;
        let RootKeyVersion { root, version } = key;
        format!("{ceremony}\n{root}\n{version}\n{label}\n{threshold}\n{shares}\n{created_at}\n{kcv}\n")
    }

    /// The commitment in hexadecimal, as people compare it.
    #[must_use]
    pub fn commitment_text(&self) -> String {
        share::hex(&self.commitment)
    }

    fn confirm(&self, key: &[u8; LEN]) -> bool {
        verify_slices_are_equal(&self.commit(key), &self.commitment).is_ok()
    }
}

impl Recovered {
    /// Puts a key together from shares in any order. More than enough are all checked.
    ///
    /// # Errors
    /// What is wrong with the shares; which of them, where that can be told.
    pub fn combine(mut shares: Vec<Share>) -> Result<Self, CeremonyError> {
        shares.sort_by_key(Share::number);
        let terms = agreed(&shares)?;
        let threshold = usize::from(terms.quorum.threshold);
        let Some(enough) = shares.get(..threshold) else {
            let given = u8::try_from(shares.len()).unwrap_or(u8::MAX);
            return Err(CeremonyError::TooFew { given, needed: terms.quorum.threshold });
        };
        let key = value_at(enough.iter(), 0);
        if !terms.confirm(&key) {
            return Err(accuse(&terms, &shares));
        }
        let changed = unfit(enough, &shares);
        if !changed.is_empty() {
            return Err(CeremonyError::Changed { changed });
        }
        check_value::of(&key, KcvMethod::EcbZeroBlock)
            .and_then(|kcv| if kcv == terms.kcv { Ok(Self { terms, key }) } else { Err(CeremonyError::WrongKey) })
    }

    /// The key check value by any method, to compare with what an HSM says of the key.
    ///
    /// # Errors
    /// The cryptographic library failed.
    pub fn kcv(&self, method: KcvMethod) -> Result<Kcv, CeremonyError> {
        check_value::of(&self.key, method)
    }

    /// The key, for [`hal::RootKeys::import_root`] and nothing else.
    #[must_use]
    pub fn material(&self) -> SecretBytes {
        SecretBytes::new(Zeroizing::new(self.key.to_vec()))
    }
}

/// What all shares say, if they say the same and each is there once.
fn agreed(shares: &[Share]) -> Result<Terms, CeremonyError> {
    let Some((first, others)) = shares.split_first() else { return Err(CeremonyError::NoShares) };
    let (terms, number) = (first.terms(), first.number());
    for share in others {
        let (other, second) = (share.terms(), share.number());
        if other.ceremony != terms.ceremony {
            let (ceremony, other) = (terms.ceremony, other.ceremony);
            return Err(CeremonyError::Mixed { first: number, ceremony, second, other });
        }
        if other.quorum != terms.quorum {
            let (quorum, other) = (terms.quorum, other.quorum);
            return Err(CeremonyError::Threshold { first: number, quorum, second, other });
        }
        if other != terms {
            return Err(CeremonyError::Terms { first: number, second });
        }
    }
    let twice = shares.iter().zip(others).find(|(share, next)| share.number() == next.number());
    match twice {
        Some((share, _)) => Err(CeremonyError::Duplicate { number: share.number() }),
        None => Ok(terms.clone()),
    }
}

/// The values at `x` of the polynomials that run through `shares`.
fn value_at<'a>(shares: impl Iterator<Item = &'a Share> + Clone, x: u8) -> Zeroizing<[u8; LEN]> {
    let xs: Vec<u8> = shares.clone().map(Share::number).collect();
    let weights = field::weights(&xs, x);
    let mut out = Zeroizing::new([0; LEN]);
    for (place, byte) in out.iter_mut().enumerate() {
        *byte = field::weighted_sum(shares.clone().map(|share| byte_at(share.value(), place)), &weights);
    }
    out
}

/// The numbers of those among `shares` that are not on the polynomials through `right`.
fn unfit<'a>(right: impl IntoIterator<Item = &'a Share, IntoIter: Clone>, shares: &[Share]) -> Vec<u8> {
    let right = right.into_iter();
    let fits = |share: &&Share| {
        let expected = value_at(right.clone(), share.number());
        verify_slices_are_equal(&*expected, share.value()).is_ok()
    };
    shares.iter().filter(|share| !fits(share)).map(Share::number).collect()
}

/// Who changed a share, if there are enough others to tell: looks for a choice of shares that gives the right key.
fn accuse(terms: &Terms, shares: &[Share]) -> CeremonyError {
    // At most 2^16 choices, because there are at most 16 shares.
    for choice in 0..1_u32 << shares.len().min(MAX_SHARES.into()) {
        if choice.count_ones() != u32::from(terms.quorum.threshold) {
            continue;
        }
        let chosen = shares.iter().enumerate().filter(|(place, _)| choice >> place & 1 == 1).map(|(_, share)| share);
        if terms.confirm(&value_at(chosen.clone(), 0)) {
            return CeremonyError::Changed { changed: unfit(chosen, shares) };
        }
    }
    CeremonyError::WrongKey
}

/// A byte of a key or share; there is one at every place that is asked for.
fn byte_at(bytes: &[u8; LEN], place: usize) -> u8 {
    bytes.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
