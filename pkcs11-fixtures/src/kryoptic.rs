//! kryoptic, which `scripts/kryoptic.sh` builds: a second opinion beside SoftHSM2, with other error codes and mechanisms.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{
    Token,
    environment::{self, skip},
    token::Instance,
};

/// Names another kryoptic module than target/kryoptic/libkryoptic_pkcs11.so.
pub const KRYOPTIC_VARIABLE: &str = "KEYSTEAD_KRYOPTIC_MODULE";
/// Where set to `1`, tests that need kryoptic fail if it is missing, rather than skip themselves.
pub const REQUIRE_KRYOPTIC_VARIABLE: &str = "KEYSTEAD_TESTS_KRYOPTIC";

/// How many tokens a test process can have. Each is a slot, and a file of the process's directory.
const SLOTS: u64 = 100;

/// This process's kryoptic.
pub struct Kryoptic {
    module: PathBuf,
    conf: PathBuf,
    instance: Instance,
}

impl Kryoptic {
    /// The kryoptic of this process, set up at the first call. Call it at the start of a test, before threads are spawned.
    ///
    /// `None`, after a printed `SKIP:` line, where it was not built.
    ///
    /// # Panics
    /// Where it was not built and `KEYSTEAD_TESTS_KRYOPTIC` is `1`, or does not start.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Kryoptic>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| find_module().map(Self::set_up)).as_ref();
        if shared.is_none() {
            let required = env::var_os(REQUIRE_KRYOPTIC_VARIABLE).is_some_and(|value| value == "1");
            assert!(!required, "kryoptic is not built: run scripts/kryoptic.sh");
            skip("this test needs kryoptic, which is not built: run scripts/kryoptic.sh");
        }
        shared
    }

    /// The PKCS#11 module.
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// The configuration file: a child process that gets its path as `KRYOPTIC_CONF` sees the same tokens.
    pub fn conf(&self) -> &Path {
        &self.conf
    }

    /// A new token. Its label starts with `label`, at most 20 bytes long, and no other token of the process has it.
    ///
    /// # Panics
    /// Where kryoptic refuses, or has no slot left: there are 100.
    pub fn token(&self, label: &str) -> Token {
        self.instance.token(label).0
    }

    /// Logs every session of this process on that token out, behind the back of whoever logged in; `false` where nobody was.
    ///
    /// # Panics
    /// Where the token does not exist.
    pub fn log_out(&self, token: &Token) -> bool {
        self.instance.log_out(token)
    }

    /// How many session objects this process has on that token. Private ones are seen only while somebody is logged in.
    ///
    /// # Panics
    /// Where the token does not exist.
    pub fn session_objects(&self, token: &Token) -> usize {
        self.instance.session_objects(token)
    }

    /// A new token, and the configuration under which it is alone.
    pub(crate) fn lone_token(&self, label: &str) -> (Token, String) {
        let (token, slot) = self.instance.token(label);
        (token, slot_conf(environment::directory(), slot.id()))
    }

    fn set_up(module: PathBuf) -> Self {
        let directory = environment::directory();
        fs::create_dir(directory.join("kryoptic")).expect("the token directory is made");
        let conf = environment::kryoptic_conf(directory);
        let text = (0..SLOTS).fold(String::new(), |text, slot| text + &slot_conf(directory, slot));
        fs::write(&conf, text).expect("the configuration is written");
        let instance = Instance::start(&module);
        Self { module, conf, instance }
    }
}

fn slot_conf(directory: &Path, slot: u64) -> String {
    let file = directory.join("kryoptic").join(format!("{slot}.sql"));
    let mut text = String::new();
    write!(text, "[[slots]]\nslot = {slot}\ndbtype = \"sqlite\"\ndbargs = {:?}\n", file.display().to_string())
        .expect("a string takes it");
    text
}

fn find_module() -> Option<PathBuf> {
    if let Some(named) = env::var_os(KRYOPTIC_VARIABLE) {
        return Some(PathBuf::from(named)).filter(|named| named.exists());
    }
    let program = env::current_exe().ok()?;
    let name = format!("{}kryoptic_pkcs11{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    program.ancestors().map(|folder| folder.join("kryoptic").join(&name)).find(|place| place.exists())
}
