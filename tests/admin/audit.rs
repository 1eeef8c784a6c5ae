//! `/v1/audit/events`.

use keystead::admin::model::{AuditEvent, AuditVerification};
use kmip::version::Version;
use serde_json::json;

use super::{administrator, server};
use crate::harness::{api::Api, create_aes, hsm::wait_until, server::Server};

fn events(api: &Api, query: &str) -> Vec<AuditEvent> {
    let found = api.get(&format!("/v1/audit/events?{query}")).expect(200);
    serde_json::from_value(found["items"].clone()).unwrap()
}

#[test]
fn what_was_done_and_refused_is_found() {
    let api = administrator();
    let adapter = api.adapter("audited");
    let viewer = api.service("audited viewer", &[("viewer", None)]);
    let refused = viewer.patch(&format!("/v1/adapters/{adapter}"), &json!({"description": "no"}));
    let correlation = refused.problem(403, "forbidden").correlation;
    let made = events(&api, &format!("adapter={adapter}&action=adapter.create"));
    assert_eq!((made.len(), &*made[0].outcome, made[0].name.as_deref()), (2, "success", Some("audited")));
    let denied = events(&api, &format!("correlation={correlation}"));
    assert_eq!((denied.len(), &*denied[0].outcome), (1, "denied"));
    assert_eq!(denied[0].permission.as_deref(), Some("kmip-management.create"));
    assert_eq!(denied[0].actor_name.as_deref(), Some("audited viewer"));
    let all = events(&api, &format!("adapter={adapter}&action=adapter.*"));
    assert!(all.len() >= 2 && all.windows(2).all(|pair| pair[0].sequence > pair[1].sequence), "newest first");
    // What KMIP clients did is there as well.
    let mut client = server().connect(Version::V1_4);
    client.call(create_aes(256, [])).unwrap();
    assert!(!events(&api, "action=Create&outcome=success&limit=1").is_empty());
}

#[test]
fn pages_of_the_audit_log_join() {
    let api = administrator();
    let adapter = api.adapter("audit pages");
    for number in 0..5 {
        api.patch(&format!("/v1/adapters/{adapter}"), &json!({"description": format!("number {number}")})).expect(200);
    }
    let (mut found, mut page) = (Vec::new(), String::new());
    loop {
        let reply = api
            .get(&format!("/v1/audit/events?adapter={adapter}&action=adapter.update&outcome=success&limit=2{page}"))
            .expect(200);
        let items: Vec<AuditEvent> = serde_json::from_value(reply["items"].clone()).unwrap();
        found.extend(items.into_iter().map(|event| event.sequence));
        match reply["next_page"].as_str() {
            Some(next) => page = format!("&page={next}"),
            None => break,
        }
    }
    assert_eq!(found.len(), 5);
    assert!(found.windows(2).all(|pair| pair[0] > pair[1]), "{found:?}");
}

#[test]
fn who_may_search_the_audit_log_and_what_they_find() {
    let api = administrator();
    let (own, other) = (api.adapter("audit own"), api.adapter("audit other"));
    let viewer = api.service("audit viewer", &[("viewer", None)]);
    let auditor = api.service("audit auditor", &[("auditor", None)]);
    let scoped = api.service("audit scoped", &[("auditor", Some(&own))]);
    assert_eq!(viewer.get("/v1/audit/events").problem(403, "forbidden").members["permission"], "audit.read");
    assert!(!events(&auditor, &format!("adapter={other}")).is_empty());
    assert!(!events(&scoped, &format!("adapter={own}")).is_empty());
    assert!(events(&scoped, &format!("adapter={other}")).is_empty());
    assert!(events(&scoped, "limit=1000").iter().all(|event| event.adapter.is_some_and(|id| id.to_string() == own)));
    server().stranger().get("/v1/audit/events").problem(401, "unauthenticated");
}

#[test]
fn a_change_is_on_record_before_it_is_made_and_after() {
    let api = administrator();
    let adapter = api.adapter("audit begun");
    let path = format!("/v1/adapters/{adapter}");
    let of = |query: &str| -> Vec<(String, String)> {
        let found = events(&api, &format!("adapter={adapter}&{query}"));
        found.into_iter().map(|event| (event.action, event.outcome)).collect()
    };
    let pair = |action: &str, outcome: &str| (action.to_owned(), outcome.to_owned());
    assert_eq!(of("action=adapter.create"), [pair("adapter.create", "success"), pair("adapter.create", "begun")]);
    let [end, begin] = &events(&api, &format!("adapter={adapter}&action=adapter.create"))[..] else { panic!() };
    assert_eq!((end.sequence > begin.sequence, &end.correlation), (true, &begin.correlation));
    // What fails has begun as well; what is not allowed, or only looked at, has not.
    api.patch(&path, &json!({"name": "x"})).problem(422, "invalid");
    assert_eq!(of("action=adapter.update"), [pair("adapter.update", "invalid"), pair("adapter.update", "begun")]);
    let viewer = api.service("audit begun viewer", &[("viewer", None)]);
    viewer.delete(&path).problem(403, "forbidden");
    assert_eq!(of("action=adapter.delete"), [pair("adapter.delete", "denied")]);
    assert!(of("action=adapter.read").iter().all(|(_, outcome)| outcome == "success"));
    // Filters tell them apart.
    assert_eq!(of("action=adapter.update&outcome=begun"), [pair("adapter.update", "begun")]);
    assert_eq!(of("action=adapter.update&outcome=ended"), [pair("adapter.update", "invalid")]);
    assert_eq!(of("action=adapter.update&outcome=failure"), [pair("adapter.update", "invalid")]);
    assert_eq!(of("action=adapter.create&outcome=failure"), []);
}

