//! How quickly the admin API answers what the console's pages ask for, with 200 adapters of 50 certificates and 5,000 keys each:
//! 10,000 certificates and 1,000,000 keys.
//!
//! `scripts/console-load.sh` runs it. `-- 10000` measures with that many keys, `-- 1000000 DIR` keeps what was made in DIR and
//! uses it again. The keys are made by the engine itself, so that rows, index and audit log are what clients would have made;
//! then the server is started, and asked over HTTPS one request after the other.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark may end by a panic")]

use std::{
    collections::HashMap,
    env,
    error::Error,
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use hal::{Label, RootKeys as _, SecretBytes, software::SoftwareHal};
use keystead::{
    audit::{Audit, Options, SyncPolicy},
    config::Config,
    engine::{Clock, Engine, EngineLimits, EngineParts},
    net::{Handler as _, PeerIdentity},
    root_keys,
    store::{AdapterId, AdapterRow, CertificateRow, Fingerprint, Store, StoreOptions},
    trust::{LiveTrust, TrustSource, fingerprint},
    vault::Vault,
};
use kmip::{
    attributes::{Attribute, Attributes, CustomAttribute, Name},
    client::{RequestBuilder, read_results},
    enums::{BatchErrorContinuationOption, CryptographicAlgorithm, NameType, ObjectType},
    masks::CryptographicUsageMask,
    payloads::{ActivateRequest, CreateRequest, GivenAttributes},
    tree::Value,
    ttlv,
    version::Version,
};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd};
use serde_json::Value as Json;
use ureq::{
    Agent,
    tls::{Certificate, RootCerts, TlsConfig},
};
use uuid::Uuid;
use zeroize::Zeroizing;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const ADAPTERS: usize = 200;
const CERTIFICATES: usize = 50;
/// Keys that one message makes.
const AT_ONCE: usize = 100;
const THREADS: usize = 2;
/// How often each request is sent.
const TIMES: usize = 20;

fn main() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let keys = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let kept = arguments.iter().find(|argument| argument.parse::<usize>().is_err()).map(PathBuf::from);
    let temporary = tempfile::tempdir()?;
    let folder = kept.unwrap_or_else(|| temporary.path().join("data"));
    if !folder.join("filled").exists() {
        // It makes the folder, and ends.
        drop(Server::start(&folder)?);
        fill(&folder, keys)?;
        fs::write(folder.join("filled"), keys.to_string())?;
    }
    let server = Server::start(&folder)?;
    measure(&server)
}

/// Fills the store of a server that is not running.
fn fill(folder: &Path, keys: usize) -> Outcome {
    let config = Config::load(&folder.join("keystead.toml"))?;
    let store = Arc::new(Store::open(&config.store.path, StoreOptions::default())?);
    let begun = Instant::now();
    let users = adapters(&store)?;
    println!("{} adapters and {} certificates in {:.0?}", users.len(), users.len() * CERTIFICATES, begun.elapsed());

    // Another key under the same identifier: nobody will open these.
    let root = store.root_keys()?.remove(0);
    let pass = SecretBytes::new(Zeroizing::new(b"a passphrase of a benchmark".to_vec()));
    let other = tempfile::tempdir()?;
    let hal = Arc::new(SoftwareHal::create(&other.path().join("root-keys"), &pass)?);
    let material = SecretBytes::new(Zeroizing::new(vec![7; 32]));
    hal.import_root(root_keys::key(root.id, root.current_version), &Label::new("bench")?, material)?;
    let options = Options { sync: SyncPolicy::Interval, ..Options::default() };
    let engine = Engine::new(EngineParts {
        vault: Vault::new(hal),
        trust: LiveTrust::start(TrustSource::store(&store), &[])?,
        audit: Arc::new(Audit::open_with(&config.audit.path, options)?),
        clock: Clock::System,
        limits: EngineLimits::default(),
        store,
    });
    let messages = keys / AT_ONCE;
    thread::scope(|scope| {
        for first in 0..THREADS {
            let (engine, users) = (&engine, &users);
            scope.spawn(move || {
                // Adapter after adapter in turn, as clients of many come.
                (first..messages)
                    .step_by(THREADS)
                    .for_each(|message| make(engine, &users[message % users.len()], message));
            });
        }
    });
    println!("{} keys in {:.0?}", messages * AT_ONCE, begun.elapsed());
    Ok(())
}

