//! What a data directory holds already, compared with what `init` is asked for: an option that would change nothing is refused
//! rather than passed over in silence.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

use clap::ValueEnum;

use super::{HsmArg, InitArgs, TlsKeyArg};
use crate::{
    ca::{describe, read_certificates},
    cli::{CliError, admin::open_store, data_dir::exists, error::UsageError},
    config::{Config, HsmBackend},
};

/// A configuration that is there, with its first adapter.
pub(super) struct Kept {
    file: PathBuf,
    config: Config,
    first_adapter: Option<String>,
}

impl Kept {
    /// What is in `dir`; `None` where it has no configuration yet.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, CliError> {
        let dir = std::path::absolute(dir).map_err(CliError::file(dir))?;
        let file = dir.join("keystead.toml");
        if !exists(&file)? {
            return Ok(None);
        }
        let config = Config::load(&file)?;
        let first_adapter = if exists(&config.store.path)? {
            let store = open_store(&config)?;
            store.trust()?.adapters.into_iter().next().map(|adapter| adapter.name)
        } else {
            None
        };
        Ok(Some(Self { file, config, first_adapter }))
    }

    /// The name of the first adapter, once there is one.
    pub(super) fn first_adapter(&self) -> Option<&str> {
        self.first_adapter.as_deref()
    }

    /// Refuses options that say something else than what is there. The root key is compared once the HSM is open.
    pub(super) fn compare(&self, args: &InitArgs) -> Result<(), CliError> {
        self.compare_hsm(args)?;
        self.compare_keys(args)?;
        match (&args.adapter, &self.first_adapter) {
            (Some(given), Some(first)) if given != first => {
                Err(UsageError::OtherAdapter { first: first.clone(), config: self.file.clone() }.into())
            }
            _ => Ok(()),
        }
    }

    fn compare_hsm(&self, args: &InitArgs) -> Result<(), CliError> {
        let backend = &self.config.hsm.backend;
        let kept = match backend {
            HsmBackend::Software(_) => HsmArg::Software,
            HsmBackend::Pkcs11(token) if token.softhsm_conf.is_some() => HsmArg::SoftHsm,
            HsmBackend::Pkcs11(_) => HsmArg::Pkcs11,
        };
        if let Some(given) = args.hsm.filter(|given| *given != kept) {
            return Err(self.differs("hsm.backend", kept.name(), "--hsm", given.name()));
        }
        let path = |path: &PathBuf| -> Result<String, CliError> {
            let path = std::path::absolute(path).map_err(CliError::file(path))?;
            Ok(path.display().to_string())
        };
        let given = [
            ("hsm.module", "--module", args.module.as_ref().map(path).transpose()?),
            ("hsm.token_label", "--token-label", args.token_label.clone()),
            ("hsm.pin_file", "--pin-file", args.pin_file.as_ref().map(path).transpose()?),
        ];
        for (setting, option, given) in given {
            let Some(given) = given else { continue };
            let HsmBackend::Pkcs11(token) = backend else {
                return Err(self.differs("hsm.backend", kept.name(), option, given));
            };
            let there = match setting {
                "hsm.module" => path(&token.module)?,
                "hsm.pin_file" => path(&token.pin_file)?,
                _ => token.token_label.clone(),
            };
            if there != given {
                return Err(self.differs(setting, there, option, given));
            }
        }
        Ok(())
    }

    /// Compares where the keys are, and the kind of the server's with that of its certificate, where there is one.
    fn compare_keys(&self, args: &InitArgs) -> Result<(), CliError> {
        let (tls, audit) = (&self.config.tls, &self.config.audit);
        if let Some(given) = args.tls_key
            && given.in_hsm().is_some() == tls.key.file().is_some()
        {
            return Err(self.differs("tls.key", &tls.key, "--tls-key", shown(given)));
        }
        if let (Some(given), Some(file)) = (args.ca_key, tls.ca_key.file()) {
            return Err(self.differs("tls.ca_key", file.display(), "--ca-key", shown(given)));
        }
        if let (Some(given), None) = (args.audit_key, &audit.signing_key) {
            return Err(self.differs("audit.signing_key", "", "--audit-key", shown(given)));
        }
        let (path, Some(given)) = (&tls.certificate, args.tls_key.map(TlsKeyArg::kind_name)) else { return Ok(()) };
        if !exists(path)? {
            return Ok(());
        }
        let file = std::fs::read(path).map_err(CliError::file(path))?;
        for certificate in read_certificates(&file).map_err(CliError::content(path))?.iter().take(1) {
            let kept = describe(certificate)?.key;
            if kept != given {
                return Err(UsageError::OtherKey { certificate: path.clone(), kept, given }.into());
            }
        }
        Ok(())
    }

    fn differs(
        &self,
        setting: &'static str,
        kept: impl Display,
        option: &'static str,
        given: impl Display,
    ) -> CliError {
        let (file, kept, given) = (self.file.clone(), kept.to_string(), given.to_string());
        UsageError::Differs { file, setting, kept, option, given }.into()
    }
}

/// A choice as it is written on the command line.
fn shown(choice: impl ValueEnum) -> String {
    choice.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
