//! `/v1/audit/events`.

use keystead::admin::model::AuditEvent;
use kmip::version::Version;
use serde_json::json;

use super::{administrator, server};
use crate::harness::{api::Api, create_aes};

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
    assert_eq!((made.len(), &*made[0].outcome, made[0].name.as_deref()), (1, "success", Some("audited")));
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
        let reply =
            api.get(&format!("/v1/audit/events?adapter={adapter}&action=adapter.update&limit=2{page}")).expect(200);
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