#[test]
fn what_belongs_to_a_request_for_approval_is_found_by_it() {
    let api = administrator();
    let adapter = api.adapter("audit approval");
    let body = json!({"action": "adapter.delete", "subject": adapter, "reason": "to be found"});
    let (one, other) = (api.post("/v1/approvals", &body).expect(201), api.adapter("audit approval 2"));
    let body = json!({"action": "adapter.delete", "subject": other, "reason": "not to be found"});
    let other = api.post("/v1/approvals", &body).expect(201);
    for id in [&one["id"], &other["id"]] {
        api.send("POST", &format!("/v1/approvals/{}/cancel", id.as_str().unwrap()), None).expect(200);
    }
    let id = one["id"].as_str().unwrap();
    let found = events(&api, &format!("approval={id}&outcome=ended"));
    let actions: Vec<_> = found.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(actions, ["approval.cancel", "approval.request"]);
    assert!(found.iter().all(|event| event.approval.is_some_and(|of| of.to_string() == id)));
    api.get("/v1/audit/events?approval=none").problem(422, "invalid");
}

#[test]
fn the_server_verifies_its_own_log_and_names_what_was_changed() {
    let server = Server::start();
    let api = server.api();
    api.adapter("verified");
    let found: AuditVerification = api.get("/v1/audit/verify").read(200);
    assert!(found.clean && found.problems.is_empty() && found.next_page.is_none(), "{found:?}");
    assert_eq!((found.segments, found.first, found.last), (1, Some(1), Some(found.records)));
    assert!(found.records > 3 && found.unvouched_from.is_some());
    // Sealed and gone on with, it is whole.
    let folder = server.dir().join("audit");
    let sealed = || {
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("audit-0")).last()
    };
    server.signal("HUP");
    wait_until("the log is sealed", || sealed().is_some());
    // The next record begins the next segment.
    api.get("/v1/adapters").expect(200);
    let found: AuditVerification = api.get("/v1/audit/verify").read(200);
    assert_eq!((found.clean, found.segments), (true, 2));
    // Verification itself is on record, once.
    let own = events(&api, "action=audit.verify");
    assert_eq!((own.len(), &*own[0].outcome), (2, "success"));

    for (who, status, code) in [
        (api.service("verify viewer", &[("viewer", None)]), 403, "forbidden"),
        (server.stranger(), 401, "unauthenticated"),
    ] {
        who.get("/v1/audit/verify").problem(status, code);
    }
    let adapter = api.adapter("verified 2");
    api.service("verify scoped", &[("auditor", Some(&adapter))]).get("/v1/audit/verify").problem(403, "forbidden");
    api.service("verify auditor", &[("auditor", None)]).get("/v1/audit/verify").expect(200);
    api.get("/v1/audit/verify?page=zzz").problem(400, "malformed");
    api.get("/v1/audit/verify?from=1").problem(422, "invalid");

    // Somebody changes a letter of a record in the sealed segment.
    let sealed = sealed().unwrap();
    let text = std::fs::read_to_string(&sealed).unwrap();
    let at = text.find("\"name\":\"verified\"").expect("the adapter is in it") + 9;
    let line = text[..at].lines().count();
    let record: serde_json::Value = serde_json::from_str(text.lines().nth(line - 1).unwrap()).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&sealed).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"V", at as u64 - 1).unwrap();
    let found: AuditVerification = api.get("/v1/audit/verify").read(200);
    assert!(!found.clean && found.next_page.is_none());
    let problem = &found.problems[0];
    assert_eq!((&*problem.problem, problem.sequence), ("changed", record["sequence"].as_u64()), "{problem:?}");
    assert_eq!(problem.line, Some(line as u64));
    assert_eq!(problem.file.as_deref(), sealed.file_name().unwrap().to_str());
    assert!(problem.detail.contains("was changed") && !problem.detail.contains('/'), "{}", problem.detail);
}

#[test]
fn bad_searches_are_refused() {
    let api = administrator();
    for (query, status, code) in [
        ("limit=0", 422, "invalid"),
        ("limit=1001", 422, "invalid"),
        ("since=yesterday", 422, "invalid"),
        ("adapter=x", 422, "invalid"),
        ("adaptor=x", 422, "invalid"),
        ("page=zzz", 400, "malformed"),
    ] {
        api.get(&format!("/v1/audit/events?{query}")).problem(status, code);
    }
    let long = "a".repeat(300);
    api.get(&format!("/v1/audit/events?action={long}")).problem(422, "invalid");
}
