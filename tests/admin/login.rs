//! Logging in: the first administrator, operators by certificate, sessions of browsers, and those who guess.

use std::path::Path;

use keystead::admin::model::SessionInfo;
use serde_json::json;
use uuid::Uuid;

use super::{administrator, certificate, server};
use crate::{
    cli::{mode, succeed},
    harness::{
        api::{Api, Reply},
        server::Server,
    },
};

/// The token in what `keystead init` printed.
fn token(printed: &str) -> Option<&str> {
    printed.lines().find_map(|line| line.strip_prefix("admin token ")?.rsplit(' ').next())
}

fn init(dir: &Path) -> String {
    succeed(&format!("init --dir {} --hsm software --tls-key ecdsa-p256", dir.display()))
}

#[test]
fn the_token_of_init_makes_one_administrator_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let printed = init(&dir);
    let first = token(&printed).expect(&printed).to_owned();
    assert_eq!(token(&init(&dir)), None, "one that was not used stays good");
    let server = Server::serving(&dir, &[]);
    let bootstrap = server.stranger().with_key(&first);
    for path in ["/v1/adapters", "/v1/identities", "/v1/server"] {
        bootstrap.get(path).problem(403, "forbidden");
    }
    bootstrap.send("POST", "/v1/session", None).problem(403, "forbidden");
    bootstrap.post("/v1/adapters", &json!({"name": "ab", "root_key": Uuid::new_v4()})).problem(403, "forbidden");
    let new = |role: &str| json!({"kind": "operator", "name": "first", "grants": [{"role": role}]});
    bootstrap.post("/v1/identities", &new("security-officer")).problem(422, "invalid");
    let made = bootstrap.post("/v1/identities", &new("administrator")).expect(201);
    // A certificate given to it would let its holder in without the token being spent.
    let change = json!({"description": "changed"}).to_string();
    let made_path = format!("/v1/identities/{}", made["id"].as_str().unwrap());
    bootstrap.with("if-match", "*").send("PATCH", &made_path, Some(&change)).problem(403, "forbidden");
    let api = bootstrap.with_key(&bootstrap.new_key(made["id"].as_str().unwrap()));
    let spent = bootstrap.post("/v1/identities", &new("administrator")).problem(401, "unauthenticated");
    assert!(spent.detail.contains("spent"), "{}", spent.detail);
    api.get("/v1/adapters").expect(200);

    let path = format!("/v1/identities/{}", made["id"].as_str().unwrap());
    let identities = api.get("/v1/identities").expect(200);
    let built_in =
        identities["items"].as_array().unwrap().iter().find(|identity| identity["kind"] == "bootstrap").unwrap();
    let keys = format!("/v1/identities/{}/api-keys", built_in["id"].as_str().unwrap());
    api.post(&keys, &json!({"name": "again"})).problem(409, "state");

    // A second administrator may take the first one's place, but one must remain.
    let second = api.service("second", &[("administrator", None)]);
    let second_id = second.get("/v1/session").expect(200)["identity"].as_str().unwrap().to_owned();
    second.delete(&path).expect(204);
    let third = second.service("officer", &[("security-officer", None)]);
    third.delete(&format!("/v1/identities/{second_id}")).problem(403, "forbidden");
    let own = format!("/v1/identities/{second_id}");
    second.patch(&own, &json!({"grants": []})).problem(403, "own-request");

    // Whoever holds the machine gets in again, but not as somebody who is there.
    let printed = succeed(&format!("admin-token --config {}", dir.join("keystead.toml").display()));
    let again = server.stranger().with_key(printed.trim());
    again.post(&format!("{own}/api-keys"), &json!({"name": "take over"})).problem(422, "invalid");
    let earlier = succeed(&format!("admin-token --config {}", dir.join("keystead.toml").display()));
    again.post("/v1/identities", &new("administrator")).problem(401, "unauthenticated");
    let latest = server.stranger().with_key(earlier.trim());
    latest.post("/v1/identities", &new("administrator")).expect(201);
}

