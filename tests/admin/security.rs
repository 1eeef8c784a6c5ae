//! What an attacker tries, over all routes of the OpenAPI document: what is secret, hostile text, sessions of browsers, scopes,
//! page tokens, and HTTP that two readers could understand differently.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use kmip::version::Version;
use rcgen::{DnType, SanType};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    administrator,
    client::{Authority, Holder, params},
    requests::exchange,
    server,
};
use crate::{
    harness::{
        api::{Api, Reply},
        ask::{add, custom, custom_text, made, register_aes, register_opaque, register_secret},
        name,
        server::Server,
    },
    secrets::{files, must_not_be_in, random, server_logs_everything},
};

/// Every operation of the document below `/v1`: method and path.
fn operations() -> Vec<(String, String)> {
    let document = server().stranger().get("/openapi.json").expect(200);
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|_| path.starts_with("/v1/")) {
            found.push((method.to_uppercase(), path.clone()));
        }
    }
    assert!(found.len() > 40, "{found:?}");
    found
}

/// One thing of each kind.
struct Things {
    adapter: String,
    certificate: String,
    rule: String,
    object: String,
    root_key: String,
    identity: String,
    key: String,
    approval: String,
    authority: String,
}

fn id(reply: &Reply) -> String {
    reply.expect(201)["id"].as_str().unwrap().to_owned()
}

impl Things {
    /// Makes them with names that begin with `name`, and registers `object` by KMIP.
    fn make(server: &Server, api: &Api, name: &str, object: kmip::payloads::RegisterRequest) -> Self {
        let adapter = api.adapter(name);
        let holder = Holder::new(name);
        api.post(&format!("/v1/adapters/{adapter}/certificates"), &json!({"pem": holder.pem})).expect(201);
        let object = made(holder.connect(server).unwrap().call(object).unwrap());
        let authority =
            api.post("/v1/authorities", &json!({"name": name, "pem": Authority::new(name).pem})).expect(201);
        let authority = authority["fingerprint"].as_str().unwrap().to_owned();
        let rule = json!({"issuer": authority, "kind": "cn", "value": name});
        let identity = id(&api.post("/v1/identities", &json!({"kind": "service", "name": name})));
        let key = id(&api.post(&format!("/v1/identities/{identity}/api-keys"), &json!({"name": name})));
        let approval = json!({"action": "adapter.delete", "subject": adapter, "reason": name});
        Self {
            certificate: holder.fingerprint(),
            rule: id(&api.post(&format!("/v1/adapters/{adapter}/rules"), &rule)),
            object,
            root_key: api.root_key(),
            identity,
            key,
            approval: id(&api.post("/v1/approvals", &approval)),
            authority,
            adapter,
        }
    }

    /// Those that are not there.
    fn unknown() -> Self {
        let [a, b, c, d, e, f, g] = [(); 7].map(|()| Uuid::new_v4().to_string());
        let digest = || format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let (certificate, authority) = (digest(), digest());
        Self { adapter: a, certificate, rule: b, object: c, root_key: d, identity: e, key: f, approval: g, authority }
    }

    /// The path of one of them.
    fn path(&self, template: &str) -> String {
        let kind = template.split('/').nth(2).unwrap();
        let id = match kind {
            "adapters" => &self.adapter,
            "objects" => &self.object,
            "root-keys" => &self.root_key,
            "identities" => &self.identity,
            "approvals" => &self.approval,
            _ => "",
        };
        let fingerprint = if kind == "authorities" { &self.authority } else { &self.certificate };
        let path = template.replace("{id}", id).replace("{fingerprint}", fingerprint);
        let path = path.replace("{rule}", &self.rule).replace("{key}", &self.key);
        assert!(!path.contains('{') && !path.contains("//"), "say here what the identifiers of {template} are");
        path
    }
}

