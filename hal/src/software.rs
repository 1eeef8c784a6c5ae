//! Software backend: root keys live in this process and, sealed under a passphrase, in one file. **Not an HSM**: whoever reads
//! the process's memory, or the file and its passphrase, has every key. For evaluation, tests and benchmarks.
//!
//! Several processes may use one file: a change by one is seen by the others, see `software/shared.rs`. It never holds a lock
//! while it wraps or signs; changes of keys are made one after the other.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use ring::rand::{SecureRandom as _, SystemRandom};
use uuid::Uuid;
use zeroize::Zeroizing;

use self::{
    file::SealedFile,
    keys::{Keys, Root},
    shared::{Shared, Watch},
    signers::Signer,
};
use crate::{
    Capabilities, DestroyConsent, HalError, Health, Kcv, Kek, KeyWrapper, Label, Outage, Refusal, RootKeyId,
    RootKeyInfo, RootKeyVersion, RootKeys, SecretBytes, SelfCheck, SelfTestReport, SignScheme, SignerId, SignerInfo,
    SignerKind, TokenSelfTest, TokenState, WrapScheme, WrappedKek,
};

mod disk;
mod file;
mod keys;
mod shared;
mod signers;

/// Root keys and signing keys in a sealed file. See the module's warning.
pub struct SoftwareHal {
    shared: Arc<Shared>,
    capabilities: Capabilities,
    rng: SystemRandom,
    _watch: Watch,
}

impl SoftwareHal {
    /// Makes a new, empty root-key file with mode 0600. `passphrase` should have at least 128 bits of entropy.
    ///
    /// # Errors
    /// [`Refusal::File`]; its kind is `AlreadyExists` where the file exists, which is then left alone.
    pub fn create(path: &Path, passphrase: &SecretBytes) -> Result<Self, HalError> {
        let file = SealedFile::create(path, passphrase)?;
        Self::assemble(path, file, Keys::default())
    }

    /// Opens an existing root-key file.
    ///
    /// # Errors
    /// [`Refusal::WrongPassphrase`], [`Refusal::FileCorrupt`], [`Refusal::FileMode`] where others may read it, and
    /// [`Refusal::File`] (kind `NotFound` where there is none: nothing is made).
    pub fn open(path: &Path, passphrase: &SecretBytes) -> Result<Self, HalError> {
        let (file, entries) = SealedFile::open(path, passphrase)?;
        Self::assemble(path, file, Keys::of(entries)?)
    }

    /// The root-key file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.shared.path().to_owned()
    }

    fn assemble(path: &Path, file: SealedFile, keys: Keys) -> Result<Self, HalError> {
        tracing::warn!(
            path = %path.display(),
            "SOFTWARE ROOT KEYS: this is not an HSM. Root keys are in this process's memory and in a file; use it for \
             evaluation and tests only, never for keys that matter"
        );
        let capabilities = Capabilities {
            backend: "software",
            is_hsm: false,
            token: None,
            schemes: vec![WrapScheme::AesKw],
            scheme: Some(WrapScheme::AesKw),
            sessions: 0,
        };
        let shared = Arc::new(Shared::new(path, file, keys));
        let watch = Watch::start(&shared)?;
        Ok(Self { shared, capabilities, rng: SystemRandom::new(), _watch: watch })
    }

    /// Adds a key, and answers only when it is in the file, so that no KEK is wrapped under a key that a crash forgets. A key
    /// that is there already, the same as far as its check value tells, stays.
    fn add_root(&self, key: RootKeyVersion, root: Root, replace: Replace) -> Result<RootKeyInfo, HalError> {
        let on_record = self.shared.expected(key);
        self.shared.change(|keys| {
            if let Some(present) = keys.roots.get(&key) {
                return match replace {
                    Replace::Keep => Ok(present.info(key, on_record)),
                    Replace::OnlySame
                        if verify_slices_are_equal(present.key.as_slice(), root.key.as_slice()).is_ok() =>
                    {
                        Ok(present.info(key, on_record))
                    }
                    Replace::OnlySame => Err(HalError::Refused(Refusal::KeyReplaced)),
                };
            }
            if keys.roots.iter().any(|(other, held)| other.root != key.root && held.label == root.label) {
                return Err(HalError::Refused(Refusal::LabelTaken));
            }
            let info = root.info(key, on_record);
            keys.roots.insert(key, Arc::new(root));
            Ok(info)
        })
    }

    fn new_root(&self, label: &Label) -> Result<Root, HalError> {
        let mut key = Zeroizing::new([0; 32]);
        self.random(key.as_mut_slice())?;
        Root::new(label, true, key)
    }
}

/// What becomes of a key that is there already.
#[derive(Clone, Copy)]
enum Replace {
    /// It is what was asked for.
    Keep,
    /// It is, if it is the same key.
    OnlySame,
}

impl KeyWrapper for SoftwareHal {
    fn wrap_kek(&self, under: RootKeyVersion, kek: &Kek) -> Result<WrappedKek, HalError> {
        self.shared.root(under)?.wrap(under, kek)
    }

    fn unwrap_kek(&self, wrapped: &WrappedKek) -> Result<Kek, HalError> {
        if !wrapped.is_well_formed() {
            return Err(HalError::Tampered);
        }
        let key = self.shared.root(wrapped.key())?;
        if wrapped.scheme != WrapScheme::AesKw {
            return Err(HalError::Refused(Refusal::SchemeNotSupported));
        }
        key.unwrap(wrapped)
    }

    fn sign(&self, signer: SignerId, message: &[u8], scheme: SignScheme) -> Result<Vec<u8>, HalError> {
        self.shared.signer(signer)?.sign(message, scheme, &self.rng)
    }

