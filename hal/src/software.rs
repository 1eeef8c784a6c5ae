//! Software backend: root keys live in this process and, sealed under a passphrase, in one file. **Not an HSM**: whoever reads
//! the process's memory, or the file and its passphrase, has every key. For evaluation, tests and benchmarks.
//!
//! Owns the AES key wrap (RFC 3394) of KEKs. It never holds a lock while it wraps or signs; changes of keys are made one after the other.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::{
    cipher::{AES_256 as AES_256_BLOCK, EncryptingKey, UnboundCipherKey},
    constant_time::verify_slices_are_equal,
    key_wrap::{AES_256, AesKek, KeyWrap as _},
};
use parking_lot::RwLock;
use ring::rand::{SecureRandom as _, SystemRandom};
use uuid::Uuid;
use zeroize::Zeroizing;

use self::{
    file::{Entry, EntryKind, SealedFile},
    signers::Signer,
};
use crate::{
    Capabilities, DestroyConsent, HalError, Health, Kcv, KcvMethod, Kek, KeyWrapper, Label, Outage, Refusal,
    RootKeyAttributes, RootKeyId, RootKeyInfo, RootKeyVersion, RootKeys, SecretBytes, SelfCheck, SelfTestReport,
    SignScheme, SignerId, SignerInfo, SignerKind, TokenSelfTest, TokenState, WrapScheme, WrappedKek,
};

mod file;
mod signers;

/// Root keys and signing keys in a sealed file. See the module's warning.
pub struct SoftwareHal {
    keys: RwLock<Keys>,
    file: SealedFile,
    capabilities: Capabilities,
    rng: SystemRandom,
}

#[derive(Default)]
struct Keys {
    roots: HashMap<RootKeyVersion, Arc<Root>>,
    expected: HashMap<RootKeyVersion, Kcv>,
    signers: HashMap<SignerId, Arc<Signer>>,
}

struct Root {
    label: Label,
    local: bool,
    kcv: Kcv,
    key: Zeroizing<[u8; 32]>,
}

impl SoftwareHal {
    /// Makes a new, empty root-key file with mode 0600. `passphrase` should have at least 128 bits of entropy.
    ///
    /// # Errors
    /// [`Refusal::File`]; its kind is `AlreadyExists` where the file exists, which is then left alone.
    pub fn create(path: &Path, passphrase: &SecretBytes) -> Result<Self, HalError> {
        let file = SealedFile::create(path, passphrase)?;
        Ok(Self::assemble(file, Keys::default()))
    }

    /// Opens an existing root-key file.
    ///
    /// # Errors
    /// [`Refusal::WrongPassphrase`], [`Refusal::FileCorrupt`], [`Refusal::FileMode`] where others may read it, and
    /// [`Refusal::File`] (kind `NotFound` where there is none: nothing is made).
    pub fn open(path: &Path, passphrase: &SecretBytes) -> Result<Self, HalError> {
        let (file, entries) = SealedFile::open(path, passphrase)?;
        let mut keys = Keys::default();
        for entry in entries {
            keys.admit(entry)?;
        }
        Ok(Self::assemble(file, keys))
    }

