//! A real engine, vault and store in this process, with the software HAL and a clock that tests turn.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use hal::{Health, KeyWrapper, Label, RootKeys, SecretBytes, software::SoftwareHal};
use keystead::{
    audit::{Actor, Audit},
    engine::{Clock, Engine, EngineLimits, EngineParts},
    net::{Handler, PeerIdentity},
    root_keys,
    rotation::{Rotator, Stop},
    store::{AdapterId, AdapterRow, CertificateRow, Fingerprint, RootKeyRow, Store, StoreOptions},
    trust::{LiveTrust, TrustSource},
    vault::Vault,
};
use kmip::{
    client::{ClientError, Refusal, RequestBuilder, read_results},
    enums::ResultReason,
    payloads::{Request, Response},
    tree::Item,
    ttlv,
    version::Version,
};
use tempfile::TempDir;
use uuid::Uuid;
use zeroize::Zeroizing;

/// The time at which tests begin: 2026-01-01.
pub const START: i64 = 1_767_225_600;

/// An engine with two adapters.
pub struct TestServer {
    pub engine: Arc<Engine>,
    pub store: Arc<Store>,
    clock: Arc<AtomicI64>,
    users: Vec<PeerIdentity>,
    pub hal: Arc<SoftwareHal>,
    pub trust: Arc<LiveTrust>,
    pub audit_log: Arc<Audit>,
    dir: TempDir,
}

/// A client of one adapter, speaking one version.
#[derive(Clone)]
pub struct User {
    pub engine: Arc<Engine>,
    pub peer: PeerIdentity,
    pub version: Version,
}

impl TestServer {
    /// Everything new, in a directory that goes when the server goes.
    pub fn new() -> Self {
        Self::with_limits(EngineLimits::default())
    }

    /// The same with other limits.
    pub fn with_limits(limits: EngineLimits) -> Self {
        Self::start(memory_dir(), limits)
    }

    /// The same in `dir`, where a test may have put an `audit.jsonl` of its own.
    pub fn start(dir: TempDir, limits: EngineLimits) -> Self {
        let passphrase = SecretBytes::new(Zeroizing::new(b"a passphrase of tests".to_vec()));
        let hal = Arc::new(SoftwareHal::create(&dir.path().join("root-keys"), &passphrase).unwrap());
        let root = hal.generate_root(&Label::new("root").unwrap()).unwrap();
        let store = Arc::new(Store::open(&dir.path().join("keystead.db"), StoreOptions::default()).unwrap());
        store.insert_root_key(root_keys::new_row(&root, START)).unwrap();
        let mut users = Vec::new();
        for (number, name) in [(1, "alice"), (2, "bob")] {
            let adapter = AdapterId(Uuid::now_v7());
            let root_key = *root.id.as_uuid();
            let row = AdapterRow {
                id: adapter,
                name: name.to_owned(),
                description: None,
                root_key,
                credential: None,
                created_at: START,
                revision: 1,
                changed_at: START,
                hold_seconds: 0,
            };
            store.insert_adapter(row).unwrap();
            let certificate = Fingerprint([number; 32]);
            let name = name.to_owned();
            store
                .insert_certificate(CertificateRow {
                    fingerprint: certificate,
                    adapter,
                    name,
                    der: vec![number],
                    added_at: START,
                })
                .unwrap();
            users.push(PeerIdentity { adapter, certificate, address: SocketAddr::from(([127, 0, 0, 1], 50_000)) });
        }
        let trust = LiveTrust::start(TrustSource::store(&store), &[]).unwrap();
        let audit = Arc::new(Audit::open(&dir.path().join("audit.jsonl")).unwrap());
        let clock = Arc::new(AtomicI64::new(START));
        let vault = Vault::new(Arc::<SoftwareHal>::clone(&hal));
        let parts = EngineParts {
            store: Arc::clone(&store),
            vault,
            trust: Arc::clone(&trust),
            audit: Arc::clone(&audit),
            clock: Clock::Manual(Arc::clone(&clock)),
            limits,
        };
        Self { engine: Arc::new(Engine::new(parts)), store, clock, users, hal, trust, audit_log: audit, dir }
    }

