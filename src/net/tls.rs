//! TLS 1.2 and 1.3 with a required client certificate, and the server's own certificate.
//!
//! It owns the rustls configuration. Who a certificate belongs to is [`Trust`](crate::trust::Trust)'s to say; this module asks
//! it during the handshake, and `server.rs` asks again after it, because a resumed session skips the first time.

use std::{
    fmt,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use hal::{HalError, Label};
use parking_lot::{Mutex, RwLock};
use rustls::{
    CertificateError, OtherError, ServerConfig, SignatureAlgorithm, SignatureScheme,
    server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache},
    sign::{CertifiedKey, Signer, SigningKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};

use super::{
    client_certificate::{ClientVerifier, Doorkeeper},
    hsm_key::{CertifiedHsmKey, HsmKey, HsmKeyError},
};
use crate::trust::{LiveTrust, Refusal};

/// Sessions kept for clients that resume by session identifier because they know no tickets.
const REMEMBERED_SESSIONS: usize = 4096;

/// Threads for handshakes that may wait for the HSM, where nothing else is said.
const HANDSHAKE_THREADS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key file cannot be read as PEM.
    #[error("{path}: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rustls_pki_types::pem::Error,
    },
    /// The file holds no certificate.
    #[error("{path}: no certificate in it")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The key in the HSM cannot be used, or does not belong to the certificate.
    #[error("the server's key {label:?} in the HSM cannot be used: {source}")]
    Hsm {
        /// The key's label.
        label: String,
        /// The cause.
        source: HsmKeyError,
    },
    /// The key cannot be used, or does not belong to the certificate.
    #[error("the server's key cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
    /// Threads for handshakes that wait for the HSM could not be started.
    #[error("threads could not be started: {0}")]
    Threads(std::io::Error),
}

/// Where the server's private key is.
#[derive(Clone, Debug)]
pub enum ServerKey {
    /// In a file, PEM.
    File(PathBuf),
    /// In the HSM, under a label.
    Hsm(HsmKey, Label),
}

/// The server's certificate chain and key. Can be replaced while connections are being accepted.
pub struct ServerCertificate {
    pub(super) current: RwLock<Arc<CertifiedKey>>,
    /// The key of `current`, where it is in the HSM.
    hsm_key: RwLock<Option<CertifiedHsmKey>>,
    pub(super) source: Option<(PathBuf, ServerKey)>,
    /// Held while the certificate is renewed.
    pub(super) renewing: Mutex<()>,
}

impl ServerCertificate {
    /// Reads the chain (PEM, server certificate first), and the private key from its file or from the HSM. An HSM that is away
    /// is no error: handshakes fail until it is back, and a key that is not the certificate's is found out then.
    ///
    /// # Errors
    /// The chain or the key cannot be used, or the key does not belong to the certificate.
    pub fn load(chain: PathBuf, key: ServerKey) -> Result<Self, TlsError> {
        let (current, hsm_key) = match &key {
            ServerKey::File(file) => (read_pem(&chain, file)?, None),
            ServerKey::Hsm(key, label) => {
                let (current, certified) = read_chain_of_hsm_key(&chain, key, label)?;
                match certified.prove() {
                    Ok(()) => {}
                    Err(HsmKeyError::Hsm(error @ (HalError::Unavailable(_) | HalError::Refused(_)))) => {
                        tracing::warn!(%label, %error, "the server's key in the HSM cannot be used yet");
                    }
                    Err(source) => return Err(TlsError::Hsm { label: label.to_string(), source }),
                }
                (current, Some(certified))
            }
        };
        Ok(Self {
            current: RwLock::new(Arc::new(current)),
            hsm_key: RwLock::new(hsm_key),
            source: Some((chain, key)),
            renewing: Mutex::default(),
        })
    }

    /// Takes a chain (server certificate first) and whatever signs for it at once, such as a key in memory.
    ///
    /// # Errors
    /// The key does not belong to the certificate.
    pub fn from_signing_key(chain: Vec<CertificateDer<'static>>, key: Arc<dyn SigningKey>) -> Result<Self, TlsError> {
        let certified = CertifiedKey::new(chain, key);
        check_match(&certified)?;
        Ok(Self {
            current: RwLock::new(Arc::new(certified)),
            hsm_key: RwLock::new(None),
            source: None,
            renewing: Mutex::default(),
        })
    }

    /// Takes a chain to be looked at, without its key: no handshake is answered with it, and there is nothing to read again.
    #[must_use]
    pub fn without_key(chain: Vec<CertificateDer<'static>>) -> Self {
        Self {
            current: RwLock::new(Arc::new(CertifiedKey::new(chain, Arc::new(NoKey)))),
            hsm_key: RwLock::new(None),
            source: None,
            renewing: Mutex::default(),
        }
    }

