//! Seals key material and opens it again: the one module where it passes from the clear to what the store keeps, and back.
//!
//! Every object has a KEK of its own, 256 bits, never reused: it seals exactly one material with AES-256-GCM and is itself
//! wrapped by the adapter's root key in the HSM. The additional data binds what never changes (adapter, object, object
//! type), so a row moved, swapped or replayed elsewhere in the database does not open. A rotation of the root key wraps the KEK
//! again and leaves the sealed body as it is. Plaintext exists only as [`Material`], which cannot be stored, cloned or
//! printed. NIST SP 800-38D, RFC 3394.

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
    store::{AdapterId, ObjectId, SealedRow, WRAPPED_KEK_MAX},
    telemetry::{HsmTimes, metric},
};

// Every wrapped KEK has room in its row.
const _: () = assert!(WrappedKek::MAX_LEN == WRAPPED_KEK_MAX);

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

    /// How long the HSM took lately to wrap a key, and to unwrap one.
    #[must_use]
    pub fn times(&self) -> VaultTimes {
        VaultTimes { wrap: Arc::clone(&self.wrapping.times), unwrap: Arc::clone(&self.unwrapping.times) }
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
    pub fn seal(&self, root: RootKeyVersion, place: &Place, material: &Material) -> Result<SealedRow, VaultError> {
        let mut kek = Zeroizing::new([0; 32]);
        self.random(&mut *kek)?;
        let wrapped = self.wrapping.time(|| self.hal.wrap_kek(root, &Kek::new(Zeroizing::new(*kek))))?;
        let mut nonce = [0; NONCE_LEN];
        self.random(&mut nonce)?;

        let plain = material.expose();
        let mut body = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        body.extend(nonce);
        body.extend(plain);
        let Some(content) = body.get_mut(NONCE_LEN..) else { return Err(VaultError::Tampered) };
        let tag = key(&kek)?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.additional_data()),
                content,
            )
            .map_err(|_| VaultError::Tampered)?;
        body.extend(tag.as_ref());
        Ok(SealedRow { root: *root.root.as_uuid(), version: root.version, wrapped_kek: wrapped.to_bytes(), body })
    }

    /// Opens what [`Vault::seal`] made for `place`. One HSM call.
    ///
    /// # Errors
    /// `Tampered` for anything else than that; the HSM refuses or is away.
    pub fn open(&self, place: &Place, sealed: &SealedRow) -> Result<Material, VaultError> {
        let wrapped = Self::wrapping_of(sealed).ok_or(VaultError::Tampered)?;
        let (nonce, content) = sealed.body.split_first_chunk::<NONCE_LEN>().ok_or(VaultError::Tampered)?;
        let kek = self.unwrapping.time(|| self.hal.unwrap_kek(&wrapped))?;
        let mut content = Zeroizing::new(content.to_vec());
        let plain = key(kek.expose_secret())?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(place.additional_data()), &mut content)
            .map_err(|_| VaultError::Tampered)?
            .len();
        content.truncate(plain);
        Ok(Material(content))
    }

    /// How the KEK of `sealed` is wrapped: for people who ask where a key lies. Opens nothing. `None` where it is erased or
    /// damaged, or not under the root key and version of its row.
    pub fn wrapping_of(sealed: &SealedRow) -> Option<WrappedKek> {
        let wrapped = WrappedKek::from_bytes(&sealed.wrapped_kek).ok()?;
        (*wrapped.root.as_uuid() == sealed.root && wrapped.version == sealed.version).then_some(wrapped)
    }
}

/// How long the HSM takes. It goes on being measured.
#[derive(Clone, Debug, Default)]
pub struct VaultTimes {
    /// To wrap a key.
    pub wrap: Arc<HsmTimes>,
    /// To unwrap one.
    pub unwrap: Arc<HsmTimes>,
}

/// Measures one operation of the HSM. Its metric is looked up once, at the first use, when metrics are collected.
struct Stopwatch {
    operation: &'static str,
    histogram: OnceLock<Histogram>,
    times: Arc<HsmTimes>,
}

impl Stopwatch {
    fn new(operation: &'static str) -> Self {
        Self { operation, histogram: OnceLock::new(), times: Arc::default() }
    }

    fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        let operation = self.operation;
        let histogram =
            self.histogram.get_or_init(|| metrics::histogram!(metric::HSM_SECONDS, "operation" => operation));
        let took = start.elapsed();
        histogram.record(took);
        self.times.record(took);
        result
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
