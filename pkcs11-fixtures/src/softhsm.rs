//! SoftHSM2: one token directory for each test process, any number of tokens in it, random PINs.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use tempfile::TempDir;

use crate::{
    Token,
    environment::{self, skip},
    token::Instance,
};

/// Names another SoftHSM2 module than the ones in the usual places.
pub const MODULE_VARIABLE: &str = "KEYSTEAD_PKCS11_MODULE";
/// Where set to `1`, tests that need SoftHSM2 skip themselves visibly if it is missing, rather than fail.
pub const SKIP_VARIABLE: &str = "KEYSTEAD_TESTS_WITHOUT_HSM";

const INSTALL: &str = "SoftHSM2 is not installed. Debian, Ubuntu: `apt-get install softhsm2`; Fedora: `dnf install softhsm`; \
                       macOS: `brew install softhsm`. Elsewhere set KEYSTEAD_PKCS11_MODULE to libsofthsm2.so. To run the \
                       other tests without it set KEYSTEAD_TESTS_WITHOUT_HSM=1";

const PLACES: &[&str] = &[
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

/// This process's SoftHSM2: its own directory, configuration and module.
pub struct SoftHsm {
    module: PathBuf,
    directory: &'static Path,
    conf: PathBuf,
    instance: Instance,
}

impl SoftHsm {
    /// The SoftHSM2 of this process, set up at the first call. Call it at the start of a test, before threads are spawned.
    ///
    /// `None`, after a printed `SKIP:` line, where SoftHSM2 is missing and `KEYSTEAD_TESTS_WITHOUT_HSM` is `1`.
    ///
    /// # Panics
    /// Where SoftHSM2 is missing (with the command that installs it) or does not start.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<SoftHsm>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| find_module().map(Self::set_up)).as_ref();
        if shared.is_none() {
            assert!(env::var_os(SKIP_VARIABLE).is_some_and(|value| value == "1"), "{INSTALL}");
            skip("this test needs SoftHSM2, which is not installed");
        }
        shared
    }

    /// The PKCS#11 module.
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// The configuration file: a child process that gets its path as `SOFTHSM2_CONF` sees the same tokens.
    pub fn conf(&self) -> &Path {
        &self.conf
    }

    /// The directory that holds the configuration and, in `tokens/`, the tokens.
    pub fn directory(&self) -> &Path {
        self.directory
    }

    /// A new token. Its label starts with `label`, at most 20 bytes long, and no other token of the process has it.
    ///
    /// # Panics
    /// Where SoftHSM2 refuses.
    pub fn token(&self, label: &str) -> Token {
        self.instance.token(label).0
    }

    /// Writes an X.509 certificate (DER) to a token under a label and an identifier (CKA_ID), and logs this process out of it.
    ///
    /// # Panics
    /// Where the token does not exist or refuses.
    pub fn write_certificate(&self, token: &Token, label: &str, id: &[u8], der: &[u8]) {
        self.instance.write_certificate(token, label, id, der);
    }

    /// Makes a P-256 key on a token that wants the PIN for every signature (CKA_ALWAYS_AUTHENTICATE), and logs this process out.
    ///
    /// # Panics
    /// Where the token does not exist or refuses.
    pub fn key_that_always_asks(&self, token: &Token, label: &str) {
        self.instance.key_that_always_asks(token, label);
    }

    /// A copy of a token as it is now, for a child process that is to see no other.
    ///
    /// # Panics
    /// Where it cannot be copied.
    pub fn alone(&self, token: &Token) -> LoneToken {
        let directory = tempfile::tempdir().expect("a directory is made");
        let from = self.token_directory(token);
        let tokens = directory.path().join("tokens");
        let to = tokens.join(from.file_name().expect("a token's directory has a name"));
        fs::create_dir_all(&to).expect("the token directory is made");
        for entry in fs::read_dir(from).expect("the token is readable") {
            let path = entry.expect("an entry is readable").path();
            fs::copy(&path, to.join(path.file_name().expect("a file has a name"))).expect("a file is copied");
        }
        let conf = directory.path().join("softhsm2.conf");
        fs::write(&conf, conf_of(&tokens)).expect("the configuration is written");
        LoneToken { _directory: directory, conf }
    }

    /// Logs every session of this process on that token out, behind the back of whoever logged in; `false` where nobody was.
    ///
    /// # Panics
    /// Where the token does not exist.
    pub fn log_out(&self, token: &Token) -> bool {
        self.instance.log_out(token)
    }

    /// Gives a token another user PIN, as its owner may at any time; returns the token with it.
    ///
    /// # Panics
    /// Where the token does not exist or has another PIN.
    pub fn change_pin(&self, token: &Token) -> Token {
        self.instance.change_pin(token)
    }

    /// How many session objects this process has on that token. Private ones are seen only while somebody is logged in.
    ///
    /// # Panics
    /// Where the token does not exist.
    pub fn session_objects(&self, token: &Token) -> usize {
        self.instance.session_objects(token)
    }

    /// The directory in which a token keeps its files. Moving it away is what SoftHSM2 has for an unplugged token.
    ///
    /// # Panics
    /// Where no directory bears the token's serial number.
    pub fn token_directory(&self, token: &Token) -> PathBuf {
        // SoftHSM2 names the directory by a UUID whose last digits are the serial number.
        let entries = fs::read_dir(self.directory.join("tokens")).expect("the token directory is readable");
        let names = entries.map(|entry| entry.expect("an entry is readable").path());
        let ends = |path: &PathBuf| path.to_string_lossy().replace('-', "").ends_with(&token.serial);
        names.into_iter().find(ends).expect("a directory bears the serial number")
    }

    fn set_up(module: PathBuf) -> Self {
        let directory = environment::directory();
        let tokens = directory.join("tokens");
        fs::create_dir(&tokens).expect("the token directory is made");
        let conf = environment::softhsm_conf(directory);
        fs::write(&conf, conf_of(&tokens)).expect("the configuration is written");
        let instance = Instance::start(&module);
        Self { module, directory, conf, instance }
    }
}

/// A token in a directory of its own, which goes with this.
pub struct LoneToken {
    _directory: TempDir,
    conf: PathBuf,
}

impl LoneToken {
    /// The configuration file, for a child process's `SOFTHSM2_CONF`.
    pub fn conf(&self) -> &Path {
        &self.conf
    }
}

fn conf_of(tokens: &Path) -> String {
    format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display())
}

fn find_module() -> Option<PathBuf> {
    if let Some(named) = env::var_os(MODULE_VARIABLE) {
        return Some(PathBuf::from(named)).filter(|named| named.exists());
    }
    PLACES.iter().map(PathBuf::from).find(|place| place.exists())
}
