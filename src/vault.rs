//! Seals key material and opens it again: the one module that names both `hal` and the store's identifiers.
//!
//! Every object has a KEK of its own, 256 bits, never reused: it seals exactly one material with AES-256-GCM and is itself
//! wrapped by the adapter's root key in the HSM. The additional data binds what never changes (adapter, object, object
//! type), so a row moved, swapped or replayed elsewhere in the database does not open. Plaintext exists only as
//! [`Material`], which cannot be stored, cloned or printed. NIST SP 800-38D, RFC 3394.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Instant,
};

use hal::{HalError, Kek, KeyWrapper, RootKeyVersion, WrappedKek};
use metrics::Histogram;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use zeroize::Zeroizing;

use crate::{
    store::{AdapterId, ObjectId},
    telemetry::metric,
};

/// Version of the sealed form; the first byte of every sealed material.
const FORMAT: u8 = 1;
/// What the additional data begins with, so that it can mean nothing elsewhere.
const CONTEXT: &[u8] = b"keystead sealed material 1";

/// Plaintext key material. Wiped on drop; has no `Clone`, no `Debug` content, no serialised form.
pub struct Material(Zeroizing<Vec<u8>>);

impl Material {
    /// Takes material over.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The bytes, to be encoded into a reply or used as a key, never to be kept.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Material(..)")
    }
}

/// Where material belongs: bound into its seal.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The adapter that owns the object.
    pub adapter: AdapterId,
    /// The object.
    pub object: ObjectId,
    /// Its KMIP Object Type code.
    pub object_type: u32,
}

/// Why material could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The HSM said no, or not now.
    #[error(transparent)]
    Hal(#[from] HalError),
    /// The sealed material is not what the vault wrote for this object: damaged, cut short, or moved from elsewhere.
    #[error("the sealed material does not open: damaged, or not this object's")]
    Tampered,
    /// The system has no random numbers.
    #[error("the system's random number generator failed")]
    NoRandomness,
}

/// Seals and opens.
pub struct Vault {
    hal: Arc<dyn KeyWrapper>,
    random: SystemRandom,
    wrapping: Stopwatch,
    unwrapping: Stopwatch,
}

impl Vault {
    /// A vault over `hal`.
    pub fn new(hal: Arc<dyn KeyWrapper>) -> Self {
        Self {
            hal,
            random: SystemRandom::new(),
            wrapping: Stopwatch::new("wrap"),
            unwrapping: Stopwatch::new("unwrap"),
        }
    }

    /// The HSM behind the vault, for its health.
    pub fn hal(&self) -> &dyn KeyWrapper {
        &*self.hal
    }

    /// Fills `out` with random bytes for a new key.
    ///
    /// # Errors
    /// `NoRandomness`.
    pub fn random(&self, out: &mut [u8]) -> Result<(), VaultError> {
        self.random.fill(out).map_err(|_| VaultError::NoRandomness)
    }

    /// Seals `material` for `place` under a new KEK, wrapped by `root`. One HSM call.
    ///
    /// # Errors
    /// The HSM refuses or is away.
    pub fn seal(&self, root: RootKeyVersion, place: &Place, material: &Material) -> Result<Vec<u8>, VaultError> {
        let mut kek = Zeroizing::new([0; 32]);
        self.random(&mut *kek)?;
        let wrapped = self.wrapping.time(|| self.hal.wrap_kek(root, &Kek::new(Zeroizing::new(*kek))))?.to_bytes();
        let mut nonce = [0; NONCE_LEN];
        self.random(&mut nonce)?;

        let plain = material.expose();
        let tag_len = AES_256_GCM.tag_len();
        let mut sealed = Vec::with_capacity(1 + 2 + wrapped.len() + NONCE_LEN + plain.len() + tag_len);
        sealed.push(FORMAT);
        sealed.extend(u16::try_from(wrapped.len()).map_err(|_| VaultError::Tampered)?.to_be_bytes());
        sealed.extend(&wrapped);
        sealed.extend(nonce);
        let start = sealed.len();
        sealed.extend(plain);
        let Some(body) = sealed.get_mut(start..) else { return Err(VaultError::Tampered) };
        let tag = key(&kek)?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place.additional_data()), body)
            .map_err(|_| VaultError::Tampered)?;
        sealed.extend(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what [`Vault::seal`] made for `place`. One HSM call.
    ///
    /// # Errors
    /// `Tampered` for anything else than that; the HSM refuses or is away.
    pub fn open(&self, place: &Place, sealed: &[u8]) -> Result<Material, VaultError> {
        let parts = Sealed::parse(sealed).ok_or(VaultError::Tampered)?;
        let wrapped = WrappedKek::from_bytes(parts.wrapped).map_err(|_| VaultError::Tampered)?;
        let kek = self.unwrapping.time(|| self.hal.unwrap_kek(&wrapped))?;
        let mut body = Zeroizing::new(parts.body.to_vec());
        let plain = key(kek.expose_secret())?
            .open_in_place(Nonce::assume_unique_for_key(parts.nonce), Aad::from(place.additional_data()), &mut body)
            .map_err(|_| VaultError::Tampered)?
            .len();
        body.truncate(plain);
        Ok(Material(body))
    }

    /// How the KEK of `sealed` is wrapped: for people who ask where a key lies. Opens nothing.
    pub fn wrapping_of(sealed: &[u8]) -> Option<WrappedKek> {
        WrappedKek::from_bytes(Sealed::parse(sealed)?.wrapped).ok()
    }
}

/// Measures one operation of the HSM. Its metric is looked up once, at the first use, when metrics are collected.
struct Stopwatch {
    operation: &'static str,
    histogram: OnceLock<Histogram>,
}

impl Stopwatch {
    fn new(operation: &'static str) -> Self {
        Self { operation, histogram: OnceLock::new() }
    }

    fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        let operation = self.operation;
        let histogram =
            self.histogram.get_or_init(|| metrics::histogram!(metric::HSM_SECONDS, "operation" => operation));
        histogram.record(start.elapsed());
        result
    }
}

/// The parts of a sealed material.
struct Sealed<'a> {
    wrapped: &'a [u8],
    nonce: [u8; NONCE_LEN],
    body: &'a [u8],
}

impl<'a> Sealed<'a> {
    fn parse(sealed: &'a [u8]) -> Option<Self> {
        let (&format, rest) = sealed.split_first()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (wrapped, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>()?;
        (format == FORMAT).then_some(Self { wrapped, nonce: *nonce, body })
    }
}

impl Place {
    fn additional_data(&self) -> [u8; CONTEXT.len() + 16 + 16 + 4] {
        let mut out = [0; CONTEXT.len() + 36];
        let parts: [&[u8]; 4] =
            [CONTEXT, self.adapter.0.as_bytes(), self.object.0.as_bytes(), &self.object_type.to_be_bytes()];
        for (to, from) in out.iter_mut().zip(parts.iter().flat_map(|part| part.iter())) {
            *to = *from;
        }
        out
    }
}

fn key(kek: &[u8; 32]) -> Result<LessSafeKey, VaultError> {
    UnboundKey::new(&AES_256_GCM, kek).map(LessSafeKey::new).map_err(|_| VaultError::Tampered)
}