    /// The root-key file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.file.path().to_owned()
    }

    fn assemble(file: SealedFile, keys: Keys) -> Self {
        tracing::warn!(
            path = %file.path().display(),
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
        Self { keys: RwLock::new(keys), file, capabilities, rng: SystemRandom::new() }
    }

    fn root(&self, key: RootKeyVersion) -> Result<Arc<Root>, HalError> {
        let keys = self.keys.read();
        let root = keys.roots.get(&key).cloned().ok_or(HalError::UnknownRootKey(key))?;
        match keys.expected.get(&key) {
            Some(expected) if !expected.admits(root.kcv) => Err(HalError::Refused(Refusal::KeyReplaced)),
            _ => Ok(root),
        }
    }

    fn signer(&self, id: SignerId) -> Result<Arc<Signer>, HalError> {
        self.keys.read().signers.get(&id).cloned().ok_or(HalError::UnknownSigner(id))
    }

    /// Adds a key, and answers only when it is in the file, so that no KEK is wrapped under a key that a crash forgets. A key
    /// that is there already, the same as far as its check value tells, stays.
    fn add_root(&self, key: RootKeyVersion, root: Root, replace: Replace) -> Result<RootKeyInfo, HalError> {
        let mut keys = self.keys.write();
        if let Some(present) = keys.roots.get(&key) {
            return match replace {
                Replace::Keep => Ok(present.info(key)),
                Replace::OnlySame if verify_slices_are_equal(present.key.as_slice(), root.key.as_slice()).is_ok() => {
                    Ok(present.info(key))
                }
                Replace::OnlySame => Err(HalError::Refused(Refusal::KeyReplaced)),
            };
        }
        if keys.roots.iter().any(|(other, held)| other.root != key.root && held.label == root.label) {
            return Err(HalError::Refused(Refusal::LabelTaken));
        }
        let info = root.info(key);
        keys.roots.insert(key, Arc::new(root));
        if let Err(error) = self.file.save(&keys.entries()) {
            keys.roots.remove(&key);
            return Err(error);
        }
        Ok(info)
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
        self.root(under)?.wrap(under, kek)
    }

    fn unwrap_kek(&self, wrapped: &WrappedKek) -> Result<Kek, HalError> {
        if !wrapped.is_well_formed() {
            return Err(HalError::Tampered);
        }
        let key = self.root(wrapped.key())?;
        if wrapped.scheme != WrapScheme::AesKw {
            return Err(HalError::Refused(Refusal::SchemeNotSupported));
        }
        key.unwrap(wrapped)
    }

    fn sign(&self, signer: SignerId, message: &[u8], scheme: SignScheme) -> Result<Vec<u8>, HalError> {
        self.signer(signer)?.sign(message, scheme, &self.rng)
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
        vec![TokenState { label, serial: None, health: self.health(), scheme, workers: 0, stuck: 0, seals: Vec::new() }]
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
        Ok(self.root(key)?.info(key))
    }

    fn list_roots(&self) -> Result<Vec<RootKeyInfo>, HalError> {
        let mut infos: Vec<_> = self.keys.read().roots.iter().map(|(key, root)| root.info(*key)).collect();
        infos.sort_by(|a, b| (&a.label, a.key()).cmp(&(&b.label, b.key())));
        Ok(infos)
    }

    fn expect_root(&self, key: RootKeyVersion, kcv: Kcv) {
        self.keys.write().expected.insert(key, kcv);
    }

    fn self_test(&self, key: RootKeyVersion) -> Result<SelfTestReport, HalError> {
        let (root, expected) = {
            let keys = self.keys.read();
            let root = keys.roots.get(&key).cloned().ok_or(HalError::UnknownRootKey(key))?;
            (root, keys.expected.get(&key).copied())
        };
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
            SelfCheck::of_check_value(root.kcv, expected),
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
        self.root(key)?;
        let mut keys = self.keys.write();
        let Some(destroyed) = keys.roots.remove(&key) else { return Err(HalError::UnknownRootKey(key)) };
        if let Err(error) = self.file.save(&keys.entries()) {
            keys.roots.insert(key, destroyed);
            return Err(error);
        }
        Ok(())
    }

    fn generate_signer(&self, label: &Label, kind: SignerKind) -> Result<SignerInfo, HalError> {
        let signer = Arc::new(Signer::generate(label, kind, &self.rng)?);
        let id = SignerId::from_uuid(Uuid::new_v4());
        let mut keys = self.keys.write();
        if keys.signers.values().any(|other| other.label == *label) {
            return Err(HalError::Refused(Refusal::LabelTaken));
        }
        keys.signers.insert(id, Arc::clone(&signer));
        if let Err(error) = self.file.save(&keys.entries()) {
            keys.signers.remove(&id);
            return Err(error);
        }
        Ok(signer.info(id))
    }

    fn find_signer(&self, label: &Label) -> Result<Option<SignerInfo>, HalError> {
        let keys = self.keys.read();
        let found = keys.signers.iter().find(|(_, signer)| signer.label == *label);
        Ok(found.map(|(id, signer)| signer.info(*id)))
    }

    fn describe_signer(&self, signer: SignerId) -> Result<SignerInfo, HalError> {
        Ok(self.signer(signer)?.info(signer))
    }
}

