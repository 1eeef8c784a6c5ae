//! The keys in memory: how they come out of the file and go into it, and the AES key wrap (RFC 3394) under a root key.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::{
    cipher::{AES_256 as AES_256_BLOCK, EncryptingKey, UnboundCipherKey},
    key_wrap::{AES_256, AesKek, KeyWrap as _},
};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::{
    file::{Entry, EntryKind},
    signers::Signer,
};
use crate::{
    HalError, Kcv, KcvMethod, Kek, Label, Outage, Refusal, RootKeyAttributes, RootKeyId, RootKeyInfo, RootKeyVersion,
    SignerId, WrapScheme, WrappedKek,
};

/// What a file holds. A copy of it shares the keys.
#[derive(Clone, Default)]
pub(super) struct Keys {
    pub(super) roots: HashMap<RootKeyVersion, Arc<Root>>,
    pub(super) signers: HashMap<SignerId, Arc<Signer>>,
}

pub(super) struct Root {
    pub(super) label: Label,
    local: bool,
    by_ecb: Kcv,
    by_gcm: Kcv,
    pub(super) key: Zeroizing<[u8; 32]>,
}

impl Keys {
    /// The keys of a file, all of them or none.
    pub(super) fn of(entries: Vec<Entry>) -> Result<Self, HalError> {
        let mut keys = Self::default();
        for entry in entries {
            keys.admit(entry)?;
        }
        Ok(keys)
    }

    /// Whether the same keys are in both. A key never changes, it comes and goes.
    pub(super) fn are_those_of(&self, other: &Self) -> bool {
        self.roots.len() == other.roots.len()
            && self.signers.len() == other.signers.len()
            && self.roots.keys().all(|key| other.roots.contains_key(key))
            && self.signers.keys().all(|id| other.signers.contains_key(id))
    }

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

    pub(super) fn entries(&self) -> Vec<Entry> {
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
    pub(super) fn new(label: &Label, local: bool, key: Zeroizing<[u8; 32]>) -> Result<Self, HalError> {
        let value = |method| key_check_value(&key, method);
        let (by_ecb, by_gcm) = (value(KcvMethod::EcbZeroBlock)?, value(KcvMethod::GcmZeroBlock)?);
        Ok(Self { label: label.clone(), local, by_ecb, by_gcm, key })
    }

    /// Its check value by the method of the one on record, where there is one.
    pub(super) fn kcv(&self, on_record: Option<Kcv>) -> Kcv {
        match on_record.map(|kcv| kcv.method) {
            None | Some(KcvMethod::EcbZeroBlock) => self.by_ecb,
            Some(KcvMethod::GcmZeroBlock) => self.by_gcm,
        }
    }

    /// The library takes the key by value for each operation; its key schedule costs about a tenth of a wrap.
    fn kek(&self) -> Result<AesKek, HalError> {
        AesKek::new(&AES_256, self.key.as_slice()).map_err(|_| HalError::Unavailable(Outage::DeviceFailed))
    }

    pub(super) fn wrap(&self, key: RootKeyVersion, kek: &Kek) -> Result<WrappedKek, HalError> {
        let mut ciphertext = vec![0; WrapScheme::AesKw.ciphertext_len()];
        self.kek()?
            .wrap(kek.expose_secret(), &mut ciphertext)
            .map_err(|_| HalError::Unavailable(Outage::DeviceFailed))?;
        let RootKeyVersion { root, version } = key;
        Ok(WrappedKek { root, version, scheme: WrapScheme::AesKw, iv: Vec::new(), ciphertext })
    }

    /// Opens a well-formed blob of AES key wrap.
    pub(super) fn unwrap(&self, wrapped: &WrappedKek) -> Result<Kek, HalError> {
        let mut plain = Zeroizing::new([0; Kek::LEN]);
        self.kek()?.unwrap(&wrapped.ciphertext, plain.as_mut_slice()).map_err(|_| HalError::Tampered)?;
        Ok(Kek::new(plain))
    }

    /// As it is described where `on_record` is its check value on record.
    pub(super) fn info(&self, key: RootKeyVersion, on_record: Option<Kcv>) -> RootKeyInfo {
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
            kcv: self.kcv(on_record),
            scheme: WrapScheme::AesKw,
            tokens: Vec::new(),
        }
    }
}

/// The first three bytes of a block of zeros: see [`KcvMethod`].
fn key_check_value(key: &[u8; 32], method: KcvMethod) -> Result<Kcv, HalError> {
    let failed = |_| HalError::Unavailable(Outage::DeviceFailed);
    let mut block = [0; 16];
    match method {
        KcvMethod::EcbZeroBlock => UnboundCipherKey::new(&AES_256_BLOCK, key)
            .and_then(EncryptingKey::ecb)
            .and_then(|cipher| cipher.encrypt(&mut block))
            .map(drop)
            .map_err(failed)?,
        KcvMethod::GcmZeroBlock => UnboundKey::new(&AES_256_GCM, key)
            .and_then(|key| {
                let nonce = Nonce::assume_unique_for_key([0; 12]);
                LessSafeKey::new(key).seal_in_place_separate_tag(nonce, Aad::empty(), &mut block)
            })
            .map(drop)
            .map_err(|_| HalError::Unavailable(Outage::DeviceFailed))?,
    }
    let [a, b, c, ..] = block;
    Ok(Kcv { method, value: [a, b, c] })
}
