//! Files that hold a secret: PINs, passphrases, passwords, private keys. Closed to other users, or refused.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use zeroize::Zeroizing;

/// Longest secret file in bytes: a private key in PEM form with room to spare.
const MAX_BYTES: u64 = 64 * 1024;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// Missing, or not readable for this user.
    #[error("{0}")]
    Unusable(#[from] std::io::Error),
    /// Users other than the owner may read or change it.
    #[error("mode {mode:04o} lets other users at the secret in it: run chmod 600 on it")]
    OpenToOthers {
        /// Its permission bits.
        mode: u32,
    },
    /// It is not a plain file.
    #[error("is not a file")]
    NotAFile,
    /// There is nothing in it.
    #[error("is empty")]
    Empty,
    /// It is far too long for what it should hold.
    #[error("is longer than {MAX_BYTES} bytes")]
    TooLong,
}

/// Checks that a secret can be read from `path`, and by its owner only.
///
/// # Errors
/// What is wrong with the file.
pub fn check_secret_file(path: &Path) -> Result<(), SecretFileError> {
    open(path).map(drop)
}

/// Reads the secret in `path` without the newline that an editor leaves at its end.
///
/// # Errors
/// What is wrong with the file.
pub fn read_secret_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretFileError> {
    let (file, length) = open(path)?;
    // One more than the length, so that reading never grows the buffer and leaves a copy behind.
    let mut secret = Zeroizing::new(Vec::with_capacity(length + 1));
    file.take(length as u64).read_to_end(&mut secret)?;
    while matches!(secret.last(), Some(b'\n' | b'\r')) {
        secret.pop();
    }
    if secret.is_empty() { Err(SecretFileError::Empty) } else { Ok(secret) }
}

/// Makes the file `path` with `secret` in it, open to its owner only. It is there whole or not at all, and an existing file
/// is never replaced.
///
/// # Errors
/// The file exists, or cannot be written.
pub fn write_secret_file(path: &Path, secret: &[u8]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(secret)?;
        file.sync_all()?;
        // A hard link, unlike a renaming, fails where there is a file.
        std::fs::hard_link(&beside, path)
    })();
    // What is left over is a secret too.
    let removed = std::fs::remove_file(&beside);
    written.and(removed)
}

fn open(path: &Path) -> Result<(File, usize), SecretFileError> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mode = metadata.permissions().mode() & 0o7777;
    if !metadata.is_file() {
        return Err(SecretFileError::NotAFile);
    }
    if mode & 0o077 != 0 {
        return Err(SecretFileError::OpenToOthers { mode });
    }
    match usize::try_from(metadata.len()) {
        Ok(0) => Err(SecretFileError::Empty),
        Ok(length) if metadata.len() <= MAX_BYTES => Ok((file, length)),
        _ => Err(SecretFileError::TooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_was_written_without_the_last_newline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pin");
        write_secret_file(&path, b"12 34\n").unwrap();
        assert_eq!(read_secret_file(&path).unwrap().as_slice(), b"12 34");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn never_replaces_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pin");
        write_secret_file(&path, b"first").unwrap();
        assert_eq!(write_secret_file(&path, b"second").unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(read_secret_file(&path).unwrap().as_slice(), b"first");
    }

    #[test]
    fn refuses_a_file_that_others_may_read_and_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pin");
        write_secret_file(&path, b"1234").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = read_secret_file(&path).unwrap_err();
            assert!(matches!(error, SecretFileError::OpenToOthers { mode: found } if found == mode));
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        read_secret_file(&path).unwrap();
    }

    #[test]
    fn refuses_an_empty_file_a_folder_and_a_huge_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        write_secret_file(&path("empty"), b"").unwrap();
        write_secret_file(&path("newline"), b"\n").unwrap();
        write_secret_file(&path("huge"), &vec![b'x'; 64 * 1024 + 1]).unwrap();
        assert!(matches!(read_secret_file(&path("empty")), Err(SecretFileError::Empty)));
        assert!(matches!(read_secret_file(&path("newline")), Err(SecretFileError::Empty)));
        assert!(matches!(read_secret_file(&path("huge")), Err(SecretFileError::TooLong)));
        assert!(matches!(read_secret_file(folder.path()), Err(SecretFileError::NotAFile)));
        assert!(matches!(read_secret_file(&path("missing")), Err(SecretFileError::Unusable(_))));
    }
}
