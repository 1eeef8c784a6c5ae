//! Backends to test: each with a key store of its own.

use std::{path::Path, time::Duration};

use hal::{
    SecretBytes, WrapScheme,
    pkcs11::{Pkcs11Config, Pkcs11Hal},
    software::SoftwareHal,
};
use pkcs11_fixtures::{Kryoptic, PrivateModule, SoftHsm, Token};

pub(crate) const PASSPHRASE: &str = "a passphrase for tests only";

/// Long enough that a busy machine does not reach it.
pub(crate) const PATIENT: Duration = Duration::from_secs(60);

pub(crate) struct Software {
    pub(crate) hal: SoftwareHal,
    pub(crate) directory: tempfile::TempDir,
}

pub(crate) fn software() -> Software {
    let directory = tempfile::tempdir().expect("a directory is made");
    let hal = SoftwareHal::create(&directory.path().join("roots"), &secret(PASSPHRASE)).expect("a file is made");
    Software { hal, directory }
}

/// A backend and, where it has a module of its own, that module.
pub(crate) struct OnToken {
    pub(crate) hal: Pkcs11Hal,
    _module: Option<PrivateModule>,
}

pub(crate) fn softhsm(scheme: WrapScheme) -> Option<OnToken> {
    let softhsm = SoftHsm::shared()?;
    Some(on_token(softhsm.module(), &softhsm.token("contract"), scheme))
}

pub(crate) fn kryoptic(scheme: WrapScheme) -> Option<OnToken> {
    let kryoptic = Kryoptic::shared()?;
    Some(on_token(kryoptic.module(), &kryoptic.token("contract"), scheme))
}

pub(crate) fn softhsm_through_the_shim(scheme: WrapScheme) -> Option<OnToken> {
    PrivateModule::new("contract").map(|module| through_the_shim(module, scheme))
}

pub(crate) fn kryoptic_through_the_shim(scheme: WrapScheme) -> Option<OnToken> {
    PrivateModule::kryoptic("contract").map(|module| through_the_shim(module, scheme))
}

fn through_the_shim(module: PrivateModule, scheme: WrapScheme) -> OnToken {
    let token = on_token(&module.module_path(), module.token(), scheme);
    OnToken { _module: Some(module), ..token }
}

fn on_token(module: &Path, token: &Token, scheme: WrapScheme) -> OnToken {
    let hal = connect(Pkcs11Config { scheme: Some(scheme), ..config_of(module, token) });
    OnToken { hal, _module: None }
}

pub(crate) fn connect(config: Pkcs11Config) -> Pkcs11Hal {
    Pkcs11Hal::new(config).expect("the configuration is in range")
}

pub(crate) fn config(softhsm: &SoftHsm, token: &Token) -> Pkcs11Config {
    config_of(softhsm.module(), token)
}

pub(crate) fn config_of(module: &Path, token: &Token) -> Pkcs11Config {
    Pkcs11Config {
        module: module.to_owned(),
        token_label: token.label.clone(),
        token_serial: Some(token.serial.clone()),
        pin: secret(&token.pin).into(),
        workers: 2,
        queue: 64,
        deadline: PATIENT,
        scheme: None,
        provider: None,
    }
}

pub(crate) fn secret(text: &str) -> SecretBytes {
    SecretBytes::from(text.as_bytes().to_vec())
}