/// As many adapters as there may be, each with its certificates; one client of each.
fn adapters(store: &Store) -> Outcome<Vec<PeerIdentity>> {
    let root_key = store.root_keys()?.remove(0).id;
    let there = store.adapters()?.len();
    for number in there..ADAPTERS {
        store.insert_adapter(AdapterRow {
            id: AdapterId(Uuid::new_v4()),
            name: format!("vcenter-{number:03}"),
            description: Some("Made by a benchmark".to_owned()),
            root_key,
            credential: None,
            created_at: 1_700_000_000,
            revision: 1,
            changed_at: 1_700_000_000,
            hold_seconds: 0,
        })?;
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut users = Vec::new();
    for row in store.adapters()? {
        let mut last = Fingerprint([0; 32]);
        for number in 0..CERTIFICATES {
            let mut params = CertificateParams::new(vec![format!("host-{number}.{}.example", row.name)])?;
            // They end in all the years to come.
            params.not_after = date_time_ymd(2027 + i32::try_from(number / 10)?, 1 + u8::try_from(number % 12)?, 1);
            let der = params.self_signed(&key)?.der().clone();
            last = fingerprint(&der);
            store.insert_certificate(CertificateRow {
                fingerprint: last,
                adapter: row.id,
                name: format!("host {number}"),
                der: der.to_vec(),
                added_at: 1_700_000_000,
            })?;
        }
        users.push(PeerIdentity {
            adapter: row.id,
            certificate: last,
            address: SocketAddr::from(([192, 0, 2, 1], 50_000)),
        });
    }
    Ok(users)
}

/// Makes keys as vCenter makes them, of which one in ten is activated.
fn make(engine: &Engine, user: &PeerIdentity, message: usize) {
    let version = Version::V1_4;
    let mut request = RequestBuilder::new(version).on_error(BatchErrorContinuationOption::Undo);
    for number in 0..AT_ONCE {
        let custom = |name: &str, value: String| {
            Attribute::Custom(CustomAttribute { name: name.to_owned(), value: Value::text(value) })
        };
        let attributes = [
            Attribute::CryptographicAlgorithm(CryptographicAlgorithm::Aes),
            Attribute::CryptographicLength(256),
            Attribute::CryptographicUsageMask(CryptographicUsageMask::Encrypt | CryptographicUsageMask::Decrypt),
            Attribute::Name(Name {
                name_value: format!("vm-{message}-disk-{number}"),
                name_type: NameType::UninterpretedTextString,
            }),
            custom("x-Product", "VMware vSphere".to_owned()),
            custom("x-Identifier", format!("{:08x}-{message:06x}", message * AT_ONCE + number)),
        ];
        let attributes = GivenAttributes(Attributes::from_iter(attributes));
        request = request.item(CreateRequest { object_type: ObjectType::SymmetricKey, attributes });
        if number % 10 == 0 {
            // The one just made.
            request = request.item(ActivateRequest { unique_identifier: None });
        }
    }
    let reply = engine.handle(user, Zeroizing::new(ttlv::encode(&request.build()).to_vec()));
    let reply = ttlv::decode(&reply.bytes, &ttlv::Limits::default()).expect("the engine writes TTLV");
    let results = read_results(reply, version).expect("a response");
    assert!(results.iter().all(Result::is_ok), "{:?}", results.iter().find(|result| result.is_err()));
}

/// `keystead dev` on a folder.
struct Server {
    child: Child,
    agent: Agent,
    base: String,
    key: String,
}

impl Server {
    fn start(folder: &Path) -> Outcome<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keystead"));
        command.args(["dev", "--kmip-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--hsm", "software"]);
        command.args(["--tls-key", "ecdsa-p256", "--dir"]).arg(folder);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let found = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("admin API ready on ").map(str::to_owned));
        let address: SocketAddr = found.ok_or("the server does not start")?.trim().parse()?;
        // Nobody reads what else it says.
        thread::spawn(move || lines.for_each(drop));
        let ca = Certificate::from_pem(&fs::read(folder.join("tls/ca.pem"))?)?;
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::new_with_certs(&[ca]))
            .build();
        let agent = Agent::config_builder().tls_config(tls).timeout_global(Some(Duration::from_secs(120))).build();
        let key = fs::read_to_string(folder.join("admin.token"))?.trim().to_owned();
        Ok(Self { child, agent: agent.into(), base: format!("https://localhost:{}", address.port()), key })
    }

    fn get(&self, path: &str) -> Outcome<String> {
        let request =
            self.agent.get(format!("{}{path}", self.base)).header("authorization", format!("Bearer {}", self.key));
        Ok(request.call()?.body_mut().with_config().limit(1 << 30).read_to_string()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        if asked.is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// What the pages ask for. Braces stand for identifiers of the server's own.
const PAGES: &[(&str, &[&str])] = &[
    ("Overview", &["/v1/session", "/v1/overview", "/v1/statistics?window=hour", "/v1/statistics?window=day"]),
    ("Connect", &["/v1/handshakes", "/v1/server", "/v1/adapters/{adapter}/usage"]),
    ("Adapters", &["/v1/adapters?limit=200"]),
    (
        "Adapter",
        &[
            "/v1/adapters/{adapter}",
            "/v1/adapters/{adapter}/certificates?limit=200",
            "/v1/adapters/{adapter}/rules",
            "/v1/adapters/{adapter}/objects?limit=50",
            "/v1/adapters/{adapter}/activity?limit=50",
            "/v1/adapters/{adapter}/activity?limit=50&action=adapter.*",
            "/v1/adapters/{adapter}/impact",
        ],
    ),
    ("Root keys", &["/v1/root-keys", "/v1/root-keys/{root}", "/v1/root-keys/{root}/impact"]),
    (
        "Keys",
        &[
            "/v1/objects?limit=50",
            "/v1/objects?limit=50&page={page}",
            "/v1/objects?limit=50&state=Active",
            "/v1/objects?limit=50&state=Destroyed",
            "/v1/objects?limit=50&type=SymmetricKey",
            "/v1/objects?limit=50&name={name}",
            "/v1/objects?limit=50&attribute=x-Identifier:{identifier}",
            "/v1/objects?limit=50&attribute=x-Product:VMware%20vSphere",
            "/v1/objects?limit=50&identifier={object}",
            "/v1/objects?limit=50&identifier=01",
            "/v1/objects?limit=50&created_to={made}",
            "/v1/objects?limit=50&created_from={made}&state=Active",
            "/v1/objects?limit=50&name_contains=disk",
            "/v1/objects?limit=50&name_contains=nothing%20like%20it",
            "/v1/objects?limit=50&unused_since=2030-01-01T00:00:00Z",
            "/v1/objects/{object}",
            "/v1/objects/{object}/impact",
        ],
    ),
    ("Certificates", &["/v1/certificates?limit=100", "/v1/certificates?limit=100&expiring_within_days=3660"]),
    (
        "Others",
        &["/v1/approvals", "/v1/audit/events?limit=50", "/v1/audit/events?limit=50&action=adapter.*", "/v1/identities"],
    ),
];

fn measure(server: &Server) -> Outcome {
    let known = known(server)?;
    println!("| page | request | bytes | p50 | max |\n|---|---|---|---|---|");
    for (page, requests) in PAGES {
        for request in *requests {
            let path = known
                .iter()
                .fold((*request).to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value));
            let (mut times, mut bytes) = (Vec::with_capacity(TIMES), 0);
            for _ in 0..TIMES {
                let begun = Instant::now();
                bytes = server.get(&path)?.len();
                times.push(begun.elapsed());
            }
            times.sort_unstable();
            let shown = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
            println!("| {page} | `{request}` | {bytes} | {} | {} |", shown(times[TIMES / 2]), shown(times[TIMES - 1]));
        }
    }
    Ok(())
}

/// What stands for the names in braces.
fn known(server: &Server) -> Outcome<HashMap<&'static str, String>> {
    let ask = |path: &str| -> Outcome<Json> { Ok(serde_json::from_str(&server.get(path)?)?) };
    let text = |value: &Json| value.as_str().map(str::to_owned).ok_or("not what was expected");
    let adapters = ask("/v1/adapters?limit=200")?;
    let items = adapters["items"].as_array().ok_or("there are no adapters")?;
    let with_keys: Vec<_> = items.iter().filter(|item| item["objects"]["live"].as_u64() > Some(0)).collect();
    let adapter = with_keys.get(with_keys.len() / 2).ok_or("there are no keys")?;
    // Somewhere in the middle of all keys.
    let middle = ask(&format!("/v1/objects?limit=1000&adapter={}", text(&adapter["id"])?))?;
    let object = middle["items"].as_array().and_then(|items| items.last()).ok_or("there are no keys")?;
    let found = ask(&format!("/v1/objects?limit=1000&created_to={}", text(&object["dates"]["initial"])?))?;
    let identifier = object["attributes"].as_array().into_iter().flatten().find(|one| one["name"] == "x-Identifier");
    Ok(HashMap::from([
        ("adapter", text(&adapter["id"])?),
        ("root", text(&adapter["root_key"]["id"])?),
        ("object", text(&object["id"])?),
        ("name", text(&object["names"][0])?),
        ("made", text(&object["dates"]["initial"])?),
        ("identifier", text(&identifier.ok_or("no identifier")?["value"])?),
        ("page", text(&found["next_page"])?),
    ]))
}
