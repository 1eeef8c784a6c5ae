//! One root-key file and what is in memory of it, used by the threads of this process beside other processes.
//!
//! Every change is made to what is in the file at that moment, under its lock, so that of two processes neither undoes the
//! other's. What other processes change is looked for in three places: before every answer of administration, before a key
//! is called unknown, and every [`LOOK_EVERY`] by a thread of its own, which is what stops a key that another process
//! destroyed and wipes it from memory. Requests with keys that are there make no system call and wait for no change.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use parking_lot::{Mutex, RwLock};

use super::{
    disk::Lock,
    file::SealedFile,
    keys::{Keys, Root},
    signers::Signer,
};
use crate::{HalError, Kcv, Outage, Refusal, RootKeyVersion, SignerId};

/// How long a key that another process destroyed is used at most.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A file and its keys. Where both locks are held, that of the file is taken first.
pub(super) struct Shared {
    path: PathBuf,
    file: Mutex<SealedFile>,
    held: RwLock<Held>,
}

struct Held {
    keys: Keys,
    expected: HashMap<RootKeyVersion, Kcv>,
}

impl Held {
    fn root(&self, key: RootKeyVersion) -> Result<Option<Arc<Root>>, HalError> {
        let Some(root) = self.keys.roots.get(&key) else { return Ok(None) };
        match self.expected.get(&key) {
            Some(expected) if *expected != root.kcv(Some(*expected)) => Err(HalError::Refused(Refusal::KeyReplaced)),
            _ => Ok(Some(Arc::clone(root))),
        }
    }
}

impl Shared {
    pub(super) fn new(path: &Path, file: SealedFile, keys: Keys) -> Self {
        let held = Held { keys, expected: HashMap::new() };
        Self { path: path.to_owned(), file: Mutex::new(file), held: RwLock::new(held) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A root key that may be used.
    pub(super) fn root(&self, key: RootKeyVersion) -> Result<Arc<Root>, HalError> {
        if let Some(root) = self.held.read().root(key)? {
            return Ok(root);
        }
        self.look()?;
        self.held.read().root(key)?.ok_or(HalError::UnknownRootKey(key))
    }

    pub(super) fn signer(&self, id: SignerId) -> Result<Arc<Signer>, HalError> {
        let find = || self.held.read().keys.signers.get(&id).cloned();
        if let Some(signer) = find() {
            return Ok(signer);
        }
        self.look()?;
        find().ok_or(HalError::UnknownSigner(id))
    }

    /// All keys as they are in the file now.
    pub(super) fn keys(&self) -> Result<Keys, HalError> {
        self.look()?;
        Ok(self.held.read().keys.clone())
    }

    pub(super) fn expect(&self, key: RootKeyVersion, kcv: Kcv) {
        self.held.write().expected.insert(key, kcv);
    }

    pub(super) fn expected(&self, key: RootKeyVersion) -> Option<Kcv> {
        self.held.read().expected.get(&key).copied()
    }

    /// Takes over what another process changed. What cannot be read leaves the keys in memory as they are.
    pub(super) fn look(&self) -> Result<(), HalError> {
        self.load(&mut self.file.lock())
    }

    fn load(&self, file: &mut SealedFile) -> Result<(), HalError> {
        if let Some((seen, entries)) = file.changed()? {
            let keys = Keys::of(entries)?;
            // Not before: what cannot be taken over is not to be written over either.
            file.accept(seen);
            tracing::debug!(path = %self.path.display(), "another process changed the root-key file");
            self.held.write().keys = keys;
        }
        Ok(())
    }

    /// Makes `edit` to what is in the file now. Where it says no, nothing is changed; what it leaves as it was is not written.
    pub(super) fn change<T>(&self, edit: impl FnOnce(&mut Keys) -> Result<T, HalError>) -> Result<T, HalError> {
        // Taken anew by each change, it keeps the threads of this process apart too, and nobody waits for it with the file.
        let lock = Lock::take(&self.path)?;
        let mut file = self.file.lock();
        self.load(&mut file)?;
        let before = self.held.read().keys.clone();
        let mut keys = before.clone();
        let done = edit(&mut keys)?;
        if !keys.are_those_of(&before) {
            file.save(&keys.entries(), &lock)?;
            self.held.write().keys = keys;
        }
        Ok(done)
    }
}

/// The thread that follows what other processes change. It ends with its owner.
pub(super) struct Watch {
    going: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn start(shared: &Arc<Shared>) -> Result<Self, HalError> {
        let (going, gone) = bounded::<()>(0);
        let shared = Arc::clone(shared);
        let work = move || {
            let mut said = None;
            while gone.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                let now = shared.look().err();
                if let Some(error) = &now
                    && said.as_ref() != Some(error)
                {
                    let path = shared.path().display();
                    tracing::error!(%path, "the root keys in memory stay in use, and none can be changed: {error}");
                }
                said = now;
            }
        };
        let thread = thread::Builder::new().name("root-key-file".to_owned()).spawn(work).map_err(|error| {
            tracing::warn!(%error, "the thread that follows the root-key file cannot be started");
            HalError::Unavailable(Outage::DeviceFailed)
        })?;
        Ok(Self { going: Some(going), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.going.take());
        // A thread that panicked has said so.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
