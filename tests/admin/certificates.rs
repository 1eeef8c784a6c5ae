//! `/v1/adapters/{id}/certificates` and `/v1/certificates`.

use std::time::{Duration, Instant};

use keystead::admin::model::{Certificate, CertificateKind, ExpiringCertificate, RegisteredCertificates};
use rcgen::{DnType, date_time_ymd};
use serde_json::{Value, json};

use super::{
    administrator, all,
    client::{Authority, Holder, is_cut, is_served, params},
    server,
};
use crate::harness::api::Api;

fn path(adapter: &str) -> String {
    format!("/v1/adapters/{adapter}/certificates")
}

fn add(api: &Api, adapter: &str, holder: &Holder) -> Certificate {
    let added: RegisteredCertificates = api.post(&path(adapter), &json!({"pem": holder.pem})).read(201);
    added.items.into_iter().next().unwrap()
}

#[test]
fn a_certificate_opens_connections_at_once_and_its_removal_cuts_them_within_a_second() {
    let (api, adapter) = (administrator(), administrator().adapter("certs live"));
    let (first, second) = (Holder::new("first"), Holder::new("second"));
    assert!(first.connect(server()).is_none(), "nobody knows it yet");
    let made = api.post(&path(&adapter), &json!({"name": "vCenter 1", "pem": first.pem}));
    let place = format!("{}/{}", path(&adapter), first.fingerprint());
    assert_eq!(made.header("location"), place);
    let added: RegisteredCertificates = made.read(201);
    assert_eq!((added.items.len(), added.notes.len(), &*added.items[0].name), (1, 0, "vCenter 1"));
    let connection = first.connect(server()).expect("it works at once");
    // A second one beside it: certificates are replaced without an outage.
    add(&api, &adapter, &second);
    let mut stays = second.connect(server()).unwrap();

    let deadline = Instant::now() + Duration::from_secs(30);
    let seen = loop {
        let read: Certificate = api.get(&place).read(200);
        match read.last_seen {
            Some(seen) => break seen,
            None => assert!(Instant::now() < deadline, "it was seen"),
        }
        std::thread::yield_now();
    };
    assert_eq!(seen.address, "127.0.0.1");

    api.delete(&place).expect(204);
    is_cut(connection);
    assert!(first.connect(server()).is_none());
    assert!(is_served(&mut stays), "the other one is not touched");
    api.get(&place).problem(404, "not-found");
    api.delete(&place).problem(404, "not-found");
}

#[test]
fn a_certificate_is_shown_as_vcenter_shows_it() {
    let (api, adapter) = (administrator(), administrator().adapter("certs shown"));
    let holder = Holder::new("shown");
    add(&api, &adapter, &holder);
    let colons = |text: &str| {
        let pairs: Vec<_> =
            text.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).to_uppercase()).collect();
        pairs.join(":")
    };
    let fingerprint = holder.fingerprint();
    let read: Certificate = api.get(&format!("{}/{fingerprint}", path(&adapter))).read(200);
    assert_eq!(read.info.thumbprint_sha256, colons(&fingerprint));
    assert_eq!(read.info.thumbprint_sha1.len(), 59);
    assert_eq!((&*read.info.subject, &*read.name, &*read.key), ("CN=shown", "shown", "ecdsa-p256"));
    assert_eq!((&*read.info.not_before, &*read.info.not_after), ("2020-01-01T00:00:00Z", "2040-01-01T00:00:00Z"));
    assert!(read.days_left > 365, "{}", read.days_left);
    assert_eq!(read.pem.unwrap().trim().replace("\r\n", "\n"), holder.pem.trim().replace("\r\n", "\n"));
    // As people copy it from vCenter.
    api.get(&format!("{}/{}", path(&adapter), colons(&fingerprint))).expect(200);
    let listed = &all(&api, &path(&adapter), 10)[0];
    assert_eq!((&listed["fingerprint"], &listed["pem"]), (&json!(fingerprint), &Value::Null));
}

