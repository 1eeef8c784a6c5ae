//! `/v1/adapters`.

use keystead::admin::model::Adapter;
use kmip::enums::RevocationReasonCode;
use serde_json::json;

use super::{administrator, all, client::Holder, server};
use crate::harness::{
    ask::{activate, destroy, made, revoke},
    create_aes,
};

#[test]
fn an_adapter_is_made_read_changed_and_deleted() {
    let api = administrator();
    let root_key = api.root_key();
    let made = api.post("/v1/adapters", &json!({"name": "life", "description": "of one", "root_key": root_key}));
    let adapter: Adapter = made.read(201);
    let path = format!("/v1/adapters/{}", adapter.id);
    assert_eq!((made.header("location"), made.header("etag")), (&*path, "\"1\""));
    assert_eq!(api.get(&path).read::<Adapter>(200).description.as_deref(), Some("of one"));

    let changed = api.patch(&path, &json!({"name": "life 2", "description": null, "hold_seconds": 60}));
    assert_eq!(changed.header("etag"), "\"2\"");
    let changed: Adapter = changed.read(200);
    assert_eq!((&*changed.name, changed.description, changed.hold_seconds), ("life 2", None, 60));

    api.delete(&path).expect(204);
    api.get(&path).problem(404, "not-found");
    api.delete(&path).problem(404, "not-found");
}

#[test]
fn a_change_names_the_revision_that_it_was_made_from() {
    let api = administrator();
    let path = format!("/v1/adapters/{}", api.adapter("revisions"));
    let body = json!({"description": "changed"}).to_string();
    api.send("PATCH", &path, Some(&body)).problem(428, "precondition-required");
    api.send("DELETE", &path, None).problem(428, "precondition-required");
    api.with("if-match", "\"1\"").send("PATCH", &path, Some(&body)).expect(200);
    api.with("if-match", "\"1\"").send("PATCH", &path, Some(&body)).problem(412, "stale");
    api.with("if-match", "\"1\"").send("DELETE", &path, None).problem(412, "stale");
    api.with("if-match", "*").send("DELETE", &path, None).expect(204);
}

#[test]
fn roles_decide_who_manages_adapters() {
    let api = administrator();
    let own = api.adapter("roles");
    let path = format!("/v1/adapters/{own}");
    let viewer = api.service("roles viewer", &[("viewer", None)]);
    let operator = api.service("roles operator", &[("operator", None)]);
    viewer.get(&path).expect(200);
    let new = json!({"name": "roles 2", "root_key": api.root_key()});
    assert_eq!(
        viewer.post("/v1/adapters", &new).problem(403, "forbidden").members["permission"],
        "kmip-management.create"
    );
    viewer.patch(&path, &json!({"description": "no"})).problem(403, "forbidden");
    viewer.delete(&path).problem(403, "forbidden");
    operator.post("/v1/adapters", &new).expect(201);
    operator.delete(&path).expect(204);
    server().stranger().get("/v1/adapters").problem(401, "unauthenticated");
}

#[test]
fn a_scope_ends_at_its_adapter() {
    let api = administrator();
    let (own, other) = (api.adapter("scope own"), api.adapter("scope other"));
    let scoped = api.service("scope service", &[("operator", Some(&own))]);
    scoped.patch(&format!("/v1/adapters/{own}"), &json!({"description": "mine"})).expect(200);
    let (unknown, hidden) = (uuid::Uuid::new_v4().to_string(), format!("/v1/adapters/{other}"));
    let missing = scoped.get(&format!("/v1/adapters/{unknown}")).problem(404, "not-found");
    for reply in [scoped.get(&hidden), scoped.patch(&hidden, &json!({})), scoped.delete(&hidden)] {
        let problem = reply.problem(404, "not-found");
        assert_eq!((&problem.title, &problem.detail), (&missing.title, &missing.detail), "like one that is not there");
    }
    let names: Vec<_> = all(&scoped, "/v1/adapters", 10).into_iter().map(|adapter| adapter["id"].clone()).collect();
    assert_eq!(names, [json!(own)]);
    scoped.post("/v1/adapters", &json!({"name": "scope 3", "root_key": api.root_key()})).problem(403, "forbidden");
    scoped.get("/v1/identities").problem(403, "forbidden");
}

