//! TLS 1.2 and 1.3 with a required client certificate, and the server's own certificate.
//!
//! It owns the rustls configuration. Who a certificate belongs to is [`Trust`](crate::trust::Trust)'s to say; this module asks
//! it during the handshake, and `server.rs` asks again after it, because a resumed session skips the first time.

use std::{fmt, path::Path, path::PathBuf, sync::Arc};

use parking_lot::RwLock;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, PeerMisbehaved, ServerConfig,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key},
    server::{
        ClientHello, ResolvesServerCert, ServerSessionMemoryCache,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, SigningKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer, UnixTime, pem::PemObject};
use webpki::RawPublicKeyEntity;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::trust::{LiveTrust, Refusal};

/// Sessions kept for clients that resume by session identifier because they know no tickets.
const REMEMBERED_SESSIONS: usize = 4096;

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
    /// The key cannot be used, or does not belong to the certificate.
    #[error("the server's key cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
}

/// The server's certificate chain and key. Can be replaced while connections are being accepted.
pub struct ServerCertificate {
    pub(super) current: RwLock<Arc<CertifiedKey>>,
}

impl ServerCertificate {
    /// Reads the chain (server certificate first) and the private key from PEM files.
    ///
    /// # Errors
    /// One of the files cannot be used, or the key does not belong to the certificate.
    pub fn from_pem_files(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self { current: RwLock::new(Arc::new(read_pem(chain, key)?)) })
    }

    /// Takes a chain (server certificate first) and whatever signs for it, such as a key in an HSM.
    ///
    /// # Errors
    /// The key does not belong to the certificate.
    pub fn from_signing_key(chain: Vec<CertificateDer<'static>>, key: Arc<dyn SigningKey>) -> Result<Self, TlsError> {
        let certified = CertifiedKey::new(chain, key);
        check_match(&certified)?;
        Ok(Self { current: RwLock::new(Arc::new(certified)) })
    }

    /// Replaces the certificate for all handshakes from now on. On an error the old one stays.
    ///
    /// # Errors
    /// As for [`ServerCertificate::from_pem_files`].
    pub fn reload_pem_files(&self, chain: &Path, key: &Path) -> Result<(), TlsError> {
        let next = Arc::new(read_pem(chain, key)?);
        *self.current.write() = next;
        Ok(())
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
}

impl TlsConfig {
    /// TLS with `certificate` as the server's and `trust` to recognise clients. Cipher suites are ring's: AES-GCM and
    /// ChaCha20-Poly1305, with ECDHE in 1.2.
    ///
    /// # Errors
    /// The random source failed.
    pub fn new(certificate: Arc<ServerCertificate>, trust: Arc<LiveTrust>) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(PeerVerifier::new(&provider, Arc::clone(&trust)));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(certificate);
        // Either carries the client's certificate along, which server.rs holds against the trust of that moment.
        config.ticketer = rustls::crypto::ring::Ticketer::new()?;
        config.session_storage = ServerSessionMemoryCache::new(REMEMBERED_SESSIONS);
        Ok(Self { rustls: Arc::new(config), trust })
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
struct PeerVerifier {
    trust: Arc<LiveTrust>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PeerVerifier {
    fn new(provider: &CryptoProvider, trust: Arc<LiveTrust>) -> Self {
        Self { trust, algorithms: provider.signature_verification_algorithms }
    }
}

impl ClientCertVerifier for PeerVerifier {
    /// None: a client that is given names offers only certificates issued under them, and vCenter's is self-signed.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match self.trust.current().identify(end_entity, intermediates, now) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            // Carried whole to where the peer's address is known and the log line is written.
            Err(refusal) => Err(CertificateError::Other(OtherError(Arc::new(refusal))).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12(message, &public_key(cert)?, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature_with_raw_key(message, &public_key(cert)?, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The public key of a certificate. A handshake is signed with the key alone: whether the rest of the certificate is acceptable
/// has been settled by trust, which takes registered certificates of any version and with any extension.
fn public_key(certificate: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, rustls::Error> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    Ok(SubjectPublicKeyInfoDer::from(parsed.public_key().raw.to_vec()))
}

/// What rustls has for TLS 1.3 only. A scheme of TLS 1.2 names no curve, so there may be several algorithms to it, one of which
/// fits the key.
fn verify_tls12(
    message: &[u8],
    key: &SubjectPublicKeyInfoDer<'_>,
    dss: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let entity = RawPublicKeyEntity::try_from(key).map_err(|_| CertificateError::BadEncoding)?;
    let (_, candidates) = algorithms
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == dss.scheme)
        .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    for &algorithm in *candidates {
        match entity.verify_signature(algorithm, message, dss.signature()) {
            Ok(()) => return Ok(HandshakeSignatureValid::assertion()),
            Err(webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)) => {}
            Err(_) => return Err(CertificateError::BadSignature.into()),
        }
    }
    Err(CertificateError::BadSignature.into())
}

fn read_pem(chain: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let in_chain = |source| TlsError::Pem { path: chain.to_owned(), source };
    let certificates =
        CertificateDer::pem_file_iter(chain).map_err(in_chain)?.collect::<Result<Vec<_>, _>>().map_err(in_chain)?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate { path: chain.to_owned() });
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Pem { path: key.to_owned(), source })?;
    let certified = CertifiedKey::new(certificates, rustls::crypto::ring::sign::any_supported_type(&key)?);
    check_match(&certified)?;
    Ok(certified)
}

/// A key that cannot tell its public half (one in an HSM) is taken at its word; the first handshake will tell.
fn check_match(certified: &CertifiedKey) -> Result<(), TlsError> {
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