    /// The client of the first adapter, speaking 1.4.
    pub fn alice(&self) -> User {
        self.user(0)
    }

    /// The client of the second adapter, speaking 1.4.
    pub fn bob(&self) -> User {
        self.user(1)
    }

    fn user(&self, number: usize) -> User {
        User { engine: Arc::clone(&self.engine), peer: self.users[number].clone(), version: Version::V1_4 }
    }

    /// The root key of both adapters.
    pub fn root_key(&self) -> RootKeyRow {
        self.store.root_keys().unwrap().remove(0)
    }

    /// Gives the root key a new version, and so begins a rotation. The engine is not told.
    pub fn new_version(&self) -> u32 {
        let row = self.root_key();
        let next = root_keys::key(row.id, row.current_version + 1);
        let info = self.hal.generate_version(next, &Label::new(&row.label).unwrap()).unwrap();
        self.store.add_version(row.id, root_keys::version_row(&info, self.now())).unwrap();
        next.version
    }

    /// Turns the clock on.
    pub fn pass(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The time.
    pub fn now(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    /// The clock itself, for what looks at it beside the engine.
    pub fn clock(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.clock)
    }

    /// Does what the job of a server does until no rotation is left.
    pub fn rotate(&self) {
        let rotator = Rotator {
            store: Arc::clone(&self.store),
            hal: Arc::<SoftwareHal>::clone(&self.hal),
            audit: Arc::clone(&self.audit_log),
            actor: Actor::Server,
            per_second: 0,
        };
        rotator.run_pending(&Stop::default()).unwrap();
    }

    /// What the audit log says of requests and administration.
    pub fn audit(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.dir.path().join("audit.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter(|line| line["kind"] == "request" || line["kind"] == "admin").collect()
    }

    /// How the HSM is.
    pub fn hsm_health(&self) -> Health {
        self.hal.health()
    }

    /// The database, for a test to look into or to damage.
    pub fn database(&self) -> rusqlite::Connection {
        let database = rusqlite::Connection::open(self.dir.path().join("keystead.db")).unwrap();
        database.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
        database
    }
}

impl User {
    /// The same client speaking another version.
    pub fn speaking(&self, version: Version) -> Self {
        Self { version, ..self.clone() }
    }

    /// Asks one thing.
    pub fn ask(&self, request: impl Into<Request>) -> Result<Response, Refusal> {
        let results = self.send(RequestBuilder::new(self.version).item(request));
        results.into_iter().next().expect("one item asked, one answered")
    }

    /// Asks one thing that must be refused, and says why it was.
    pub fn refused(&self, request: impl Into<Request>) -> ResultReason {
        self.ask(request).expect_err("it is refused").reason.expect("a refusal has a reason")
    }

    /// Sends a batch.
    pub fn send(&self, request: RequestBuilder) -> Vec<Result<Response, Refusal>> {
        let version = self.version;
        let response = self.exchange(&ttlv::encode(&request.build()));
        let refusal = |error| match error {
            ClientError::Refused(refusal) => refusal,
            other => panic!("the response cannot be read: {other}"),
        };
        read_results(response, version).expect("a response").into_iter().map(|result| result.map_err(refusal)).collect()
    }

    /// Sends bytes and returns the tree that comes back.
    pub fn exchange(&self, request: &[u8]) -> Item {
        let reply = self.engine.handle(&self.peer, Zeroizing::new(request.to_vec()));
        ttlv::decode(&reply.bytes, &ttlv::Limits::default()).expect("the server writes TTLV")
    }

    /// Makes an AES key and returns its identifier.
    pub fn create_aes(&self, bits: i32) -> String {
        match self.ask(super::create_aes(bits, [])) {
            Ok(Response::Create(response)) => response.unique_identifier,
            other => panic!("{other:?}"),
        }
    }
}

/// A directory in memory where the system has such a place: what tests of the engine store need not survive a power cut.
pub fn memory_dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Runs `work` and returns what it logged, as operators would read it.
pub fn logged<T>(work: impl FnOnce() -> T) -> (T, String) {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let done = tracing::subscriber::with_default(log, work);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (done, text)
}

#[derive(Clone, Default)]
struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
