//! Hardware abstraction: wraps and unwraps 32-byte KEKs under root keys that stay in an HSM, and signs with keys kept there.
//!
//! Owns the two traits of this file, their types and two backends: [`pkcs11`] (a token, or several as a [`tokens`] set) and
//! [`software`] (a sealed file; not an HSM). It never names KMIP, a store or a tenant, and no session, object handle or mechanism leaves it. Everything is
//! synchronous: a call returns within the backend's deadline, so callers run it off the async threads.

mod der;
mod error;
mod info;
pub mod pkcs11;
mod report;
mod secret;
mod signer;
pub mod software;
pub mod tokens;
mod wrapped;

pub use error::{HalError, Outage, Refusal};
pub use info::{
    Capabilities, Degradation, DestroyConsent, Health, InvalidLabel, Kcv, KcvMethod, Label, RootKeyAttributes,
    RootKeyId, RootKeyInfo, RootKeyVersion, SignerId, TokenInfo,
};
pub use report::{SelfCheck, SelfTestReport, TokenSelfTest, TokenState};
pub use secret::{Kek, SecretBytes};
pub use signer::{SignScheme, SignerInfo, SignerKind};
pub use wrapped::{WrapScheme, WrappedKek};

/// What request handling may do.
pub trait KeyWrapper: Send + Sync {
    /// Wraps `kek` under that version of a root key. Which version new KEKs get is recorded by the caller, once for all nodes
    /// and tokens, and is not a matter of what a token happens to hold. Two calls with one KEK may give different blobs.
    ///
    /// # Errors
    /// [`HalError::UnknownRootKey`] where the backend holds no such root key, [`HalError::Unavailable`] and
    /// [`HalError::Refused`] as described there.
    fn wrap_kek(&self, under: RootKeyVersion, kek: &Kek) -> Result<WrappedKek, HalError>;

    /// Opens what [`wrap_kek`](Self::wrap_kek) made, under the root key, version and scheme that the blob names.
    ///
    /// # Errors
    /// [`HalError::Tampered`] where the blob is not what this root key wrapped; otherwise as `wrap_kek`.
    fn unwrap_kek(&self, wrapped: &WrappedKek) -> Result<Kek, HalError>;

    /// Signs `message` (not its digest). ECDSA signatures are DER (RFC 3279 section 2.2.3) with minimal integers; RSA
    /// signatures are as long as the modulus.
    ///
    /// # Errors
    /// [`HalError::UnknownSigner`] where the backend holds no such key, [`HalError::Refused`] where `scheme` does not
    /// [fit](SignScheme::fits) the key.
    fn sign(&self, signer: SignerId, message: &[u8], scheme: SignScheme) -> Result<Vec<u8>, HalError>;

    /// Fills `out` from the backend's random number generator.
    ///
    /// # Errors
    /// [`HalError::Unavailable`]; `out` is then not to be used.
    fn random(&self, out: &mut [u8]) -> Result<(), HalError>;

    /// Whether the backend serves now. Cheap enough for a probe every second.
    fn health(&self) -> Health;

    /// What the backend is and proved it can do. Data, read once at the first connection.
    fn capabilities(&self) -> &Capabilities;

    /// Each token behind the backend as it is now, for operators and metrics. As cheap as [`health`](Self::health).
    fn token_states(&self) -> Vec<TokenState>;
}

/// What only administration may do; everyone else is handed `&dyn KeyWrapper`.
pub trait RootKeys: KeyWrapper {
    /// Makes a new root key, version 1, inside the backend.
    ///
    /// # Errors
    /// [`HalError::Refused`] where the label is taken, where the new key fails its self-test (it is destroyed again), or where
    /// there are several tokens ([`Refusal::SeveralTokens`]).
    fn generate_root(&self, label: &Label) -> Result<RootKeyInfo, HalError>;