#[test]
fn dev_keeps_an_administrator_in_a_closed_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("admin.token");
    let server = Server::start_in(folder.path(), &[]);
    assert_eq!(mode(&file), 0o600);
    let first = std::fs::read(&file).unwrap();
    server.api().get("/v1/adapters").expect(200);
    let who = server.api().get("/v1/session").expect(200);
    let keys = format!("/v1/identities/{}/api-keys", who["identity"].as_str().unwrap());
    server.stop();
    let server = Server::start_in(folder.path(), &[]);
    assert_eq!(std::fs::read(&file).unwrap(), first, "it is kept");
    let key = server.api().get(&keys).expect(200)["items"][0]["id"].as_str().unwrap().to_owned();
    // The last key of the last administrator is kept.
    server.api().send("DELETE", &format!("{keys}/{key}"), None).problem(409, "state");
    server.api().post(&keys, &json!({"name": "another"})).expect(201);
    server.api().send("DELETE", &format!("{keys}/{key}"), None).expect(204);
    server.stop();
    let server = Server::start_in(folder.path(), &[]);
    assert_ne!(std::fs::read(&file).unwrap(), first, "one that is revoked is replaced");
    server.api().get("/v1/adapters").expect(200);
}

#[test]
fn an_operator_is_known_by_a_certificate() {
    let api = administrator();
    let (pem, key) = certificate("operator");
    let new =
        json!({"kind": "operator", "name": "by certificate", "certificate_pem": pem, "grants": [{"role": "viewer"}]});
    let made = api.post("/v1/identities", &new).expect(201);
    assert!(made["certificate"]["thumbprint_sha1"].as_str().unwrap().contains(':'));
    let operator = api.with_certificate(&pem, &key);
    assert_eq!(operator.get("/v1/session").expect(200)["name"], "by certificate");
    operator.get("/v1/adapters").expect(200);
    let again = json!({"kind": "operator", "name": "by certificate 2", "certificate_pem": pem});
    api.post("/v1/identities", &again).problem(409, "exists");

    // What a browser sends by itself does nothing for another site's page.
    let path = format!("/v1/identities/{}", made["id"].as_str().unwrap());
    operator.with("sec-fetch-site", "cross-site").send("POST", "/v1/session", None).problem(403, "cross-site");
    operator.with("origin", "https://evil.example").send("POST", "/v1/session", None).problem(403, "cross-site");
    operator.send("POST", "/v1/session", None).expect(200);

    api.patch(&path, &json!({"certificate_pem": null})).expect(200);
    operator.get("/v1/adapters").problem(401, "unauthenticated");
    let (unknown, key) = certificate("nobody");
    api.with_certificate(&unknown, &key).get("/v1/adapters").problem(401, "unauthenticated");
}

