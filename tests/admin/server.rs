//! `/v1/server`: its certificate renewed and read again, its authority's certificate; and `/v1/adapters/{id}/credential`.

use keystead::admin::model::{Adapter, ServerInfo};
use kmip::{payloads::DiscoverVersionsRequest, version::Version};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    administrator,
    client::{Holder, is_served},
    server as shared,
};
use crate::harness::server::Server;

#[test]
fn the_servers_certificate_is_renewed_without_dropping_anybody() {
    let server = Server::start();
    let api = server.api();
    let before: ServerInfo = api.get("/v1/server").read(200);
    let mut open = server.connect(Version::V1_4);
    let after: ServerInfo = api.post("/v1/server/certificate/renew", &json!(null)).read(200);
    assert_ne!(after.certificate.fingerprint, before.certificate.fingerprint);
    assert_eq!(after.certificate.subject, before.certificate.subject);
    assert!(is_served(&mut open), "the connection goes on");
    assert!(is_served(&mut server.connect(Version::V1_4)), "the authority is the same");
    // What is in force is what is in the file, also after a reload.
    let file = std::fs::read(server.dir().join("tls/server.pem")).unwrap();
    let der = keystead::ca::read_certificates(&file).unwrap().remove(0);
    assert_eq!(keystead::trust::fingerprint(&der).to_string(), after.certificate.fingerprint);
    let reloaded: ServerInfo = api.post("/v1/server/reload", &json!(null)).read(200);
    assert_eq!(reloaded.certificate.fingerprint, after.certificate.fingerprint);
    assert!(is_served(&mut open));

    // A file that cannot be used changes nothing.
    std::fs::write(server.dir().join("tls/server.pem"), "nothing").unwrap();
    api.post("/v1/server/reload", &json!(null)).problem(409, "state");
    api.post("/v1/server/certificate/renew", &json!(null)).problem(409, "state");
    assert!(is_served(&mut server.connect(Version::V1_4)));
}

#[test]
fn without_the_authoritys_key_nothing_is_signed_and_the_answer_says_how_to_go_on() {
    let server = Server::start();
    let api = server.api();
    std::fs::rename(server.dir().join("tls/ca.key"), server.dir().join("ca.key")).unwrap();
    let adapters = api.get("/v1/adapters").expect(200);
    let adapter = adapters["items"][0]["id"].as_str().unwrap();
    let body = json!({"common_name": "x", "password": "long enough 1", "key": "ecdsa-p256"});
    let problem = api.post(&format!("/v1/adapters/{adapter}/certificates/issue"), &body).problem(409, "state");
    assert!(!problem.detail.contains("ca.key"), "{}", problem.detail);
    api.post("/v1/server/certificate/renew", &json!(null)).problem(409, "state");
}

#[test]
fn the_authoritys_certificate_is_downloaded_and_roles_decide_about_the_server() {
    let api = administrator();
    let reply = api.get("/v1/server/ca.pem");
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/x-pem-file"));
    let read = |pem: &[u8]| keystead::ca::read_certificates(pem).unwrap();
    assert_eq!(read(reply.text.as_bytes()), read(&std::fs::read(shared().dir().join("tls/ca.pem")).unwrap()));
    assert_eq!(api.get("/v1/server").read::<ServerInfo>(200).ca_pem.trim(), reply.text.trim());
    let viewer = api.service("server ca viewer", &[("viewer", None)]);
    viewer.get("/v1/server/ca.pem").expect_text(200);
    for path in ["/v1/server/certificate/renew", "/v1/server/reload"] {
        viewer.post(path, &json!(null)).problem(403, "forbidden");
    }
    let scoped = api.service("server ca scoped", &[("operator", Some(&api.adapter("server ca scope")))]);
    scoped.get("/v1/server/ca.pem").problem(403, "forbidden");
    shared().stranger().get("/v1/server/ca.pem").problem(401, "unauthenticated");
}

#[test]
fn a_credential_is_set_and_checked_at_once_and_never_shown() {
    let api = administrator();
    let adapter = api.adapter("credential");
    let place = format!("/v1/adapters/{adapter}");
    let path = format!("{place}/credential");
    let holder = Holder::new("credential");
    api.post(&format!("{place}/certificates"), &json!({"pem": holder.pem})).expect(201);
    let mut client = holder.connect(shared()).unwrap();
    let mut tries = |password: &str| {
        client.set_credential("vcenter", Zeroizing::new(password.to_owned()));
        client.call(DiscoverVersionsRequest { protocol_version: Vec::new() }).is_ok()
    };
    let put = |etag: &str, user: &str, password: &str| {
        let body = json!({"user": user, "password": password}).to_string();
        api.with("if-match", etag).send("PUT", &path, Some(&body))
    };
    let secret = "hunter 2 is not secret";
    api.send("PUT", &path, Some(&json!({"user": "vcenter", "password": secret}).to_string()))
        .problem(428, "precondition-required");
    put("\"1\"", "vcenter", secret).expect_text(204);
    put("\"1\"", "vcenter", secret).problem(412, "stale");
    assert!(tries(secret));
    assert!(!tries("something else"));
    let shown: Adapter = api.get(&place).read(200);
    assert_eq!((shown.credential_user.as_deref(), shown.revision), (Some("vcenter"), 2));
    let text = api.get(&place).text;
    assert!(!text.contains(secret) && !text.contains("argon2"), "{text}");

    for (field, user, password) in
        [("user", "", "x"), ("user", "a\nb", "x"), ("password", "u", ""), ("password", "u", &*"p".repeat(1025))]
    {
        assert_eq!(put("*", user, password).problem(422, "invalid").members["field"], field);
    }
    let viewer = api.service("credential viewer", &[("viewer", None)]);
    viewer.with("if-match", "*").send("DELETE", &path, None).problem(403, "forbidden");
    let own = api.adapter("credential other");
    let scoped = api.service("credential scoped", &[("operator", Some(&own))]);
    scoped.with("if-match", "*").send("DELETE", &path, None).problem(404, "not-found");
    api.with("if-match", "\"2\"").send("DELETE", &path, None).expect_text(204);
    assert!(tries("something else"), "none is needed any more");
    api.with("if-match", "*").send("DELETE", &path, None).problem(404, "not-found");
}
