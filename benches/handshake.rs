//! Full TLS handshakes with the server's key in SoftHSM2 against the same kind of key in a file: P-256, RSA with 2048 and 3072
//! bits, TLS 1.2 and 1.3, from one client and from eight at once. Prints rates and their ratio.
//!
//! A handshake counts with one empty request and its answer, which is when both sides know that it succeeded. The clients (with
//! P-256 certificates, no resumption) run in the same process and take a good part of the processor. The two servers take turns,
//! so that whatever else the machine does hits both.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the measurement")]

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hal::{
    KeyWrapper, Label, RootKeys as _, SecretBytes, SignerKind,
    pkcs11::{Pkcs11Config, Pkcs11Hal},
};
use jiff::Timestamp;
use keystead::{
    ca::{CertificateAuthority, IssuedCertificate, KeyKind, PrivateKey},
    net::{Handler, HsmKey, Limits, PeerIdentity, Reply, Server, ServerCertificate, ServerKey, TlsConfig},
    store::{AdapterId, AdapterRow, CertificateRow, TrustRows},
    trust::{LiveTrust, TrustSource, fingerprint},
};
use pkcs11_fixtures::SoftHsm;
use rcgen::{KeyPair, RsaKeySize};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
    client::Resumption,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tokio::runtime::Runtime;
use uuid::Uuid;
use zeroize::Zeroizing;

/// How long one server is measured before it is the other's turn, and how many turns each has.
const WINDOW: Duration = Duration::from_millis(500);
const TURNS: usize = 7;
/// An empty request: a header that announces no bytes.
const REQUEST: [u8; 8] = [0x42, 0x00, 0x78, 0x01, 0, 0, 0, 0];

struct Echo;

impl Handler for Echo {
    fn handle(&self, _peer: &PeerIdentity, request: Zeroizing<Vec<u8>>) -> Reply {
        Reply { bytes: request, close: false }
    }

    fn too_large(&self, _limit: u32) -> Option<Reply> {
        None
    }
}

/// The authority, the client and the token that all measurements share.
struct Bench {
    folder: tempfile::TempDir,
    authority: CertificateAuthority,
    client: IssuedCertificate,
    client_key: Zeroizing<String>,
    hal: Arc<Pkcs11Hal>,
    runtime: Runtime,
}

