//! A module that is a test's own, behind the shim.
//!
//! A process that loads one library twice gets one instance, with one C_Initialize between everybody. A copy of the file is
//! another library to the loader, so each test can have an instance to finalise, break and hang as it likes.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use pkcs11_shim::{control::Control, grammar::Command};
use tempfile::TempDir;

use crate::{Kryoptic, SoftHsm, Token, nss};

/// A copy of a PKCS#11 module with a copy of the shim in front, and a token that it sees. Nothing is loaded until a test loads
/// [`PrivateModule::module_path`], in this process or in a child.
pub struct PrivateModule {
    directory: TempDir,
    token: Token,
}

const SHIM: &str = "shim.so";
const BELOW: &str = "module.so";
const CONTROL: &str = "control";

impl PrivateModule {
    /// A SoftHSM2 with a new token, whose label starts with `label`. It sees the other tokens of [`SoftHsm::shared`] that are
    /// made before it is initialised, too.
    ///
    /// `None`, after a printed `SKIP:` line, under the conditions of [`SoftHsm::shared`].
    ///
    /// # Panics
    /// As [`SoftHsm::shared`] and [`SoftHsm::token`].
    pub fn new(label: &str) -> Option<Self> {
        Self::with_faults(label, &[])
    }

    /// The same where `commands` are in force before the module's first call, as [`Command::BreakLink`] for a token that is
    /// away from the start.
    ///
    /// # Panics
    /// As [`PrivateModule::new`].
    pub fn with_faults(label: &str, commands: &[Command]) -> Option<Self> {
        let softhsm = SoftHsm::shared()?;
        Some(Self::around(softhsm.module(), softhsm.token(label), commands, |_| None))
    }

    /// Another instance of SoftHSM2 that sees a token which exists.
    ///
    /// # Panics
    /// Where the copies cannot be made.
    pub fn of_token(softhsm: &SoftHsm, token: &Token) -> Self {
        Self::around(softhsm.module(), token.clone(), &[], |_| None)
    }

    /// A kryoptic with a new token, whose label starts with `label`. It sees no other.
    ///
    /// `None`, after a printed `SKIP:` line, under the conditions of [`Kryoptic::shared`].
    ///
    /// # Panics
    /// As [`Kryoptic::shared`] and [`Kryoptic::token`].
    pub fn kryoptic(label: &str) -> Option<Self> {
        let kryoptic = Kryoptic::shared()?;
        let (token, conf) = kryoptic.lone_token(label);
        Some(Self::around(kryoptic.module(), token, &[], |directory| {
            let path = directory.join("kryoptic.conf");
            fs::write(&path, conf).expect("the configuration is written");
            Some(format!("kryoptic_conf={}", path.display()))
        }))
    }

    /// A softokn of NSS with a new token called `label`: one that lets keys out which must not come out.
    ///
    /// `None`, after a printed `SKIP:` line, where NSS is not installed (Debian, Ubuntu: `libnss3`).
    ///
    /// # Panics
    /// Where it does not start.
    pub fn nss(label: &str) -> Option<Self> {
        nss::new(label)
    }

    /// A copy of any module. `settle` may put files into its directory; what it returns is for the reserved argument of
    /// C_Initialize.
    pub(crate) fn around(
        module: &Path,
        token: Token,
        commands: &[Command],
        settle: impl FnOnce(&Path) -> Option<String>,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory is made");
        let at = |name| directory.path().join(name);
        fs::copy(module, at(BELOW)).expect("the module is copied");
        fs::copy(shim_library(), at(SHIM)).expect("the shim is copied");
        let mut settings = format!("module = {}\ncontrol = {}\n", at(BELOW).display(), at(CONTROL).display());
        settle(directory.path())
            .map(|text| writeln!(settings, "init-args = {text}"))
            .transpose()
            .expect("a string takes it");
        commands.iter().try_for_each(|command| writeln!(settings, "command = {command}")).expect("a string takes it");
        fs::write(at(&format!("{SHIM}.conf")), settings).expect("the settings are written");
        Self { directory, token }
    }

    pub(crate) fn set_serial(&mut self, serial: String) {
        self.token.serial = serial;
    }

    /// The module to load: the shim.
    pub fn module_path(&self) -> PathBuf {
        self.directory.path().join(SHIM)
    }

    /// The token.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Commands to the shim. They wait until somebody has loaded the module. Of two processes that load it, the first listens.
    pub fn control(&self) -> Control {
        Control::at(self.directory.path().join(CONTROL))
    }
}

/// The shim as a C library. Cargo builds it beside the test programs, since this crate depends on it.
///
/// # Panics
/// Where it is not there.
pub fn shim_library() -> PathBuf {
    let name = format!("{}pkcs11_shim{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    let program = env::current_exe().expect("this program has a path");
    let folders = program.ancestors().skip(1).take(3);
    let places = folders.flat_map(|folder| [folder.join(&name), folder.join("deps").join(&name)]);
    let mut places = places.filter(|place| place.exists());
    places.next().unwrap_or_else(|| panic!("{name} is not near {}: cargo build -p pkcs11-shim", program.display()))
}
