//! `/v1/identities` and their API keys.

use std::{sync::Barrier, thread};

use keystead::admin::model::{ApiKeyInfo, Identity, NewlyMadeApiKey};
use serde_json::json;
use uuid::Uuid;

use super::{
    administrator, all, certificate,
    hands::{Place, Who},
    server,
};

#[test]
fn an_identity_is_made_read_changed_and_deleted() {
    let api = administrator();
    let new =
        json!({"kind": "service", "name": "life service", "description": "of one", "grants": [{"role": "viewer"}]});
    let made = api.post("/v1/identities", &new);
    let identity: Identity = made.read(201);
    let path = format!("/v1/identities/{}", identity.id);
    assert_eq!((made.header("location"), made.header("etag")), (&*path, "\"1\""));
    api.send("PATCH", &path, Some("{}")).problem(428, "precondition-required");
    api.with("if-match", "\"9\"").send("PATCH", &path, Some("{}")).problem(412, "stale");
    let changed: Identity =
        api.patch(&path, &json!({"name": "life service 2", "description": null, "grants": []})).read(200);
    assert_eq!((&*changed.name, changed.description, changed.grants.len()), ("life service 2", None, 0));
    api.delete(&path).expect(204);
    api.get(&path).problem(404, "not-found");
    api.get(&format!("{path}/api-keys")).problem(404, "not-found");
}

#[test]
fn a_key_is_shown_once_works_at_once_and_is_revoked_at_once() {
    let api = administrator();
    let owner: Identity = api
        .post("/v1/identities", &json!({"kind": "service", "name": "keys", "grants": [{"role": "viewer"}]}))
        .read(201);
    let path = format!("/v1/identities/{}/api-keys", owner.id);
    let made: NewlyMadeApiKey = api.post(&path, &json!({"name": "first", "expires_in_days": 1})).read(201);
    let (key, one) = (made.key.0.clone(), format!("{path}/{}", made.info.id));
    let caller = api.with_key(&key);
    caller.get("/v1/adapters").expect(200);

    let shown = api.get(&one);
    let secret = key.splitn(3, '_').nth(2).unwrap();
    assert!(!shown.text.contains(secret), "{}", shown.text);
    assert!(!api.get(&path).text.contains(secret));
    let shown: ApiKeyInfo = shown.read(200);
    assert!(shown.usable && shown.used_at.is_some());

    api.delete(&one).expect(204);
    assert!(caller.get("/v1/adapters").problem(401, "unauthenticated").detail.contains("revoked"));
    api.delete(&one).expect(204);
    let shown: ApiKeyInfo = api.get(&one).read(200);
    assert!(!shown.usable && shown.revoked_at.is_some());
    let stranger = api.post("/v1/identities", &json!({"kind": "service", "name": "keys 2"})).expect(201);
    let elsewhere = format!("/v1/identities/{}/api-keys/{}", stranger["id"].as_str().unwrap(), made.info.id);
    api.get(&elsewhere).problem(404, "not-found");
    api.delete(&elsewhere).problem(404, "not-found");
}

#[test]
fn a_disabled_or_deleted_identity_can_do_nothing() {
    let api = administrator();
    let owner: Identity = api
        .post("/v1/identities", &json!({"kind": "service", "name": "disabled", "grants": [{"role": "viewer"}]}))
        .read(201);
    let path = format!("/v1/identities/{}", owner.id);
    let caller = api.with_key(&api.new_key(&owner.id.to_string()));
    api.patch(&path, &json!({"disabled": true})).expect(200);
    assert!(caller.get("/v1/adapters").problem(401, "unauthenticated").detail.contains("disabled"));
    api.patch(&path, &json!({"disabled": false})).expect(200);
    caller.get("/v1/adapters").expect(200);
    api.patch(&path, &json!({"grants": []})).expect(200);
    caller.get("/v1/adapters").problem(403, "forbidden");
    api.delete(&path).expect(204);
    caller.get("/v1/adapters").problem(401, "unauthenticated");
}