impl Bench {
    fn new() -> Option<Self> {
        let softhsm = SoftHsm::shared()?;
        let token = softhsm.token("handshake");
        let hal = Pkcs11Hal::new(Pkcs11Config {
            module: softhsm.module().to_owned(),
            token_label: token.label,
            token_serial: Some(token.serial),
            pin: SecretBytes::from(token.pin.into_bytes()).into(),
            workers: 4,
            queue: 64,
            deadline: Duration::from_secs(10),
            scheme: None,
            provider: None,
        });
        let p256 = || PrivateKey::generate(KeyKind::EcdsaP256).unwrap();
        let authority = CertificateAuthority::create(p256(), Timestamp::now()).unwrap();
        let key = p256();
        let client = authority.issue_client(&key, "bench", Timestamp::now()).unwrap();
        // As `keystead serve` has them.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        Some(Self {
            folder,
            authority,
            client,
            client_key: key.to_pem().unwrap(),
            hal: Arc::new(hal.unwrap()),
            runtime,
        })
    }

    /// The addresses of a server with its key in a file and of one with its key in the token.
    fn servers(&self, kind: SignerKind) -> [SocketAddr; 2] {
        let path = |name: &str| self.folder.path().join(format!("{kind}-{name}"));
        let pem = match kind {
            SignerKind::Rsa2048 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
            SignerKind::Rsa3072 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_3072),
            SignerKind::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            SignerKind::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        };
        let pem = pem.unwrap().serialize_pem();
        std::fs::write(path("key"), &pem).unwrap();
        self.certify(&PrivateKey::from_pem(pem.as_bytes()).unwrap(), &path("file.pem"));
        let label = Label::new(kind.name()).unwrap();
        let signer = self.hal.generate_signer(&label, kind).unwrap();
        let hsm: Arc<dyn KeyWrapper> = self.hal.clone();
        self.certify(&PrivateKey::in_hsm(Arc::clone(&hsm), &signer), &path("token.pem"));
        let in_token = ServerKey::Hsm(HsmKey { hsm, signer: signer.id, kind }, label);
        [
            self.serve(ServerCertificate::load(path("file.pem"), ServerKey::File(path("key"))).unwrap()),
            self.serve(ServerCertificate::load(path("token.pem"), in_token).unwrap()),
        ]
    }

    fn certify(&self, key: &PrivateKey, path: &Path) {
        let issued = self.authority.issue_server(key, &["localhost".parse().unwrap()], Timestamp::now()).unwrap();
        std::fs::write(path, issued.pem).unwrap();
    }

    fn serve(&self, certificate: ServerCertificate) -> SocketAddr {
        let (id, name) = (AdapterId(Uuid::nil()), "bench".to_owned());
        let der = self.client.der.clone();
        let rows = TrustRows {
            adapters: vec![AdapterRow {
                id,
                name: name.clone(),
                description: None,
                root_key: Uuid::nil(),
                credential: None,
                created_at: 0,
                revision: 1,
                changed_at: 0,
                hold_seconds: 0,
            }],
            certificates: vec![CertificateRow {
                fingerprint: fingerprint(&CertificateDer::from(der.as_slice())),
                adapter: id,
                name,
                der,
                added_at: 0,
            }],
            ca_rules: Vec::new(),
            authorities: Vec::new(),
            root_keys: Vec::new(),
            issued: Vec::new(),
        };
        let source = TrustSource { generation: Box::new(|| Ok(1)), rows: Box::new(move || Ok(rows.clone())) };
        let trust = LiveTrust::start(source, &[]).unwrap();
        let tls = TlsConfig::new(Arc::new(certificate), trust).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = self.runtime.block_on(Server::bind(&[any], tls, Limits::default(), Arc::new(Echo), 2)).unwrap();
        let address = server.local_addrs()[0];
        self.runtime.spawn(server.run(std::future::pending()));
        address
    }

    fn client(&self, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.authority.certificate().der)).unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.client_key.as_bytes()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![CertificateDer::from(self.client.der.clone())], key)
            .unwrap();
        config.resumption = Resumption::disabled();
        Arc::new(config)
    }
}

fn shake_hands(address: SocketAddr, config: &Arc<ClientConfig>) {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket);
    stream.write_all(&REQUEST).unwrap();
    stream.read_exact(&mut [0; REQUEST.len()]).unwrap();
}

/// Handshakes a second by so many clients at once.
fn rate(address: SocketAddr, config: &Arc<ClientConfig>, clients: usize) -> f64 {
    let (done, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    shake_hands(address, config);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        thread::sleep(WINDOW);
        over.store(true, Ordering::Relaxed);
    });
    f64::from(u32::try_from(done.into_inner()).unwrap()) / start.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn main() {
    let Some(bench) = Bench::new() else { return };
    println!("full handshakes a second, median of {TURNS} turns of {WINDOW:?}");
    println!("{:<12} {:<8} {:>7} {:>8} {:>9} {:>6}", "key", "version", "clients", "file", "SoftHSM2", "ratio");
    for kind in [SignerKind::EcdsaP256, SignerKind::Rsa2048, SignerKind::Rsa3072] {
        let servers = bench.servers(kind);
        for (version, shown) in [(&TLS12, "TLS 1.2"), (&TLS13, "TLS 1.3")] {
            let config = bench.client(version);
            for clients in [1, 8] {
                let mut rates = [Vec::new(), Vec::new()];
                for _ in 0..TURNS {
                    for (address, rates) in servers.iter().zip(&mut rates) {
                        rates.push(rate(*address, &config, clients));
                    }
                }
                let [file, token] = rates.map(median);
                let ratio = token / file;
                println!("{:<12} {shown:<8} {clients:>7} {file:>8.0} {token:>9.0} {ratio:>6.2}", kind.name());
            }
        }
    }
}
