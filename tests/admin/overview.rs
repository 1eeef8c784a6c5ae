//! `/v1/overview`, `/v1/statistics` and `/v1/handshakes`: what is looked at all the time.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use keystead::admin::model::{
    AdapterUsage, Handshake, HandshakeOutcome, Handshakes, HsmState, Overview, Statistics, StatisticsWindow,
};
use kmip::version::Version;
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject as _};
use serde_json::json;

use super::{
    administrator,
    client::{Authority, Holder, params},
    server as shared,
};
use crate::harness::{
    api::Api,
    ask::{get, locate, made, register_aes},
    server::{Server, connect},
};

/// Asks until the answer is as it should be.
fn eventually<T>(what: &str, ask: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

fn handshakes(api: &Api, query: &str) -> Handshakes {
    api.get(&format!("/v1/handshakes?limit=1000&{query}")).read(200)
}

/// The newest one of a certificate.
fn of(api: &Api, fingerprint: &str) -> Option<Handshake> {
    let is_its = |one: &Handshake| one.certificate.as_ref().is_some_and(|shown| shown.fingerprint == fingerprint);
    handshakes(api, "").items.into_iter().find(is_its)
}

#[test]
fn the_overview_tells_how_everything_is() {
    let server = Server::start();
    let api = server.api();
    let mut client = server.connect(Version::V1_4);
    client.call(register_aes(&[1; 16], [])).unwrap();
    let overview = eventually("the HSM was looked at", || {
        let overview: Overview = api.get("/v1/overview").read(200);
        overview.hsm.is_some().then_some(overview)
    });
    assert_eq!((overview.version.as_str(), overview.ready), (env!("CARGO_PKG_VERSION"), true));
    assert!((0..600).contains(&overview.uptime_seconds), "{overview:?}");
    let hsm = overview.hsm.unwrap();
    assert_eq!((hsm.state, hsm.backend.as_str(), hsm.message), (HsmState::Ready, "software", None));
    assert_eq!((hsm.tokens.len(), hsm.tokens[0].state), (1, HsmState::Ready));
    assert!(hsm.wrap.count >= 1 && hsm.wrap.p50_us <= hsm.wrap.max_us, "{:?}", hsm.wrap);
    assert!(hsm.unwrap.count == 0 || hsm.unwrap.p99_us.is_some(), "{:?}", hsm.unwrap);
    let store = overview.store.unwrap();
    assert!(store.bytes > 10_000 && store.disk_free_bytes.unwrap() > 0 && store.last_write_at.is_some());
    let audit = overview.audit.unwrap();
    assert!(audit.healthy && audit.records > 0 && audit.segments >= 1 && audit.bytes > 100, "{audit:?}");
    assert!(audit.unsigned_records <= audit.records);
    let connections = overview.connections.unwrap();
    assert!(connections.open >= 1 && connections.limit > 1, "{connections:?}");
    assert_eq!((overview.adapters, overview.objects.live, overview.objects.destroyed), (2, 1, 0));
    // Those of clients, the server's and its authority's.
    assert_eq!((overview.certificates.expired, overview.certificates.within_days), (0, 60));
    assert!(overview.certificates.total >= 3, "{:?}", overview.certificates);
    assert_eq!((overview.approvals.pending, overview.rotations.unwrap().len()), (0, 0));

    let adapter = api.adapter("seen as a change");
    api.post("/v1/approvals", &json!({"action": "adapter.delete", "subject": adapter, "reason": "a test"})).expect(201);
    api.get(&format!("/v1/adapters/{adapter}")).expect(200);
    let overview: Overview = api.get("/v1/overview").read(200);
    assert_eq!((overview.adapters, overview.approvals.pending), (3, 1));
    let changes = overview.changes.unwrap();
    let actions: Vec<_> = changes.iter().map(|change| change.action.as_str()).collect();
    assert_eq!(actions, ["approval.request", "adapter.create"], "what only reads is no change");
    assert_eq!(changes[1].name.as_deref(), Some("seen as a change"));
    assert_eq!(changes[1].adapter.map(|id| id.to_string()), Some(adapter));
    assert!(changes[1].actor.starts_with("identity:") && !changes[1].actor_name.is_empty());
}

#[test]
fn the_overview_shows_what_a_role_may_know() {
    let api = administrator();
    let adapter = api.adapter("overview scope");
    let read = |api: &Api| -> Overview { api.get("/v1/overview").read(200) };
    let viewer = read(&api.service("overview viewer", &[("viewer", None)]));
    assert!(viewer.store.is_some() && viewer.audit.is_some() && viewer.connections.is_some());
    assert!(viewer.rotations.is_some() && viewer.changes.is_none(), "changes are what the audit log has");
    let scoped = api.service("overview scoped", &[("operator", Some(&adapter))]);
    let overview = read(&scoped);
    assert!(overview.hsm.is_none() && overview.store.is_none() && overview.audit.is_none());
    assert!(overview.connections.is_none() && overview.rotations.is_none() && overview.changes.is_none());
    assert_eq!((overview.adapters, overview.objects.live, overview.certificates.total), (1, 0, 0));
    scoped.get("/v1/statistics").problem(403, "forbidden");
    let nobody = api.service("overview nobody", &[]);
    for path in ["/v1/overview", "/v1/statistics", "/v1/handshakes"] {
        nobody.get(path).problem(403, "forbidden");
        shared().stranger().get(path).problem(401, "unauthenticated");
    }
}

#[test]
fn whoever_looks_all_the_time_is_recorded_once_and_a_refusal_every_time() {
    let api = administrator();
    let made = api
        .post("/v1/identities", &json!({"kind": "service", "name": "poller", "grants": [{"role": "viewer"}]}))
        .expect(201);
    let id = made["id"].as_str().unwrap();
    let poller = api.with_key(&api.new_key(id));
    let recorded = |action: &str| {
        let found = api.get(&format!("/v1/audit/events?identity={id}&action={action}")).expect(200);
        found["items"].as_array().unwrap().len()
    };
    for _ in 0..3 {
        poller.get("/v1/overview").expect(200);
        poller.get("/v1/handshakes").expect(200);
        poller.get("/v1/handshakes?since=-1").problem(422, "invalid");
    }
    assert_eq!((recorded("overview.read"), recorded("handshake.list")), (1, 1));
    api.patch(&format!("/v1/identities/{id}"), &json!({"grants": []})).expect(200);
    for _ in 0..3 {
        poller.get("/v1/overview").problem(403, "forbidden");
    }
    assert_eq!(recorded("overview.read"), 4);
}

#[test]
fn requests_are_counted_minute_by_minute() {
    let server = Server::start();
    let api = server.api();
    let mut client = server.connect(Version::V1_4);
    let key = made(client.call(register_aes(&[1; 16], [])).unwrap());
    for _ in 0..5 {
        client.call(get(&key)).unwrap();
    }
    client.call(locate([])).unwrap();
    client.call(get("nothing")).unwrap_err();
    for (window, buckets, seconds) in [("hour", 60, 60), ("day", 96, 900)] {
        let found: Statistics = api.get(&format!("/v1/statistics?window={window}")).read(200);
        assert_eq!((found.buckets.len(), found.bucket_seconds), (buckets, seconds));
        assert_eq!(found.groups, ["read", "make", "find", "change", "other"]);
        let sum = |number: &dyn Fn(&keystead::admin::model::StatisticsBucket) -> u64| -> u64 {
            found.buckets.iter().map(number).sum()
        };
        assert_eq!((sum(&|bucket| bucket.requests), sum(&|bucket| bucket.errors)), (8, 1));
        let groups: Vec<u64> = (0..5).map(|group| sum(&|bucket| bucket.groups[group])).collect();
        assert_eq!(groups, [6, 1, 1, 0, 0]);
        for bucket in &found.buckets {
            assert_eq!(bucket.requests > 0, bucket.p50_us.is_some(), "{bucket:?}");
            assert!(bucket.p50_us <= bucket.p99_us && bucket.p99_us <= bucket.max_us, "{bucket:?}");
        }
        assert!(found.buckets.is_sorted_by_key(|bucket| bucket.start.clone()));
    }
    assert_eq!(api.get("/v1/statistics").read::<Statistics>(200).window, StatisticsWindow::Hour);
    for bad in ["window=week", "window=", "windows=hour"] {
        api.get(&format!("/v1/statistics?{bad}")).problem(422, "invalid");
    }
}

#[test]
fn a_refused_certificate_is_shown_with_what_to_do_and_registered_from_what_is_shown() {
    let api = administrator();
    let adapter = api.adapter("first handshake");
    let holder = Holder::new("vcenter <script>");
    let fingerprint = holder.fingerprint();
    let before = handshakes(&api, "").sequence;
    assert!(holder.connect(shared()).is_none());
    let refused = eventually("it was refused", || of(&api, &fingerprint));
    assert_eq!((refused.outcome, refused.reason.as_deref()), (HandshakeOutcome::Refused, Some("unknown")));
    assert!(refused.message.unwrap().contains("not registered") && refused.remedy.unwrap().contains("register"));
    assert_eq!((refused.address.as_str(), refused.adapter, refused.times), ("127.0.0.1", None, 1));
    let shown = refused.certificate.unwrap();
    assert_eq!(shown.subject.as_deref(), Some(r"CN=vcenter \<script\>"));
    assert_eq!(
        (shown.issuer.as_deref(), shown.not_after.as_deref()),
        (shown.subject.as_deref(), Some("2040-01-01T00:00:00Z"))
    );
    assert_eq!((shown.thumbprint_sha256.len(), shown.thumbprint_sha1.map(|text| text.len())), (95, Some(59)));
    let pem = shown.pem.unwrap();

    // With one click.
    let path = format!("/v1/adapters/{adapter}/certificates");
    let registered = api.post(&path, &json!({"pem": pem})).expect(201);
    assert_eq!(registered["items"][0]["fingerprint"], fingerprint.as_str());
    let mut client = holder.connect(shared()).expect("it is let in now");
    let accepted =
        eventually("it was let in", || of(&api, &fingerprint).filter(|one| one.outcome == HandshakeOutcome::Accepted));
    assert_eq!(accepted.adapter.map(|id| id.to_string()), Some(adapter.clone()));
    assert!(accepted.sequence > before && accepted.tls_version.as_deref() == Some("1.3") && accepted.objects.is_none());
    assert_eq!(accepted.certificate.unwrap().subject.as_deref(), Some(r"CN=vcenter \<script\>"));

    // The first key.
    let usage = || -> AdapterUsage { api.get(&format!("/v1/adapters/{adapter}/usage")).read(200) };
    assert!(usage().first_object.is_none());
    let keys: Vec<_> = (0..3).map(|number| made(client.call(register_aes(&[number; 16], [])).unwrap())).collect();
    let objects = of(&api, &fingerprint).unwrap().objects.expect("it has made keys");
    assert_eq!(
        (objects.made, objects.first.id.to_string(), objects.last.id.to_string()),
        (3, keys[0].clone(), keys[2].clone())
    );
    let usage = eventually("the client was noted", || Some(usage()).filter(|usage| !usage.clients.is_empty()));
    let (first, last) = (usage.first_object.unwrap(), usage.last_object.unwrap());
    assert_eq!((first.id.to_string(), last.id.to_string()), (keys[0].clone(), keys[2].clone()));
    assert_eq!((first.certificate.as_deref(), first.address.as_deref()), (Some(&*fingerprint), Some("127.0.0.1")));
    assert_eq!((usage.clients[0].fingerprint.as_str(), usage.more_clients), (&*fingerprint, 0));
}

#[test]
fn other_reasons_are_told_apart() {
    let server = Server::start();
    let api = server.api();
    let reason = |name: &str| {
        eventually(name, || {
            let refused = handshakes(&api, "outcome=refused").items;
            refused.into_iter().find(|one| one.reason.as_deref() == Some(name))
        })
    };
    // No certificate; and a client that does not trust the server.
    let provider = || ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let client = |roots: RootCertStore| {
        let builder = provider().with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        Arc::new(builder.with_no_client_auth())
    };
    let mut roots = RootCertStore::empty();
    let ca = std::fs::read(server.dir().join("tls/ca.pem")).unwrap();
    roots.add(CertificateDer::from_pem_slice(&ca).unwrap()).unwrap();
    // In TLS 1.3 the refusal comes after the handshake, as the client sees it.
    if let Ok(mut stream) = connect(server.addr(), client(roots)) {
        stream.read(&mut [0]).unwrap_err();
    }
    let none = reason("no_certificate");
    assert!(none.certificate.is_none() && none.message.is_some() && none.remedy.is_some() && none.objects.is_none());
    connect(server.addr(), client(RootCertStore::empty())).unwrap_err();
    assert!(reason("server_not_trusted").remedy.unwrap().contains("thumbprint"));
    // TLS 1.0; something else; and a test of the port.
    let send = |bytes: &[u8]| {
        let mut socket = TcpStream::connect(server.addr()).unwrap();
        socket.write_all(bytes).unwrap();
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let _ = socket.read_to_end(&mut Vec::new());
    };
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 1];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    send(&hello);
    assert!(reason("tls_version").message.unwrap().contains("1.2"));
    send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    reason("protocol");
    send(b"");
    let closed = reason("closed");
    assert!(closed.tls_version.is_none() && closed.certificate.is_none());

    // A known authority without a rule, and a certificate that has expired.
    let authority = Authority::new("their authority");
    api.post("/v1/authorities", &json!({"name": "theirs", "pem": authority.pem})).expect(201);
    let adapter = api.adapter("handshake reasons");
    let rule = json!({"issuer": keystead::trust::fingerprint(&CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap())
        .to_string(), "kind": "cn", "value": "somebody"});
    api.post(&format!("/v1/adapters/{adapter}/rules"), &rule).expect(201);
    assert!(authority.issue(&params("somebody else")).connect(&server).is_none());
    assert_eq!(reason("no_rule").certificate.unwrap().issuer.as_deref(), Some("CN=their authority"));
    let mut old = params("old");
    old.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let old = Holder::of(&old);
    api.post(&format!("/v1/adapters/{adapter}/certificates"), &json!({"pem": old.pem})).expect(201);
    assert!(old.connect(&server).is_none());
    // Whose it is is known, so that those who see that adapter only see it as well.
    assert_eq!(reason("expired").adapter.map(|id| id.to_string()), Some(adapter.clone()));

    let scoped = api.service("handshakes scoped", &[("viewer", Some(&adapter))]);
    let seen = handshakes(&scoped, "").items;
    assert_eq!(seen.iter().map(|one| one.reason.as_deref()).collect::<Vec<_>>(), [Some("expired")]);
    assert_eq!(handshakes(&api, &format!("adapter={adapter}")).items.len(), 1);
    assert!(handshakes(&api, "outcome=accepted").items.iter().all(|one| one.reason.is_none()));
    let all = handshakes(&api, "");
    assert!(all.items.windows(2).all(|two| two[0].sequence > two[1].sequence));
    assert_eq!(handshakes(&api, &format!("since={}", all.sequence)).items.len(), 0);
    let newest = handshakes(&api, &format!("since={}", all.items[0].sequence - 1));
    assert_eq!((newest.items.len(), newest.sequence), (1, all.sequence));
    assert_eq!(api.get("/v1/handshakes?limit=2").read::<Handshakes>(200).items.len(), 2);
    for bad in ["since=x", "outcome=maybe", "adapter=1", "limit=0", "limit=1001", "page=a"] {
        api.get(&format!("/v1/handshakes?{bad}")).problem(422, "invalid");
    }
}
