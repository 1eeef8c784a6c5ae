//! `/v1/root-keys`.

use std::time::{Duration, Instant};

use keystead::admin::model::{Adapter, AdapterState, RootKey, RootKeyStatus, RootKeyVersionState, SignedStatement};
use kmip::version::Version;
use serde_json::{Value, json};

use super::{administrator, all, server};
use crate::harness::{
    api::Api,
    ask::{get, made},
    create_aes,
    server::Server,
};

fn create(api: &Api, label: &str) -> RootKey {
    api.post("/v1/root-keys", &json!({"label": label})).read(201)
}

fn path(root: &RootKey, what: &str) -> String {
    format!("/v1/root-keys/{}{what}", root.id)
}

#[test]
fn a_root_key_is_made_listed_read_suspended_and_resumed() {
    let api = administrator();
    let made = api.post("/v1/root-keys", &json!({"label": "life of a root key"}));
    let root: RootKey = made.read(201);
    assert_eq!(made.header("location"), path(&root, ""));
    assert_eq!((root.state, root.current_version, root.versions.len()), (RootKeyStatus::Active, 1, 1));
    assert_eq!((root.versions[0].state, root.versions[0].kcv.len()), (RootKeyVersionState::Current, 6));
    assert!(root.versions[0].attestation.is_some(), "a new root key is attested");
    let labels: Vec<_> = all(&api, "/v1/root-keys", 1).into_iter().map(|root| root["label"].clone()).collect();
    assert!(labels.contains(&json!("life of a root key")), "{labels:?}");

    let adapter: Adapter = api.post("/v1/adapters", &json!({"name": "under it", "root_key": root.id})).read(201);
    let read: RootKey = api.get(&path(&root, "")).read(200);
    assert_eq!(read.adapters[0].id, adapter.id);
    let suspended: RootKey = api.send("POST", &path(&root, "/suspend"), None).read(200);
    assert_eq!(suspended.state, RootKeyStatus::Suspended);
    let disabled: Adapter = api.get(&format!("/v1/adapters/{}", adapter.id)).read(200);
    assert_eq!(disabled.state, AdapterState::RootKeySuspended);
    let new = json!({"name": "under it too", "root_key": root.id});
    api.post("/v1/adapters", &new).problem(409, "state");
    api.send("POST", &path(&root, "/rotate"), None).problem(409, "state");
    let resumed: RootKey = api.send("POST", &path(&root, "/resume"), None).read(200);
    assert_eq!(resumed.state, RootKeyStatus::Active);
    api.post("/v1/adapters", &new).expect(201);
    let impact = api.get(&path(&root, "/impact")).expect(200);
    assert_eq!((&impact["objects"], impact["adapters"].as_array().unwrap().len()), (&json!(0), 2));
}

