//! `/v1/approvals`: what needs two people, over real HTTPS, with a real KMIP client on the other side.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use keystead::admin::model::{Approval, ApprovalStatus, RootKey, RootKeyStatus};
use kmip::{client::ClientError, version::Version};
use rusqlite::Connection as Database;
use serde_json::{Value, json};

use super::{administrator, server};
use crate::harness::{
    api::{Api, Reply},
    ask::{activate, destroy, get, made},
    create_aes,
    hsm::wait_until,
    server::{Connection, Server},
};

/// How long the server may take for what it does by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two people who may ask and decide, neither of them by the other's doing.
pub fn two(server: &Server, name: &str) -> (Api, Api) {
    let one = |who: &str| server.independent(&format!("{name} {who}"));
    (one("asks"), one("decides"))
}

pub fn ask(api: &Api, action: &str, subject: &str) -> Approval {
    let body = json!({"action": action, "subject": subject, "reason": "a reason for the test"});
    api.post("/v1/approvals", &body).read(201)
}

pub fn path(approval: &Approval) -> String {
    format!("/v1/approvals/{}", approval.id)
}

pub fn approve(api: &Api, approval: &Approval) -> Reply {
    let api = api.with("if-match", &format!("\"{}\"", approval.revision));
    api.send("POST", &format!("{}/approve", path(approval)), None)
}

pub fn act(api: &Api, approval: &Approval, what: &str) -> Reply {
    api.send("POST", &format!("{}/{what}", path(approval)), None)
}

