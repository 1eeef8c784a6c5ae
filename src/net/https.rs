//! TLS for the admin API: the same server certificate, and a client certificate that is asked for but not demanded.
//!
//! Any certificate passes whose private key the client proves to hold; whose it is, and what it may do, is for the admin plane to
//! find out by its fingerprint.

use std::{io, num::NonZeroUsize, sync::Arc};

use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::{
    handshake::Handshakes,
    tls::{ServerCertificate, TlsError, public_key, verify_tls12},
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
        let verifier = Arc::new(AnyCertificate { algorithms: provider.signature_verification_algorithms });
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
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        public_key(end_entity).map(|_| ClientCertVerified::assertion())
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