impl Keys {
    fn admit(&mut self, entry: Entry) -> Result<(), HalError> {
        let corrupt = HalError::Refused(Refusal::FileCorrupt);
        match entry.kind {
            EntryKind::RootGenerated | EntryKind::RootImported => {
                let key = entry.key.as_slice().try_into().map_err(|_| corrupt)?;
                let local = entry.kind == EntryKind::RootGenerated;
                let root = Root::new(&entry.label, local, Zeroizing::new(key))?;
                let key = RootKeyVersion { root: RootKeyId::from_uuid(entry.id), version: entry.version };
                self.roots.insert(key, Arc::new(root));
            }
            EntryKind::Signer(kind) => {
                let signer = Signer::open(entry.label, kind, entry.key)?;
                self.signers.insert(SignerId::from_uuid(entry.id), Arc::new(signer));
            }
        }
        Ok(())
    }

    fn entries(&self) -> Vec<Entry> {
        let roots = self.roots.iter().map(|(key, root)| Entry {
            kind: if root.local { EntryKind::RootGenerated } else { EntryKind::RootImported },
            id: *key.root.as_uuid(),
            version: key.version,
            label: root.label.clone(),
            key: Zeroizing::new(root.key.to_vec()),
        });
        let signers = self.signers.iter().map(|(id, signer)| Entry {
            kind: EntryKind::Signer(signer.kind),
            id: *id.as_uuid(),
            version: 1,
            label: signer.label.clone(),
            key: signer.pkcs8.clone(),
        });
        roots.chain(signers).collect()
    }
}

impl Root {
    fn new(label: &Label, local: bool, key: Zeroizing<[u8; 32]>) -> Result<Self, HalError> {
        Ok(Self { label: label.clone(), local, kcv: key_check_value(&key)?, key })
    }

    /// The library takes the key by value for each operation; its key schedule costs about a tenth of a wrap.
    fn kek(&self) -> Result<AesKek, HalError> {
        AesKek::new(&AES_256, self.key.as_slice()).map_err(|_| HalError::Unavailable(Outage::DeviceFailed))
    }

    fn wrap(&self, key: RootKeyVersion, kek: &Kek) -> Result<WrappedKek, HalError> {
        let mut ciphertext = vec![0; WrapScheme::AesKw.ciphertext_len()];
        self.kek()?
            .wrap(kek.expose_secret(), &mut ciphertext)
            .map_err(|_| HalError::Unavailable(Outage::DeviceFailed))?;
        let RootKeyVersion { root, version } = key;
        Ok(WrappedKek { root, version, scheme: WrapScheme::AesKw, iv: Vec::new(), ciphertext })
    }

    /// Opens a well-formed blob of AES key wrap.
    fn unwrap(&self, wrapped: &WrappedKek) -> Result<Kek, HalError> {
        let mut plain = Zeroizing::new([0; Kek::LEN]);
        self.kek()?.unwrap(&wrapped.ciphertext, plain.as_mut_slice()).map_err(|_| HalError::Tampered)?;
        Ok(Kek::new(plain))
    }

    fn info(&self, key: RootKeyVersion) -> RootKeyInfo {
        // A key in memory is neither sensitive nor unextractable, and says so.
        let attributes = RootKeyAttributes {
            sensitive: Some(false),
            extractable: Some(true),
            local: Some(self.local),
            always_sensitive: Some(false),
            never_extractable: Some(false),
        };
        RootKeyInfo {
            id: key.root,
            label: self.label.clone(),
            version: key.version,
            attributes,
            kcv: self.kcv,
            scheme: WrapScheme::AesKw,
            tokens: Vec::new(),
        }
    }
}

impl fmt::Debug for SoftwareHal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareHal").field("path", &self.file.path()).finish_non_exhaustive()
    }
}

/// The first three bytes of AES-ECB of a block of zeros.
fn key_check_value(key: &[u8; 32]) -> Result<Kcv, HalError> {
    let failed = |_| HalError::Unavailable(Outage::DeviceFailed);
    let cipher = EncryptingKey::ecb(UnboundCipherKey::new(&AES_256_BLOCK, key).map_err(failed)?).map_err(failed)?;
    let mut block = [0; 16];
    cipher.encrypt(&mut block).map_err(failed)?;
    let [a, b, c, ..] = block;
    Ok(Kcv { method: KcvMethod::EcbZeroBlock, value: [a, b, c] })
}
