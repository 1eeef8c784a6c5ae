//! Hostile and broken peers, over real TLS against the real program: what they send or leave out ends their own connection and
//! nobody else's, and the server's memory stays bounded.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use kmip::{
    client::{Client, RequestBuilder, read_results},
    enums::{BatchErrorContinuationOption, ResultReason},
    objects::{Object, OpaqueObject},
    payloads::{DiscoverVersionsRequest, Response},
    tags::Tag,
    tree::{Enumerated, Item},
    ttlv,
    version::Version,
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use zeroize::Zeroizing;

use crate::{
    bad_input::valid::{get, message, register},
    harness::{
        create_aes,
        server::{Connection, Server, client_config, connect},
    },
};

/// How long a peer may wait for what must come; the time-outs under test are of one second.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the server may have in memory at most, bytes. A debug build; what the peers ask for would be many times as much.
const MOST_MEMORY: usize = 256 << 20;

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// The most memory that the process has had, bytes.
fn peak_memory(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<usize>().unwrap() << 10
}

fn memory_is_bounded(server: &Server, what: &str) {
    let peak = peak_memory(server);
    println!("{what}: the server's memory peaked at {} MiB", peak >> 20);
    assert!(peak < MOST_MEMORY, "{peak}");
}

fn tls(server: &Server) -> Tls {
    connect(server.addr(), client_config(&server.dir().join("client"))).unwrap()
}

/// The server closes: with whatever answer before it, and without more than that.
fn is_closed(stream: &mut impl Read) -> Vec<u8> {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => {
            use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidData, UnexpectedEof};
            let closed = matches!(error.kind(), ConnectionReset | ConnectionAborted | UnexpectedEof | InvalidData);
            assert!(closed, "the connection is still open: {error}");
        }
    }
    rest
}

fn is_served(connection: &mut Connection) {
    connection.call(DiscoverVersionsRequest { protocol_version: Vec::new() }).expect("others are served");
}