#[test]
fn a_rotation_is_begun_and_followed_and_the_old_version_retired() {
    let server = Server::start();
    let api = server.api();
    let mut client = server.connect(Version::V1_4);
    let key = made(client.call(create_aes(256, [])).unwrap());
    let id = api.root_key();
    let rotate = format!("/v1/root-keys/{id}/rotate");
    let begun = api.send("POST", &rotate, None).read::<RootKey>(202);
    assert_eq!((begun.current_version, begun.rotation.as_ref().unwrap().to_version), (2, 2));
    let deadline = Instant::now() + Duration::from_secs(60);
    let done = loop {
        let now: RootKey = api.get(&path(&begun, "")).read(200);
        if now.rotation.as_ref().unwrap().finished_at.is_some() {
            break now;
        }
        assert!(Instant::now() < deadline, "{now:?}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let rotation = done.rotation.unwrap();
    assert_eq!((rotation.done, rotation.damaged, rotation.remaining), (1, 0, 0));
    assert_eq!((rotation.per_second, rotation.seconds_left), (None, None), "it is over");
    assert!(rotation.proof.is_some());
    client.call(get(&key)).unwrap();

    let retire = path(&begun, "/retire");
    api.post(&retire, &json!({"version": 1, "backups_may_be_lost": false})).problem(422, "invalid");
    api.post(&retire, &json!({"version": 2, "backups_may_be_lost": true})).problem(409, "state");
    api.post(&retire, &json!({"version": 9, "backups_may_be_lost": true})).problem(422, "invalid");
    // Backups are lost with it, so it takes more than to rotate.
    let operator = api.service("retires", &[("operator", None)]);
    operator.post(&retire, &json!({"version": 1, "backups_may_be_lost": true})).problem(403, "forbidden");
    let retired: RootKey = api.post(&retire, &json!({"version": 1, "backups_may_be_lost": true})).read(200);
    assert_eq!(retired.versions[0].state, RootKeyVersionState::Retired);
    client.call(get(&key)).unwrap();
    let attest = path(&begun, "/attest");
    api.post(&attest, &json!({"version": 1})).problem(422, "invalid");
    let signed: SignedStatement = api.post(&attest, &json!({})).read(200);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attestation.json");
    std::fs::write(&file, signed.statement).unwrap();
    // A software root key is none of an HSM, and its attestation says so; the signature is right.
    let said = crate::cli::fail(1, &format!("root-key verify-attestation {}", file.display()));
    assert!(said.contains("signature is right") && said.contains("no HSM"), "{said}");
}

#[test]
fn roles_decide_what_is_done_with_root_keys() {
    let api = administrator();
    let root = create(&api, "roles of root keys");
    let adapter = api.adapter("root key roles");
    let viewer = api.service("root keys viewer", &[("viewer", None)]);
    let operator = api.service("root keys operator", &[("operator", None)]);
    let officer = api.service("root keys officer", &[("security-officer", None)]);
    let scoped = api.service("root keys scoped", &[("administrator", Some(&adapter))]);
    viewer.get(&path(&root, "")).expect(200);
    let refused = viewer.post("/v1/root-keys", &json!({"label": "no"})).problem(403, "forbidden");
    assert_eq!(refused.members["permission"], "root-key.create");
    for what in ["/suspend", "/resume", "/rotate"] {
        viewer.send("POST", &path(&root, what), None).problem(403, "forbidden");
        scoped.send("POST", &path(&root, what), None).problem(403, "forbidden");
    }
    operator.send("POST", &path(&root, "/suspend"), None).problem(403, "forbidden");
    operator.post(&path(&root, "/attest"), &json!({})).problem(403, "forbidden");
    operator.send("POST", &path(&root, "/rotate"), None).expect(202);
    officer.post(&path(&root, "/attest"), &json!({})).expect(200);
    officer.send("POST", &path(&root, "/suspend"), None).expect(200);
    scoped.get("/v1/root-keys").problem(403, "forbidden");
    scoped.get(&path(&root, "")).problem(403, "forbidden");
    server().stranger().get("/v1/root-keys").problem(401, "unauthenticated");
}

#[test]
fn bad_root_keys_are_refused() {
    let api = administrator();
    let root = create(&api, "bad root keys");
    let long = "a".repeat(65);
    for label in ["", &long, "a\nb"] {
        api.post("/v1/root-keys", &json!({"label": label})).problem(422, "invalid");
    }
    api.post("/v1/root-keys", &json!({"label": "x", "material": "00"})).problem(422, "invalid");
    api.post("/v1/root-keys", &json!({"label": "bad root keys"})).problem(409, "exists");
    let nothing = format!("/v1/root-keys/{}", uuid::Uuid::new_v4());
    for reply in [
        api.get(&nothing),
        api.get(&format!("{nothing}/impact")),
        api.send("POST", &format!("{nothing}/rotate"), None),
        api.post(&format!("{nothing}/attest"), &json!({})),
    ] {
        reply.problem(404, "not-found");
    }
    api.get("/v1/root-keys?limit=0").problem(422, "invalid");
    api.post(&path(&root, "/retire"), &json!({"version": 1})).problem(422, "invalid");
    // Destroyed it is by two people only, and imported on the machine itself only.
    for (method, at) in
        [("DELETE", path(&root, "")), ("POST", path(&root, "/import")), ("POST", path(&root, "/destroy"))]
    {
        let status = api.send(method, &at, None).status;
        assert!(status == 404 || status == 405, "{method} {at}: {status}");
    }
    // The same request again makes one key.
    let twice = api.with("idempotency-key", "bad root keys once");
    let first: Value = twice.post("/v1/root-keys", &json!({"label": "made once"})).expect(201);
    let second = twice.post("/v1/root-keys", &json!({"label": "made once"}));
    assert_eq!(second.header("idempotency-replayed"), "true");
    assert_eq!(second.expect(201)["id"], first["id"]);
}