/// Waits until the server has brought a request into one of these states.
fn wait_for(api: &Api, approval: &Approval, states: &[ApprovalStatus]) -> Approval {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now: Approval = api.get(&path(approval)).read(200);
        if states.contains(&now.state) {
            return now;
        }
        assert!(Instant::now() < deadline, "{now:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Lets the time of a request pass: the columns that say when are moved into the past.
pub fn let_time_pass(dir: &Path, approval: &Approval, column: &str) {
    let database = Database::open(dir.join("keystead.db")).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    let sql = format!("UPDATE approval SET {column} = 1 WHERE id = ?1");
    assert_eq!(database.execute(&sql, [approval.id.as_bytes()]).unwrap(), 1);
}

/// A server of its own, whose adapter `other` has one Active key and one that is not.
fn loaded() -> (Server, Connection, String, String) {
    let server = Server::start();
    let (client, active) = load(&server);
    let adapter = id_of(&server.api(), "/v1/adapters", "other");
    (server, client, adapter, active)
}

fn load(server: &Server) -> (Connection, String) {
    let mut client = server.connect_as("client2", Version::V1_4);
    let active = made(client.call(create_aes(256, [])).unwrap());
    client.call(activate(&active)).unwrap();
    client.call(create_aes(256, [])).unwrap();
    (client, active)
}

pub fn id_of(api: &Api, list: &str, name: &str) -> String {
    let found = api.get(list).expect(200);
    let items = found["items"].as_array().unwrap();
    let item = items.iter().find(|item| item["name"] == name || item["label"] == name);
    item.unwrap_or_else(|| panic!("no {name} in {found}"))["id"].as_str().unwrap().to_owned()
}

/// The administrative events about a request, oldest first: action, outcome, actor's name.
fn events(server: &Server, approval: &Approval) -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(server.dir().join("audit/audit.jsonl")).unwrap();
    // The last line may be written just now.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let about = lines.filter(|line| line["approval"] == approval.id.to_string());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    about.map(|line| (text(&line["operation"]), text(&line["outcome"]), text(&line["actor_name"]))).collect()
}

#[test]
fn an_adapter_with_active_keys_is_deleted_by_two_people_after_its_hold() {
    let (server, mut client, adapter, active) = loaded();
    let api = server.api();
    let (asks, decides) = two(&server, "delete");
    client.call(get(&active)).unwrap();

    let refused = api.delete(&format!("/v1/adapters/{adapter}")).problem(409, "approval-needed");
    assert_eq!(refused.members["active_objects"], 1);
    let request = ask(&asks, "adapter.delete", &adapter);
    assert_eq!((request.impact.objects, request.impact.active_objects), (2, 1));
    let shown = &request.impact.adapters[0];
    let states: Vec<_> = shown.states.iter().map(|count| (&*count.state, count.objects)).collect();
    assert_eq!(states, [("PreActive", 1), ("Active", 1)]);
    assert!(shown.newest_at.is_some());
    assert!(
        request.impact.warnings.iter().any(|warning| warning.contains("in memory")),
        "{:?}",
        request.impact.warnings
    );
    asks.post("/v1/approvals", &json!({"action": "adapter.delete", "subject": adapter, "reason": "twice"}))
        .problem(409, "exists");

    let approved: Approval = approve(&decides, &request).read(200);
    assert_eq!(approved.state, ApprovalStatus::Approved);
    assert_eq!(approved.decided_by.as_ref().unwrap().name, "delete decides");
    // The hold has not ended: everything still works.
    client.call(get(&active)).unwrap();
    let_time_pass(server.dir(), &request, "hold_until");
    let done = wait_for(&asks, &request, &[ApprovalStatus::Done, ApprovalStatus::Failed]);
    assert_eq!(done.state, ApprovalStatus::Done, "{done:?}");
    let gone = Instant::now();
    while client.call(get(&active)).is_ok() {
        assert!(gone.elapsed() < Duration::from_secs(5), "the client is cut off");
    }
    api.get(&format!("/v1/adapters/{adapter}")).problem(404, "not-found");
    // Its keys are erased, and its name is free again.
    let deadline = Instant::now() + PATIENCE;
    let database = Database::open(server.dir().join("keystead.db")).unwrap();
    let left = "SELECT count(*) FROM object AS o JOIN adapter AS a ON a.seq = o.adapter
                WHERE a.name = 'other' AND o.destroyed = 0";
    while database.query_row(left, [], |row| row.get::<_, i64>(0)).unwrap() > 0 {
        assert!(Instant::now() < deadline, "its objects are still there");
        std::thread::sleep(Duration::from_millis(50));
    }
    let events = events(&server, &request);
    let expected = [
        ("approval.request", "success", "delete asks"),
        ("approval.approve", "success", "delete decides"),
        ("approval.execute", "begun", ""),
        ("approval.execute", "success", ""),
        ("adapter.delete", "begun", ""),
        ("adapter.delete", "success", ""),
    ];
    for (action, outcome, who) in expected {
        let event = (action.to_owned(), outcome.to_owned(), who.to_owned());
        assert!(events.contains(&event), "{event:?} in {events:?}");
    }
}

#[test]
fn nobody_approves_their_own_request_also_not_with_another_key() {
    let api = administrator();
    let adapter = api.adapter("own request");
    let made = api
        .post("/v1/identities", &json!({"kind": "service", "name": "own asks", "grants": [{"role": "administrator"}]}));
    let identity = made.expect(201)["id"].as_str().unwrap().to_owned();
    let asks = api.with_key(&api.new_key(&identity));
    let other_key = api.with_key(&api.new_key(&identity));
    let request = ask(&asks, "adapter.delete", &adapter);
    for own in [&asks, &other_key] {
        approve(own, &request).problem(403, "own-request");
        act(own, &request, "reject").problem(403, "own-request");
    }
    assert_eq!(api.get(&path(&request)).read::<Approval>(200).state, ApprovalStatus::Pending);
    // They may withdraw it.
    assert_eq!(act(&other_key, &request, "cancel").read::<Approval>(200).state, ApprovalStatus::Cancelled);
    act(&other_key, &request, "cancel").problem(409, "state");
}

#[test]
fn roles_and_scopes_decide_who_asks_and_who_approves() {
    let api = administrator();
    let (own, other) = (api.adapter("approvals own"), api.adapter("approvals other"));
    // By another's hands than those who decide.
    let operator = server().independent("approvals other hands").service("approvals operator", &[("operator", None)]);
    let viewer = api.service("approvals viewer", &[("viewer", None)]);
    let officer = api.service("approvals officer", &[("security-officer", None)]);
    let scoped = api.service("approvals scoped", &[("security-officer", Some(&own))]);
    let body = |subject: &str| json!({"action": "adapter.delete", "subject": subject, "reason": "not needed any more"});
    assert_eq!(
        viewer.post("/v1/approvals", &body(&own)).problem(403, "forbidden").members["permission"],
        "approval.request"
    );
    // An officer may ask, but not for what is an operator's to delete.
    assert_eq!(
        officer.post("/v1/approvals", &body(&own)).problem(403, "forbidden").members["permission"],
        "kmip-management.delete"
    );
    let root_key = json!({"action": "root_key.destroy", "subject": api.root_key(), "reason": "not needed any more"});
    operator.post("/v1/approvals", &root_key).problem(403, "forbidden");

    let (first, second) = (ask(&operator, "adapter.delete", &own), ask(&operator, "adapter.delete", &other));
    // Who sees the subject sees the request; who may not decide is told so, and who cannot see it learns nothing.
    viewer.get(&path(&first)).expect(200);
    approve(&viewer, &first).problem(403, "forbidden");
    let unknown = Approval { id: uuid::Uuid::new_v4(), ..second.clone() };
    let missing = approve(&scoped, &unknown).problem(404, "not-found");
    for reply in [scoped.get(&path(&second)), approve(&scoped, &second), act(&scoped, &second, "cancel")] {
        assert_eq!(reply.problem(404, "not-found").detail, missing.detail);
    }
    let listed = scoped.get("/v1/approvals?state=pending&limit=1000").expect(200);
    let ids: Vec<_> = listed["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect();
    assert_eq!(ids, [json!(first.id)]);
    let approved: Approval = approve(&scoped, &first).read(200);
    assert_eq!(approved.state, ApprovalStatus::Approved);
    // Whoever may decide can stop it during the hold; nobody can approve it then.
    assert_eq!(act(&officer, &first, "cancel").read::<Approval>(200).state, ApprovalStatus::Cancelled);
    approve(&officer, &approved).problem(412, "stale");
    assert_eq!(act(&officer, &second, "reject").read::<Approval>(200).state, ApprovalStatus::Rejected);
    act(&officer, &second, "reject").problem(409, "state");
    api.get(&format!("/v1/adapters/{own}")).expect(200);
    server().stranger().get("/v1/approvals").problem(401, "unauthenticated");
}

#[test]
fn bad_requests_for_approval_are_refused() {
    let api = administrator();
    let adapter = api.adapter("approvals bad");
    let decides = server().independent("approvals bad decides");
    let nothing = uuid::Uuid::new_v4().to_string();
    for (action, subject, status, code) in [
        ("adapter.delete", &nothing, 404, "not-found"),
        ("root_key.destroy", &nothing, 404, "not-found"),
        ("object.destroy", &nothing, 404, "not-found"),
        ("server.stop", &adapter, 422, "invalid"),
    ] {
        let body = json!({"action": action, "subject": subject, "reason": "no reason"});
        api.post("/v1/approvals", &body).problem(status, code);
    }
    for body in [
        json!({"action": "adapter.delete", "subject": adapter, "reason": "a"}),
        json!({"action": "adapter.delete", "subject": adapter, "reason": "a\u{202e}b"}),
        json!({"action": "adapter.delete", "subject": adapter}),
        json!({"action": "adapter.delete", "subject": adapter, "reason": "good", "approved": true}),
    ] {
        api.post("/v1/approvals", &body).problem(422, "invalid");
    }
    let request = ask(&api, "adapter.delete", &adapter);
    act(&decides, &request, "approve").problem(428, "precondition-required");
    let stale = Approval { revision: 7, ..request.clone() };
    approve(&decides, &stale).problem(412, "stale");
    api.get("/v1/approvals?state=gone").problem(422, "invalid");
    api.get(&format!("/v1/approvals/{nothing}")).problem(404, "not-found");
    // Pages join.
    let all = super::all(&api, "/v1/approvals", 1);
    assert!(all.iter().any(|item| item["id"] == request.id.to_string()));
    act(&api, &request, "cancel").expect(200);
}

#[test]
fn of_two_who_approve_at_once_one_does() {
    let api = administrator();
    let adapter = api.adapter("approvals race");
    let (asks, first) = two(server(), "race");
    let second = server().independent("race second");
    let request = ask(&asks, "adapter.delete", &adapter);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let run = |who| {
            let request = &request;
            scope.spawn(move || approve(who, request).status)
        };
        let both = [run(&first), run(&second)];
        both.map(|thread| thread.join().unwrap()).to_vec()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.contains(&412) || statuses.contains(&409), "{statuses:?}");
    let now: Approval = asks.get(&path(&request)).read(200);
    assert_eq!((now.state, now.revision), (ApprovalStatus::Approved, 2));
    act(&asks, &request, "cancel").expect(200);
}

#[test]
fn what_nobody_approves_in_time_expires() {
    // Of its own: where somebody else asks for something at the moment that is moved here, nobody else records that it is over.
    let server = Server::start();
    let adapter = server.api().adapter("approvals late");
    let (asks, decides) = two(&server, "late");
    let request = ask(&asks, "adapter.delete", &adapter);
    let_time_pass(server.dir(), &request, "expires_at");
    assert_ne!(approve(&decides, &request).status, 200);
    let now = wait_for(&asks, &request, &[ApprovalStatus::Expired]);
    assert!(now.finished_at.is_some());
    approve(&decides, &now).problem(409, "state");
    let recorded = || events(&server, &request).iter().any(|(action, _, _)| action == "approval.expire");
    wait_until("it is on record", recorded);
    // It may be asked for anew.
    let again = ask(&asks, "adapter.delete", &adapter);
    act(&asks, &again, "cancel").expect(200);
}

#[test]
fn more_active_keys_than_were_shown_make_a_request_void() {
    let (server, mut client, adapter, _) = loaded();
    let (asks, decides) = two(&server, "grown");
    // Between request and approval.
    let request = ask(&asks, "adapter.delete", &adapter);
    let more = made(client.call(create_aes(256, [])).unwrap());
    client.call(activate(&more)).unwrap();
    let problem = approve(&decides, &request).problem(409, "impact-grown");
    assert_eq!((&problem.members["shown"], &problem.members["active_objects"]), (&json!(1), &json!(2)));
    let now: Approval = asks.get(&path(&request)).read(200);
    assert_eq!(now.state, ApprovalStatus::Cancelled);
    assert!(now.outcome.unwrap().starts_with("void: "));
    // Between approval and execution.
    let request = ask(&asks, "adapter.delete", &adapter);
    assert_eq!(request.impact.active_objects, 2);
    approve(&decides, &request).expect(200);
    let more = made(client.call(create_aes(256, [])).unwrap());
    client.call(activate(&more)).unwrap();
    let_time_pass(server.dir(), &request, "hold_until");
    let now = wait_for(&asks, &request, &[ApprovalStatus::Cancelled, ApprovalStatus::Done]);
    assert_eq!(now.state, ApprovalStatus::Cancelled);
    assert!(now.outcome.unwrap().starts_with("void: "));
    client.call(get(&more)).unwrap();
}

#[test]
fn a_root_key_is_destroyed_by_two_people_also_when_the_server_is_killed_in_between() {
    let (server, mut client, _, active) = loaded();
    let api = server.api();
    let (asks, decides) = two(&server, "shred");
    let root_key = api.root_key();
    let root_path = format!("/v1/root-keys/{root_key}");
    api.send("DELETE", &root_path, None).problem(405, "method-not-allowed");
    let request = ask(&asks, "root_key.destroy", &root_key);
    assert_eq!((request.impact.active_objects, request.impact.wrapped_keks), (1, Some(2)));
    approve(&decides, &request).expect(200);
    assert_eq!(api.get(&root_path).read::<RootKey>(200).state, RootKeyStatus::Active, "its hold has not ended");
    client.call(get(&active)).unwrap();

    let folder = server.kill().unwrap();
    let_time_pass(folder.path(), &request, "hold_until");
    let server = Server::start_in(folder.path(), &[]);
    let api = server.api();
    let done = wait_for(&api, &request, &[ApprovalStatus::Done, ApprovalStatus::Failed]);
    assert_eq!(done.state, ApprovalStatus::Done, "{done:?}");
    let destroyed: RootKey = api.get(&root_path).read(200);
    assert_eq!(destroyed.state, RootKeyStatus::Destroyed);
    let adapters = api.get("/v1/adapters").expect(200);
    assert!(adapters["items"].as_array().unwrap().iter().all(|adapter| adapter["state"] == "root_key_destroyed"));
    let certificate: Value = serde_json::from_str(&destroyed.destruction_certificate.unwrap()).unwrap();
    let statement: Value = serde_json::from_str(certificate["statement"].as_str().unwrap()).unwrap();
    let text = statement.to_string();
    for part in ["shred asks", "shred decides", &request.id.to_string()] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let mut client = server.connect_as("client2", Version::V1_4);
    let Err(ClientError::Refused(_)) = client.call(get(&active)) else { panic!("the key is handed out") };
    let Err(ClientError::Refused(_)) = client.call(create_aes(256, [])) else { panic!("a key is made") };
    // It is done once.
    let times = events(&server, &request)
        .into_iter()
        .filter(|(action, outcome, _)| action == "root_key.destroy" && outcome == "success")
        .count();
    assert_eq!(times, 1);
    asks_again(&api, &root_key);
}

fn asks_again(api: &Api, root_key: &str) {
    let body = json!({"action": "root_key.destroy", "subject": root_key, "reason": "once more"});
    api.post("/v1/approvals", &body).problem(409, "state");
}

#[test]
fn an_active_key_is_destroyed_by_force_and_held_as_the_policy_says() {
    let (server, mut client, adapter, active) = loaded();
    let api = server.api();
    let (asks, decides) = two(&server, "force");
    // The client itself may not: it is Active. What is not, it may destroy, as the protocol has it.
    let Err(ClientError::Refused(_)) = client.call(destroy(&active)) else { panic!("an Active key is destroyed") };
    let other = made(client.call(create_aes(256, [])).unwrap());
    client.call(destroy(&other)).unwrap();

    api.patch(&format!("/v1/adapters/{adapter}"), &json!({"hold_seconds": 3600})).expect(200);
    let request = ask(&asks, "object.destroy", &active);
    let object = request.impact.object.as_ref().unwrap();
    assert_eq!((&*object.state, object.hold_seconds, request.impact.active_objects), ("Active", 3600, 1));
    // There is no hold of the request by default: the key's own hold is enough.
    approve(&decides, &request).expect(200);
    let done = wait_for(&asks, &request, &[ApprovalStatus::Done, ApprovalStatus::Failed]);
    assert_eq!(done.state, ApprovalStatus::Done, "{done:?}");
    assert!(done.outcome.unwrap().contains("held until"));
    let Err(ClientError::Refused(_)) = client.call(get(&active)) else { panic!("the key is handed out") };
    let database = Database::open(server.dir().join("keystead.db")).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    let erased = || {
        let sql = "SELECT count(*) FROM kek WHERE wrapped = zeroblob(length(wrapped))";
        database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    // The first was destroyed before the policy, at once; this one waits.
    assert_eq!(erased(), 1);
    assert_eq!(database.execute("UPDATE held SET until = 1", []).unwrap(), 1);
    let deadline = Instant::now() + PATIENCE;
    while erased() < 2 {
        assert!(Instant::now() < deadline, "the material is not erased");
        std::thread::sleep(Duration::from_millis(50));
    }
}