#[test]
fn nobody_comes_to_more_rights_by_managing_identities() {
    let api = administrator();
    let officer = api.service("rights officer", &[("security-officer", None)]);
    let who = officer.get("/v1/session").expect(200);
    let own = format!("/v1/identities/{}", who["identity"].as_str().unwrap());
    let admin = json!([{"role": "administrator"}]);

    let new = json!({"kind": "service", "name": "rights", "grants": admin});
    officer.post("/v1/identities", &new).problem(403, "forbidden");
    officer.patch(&own, &json!({"grants": admin})).problem(403, "own-request");
    officer.patch(&own, &json!({"disabled": true})).problem(403, "own-request");
    officer.delete(&own).problem(403, "own-request");

    let other: Identity = officer.post("/v1/identities", &json!({"kind": "service", "name": "rights other"})).read(201);
    officer.patch(&format!("/v1/identities/{}", other.id), &json!({"grants": admin})).problem(403, "forbidden");
    officer.patch(&format!("/v1/identities/{}", other.id), &json!({"grants": [{"role": "auditor"}]})).expect(200);

    let chief = api.get("/v1/session").expect(200);
    let chief = format!("/v1/identities/{}", chief["identity"].as_str().unwrap());
    officer.post(&format!("{chief}/api-keys"), &json!({"name": "take over"})).problem(403, "forbidden");
    officer.patch(&chief, &json!({"disabled": true})).problem(403, "forbidden");
    officer.delete(&chief).problem(403, "forbidden");
    let key = api.get(&format!("{chief}/api-keys")).expect(200)["items"][0]["id"].as_str().unwrap().to_owned();
    officer.delete(&format!("{chief}/api-keys/{key}")).problem(403, "forbidden");
}

#[test]
fn nobody_gives_what_they_may_not_do_themselves() {
    let api = administrator();
    let officer = api.service("gives officer", &[("security-officer", None)]);
    let adapter = api.adapter("gives");
    let new = |name: &str, role: &str, adapter: Option<&str>| json!({"kind": "service", "name": name, "grants": [{"role": role, "adapter": adapter}]});
    for (role, scope) in [
        ("viewer", None),
        ("auditor", None),
        ("security-officer", None),
        ("security-officer", Some(&*adapter)),
        ("auditor", Some(&*adapter)),
    ] {
        let name = format!("gives {role} {}", scope.is_some());
        officer.post("/v1/identities", &new(&name, role, scope)).expect(201);
    }
    for (role, scope) in
        [("operator", None), ("operator", Some(&*adapter)), ("administrator", None), ("administrator", Some(&*adapter))]
    {
        let problem = officer.post("/v1/identities", &new("gives too much", role, scope)).problem(403, "forbidden");
        assert_eq!(problem.members["permission"], "kmip-management.create", "{role}");
        assert!(problem.detail.contains(role), "{}", problem.detail);
    }
    let operator: Identity = api.post("/v1/identities", &new("gives operator", "operator", Some(&adapter))).read(201);
    let path = format!("/v1/identities/{}", operator.id);
    let operators = api.with_key(&api.new_key(&operator.id.to_string()));
    officer.post(&format!("{path}/api-keys"), &json!({"name": "take over"})).problem(403, "forbidden");
    officer.patch(&path, &json!({"grants": []})).problem(403, "forbidden");
    officer.patch(&path, &json!({"description": "changed"})).problem(403, "forbidden");
    officer.patch(&path, &json!({"disabled": true, "description": "changed"})).problem(403, "forbidden");
    // What is in the wrong hands goes at once.
    operators.get("/v1/adapters").expect(200);
    let key = officer.get(&format!("{path}/api-keys")).expect(200)["items"][0]["id"].as_str().unwrap().to_owned();
    officer.delete(&format!("{path}/api-keys/{key}")).expect(204);
    operators.get("/v1/adapters").problem(401, "unauthenticated");
    officer.patch(&path, &json!({"disabled": true})).expect(200);
    officer.patch(&path, &json!({"disabled": false})).problem(403, "forbidden");
    officer.delete(&path).expect(204);
}