    /// Makes a version of a root key inside the backend, or finds the one that an interrupted call made: afterwards there is
    /// exactly one. All versions have one label.
    ///
    /// # Errors
    /// [`HalError::Refused`] where another root key has the label, where the new key fails its self-test, or where there are
    /// several tokens ([`Refusal::SeveralTokens`]).
    fn generate_version(&self, key: RootKeyVersion, label: &Label) -> Result<RootKeyInfo, HalError>;

    /// Takes in an AES-256 key made elsewhere as this version of this root key, or finds that it holds it already. The material
    /// is consumed and wiped, whatever comes of it.
    ///
    /// # Errors
    /// [`HalError::Refused`] where the material is not 32 bytes long ([`Refusal::KeyLength`]), where the backend holds another
    /// key as this version ([`Refusal::KeyReplaced`]), or where another root key has the label.
    fn import_root(&self, key: RootKeyVersion, label: &Label, material: SecretBytes) -> Result<RootKeyInfo, HalError>;

    /// Reads a root key's attributes back, computes its key check value and says which token holds it.
    ///
    /// # Errors
    /// [`HalError::UnknownRootKey`], and [`HalError::Refused`] where the key fails its self-test.
    fn describe_root(&self, key: RootKeyVersion) -> Result<RootKeyInfo, HalError>;

    /// Every version of every root key the backend holds, ordered by label, id and version. Keys of other applications on the
    /// token are left out.
    ///
    /// # Errors
    /// [`HalError::Unavailable`] and [`HalError::Refused`]; an empty list is no error.
    fn list_roots(&self) -> Result<Vec<RootKeyInfo>, HalError>;

    /// From now on `key` is only used where its check value is `kcv`: another key under the same id is refused with
    /// [`Refusal::KeyReplaced`]. A backend that does not compute values of its method cannot tell, and uses the key.
    fn expect_root(&self, key: RootKeyVersion, kcv: Kcv);

    /// Tries everything on a root key again and reports check by check; a key that fails is reported, not refused.
    ///
    /// # Errors
    /// [`HalError::UnknownRootKey`] and [`HalError::Unavailable`].
    fn self_test(&self, key: RootKeyVersion) -> Result<SelfTestReport, HalError>;

    /// From now on `key` counts as having made at least `made` AES-GCM seals: with what is counted from then on, a warning is
    /// logged at 2^31 and [`Refusal::SealsExhausted`] answered at 2^32. Other schemes have no such limit.
    fn expect_seals(&self, key: RootKeyVersion, made: u64);

    /// Opens each blob and wraps what was in it under another version, without the KEK leaving the backend's worker; the new
    /// blob is opened and compared before it is returned. For the rotation of a root key. The answers are in the order of the
    /// blobs; one that fails does not stop the others.
    fn rewrap_keks(&self, wrapped: &[WrappedKek], under: RootKeyVersion) -> Vec<Result<WrappedKek, HalError>>;

    /// Destroys one version of a root key, and with it every KEK it ever wrapped. There is no way back.
    ///
    /// # Errors
    /// [`HalError::Refused`] where the consent names another key.
    fn destroy_root(&self, key: RootKeyVersion, consent: DestroyConsent) -> Result<(), HalError>;

    /// Makes a signing key pair inside the backend; of several tokens, inside the first that is ready.
    ///
    /// # Errors
    /// [`HalError::Refused`] where the label is taken or the token cannot make such a key.
    fn generate_signer(&self, label: &Label, kind: SignerKind) -> Result<SignerInfo, HalError>;

    /// The signing key of a label, if there is one. Ask before [`generate_signer`](Self::generate_signer): an interrupted call
    /// may have made it.
    ///
    /// # Errors
    /// [`HalError::Unavailable`] and [`HalError::Refused`].
    fn find_signer(&self, label: &Label) -> Result<Option<SignerInfo>, HalError>;

    /// A signing key's kind, label and public key.
    ///
    /// # Errors
    /// [`HalError::UnknownSigner`].
    fn describe_signer(&self, signer: SignerId) -> Result<SignerInfo, HalError>;
}
