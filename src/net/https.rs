//! TLS for the admin API: the same server certificate, and a client certificate that is asked for but not demanded.
//!
//! Any certificate passes whose private key the client proves to hold; whose it is, and what it may do, is for the admin plane to
//! find out by its fingerprint.

use std::{io, num::NonZeroUsize, sync::Arc};

use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::{
    client_certificate::{ClientVerifier, Doorkeeper, public_key},
    handshake::Handshakes,
    tls::{ServerCertificate, TlsError},
};

/// Makes HTTPS streams of TCP streams.
pub struct HttpsHandshakes(Handshakes);

impl HttpsHandshakes {
    /// With `certificate` as the server's; TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// The threads that a key in the HSM needs cannot be started.
    pub fn new(certificate: Arc<ServerCertificate>) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // One: together with those of KMIP they must leave sessions of the HSM to requests.
        let threads = certificate.may_wait_for_hsm().then_some(NonZeroUsize::MIN);
        let verifier = Arc::new(ClientVerifier::new(&provider, Anybody));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(certificate);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = rustls::crypto::ring::Ticketer::new()?;
        Ok(Self(Handshakes::new(Arc::new(config), threads).map_err(TlsError::Threads)?))
    }

    /// The handshake with the client on `socket`.
    ///
    /// # Errors
    /// It failed.
    pub async fn with(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.with(socket).await.map_err(|(error, _)| error)
    }
}

/// Takes every certificate whose private key the client holds.
#[derive(Debug)]
struct Anybody;

impl Doorkeeper for Anybody {
    const MANDATORY: bool = false;

    fn admit(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<(), rustls::Error> {
        public_key(end_entity).map(drop)
    }
}