/// How one administrator ends another: method, of what, and body.
const ENDS: [(&str, Ended, Option<&str>); 4] = [
    ("DELETE", Ended::Identity, None),
    ("PATCH", Ended::Identity, Some(r#"{"disabled": true}"#)),
    ("PATCH", Ended::Identity, Some(r#"{"grants": []}"#)),
    ("DELETE", Ended::Key, None),
];

#[derive(Clone, Copy)]
enum Ended {
    Identity,
    /// The only key.
    Key,
}

#[test]
fn of_two_administrators_who_end_each_other_at_once_one_remains() {
    let place = Place::new();
    let mut first = place.by_token("administrator 0");
    for round in 1..=12 {
        let second = first.makes(&format!("administrator {round}"), "administrator");
        let (start, (method, ended, body)) = (Barrier::new(2), ENDS[round % ENDS.len()]);
        let end = |who: &Who, other: &Who| {
            let api = who.api.with("if-match", "*");
            let path = match ended {
                Ended::Identity => other.path(),
                Ended::Key => format!("{}/api-keys/{}", other.path(), other.key()),
            };
            start.wait();
            api.send(method, &path, body)
        };
        let replies = thread::scope(|scope| {
            let both = [scope.spawn(|| end(&first, &second)), scope.spawn(|| end(&second, &first))];
            both.map(|one| one.join().unwrap())
        });
        let statuses = replies.each_ref().map(|reply| reply.status);
        // Who comes later is refused, or is nobody by then.
        assert!(statuses.iter().any(|status| matches!(status, 401 | 403 | 409 | 429)), "{replies:?}");
        for late in replies.iter().filter(|reply| reply.status == 409) {
            assert!(late.problem(409, "state").detail.contains("last administrator"), "{}", late.text);
        }
        let remain = |who: &Who| who.api.get("/v1/identities").status == 200;
        first = match (remain(&first), remain(&second)) {
            (true, false) => first,
            (false, true) => second,
            both => panic!("{both:?} of two remain: {replies:?}"),
        };
    }
}

#[test]
fn roles_decide_who_manages_identities() {
    let api = administrator();
    let viewer = api.service("manage viewer", &[("viewer", None)]);
    let scoped = api.service("manage scoped", &[("administrator", Some(&api.adapter("manage")))]);
    let new = json!({"kind": "service", "name": "manage"});
    for refused in [&viewer, &scoped] {
        let problem = refused.post("/v1/identities", &new).problem(403, "forbidden");
        assert_eq!(problem.members["permission"], "identity.create");
    }
    let id = api.post("/v1/identities", &new).expect(201)["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/identities/{id}");
    viewer.get(&path).expect(200);
    viewer.get(&format!("{path}/api-keys")).expect(200);
    viewer.patch(&path, &json!({})).problem(403, "forbidden");
    viewer.delete(&path).problem(403, "forbidden");
    viewer.post(&format!("{path}/api-keys"), &json!({"name": "no"})).problem(403, "forbidden");
    viewer.delete(&format!("{path}/api-keys/{}", Uuid::new_v4())).problem(403, "forbidden");
    scoped.get(&path).problem(403, "forbidden");
    server().stranger().get(&path).problem(401, "unauthenticated");
}

#[test]
fn bad_identities_and_keys_are_refused_and_the_field_is_named() {
    let api = administrator();
    let (pem, _) = certificate("bad");
    for (field, body) in [
        ("name", json!({"kind": "service", "name": "a"})),
        ("description", json!({"kind": "service", "name": "bad", "description": "\n\n"})),
        ("kind", json!({"kind": "bootstrap", "name": "bad"})),
        ("certificate_pem", json!({"kind": "operator", "name": "bad", "certificate_pem": "nonsense"})),
        ("certificate_pem", json!({"kind": "operator", "name": "bad", "certificate_pem": format!("{pem}{pem}")})),
        ("certificate_pem", json!({"kind": "service", "name": "bad", "certificate_pem": pem})),
        (
            "grants.adapter",
            json!({"kind": "service", "name": "bad", "grants": [{"role": "viewer", "adapter": Uuid::new_v4()}]}),
        ),
    ] {
        assert_eq!(api.post("/v1/identities", &body).problem(422, "invalid").members["field"], field, "{body}");
    }
    for body in [
        json!({"kind": "god", "name": "bad"}),
        json!({"kind": "service", "name": "bad", "grants": [{"role": "root"}]}),
        json!({"kind": "service", "name": "bad", "id": Uuid::new_v4()}),
    ] {
        api.post("/v1/identities", &body).problem(422, "invalid");
    }
    api.post("/v1/identities", &json!({"kind": "service", "name": "administrator"})).problem(409, "exists");
    let id = api.post("/v1/identities", &json!({"kind": "service", "name": "bad keys"})).expect(201)["id"].clone();
    let keys = format!("/v1/identities/{}/api-keys", id.as_str().unwrap());
    for (field, body) in
        [("name", json!({"name": ""})), ("expires_in_days", json!({"name": "ab", "expires_in_days": 0}))]
    {
        assert_eq!(api.post(&keys, &body).problem(422, "invalid").members["field"], field, "{body}");
    }
    api.post(&format!("/v1/identities/{}/api-keys", Uuid::new_v4()), &json!({"name": "ab"})).problem(404, "not-found");
}

#[test]
fn pages_of_identities_and_keys_join_to_all_of_them() {
    let api = administrator();
    let made: Vec<_> = (0..4)
        .map(|number| {
            api.post("/v1/identities", &json!({"kind": "operator", "name": format!("paged {number}")})).expect(201)
                    ["id"]
                    .clone()
        })
        .collect();
    let keys = format!("/v1/identities/{}/api-keys", made[0].as_str().unwrap());
    for number in 0..3 {
        api.post(&keys, &json!({"name": format!("key {number}")})).expect(201);
    }
    for limit in [1, 2, 3, 1000] {
        let found = all(&api, "/v1/identities", limit);
        assert!(made.iter().all(|id| found.iter().filter(|found| found["id"] == *id).count() == 1));
        assert_eq!(all(&api, &keys, limit).len(), 3);
    }
    let page = api.get(&format!("{keys}?limit=1")).expect(200)["next_page"].as_str().unwrap().to_owned();
    api.get(&format!("/v1/identities?page={page}")).problem(400, "malformed");
}
