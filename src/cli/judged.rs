//! How commands look at the certificate that a server shows where no authority decides: that the server holds the private key is
//! always checked, and only what else is to be thought of its certificates differs.

use std::{fmt, sync::Arc};

use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Says what is to be thought of the certificates that a server shows.
pub(super) trait Judge: fmt::Debug + Send + Sync {
    /// Whether the handshake may go on with them; the server's own is the first.
    ///
    /// # Errors
    /// It may not.
    fn judge(&self, end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>])
    -> Result<(), rustls::Error>;
}

/// A verifier that leaves everything but the proof of the private key to a judge.
#[derive(Debug)]
pub(super) struct Judged<J> {
    pub(super) judge: J,
    provider: Arc<CryptoProvider>,
}

impl<J: Judge> Judged<J> {
    pub(super) fn by(judge: J) -> Self {
        Self { judge, provider: Arc::new(rustls::crypto::ring::default_provider()) }
    }
}

impl<J: Judge> ServerCertVerifier for Judged<J> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge.judge(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
