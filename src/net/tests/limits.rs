//! Time-outs, caps, and the end of the server.

use tracing_subscriber::fmt::MakeWriter;

use super::*;

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_connection_without_client_hello_is_closed() {
    let holder = self_signed(&params("alice"));
    let server = Running::with_alice(&holder, Limits { handshake_timeout: SHORT, ..limits() }).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    // The start of a TLS record that announces a long ClientHello.
    slow.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.unwrap();
    for socket in [&mut silent, &mut slow] {
        let mut rest = Vec::new();
        timeout(PATIENCE, socket.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert!(rest.is_empty());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_does_not_arrive_in_time_is_closed() {
    for part in [1, 4, 8, 12] {
        let holder = self_signed(&params("alice"));
        let server = Running::with_alice(&holder, Limits { request_timeout: SHORT, ..limits() }).await;
        let mut client = server.connect(&holder).await;
        client.send(&frame(b"never whole")[..part]).await.unwrap();
        client.sees_the_end().await;
        server.stop().await;
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_but_requests_keep_it() {
    let holder = self_signed(&params("alice"));
    let server = Running::with_alice(&holder, Limits { idle_timeout: 20 * SHORT, ..limits() }).await;
    let mut client = server.connect(&holder).await;
    let start = std::time::Instant::now();
    // Well past the time-out since the handshake, never near it since the last request.
    while start.elapsed() < 30 * SHORT {
        client.call(b"still here").await.unwrap();
    }
    client.sees_the_end().await;
    server.stop().await;
}

#[tokio::test]
async fn one_connection_over_the_cap_is_closed_at_once_and_a_freed_place_is_given_again() {
    let holder = self_signed(&params("alice"));
    let server = Running::with_alice(&holder, Limits { max_connections: 2, ..limits() }).await;
    let (mut one, mut two) = (server.connect(&holder).await, server.connect(&holder).await);
    one.call(b"one").await.unwrap();
    two.call(b"two").await.unwrap();
    let config = server.client(Some(&holder), &rustls::version::TLS13);
    server.connect_with(Arc::clone(&config)).await.err().unwrap();
    drop(one);
    let again = async {
        loop {
            if let Ok(mut client) = server.connect_with(Arc::clone(&config)).await {
                return client.call(b"three").await.unwrap();
            }
        }
    };
    assert_eq!(timeout(PATIENCE, again).await.unwrap(), b"three");
    server.stop().await;
}

#[tokio::test]
async fn one_adapter_cannot_take_the_places_of_another() {
    let (alice, bob) = (self_signed(&params("alice")), self_signed(&params("bob")));
    let server = Running::with_alice(&alice, Limits { max_connections_per_adapter: 1, ..limits() }).await;
    server.change(|rows| rows.certificates.push(registration(BOB, &bob)));
    server.trust.refresh_now().unwrap();
    let mut first = server.connect(&alice).await;
    first.call(b"first").await.unwrap();
    let mut second = server.connect(&alice).await;
    second.call(b"second").await.unwrap_err();
    assert_eq!(server.connect(&bob).await.call(b"who").await.unwrap(), b"b");
    assert_eq!(first.call(b"first").await.unwrap(), b"first");
    server.stop().await;
}

#[tokio::test]
async fn a_stop_answers_the_request_in_flight_and_closes_idle_connections() {
    let holder = self_signed(&params("alice"));
    let mut server = Running::with_alice(&holder, limits()).await;
    let (mut idle, mut busy) = (server.connect(&holder).await, server.connect(&holder).await);
    idle.call(b"hello").await.unwrap();
    busy.send(&frame(b"wait")).await.unwrap();
    server.request_taken_up().await;
    server.ask_to_stop();
    idle.sees_the_end().await;
    // Nothing more is accepted.
    TcpStream::connect(server.address).await.unwrap_err();
    server.release.send(()).unwrap();
    assert_eq!(busy.receive().await.unwrap(), b"wait");
    busy.sees_the_end().await;
    timeout(PATIENCE, server.ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_beyond_the_drain_time() {
    let holder = self_signed(&params("alice"));
    let mut server = Running::with_alice(&holder, Limits { drain_timeout: SHORT, ..limits() }).await;
    let mut client = server.connect(&holder).await;
    client.send(&frame(b"wait")).await.unwrap();
    server.request_taken_up().await;
    server.ask_to_stop();
    client.sees_the_end().await;
    server.release.send(()).unwrap();
    timeout(PATIENCE, server.ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_status_probe_is_answered_while_every_other_thread_waits() {
    let holder = self_signed(&params("alice"));
    let server = Running::with_alice(&holder, limits()).await;
    // The server has two threads for requests that may wait.
    let mut waiting = [server.connect(&holder).await, server.connect(&holder).await];
    for client in &mut waiting {
        client.send(&frame(b"wait")).await.unwrap();
        server.request_taken_up().await;
    }
    let mut probe = server.connect(&holder).await;
    assert_eq!(probe.call(b"prompt").await.unwrap(), b"prompt");
    server.release.send(()).unwrap();
    server.release.send(()).unwrap();
    for mut client in waiting {
        assert_eq!(client.receive().await.unwrap(), b"wait");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_handshake() {
    let holder = self_signed(&params("alice"));
    let server = Running::with_alice(&holder, Limits { handshake_timeout: 10 * PATIENCE, ..limits() }).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    // The server answers the first connection's request only after it accepted the socket before it.
    server.connect(&holder).await.call(b"hello").await.unwrap();
    server.stop().await;
    let mut rest = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut rest)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_connections_leave_the_others_served() {
    // Each connection has two ends in this process.
    crate::process::raise_open_files(4096).unwrap();
    let holder = self_signed(&params("alice"));
    let server = Running::with_alice(&holder, limits()).await;
    let config = server.client(Some(&holder), &rustls::version::TLS13);
    let (before, large) = (resident_bytes(), frame(&vec![0; (1 << 20) - 8]));
    let mut idle = Vec::new();
    for _ in 0..1000 {
        let mut client = server.connect_with(Arc::clone(&config)).await.unwrap();
        // Announces the largest request and leaves it at that.
        client.send(&large[..100]).await.unwrap();
        idle.push(client);
    }
    let mut client = server.connect(&holder).await;
    for _ in 0..100 {
        assert_eq!(client.call(b"served").await.unwrap(), b"served");
    }
    // Both ends of TLS are in this process, and other tests; what was announced would be a gibibyte.
    assert!(resident_bytes() - before < 400 << 20);
    let mut last = idle.pop().unwrap();
    last.send(&large[100..]).await.unwrap();
    assert_eq!(last.receive().await.unwrap().len(), (1 << 20) - 8);
    drop(idle);
    server.stop().await;
}

/// What the process has in memory.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn probes_and_abrupt_ends_are_not_worth_a_line_but_a_strange_certificate_is_worth_one() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .finish();
    // The runtime of this test has one thread, so this sees the server's lines and nobody else's.
    let _capture = tracing::subscriber::set_default(subscriber);
    let holder = self_signed(&params("alice"));
    let server = Running::with_alice(&holder, limits()).await;

    drop(TcpStream::connect(server.address).await.unwrap());
    let mut garbage = TcpStream::connect(server.address).await.unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    drop(garbage);
    for _ in 0..3 {
        let mut client = server.connect(&holder).await;
        client.call(b"hello").await.unwrap();
        // The socket goes without a close_notify.
        drop(client);
    }
    let mut client = server.connect(&holder).await;
    client.send(&frame(b"half a request")[..10]).await.unwrap();
    drop(client);
    server.connect(&holder).await.call(b"hello").await.unwrap();
    assert_eq!(String::from_utf8(lines.0.lock().clone()).unwrap(), "");

    let stranger = self_signed(&params("stran\nger"));
    for _ in 0..3 {
        server.refusal(Some(&stranger), &rustls::version::TLS13).await;
    }
    let seen = String::from_utf8(std::mem::take(&mut *lines.0.lock())).unwrap();
    assert_eq!(seen.lines().count(), 1, "{seen}");
    for part in ["WARN", "127.0.0.1:", &fingerprint(stranger.der()).to_string(), "stranger", "register"] {
        assert!(seen.contains(part), "{part} in {seen}");
    }
    server.stop().await;
}
