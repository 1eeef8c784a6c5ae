//! What the network edge costs by itself: a request the size of a Get, answered at once, over mutual TLS 1.3 on 16 connections.
//!
//! The clients run in the same process and take about half of the processor time.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the measurement")]

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keystead::{
    net::{Handler, Limits, PeerIdentity, Reply, Server, ServerCertificate, TlsConfig},
    store::{AdapterId, AdapterRow, CertificateRow, TrustRows},
    trust::{LiveTrust, TrustSource, fingerprint},
};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use uuid::Uuid;
use zeroize::Zeroizing;

const CONNECTIONS: usize = 16;
/// Value bytes of a Get request and of its answer with an AES-256 key, roughly.
const REQUEST_BYTES: usize = 150;

type Client = StreamOwned<ClientConnection, TcpStream>;

struct Echo;

impl Handler for Echo {
    fn handle(&self, _peer: &PeerIdentity, request: Zeroizing<Vec<u8>>) -> Reply {
        Reply { bytes: request, close: false }
    }

    fn too_large(&self, _limit: u32) -> Option<Reply> {
        None
    }
}

fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.der().clone(), PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
}

fn rows(certificate: &CertificateDer<'static>) -> TrustRows {
    let id = AdapterId(Uuid::nil());
    let name = "bench".to_owned();
    TrustRows {
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
            fingerprint: fingerprint(certificate),
            adapter: id,
            name,
            der: certificate.to_vec(),
            added_at: 0,
        }],
        ca_rules: Vec::new(),
        authorities: Vec::new(),
        root_keys: Vec::new(),
        issued: Vec::new(),
    }
}

fn serve(runtime: &tokio::runtime::Runtime, threads: usize) -> Vec<Client> {
    let (server_certificate, server_key) = certificate();
    let (client_certificate, client_key) = certificate();
    let rows = rows(&client_certificate);
    let source = TrustSource { generation: Box::new(|| Ok(1)), rows: Box::new(move || Ok(rows.clone())) };
    let trust = LiveTrust::start(source, &[]).unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&server_key).unwrap();
    let certificate = ServerCertificate::from_signing_key(vec![server_certificate.clone()], key).unwrap();
    let tls = TlsConfig::new(Arc::new(certificate), trust).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = runtime.block_on(Server::bind(&[any], tls, Limits::default(), Arc::new(Echo), threads)).unwrap();
    let address = server.local_addrs()[0];
    runtime.spawn(server.run(std::future::pending()));

    let mut roots = RootCertStore::empty();
    roots.add(server_certificate).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![client_certificate], client_key)
        .unwrap();
    let config = Arc::new(config);
    let connect = || {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::clone(&config), name).unwrap(), socket)
    };
    (0..CONNECTIONS).map(|_| connect()).collect()
}

fn exchange(client: &mut Client, request: &[u8], answer: &mut [u8]) {
    client.write_all(request).unwrap();
    client.read_exact(answer).unwrap();
}

fn requests(c: &mut Criterion) {
    let mut request = vec![0x42, 0x00, 0x78, 0x01, 0, 0, 0, u8::try_from(REQUEST_BYTES).unwrap()];
    request.resize(8 + REQUEST_BYTES, 0);
    let mut group = c.benchmark_group("edge");
    group.throughput(Throughput::Elements(1));
    group.measurement_time(Duration::from_secs(5));
    for threads in [2, 16] {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut clients = serve(&runtime, threads);
        group.bench_function(format!("16_connections_{threads}_threads"), |bench| {
            bench.iter_custom(|iterations| {
                let each = usize::try_from(iterations).unwrap().div_ceil(CONNECTIONS);
                let start = Instant::now();
                thread::scope(|scope| {
                    for client in &mut clients {
                        let request = &request;
                        scope.spawn(move || {
                            let mut answer = vec![0; request.len()];
                            (0..each).for_each(|_| exchange(client, request, &mut answer));
                        });
                    }
                });
                start.elapsed()
            });
        });
        group.bench_function(format!("1_connection_{threads}_threads"), |bench| {
            let mut answer = vec![0; request.len()];
            bench.iter(|| exchange(&mut clients[0], &request, &mut answer));
        });
    }
}

criterion_group!(benches, requests);
criterion_main!(benches);
