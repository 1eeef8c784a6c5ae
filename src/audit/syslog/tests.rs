use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::{SocketAddr, TcpListener},
    path::Path,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned, server::WebPkiClientVerifier};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;

use super::{
    super::{Actor, AdminEvent, Event, Options, Outcome, Subject, SyncPolicy},
    *,
};
use crate::config::write_secret_file;

/// A receiver's certificates, and a client's.
struct Site {
    folder: TempDir,
    config: Arc<ServerConfig>,
}

impl Site {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let leaf = |name: &str| {
            let key = KeyPair::generate().unwrap();
            (CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap(), key)
        };
        let (server, server_key) = leaf("logs.example.com");
        let (client, client_key) = leaf("keystead");
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        std::fs::write(folder.path().join("client.pem"), client.pem()).unwrap();
        write_secret_file(&folder.path().join("client.key"), client_key.serialize_pem().as_bytes()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![server.der().clone()], key)
            .unwrap();
        Self { folder, config: Arc::new(config) }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn receiver(&self, address: SocketAddr) -> Receiver {
        Receiver {
            host: address.ip().to_string(),
            port: address.port(),
            server_name: Some("logs.example.com".to_owned()),
            ca_file: self.path("ca.pem"),
            identity: Some((self.path("client.pem"), self.path("client.key"))),
            facility: Facility::AUTHPRIV,
        }
    }

    fn audit(&self) -> Arc<Audit> {
        std::fs::create_dir_all(self.path("audit")).unwrap();
        let options = Options { sync: SyncPolicy::Interval, ..Options::default() };
        Arc::new(Audit::open_with(&self.path("audit/audit.jsonl"), options).unwrap())
    }
}

fn work(audit: &Audit, events: u128) {
    for number in 0..events {
        let event = Event::Admin(AdminEvent {
            actor: Actor::Server,
            peer: None,
            action: "adapter.create",
            subject: Subject::default(),
            outcome: Outcome::Success,
            correlation: uuid::Uuid::from_u128(number),
        });
        audit.append(&[event]).unwrap();
    }
}

/// Takes one connection and reads frames until `last` was received; returns the records' lines.
fn receive(listener: &TcpListener, config: &Arc<ServerConfig>, last: u64) -> Vec<(u64, String)> {
    let (socket, _) = listener.accept().unwrap();
    let connection = ServerConnection::new(Arc::clone(config)).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(connection, socket));
    let mut found = Vec::new();
    loop {
        let mut length = Vec::new();
        if stream.read_until(b' ', &mut length).unwrap() == 0 {
            return found;
        }
        let length: usize = str::from_utf8(&length).unwrap().trim().parse().unwrap();
        let mut message = vec![0; length];
        stream.read_exact(&mut message).unwrap();
        let message = String::from_utf8(message).unwrap();
        assert!(message.starts_with("<86>1 "), "{message}");
        let line = message.split_once("] ").unwrap().1.to_owned();
        let sequence = super::super::head::Head::of_whole(line.as_bytes()).unwrap().sequence;
        assert!(message.contains(&format!("[keystead@32473 sequence=\"{sequence}\"")));
        found.push((sequence, line));
        if sequence == last {
            return found;
        }
    }
}

fn lines(audit: &Audit) -> Vec<(u64, String)> {
    let segments = audit.place().segments().unwrap();
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    let all: Vec<String> =
        segments.iter().flat_map(|s| text(&s.path).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    (1..).zip(all).collect()
}

#[test]
fn every_record_arrives_though_the_receiver_goes_away_and_the_segment_is_sealed() {
    let site = Site::new();
    let audit = site.audit();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    work(&audit, 20);
    let forwarding = Forwarding::start(&audit, site.receiver(listener.local_addr().unwrap())).unwrap();
    let first = receive(&listener, &site.config, 21);
    assert_eq!(first, lines(&audit));
    // The connection is gone; meanwhile there is more, and nobody waits for the receiver.
    audit.reopen().unwrap();
    work(&audit, 300);
    let last = lines(&audit).len() as u64;
    let second = receive(&listener, &site.config, last);
    let missed = second.iter().filter(|(sequence, _)| *sequence > 21).cloned().collect::<Vec<_>>();
    assert_eq!(missed, lines(&audit)[21..], "what was not sent, once and in its order");
    drop(forwarding);
}

#[test]
fn a_new_start_goes_on_after_what_has_arrived() {
    let site = Site::new();
    let audit = site.audit();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    work(&audit, 9);
    std::fs::write(audit.place().cursor(), "6\n").unwrap();
    let forwarding = Forwarding::start(&audit, site.receiver(listener.local_addr().unwrap())).unwrap();
    let found = receive(&listener, &site.config, 10);
    assert_eq!(found, lines(&audit)[6..]);
    drop(forwarding);
}

#[test]
fn the_cursor_moves_once_the_connection_has_outlived_a_record() {
    let site = Site::new();
    let audit = site.audit();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    work(&audit, 5);
    let forwarding = Forwarding::start(&audit, site.receiver(listener.local_addr().unwrap())).unwrap();
    let (socket, _) = listener.accept().unwrap();
    let connection = ServerConnection::new(Arc::clone(&site.config)).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    // At least one byte, so that the handshake is done; then it only stays open.
    stream.read_exact(&mut [0]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let cursor = || std::fs::read_to_string(audit.place().cursor()).unwrap_or_default();
    while cursor() != "6\n" {
        assert!(Instant::now() < deadline, "{}", cursor());
        thread::yield_now();
    }
    drop(forwarding);
}

#[test]
fn a_receiver_with_another_name_or_authority_gets_nothing() {
    let (site, other) = (Site::new(), Site::new());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let good = site.receiver(address);
    let wrong_name = Receiver { server_name: Some("other.example.com".to_owned()), ..good.clone() };
    let wrong_authority = Receiver { ca_file: other.path("ca.pem"), ..good };
    for receiver in [wrong_name, wrong_authority] {
        let mut connection = Connection::new(&receiver).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut socket, _) = listener.accept().unwrap();
                let mut tls = ServerConnection::new(Arc::clone(&site.config)).unwrap();
                while tls.is_handshaking() && tls.complete_io(&mut socket).is_ok() {}
            });
            assert!(connection.open(&receiver).is_err());
        });
    }
    let bad = Receiver { ca_file: site.path("client.key"), ..site.receiver(address) };
    assert!(matches!(Connection::new(&bad), Err(ReceiverError::NoCertificate(_))));
}
