//! The command line as operators and scripts see it: exit codes, what is made and kept, and a server that is started, checked,
//! administered and stopped. The software backend stands in for a token where the token does not matter.

mod administration;
mod check;
mod data_directory;
mod remote;
mod remote_root_keys;
mod root_keys;
mod server;

use std::{
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// What a command did.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `keystead` with arguments that are separated by blanks.
pub(crate) fn keystead(line: &str) -> Ran {
    let output = Command::new(program()).args(line.split_whitespace()).stdin(Stdio::null()).output().unwrap();
    ran(&format!("keystead {line}"), output)
}

/// What `command` did, which must have ended by itself.
pub(crate) fn ran(command: &str, output: Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (status, stdout, stderr) = (output.status, text(output.stdout), text(output.stderr));
    let code = status.code().unwrap_or_else(|| panic!("{command}: {status}\n{stdout}{stderr}"));
    Ran { code, stdout, stderr }
}

/// Runs `keystead`, which must succeed; its standard output.
pub(crate) fn succeed(line: &str) -> String {
    let ran = keystead(line);
    assert_eq!(ran.code, 0, "keystead {line}\n{}{}", ran.stdout, ran.stderr);
    ran.stdout
}

/// Runs `keystead`, which must fail with `code`; its standard error.
pub(crate) fn fail(code: i32, line: &str) -> String {
    let ran = keystead(line);
    assert_eq!(ran.code, code, "keystead {line}\n{}{}", ran.stdout, ran.stderr);
    ran.stderr
}

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_keystead")
}

/// A data directory of the software backend with ECDSA keys, which are made at once.
pub(crate) struct Data {
    folder: TempDir,
}

impl Data {
    pub(crate) fn new() -> Self {
        Self::with_hsm("software")
    }

    /// The same with another backend.
    pub(crate) fn with_hsm(hsm: &str) -> Self {
        let data = Self { folder: tempfile::tempdir().unwrap() };
        succeed(&format!("init --dir {} --hsm {hsm} --tls-key ecdsa-p256", data.dir().display()));
        data
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A file in the data directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// A new file beside the data directory that only its owner can read.
    pub(crate) fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        path
    }

    /// Runs a command on this data directory, which must succeed.
    pub(crate) fn succeed(&self, line: &str) -> String {
        succeed(&format!("{line} --config {}", self.file("keystead.toml").display()))
    }

    /// Runs a command on this data directory, which must fail.
    pub(crate) fn fail(&self, code: i32, line: &str) -> String {
        fail(code, &format!("{line} --config {}", self.file("keystead.toml").display()))
    }

    /// A listing in JSON.
    pub(crate) fn list(&self, line: &str) -> serde_json::Value {
        serde_json::from_str(&self.succeed(&format!("{line} --json"))).unwrap()
    }
}

pub(crate) fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
