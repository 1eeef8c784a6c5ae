//! Where everything lies in a data directory, and writing files there so that a crash never leaves half of one.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::CliError;

/// A data directory. Its files that hold secrets have mode 0600, its directories 0700.
#[derive(Clone, Debug)]
pub(super) struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// Makes the directory and its parts where they are missing.
    pub(super) fn create(root: &Path) -> Result<Self, CliError> {
        let root = std::path::absolute(root).map_err(CliError::file(root))?;
        let dir = Self { root };
        for folder in [dir.root.clone(), dir.tls(), dir.hsm(), dir.path("audit")] {
            create_folder(&folder)?;
        }
        Ok(dir)
    }

    /// The directory itself.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The configuration file.
    pub(super) fn config(&self) -> PathBuf {
        self.path("keystead.toml")
    }

    /// The folder of certificates and their keys.
    pub(super) fn tls(&self) -> PathBuf {
        self.path("tls")
    }

    /// The folder of what the HSM backend needs.
    pub(super) fn hsm(&self) -> PathBuf {
        self.path("hsm")
    }

    /// A file or folder by name.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// Makes a folder that only its owner can enter; keeps one that is there.
pub(super) fn create_folder(path: &Path) -> Result<(), CliError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(CliError::file(path))
}

/// Writes a file that holds no secret, whole or not at all, over what is there.
pub(super) fn write_file(path: &Path, content: &str) -> Result<(), CliError> {
    let write = || -> io::Result<()> {
        let beside = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&beside)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().map_err(CliError::file(path))
}

/// Writes a file that holds no secret and is not there yet, whole or not at all.
pub(super) fn write_new_file(path: &Path, content: &str) -> Result<(), CliError> {
    let mut options = OpenOptions::new();
    let mut file = match options.write(true).create_new(true).mode(0o644).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(CliError::Exists { what: "a file", name: path.display().to_string() });
        }
        file => file.map_err(CliError::file(path))?,
    };
    file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).map_err(|source| {
        // Half of a file is worth nothing; what failed matters more than its removal.
        let _ = std::fs::remove_file(path);
        CliError::File { path: path.to_owned(), source }
    })
}

/// Refuses a file that is there, before anything is made that would then be lost.
pub(super) fn must_be_new(path: &Path) -> Result<(), CliError> {
    match exists(path)? {
        true => Err(CliError::Exists { what: "a file", name: path.display().to_string() }),
        false => Ok(()),
    }
}

/// Held while a server serves a data directory. The system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct ServerLock {
    _file: File,
}

impl ServerLock {
    /// Takes the lock of the folder in which the database `store` lies.
    pub(super) fn take(store: &Path) -> Result<Self, CliError> {
        let path = store.with_file_name("server.lock");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(CliError::file(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(CliError::Served { lock: path }),
            Err(TryLockError::Error(source)) => Err(CliError::File { path, source }),
        }
    }
}

/// Whether there is anything at `path`.
pub(super) fn exists(path: &Path) -> Result<bool, CliError> {
    path.try_exists().map_err(CliError::file(path))
}
