//! Software backend: root keys live in this process and, sealed under a passphrase, in one file. **Not an HSM**: whoever reads
//! the process's memory, or the file and its passphrase, has every key. For evaluation, tests and benchmarks.
//!
//! Owns the AES key wrap (RFC 3394) of KEKs and ECDSA by `ring`. It never holds a lock while it computes.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::{
    cipher::{AES_256 as AES_256_BLOCK, EncryptingKey, UnboundCipherKey},
    key_wrap::{AES_256, AesKek, KeyWrap as _},
};
use parking_lot::RwLock;
use ring::{
    rand::{SecureRandom as _, SystemRandom},
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        KeyPair as _,
    },
};
use uuid::Uuid;
use zeroize::Zeroizing;

use self::file::{Entry, EntryKind, SealedFile};
use crate::{
    Capabilities, DestroyConsent, HalError, Health, Kcv, KcvMethod, Kek, KeyWrapper, Label, Outage, Refusal,
    RootKeyAttributes, RootKeyId, RootKeyInfo, RootKeys, SecretBytes, SignScheme, SignerId, SignerInfo, SignerKind,
    WrapScheme, WrappedKek,
};

mod file;

/// The only version a root key has so far; blobs carry it.
const FIRST_VERSION: u32 = 1;

/// Root keys and signing keys in a sealed file. See the module's warning.
pub struct SoftwareHal {
    keys: RwLock<Keys>,
    file: SealedFile,
    capabilities: Capabilities,
    rng: SystemRandom,
}

#[derive(Default)]
struct Keys {
    roots: HashMap<RootKeyId, Arc<Root>>,
    signers: HashMap<SignerId, Arc<Signer>>,
}

struct Root {
    label: Label,
    local: bool,
    key: Zeroizing<[u8; 32]>,
}

struct Signer {
    label: Label,
    kind: SignerKind,
    pair: EcdsaKeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
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

    fn root(&self, id: RootKeyId) -> Result<Arc<Root>, HalError> {
        self.keys.read().roots.get(&id).cloned().ok_or(HalError::UnknownRootKey(id))
    }

    fn signer(&self, id: SignerId) -> Result<Arc<Signer>, HalError> {
        self.keys.read().signers.get(&id).cloned().ok_or(HalError::UnknownSigner(id))
    }

    /// Adds a key to the file first and to memory second, so that no KEK is wrapped under a key that a crash forgets.
    fn add_root(&self, label: &Label, local: bool, key: Zeroizing<[u8; 32]>) -> Result<RootKeyInfo, HalError> {
        let id = RootKeyId::from_uuid(Uuid::new_v4());
        let root = Arc::new(Root { label: label.clone(), local, key });
        let mut keys = self.keys.write();
        if keys.roots.values().any(|other| other.label == *label) {
            return Err(HalError::Refused(Refusal::LabelTaken));
        }
        keys.roots.insert(id, Arc::clone(&root));
        if let Err(error) = self.file.save(&keys.entries()) {
            keys.roots.remove(&id);
            return Err(error);
        }
        drop(keys);
        root.info(id)
    }
}

impl KeyWrapper for SoftwareHal {
    fn wrap_kek(&self, root: RootKeyId, kek: &Kek) -> Result<WrappedKek, HalError> {
        let key = self.root(root)?;
        let mut ciphertext = vec![0; WrapScheme::AesKw.ciphertext_len()];
        key.kek()?
            .wrap(kek.expose_secret(), &mut ciphertext)
            .map_err(|_| HalError::Unavailable(Outage::DeviceFailed))?;
        Ok(WrappedKek { root, version: FIRST_VERSION, scheme: WrapScheme::AesKw, iv: Vec::new(), ciphertext })
    }

    fn unwrap_kek(&self, wrapped: &WrappedKek) -> Result<Kek, HalError> {
        if !wrapped.is_well_formed() {
            return Err(HalError::Tampered);
        }
        if wrapped.version != FIRST_VERSION {
            return Err(HalError::UnknownRootKey(wrapped.root));
        }
        let key = self.root(wrapped.root)?;
        if wrapped.scheme != WrapScheme::AesKw {
            return Err(HalError::Refused(Refusal::SchemeNotSupported));
        }
        let mut plain = Zeroizing::new([0; Kek::LEN]);
        key.kek()?.unwrap(&wrapped.ciphertext, plain.as_mut_slice()).map_err(|_| HalError::Tampered)?;
        Ok(Kek::new(plain))
    }

    fn sign(&self, signer: SignerId, message: &[u8], scheme: SignScheme) -> Result<Vec<u8>, HalError> {
        let signer = self.signer(signer)?;
        if signer.kind != scheme.kind() {
            return Err(HalError::Refused(Refusal::WrongSignerKind));
        }
        let signature =
            signer.pair.sign(&self.rng, message).map_err(|_| HalError::Unavailable(Outage::DeviceFailed))?;
        Ok(signature.as_ref().to_vec())
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
}

impl RootKeys for SoftwareHal {
    fn generate_root(&self, label: &Label) -> Result<RootKeyInfo, HalError> {
        let mut key = Zeroizing::new([0; 32]);
        self.random(key.as_mut_slice())?;
        self.add_root(label, true, key)
    }

