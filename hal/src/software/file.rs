//! The sealed root-key file: AES-256-GCM under a key that Argon2id (RFC 9106) makes from a passphrase.
//!
//! Layout: magic (8), Argon2 memory in KiB, passes, lanes (4 each, big endian), salt (16), nonce (12), sealed entries with
//! their tag, SHA-256 of all before (32). The digest tells a damaged file from a wrong passphrase; the tag protects both, and
//! the header is its additional data. It is replaced whole, never written in place.

use std::{
    io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use argon2::{Algorithm, Argon2, Params, Version};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    digest,
    rand::{SecureRandom as _, SystemRandom},
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::disk::{self, Lock, Seen};
use crate::{HalError, Label, Outage, Refusal, SecretBytes, SignerKind};

const MAGIC: &[u8; 8] = b"KSTDKEY2";
/// The format before root keys had versions; it is read, and written anew at the next change.
const MAGIC_1: &[u8; 8] = b"KSTDKEY1";
const HEADER_LEN: usize = 8 + 12 + 16 + 12;
const DIGEST_LEN: usize = 32;
const TAG_LEN: usize = 16;
/// From a file without entries to thousands of root keys, or hundreds of RSA keys.
const LENGTHS: RangeInclusive<u64> = (HEADER_LEN + TAG_LEN + DIGEST_LEN) as u64..=1 << 20;

/// Memory in KiB, passes, lanes of a new file. An opened file keeps its own, within the bounds of `Cost::params`.
const COST: Cost = Cost { memory: 32 * 1024, passes: 3, lanes: 1 };

/// One key of the file.
pub(super) struct Entry {
    pub(super) kind: EntryKind,
    pub(super) id: Uuid,
    /// A root key's version; 1 for a signer.
    pub(super) version: u32,
    pub(super) label: Label,
    /// A root key's 32 bytes, or a signer's PKCS#8 document.
    pub(super) key: Zeroizing<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    RootGenerated,
    RootImported,
    Signer(SignerKind),
}

/// Where the file is, what seals it and which state of it was read or written last. The passphrase itself is not kept: a file
/// keeps its salt for life, so the key made from both opens whatever another process writes.
pub(super) struct SealedFile {
    path: PathBuf,
    cost: Cost,
    salt: [u8; 16],
    key: LessSafeKey,
    seen: Seen,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Cost {
    memory: u32,
    passes: u32,
    lanes: u32,
}

/// The parts of a file whose digest is right.
struct Parts<'a> {
    versions: Versions,
    cost: Cost,
    salt: [u8; 16],
    nonce: [u8; 12],
    header: &'a [u8],
    sealed: &'a [u8],
}

impl SealedFile {
    /// Makes a file without entries. A crash leaves a whole one or none.
    pub(super) fn create(path: &Path, passphrase: &SecretBytes) -> Result<Self, HalError> {
        disk::refuse_existing(path)?;
        let mut salt = [0; 16];
        SystemRandom::new().fill(&mut salt).map_err(|_| HalError::Unavailable(Outage::DeviceFailed))?;
        let key = derive(passphrase, &salt, COST)?;
        let content = seal(&key, COST, &salt, &[])?;
        let lock = Lock::take(path)?;
        // Of two creators the later is told.
        disk::refuse_existing(path)?;
        let seen = disk::replace(path, &content, &lock)?;
        Ok(Self { path: path.to_owned(), cost: COST, salt, key, seen })
    }

    pub(super) fn open(path: &Path, passphrase: &SecretBytes) -> Result<(Self, Vec<Entry>), HalError> {
        let (seen, bytes) = disk::read(path, LENGTHS)?;
        let parts = split(&bytes)?;
        let key = derive(passphrase, &parts.salt, parts.cost)?;
        let entries = parts.open(&key)?;
        let Parts { cost, salt, .. } = parts;
        Ok((Self { path: path.to_owned(), cost, salt, key, seen }, entries))
    }

    /// What is in the file, where that is not what was [accepted](Self::accept) or written last.
    pub(super) fn changed(&self) -> Result<Option<(Seen, Vec<Entry>)>, HalError> {
        if self.seen.is_current(&self.path)? {
            return Ok(None);
        }
        let (seen, bytes) = disk::read(&self.path, LENGTHS)?;
        let parts = split(&bytes)?;
        if (parts.salt, parts.cost) != (self.salt, self.cost) {
            return Err(HalError::Refused(Refusal::FileReplaced));
        }
        Ok(Some((seen, parts.open(&self.key)?)))
    }

    /// Takes a state of the file for the one that is in memory.
    pub(super) fn accept(&mut self, seen: Seen) {
        self.seen = seen;
    }

    /// Replaces the file. Whoever has the lock has seen what was in it.
    pub(super) fn save(&mut self, entries: &[Entry], lock: &Lock) -> Result<(), HalError> {
        let content = seal(&self.key, self.cost, &self.salt, entries)?;
        self.seen = disk::replace(&self.path, &content, lock)?;
        Ok(())
    }
}

fn split(bytes: &[u8]) -> Result<Parts<'_>, HalError> {
    let corrupt = || HalError::Refused(Refusal::FileCorrupt);
    let (content, sum) = bytes.split_last_chunk::<DIGEST_LEN>().ok_or_else(corrupt)?;
    if digest::digest(&digest::SHA256, content).as_ref() != sum {
        return Err(corrupt());
    }
    let (header, sealed) = content.split_first_chunk::<HEADER_LEN>().ok_or_else(corrupt)?;
    let mut fields = Reader { rest: header };
    let versions = match &fields.array::<8>()? {
        MAGIC => Versions::Stated,
        MAGIC_1 => Versions::AllFirst,
        _ => return Err(corrupt()),
    };
    let cost = Cost { memory: fields.u32()?, passes: fields.u32()?, lanes: fields.u32()? };
    let (salt, nonce) = (fields.array()?, fields.array()?);
    Ok(Parts { versions, cost, salt, nonce, header, sealed })
}

