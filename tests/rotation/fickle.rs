//! An HSM that goes away and comes back on command.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use hal::{software::SoftwareHal, *};

/// A software HAL in front of which somebody pulls the plug.
pub struct Fickle {
    hal: Arc<SoftwareHal>,
    away: AtomicBool,
    rewrapped: AtomicUsize,
    /// It goes away by itself once it has wrapped so many again; never at 0.
    goes_after: AtomicUsize,
}

impl Fickle {
    pub fn new(hal: &Arc<SoftwareHal>, goes_after: usize) -> Arc<Self> {
        let (hal, goes_after) = (Arc::clone(hal), AtomicUsize::new(goes_after));
        Arc::new(Self { hal, away: AtomicBool::new(false), rewrapped: AtomicUsize::new(0), goes_after })
    }

    pub fn is_away(&self) -> bool {
        self.away.load(Ordering::SeqCst)
    }

    /// It is there again, and stays.
    pub fn comes_back(&self) {
        self.goes_after.store(0, Ordering::SeqCst);
        self.away.store(false, Ordering::SeqCst);
    }

    /// How many KEKs it was asked to wrap again while it was there.
    pub fn rewrapped(&self) -> usize {
        self.rewrapped.load(Ordering::SeqCst)
    }

    fn there(&self) -> Result<&SoftwareHal, HalError> {
        if self.is_away() { Err(HalError::Unavailable(Outage::TokenAbsent)) } else { Ok(&self.hal) }
    }
}

impl KeyWrapper for Fickle {
    fn wrap_kek(&self, under: RootKeyVersion, kek: &Kek) -> Result<WrappedKek, HalError> {
        self.there()?.wrap_kek(under, kek)
    }

    fn unwrap_kek(&self, wrapped: &WrappedKek) -> Result<Kek, HalError> {
        self.there()?.unwrap_kek(wrapped)
    }

    fn sign(&self, signer: SignerId, message: &[u8], scheme: SignScheme) -> Result<Vec<u8>, HalError> {
        self.there()?.sign(signer, message, scheme)
    }

    fn random(&self, out: &mut [u8]) -> Result<(), HalError> {
        self.there()?.random(out)
    }

    fn health(&self) -> Health {
        self.there().map_or_else(Health::Down, |hal| hal.health())
    }

    fn capabilities(&self) -> &Capabilities {
        self.hal.capabilities()
    }

    fn token_states(&self) -> Vec<TokenState> {
        self.hal.token_states()
    }
}

impl RootKeys for Fickle {
    fn generate_root(&self, label: &Label) -> Result<RootKeyInfo, HalError> {
        self.there()?.generate_root(label)
    }

    fn generate_version(&self, key: RootKeyVersion, label: &Label) -> Result<RootKeyInfo, HalError> {
        self.there()?.generate_version(key, label)
    }

    fn import_root(&self, key: RootKeyVersion, label: &Label, material: SecretBytes) -> Result<RootKeyInfo, HalError> {
        self.there()?.import_root(key, label, material)
    }

    fn describe_root(&self, key: RootKeyVersion) -> Result<RootKeyInfo, HalError> {
        self.there()?.describe_root(key)
    }

    fn list_roots(&self) -> Result<Vec<RootKeyInfo>, HalError> {
        self.there()?.list_roots()
    }

    fn expect_root(&self, key: RootKeyVersion, kcv: Kcv) {
        self.hal.expect_root(key, kcv);
    }

    fn expect_seals(&self, key: RootKeyVersion, made: u64) {
        self.hal.expect_seals(key, made);
    }

    fn self_test(&self, key: RootKeyVersion) -> Result<SelfTestReport, HalError> {
        self.there()?.self_test(key)
    }

    fn rewrap_keks(&self, wrapped: &[WrappedKek], under: RootKeyVersion) -> Vec<Result<WrappedKek, HalError>> {
        let rewrap = |one: &WrappedKek| {
            let answer = self.there()?.rewrap_keks(std::slice::from_ref(one), under).remove(0);
            let count = self.rewrapped.fetch_add(1, Ordering::SeqCst) + 1;
            if count == self.goes_after.load(Ordering::SeqCst) {
                self.away.store(true, Ordering::SeqCst);
            }
            answer
        };
        wrapped.iter().map(rewrap).collect()
    }

    fn destroy_root(&self, key: RootKeyVersion, consent: DestroyConsent) -> Result<(), HalError> {
        self.there()?.destroy_root(key, consent)
    }

    fn generate_signer(&self, label: &Label, kind: SignerKind) -> Result<SignerInfo, HalError> {
        self.there()?.generate_signer(label, kind)
    }

    fn find_signer(&self, label: &Label) -> Result<Option<SignerInfo>, HalError> {
        self.there()?.find_signer(label)
    }

    fn describe_signer(&self, signer: SignerId) -> Result<SignerInfo, HalError> {
        self.there()?.describe_signer(signer)
    }
}
