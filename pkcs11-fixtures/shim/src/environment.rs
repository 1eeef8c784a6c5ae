//! Environment variables that a C library will read: with the loading of libraries, what a test needs `unsafe` for.

#![expect(unsafe_code, reason = "some modules take their configuration from the environment and from nowhere else")]

use std::{env, path::Path, sync::Once};

/// Sets variables to paths, at the first call of the process. Later calls change nothing. Call it at the start of a test,
/// before a module that reads them is loaded.
pub fn set_once(variables: &[(&str, &Path)]) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (name, path) in variables {
            // SAFETY: setting a variable is unsound only while another thread reads the environment past the standard
            // library's lock (C's getenv). This runs once for a process, before the modules that read these variables are
            // loaded; the test harness's other threads read variables, if any, through the standard library.
            unsafe { env::set_var(name, path) }
        }
    });
}