/// A body that the operation takes, as far as it can be told without making anything.
fn body(method: &str, path: &str) -> Option<String> {
    let last = path.rsplit('/').next().unwrap();
    let body = match (method, last) {
        ("PATCH", _) => json!({}),
        ("PUT", "credential") => json!({"user": "user", "password": "a password"}),
        ("POST", "certificates") => json!({"pem": Holder::new("body").pem}),
        ("POST", "sign") => json!({"request": "MIIB"}),
        ("POST", "issue") => json!({"common_name": "body", "password": "a long password", "key": "ecdsa-p256"}),
        ("POST", "rules") => json!({"kind": "cn", "value": "body"}),
        ("POST", "api-keys") => json!({"name": "body"}),
        ("POST", "retire" | "attest") => json!({"version": 1}),
        ("POST", _) => json!({}),
        _ => return None,
    };
    Some(body.to_string())
}

#[test]
fn no_secret_is_in_any_answer_metric_log_or_file() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--telemetry-listen", "127.0.0.1:0"];
    drop(Server::start_in(folder.path(), &options).stop());
    server_logs_everything(folder.path());
    let server = Server::start_in(folder.path(), &options);
    let api = server.api();
    let (key, password, opaque) = (random(32), random(40), random(60));
    let things = Things::make(&server, &api, "secrets", register_aes(&key, [name("a known key")]));
    let mut client = server.connect(Version::V1_4);
    client.call(register_secret(&password, [])).unwrap();
    client.call(register_opaque(&opaque, [])).unwrap();
    let mut secrets = vec![("key".to_owned(), key), ("secret".to_owned(), password), ("opaque".to_owned(), opaque)];
    let mut add = |what: &str, text: &str| secrets.push((what.to_owned(), text.as_bytes().to_vec()));

    // Secrets of the admin API: answered once, or never.
    let passwords: Vec<_> = (0..3).map(|_| Uuid::new_v4().simple().to_string()).collect();
    let credential = format!("/v1/adapters/{}/credential", things.adapter);
    let set = json!({"user": "vcenter", "password": passwords[0]}).to_string();
    api.with("if-match", "*").send("PUT", &credential, Some(&set)).expect_text(204);
    let issue = json!({"common_name": "issued", "password": passwords[1], "key": "ecdsa-p256"});
    api.post(&format!("/v1/adapters/{}/certificates/issue", things.adapter), &issue).expect(201);
    let secret = api.new_key(&things.identity);
    let session = api.with_key(&secret).send("POST", "/v1/session", None);
    let cookie = session.header("set-cookie").split(['=', ';']).nth(1).unwrap().to_owned();
    let csrf = session.expect(200)["csrf_token"].as_str().unwrap().to_owned();
    for password in &passwords {
        add("password", password);
    }
    add("API key", secret.splitn(3, '_').nth(2).unwrap());
    add("cookie", &cookie);

    let mut places = BTreeMap::new();
    let mut put = |what: String, reply: &Reply| {
        let headers = format!("{:?}", reply.headers);
        places.insert(PathBuf::from(what), (headers + &reply.text).into_bytes());
    };
    for (_, path) in operations().into_iter().filter(|(method, _)| method == "GET") {
        let reply = api.get(&things.path(&path));
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        put(format!("the answer of {path}"), &reply);
    }
    // What is wrong is not repeated: not a password that is no text, nor one that is in a field of its own.
    for wrong in [
        json!({"user": "vcenter", "password": [passwords[2]]}),
        json!({"user": "", "password": passwords[2]}),
        json!({"user": "vcenter", "password": {"is": passwords[2]}}),
    ] {
        let reply = api.with("if-match", "*").send("PUT", &credential, Some(&wrong.to_string()));
        reply.problem(422, "invalid");
        put(format!("the refusal of {}", wrong["password"]), &reply);
    }
    let number = api.with("if-match", "*").send("PUT", &credential, Some(r#"{"user": "u", "password": 98765432109}"#));
    assert!(!number.problem(422, "invalid").detail.contains("98765432109"));
    for path in ["/metrics", "/readyz", "/healthz"] {
        places.insert(path.into(), server.page(path).into_bytes());
    }
    drop(client);
    let dir = server.dir().to_owned();
    let log = server.stop().join("\n");
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log says little:\n{log}");
    places.insert("the log".into(), log.into_bytes());
    // The client asks for its token again, so that alone may be in an answer, but not in a file or in the log.
    let mut written = files(&dir);
    written.insert("the log".into(), places[&PathBuf::from("the log")].clone());
    must_not_be_in(&written, &[("CSRF token".to_owned(), csrf.into_bytes())]);
    places.extend(written);
    must_not_be_in(&places, &secrets);
}

#[test]
fn no_route_answers_strangers_and_none_changes_anything_for_another_sites_page() {
    let things = Things::unknown();
    let stranger = server().stranger();
    let login = administrator().service("security session", &[("administrator", None)]);
    let reply = login.send("POST", "/v1/session", None);
    let browser = stranger.with("cookie", reply.header("set-cookie").split(';').next().unwrap());
    for (method, template) in operations() {
        let (path, about) = (things.path(&template), format!("{method} {template}"));
        // Not even what the body or the path says is looked at.
        for body in [None, Some("{"), Some("{}")] {
            stranger.send(&method, &path, body).problem(401, "unauthenticated");
        }
        let wrong = stranger.with_key("ks_nonsense").send(&method, &path, None);
        assert_eq!((wrong.status, wrong.header("www-authenticate")), (401, "Bearer realm=\"keystead\""), "{about}");
        if method != "GET" {
            let body = body(&method, &template);
            let armed = browser.with("if-match", "*");
            armed.send(&method, &path, body.as_deref()).problem(403, "cross-site");
            let form = armed.with("content-type", "text/plain").send(&method, &path, body.as_deref().or(Some("a=b")));
            form.problem(403, "cross-site");
        }
        let asked = stranger.with("origin", "https://evil.example").with("access-control-request-method", "POST");
        let preflight = asked.send("OPTIONS", &path, None);
        assert_eq!(preflight.status, 405, "{about}");
        assert!(preflight.headers.keys().all(|name| !name.as_str().starts_with("access-control")), "{about}");
    }
    browser.get("/v1/session").expect(200);
}

#[test]
fn what_is_of_another_adapter_is_like_what_is_not_there() {
    let api = administrator();
    let (own, other) = (
        Things::make(server(), &api, "scope of mine", register_opaque(&random(20), [name("mine")])),
        Things::make(server(), &api, "scope of others", register_opaque(&random(20), [name("others")])),
    );
    let unknown = Things::unknown();
    let before: Vec<_> = seen(&api, &other);
    let mut compared = 0;
    for role in ["operator", "auditor", "security-officer", "administrator"] {
        let scoped = api.service(&format!("scope {role}"), &[(role, Some(&own.adapter))]);
        // Its own things it sees, so that what is refused is not refused for another reason.
        scoped.get(&own.path("/v1/adapters/{id}")).expect(200);
        scoped.get(&own.path("/v1/objects/{id}")).expect(200);
        for (method, template) in operations() {
            // What belongs to others is asked for by their identifiers, and by theirs below one's own adapter.
            let mixed = |things: &Things| {
                template
                    .replacen("{id}", &own.adapter, 1)
                    .replace("{fingerprint}", &things.certificate)
                    .replace("{rule}", &things.rule)
            };
            let below = template.starts_with("/v1/adapters/{id}/") && template.matches('{').count() == 2;
            let mut pairs = vec![(other.path(&template), unknown.path(&template))];
            if below {
                pairs.push((mixed(&other), mixed(&unknown)));
            }
            for (theirs, nobodys) in pairs.into_iter().filter(|_| template.contains('{')) {
                let ask =
                    |path: &str| scoped.with("if-match", "*").send(&method, path, body(&method, &template).as_deref());
                let (found, missing) = (ask(&theirs), ask(&nobodys));
                assert!(found.status >= 400, "{role}: {method} {theirs}: {}", found.text);
                assert_eq!(shape(&found, &theirs), shape(&missing, &nobodys), "{role}: {method} {template}");
                compared += 1;
            }
        }
        for list in
            ["/v1/adapters", "/v1/approvals", "/v1/certificates", "/v1/audit/events", "/v1/objects", "/v1/handshakes"]
        {
            let seen = scoped.get(&format!("{list}?limit=1000"));
            // What was asked for below one's own adapter stands in the audit log as it was asked for.
            let asked = [&other.certificate, &other.rule].into_iter().filter(|_| list != "/v1/audit/events");
            for hidden in [&other.adapter, &other.object, &other.approval].into_iter().chain(asked) {
                assert!(!seen.text.contains(hidden.as_str()), "{role}: {hidden} is in {list}: {}", seen.text);
            }
            let [theirs, nobodys] =
                [&other, &unknown].map(|things| scoped.get(&format!("{list}?adapter={}", things.adapter)));
            assert_eq!(theirs.status, nobodys.status, "{list}");
        }
        // A page token of somebody who sees more is a place in the list, not a right to see it.
        let page = api.get("/v1/adapters?limit=1").expect(200)["next_page"].as_str().unwrap().to_owned();
        assert!(!scoped.get(&format!("/v1/adapters?page={page}")).text.contains(&other.adapter));
    }
    assert!(compared > 100, "{compared}");
    assert_eq!(seen(&api, &other), before, "nothing of it was changed");
}

/// What the administrator sees of them.
fn seen(api: &Api, things: &Things) -> Vec<Value> {
    let paths = ["/v1/adapters/{id}", "/v1/objects/{id}", "/v1/adapters/{id}/rules/{rule}", "/v1/approvals/{id}"];
    paths.iter().map(|path| api.get(&things.path(path)).expect(200)).collect()
}

/// An answer without what differs by itself.
fn shape(reply: &Reply, path: &str) -> (u16, Value) {
    let mut body: Value = serde_json::from_str(&reply.text).unwrap();
    let members = body.as_object_mut().unwrap();
    members.remove("correlation");
    assert_eq!(members.remove("instance").unwrap(), path);
    (reply.status, body)
}

#[test]
fn page_tokens_are_only_what_the_server_gave_for_the_same_list() {
    let api = administrator();
    let things = Things::make(server(), &api, "page tokens", register_opaque(b"something", []));
    for number in 0..2 {
        api.adapter(&format!("page tokens {number}"));
    }
    let token = api.get("/v1/adapters?limit=1").expect(200)["next_page"].as_str().unwrap().to_owned();
    let long = "A".repeat(4000);
    for (_, template) in operations().into_iter().filter(|(method, _)| method == "GET") {
        let path = things.path(&template);
        let is_list = api.get(&path).expect_text(200).contains("\"next_page\"");
        for bad in
            ["..%2f..%2fetc%2fpasswd", "%00", "%ff%fe", "'%20OR%201=1--", "-1", "AAAA", "e30", "=", &long, &token]
        {
            let reply = api.get(&format!("{path}?page={bad}"));
            let foreign = !is_list || template == "/v1/adapters" && bad == token;
            assert!(
                matches!(reply.status, 400 | 422) || foreign && reply.status == 200,
                "{template} {bad}: {}",
                reply.text
            );
        }
    }
}

const HOSTILE: [&str; 14] = [
    "\r\nSet-Cookie: a=b",
    "line\nFORGED keystead: line",
    "\"} FORGED{a=\"",
    "\\\"}\\nFORGED 1",
    "\u{1b}[2J\u{1b}]0;FORGED\u{7}",
    "\u{202e}drawrof",
    "a\u{0}b",
    "\u{2028}FORGED",
    "<img src=x onerror=alert(1)>",
    "=cmd|'/C calc'!A0",
    "%s%n{}{0}$(id)`id`",
    "{\"FORGED\":true}",
    "' OR '1'='1",
    "ﷺ\u{301}\u{301}🔑",
];

/// It is refused as what the client got wrong, or it is as it was sent.
fn kept_or_refused(reply: &Reply, field: &str, text: &str) -> bool {
    if reply.status == 201 {
        assert_eq!(reply.expect(201)[field], text);
        return true;
    }
    assert!(matches!(reply.status, 400 | 409 | 422), "{text:?}: {} {}", reply.status, reply.text);
    assert_eq!(reply.header("content-type"), "application/problem+json");
    false
}

#[test]
fn hostile_text_is_kept_as_it_is_or_refused_and_forges_no_line_anywhere() {
    let server = Server::start_with(&["--telemetry-listen", "127.0.0.1:0"]);
    let api = server.api();
    let root_key = api.root_key();
    let things = Things::make(&server, &api, "hostile", register_opaque(b"something", []));
    let mut client = server.connect(Version::V1_4);
    let mut kept = 0;
    for (number, text) in HOSTILE.into_iter().enumerate() {
        let new = json!({"name": text, "description": text, "root_key": root_key});
        kept += u32::from(kept_or_refused(&api.post("/v1/adapters", &new), "name", text));
        let new = json!({"kind": "service", "name": text, "description": text});
        kept += u32::from(kept_or_refused(&api.post("/v1/identities", &new), "description", text));
        let keys = format!("/v1/identities/{}/api-keys", things.identity);
        kept_or_refused(&api.post(&keys, &json!({"name": text})), "name", text);
        let approval = json!({"action": "object.destroy", "subject": things.object, "reason": text});
        kept_or_refused(&api.post("/v1/approvals", &approval), "reason", text);
        kept_or_refused(&api.post("/v1/root-keys", &json!({"label": text})), "label", text);
        for kind in ["cn", "subject", "dns", "uri", "email"] {
            let rule = json!({"issuer": things.authority, "kind": kind, "value": text});
            let rules = format!("/v1/adapters/{}/rules", things.adapter);
            let made = api.post(&rules, &rule);
            assert!(matches!(made.status, 201 | 409 | 422), "{kind} {text:?}: {}", made.text);
        }
        let credential = json!({"user": text, "password": text}).to_string();
        let path = format!("/v1/adapters/{}/credential", things.adapter);
        let set = api.with("if-match", "*").send("PUT", &path, Some(&credential)).status;
        assert!(matches!(set, 204 | 422), "{text:?}: {set}");

        // A certificate says what its maker likes.
        let mut says = params(text);
        says.distinguished_name.push(DnType::OrganizationName, text);
        says.subject_alt_names = vec![SanType::DnsName("hostile.example".try_into().unwrap())];
        let holder = Holder::of(&says);
        let new = json!({"pem": holder.pem, "name": format!("hostile {number}")});
        let made = api.post(&format!("/v1/adapters/{}/certificates", things.adapter), &new);
        assert!(matches!(made.status, 201 | 422), "{text:?}: {}", made.text);
        if made.status == 201 {
            let subject = made.expect(201)["items"][0]["subject"].as_str().unwrap().to_owned();
            assert!(!subject.contains(char::is_control) && !subject.contains(['\u{202e}', '\u{2028}']), "{subject:?}");
            let _ = holder.connect(&server);
        }
        // So does a client of its keys.
        let key = made_named(&mut client, text, number);
        if let Some(key) = key {
            client.call(add(&key, custom_text("x-hostile", text))).ok();
            client.call(add(&key, custom("x-bytes", kmip::tree::Value::bytes(text.as_bytes())))).ok();
            let shown = api.get(&format!("/v1/objects/{key}"));
            shown.expect(200);
            assert!(!shown.text.contains('\u{1b}') && !shown.text.contains("\r\nSet-Cookie"), "{}", shown.text);
        }
        for header in ["user-agent", "x-correlation-id", "x-forwarded-for", "accept-language"] {
            if let Some(value) = text.is_ascii().then_some(text).filter(|text| !text.contains(char::is_control)) {
                api.with(header, value).get("/v1/session").expect(200);
            }
        }
    }
    assert!(kept > 8, "some are ordinary names: {kept}");
    for (_, path) in operations().into_iter().filter(|(method, _)| method == "GET") {
        let reply = api.get(&things.path(&path));
        assert_eq!(reply.status, 200, "{path}");
        if reply.header("content-type") == "application/json" {
            reply.expect(200);
        }
    }
    let metrics = server.page("/metrics");
    for line in metrics.split_once("\r\n\r\n").unwrap().1.lines().filter(|line| line.contains(' ')) {
        assert!(is_metric(line), "{line:?}");
    }
    let docs = server.stranger().get("/docs");
    assert!(!docs.text.contains("FORGED") && docs.text == administrator().get("/docs").text);
    drop(client);
    let dir = server.dir().to_owned();
    let printed = server.lines();
    for line in &printed {
        assert!(!line.starts_with("FORGED") && !line.contains(char::is_control), "{line:?}");
    }
    let audit = std::fs::read_to_string(dir.join("audit/audit.jsonl")).unwrap();
    for line in audit.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert!(event["FORGED"].is_null(), "{line}");
    }
}

