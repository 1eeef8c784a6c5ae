//! Backends to test: each with a key store of its own.

use std::time::Duration;

use hal::{
    SecretBytes, WrapScheme,
    pkcs11::{Pkcs11Config, Pkcs11Hal},
    software::SoftwareHal,
};
use pkcs11_fixtures::{SoftHsm, Token};

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

pub(crate) fn softhsm(scheme: WrapScheme) -> Option<Pkcs11Hal> {
    let softhsm = SoftHsm::shared()?;
    let token = softhsm.token("contract");
    Some(connect(Pkcs11Config { scheme: Some(scheme), ..config(softhsm, &token) }))
}

pub(crate) fn connect(config: Pkcs11Config) -> Pkcs11Hal {
    Pkcs11Hal::new(config).expect("the configuration is in range")
}

pub(crate) fn config(softhsm: &SoftHsm, token: &Token) -> Pkcs11Config {
    Pkcs11Config {
        module: softhsm.module().to_owned(),
        token_label: token.label.clone(),
        token_serial: Some(token.serial.clone()),
        pin: secret(&token.pin).into(),
        workers: 2,
        queue: 64,
        deadline: PATIENT,
        scheme: None,
    }
}

pub(crate) fn secret(text: &str) -> SecretBytes {
    SecretBytes::from(text.as_bytes().to_vec())
}