    /// Reads what [`ServerCertificate::load`] read once more, for all handshakes from now on. On an error the old one stays.
    ///
    /// # Errors
    /// As for [`ServerCertificate::load`], and where a new key in the HSM cannot be proven now.
    pub fn reload(&self) -> Result<(), TlsError> {
        let Some((chain, key)) = &self.source else { return Ok(()) };
        match key {
            ServerKey::File(file) => *self.current.write() = Arc::new(read_pem(chain, file)?),
            ServerKey::Hsm(key, label) => {
                let (next, certified) = read_chain_of_hsm_key(chain, key, label)?;
                if let Some(earlier) = &*self.hsm_key.read() {
                    certified.trust_as(earlier);
                }
                // A renewed certificate for the same key needs no HSM; one for another key is not taken on trust.
                if !certified.is_proven() {
                    certified.prove().map_err(|source| TlsError::Hsm { label: label.to_string(), source })?;
                }
                *self.current.write() = Arc::new(next);
                *self.hsm_key.write() = Some(certified);
            }
        }
        Ok(())
    }

    /// The chain that handshakes are answered with, the server's own certificate first.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.current.read().cert.clone()
    }

    /// Whether signing may have to wait for an HSM.
    pub(super) fn may_wait_for_hsm(&self) -> bool {
        matches!(self.source, Some((_, ServerKey::Hsm(..))))
    }
}

/// Signs nothing.
#[derive(Debug)]
struct NoKey;

impl SigningKey for NoKey {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        None
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Anonymous
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read()))
    }
}

/// Everything TLS needs to know, made once.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    pub(super) rustls: Arc<ServerConfig>,
    pub(super) trust: Arc<LiveTrust>,
    /// How many threads of their own handshakes have; `None` where they run on the network threads.
    pub(super) handshake_threads: Option<NonZeroUsize>,
}

impl TlsConfig {
    /// TLS with `certificate` as the server's and `trust` to recognise clients. Cipher suites are ring's: AES-GCM and
    /// ChaCha20-Poly1305, with ECDHE in 1.2.
    ///
    /// # Errors
    /// The random source failed.
    pub fn new(certificate: Arc<ServerCertificate>, trust: Arc<LiveTrust>) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let handshake_threads = certificate.may_wait_for_hsm().then_some(HANDSHAKE_THREADS);
        let verifier = Arc::new(ClientVerifier::new(&provider, Recognised(Arc::clone(&trust))));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(certificate);
        // Either carries the client's certificate along, which server.rs holds against the trust of that moment.
        config.ticketer = rustls::crypto::ring::Ticketer::new()?;
        config.session_storage = ServerSessionMemoryCache::new(REMEMBERED_SESSIONS);
        Ok(Self { rustls: Arc::new(config), trust, handshake_threads })
    }

    /// Sets how many handshakes may wait for the HSM at the same time; of no effect where the server's key is not in the HSM.
    /// Anybody who can connect causes signatures, so this should be fewer than the HSM serves at the same time.
    #[must_use]
    pub fn handshakes_at_once(mut self, threads: NonZeroUsize) -> Self {
        self.handshake_threads = self.handshake_threads.map(|_| threads);
        self
    }
}

/// Finds the refusal that made a handshake fail.
pub(super) fn refusal_in(error: &rustls::Error) -> Option<&Refusal> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => cause.downcast_ref(),
        _ => None,
    }
}

/// Lets a client certificate pass if the trust of this moment recognises it.
#[derive(Debug)]
struct Recognised(Arc<LiveTrust>);

impl Doorkeeper for Recognised {
    const MANDATORY: bool = true;

    fn admit(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        match self.0.current().identify(end_entity, intermediates, now) {
            Ok(_) => Ok(()),
            // Carried whole to where the peer's address is known and the log line is written.
            Err(refusal) => Err(CertificateError::Other(OtherError(Arc::new(refusal))).into()),
        }
    }
}

pub(super) fn read_chain(chain: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let in_chain = |source| TlsError::Pem { path: chain.to_owned(), source };
    let certificates =
        CertificateDer::pem_file_iter(chain).map_err(in_chain)?.collect::<Result<Vec<_>, _>>().map_err(in_chain)?;
    if certificates.is_empty() { Err(TlsError::NoCertificate { path: chain.to_owned() }) } else { Ok(certificates) }
}

fn read_chain_of_hsm_key(
    path: &Path,
    key: &HsmKey,
    label: &Label,
) -> Result<(CertifiedKey, CertifiedHsmKey), TlsError> {
    let chain = read_chain(path)?;
    let first = chain.first().ok_or_else(|| TlsError::NoCertificate { path: path.to_owned() })?;
    let certified = CertifiedHsmKey::new(key.clone(), first)
        .map_err(|source| TlsError::Hsm { label: label.to_string(), source })?;
    Ok((CertifiedKey::new(chain, Arc::new(certified.clone())), certified))
}

fn read_pem(chain: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let certificates = read_chain(chain)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Pem { path: key.to_owned(), source })?;
    let certified = CertifiedKey::new(certificates, rustls::crypto::ring::sign::any_supported_type(&key)?);
    check_match(&certified)?;
    Ok(certified)
}

/// A key that cannot tell its public half is taken at its word; the first handshake will tell.
fn check_match(certified: &CertifiedKey) -> Result<(), TlsError> {
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
