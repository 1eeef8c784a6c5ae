//! The one directory of a test process, and the variables through which tokens find it.
//!
//! SoftHSM2 and kryoptic read their configuration's path from the environment, once for a process, so both are set together,
//! before any of the two is loaded.

use std::{
    env, fs,
    io::{Write as _, stderr},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use pkcs11_shim::environment::set_once;
use tempfile::TempDir;

/// The variable through which SoftHSM2, in this process or a child, finds its configuration.
pub const CONF_VARIABLE: &str = "SOFTHSM2_CONF";
/// The same for kryoptic.
const KRYOPTIC_VARIABLE: &str = "KRYOPTIC_CONF";

const PREFIX: &str = "keystead-softhsm-";

/// This test process's directory, made at the first call.
pub(crate) fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        // A static is never dropped, so the directory is removed by the next run that finds it stale.
        remove_stale();
        let directory = TempDir::with_prefix(format!("{PREFIX}{}-", std::process::id())).expect("a directory is made");
        let directory = directory.keep();
        set_once(&[(CONF_VARIABLE, &softhsm_conf(&directory)), (KRYOPTIC_VARIABLE, &kryoptic_conf(&directory))]);
        directory
    })
}

/// Where SoftHSM2's configuration is in that directory.
pub(crate) fn softhsm_conf(directory: &Path) -> PathBuf {
    directory.join("softhsm2.conf")
}

/// Where kryoptic's configuration is in that directory.
pub(crate) fn kryoptic_conf(directory: &Path) -> PathBuf {
    directory.join("kryoptic.conf")
}

/// Says that something is not tested here. Written past the test harness, which shows a passing test's output to nobody.
pub(crate) fn skip(why: &str) {
    // Where nobody reads, nobody misses it.
    let _ = writeln!(stderr(), "SKIP: {why}");
}

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