/// Registers an object of this name, if the server takes the name.
fn made_named(client: &mut crate::harness::server::Connection, text: &str, number: usize) -> Option<String> {
    let named = client.call(register_opaque(text.as_bytes(), [name(&format!("{number} {text}"))]));
    named.ok().map(made)
}

/// Whether it is a comment or a sample of the Prometheus text format.
fn is_metric(line: &str) -> bool {
    if line.starts_with("# HELP ") || line.starts_with("# TYPE ") {
        return true;
    }
    let named = line.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':');
    let (mut rest, labelled) = (named, named.starts_with('{'));
    if labelled {
        rest = &rest[1..];
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
            let Some(value) = rest.strip_prefix("=\"") else { return false };
            let mut escaped = false;
            let Some(end) = value.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            }) else {
                return false;
            };
            rest = &value[end + 1..];
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => break,
            }
        }
        let Some(after) = rest.strip_prefix('}') else { return false };
        rest = after;
    }
    rest.strip_prefix(' ').is_some_and(|value| value.parse::<f64>().is_ok())
}

#[test]
fn a_request_that_could_be_read_as_two_is_not_answered_twice() {
    let inner = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = inner.len();
    for (head, body) in [
        (format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"), format!("0\r\n\r\n{inner}")),
        (format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"), format!("0\r\n\r\n{inner}")),
        (format!("Content-Length: 0\r\nContent-Length: {length}"), inner.to_owned()),
        (format!("Content-Length: +{length}"), inner.to_owned()),
        (format!("Content-Length: 0, {length}"), inner.to_owned()),
        ("Transfer-Encoding: xchunked".to_owned(), format!("0\r\n\r\n{inner}")),
        ("Transfer-Encoding: chunked, identity".to_owned(), format!("0\r\n\r\n{inner}")),
        ("Transfer-Encoding : chunked".to_owned(), format!("0\r\n\r\n{inner}")),
        ("Transfer-Encoding:\u{b}chunked".to_owned(), format!("0\r\n\r\n{inner}")),
        ("X: a\r\n Content-Length: 0".to_owned(), inner.to_owned()),
        ("Transfer-Encoding: chunked".to_owned(), format!("FFFFFFFFFFFFFFFFF\r\n{inner}")),
    ] {
        let request = format!("POST /v1/adapters HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{head}\r\n\r\n{body}");
        let answer = exchange(request.as_bytes());
        assert!(!answer.contains("/smuggled"), "{head:?}: {answer}");
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{head:?}: {answer}");
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{head:?}: {answer}");
    }
}

#[test]
fn the_host_header_decides_nothing() {
    let key = administrator().authorization().to_owned();
    for target in ["/v1/session", "https://evil.example/v1/session", "http://169.254.169.254/v1/session"] {
        for host in ["Host: evil.example", "Host: localhost\r\nX-Forwarded-Host: evil.example", "Host: "] {
            let request =
                format!("GET {target} HTTP/1.1\r\n{host}\r\nAuthorization: {key}\r\nConnection: close\r\n\r\n");
            let answer = exchange(request.as_bytes());
            assert!(
                answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 400"),
                "{target} {host}: {answer}"
            );
            assert!(!answer.contains("evil"), "{answer}");
        }
    }
}

#[test]
fn without_tls_nothing_is_said() {
    let mut socket = TcpStream::connect(server().admin_addr()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[test]
fn who_guessed_too_often_is_answered_again_when_the_answer_said() {
    let server = Server::start();
    let stranger = server.stranger();
    let guess = || stranger.with_key(&format!("ks_{}_{}", Uuid::new_v4().simple(), "A".repeat(43)));
    let late = (0..30).map(|_| guess().get("/v1/session")).find(|reply| reply.status == 429).expect("a limit");
    let wait: u64 = late.header("retry-after").parse().unwrap();
    let begun = Instant::now();
    server.api().get("/v1/session").expect(200);
    loop {
        match guess().get("/v1/session") {
            reply if reply.status == 401 => break,
            reply => reply.problem(429, "too-many-attempts"),
        };
        assert!(begun.elapsed() < Duration::from_secs(wait + 30), "it said {wait} s");
    }
}
