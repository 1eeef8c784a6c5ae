//! The HSM of a command that may need none: opened at the first call, because a login takes time and a wrong PIN brings a token
//! closer to locking itself.

use std::sync::{Arc, OnceLock};

use hal::{
    Capabilities, DestroyConsent, HalError, Health, Kcv, Kek, KeyWrapper, Label, Outage, RootKeyInfo, RootKeyVersion,
    RootKeys, SecretBytes, SelfTestReport, SignScheme, SignerId, SignerInfo, SignerKind, TokenState, WrappedKek,
};
use parking_lot::Mutex;

use crate::{
    cli::{CliError, backend},
    config::HsmConfig,
    root_keys,
    store::Store,
};

/// An HSM that is opened when it is needed.
pub(super) struct Deferred {
    config: HsmConfig,
    /// Knows which keys the HSM must hold.
    store: Arc<Store>,
    opened: OnceLock<Option<Arc<dyn RootKeys>>>,
    not_opened: Mutex<Option<CliError>>,
    said: Mutex<Option<HalError>>,
    nothing: Capabilities,
}

impl Deferred {
    pub(super) fn new(config: HsmConfig, store: Arc<Store>) -> Self {
        let nothing = Capabilities {
            backend: "none",
            is_hsm: false,
            token: None,
            schemes: Vec::new(),
            scheme: None,
            sessions: 0,
        };
        Self { config, store, opened: OnceLock::new(), not_opened: Mutex::default(), said: Mutex::default(), nothing }
    }

    /// Opens it, unless it is open.
    pub(super) fn open(&self) -> Result<(), CliError> {
        self.hal().map(drop).map_err(|error| self.not_opened().unwrap_or(error.into()))
    }

    /// Why it could not be opened.
    pub(super) fn not_opened(&self) -> Option<CliError> {
        self.not_opened.lock().take()
    }

    /// What it answered to the last call that failed and mattered.
    pub(super) fn said(&self) -> Option<HalError> {
        self.said.lock().take()
    }

    fn hal(&self) -> Result<&dyn RootKeys, HalError> {
        let opened = self.opened.get_or_init(|| match self.open_now() {
            Ok(hal) => Some(hal),
            Err(error) => {
                *self.not_opened.lock() = Some(error);
                None
            }
        });
        // What is wrong is told in its own words, not in these.
        opened.as_deref().ok_or(HalError::Unavailable(Outage::DeviceFailed))
    }

    fn open_now(&self) -> Result<Arc<dyn RootKeys>, CliError> {
        let hal = backend::open(&self.config)?;
        root_keys::expect_recorded(&self.store.root_keys()?, &*hal);
        Ok(hal)
    }

    fn ask<T>(&self, call: impl FnOnce(&dyn RootKeys) -> Result<T, HalError>) -> Result<T, HalError> {
        let answer = call(self.hal()?);
        if let Err(error) = &answer {
            let mut said = self.said.lock();
            // What was refused matters more than what was not found when it was taken back.
            let is_weighty = |error: &HalError| matches!(error, HalError::Refused(_) | HalError::Unavailable(_));
            if is_weighty(error) || !said.as_ref().is_some_and(is_weighty) {
                *said = Some(error.clone());
            }
        }
        answer
    }
}

impl KeyWrapper for Deferred {
    fn wrap_kek(&self, under: RootKeyVersion, kek: &Kek) -> Result<WrappedKek, HalError> {
        self.ask(|hal| hal.wrap_kek(under, kek))
    }

    fn unwrap_kek(&self, wrapped: &WrappedKek) -> Result<Kek, HalError> {
        self.ask(|hal| hal.unwrap_kek(wrapped))
    }

    fn sign(&self, signer: SignerId, message: &[u8], scheme: SignScheme) -> Result<Vec<u8>, HalError> {
        self.ask(|hal| hal.sign(signer, message, scheme))
    }

    fn random(&self, out: &mut [u8]) -> Result<(), HalError> {
        self.ask(|hal| hal.random(out))
    }

    fn health(&self) -> Health {
        self.hal().map_or_else(Health::Down, |hal| hal.health())
    }

    fn capabilities(&self) -> &Capabilities {
        self.hal().map_or(&self.nothing, |hal| hal.capabilities())
    }

    fn token_states(&self) -> Vec<TokenState> {
        self.hal().map(|hal| hal.token_states()).unwrap_or_default()
    }
}

impl RootKeys for Deferred {
    fn generate_root(&self, label: &Label) -> Result<RootKeyInfo, HalError> {
        self.ask(|hal| hal.generate_root(label))
    }

    fn generate_version(&self, key: RootKeyVersion, label: &Label) -> Result<RootKeyInfo, HalError> {
        self.ask(|hal| hal.generate_version(key, label))
    }

    fn import_root(&self, key: RootKeyVersion, label: &Label, material: SecretBytes) -> Result<RootKeyInfo, HalError> {
        self.ask(|hal| hal.import_root(key, label, material))
    }

    fn describe_root(&self, key: RootKeyVersion) -> Result<RootKeyInfo, HalError> {
        self.ask(|hal| hal.describe_root(key))
    }

    fn list_roots(&self) -> Result<Vec<RootKeyInfo>, HalError> {
        self.ask(|hal| hal.list_roots())
    }

    fn expect_root(&self, key: RootKeyVersion, kcv: Kcv) {
        if let Ok(hal) = self.hal() {
            hal.expect_root(key, kcv);
        }
    }

    fn self_test(&self, key: RootKeyVersion) -> Result<SelfTestReport, HalError> {
        self.ask(|hal| hal.self_test(key))
    }

    fn expect_seals(&self, key: RootKeyVersion, made: u64) {
        if let Ok(hal) = self.hal() {
            hal.expect_seals(key, made);
        }
    }

    fn rewrap_keks(&self, wrapped: &[WrappedKek], under: RootKeyVersion) -> Vec<Result<WrappedKek, HalError>> {
        match self.hal() {
            Ok(hal) => hal.rewrap_keks(wrapped, under),
            Err(error) => wrapped.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn destroy_root(&self, key: RootKeyVersion, consent: DestroyConsent) -> Result<(), HalError> {
        self.ask(|hal| hal.destroy_root(key, consent))
    }

    fn generate_signer(&self, label: &Label, kind: SignerKind) -> Result<SignerInfo, HalError> {
        self.ask(|hal| hal.generate_signer(label, kind))
    }

    fn find_signer(&self, label: &Label) -> Result<Option<SignerInfo>, HalError> {
        self.ask(|hal| hal.find_signer(label))
    }

    fn describe_signer(&self, signer: SignerId) -> Result<SignerInfo, HalError> {
        self.ask(|hal| hal.describe_signer(signer))
    }
}