    fn import_root(&self, label: &Label, key: SecretBytes) -> Result<RootKeyInfo, HalError> {
        let bytes = key.expose_secret().try_into().map_err(|_| HalError::Refused(Refusal::KeyLength))?;
        self.add_root(label, false, Zeroizing::new(bytes))
    }

    fn describe_root(&self, root: RootKeyId) -> Result<RootKeyInfo, HalError> {
        self.root(root)?.info(root)
    }

    fn list_roots(&self) -> Result<Vec<RootKeyInfo>, HalError> {
        let roots: Vec<_> = self.keys.read().roots.iter().map(|(id, root)| (*id, Arc::clone(root))).collect();
        let mut infos = roots.iter().map(|(id, root)| root.info(*id)).collect::<Result<Vec<_>, _>>()?;
        infos.sort_by(|a, b| (&a.label, a.id).cmp(&(&b.label, b.id)));
        Ok(infos)
    }

    fn destroy_root(&self, root: RootKeyId, consent: DestroyConsent) -> Result<(), HalError> {
        if consent.root() != root {
            return Err(HalError::Refused(Refusal::ConsentMismatch));
        }
        let mut keys = self.keys.write();
        let Some(destroyed) = keys.roots.remove(&root) else { return Err(HalError::UnknownRootKey(root)) };
        if let Err(error) = self.file.save(&keys.entries()) {
            keys.roots.insert(root, destroyed);
            return Err(error);
        }
        Ok(())
    }

    fn generate_signer(&self, label: &Label, kind: SignerKind) -> Result<SignerInfo, HalError> {
        let document = EcdsaKeyPair::generate_pkcs8(algorithm(kind), &self.rng)
            .map_err(|_| HalError::Unavailable(Outage::DeviceFailed))?;
        let pkcs8 = Zeroizing::new(document.as_ref().to_vec());
        let signer = Arc::new(Signer { label: label.clone(), kind, pair: key_pair(kind, &pkcs8)?, pkcs8 });
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
                let root = Root { label: entry.label, local, key: Zeroizing::new(key) };
                self.roots.insert(RootKeyId::from_uuid(entry.id), Arc::new(root));
            }
            EntryKind::Signer(kind) => {
                let pair = key_pair(kind, &entry.key)?;
                let signer = Signer { label: entry.label, kind, pair, pkcs8: entry.key };
                self.signers.insert(SignerId::from_uuid(entry.id), Arc::new(signer));
            }
        }
        Ok(())
    }

    fn entries(&self) -> Vec<Entry> {
        let roots = self.roots.iter().map(|(id, root)| Entry {
            kind: if root.local { EntryKind::RootGenerated } else { EntryKind::RootImported },
            id: *id.as_uuid(),
            label: root.label.clone(),
            key: Zeroizing::new(root.key.to_vec()),
        });
        let signers = self.signers.iter().map(|(id, signer)| Entry {
            kind: EntryKind::Signer(signer.kind),
            id: *id.as_uuid(),
            label: signer.label.clone(),
            key: signer.pkcs8.clone(),
        });
        roots.chain(signers).collect()
    }
}

impl Root {
    /// The library takes the key by value for each operation; its key schedule costs about a tenth of a wrap.
    fn kek(&self) -> Result<AesKek, HalError> {
        AesKek::new(&AES_256, self.key.as_slice()).map_err(|_| HalError::Unavailable(Outage::DeviceFailed))
    }

    fn info(&self, id: RootKeyId) -> Result<RootKeyInfo, HalError> {
        // A key in memory is neither sensitive nor unextractable, and says so.
        let attributes = RootKeyAttributes {
            sensitive: Some(false),
            extractable: Some(true),
            local: Some(self.local),
            always_sensitive: Some(false),
            never_extractable: Some(false),
        };
        Ok(RootKeyInfo {
            id,
            label: self.label.clone(),
            version: FIRST_VERSION,
            attributes,
            kcv: key_check_value(&self.key)?,
            scheme: WrapScheme::AesKw,
            token: None,
        })
    }
}

impl Signer {
    fn info(&self, id: SignerId) -> SignerInfo {
        let public_key = self.pair.public_key().as_ref().to_vec();
        SignerInfo { id, label: self.label.clone(), kind: self.kind, public_key }
    }
}

impl fmt::Debug for SoftwareHal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareHal").field("path", &self.file.path()).finish_non_exhaustive()
    }
}

fn algorithm(kind: SignerKind) -> &'static EcdsaSigningAlgorithm {
    match kind {
        SignerKind::EcdsaP256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
        SignerKind::EcdsaP384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
    }
}

fn key_pair(kind: SignerKind, pkcs8: &[u8]) -> Result<EcdsaKeyPair, HalError> {
    EcdsaKeyPair::from_pkcs8(algorithm(kind), pkcs8, &SystemRandom::new())
        .map_err(|_| HalError::Refused(Refusal::FileCorrupt))
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