impl Parts<'_> {
    fn open(&self, key: &LessSafeKey) -> Result<Vec<Entry>, HalError> {
        let mut plain = Zeroizing::new(self.sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let entries = key.open_in_place(nonce, Aad::from(self.header), &mut plain);
        decode(entries.map_err(|_| HalError::Refused(Refusal::WrongPassphrase))?, self.versions)
    }
}

/// The content of a file.
fn seal(key: &LessSafeKey, cost: Cost, salt: &[u8; 16], entries: &[Entry]) -> Result<Vec<u8>, HalError> {
    let failed = |_| HalError::Unavailable(Outage::DeviceFailed);
    let mut nonce = [0; 12];
    SystemRandom::new().fill(&mut nonce).map_err(failed)?;
    let mut content = Vec::with_capacity(HEADER_LEN);
    content.extend_from_slice(MAGIC);
    for cost in [cost.memory, cost.passes, cost.lanes] {
        content.extend_from_slice(&cost.to_be_bytes());
    }
    content.extend_from_slice(salt);
    content.extend_from_slice(&nonce);
    let mut plain = encode(entries);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&content), &mut plain).map_err(failed)?;
    content.extend_from_slice(&plain);
    content.extend_from_slice(tag.as_ref());
    let sum = digest::digest(&digest::SHA256, &content);
    content.extend_from_slice(sum.as_ref());
    if !LENGTHS.contains(&(content.len() as u64)) {
        return Err(HalError::Refused(Refusal::File(io::ErrorKind::FileTooLarge)));
    }
    Ok(content)
}

