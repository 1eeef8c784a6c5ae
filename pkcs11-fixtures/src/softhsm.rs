//! Throw-away SoftHSM2 tokens for tests: one token directory for each test process, any number of tokens in it, random PINs.
//!
//! SoftHSM2 reads its configuration's path from the environment once for a process, so [`SoftHsm::shared`] owns that variable.
//! For tests only: it panics where something is wrong, and its PINs protect nothing.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    session::UserType,
    types::AuthPin,
};
use tempfile::TempDir;
use uuid::Uuid;

/// Names another SoftHSM2 module than the ones in the usual places.
pub const MODULE_VARIABLE: &str = "KEYSTEAD_PKCS11_MODULE";
/// Where set to `1`, tests that need SoftHSM2 skip themselves visibly if it is missing, rather than fail.
pub const SKIP_VARIABLE: &str = "KEYSTEAD_TESTS_WITHOUT_HSM";
/// The variable through which SoftHSM2, in this process or a child, finds its configuration.
pub const CONF_VARIABLE: &str = "SOFTHSM2_CONF";

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
    directory: PathBuf,
    conf: PathBuf,
    pkcs11: Pkcs11,
    /// C_InitToken picks a free slot and then takes it; two at a time would pick the same.
    making: std::sync::Mutex<()>,
}

/// A token that was just initialised and holds nothing.
#[derive(Clone)]
pub struct Token {
    /// Its label, as asked for and made unique.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// Its user PIN.
    pub pin: String,
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
            eprintln!("SKIP: this test needs SoftHSM2, which is not installed");
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
        &self.directory
    }

    /// A new token. Its label starts with `label`, at most 20 bytes long, and no other token of the process has it.
    ///
    /// # Panics
    /// Where SoftHSM2 refuses.
    pub fn token(&self, label: &str) -> Token {
        let unique = Uuid::new_v4().simple().to_string();
        let suffix = unique.get(..11).expect("a UUID has 32 digits");
        let label = format!("{label}-{suffix}");
        let pin = Uuid::new_v4().simple().to_string();
        let so_pin = AuthPin::new(Uuid::new_v4().simple().to_string().into());
        let _one_at_a_time = self.making.lock().expect("no test panics while it makes a token");
        let slots = self.pkcs11.get_slots_with_token().expect("slots are listed");
        let free = |slot: &&_| self.pkcs11.get_token_info(**slot).is_ok_and(|info| !info.token_initialized());
        let slot = *slots.iter().find(free).expect("SoftHSM2 always offers one uninitialised token");
        self.pkcs11.init_token(slot, &so_pin, &label).expect("the token is initialised");
        let session = self.pkcs11.open_rw_session(slot).expect("a session opens");
        session.login(UserType::So, Some(&so_pin)).expect("the security officer logs in");
        session.init_pin(&AuthPin::new(pin.clone().into())).expect("the user PIN is set");
        session.logout().expect("the security officer logs out");
        let serial = self.pkcs11.get_token_info(slot).expect("the token is described").serial_number().to_owned();
        Token { label, serial, pin }
    }

    /// Logs every session of this process on that token out, behind the back of whoever logged in; `false` where nobody was.
    ///
    /// # Panics
    /// Where the token does not exist.
    pub fn log_out(&self, token: &Token) -> bool {
        let slots = self.pkcs11.get_slots_with_token().expect("slots are listed");
        let is_it = |slot: &&_| self.pkcs11.get_token_info(**slot).is_ok_and(|info| info.label() == token.label);
        let slot = *slots.iter().find(is_it).expect("the token exists");
        let session = self.pkcs11.open_rw_session(slot).expect("a session opens");
        session.logout().is_ok()
    }

    /// Gives a token another user PIN, as its owner may at any time; returns the token with it.
    ///
    /// # Panics
    /// Where the token does not exist or has another PIN.
    pub fn change_pin(&self, token: &Token) -> Token {
        let slots = self.pkcs11.get_slots_with_token().expect("slots are listed");
        let is_it = |slot: &&_| self.pkcs11.get_token_info(**slot).is_ok_and(|info| info.label() == token.label);
        let slot = *slots.iter().find(is_it).expect("the token exists");
        let session = self.pkcs11.open_rw_session(slot).expect("a session opens");
        let (old, new) = (token.pin.clone(), Uuid::new_v4().simple().to_string());
        session.login(UserType::User, Some(&AuthPin::new(old.clone().into()))).expect("the user logs in");
        session.set_pin(&AuthPin::new(old.into()), &AuthPin::new(new.clone().into())).expect("the PIN is changed");
        session.logout().expect("the user logs out");
        Token { pin: new, ..token.clone() }
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
        // A static is never dropped, so the directory is removed by the next run that finds it stale.
        remove_stale();
        let directory = TempDir::with_prefix(format!("{PREFIX}{}-", std::process::id())).expect("a directory is made");
        let directory = directory.keep();
        let tokens = directory.join("tokens");
        fs::create_dir(&tokens).expect("the token directory is made");
        let conf = directory.join("softhsm2.conf");
        let text =
            format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
        fs::write(&conf, text).expect("the configuration is written");
        set_conf(&conf);
        let pkcs11 = Pkcs11::new(&module).expect("the module loads");
        match pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) => {}
            Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {
                panic!("the module was initialised before `SoftHsm::shared` could say which directory is its own")
            }
            Err(error) => panic!("the module does not start: {error}"),
        }
        Self { module, directory, conf, pkcs11, making: std::sync::Mutex::new(()) }
    }
}

const PREFIX: &str = "keystead-softhsm-";

/// Removes the directories of test processes that are gone.
fn remove_stale() {
    let Ok(entries) = fs::read_dir(env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()).map(str::to_owned);
        let Some(pid) = pid else { continue };
        if Path::new("/proc/self").exists() && !Path::new("/proc").join(pid).exists() {
            // Another run may be removing it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn find_module() -> Option<PathBuf> {
    if let Some(named) = env::var_os(MODULE_VARIABLE) {
        return Some(PathBuf::from(named)).filter(|named| named.exists());
    }
    PLACES.iter().map(PathBuf::from).find(|place| place.exists())
}

#[expect(unsafe_code, reason = "SoftHSM2 takes its configuration from the environment and from nowhere else")]
fn set_conf(conf: &Path) {
    // SAFETY: setting a variable is unsound only while another thread reads the environment past the standard library's lock
    // (C's getenv). This runs once for a process, inside `OnceLock::get_or_init`, before the module that reads it is loaded;
    // the test harness's other threads read variables, if any, through the standard library.
    unsafe { env::set_var(CONF_VARIABLE, conf) }
}
