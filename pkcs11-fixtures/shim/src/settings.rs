//! Where the settings come from: a file beside the shim, then the environment.

use std::{
    env,
    ffi::CString,
    fs,
    path::{Path, PathBuf},
};

use crate::{grammar::Command, watched::lines};

/// Names the module below.
pub const MODULE_VARIABLE: &str = "PKCS11_SHIM_MODULE";
/// Names the control socket or file.
pub const CONTROL_VARIABLE: &str = "PKCS11_SHIM_CONTROL";

#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) module: Option<PathBuf>,
    pub(crate) control: Option<PathBuf>,
    pub(crate) init_args: Option<CString>,
    pub(crate) commands: Vec<Command>,
}

/// The file of settings of the shim at `library`.
pub(crate) fn beside(library: &Path) -> PathBuf {
    let mut name = library.as_os_str().to_owned();
    name.push(".conf");
    PathBuf::from(name)
}

impl Settings {
    /// The settings of the shim at `library`. What its file does not say, the environment may.
    pub(crate) fn of(library: &Path) -> Result<Self, String> {
        let path = beside(library);
        let mut settings = match fs::read_to_string(&path) {
            Ok(text) => Self::read(&text).map_err(|error| format!("{}: {error}", path.display()))?,
            Err(_) => Self::default(),
        };
        let or_variable = |value: Option<PathBuf>, name| value.or_else(|| env::var_os(name).map(PathBuf::from));
        settings.module = or_variable(settings.module, MODULE_VARIABLE);
        settings.control = or_variable(settings.control, CONTROL_VARIABLE);
        Ok(settings)
    }

    fn read(text: &str) -> Result<Self, String> {
        let mut settings = Self::default();
        for line in lines(text) {
            let (key, value) = line.split_once('=').ok_or_else(|| format!("not `key = value`: {line}"))?;
            let value = value.trim();
            match key.trim() {
                "module" => settings.module = Some(PathBuf::from(value)),
                "control" => settings.control = Some(PathBuf::from(value)),
                "init-args" => settings.init_args = Some(CString::new(value).map_err(|error| error.to_string())?),
                "command" => settings.commands.push(value.parse().map_err(|error| format!("{error}"))?),
                key => return Err(format!("unknown key: {key}")),
            }
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_settings_is_read() {
        let text = "# settings\nmodule = /lib/a b.so\ncontrol=/tmp/c\ninit-args = configdir='sql:/d' flags=\n\
                    command = break-link --down\ncommand = wrong-pin\n";
        let settings = Settings::read(text).expect("settings");
        assert_eq!(settings.module.expect("a module"), Path::new("/lib/a b.so"));
        assert_eq!(settings.control.expect("a control"), Path::new("/tmp/c"));
        assert_eq!(settings.init_args.expect("arguments").as_c_str(), c"configdir='sql:/d' flags=");
        assert_eq!(settings.commands, [Command::BreakLink { down: true }, Command::WrongPin(None)]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in ["modul = /lib/a.so", "module", "command = explode"] {
            assert!(Settings::read(text).is_err(), "{text}");
        }
        assert!(Settings::read("").expect("nothing").module.is_none());
    }

    #[test]
    fn the_file_lies_beside_the_library() {
        assert_eq!(beside(Path::new("/a/shim.so")), Path::new("/a/shim.so.conf"));
    }
}