#[test]
fn several_certificates_are_registered_together_or_not_at_all() {
    let (api, adapter) = (administrator(), administrator().adapter("certs several"));
    let holders: Vec<_> = ["esx-1", "esx-2"].iter().map(|name| Holder::new(name)).collect();
    let pem: String = holders.iter().map(|holder| holder.pem.as_str()).collect();
    let added: RegisteredCertificates = api.post(&path(&adapter), &json!({"name": "hosts", "pem": pem})).read(201);
    let names: Vec<_> = added.items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["hosts", "hosts (2)"]);
    assert!(holders.iter().all(|holder| holder.connect(server()).is_some()));

    // A new one together with one that is taken: neither.
    let new = Holder::new("esx-3");
    let pem = format!("{}{}", new.pem, holders[0].pem);
    api.post(&path(&adapter), &json!({"pem": pem})).problem(409, "exists");
    assert_eq!(all(&api, &path(&adapter), 10).len(), 2);
    assert!(new.connect(server()).is_none());

    // A chain as clients export it: the authority in it lets nobody in.
    let authority = Authority::new("a site's own");
    let client = authority.issue(&params("in a chain"));
    let pem = format!("{}{}", client.pem, authority.pem);
    let added: RegisteredCertificates = api.post(&path(&adapter), &json!({"pem": pem})).read(201);
    assert_eq!((added.items.len(), added.notes.len()), (1, 1));
    assert!(authority.issue(&params("another")).connect(server()).is_none());
}

#[test]
fn a_certificate_belongs_to_one_adapter_and_who_may_see_that_is_told_which() {
    let api = administrator();
    let (own, other) = (api.adapter("certs own"), api.adapter("certs other"));
    let holder = Holder::new("shared");
    add(&api, &other, &holder);
    let body = json!({"pem": holder.pem});
    let problem = api.post(&path(&own), &body).problem(409, "exists");
    assert_eq!(problem.members["adapter"], json!(other));
    assert!(problem.detail.contains("certs other"));
    let scoped = api.service("certs scoped", &[("operator", Some(&own))]);
    let problem = scoped.post(&path(&own), &body).problem(409, "exists");
    assert_eq!(problem.members.get("adapter"), None);
    assert!(!problem.detail.contains("certs other"), "{}", problem.detail);
    api.post(&path(&other), &body).problem(409, "exists");
}

#[test]
fn roles_and_scopes_decide_who_manages_certificates() {
    let api = administrator();
    let (own, other) = (api.adapter("certs role own"), api.adapter("certs role other"));
    let (mine, theirs) = (Holder::new("mine"), Holder::new("theirs"));
    add(&api, &other, &theirs);
    let viewer = api.service("certs viewer", &[("viewer", None)]);
    let operator = api.service("certs operator", &[("operator", Some(&own))]);
    let body = json!({"pem": mine.pem});
    assert_eq!(
        viewer.post(&path(&own), &body).problem(403, "forbidden").members["permission"],
        "kmip-management.create"
    );
    operator.post(&path(&own), &body).expect(201);
    let place = format!("{}/{}", path(&own), mine.fingerprint());
    viewer.get(&place).expect(200);
    viewer.get(&path(&own)).expect(200);
    viewer.delete(&place).problem(403, "forbidden");

    let hidden = format!("{}/{}", path(&other), theirs.fingerprint());
    for reply in [
        operator.get(&path(&other)),
        operator.post(&path(&other), &body),
        operator.get(&hidden),
        operator.delete(&hidden),
        operator.get(&path(&uuid::Uuid::new_v4().to_string())),
    ] {
        reply.problem(404, "not-found");
    }
    // A certificate of another adapter is not reached through the own one either.
    operator.get(&format!("{}/{}", path(&own), theirs.fingerprint())).problem(404, "not-found");
    operator.delete(&format!("{}/{}", path(&own), theirs.fingerprint())).problem(404, "not-found");
    operator.delete(&place).expect(204);
    server().stranger().get(&path(&own)).problem(401, "unauthenticated");
}

