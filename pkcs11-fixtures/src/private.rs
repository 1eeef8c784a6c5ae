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

use crate::{SoftHsm, Token};

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
        let softhsm = SoftHsm::shared()?;
        Some(Self::around(softhsm.module(), softhsm.token(label), None, &[]))
    }

    /// The same where `commands` are in force before the module's first call, as [`Command::BreakLink`] for a token that is
    /// away from the start.
    ///
    /// # Panics
    /// As [`PrivateModule::new`].
    pub fn with_faults(label: &str, commands: &[Command]) -> Option<Self> {
        let softhsm = SoftHsm::shared()?;
        Some(Self::around(softhsm.module(), softhsm.token(label), None, commands))
    }

    /// Another instance of SoftHSM2 that sees a token which exists.
    ///
    /// # Panics
    /// Where the copies cannot be made.
    pub fn of_token(softhsm: &SoftHsm, token: &Token) -> Self {
        Self::around(softhsm.module(), token.clone(), None, &[])
    }

    /// A copy of any module, with the text that it wants as the reserved argument of C_Initialize if it wants one.
    pub(crate) fn around(module: &Path, token: Token, init_args: Option<&str>, commands: &[Command]) -> Self {
        let directory = tempfile::tempdir().expect("a directory is made");
        let at = |name| directory.path().join(name);
        fs::copy(module, at(BELOW)).expect("the module is copied");
        fs::copy(shim_library(), at(SHIM)).expect("the shim is copied");
        let mut settings = format!("module = {}\ncontrol = {}\n", at(BELOW).display(), at(CONTROL).display());
        init_args.map(|text| writeln!(settings, "init-args = {text}")).transpose().expect("a string takes it");
        commands.iter().try_for_each(|command| writeln!(settings, "command = {command}")).expect("a string takes it");
        fs::write(at(&format!("{SHIM}.conf")), settings).expect("the settings are written");
        Self { directory, token }
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
