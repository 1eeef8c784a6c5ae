//! A server whose private key is in an HSM that answers, fails, hangs, and holds another key than it should.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use hal::{
    Capabilities, HalError, Health, Kek, KeyWrapper, Label, Outage, RootKeyVersion, RootKeys as _, SecretBytes,
    SignScheme, SignerId, SignerInfo, SignerKind, TokenState, WrappedKek, software::SoftwareHal,
};
use jiff::Timestamp;
use rustls::version::{TLS12, TLS13};
use tempfile::TempDir;

use super::*;
use crate::{
    ca::{CertificateAuthority, PrivateKey},
    net::{HsmKey, HsmKeyError, TlsError},
};

/// What the HSM does when it is asked to sign.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    Away,
    /// Until it is told otherwise, and then it fails.
    Hanging,
}

struct Hsm {
    keys: SoftwareHal,
    mood: Mutex<Mood>,
    changed: parking_lot::Condvar,
    hanging: Mutex<usize>,
}

impl KeyWrapper for Hsm {
    fn sign(&self, signer: SignerId, message: &[u8], scheme: SignScheme) -> Result<Vec<u8>, HalError> {
        let mut mood = self.mood.lock();
        if *mood == Mood::Hanging {
            *self.hanging.lock() += 1;
            while *mood == Mood::Hanging {
                self.changed.wait(&mut mood);
            }
            return Err(HalError::Unavailable(Outage::DeadlinePassed));
        }
        if *mood == Mood::Away {
            return Err(HalError::Unavailable(Outage::TokenAbsent));
        }
        drop(mood);
        self.keys.sign(signer, message, scheme)
    }

    fn wrap_kek(&self, under: RootKeyVersion, kek: &Kek) -> Result<WrappedKek, HalError> {
        self.keys.wrap_kek(under, kek)
    }

    fn unwrap_kek(&self, wrapped: &WrappedKek) -> Result<Kek, HalError> {
        self.keys.unwrap_kek(wrapped)
    }

    fn random(&self, out: &mut [u8]) -> Result<(), HalError> {
        self.keys.random(out)
    }

    fn health(&self) -> Health {
        self.keys.health()
    }

    fn token_states(&self) -> Vec<TokenState> {
        self.keys.token_states()
    }

    fn capabilities(&self) -> &Capabilities {
        self.keys.capabilities()
    }
}

/// An HSM with one key, and a certificate for it in a file.
struct Fixture {
    folder: TempDir,
    hsm: Arc<Hsm>,
    signer: SignerInfo,
}

impl Fixture {
    fn new(kind: SignerKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let passphrase = SecretBytes::from(b"passphrase".to_vec());
        let keys = SoftwareHal::create(&folder.path().join("keys"), &passphrase).unwrap();
        let signer = keys.generate_signer(&Label::new("tls").unwrap(), kind).unwrap();
        let hsm = Hsm { keys, mood: Mutex::new(Mood::Well), changed: parking_lot::Condvar::new(), hanging: 0.into() };
        let fixture = Self { folder, hsm: Arc::new(hsm), signer };
        fixture.certify(&fixture.signer);
        fixture
    }

    fn other_signer(&self, kind: SignerKind) -> SignerInfo {
        self.hsm.keys.generate_signer(&Label::new("other").unwrap(), kind).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("server.pem")
    }

    /// Writes a new certificate for `signer`.
    fn certify(&self, signer: &SignerInfo) {
        let key = PrivateKey::in_hsm(self.hsm.clone(), signer);
        let ca = PrivateKey::generate(crate::ca::KeyKind::EcdsaP256).unwrap();
        let ca = CertificateAuthority::create(ca, Timestamp::now()).unwrap();
        let issued = ca.issue_server(&key, &["localhost".parse().unwrap()], Timestamp::now()).unwrap();
        std::fs::write(self.path(), issued.pem).unwrap();
    }

    fn load(&self) -> Result<ServerCertificate, TlsError> {
        let key = HsmKey { hsm: self.hsm.clone(), signer: self.signer.id, kind: self.signer.kind };
        ServerCertificate::load(self.path(), ServerKey::Hsm(key, self.signer.label.clone()))
    }

    fn set(&self, mood: Mood) {
        *self.hsm.mood.lock() = mood;
        self.hsm.changed.notify_all();
    }

    async fn serve(&self, holder: &Holder) -> Running {
        Running::start_with(alices(holder), &[], limits(), Arc::new(self.load().unwrap())).await
    }
}

/// Connects without checking who the server is: its certificate is of an authority that the client does not know.
async fn connect(server: &Running, holder: &Holder, version: &'static SupportedProtocolVersion) -> io::Result<Client> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trusting = Arc::new(OfKey(server.server_certificate.clone(), provider.signature_verification_algorithms));
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(trusting)
        .with_client_auth_cert(holder.chain.clone(), holder.key.clone_key())
        .unwrap();
    server.connect_with(Arc::new(config)).await
}

/// Demands this very certificate, and a signature by its key.
#[derive(Debug)]
struct OfKey(CertificateDer<'static>, rustls::crypto::WebPkiSupportedAlgorithms);

impl rustls::client::danger::ServerCertVerifier for OfKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        assert_eq!(*end_entity, self.0);
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.1)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.1)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.1.supported_schemes()
    }
}