#[test]
fn bad_adapters_are_refused_and_the_field_is_named() {
    let api = administrator();
    let root_key = api.root_key();
    let long = "a".repeat(41);
    for (field, body) in [
        ("name", json!({"name": "a", "root_key": root_key})),
        ("name", json!({"name": long, "root_key": root_key})),
        ("name", json!({"name": " ab", "root_key": root_key})),
        ("name", json!({"name": "a\u{0}b", "root_key": root_key})),
        ("name", json!({"name": "a\u{202e}b", "root_key": root_key})),
        ("description", json!({"name": "bad", "description": "a", "root_key": root_key})),
        ("description", json!({"name": "bad", "description": "a".repeat(241), "root_key": root_key})),
        ("root_key", json!({"name": "bad", "root_key": uuid::Uuid::new_v4()})),
        ("hold_seconds", json!({"name": "bad", "root_key": root_key, "hold_seconds": 31_622_401})),
    ] {
        assert_eq!(api.post("/v1/adapters", &body).problem(422, "invalid").members["field"], field, "{body}");
    }
    for body in [
        json!({"name": "bad"}),
        json!({"name": 5, "root_key": root_key}),
        json!({"name": "bad", "root_key": "x"}),
        json!([]),
    ] {
        api.post("/v1/adapters", &body).problem(422, "invalid");
    }
    api.send("POST", "/v1/adapters", Some("{")).problem(400, "malformed");
    api.post("/v1/adapters", &json!({"name": "demo", "root_key": root_key})).problem(409, "exists");
    api.get("/v1/adapters/not-a-uuid").problem(404, "not-found");
    api.get("/v1/adapters?limit=0").problem(422, "invalid");
    api.get("/v1/adapters?limit=1001").problem(422, "invalid");
    api.get("/v1/adapters?limit=x").problem(422, "invalid");
    api.get("/v1/adapters?limits=1").problem(422, "invalid");
    api.get("/v1/adapters?page=zzz").problem(400, "malformed");
}

#[test]
fn pages_of_adapters_join_to_all_of_them() {
    let api = administrator();
    let made: Vec<_> = (0..5).map(|number| api.adapter(&format!("page {number}"))).collect();
    // Other tests make and delete theirs meanwhile.
    for limit in [1, 2, 1000] {
        let found = all(&api, "/v1/adapters", limit);
        let ids: Vec<_> = found.iter().filter_map(|adapter| adapter["id"].as_str()).collect();
        assert!(made.iter().all(|id| ids.iter().filter(|found| *found == id).count() == 1));
        let names: Vec<_> = found.iter().filter_map(|adapter| adapter["name"].as_str()).collect();
        assert!(names.is_sorted(), "{names:?}");
    }
}

#[test]
fn a_key_that_is_activated_while_its_adapter_is_deleted_is_never_lost_with_it() {
    let api = administrator();
    let mut deleted = 0;
    for round in 0..16 {
        let adapter = api.adapter(&format!("delete race {round}"));
        let holder = Holder::new(&format!("delete-race-{round}"));
        api.post(&format!("/v1/adapters/{adapter}/certificates"), &json!({"pem": holder.pem})).expect(201);
        let mut client = holder.connect(server()).unwrap();
        let id = made(client.call(create_aes(256, [])).unwrap());
        let path = format!("/v1/adapters/{adapter}");
        let barrier = std::sync::Barrier::new(2);
        let (activated, answer) = std::thread::scope(|scope| {
            let client = scope.spawn(|| {
                barrier.wait();
                client.call(activate(&id)).is_ok()
            });
            let etag = api.get(&path).header("etag").to_owned();
            let api = api.with("if-match", &etag);
            barrier.wait();
            let answer = api.send("DELETE", &path, None);
            (client.join().unwrap(), answer)
        });
        match answer.status {
            204 => deleted += 1,
            _ => drop(answer.problem(409, "approval-needed")),
        }
        assert_ne!(activated, answer.status == 204, "one of the two is done: {}", answer.text);
        if activated {
            client.call(revoke(&id, RevocationReasonCode::CessationOfOperation)).unwrap();
            api.delete(&path).expect(204);
        }
    }
    println!("{deleted} of 16 adapters were deleted before their key was activated");
}

#[test]
fn destroyed_keys_that_are_held_are_not_one_persons_to_lose() {
    let api = administrator();
    let adapter = api.adapter("delete held");
    let path = format!("/v1/adapters/{adapter}");
    let holder = Holder::new("delete-held");
    api.post(&format!("{path}/certificates"), &json!({"pem": holder.pem})).expect(201);
    api.patch(&path, &json!({"hold_seconds": 3600})).expect(200);
    let mut client = holder.connect(server()).unwrap();
    let id = made(client.call(create_aes(256, [])).unwrap());
    client.call(destroy(&id)).unwrap();
    // What is held is held, also when the policy is taken back.
    api.patch(&path, &json!({"hold_seconds": 0})).expect(200);
    let problem = api.delete(&path).problem(409, "approval-needed");
    assert_eq!((&problem.members["active_objects"], &problem.members["held_objects"]), (&json!(0), &json!(1)));
    let body = json!({"action": "adapter.delete", "subject": adapter, "reason": "held keys"});
    let asked = api.post("/v1/approvals", &body).expect(201);
    assert_eq!(
        (&asked["impact"]["held_objects"], &asked["impact"]["adapters"][0]["held_objects"]),
        (&json!(1), &json!(1))
    );
    let warnings = asked["impact"]["warnings"].to_string();
    assert!(warnings.contains("1 destroyed keys are held"), "{warnings}");
    api.send("POST", &format!("/v1/approvals/{}/cancel", asked["id"].as_str().unwrap()), None).expect(200);
    // Given back and destroyed without a hold, it is in nobody's way.
    api.with("if-match", "*").send("POST", &format!("/v1/objects/{id}/recover"), None).expect(200);
    client.call(destroy(&id)).unwrap();
    api.delete(&path).expect(204);
}
