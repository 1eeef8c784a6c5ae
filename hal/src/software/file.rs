//! The sealed root-key file: AES-256-GCM under a key that Argon2id (RFC 9106) makes from a passphrase.
//!
//! Layout: magic (8), Argon2 memory in KiB, passes, lanes (4 each, big endian), salt (16), nonce (12), sealed entries with
//! their tag, SHA-256 of all before (32). The digest tells a damaged file from a wrong passphrase; the tag protects both, and
//! the header is its additional data. It is replaced whole, never written in place.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
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

use crate::{HalError, Label, Outage, Refusal, SecretBytes, SignerKind};

const MAGIC: &[u8; 8] = b"KSTDKEY2";
/// The format before root keys had versions; it is read, and written anew at the next change.
const MAGIC_1: &[u8; 8] = b"KSTDKEY1";
const HEADER_LEN: usize = 8 + 12 + 16 + 12;
const DIGEST_LEN: usize = 32;
const TAG_LEN: usize = 16;
/// Thousands of root keys fit, and hundreds of RSA keys.
const MAX_FILE_LEN: u64 = 1 << 20;

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

/// Where the file is and what seals it. The passphrase itself is not kept.
pub(super) struct SealedFile {
    path: PathBuf,
    cost: Cost,
    salt: [u8; 16],
    key: LessSafeKey,
}

#[derive(Clone, Copy)]
struct Cost {
    memory: u32,
    passes: u32,
    lanes: u32,
}

impl SealedFile {
    pub(super) fn create(path: &Path, passphrase: &SecretBytes) -> Result<Self, HalError> {
        // Claims the name, so that of two creators one is told.
        new_file(path).map_err(file_error)?;
        let mut salt = [0; 16];
        SystemRandom::new().fill(&mut salt).map_err(|_| HalError::Unavailable(Outage::DeviceFailed))?;
        let key = derive(passphrase, &salt, COST)?;
        let file = Self { path: path.to_owned(), cost: COST, salt, key };
        file.save(&[]).inspect_err(|_| drop(fs::remove_file(path)))?;
        Ok(file)
    }

    pub(super) fn open(path: &Path, passphrase: &SecretBytes) -> Result<(Self, Vec<Entry>), HalError> {
        let corrupt = || HalError::Refused(Refusal::FileCorrupt);
        let bytes = read(path)?;
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
        let key = derive(passphrase, &salt, cost)?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        let entries = key
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(header), &mut plain)
            .map_err(|_| HalError::Refused(Refusal::WrongPassphrase))?;
        let entries = decode(entries, versions)?;
        Ok((Self { path: path.to_owned(), cost, salt, key }, entries))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the file: written beside it, synced, renamed over it, directory synced. A crash leaves the old or the new one.
    pub(super) fn save(&self, entries: &[Entry]) -> Result<(), HalError> {
        let failed = |_| HalError::Unavailable(Outage::DeviceFailed);
        let mut nonce = [0; 12];
        SystemRandom::new().fill(&mut nonce).map_err(failed)?;
        let mut content = Vec::with_capacity(HEADER_LEN);
        content.extend_from_slice(MAGIC);
        for cost in [self.cost.memory, self.cost.passes, self.cost.lanes] {
            content.extend_from_slice(&cost.to_be_bytes());
        }
        content.extend_from_slice(&self.salt);
        content.extend_from_slice(&nonce);
        let mut plain = encode(entries);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(&content), &mut plain).map_err(failed)?;
        content.extend_from_slice(&plain);
        content.extend_from_slice(tag.as_ref());
        let sum = digest::digest(&digest::SHA256, &content);
        content.extend_from_slice(sum.as_ref());
        if content.len() as u64 > MAX_FILE_LEN {
            return Err(HalError::Refused(Refusal::File(io::ErrorKind::FileTooLarge)));
        }
        replace(&self.path, &content).map_err(file_error)
    }
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

fn read(path: &Path) -> Result<Vec<u8>, HalError> {
    let file = File::open(path).map_err(file_error)?;
    let metadata = file.metadata().map_err(file_error)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(HalError::Refused(Refusal::FileMode));
    }
    let smallest = (HEADER_LEN + TAG_LEN + DIGEST_LEN) as u64;
    if !(smallest..=MAX_FILE_LEN).contains(&metadata.len()) {
        return Err(HalError::Refused(Refusal::FileCorrupt));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_LEN).read_to_end(&mut bytes).map_err(file_error)?;
    Ok(bytes)
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    // Whatever a crash left there is worth nothing; saves of one process are serialised by the caller's lock.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = new_file(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn file_error(error: io::Error) -> HalError {
    tracing::warn!(%error, "the root-key file cannot be read or written");
    HalError::Refused(Refusal::File(error.kind()))
}