fn derive(passphrase: &SecretBytes, salt: &[u8; 16], cost: Cost) -> Result<LessSafeKey, HalError> {
    let corrupt = |_| HalError::Refused(Refusal::FileCorrupt);
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.params()?);
    let mut key = Zeroizing::new([0; 32]);
    argon.hash_password_into(passphrase.expose_secret(), salt, key.as_mut_slice()).map_err(corrupt)?;
    let key = UnboundKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| HalError::Unavailable(Outage::DeviceFailed))?;
    Ok(LessSafeKey::new(key))
}

impl Cost {
    /// Bounded, so that a damaged header cannot ask for all memory or an hour.
    fn params(self) -> Result<Params, HalError> {
        let corrupt = HalError::Refused(Refusal::FileCorrupt);
        if self.memory > 256 * 1024 || self.passes > 16 || self.lanes > 8 {
            return Err(corrupt);
        }
        Params::new(self.memory, self.passes, self.lanes, Some(32)).map_err(|_| corrupt)
    }
}

/// Whether the entries of a file state their versions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Versions {
    Stated,
    AllFirst,
}

/// Each entry: kind (1), id (16), version (4), label length (2), label, key length (2), key. The buffer is made at its exact size, because
/// one that grows leaves copies of keys behind.
fn encode(entries: &[Entry]) -> Zeroizing<Vec<u8>> {
    let len = entries.iter().map(|e| 1 + 16 + 4 + 2 + e.label.as_str().len() + 2 + e.key.len()).sum();
    let mut out = Zeroizing::new(Vec::with_capacity(len));
    for entry in entries {
        out.push(match entry.kind {
            EntryKind::RootGenerated => 1,
            EntryKind::RootImported => 2,
            EntryKind::Signer(SignerKind::EcdsaP256) => 3,
            EntryKind::Signer(SignerKind::EcdsaP384) => 4,
            EntryKind::Signer(SignerKind::Rsa2048) => 5,
            EntryKind::Signer(SignerKind::Rsa3072) => 6,
        });
        out.extend_from_slice(entry.id.as_bytes());
        out.extend_from_slice(&entry.version.to_be_bytes());
        for part in [entry.label.as_str().as_bytes(), entry.key.as_slice()] {
            // A label has at most 256 bytes and a key fewer than two thousand.
            out.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend_from_slice(part);
        }
    }
    out
}

fn decode(plain: &[u8], versions: Versions) -> Result<Vec<Entry>, HalError> {
    let corrupt = || HalError::Refused(Refusal::FileCorrupt);
    // `open_in_place` has cut the tag off already.
    let mut reader = Reader { rest: plain };
    let mut entries = Vec::new();
    while !reader.rest.is_empty() {
        let kind = match reader.array::<1>()? {
            [1] => EntryKind::RootGenerated,
            [2] => EntryKind::RootImported,
            [3] => EntryKind::Signer(SignerKind::EcdsaP256),
            [4] => EntryKind::Signer(SignerKind::EcdsaP384),
            [5] => EntryKind::Signer(SignerKind::Rsa2048),
            [6] => EntryKind::Signer(SignerKind::Rsa3072),
            _ => return Err(corrupt()),
        };
        let id = Uuid::from_bytes(reader.array()?);
        let version = if versions == Versions::Stated { reader.u32()? } else { 1 };
        let label = std::str::from_utf8(reader.counted()?).map_err(|_| corrupt())?;
        let label = Label::new(label).map_err(|_| corrupt())?;
        let key = Zeroizing::new(reader.counted()?.to_vec());
        entries.push(Entry { kind, id, version, label, key });
    }
    Ok(entries)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], HalError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(HalError::Refused(Refusal::FileCorrupt))?;
        self.rest = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, HalError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn counted(&mut self) -> Result<&'a [u8], HalError> {
        let len = usize::from(u16::from_be_bytes(self.array()?));
        let (head, rest) = self.rest.split_at_checked(len).ok_or(HalError::Refused(Refusal::FileCorrupt))?;
        self.rest = rest;
        Ok(head)
    }
}
