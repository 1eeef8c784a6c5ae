//! What can go wrong below the HAL, sorted by what the caller or an operator must do. PKCS#11 codes go to the log, never here.

use crate::{RootKeyVersion, SignerId};

/// Every error of the HAL. A variant exists because some caller acts on it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HalError {
    /// The backend cannot serve now; the same call may succeed later. Nothing was changed, or a key was made that nobody
    /// knows of. Only where the very call that destroys a key was not answered may the key be gone: ask for it again.
    #[error("the HSM is unavailable: {0}")]
    Unavailable(Outage),
    /// The blob was not made by this root key, or was changed since. It will never open; the backend is well.
    #[error("the wrapped key is damaged or was made under another root key")]
    Tampered,
    /// The backend holds no such root key: wrong token, wrong slot, or the key was destroyed.
    #[error("root key {0} is not on this HSM; check that the right token is attached")]
    UnknownRootKey(RootKeyVersion),
    /// The backend holds no such signing key.
    #[error("signing key {0} is not on this HSM; check that the right token is attached")]
    UnknownSigner(SignerId),
    /// It will fail again until an operator acts.
    #[error("the HSM refused: {0}")]
    Refused(Refusal),
}

/// Why a backend is unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Outage {
    /// The PKCS#11 module could not be loaded or initialised.
    #[error("the PKCS#11 module cannot be loaded; check the module path and the vendor's client software")]
    ModuleMissing,
    /// No token with the configured label (and serial) is present.
    #[error("no token with the configured label and serial is present; check that it is attached and initialised")]
    TokenAbsent,
    /// The token answered with a failure of its own, or went away while in use.
    #[error("the token does not answer as it should; check the device and its network link")]
    DeviceFailed,
    /// The token has no session left for this process.
    #[error("the token has no session left; other applications use them all: raise its limit or lower `workers`")]
    SessionsExhausted,
    /// All queue places are taken.
    #[error("more calls are waiting for the HSM than its queue holds; raise `workers` or `queue`, or lower the load")]
    Overloaded,
    /// An operation that changes all of several tokens needs all of them.
    #[error(
        "{away} of {tokens} tokens are not ready, and this changes all of them; bring them back first (see the log)"
    )]
    TokensMissing {
        /// How many.
        away: usize,
        /// Of how many.
        tokens: usize,
    },
    /// The answer did not come within the deadline.
    #[error("the HSM did not answer within the deadline")]
    DeadlinePassed,
}

/// Why a backend refuses until an operator acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The token rejected the PIN. It is not tried again: real tokens lock after a few wrong PINs.
    #[error(
        "the PIN is wrong; correct the PIN file, which is then read again (this PIN is never tried again, so that the token \
         does not lock)"
    )]
    PinIncorrect,
    /// The token locked the PIN.
    #[error("the PIN is locked; unlock it with the security officer's PIN, which is noticed without a restart")]
    PinLocked,
    /// The token wants its PIN set or changed first.
    #[error(
        "the token's user PIN is not initialised or has expired; set it with the vendor's tool and correct the PIN file"
    )]
    PinNotSet,
    /// More than one token has the configured label.
    #[error("more than one token has the configured label; configure the serial as well")]
    TokenAmbiguous,
    /// The token of the configured label is another one than was logged in to before.
    #[error(
        "another token with the configured label has taken the place of the one in use (their serial numbers differ); attach \
         the right token, or restart if the change is meant"
    )]
    TokenReplaced,
    /// More than one key has one id and label.
    #[error("more than one key on the token has the same id and label; remove the duplicate with the vendor's tool")]
    KeyAmbiguous,
    /// A root key or signing key of this label exists.
    #[error("a key with this label exists already; choose another label")]
    LabelTaken,
    /// The root key is readable or may leave the token.
    #[error("the root key is not SENSITIVE or is EXTRACTABLE; make a new one on a token that enforces both")]
    KeyNotProtected,
    /// Another key than the recorded one has this root key's id.
    #[error(
        "the token holds another key under this root key's id than the one on record (their check values differ); attach the \
         right token"
    )]
    KeyReplaced,
    /// A key made inside one token is on no other.
    #[error(
        "a root key of several tokens cannot be made inside one of them; make it in a ceremony (`keystead root-key ceremony`) \
         and import its shares, which puts it on all tokens"
    )]
    SeveralTokens,
    /// Several tokens hold different keys under one id, and it is not on record which is right.
    #[error(
        "the tokens hold different keys under this root key's id, and none is on record; take the wrong token out of the \
         configuration"
    )]
    TokensDisagree,
    /// The token lets a protected root key be wrapped by itself or copied to an extractable one.
    #[error("the token does not enforce that a root key stays inside; use another token")]
    TokenNotEnforcing,
    /// No wrap scheme, or not the pinned one, passed the self-test.
    #[error(
        "no wrap scheme (or not the pinned one) passed the self-test on this token; see the log, and `keystead hsm probe`"
    )]
    NoWorkingScheme,
    /// The blob names a scheme, a root key version or an IV form that this backend does not open.
    #[error("the wrapped key uses a scheme that this backend does not open; attach the token that made it")]
    SchemeNotSupported,
    /// The blob's format version is unknown.
    #[error("the wrapped key was written by a newer version of this software; upgrade it")]
    UnknownBlobFormat,
    /// This version of the root key has made as many AES-GCM seals as are safe under one key.
    #[error("this version of the root key has made as many seals as are safe; rotate it (`keystead root-key rotate`)")]
    SealsExhausted,
    /// A root key must be 32 bytes.
    #[error("a root key must be an AES-256 key of 32 bytes")]
    KeyLength,
    /// The signing key is of another kind.
    #[error("the signing key is of another kind than the signature asked for")]
    WrongSignerKind,
    /// The consent names another root key.
    #[error("the consent to destroy names another root key")]
    ConsentMismatch,
    /// The token's policy forbids the operation.
    #[error("the token does not permit this operation; check the partition's policy and the user's rights")]
    NotPermitted,
    /// The root-key file's passphrase is wrong.
    #[error("the passphrase does not open the root-key file")]
    WrongPassphrase,
    /// The root-key file is damaged.
    #[error("the root-key file is damaged; restore it from a backup")]
    FileCorrupt,
    /// The root-key file was replaced by one that was made anew.
    #[error(
        "another root-key file has taken the place of the one in use; put the right one back, or restart if the change is meant"
    )]
    FileReplaced,
    /// The root-key file cannot be read or written.
    #[error("the root-key file cannot be read or written: {0}")]
    File(std::io::ErrorKind),
    /// The root-key file may be read by others than its owner.
    #[error("the root-key file may be read by other users; set its mode to 0600")]
    FileMode,
    /// The configuration is out of range (no workers, no queue).
    #[error("the HSM configuration is out of range; `workers` and `queue` must be at least 1")]
    Configuration,
}
