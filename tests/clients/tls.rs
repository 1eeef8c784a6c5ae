//! How clients connect: TLS 1.2 and 1.3, session resumption, self-signed certificates, and probes that say nothing.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use kmip::{client::Client, enums::Operation, tags::Tag, version::Version};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::{
    CipherSuite, ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};

use super::{
    Line,
    answers::tags,
    message::{Batch, message},
    server,
};
use crate::harness::server::{Server, client_config, connect};

/// A client certificate as vCenter makes it: self-signed RSA, a common name with a time in it, no Extended Key Usage.
fn self_signed() -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("kmipClient{}", uuid::Uuid::new_v4().simple()));
    let certificate = params.self_signed(&key).unwrap();
    (certificate.der().clone(), key)
}

fn config(
    server: &Server,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(server.dir().join("client/ca.pem")).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    Arc::new(builder.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap())
}

/// The client of adapter `demo`, with one version of TLS.
fn demo(server: &Server, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let folder = server.dir().join("client");
    let chain = CertificateDer::pem_file_iter(folder.join("cert.pem")).unwrap().map(Result::unwrap).collect();
    config(server, chain, PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap(), &[version])
}

/// Asks something on a new connection of `config`.
fn ask(server: &Server, config: &Arc<ClientConfig>) -> std::io::Result<Line> {
    let mut client = Client::new(connect(server.addr(), Arc::clone(config))?, Version::V1_1);
    // With TLS 1.3 a client learns only here that it was rejected.
    let request = message(Version::V1_1).op(Operation::DiscoverVersions, []).build();
    match client.exchange(&request) {
        Ok(_) => Ok(Line(client)),
        Err(kmip::client::ClientError::Connection(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn tls_1_2_with_ecdhe_rsa_aes_gcm_and_tls_1_3_both_work() {
    let mut old = ask(server(), &demo(server(), &TLS12)).unwrap();
    let connection = &old.0.stream().conn;
    assert_eq!(connection.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    let suite = connection.negotiated_cipher_suite().unwrap().suite();
    let usual =
        [CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256];
    assert!(usual.contains(&suite), "{suite:?}");
    let mut new = ask(server(), &demo(server(), &TLS13)).unwrap();
    assert_eq!(new.0.stream().conn.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn a_session_is_resumed_together_with_its_client_certificate() {
    for version in [&TLS12, &TLS13] {
        let config = demo(server(), version);
        let mut first = ask(server(), &config).unwrap();
        assert_eq!(first.0.stream().conn.handshake_kind(), Some(HandshakeKind::Full));
        let mut second = ask(server(), &config).unwrap();
        assert_eq!(second.0.stream().conn.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
        // The resumed connection is the adapter's: it may make and see objects.
        let found = second.ask_one(message(Version::V1_1).op(Operation::Locate, []));
        assert!(tags(&found).iter().all(|tag| *tag == Tag::UniqueIdentifier));
    }
}

#[test]
fn a_self_signed_certificate_is_trusted_once_it_is_registered_and_not_before() {
    let server = server();
    let (certificate, key) = self_signed();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    for version in [&TLS12, &TLS13] {
        let config = config(server, vec![certificate.clone()], key.clone_key(), &[version]);
        assert!(ask(server, &config).is_err(), "not registered yet");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kmip-client.der");
    std::fs::write(&file, &certificate).unwrap();
    let mut register = Command::new(env!("CARGO_BIN_EXE_keystead"));
    register.args(["cert", "register"]).arg(&file).args(["--adapter", "demo", "--config"]);
    let done = register.arg(server.dir().join("keystead.toml")).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    // The running server looks for changes twice a second.
    let deadline = Instant::now() + Duration::from_secs(30);
    for version in [&TLS12, &TLS13] {
        let config = config(server, vec![certificate.clone()], key.clone_key(), &[version]);
        while let Err(error) = ask(server, &config) {
            assert!(Instant::now() < deadline, "still rejected: {error}");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_client_that_is_rejected_has_seen_the_servers_certificate_before() {
    let (certificate, key) = self_signed();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = config(server(), vec![certificate], key, &[&TLS12]);
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut tls = rustls::ClientConnection::new(config, name).unwrap();
    let mut socket = TcpStream::connect(server().addr()).unwrap();
    while tls.is_handshaking() {
        if tls.complete_io(&mut socket).is_err() {
            break;
        }
    }
    assert!(tls.peer_certificates().is_some_and(|chain| !chain.is_empty()), "the user can confirm its fingerprint");
    assert!(tls.is_handshaking(), "and is not let in");
}

#[test]
fn probes_that_say_nothing_leave_no_warning_and_no_error_in_the_log() {
    let server = Server::start();
    let config = client_config(&server.dir().join("client"));
    for _ in 0..5 {
        // Connect and close.
        drop(TcpStream::connect(server.addr()).unwrap());
        // Close the sending half and wait for the other side.
        let mut half = TcpStream::connect(server.addr()).unwrap();
        half.shutdown(Shutdown::Write).unwrap();
        assert_eq!(half.read(&mut [0; 8]).unwrap_or(0), 0);
        // The whole handshake, then close without close_notify.
        drop(connect(server.addr(), Arc::clone(&config)).unwrap());
        // The same after a request.
        drop(ask(&server, &config).unwrap());
        // With close_notify.
        let mut polite = connect(server.addr(), Arc::clone(&config)).unwrap();
        polite.conn.send_close_notify();
        polite.flush().unwrap();
    }
    // Others are served meanwhile, without penalty.
    ask(&server, &config).unwrap();
    let log = server.stop();
    let loud =
        |line: &&String| (line.contains("WARN") || line.contains("ERROR")) && !line.contains("SOFTWARE ROOT KEYS");
    assert_eq!(log.iter().filter(loud).collect::<Vec<_>>(), Vec::<&String>::new());
}