#[tokio::test]
async fn every_kind_of_key_in_the_hsm_serves_both_versions() {
    let holder = self_signed(&params("alice"));
    for kind in SignerKind::ALL {
        let server = Fixture::new(kind).serve(&holder).await;
        for version in [&TLS12, &TLS13] {
            let mut client = connect(&server, &holder, version).await.unwrap();
            assert_eq!(client.call(b"who").await.unwrap(), b"a", "{kind} {version:?}");
        }
        server.stop().await;
    }
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let fixture = Fixture::new(SignerKind::EcdsaP256);
    fixture.load().unwrap();
    fixture.certify(&fixture.other_signer(SignerKind::EcdsaP256));
    let refused = |error: TlsError| match error {
        TlsError::Hsm { label, source } => {
            assert_eq!(label, "tls");
            source
        }
        other => panic!("{other}"),
    };
    assert_eq!(refused(fixture.load().unwrap_err()), HsmKeyError::OtherKey);
    let fixture = Fixture::new(SignerKind::EcdsaP256);
    fixture.certify(&fixture.other_signer(SignerKind::Rsa2048));
    assert_eq!(refused(fixture.load().unwrap_err()), HsmKeyError::OtherKind(SignerKind::EcdsaP256));
}

#[test]
fn a_key_that_the_hsm_does_not_hold_is_refused_but_an_hsm_that_is_away_is_waited_for() {
    let mut fixture = Fixture::new(SignerKind::EcdsaP256);
    fixture.set(Mood::Away);
    fixture.load().unwrap();
    fixture.set(Mood::Well);
    fixture.signer.id = SignerId::from_uuid(Uuid::new_v4());
    let error = fixture.load().unwrap_err().to_string();
    assert!(error.contains("\"tls\" in the HSM") && error.contains("is not on this HSM"), "{error}");
}

#[tokio::test]
async fn a_key_of_another_certificate_that_was_not_there_at_the_start_is_found_out_by_the_first_handshake() {
    let holder = self_signed(&params("alice"));
    let fixture = Fixture::new(SignerKind::EcdsaP256);
    fixture.certify(&fixture.other_signer(SignerKind::EcdsaP256));
    fixture.set(Mood::Away);
    let server = fixture.serve(&holder).await;
    fixture.set(Mood::Well);
    for version in [&TLS12, &TLS13] {
        connect(&server, &holder, version).await.err().expect("the server ends it");
    }
    server.stop().await;
}

#[tokio::test]
async fn while_the_hsm_is_away_handshakes_fail_at_once_and_open_connections_go_on() {
    let holder = self_signed(&params("alice"));
    let fixture = Fixture::new(SignerKind::EcdsaP256);
    let server = fixture.serve(&holder).await;
    let mut open = connect(&server, &holder, &TLS13).await.unwrap();
    fixture.set(Mood::Away);
    for version in [&TLS12, &TLS13] {
        let start = Instant::now();
        connect(&server, &holder, version).await.err().expect("no handshake without the HSM");
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
    open.call(b"still here").await.unwrap();
    fixture.set(Mood::Well);
    connect(&server, &holder, &TLS13).await.unwrap().call(b"back").await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn handshakes_that_hang_in_the_hsm_do_not_stop_those_who_are_connected() {
    let holder = self_signed(&params("alice"));
    let fixture = Fixture::new(SignerKind::EcdsaP256);
    let server = Arc::new(fixture.serve(&holder).await);
    let mut open = connect(&server, &holder, &TLS13).await.unwrap();
    fixture.set(Mood::Hanging);
    let hanging: Vec<_> = (0..8)
        .map(|_| {
            let (server, holder) = (Arc::clone(&server), holder.clone());
            tokio::spawn(async move { connect(&server, &holder, &TLS13).await.map(drop) })
        })
        .collect();
    // All threads of handshakes wait. This test's own thread is the only network thread.
    while *fixture.hsm.hanging.lock() < 2 {
        open.call(b"still here").await.unwrap();
    }
    open.call(b"and here").await.unwrap();
    fixture.set(Mood::Well);
    let mut failed = 0;
    for handshake in hanging {
        failed += usize::from(timeout(PATIENCE, handshake).await.unwrap().unwrap().is_err());
    }
    assert_eq!(failed, *fixture.hsm.hanging.lock(), "those behind them were served");
    assert_eq!(failed, 2, "no more wait for the HSM than there are threads");
    Arc::into_inner(server).unwrap().stop().await;
}

#[test]
fn a_renewed_certificate_for_the_same_key_needs_no_hsm_and_one_for_another_key_does() {
    let fixture = Fixture::new(SignerKind::EcdsaP256);
    let certificate = fixture.load().unwrap();
    let shown = || certificate.current.read().cert[0].clone();
    let first = shown();
    fixture.certify(&fixture.signer);
    fixture.set(Mood::Away);
    certificate.reload().unwrap();
    let second = shown();
    assert_ne!(first, second);

    fixture.certify(&fixture.other_signer(SignerKind::EcdsaP256));
    for (mood, expected) in [
        (Mood::Away, HsmKeyError::Hsm(HalError::Unavailable(Outage::TokenAbsent))),
        (Mood::Well, HsmKeyError::OtherKey),
    ] {
        fixture.set(mood);
        assert!(matches!(certificate.reload(), Err(TlsError::Hsm { source, .. }) if source == expected));
        assert_eq!(shown(), second, "the old one stays");
    }
}