fn raw(server: &Server) -> TcpStream {
    let socket = TcpStream::connect(server.addr()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn ask_versions() -> Vec<u8> {
    ttlv::encode(&message(Version::V1_4, DiscoverVersionsRequest { protocol_version: Vec::new() })).to_vec()
}

#[test]
fn peers_that_are_slow_are_closed_while_others_are_served() {
    let server = Server::configured(&[("handshake_seconds", 1), ("request_seconds", 1)]);
    let mut other = server.connect(Version::V1_4);
    let sound = ask_versions();

    let mut silent = raw(&server);
    let mut slow_hello = raw(&server);
    // The start of a TLS record that announces a long ClientHello.
    slow_hello.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).unwrap();
    let mut stalled: Vec<Tls> = [1, 4, 8, 9, sound.len() - 1]
        .into_iter()
        .map(|part| {
            let mut stream = tls(&server);
            stream.write_all(&sound[..part]).unwrap();
            stream.flush().unwrap();
            stream
        })
        .collect();
    let mut large = tls(&server);
    large.write_all(&[0x42, 0x00, 0x78, 0x01, 0x00, 0x0F, 0xFF, 0xF0]).unwrap();
    large.write_all(&[0; 50_000]).unwrap();
    large.flush().unwrap();
    is_served(&mut other);
    for socket in [&mut silent, &mut slow_hello] {
        assert!(is_closed(socket).is_empty());
    }
    for stream in stalled.iter_mut().chain([&mut large]) {
        assert!(is_closed(stream).is_empty());
    }

    // A byte now and then does not extend the time that a request has. Each write is answered by the passing of time only, so
    // this goes on until the server closes.
    let mut drop_by_drop = tls(&server);
    drop_by_drop.sock.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    drop_by_drop.write_all(&[0x42, 0x00, 0x78, 0x01, 0x00, 0x0F, 0xFF, 0xF0]).unwrap();
    let mut sent = 8;
    loop {
        is_served(&mut other);
        if drop_by_drop.write_all(&[0]).and_then(|()| drop_by_drop.flush()).is_err() {
            break;
        }
        sent += 1;
        match drop_by_drop.read(&mut [0; 1]) {
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Ok(0) | Err(_) => break,
            Ok(_) => panic!("an answer to a request that is not whole"),
        }
    }
    assert!(sent < 10_000, "{sent}");
    is_served(&mut other);
    memory_is_bounded(&server, "slow peers");
}

#[test]
fn what_is_no_request_ends_its_connection_and_a_frame_too_long_is_told_so() {
    let server = Server::start();
    let mut other = server.connect(Version::V1_4);
    for (what, bytes) in [
        ("HTTP", &b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"[..]),
        ("zeros", &[0; 64]),
        ("a response", &[0x42, 0x00, 0x7B, 0x01, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("a request that is no structure", &[0x42, 0x00, 0x78, 0x02, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        let mut stream = tls(&server);
        stream.write_all(bytes).unwrap();
        stream.flush().unwrap();
        assert!(is_closed(&mut stream).is_empty(), "{what}");
        let mut plain = raw(&server);
        plain.write_all(bytes).unwrap();
        // At most a TLS alert.
        assert!(is_closed(&mut plain).len() <= 7, "{what}");
    }
    // The length is of what follows the header: one byte more than a frame may have, and the most there can be.
    for length in [(1_u32 << 20) - 7, (1 << 20) + 1, 0x8000_0000, u32::MAX - 7, u32::MAX] {
        let mut stream = tls(&server);
        stream.write_all(&[0x42, 0x00, 0x78, 0x01]).unwrap();
        stream.write_all(&length.to_be_bytes()).unwrap();
        stream.flush().unwrap();
        let answer = ttlv::decode(&is_closed(&mut stream), &ttlv::Limits::default()).expect("one response");
        let results = read_results(answer, Version::V1_0).unwrap();
        let [Err(kmip::client::ClientError::Refused(refusal))] = &results[..] else { panic!("{length}: {results:?}") };
        assert_eq!(refusal.reason, Some(ResultReason::InvalidMessage));
    }
    for part in [1, 4, 7, 8, 30] {
        let mut stream = tls(&server);
        stream.write_all(&ask_versions()[..part]).unwrap();
        stream.flush().unwrap();
        stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(is_closed(&mut stream).is_empty(), "cut after {part}");
    }
    is_served(&mut other);
    memory_is_bounded(&server, "frames that announce much");
}

#[test]
fn pipelined_requests_are_answered_in_order_also_of_peers_that_read_late_and_those_that_hang_up_harm_nobody() {
    let server = Server::start();
    let mut stream = tls(&server);
    let mut together = Vec::new();
    for number in 0..200_u32 {
        let mut builder = RequestBuilder::new(Version::V1_4)
            .named_item(&number.to_be_bytes(), DiscoverVersionsRequest { protocol_version: Vec::new() });
        builder.header_mut().client_correlation_value = Some(number.to_string());
        together.extend_from_slice(&ttlv::encode(&builder.build()));
    }
    stream.write_all(&together).unwrap();
    stream.flush().unwrap();
    for number in 0..200 {
        let answer = next_frame(&mut stream);
        let header = answer.field(Tag::ResponseHeader).unwrap();
        let value = &header.field(Tag::ClientCorrelationValue).unwrap().value;
        assert_eq!(*value, kmip::tree::Value::text(number.to_string()));
    }
    for _ in 0..50 {
        let mut stream = tls(&server);
        let request = ttlv::encode(&message(Version::V1_4, create_aes(256, [])));
        stream.write_all(&request).unwrap();
        stream.flush().unwrap();
        drop(stream);
    }
    is_served(&mut server.connect(Version::V1_4));
}

fn next_frame(stream: &mut Tls) -> Item {
    let mut header = [0; 8];
    stream.read_exact(&mut header).unwrap();
    let length = usize::try_from(ttlv::frame_len(&header, Tag::ResponseMessage).unwrap()).unwrap();
    let mut frame = vec![0; length];
    frame[..8].copy_from_slice(&header);
    stream.read_exact(&mut frame[8..]).unwrap();
    ttlv::decode(&frame, &ttlv::Limits::default()).unwrap()
}

/// A client configuration with these credentials, or none, that trusts the server.
fn config(server: &Server, own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(server.dir().join("client/ca.pem")).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    Arc::new(match own {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    })
}

/// A certificate called `name`: of the server's own authority or self-signed, valid now or expired.
fn credentials(
    server: &Server,
    issued: bool,
    name: &str,
    expired: bool,
) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(if expired { 2021 } else { 2040 }, 1, 1);
    let certificate = if issued {
        let read = |file: &str| std::fs::read_to_string(server.dir().join("tls").join(file)).unwrap();
        let ca_key = rcgen::KeyPair::from_pem(&read("ca.key")).unwrap();
        let issuer = rcgen::Issuer::from_ca_cert_pem(&read("ca.pem"), ca_key).unwrap();
        params.signed_by(&key, &issuer).unwrap()
    } else {
        params.self_signed(&key).unwrap()
    };
    (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

/// Whether a client with this configuration gets an answer to a request. In TLS 1.3 a refusal comes after the handshake.
fn gets_in(server: &Server, config: Arc<ClientConfig>) -> bool {
    let Ok(stream) = connect(server.addr(), config) else { return false };
    Client::new(stream, Version::V1_4).call(DiscoverVersionsRequest { protocol_version: Vec::new() }).is_ok()
}

#[test]
fn only_registered_certificates_and_those_under_a_rule_get_in() {
    let server = Server::configured(&[]);
    let keystead = |line: &str| {
        let config = server.dir().join("keystead.toml");
        crate::cli::succeed(&format!("{line} --config {}", config.display()))
    };
    keystead("cert rule add --adapter demo --common-name ruled");
    let ruled = credentials(&server, true, "ruled", false);
    // The rule takes effect within moments; nothing tells when.
    let deadline = std::time::Instant::now() + PATIENCE;
    while !gets_in(&server, config(&server, Some((ruled.0.clone(), ruled.1.clone_key())))) {
        assert!(std::time::Instant::now() < deadline, "the rule never takes effect");
    }
    assert!(gets_in(&server, client_config(&server.dir().join("client"))));
    assert!(!gets_in(&server, config(&server, None)), "no certificate");
    for (what, issued, name, expired) in [
        ("an unknown certificate", false, "stranger", false),
        ("a self-signed certificate with a name under the rule", false, "ruled", false),
        ("an issued certificate without a rule", true, "somebody", false),
        ("an expired certificate under the rule", true, "ruled", true),
        ("an expired unknown certificate", false, "stranger", true),
    ] {
        assert!(!gets_in(&server, config(&server, Some(credentials(&server, issued, name, expired)))), "{what}");
    }
    // A registered certificate without its key: the signature is another's.
    let chain = CertificateDer::pem_file_iter(server.dir().join("client/cert.pem")).unwrap();
    let chain = chain.map(Result::unwrap).collect();
    let (_, wrong_key) = credentials(&server, false, "thief", false);
    let provider = rustls::crypto::ring::default_provider();
    let key = provider.key_provider.load_private_key(wrong_key).unwrap();
    let mut thief = (*config(&server, None)).clone();
    thief.client_auth_cert_resolver = Arc::new(Stolen(Arc::new(rustls::sign::CertifiedKey::new(chain, key))));
    assert!(!gets_in(&server, Arc::new(thief)), "a registered certificate without its key");
}

/// Presents a certificate with somebody else's key.
#[derive(Debug)]
struct Stolen(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Stolen {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn caps_on_connections_hold_in_all_and_for_each_adapter_and_silent_strangers_keep_nobody_out() {
    let server = Server::configured(&[("connections", 8), ("connections_per_adapter", 3), ("handshake_seconds", 60)]);
    second_adapter(&server, "other");
    let mine = |folder: &str| connect(server.addr(), client_config(&server.dir().join(folder)));
    let mut first: Vec<Connection> = (0..3).map(|_| server.connect(Version::V1_4)).collect();
    first.iter_mut().for_each(is_served);
    let fourth = mine("client").map(|stream| {
        Client::new(stream, Version::V1_4).call(DiscoverVersionsRequest { protocol_version: Vec::new() }).is_ok()
    });
    assert!(!fourth.unwrap_or(false), "one more than an adapter may have");
    // The rest of the places and more are taken by peers that say nothing, and may do so for a minute.
    let mut silent: Vec<TcpStream> = (0..12).map(|_| raw(&server)).collect();
    let mut other = server.connect_as("client2", Version::V1_4);
    is_served(&mut other);
    first.iter_mut().for_each(is_served);
    // Those that came first have made room.
    assert!(is_closed(&mut silent[0]).is_empty());
    // Places of connections that are served are given to nobody.
    let mut others = [other, server.connect_as("client2", Version::V1_4), server.connect_as("client2", Version::V1_4)];
    others.iter_mut().chain(&mut first).for_each(is_served);
    // A place that is given back is given again.
    drop(first.pop());
    let deadline = std::time::Instant::now() + PATIENCE;
    while !gets_in(&server, client_config(&server.dir().join("client"))) {
        assert!(std::time::Instant::now() < deadline, "the place is never free");
    }
}

/// Makes an adapter with a certificate in the folder `client2`.
fn second_adapter(server: &Server, name: &str) {
    let dir = server.dir().display();
    crate::cli::succeed(&format!("adapter create {name} --config {dir}/keystead.toml"));
    crate::cli::succeed(&format!(
        "cert issue --adapter {name} --common-name {name} --key ecdsa-p256 --out {dir}/client2 --config {dir}/keystead.toml"
    ));
    let deadline = std::time::Instant::now() + PATIENCE;
    while !gets_in(server, client_config(&server.dir().join("client2"))) {
        assert!(std::time::Instant::now() < deadline, "the certificate is never recognised");
    }
}

#[test]
fn a_thousand_idle_connections_and_peers_that_do_not_read_leave_the_others_served_in_bounded_memory() {
    let wanted = 1_000;
    let files = usize::try_from(keystead::process::raise_open_files(4096).unwrap()).unwrap();
    let count = wanted.min(files.saturating_sub(512));
    println!("{count} idle connections");
    let server = Server::configured(&[("connections_per_adapter", 2000)]);
    second_adapter(&server, "other");
    let config = client_config(&server.dir().join("client"));
    let before = peak_memory(&server);
    let announced = [0x42, 0x00, 0x78, 0x01, 0x00, 0x0F, 0xFF, 0xF8];
    let mut idle = Vec::with_capacity(count);
    for number in 0..count {
        let mut stream = connect(server.addr(), Arc::clone(&config)).unwrap();
        if number % 4 == 0 {
            // A quarter announces the largest request and leaves it at that.
            stream.write_all(&announced).unwrap();
            stream.flush().unwrap();
        }
        idle.push(stream);
    }
    let mut other = server.connect_as("client2", Version::V1_4);
    for _ in 0..100 {
        is_served(&mut other);
    }
    let peak = peak_memory(&server);
    println!("{count} connections cost {} MiB", (peak - before) >> 20);

    // Each asks for as much as one message can and reads nothing of it.
    let id = large_object(&server);
    let batch = (0..256).fold(RequestBuilder::new(Version::V1_4), |builder, _| builder.item(get(Some(id.clone()))));
    let batch = ttlv::encode(&batch.on_error(BatchErrorContinuationOption::Continue).build());
    for stream in idle.iter_mut().skip(1).step_by(4).take(100) {
        stream.write_all(&batch).unwrap();
        stream.flush().unwrap();
    }
    for _ in 0..100 {
        is_served(&mut other);
    }
    memory_is_bounded(&server, "a thousand connections, a hundred of which do not read what they ask for");
    drop(idle);
    is_served(&mut other);
}

/// Registers an object nearly as large as a message may be.
fn large_object(server: &Server) -> String {
    let opaque =
        OpaqueObject { opaque_data_type: Enumerated::code(1), opaque_data_value: Zeroizing::new(vec![7; 1_000_000]) };
    match server.connect(Version::V1_4).call(register(Object::OpaqueObject(opaque), [])) {
        Ok(Response::Register(response)) => response.unique_identifier,
        other => panic!("{other:?}"),
    }
}