#[test]
fn what_is_no_client_certificate_is_refused() {
    let (api, adapter) = (administrator(), administrator().adapter("certs bad"));
    let good = Holder::new("good").pem;
    let server_pem = std::fs::read_to_string(server().dir().join("tls/server.pem")).unwrap();
    let ca_pem = api.get("/v1/server/ca.pem").text;
    for (field, body) in [
        ("pem", json!({"pem": ""})),
        ("pem", json!({"pem": "hello"})),
        ("pem", json!({"pem": "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"})),
        ("pem", json!({"pem": good.replace("CERTIFICATE", "PRIVATE KEY")})),
        ("pem", json!({"pem": server_pem})),
        ("pem", json!({"pem": ca_pem})),
        ("name", json!({"pem": good, "name": "a"})),
        ("name", json!({"pem": good, "name": "a".repeat(41)})),
        ("name", json!({"pem": good, "name": "a\u{7}b"})),
    ] {
        assert_eq!(api.post(&path(&adapter), &body).problem(422, "invalid").members["field"], field, "{body}");
    }
    api.post(&path(&adapter), &json!({"name": "no pem"})).problem(422, "invalid");
    api.post(&path(&adapter), &json!({"pem": good, "adapter": adapter})).problem(422, "invalid");
    api.post(&path(&adapter), &json!({"pem": "x".repeat(1 << 20)})).problem(413, "too-large");
    api.get(&format!("{}/abc", path(&adapter))).problem(404, "not-found");
    assert!(all(&api, &path(&adapter), 10).is_empty());
}

#[test]
fn hostile_subjects_come_back_as_harmless_text() {
    let (api, adapter) = (administrator(), administrator().adapter("certs hostile"));
    let subjects = [
        "a\u{0}b\r\nc\u{1b}[31m".to_owned(),
        "<script>alert(1)</script>".to_owned(),
        "gro.elpmaxe\u{202e}\u{2066}\u{feff}".to_owned(),
        "\"}],\"items\":[{\"x\":\"".to_owned(),
        "n".repeat(64 << 10),
    ];
    for subject in &subjects {
        let mut params = params("x");
        params.distinguished_name.push(DnType::OrganizationName, subject.as_str());
        params.distinguished_name.push(DnType::CommonName, subject.as_str());
        let added = add(&api, &adapter, &Holder::of(&params));
        assert!((2..=40).contains(&added.name.chars().count()), "{}", added.name);
    }
    let reply = api.get(&path(&adapter));
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    let listed = reply.expect(200);
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), subjects.len());
    let bad = |c: char| c.is_control() || "\u{202e}\u{2066}\u{feff}".contains(c);
    for text in items.iter().flat_map(|item| [&item["subject"], &item["name"]]) {
        let text = text.as_str().unwrap();
        assert!(!text.contains(bad) && text.chars().count() <= 513, "{text:?}");
    }
    assert!(items.iter().any(|item| item["subject"].as_str().unwrap().contains("script")));
    assert!(reply.text.len() < 20_000, "long subjects are cut");
    let forecast = api.get("/v1/certificates?expiring_within_days=3660&limit=1000");
    assert!(!forecast.text.contains(bad));
}

#[test]
fn an_adapter_has_at_most_200_certificates() {
    let (api, adapter) = (administrator(), administrator().adapter("certs limit"));
    for part in 0..4 {
        // The last part is one short.
        let numbers = 50 * part..(50 * part + 50).min(199);
        let pem: String = numbers.map(|number| Holder::new(&format!("client {number}")).pem).collect();
        api.post(&path(&adapter), &json!({"pem": pem})).expect(201);
    }
    assert_eq!(api.get(&format!("/v1/adapters/{adapter}")).expect(200)["certificates"], 199);
    let (last, over) = (Holder::new("last"), Holder::new("over"));
    let both = format!("{}{}", last.pem, over.pem);
    let problem = api.post(&path(&adapter), &json!({"pem": both})).problem(409, "limit-reached");
    assert_eq!(problem.members["limit"], 200);
    add(&api, &adapter, &last);
    api.post(&path(&adapter), &json!({"pem": over.pem})).problem(409, "limit-reached");
    for limit in [1000, 200, 199, 67] {
        let listed = all(&api, &path(&adapter), limit);
        let names: Vec<_> = listed.iter().map(|item| item["name"].as_str().unwrap()).collect();
        assert_eq!(names.len(), 200, "pages of {limit}");
        assert!(names.is_sorted());
    }
    // Room for one again.
    api.delete(&format!("{}/{}", path(&adapter), last.fingerprint())).expect(204);
    add(&api, &adapter, &over);
}

