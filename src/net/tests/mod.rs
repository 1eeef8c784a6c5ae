//! The network edge over real sockets, with a handler that answers a request by what its value says.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, LazyLock},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Handler, Limits, PeerIdentity, Reply, Server, ServerCertificate, ServerKey, TlsConfig};
use crate::{
    store::{AdapterId, AdapterRow, CaRuleRow, CertificateRow, RuleKind, TrustRows},
    trust::{LiveTrust, TrustSource, fingerprint},
};

mod frames;
mod hsm;
mod identity;
mod limits;
mod renewal;
mod rules;

/// Long enough for anything that is expected to happen; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) const ALICE: AdapterId = AdapterId(Uuid::from_u128(0xa));
pub(super) const BOB: AdapterId = AdapterId(Uuid::from_u128(0xb));

/// A certificate and its key.
#[derive(Clone)]
struct Holder {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

impl Holder {
    fn der(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn holder(der: CertificateDer<'static>, key: &KeyPair) -> Holder {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Holder { chain: vec![der], key: Arc::new(key) }
}

/// As vCenter makes its own: no Extended Key Usage.
fn self_signed(params: &CertificateParams) -> Holder {
    let key = KeyPair::generate().unwrap();
    holder(params.self_signed(&key).unwrap().der().clone(), &key)
}

/// An authority of one's own.
struct Authority {
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params("Authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.self_signed(&key).unwrap().der().clone();
        Self { der, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, params: &CertificateParams) -> Holder {
        let key = KeyPair::generate().unwrap();
        let mut params = params.clone();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        holder(params.signed_by(&key, &self.issuer).unwrap().der().clone(), &key)
    }
}

/// What the trust source reads; a test changes it as the store would be changed.
#[derive(Default)]
struct Rows {
    generation: u64,
    rows: TrustRows,
}

fn adapter(id: AdapterId) -> AdapterRow {
    let name = format!("adapter-{:x}", id.0.as_u128());
    AdapterRow {
        id,
        name,
        description: None,
        root_key: Uuid::nil(),
        credential: None,
        created_at: 0,
        revision: 1,
        changed_at: 0,
        hold_seconds: 0,
    }
}

fn registration(adapter: AdapterId, holder: &Holder) -> CertificateRow {
    let der = holder.der();
    CertificateRow { fingerprint: fingerprint(der), adapter, name: String::new(), der: der.to_vec(), added_at: 0 }
}

fn rule(adapter: AdapterId, common_name: &str) -> CaRuleRow {
    let (kind, value) = (RuleKind::CommonName, common_name.to_owned());
    CaRuleRow { id: Uuid::new_v4(), adapter, issuer: None, kind, value, added_at: 0 }
}

/// `holder` as Alice's.
fn alices(holder: &Holder) -> TrustRows {
    TrustRows {
        adapters: vec![adapter(ALICE), adapter(BOB)],
        certificates: vec![registration(ALICE, holder)],
        ca_rules: Vec::new(),
        authorities: Vec::new(),
        root_keys: Vec::new(),
        issued: Vec::new(),
    }
}

/// Answers with the request itself, except for the values `panic`, `close`, `who` and `wait`; `prompt` never waits for the HSM.
struct Puppet {
    /// Told when a `wait` request has been taken up.
    taken_up: Sender<()>,
    /// Lets one `wait` request be answered.
    release: Receiver<()>,
}

impl Handler for Puppet {
    fn handle(&self, peer: &PeerIdentity, request: Zeroizing<Vec<u8>>) -> Reply {
        match &request[8..] {
            b"panic" => panic!("the test asks for it"),
            b"wait" => {
                self.taken_up.send(()).unwrap();
                self.release.recv().unwrap();
            }
            b"who" => {
                let name = format!("{:x}", peer.adapter.0.as_u128());
                return Reply { bytes: Zeroizing::new(frame(name.as_bytes())), close: false };
            }
            _ => {}
        }
        let close = &request[8..] == b"close";
        Reply { bytes: request, close }
    }

    fn may_wait_for_hsm(&self, request: &[u8]) -> bool {
        &request[8..] != b"prompt"
    }

    fn too_large(&self, limit: u32) -> Option<Reply> {
        Some(Reply { bytes: Zeroizing::new(frame(format!("limit {limit}").as_bytes())), close: true })
    }
}

fn frame(value: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x42, 0x00, 0x78, 0x01];
    frame.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(value);
    frame
}

/// Quick where a limit is not what is tested, so that a test of another one would not notice.
fn limits() -> Limits {
    Limits { drain_timeout: PATIENCE, ..Limits::default() }
}

/// A running server.
struct Running {
    address: SocketAddr,
    server_certificate: CertificateDer<'static>,
    rows: Arc<Mutex<Rows>>,
    trust: Arc<LiveTrust>,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<()>,
    taken_up: Receiver<()>,
    release: Sender<()>,
}

/// One for all tests: making keys is slow in unoptimised code.
static SERVER: LazyLock<Holder> = LazyLock::new(|| self_signed(&params("server")));

impl Running {
    async fn start(rows: TrustRows, own_ca: &[CertificateDer<'static>], limits: Limits) -> Self {
        let key = rustls::crypto::ring::sign::any_supported_type(&SERVER.key).unwrap();
        let certificate = ServerCertificate::from_signing_key(SERVER.chain.clone(), key).unwrap();
        Self::start_with(rows, own_ca, limits, Arc::new(certificate)).await
    }

    async fn start_with(
        rows: TrustRows,
        own_ca: &[CertificateDer<'static>],
        limits: Limits,
        certificate: Arc<ServerCertificate>,
    ) -> Self {
        let rows = Arc::new(Mutex::new(Rows { generation: 1, rows }));
        let (for_generation, for_rows) = (Arc::clone(&rows), Arc::clone(&rows));
        let source = TrustSource {
            generation: Box::new(move || Ok(for_generation.lock().generation)),
            rows: Box::new(move || Ok(for_rows.lock().rows.clone())),
        };
        let trust = LiveTrust::start(source, own_ca).unwrap();
        let server_certificate = certificate.current.read().cert[0].clone();
        let tls = TlsConfig::new(certificate, Arc::clone(&trust)).unwrap();
        let ((took_up, taken_up), (release, released)) =
            (crossbeam_channel::unbounded(), crossbeam_channel::unbounded());
        let handler = Arc::new(Puppet { taken_up: took_up, release: released });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(&[address], tls, limits, handler, 2).await.unwrap();
        let address = server.local_addrs()[0];
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { address, server_certificate, rows, trust, stop: Some(stop), ended, taken_up, release }
    }

    /// A server that knows `holder` as Alice's.
    async fn with_alice(holder: &Holder, limits: Limits) -> Self {
        Self::start(alices(holder), &[], limits).await
    }

    /// Changes what the trust source reads, as another process would.
    fn change(&self, change: impl FnOnce(&mut TrustRows)) {
        let mut rows = self.rows.lock();
        change(&mut rows.rows);
        rows.generation += 1;
    }

    fn ask_to_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    async fn stop(mut self) {
        self.ask_to_stop();
        timeout(PATIENCE, self.ended).await.unwrap().unwrap();
    }

    /// Waits, without blocking the runtime, until a `wait` request is on a worker's thread.
    async fn request_taken_up(&self) {
        let taken_up = self.taken_up.clone();
        tokio::task::spawn_blocking(move || taken_up.recv_timeout(PATIENCE).unwrap()).await.unwrap();
    }

    fn client(&self, holder: Option<&Holder>, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.server_certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match holder {
            Some(holder) => builder.with_client_auth_cert(holder.chain.clone(), holder.key.clone_key()).unwrap(),
            None => builder.with_no_client_auth(),
        })
    }

    async fn connect_with(&self, config: Arc<ClientConfig>) -> io::Result<Client> {
        let socket = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        Ok(Client(TlsConnector::from(config).connect(name, socket).await?))
    }

    async fn connect(&self, holder: &Holder) -> Client {
        self.connect_with(self.client(Some(holder), &rustls::version::TLS13)).await.unwrap()
    }

    /// What a client that is not welcome sees. In 1.3 it learns only with its first read.
    async fn refusal(&self, holder: Option<&Holder>, version: &'static SupportedProtocolVersion) -> io::Error {
        match self.connect_with(self.client(holder, version)).await {
            Ok(mut client) => client.call(b"hello").await.unwrap_err(),
            Err(error) => error,
        }
    }
}

/// A KMIP client, as far as frames go.
struct Client(TlsStream<TcpStream>);

impl Client {
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    /// The value of the next frame.
    async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let receiving = async {
            let mut header = [0; 8];
            self.0.read_exact(&mut header).await?;
            let mut value = vec![0; u32::from_be_bytes(header[4..].try_into().unwrap()) as usize];
            self.0.read_exact(&mut value).await?;
            Ok(value)
        };
        timeout(PATIENCE, receiving).await.unwrap()
    }

    async fn call(&mut self, value: &[u8]) -> io::Result<Vec<u8>> {
        self.send(&frame(value)).await?;
        self.receive().await
    }

    /// Waits until the server has closed the connection without sending anything more.
    async fn sees_the_end(&mut self) {
        let mut rest = Vec::new();
        // A close with or without close_notify, or a reset: all are an end.
        let _: io::Result<usize> = timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty());
    }
}