#[test]
fn an_expired_certificate_opens_nothing() {
    let api = administrator();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec!["late".to_owned()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let pem = parameters.self_signed(&key).unwrap().pem();
    let new = json!({"kind": "operator", "name": "expired", "certificate_pem": pem, "grants": [{"role": "viewer"}]});
    api.post("/v1/identities", &new).expect(201);
    let problem = api.with_certificate(&pem, &key.serialize_pem()).get("/v1/adapters").problem(401, "unauthenticated");
    assert!(problem.detail.contains("expired"), "{}", problem.detail);
}

/// The cookie that an answer sets, as a browser sends it back.
fn cookie(reply: &Reply) -> String {
    let set = reply.header("set-cookie");
    for attribute in ["__Host-keystead=", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(!set.contains("Domain"), "{set}");
    set.split(';').next().unwrap().to_owned()
}

fn log_in(api: &Api) -> (Api, SessionInfo) {
    let reply = api.send("POST", "/v1/session", None);
    (server().stranger().with("cookie", &cookie(&reply)), reply.read(200))
}

#[test]
fn a_session_reads_with_its_cookie_and_changes_with_its_token() {
    let api = administrator().service("session", &[("administrator", None)]);
    let (browser, session) = log_in(&api);
    let csrf = session.csrf_token.unwrap();
    assert_eq!(browser.get("/v1/session").read::<SessionInfo>(200).csrf_token.as_ref(), Some(&csrf));
    let new = json!({"name": "by session", "root_key": api.root_key()});
    browser.post("/v1/adapters", &new).problem(403, "cross-site");
    for wrong in ["", "x", &csrf[1..], &format!("{csrf}x")] {
        browser.with("x-csrf-token", wrong).post("/v1/adapters", &new).problem(403, "cross-site");
    }
    let (_, other) = log_in(&api);
    browser.with("x-csrf-token", &other.csrf_token.unwrap()).post("/v1/adapters", &new).problem(403, "cross-site");
    let armed = browser.with("x-csrf-token", &csrf);
    armed.with("origin", "https://evil.example").post("/v1/adapters", &new).problem(403, "cross-site");
    armed.with("sec-fetch-site", "cross-site").post("/v1/adapters", &new).problem(403, "cross-site");
    armed.with("sec-fetch-site", "same-origin").post("/v1/adapters", &new).expect(201);

    let out = armed.send("DELETE", "/v1/session", None);
    out.expect(204);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    let over = browser.get("/v1/session");
    over.problem(401, "session-over");
    assert!(over.header("set-cookie").contains("Max-Age=0"), "so that another credential is seen again");
    api.send("DELETE", "/v1/session", None).problem(409, "state");
}

#[test]
fn a_planted_session_is_worth_nothing_after_the_login() {
    let administrator = administrator();
    let (attacker, victim) = (
        administrator.service("fixation attacker", &[]),
        administrator.service("fixation victim", &[("viewer", None)]),
    );
    let (planted, _) = log_in(&attacker);
    let chosen = server().stranger().with("cookie", "__Host-keystead=chosen");
    chosen.get("/v1/session").problem(401, "session-over");
    for browser in [&planted, &chosen] {
        let headers = browser.clone();
        let key = victim.authorization().to_owned();
        let reply = headers.with("authorization", &key).send("POST", "/v1/session", None);
        reply.expect(200);
        let own = server().stranger().with("cookie", &cookie(&reply));
        assert_eq!(own.get("/v1/session").expect(200)["name"], "fixation victim");
        browser.get("/v1/session").problem(401, "session-over");
    }
}

#[test]
fn a_session_ends_with_what_it_was_begun_with() {
    let api = administrator();
    let made = api
        .post("/v1/identities", &json!({"kind": "service", "name": "ends", "grants": [{"role": "viewer"}]}))
        .expect(201);
    let path = format!("/v1/identities/{}", made["id"].as_str().unwrap());
    let caller = api.with_key(&api.new_key(made["id"].as_str().unwrap()));
    let (browser, _) = log_in(&caller);
    api.patch(&path, &json!({"grants": []})).expect(200);
    browser.get("/v1/adapters").problem(403, "forbidden");
    let key = api.get(&format!("{path}/api-keys")).expect(200)["items"][0]["id"].as_str().unwrap().to_owned();
    api.delete(&format!("{path}/api-keys/{key}")).expect(204);
    browser.get("/v1/session").problem(401, "session-over");
}

#[test]
fn guessing_is_slowed_down_and_strangers_without_a_key_are_not_counted() {
    let server = Server::start();
    let stranger = server.stranger();
    for _ in 0..30 {
        stranger.get("/v1/adapters").problem(401, "unauthenticated");
        stranger.with_key("nonsense").get("/v1/adapters").problem(401, "unauthenticated");
    }
    let guess = format!("ks_{}_{}", "0".repeat(32), "A".repeat(43));
    let mut refused = None;
    for _ in 0..12 {
        let reply = stranger.with_key(&guess).get("/v1/adapters");
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
        reply.problem(401, "unauthenticated");
    }
    let refused = refused.expect("more than ten guesses at once");
    refused.problem(429, "too-many-attempts");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=900).contains(&seconds));
    let recorded = || {
        let text = std::fs::read_to_string(server.dir().join("audit/audit.jsonl")).unwrap();
        text.lines().filter(|line| line.contains(r#""operation":"login""#)).count()
    };
    assert_eq!(recorded(), 10);
    // What comes too soon is in no file.
    let soon = (0..50).filter(|_| stranger.with_key(&guess).get("/v1/adapters").status == 429).count();
    assert!(soon > 40 && recorded() <= 10 + 50 - soon, "{soon} of 50 were late");
}

#[test]
fn who_shows_what_is_right_is_let_in_from_where_others_guess() {
    let server = Server::start();
    let api = server.api();
    let (pem, key) = certificate("right");
    let new = json!({"kind": "operator", "name": "right", "certificate_pem": pem, "grants": [{"role": "viewer"}]});
    let path = format!("/v1/identities/{}", api.post("/v1/identities", &new).expect(201)["id"].as_str().unwrap());
    let revoked = api.post(&format!("{path}/api-keys"), &json!({"name": "revoked"})).expect(201);
    api.send("DELETE", &format!("{path}/api-keys/{}", revoked["id"].as_str().unwrap()), None).expect(204);
    let (unknown, unknown_key) = certificate("unknown");
    let guess = server.stranger().with_key(&format!("ks_{}_{}", "0".repeat(32), "A".repeat(43)));
    let own = api.authorization().trim_start_matches("Bearer ").to_owned();
    let nearly = server.stranger().with_key(&format!("{}{}", &own[..own.len() - 4], "AAAA"));
    for _ in 0..3 {
        // The address has to wait, before each of the others is tried.
        assert!((0..30).any(|_| guess.get("/v1/session").status == 429));
        api.get("/v1/session").expect(200);
        api.send("POST", "/v1/session", None).expect(200);
        api.with_certificate(&pem, &key).get("/v1/session").expect(200);
        for wrong in [&nearly, &api.with_certificate(&unknown, &unknown_key)] {
            assert!((0..30).any(|_| wrong.get("/v1/session").status == 429));
        }
        // Whoever has the whole secret is told what became of it.
        let late = server.stranger().with_key(revoked["key"].as_str().unwrap());
        assert!(late.get("/v1/session").problem(401, "unauthenticated").detail.contains("revoked"));
    }
    let disabled = json!({"disabled": true});
    api.patch(&path, &disabled).expect(200);
    let problem = api.with_certificate(&pem, &key).get("/v1/session").problem(401, "unauthenticated");
    assert!(problem.detail.contains("disabled"), "{}", problem.detail);
}

#[test]
fn a_key_is_nowhere_but_in_its_answer() {
    let server = Server::start_with(&["--telemetry-listen", "127.0.0.1:0"]);
    let api = server.api();
    let made = api
        .post("/v1/identities", &json!({"kind": "service", "name": "secret", "grants": [{"role": "viewer"}]}))
        .expect(201);
    let identity = made["id"].as_str().unwrap();
    let keys = format!("/v1/identities/{identity}/api-keys");
    let once = api.with("idempotency-key", "once");
    let key = once.post(&keys, &json!({"name": "the key"})).expect(201)["key"].as_str().unwrap().to_owned();
    once.post(&keys, &json!({"name": "the key"})).problem(409, "not-repeatable");
    let wrong = format!("{}{}", &key[..key.len() - 4], "AAAA");
    api.with_key(&key).get("/v1/adapters").expect(200);
    api.with_key(&wrong).get("/v1/adapters").problem(401, "unauthenticated");
    let reply = api.with_key(&key).send("POST", "/v1/session", None);
    let session = cookie(&reply).split_once('=').unwrap().1.to_owned();
    let secret = key.splitn(3, '_').nth(2).unwrap().to_owned();
    let administrators = std::fs::read_to_string(server.dir().join("admin.token")).unwrap();
    let administrators = administrators.trim().splitn(3, '_').nth(2).unwrap().to_owned();
    let dir = server.dir().to_owned();
    let mut searched = 0;
    let lines = server.lines().join("\n");
    let secrets = [secret, administrators, session, wrong.splitn(3, '_').nth(2).unwrap().to_owned()];
    for secret in &secrets {
        assert!(!lines.contains(secret.as_str()), "it is in the log");
    }
    for name in ["keystead.db", "keystead.db-wal", "audit/audit.jsonl"] {
        let Ok(bytes) = std::fs::read(dir.join(name)) else { continue };
        searched += 1;
        for secret in &secrets {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "it is in {name}");
        }
    }
    assert!(searched >= 2);
}