#[test]
fn a_repeated_request_registers_once() {
    let (api, adapter) = (administrator(), administrator().adapter("certs once"));
    let once = api.with("idempotency-key", "certs once 1");
    let body = json!({"pem": Holder::new("once").pem});
    let first = once.post(&path(&adapter), &body);
    let again = once.post(&path(&adapter), &body);
    assert_eq!(first.expect(201), again.expect(201));
    assert_eq!(again.header("idempotency-replayed"), "true");
    once.post(&path(&adapter), &json!({"pem": Holder::new("twice").pem})).problem(422, "key-reused");
}

#[test]
fn the_forecast_tells_what_ends_soon_and_what_has_ended() {
    let api = administrator();
    let (own, other) = (api.adapter("forecast own"), api.adapter("forecast other"));
    let ending = |name: &str, in_days: i64| {
        let mut params = params(name);
        // A day more than the whole days that are left.
        params.not_after = date_time_ymd(1970, 1, 1) + now_days(in_days);
        Holder::of(&params)
    };
    let ended = {
        let mut params = params("ended");
        params.not_after = date_time_ymd(2021, 1, 1);
        Holder::of(&params)
    };
    add(&api, &own, &ending("in 10", 10));
    add(&api, &own, &ending("in 50", 50));
    let added: RegisteredCertificates = api.post(&path(&own), &json!({"pem": ended.pem})).read(201);
    assert_eq!(added.notes.len(), 1, "{:?}", added.notes);
    add(&api, &other, &ending("elsewhere in 10", 10));
    add(&api, &other, &ending("in 400", 400));

    let scoped = api.service("forecast scoped", &[("viewer", Some(&own))]);
    let names = |api: &Api, query: &str| -> Vec<String> {
        let found = api.get(&format!("/v1/certificates?limit=1000{query}")).expect(200);
        let items: Vec<ExpiringCertificate> = serde_json::from_value(found["items"].clone()).unwrap();
        let ends: Vec<_> = items.iter().map(|item| item.days_left).collect();
        assert!(ends.is_sorted(), "{ends:?}");
        items.into_iter().map(|item| item.name).collect()
    };
    assert_eq!(names(&scoped, ""), ["ended", "in 10", "in 50"]);
    assert_eq!(names(&scoped, "&expiring_within_days=20"), ["ended", "in 10"]);
    assert_eq!(names(&scoped, "&expiring_within_days=0"), ["ended"]);
    let seen = names(&api, "&expiring_within_days=401");
    assert!(["ended", "elsewhere in 10", "in 400"].iter().all(|name| seen.iter().any(|seen| seen == name)), "{seen:?}");
    let mut page = String::new();
    let mut paged = Vec::new();
    loop {
        let found = scoped.get(&format!("/v1/certificates?limit=1{page}")).expect(200);
        paged.extend(found["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        let Some(next) = found["next_page"].as_str() else { break };
        page = format!("&page={next}");
    }
    assert_eq!(paged, ["ended", "in 10", "in 50"]);

    // The server's own are for those who may read its configuration.
    let kinds = |api: &Api| -> Vec<CertificateKind> {
        let found = api.get("/v1/certificates?expiring_within_days=3660&limit=1000").expect(200);
        let items: Vec<ExpiringCertificate> = serde_json::from_value(found["items"].clone()).unwrap();
        items.into_iter().map(|item| item.kind).collect()
    };
    assert!(kinds(&api).contains(&CertificateKind::Server));
    assert!(!kinds(&scoped).contains(&CertificateKind::Server));
    scoped.get("/v1/certificates?expiring_within_days=3661").problem(422, "invalid");
    scoped.get("/v1/certificates?within=1").problem(422, "invalid");
    scoped.get("/v1/certificates?limit=0").problem(422, "invalid");
    server().stranger().get("/v1/certificates").problem(401, "unauthenticated");
}

/// The time from 1970 until an hour after so many whole days from now.
fn now_days(days: i64) -> Duration {
    let seconds = jiff::Timestamp::now().as_second() + days * 86_400 + 3600;
    Duration::from_secs(u64::try_from(seconds).unwrap())
}
