//! Opens the HSM backend that a configuration names.

use std::{ffi::OsStr, os::unix::process::CommandExt as _, path::Path, process::Command, sync::Arc, time::Duration};

use hal::{
    RootKeys, SecretBytes, WrapScheme,
    pkcs11::{PinSource, Pkcs11Config, Pkcs11Hal},
    software::SoftwareHal,
    tokens::TokenSet,
};

use super::CliError;
use crate::config::{HsmBackend, HsmConfig, SchemeChoice, TokenConfig, read_secret_file};

/// The variable in which SoftHSM2 looks for its configuration when its module is loaded.
const SOFTHSM2_CONF: &str = "SOFTHSM2_CONF";

/// Gives the process the environment that the backend's module reads when it is loaded. A process cannot safely change its
/// own, so where it differs the program starts itself again in its place, with the same arguments. Call this before
/// anything is read or printed.
pub(super) fn prepare_environment(backend: &HsmBackend) -> Result<(), CliError> {
    match backend {
        HsmBackend::Pkcs11(token) => match &token.softhsm_conf {
            Some(path) => use_softhsm_conf(path),
            None => Ok(()),
        },
        HsmBackend::Software(_) => Ok(()),
    }
}

/// Sees to it that SoftHSM2 will read `path`; see [`prepare_environment`].
pub(super) fn use_softhsm_conf(path: &Path) -> Result<(), CliError> {
    let path = std::path::absolute(path).map_err(CliError::file(path))?;
    if std::env::var_os(SOFTHSM2_CONF).as_deref() == Some(OsStr::new(&path)) {
        return Ok(());
    }
    let program = std::env::current_exe().map_err(|source| CliError::System { what: "its own name", source })?;
    let source = Command::new(program).args(std::env::args_os().skip(1)).env(SOFTHSM2_CONF, path).exec();
    Err(CliError::System { what: "to start the program again", source })
}

/// Opens the backend. A token that is away is no error here: its calls will say so.
pub(super) fn open(config: &HsmConfig) -> Result<Arc<dyn RootKeys>, CliError> {
    match &config.backend {
        HsmBackend::Software(files) => {
            let passphrase = secret(&files.passphrase_file)?;
            Ok(Arc::new(SoftwareHal::open(&files.key_file, &passphrase)?))
        }
        HsmBackend::Pkcs11(several) => {
            let tokens: Vec<_> = several.tokens().collect();
            // Where one of several does not answer there is time left to ask each of the others.
            let share = config.deadline / u32::try_from(tokens.len()).unwrap_or(u32::MAX).max(1);
            let open = |token| open_token(config, token, share);
            let opened = tokens.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
            match opened.as_slice() {
                [only] => Ok(Arc::clone(only)),
                _ => Ok(Arc::new(TokenSet::new(opened, config.deadline)?)),
            }
        }
    }
}

fn open_token(config: &HsmConfig, token: TokenConfig, deadline: Duration) -> Result<Arc<dyn RootKeys>, CliError> {
    Ok(Arc::new(Pkcs11Hal::new(Pkcs11Config {
        module: token.module,
        token_label: token.token_label,
        token_serial: token.token_serial,
        pin: pin_source(&token.pin_file)?,
        workers: config.workers as usize,
        queue: config.queue as usize,
        deadline,
        scheme: pinned(config.scheme),
        provider: config.provider,
    })?))
}

/// The scheme that is demanded of every token; `None` for the best of each.
pub(super) fn pinned(scheme: SchemeChoice) -> Option<WrapScheme> {
    match scheme {
        SchemeChoice::Auto => None,
        SchemeChoice::AesGcm => Some(WrapScheme::AesGcm),
        SchemeChoice::AesKw => Some(WrapScheme::AesKw),
        SchemeChoice::AesKwp => Some(WrapScheme::AesKwp),
    }
}

/// The PIN in the file `path`, read now so that a missing file is told at once, and again for every later login.
fn pin_source(path: &Path) -> Result<PinSource, CliError> {
    secret(path)?;
    let path = path.to_owned();
    Ok(PinSource::new(move || {
        let read = read_secret_file(&path).map(SecretBytes::new);
        read.inspect_err(|error| tracing::warn!(file = %path.display(), %error, "the PIN cannot be read")).ok()
    }))
}

/// The secret in the file `path`.
pub(super) fn secret(path: &Path) -> Result<SecretBytes, CliError> {
    read_secret_file(path).map(SecretBytes::new).map_err(CliError::secret(path))
}