    fn random(&self, out: &mut [u8]) -> Result<(), HalError> {
        self.rng.fill(out).map_err(|_| HalError::Unavailable(Outage::DeviceFailed))
    }

    fn health(&self) -> Health {
        Health::Ready
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn token_states(&self) -> Vec<TokenState> {
        let scheme = self.capabilities.scheme;
        let label = self.capabilities.backend.to_owned();
        vec![TokenState {
            label,
            serial: None,
            health: self.health(),
            scheme,
            workers: 0,
            stuck: 0,
            busy: 0,
            waiting: 0,
            refuses: false,
            seals: Vec::new(),
        }]
    }
}

impl RootKeys for SoftwareHal {
    fn generate_root(&self, label: &Label) -> Result<RootKeyInfo, HalError> {
        self.generate_version(RootKeyVersion::first(RootKeyId::from_uuid(Uuid::new_v4())), label)
    }

    fn generate_version(&self, key: RootKeyVersion, label: &Label) -> Result<RootKeyInfo, HalError> {
        self.add_root(key, self.new_root(label)?, Replace::Keep)
    }

    fn import_root(&self, key: RootKeyVersion, label: &Label, material: SecretBytes) -> Result<RootKeyInfo, HalError> {
        let bytes = material.expose_secret().try_into().map_err(|_| HalError::Refused(Refusal::KeyLength))?;
        self.add_root(key, Root::new(label, false, Zeroizing::new(bytes))?, Replace::OnlySame)
    }

    fn describe_root(&self, key: RootKeyVersion) -> Result<RootKeyInfo, HalError> {
        self.shared.look()?;
        Ok(self.shared.root(key)?.info(key, self.shared.expected(key)))
    }

    fn list_roots(&self) -> Result<Vec<RootKeyInfo>, HalError> {
        let keys = self.shared.keys()?;
        let info = |(key, root): (&RootKeyVersion, &Arc<Root>)| root.info(*key, self.shared.expected(*key));
        let mut infos: Vec<_> = keys.roots.iter().map(info).collect();
        infos.sort_by(|a, b| (&a.label, a.key()).cmp(&(&b.label, b.key())));
        Ok(infos)
    }

    fn expect_root(&self, key: RootKeyVersion, kcv: Kcv) {
        self.shared.expect(key, kcv);
    }

    fn self_test(&self, key: RootKeyVersion) -> Result<SelfTestReport, HalError> {
        let root = self.shared.keys()?.roots.get(&key).cloned().ok_or(HalError::UnknownRootKey(key))?;
        let expected = self.shared.expected(key);
        let mut kek = Zeroizing::new([0; Kek::LEN]);
        self.random(kek.as_mut_slice())?;
        let kek = Kek::new(kek);
        let wrapped = root.wrap(key, &kek)?;
        let mut tampered = wrapped.clone();
        tampered.ciphertext.iter_mut().take(1).for_each(|byte| *byte ^= 1);
        let opens = root.unwrap(&wrapped).is_ok_and(|opened| opened.is_same(&kek)) && root.unwrap(&tampered).is_err();
        let checks = vec![
            SelfCheck::new("held-by-a-token", false, "a software root key is in this process's memory and in a file"),
            SelfCheck::new("wraps-and-unwraps-by-aes-kw", opens, "a random key and a tampered blob were tried"),
            SelfCheck::of_check_value(root.kcv(expected), expected),
        ];
        Ok(SelfTestReport { key, tokens: vec![TokenSelfTest { token: None, checks }] })
    }

    /// Nothing: it wraps by AES-KW, which has no IV to recur.
    fn expect_seals(&self, _key: RootKeyVersion, _made: u64) {}

    fn rewrap_keks(&self, wrapped: &[WrappedKek], under: RootKeyVersion) -> Vec<Result<WrappedKek, HalError>> {
        let rewrap = |old: &WrappedKek| {
            let kek = self.unwrap_kek(old)?;
            let new = self.wrap_kek(under, &kek)?;
            // AES key wrap checks itself, so this catches a fault of the machine and nothing else.
            if self.unwrap_kek(&new)?.is_same(&kek) { Ok(new) } else { Err(HalError::Tampered) }
        };
        wrapped.iter().map(rewrap).collect()
    }

    fn destroy_root(&self, key: RootKeyVersion, consent: DestroyConsent) -> Result<(), HalError> {
        if consent.key() != key {
            return Err(HalError::Refused(Refusal::ConsentMismatch));
        }
        // The consent is for the key on record, not for whatever has its id.
        self.shared.look()?;
        self.shared.root(key)?;
        self.shared.change(|keys| keys.roots.remove(&key).map(drop).ok_or(HalError::UnknownRootKey(key)))
    }

    fn generate_signer(&self, label: &Label, kind: SignerKind) -> Result<SignerInfo, HalError> {
        let signer = Arc::new(Signer::generate(label, kind, &self.rng)?);
        let id = SignerId::from_uuid(Uuid::new_v4());
        self.shared.change(|keys| {
            if keys.signers.values().any(|other| other.label == *label) {
                return Err(HalError::Refused(Refusal::LabelTaken));
            }
            let info = signer.info(id);
            keys.signers.insert(id, signer);
            Ok(info)
        })
    }

    fn find_signer(&self, label: &Label) -> Result<Option<SignerInfo>, HalError> {
        let keys = self.shared.keys()?;
        let found = keys.signers.iter().find(|(_, signer)| signer.label == *label);
        Ok(found.map(|(id, signer)| signer.info(*id)))
    }

    fn describe_signer(&self, signer: SignerId) -> Result<SignerInfo, HalError> {
        self.shared.look()?;
        Ok(self.shared.signer(signer)?.info(signer))
    }
}

impl fmt::Debug for SoftwareHal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareHal").field("path", &self.shared.path()).finish_non_exhaustive()
    }
}
