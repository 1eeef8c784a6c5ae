//! `/v1/adapters/{id}/objects`, `/v1/objects` and `/v1/adapters/{id}/activity`.

use std::time::{Duration, Instant};

use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use keystead::admin::model::{Activity, ImpactReport, ManagedObject};
use kmip::{
    enums::RevocationReasonCode,
    payloads::{RegisterRequest, Response},
};
use serde_json::{Value, json};

use super::{administrator, all, client::Holder, server};
use crate::harness::{
    api::Api,
    ask::{activate, custom_text, get, material, register_aes, revoke},
    name,
    server::Connection,
};

/// An adapter with a client of its own.
fn adapter(api: &Api, name: &str) -> (String, Connection) {
    let adapter = api.adapter(name);
    let holder = Holder::new(name);
    api.post(&format!("/v1/adapters/{adapter}/certificates"), &json!({"pem": holder.pem})).expect(201);
    (adapter, holder.connect(server()).unwrap())
}

fn register(client: &mut Connection, request: RegisterRequest) -> String {
    match client.call(request).unwrap() {
        Response::Register(response) => response.unique_identifier,
        other => panic!("{other:?}"),
    }
}

fn objects(adapter: &str) -> String {
    format!("/v1/adapters/{adapter}/objects")
}

fn object(id: &str) -> String {
    format!("/v1/objects/{id}")
}

fn ids(found: &[Value]) -> Vec<&str> {
    found.iter().map(|item| item["id"].as_str().unwrap()).collect()
}

fn listed(api: &Api, adapter: &str, query: &str) -> Vec<String> {
    let found = api.get(&format!("{}?{query}", objects(adapter))).expect(200);
    ids(found["items"].as_array().unwrap()).into_iter().map(str::to_owned).collect()
}

#[test]
fn objects_are_listed_by_filter_and_page_newest_first() {
    let api = administrator();
    let (adapter, mut client) = adapter(&api, "objects list");
    let made: Vec<_> = (0..5)
        .map(|number| register(&mut client, register_aes(&[number; 16], [name(&format!("Disk {number}"))])))
        .collect();
    let newest_first: Vec<_> = made.iter().rev().cloned().collect();
    for limit in [1, 2, 4, 5, 1000] {
        assert_eq!(ids(&all(&api, &objects(&adapter), limit)), newest_first, "pages of {limit}");
    }
    client.call(activate(&made[1])).unwrap();
    assert_eq!(listed(&api, &adapter, "state=Active"), [made[1].clone()]);
    assert_eq!(listed(&api, &adapter, "state=PreActive&limit=2"), newest_first[..2]);
    assert_eq!(listed(&api, &adapter, "name=Disk%203"), [made[3].clone()]);
    assert_eq!(listed(&api, &adapter, "name=disk%203"), [""; 0]);
    assert_eq!(listed(&api, &adapter, "name_contains=disk%203"), [made[3].clone()]);
    assert_eq!(listed(&api, &adapter, "type=SymmetricKey"), newest_first);
    assert_eq!(listed(&api, &adapter, "type=Certificate"), [""; 0]);
    assert_eq!(listed(&api, &adapter, "created_from=2020-01-01T00:00:00Z&state=Active").len(), 1);
    assert_eq!(listed(&api, &adapter, "created_to=2020-01-01T00:00:00Z"), [""; 0]);
    assert_eq!(listed(&api, &adapter, "unused_since=2020-01-01T00:00:00Z"), newest_first);
    assert_eq!(listed(&api, &adapter, "held=true"), [""; 0]);

    for query in
        ["state=active", "type=Key", "created_from=yesterday", "held=maybe", "limit=0", "limit=1001", "stat=Active"]
    {
        api.get(&format!("{}?{query}", objects(&adapter))).problem(422, "invalid");
    }
    api.get(&format!("{}?page=zzz", objects(&adapter))).problem(400, "malformed");
    // A page of another list.
    let other = api.get("/v1/adapters?limit=1").expect(200)["next_page"].as_str().unwrap().to_owned();
    api.get(&format!("{}?page={other}", objects(&adapter))).problem(400, "malformed");
}

#[test]
fn keys_of_all_adapters_are_searched_newest_first() {
    let api = administrator();
    let (one, mut first) = adapter(&api, "search one");
    let (two, mut second) = adapter(&api, "search two");
    let mark = format!("mark {}", uuid::Uuid::new_v4());
    let mut made = Vec::new();
    for number in 0..6_u8 {
        let client = if number % 2 == 0 { &mut first } else { &mut second };
        let attributes = [name(&format!("{mark} {number}")), custom_text("x-Mark", &mark)];
        made.push(register(client, register_aes(&[number; 16], attributes)));
    }
    let newest_first: Vec<_> = made.iter().rev().cloned().collect();
    let by_mark = format!("attribute=x-Mark:{}", mark.replace(' ', "%20"));
    let found = |api: &Api, query: &str| -> Vec<String> {
        let found = api.get(&format!("/v1/objects?{query}")).expect(200);
        ids(found["items"].as_array().unwrap()).into_iter().map(str::to_owned).collect()
    };
    assert_eq!(found(&api, &by_mark), newest_first);
    assert_eq!(found(&api, &by_mark[..30]), [""; 0], "the whole value is meant");
    assert_eq!(found(&api, &format!("{by_mark}&adapter={two}")), [5, 3, 1].map(|number: usize| made[number].clone()));
    assert_eq!(found(&api, &format!("name={}%203", mark.replace(' ', "%20"))), [made[3].clone()]);
    first.call(activate(&made[2])).unwrap();
    assert_eq!(found(&api, &format!("{by_mark}&state=Active")), [made[2].clone()]);
    assert_eq!(found(&api, &format!("{by_mark}&created_to=2020-01-01T00:00:00Z")), [""; 0]);
    assert_eq!(found(&api, &format!("{by_mark}&created_from=2020-01-01T00:00:00Z")), newest_first);
    // Page by page, also where nothing narrows the search.
    for query in [by_mark.clone(), "type=SymmetricKey".to_owned()] {
        let (mut joined, mut page) = (Vec::new(), String::new());
        loop {
            let on_page = api.get(&format!("/v1/objects?{query}&limit=4{page}")).expect(200);
            joined.extend(ids(on_page["items"].as_array().unwrap()).into_iter().map(str::to_owned));
            let Some(next) = on_page["next_page"].as_str() else { break };
            page = format!("&page={next}");
        }
        joined.retain(|id| made.contains(id));
        assert_eq!(joined, newest_first, "{query}");
    }
    // By identifier, whole, in part, with hyphens or without, and whatever the case.
    assert_eq!(found(&api, &format!("identifier={}", made[0])), [made[0].clone()]);
    assert_eq!(found(&api, &format!("identifier={}", made[0].replace('-', "").to_uppercase())), [made[0].clone()]);
    assert_eq!(found(&api, &format!("identifier={}&state=Active", made[0])), [""; 0]);
    let beginning = found(&api, &format!("identifier={}&limit=1000", &made[0][..6]));
    assert!(newest_first.iter().all(|id| beginning.contains(id)));
    assert_eq!(found(&api, "identifier=0&limit=1000"), found(&api, "identifier=01&limit=1000"));
    assert_eq!(found(&api, "identifier=f"), [""; 0]);
    assert_eq!(listed(&api, &one, &by_mark), [4, 2, 0].map(|number: usize| made[number].clone()));

    for query in
        ["identifier=", "identifier=xyz", "attribute=x-Mark", "attribute=Name:a", "attribute=State:Active", "actor=x"]
    {
        api.get(&format!("/v1/objects?{query}")).problem(422, "invalid");
    }
    api.get("/v1/objects?page=zzz").problem(400, "malformed");
    let scoped = api.service("search scoped", &[("viewer", Some(&one))]);
    assert_eq!(found(&scoped, &by_mark), [4, 2, 0].map(|number: usize| made[number].clone()));
    assert_eq!(found(&scoped, &format!("identifier={}", made[1])), [""; 0]);
    scoped.get(&format!("/v1/objects?adapter={two}")).problem(404, "not-found");
    api.service("search nobody", &[]).get("/v1/objects").problem(403, "forbidden");
    server().stranger().get("/v1/objects").problem(401, "unauthenticated");
    // What is of a deleted adapter is not found.
    for id in &made {
        api.with("if-match", "*").send("DELETE", &object(id), None);
    }
    api.delete(&format!("/v1/adapters/{two}")).expect(204);
    assert_eq!(found(&api, &by_mark), [4, 2, 0].map(|number: usize| made[number].clone()));
    assert_eq!(found(&api, &format!("identifier={}", made[1])), [""; 0]);
}

#[test]
fn pages_tell_nothing_of_objects_that_the_caller_may_not_see() {
    let api = administrator();
    let (own, mut first) = adapter(&api, "pages own");
    let (_, mut second) = adapter(&api, "pages foreign");
    let (mut made, mut foreign) = (Vec::new(), Vec::new());
    for number in 0..3_u8 {
        made.push(register(&mut first, register_aes(&[number; 16], [])));
        foreign.push(register(&mut second, register_aes(&[number; 16], [])));
    }
    let scoped = api.service("pages scoped", &[("viewer", Some(&own))]);
    let page = |id: &str| Base64UrlUnpadded::encode_string(format!("objects\0{id}").as_bytes());
    let made_up = page(&uuid::Uuid::now_v7().to_string());
    for path in ["/v1/objects".to_owned(), objects(&own)] {
        let behind = |page: &str| scoped.get(&format!("{path}?page={page}")).expect(200);
        assert_eq!(ids(behind(&page(&made[2]))["items"].as_array().unwrap()), [&*made[1], &*made[0]]);
        let nothing = behind(&made_up);
        assert_eq!(nothing, json!({"items": [], "next_page": null}));
        for id in &foreign {
            assert_eq!(behind(&page(id)), nothing, "{path}");
        }
    }
    // By the beginning of the identifier, an object at a time: no token has what is of others, and none says that there is more
    // where only others have more.
    let shared = made[0].bytes().zip(foreign[2].bytes()).take_while(|(a, b)| a == b).count();
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/objects?identifier={}&limit=1{token}", &made[0][..shared]);
        let on_page = scoped.get(&path).expect(200);
        found.extend(ids(on_page["items"].as_array().unwrap()).into_iter().map(str::to_owned));
        let Some(next) = on_page["next_page"].as_str() else { break };
        let place = Base64UrlUnpadded::decode_vec(next).unwrap();
        assert!(!foreign.iter().any(|id| place.ends_with(id.as_bytes())), "{}", place.escape_ascii());
        token = format!("&page={next}");
    }
    assert_eq!(found, [2, 1, 0].map(|number: usize| made[number].clone()));
}

#[test]
fn many_who_search_and_verify_wait_for_one_another_and_nobody_else_for_them() {
    let api = administrator();
    adapter(&api, "search crowd");
    let viewer = api.service("search crowd viewer", &[("viewer", None)]);
    let auditor = api.service("search crowd auditor", &[("auditor", None)]);
    std::thread::scope(|threads| {
        let crowd: Vec<_> = (0..40)
            .map(|number| {
                let (who, path) = if number % 2 == 0 {
                    (viewer.clone(), "/v1/objects?name_contains=crowd")
                } else {
                    (auditor.clone(), "/v1/audit/verify")
                };
                threads.spawn(move || who.get(path))
            })
            .collect();
        api.get("/v1/session").expect(200);
        api.get("/v1/adapters?limit=1").expect(200);
        for one in crowd {
            let reply = one.join().unwrap();
            if reply.status == 503 {
                assert!(reply.headers.contains_key("retry-after"));
                reply.problem(503, "busy");
            } else {
                reply.expect(200);
            }
        }
    });
    // Who may not learns that, whoever searches.
    api.service("search crowd nobody", &[]).get("/v1/objects?name_contains=crowd").problem(403, "forbidden");
}

#[test]
fn what_would_be_lost_is_told_before_anybody_asks_for_it() {
    let api = administrator();
    let (own, mut client) = adapter(&api, "impact of objects");
    let one = register(&mut client, register_aes(&[1; 16], [name("volume")]));
    let two = register(&mut client, register_aes(&[2; 16], []));
    client.call(activate(&one)).unwrap();
    let of_object = format!("{}/impact", object(&one));
    let report: ImpactReport = api.get(&of_object).read(200);
    assert_eq!((report.objects, report.active_objects), (1, 1));
    assert_eq!(report.object.unwrap().names, ["volume"]);
    let of_adapter = format!("/v1/adapters/{own}/impact");
    let report: ImpactReport = api.get(&of_adapter).read(200);
    assert_eq!((report.objects, report.active_objects, report.adapters.len()), (2, 1, 1));
    let states: Vec<_> = report.adapters[0].states.iter().map(|state| (&*state.state, state.objects)).collect();
    assert_eq!(states, [("PreActive", 1), ("Active", 1)]);
    assert!(report.adapters[0].newest_at.is_some() && !report.warnings.is_empty());
    api.delete(&object(&two)).expect(200);
    let report: ImpactReport = api.get(&of_adapter).read(200);
    assert_eq!((report.objects, report.active_objects), (2, 1));

    let viewer = api.service("impact viewer", &[("viewer", Some(&own))]);
    viewer.get(&of_object).expect(200);
    viewer.get(&of_adapter).expect(200);
    viewer.get(&format!("/v1/adapters/{own}/usage")).expect(200);
    let elsewhere = api.service("impact elsewhere", &[("viewer", Some(&api.adapter("impact other")))]);
    for path in [&of_object, &of_adapter, &format!("/v1/adapters/{own}/usage")] {
        elsewhere.get(path).problem(404, "not-found");
    }
}

#[test]
fn metadata_is_shown_and_key_material_never() {
    let api = administrator();
    let (adapter, mut client) = adapter(&api, "objects secret");
    let key: Vec<u8> = (0..32).map(|number| 200 - number * 3).collect();
    let hostile = "<script>alert(1)</script>\u{202e}\u{7}";
    let id = register(&mut client, register_aes(&key, [name(hostile), custom_text("x-note", hostile)]));
    assert_eq!(material(client.call(get(&id)).unwrap()), key);
    let deadline = Instant::now() + Duration::from_secs(30);
    let shown = loop {
        let shown: ManagedObject = api.get(&object(&id)).read(200);
        if shown.last_use.is_some() {
            break shown;
        }
        assert!(Instant::now() < deadline, "its use was noted");
        std::thread::yield_now();
    };
    assert_eq!((&*shown.state, &*shown.object_type, shown.length_bits), ("PreActive", "SymmetricKey", Some(256)));
    assert_eq!((shown.algorithm.as_deref(), shown.fetched), (Some("AES"), true));
    assert_eq!(shown.sealed_under.unwrap().root_key.to_string(), api.root_key());
    assert_eq!(shown.names, ["<script>alert(1)</script>\u{fffd}\u{fffd}"]);
    assert!(shown.attributes.iter().any(|one| one.name == "x-note" && one.value == shown.names[0]));

    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let forms = [hex.to_uppercase(), hex, Base64::encode_string(&key)];
    for path in [
        object(&id),
        objects(&adapter),
        format!("/v1/adapters/{adapter}/activity"),
        format!("/v1/adapters/{adapter}"),
        "/v1/certificates?expiring_within_days=3660".to_owned(),
        "/v1/server".to_owned(),
    ] {
        let reply = api.get(&path);
        assert_eq!(reply.status, 200, "{path}");
        assert!(forms.iter().all(|form| !reply.text.contains(form)), "{path}");
    }
}

#[test]
fn an_object_that_is_not_active_is_destroyed_and_an_active_one_needs_an_approval() {
    let api = administrator();
    let (adapter, mut client) = adapter(&api, "objects destroy");
    let (id, active) =
        (register(&mut client, register_aes(&[1; 16], [])), register(&mut client, register_aes(&[2; 16], [])));
    client.call(activate(&active)).unwrap();
    let problem = api.delete(&object(&active)).problem(409, "approval-needed");
    assert!(problem.detail.contains("/v1/approvals"), "{}", problem.detail);
    assert_eq!(material(client.call(get(&active)).unwrap()), [2; 16], "it is untouched");

    api.send("DELETE", &object(&id), None).problem(428, "precondition-required");
    api.with("if-match", "\"99\"").send("DELETE", &object(&id), None).problem(412, "stale");
    let revision = api.get(&object(&id)).header("etag").to_owned();
    let destroyed = api.delete(&object(&id));
    assert_ne!(destroyed.header("etag"), revision);
    let destroyed: ManagedObject = destroyed.read(200);
    assert_eq!((&*destroyed.state, destroyed.held_until, destroyed.sealed_under.is_none()), ("Destroyed", None, true));
    client.call(get(&id)).unwrap_err();
    api.delete(&object(&id)).problem(409, "state");
    api.with("if-match", "*").send("POST", &format!("{}/recover", object(&id)), None).problem(409, "state");

    // Once it is revoked, it may go.
    client.call(revoke(&active, RevocationReasonCode::CessationOfOperation)).unwrap();
    assert_eq!(api.delete(&object(&active)).read::<ManagedObject>(200).state, "Destroyed");
    assert_eq!(listed(&api, &adapter, "state=Destroyed").len(), 2);
}

#[test]
fn an_object_is_recovered_while_its_adapter_holds_its_material() {
    let api = administrator();
    let (adapter, mut client) = adapter(&api, "objects hold");
    api.patch(&format!("/v1/adapters/{adapter}"), &json!({"hold_seconds": 3600})).expect(200);
    let id = register(&mut client, register_aes(&[3; 16], [name("held")]));
    let destroyed: ManagedObject = api.delete(&object(&id)).read(200);
    assert!(destroyed.held_until.is_some());
    assert_eq!(destroyed.state, "Destroyed");
    client.call(get(&id)).unwrap_err();
    assert_eq!(listed(&api, &adapter, "held=true"), std::slice::from_ref(&id));
    // Who may destroy keys may not take away what protects them, neither by the policy nor with the adapter.
    let operator = api.service("objects hold operator", &[("operator", None)]);
    let path = format!("/v1/adapters/{adapter}");
    operator.patch(&path, &json!({"hold_seconds": 0})).problem(403, "forbidden");
    operator.patch(&path, &json!({"hold_seconds": 7200})).expect(200);
    operator.delete(&path).problem(409, "approval-needed");
    let recover = format!("{}/recover", object(&id));
    let viewer = api.service("objects hold viewer", &[("viewer", None)]);
    viewer.with("if-match", "*").send("POST", &recover, None).problem(403, "forbidden");
    api.send("POST", &recover, None).problem(428, "precondition-required");
    api.with("if-match", "\"99\"").send("POST", &recover, None).problem(412, "stale");
    let etag = api.get(&object(&id)).header("etag").to_owned();
    let recovered: ManagedObject = api.with("if-match", &etag).send("POST", &recover, None).read(200);
    assert_eq!((&*recovered.state, recovered.held_until), ("PreActive", None));
    assert_eq!(material(client.call(get(&id)).unwrap()), [3; 16]);
    api.with("if-match", "*").send("POST", &recover, None).problem(409, "state");

    // Its name is taken meanwhile.
    api.delete(&object(&id)).expect(200);
    register(&mut client, register_aes(&[4; 16], [name("held")]));
    api.with("if-match", "*").send("POST", &recover, None).problem(409, "exists");
}

#[test]
fn roles_and_scopes_decide_who_sees_and_destroys_objects() {
    let api = administrator();
    let (own, mut client) = adapter(&api, "objects role own");
    let (other, mut elsewhere) = adapter(&api, "objects role other");
    let mine = register(&mut client, register_aes(&[5; 16], []));
    let theirs = register(&mut elsewhere, register_aes(&[6; 16], []));
    let viewer = api.service("objects viewer", &[("viewer", None)]);
    viewer.get(&object(&mine)).expect(200);
    viewer.get(&objects(&own)).expect(200);
    viewer.delete(&object(&mine)).problem(403, "forbidden");
    let missing = uuid::Uuid::new_v4().to_string();
    // Whoever may destroy nothing does not learn what there is.
    viewer.with("if-match", "*").send("DELETE", &object(&missing), None).problem(403, "forbidden");

    let scoped_viewer = api.service("objects scoped viewer", &[("viewer", Some(&own))]);
    let star = scoped_viewer.with("if-match", "*");
    for id in [&mine, &theirs, &missing] {
        star.send("DELETE", &object(id), None).problem(403, "forbidden");
    }
    let operator = api.service("objects operator", &[("operator", Some(&own))]);
    let star = operator.with("if-match", "*");
    let unknown = operator.get(&object(&missing)).problem(404, "not-found");
    for reply in [
        operator.get(&object(&theirs)),
        star.send("DELETE", &object(&theirs), None),
        star.send("POST", &format!("{}/recover", object(&theirs)), None),
    ] {
        assert_eq!(reply.problem(404, "not-found").detail, unknown.detail, "like one that is not there");
    }
    operator.get(&objects(&other)).problem(404, "not-found");
    operator.delete(&object(&mine)).expect(200);
    api.get("/v1/objects/not-a-uuid").problem(404, "not-found");
    server().stranger().get(&object(&mine)).problem(401, "unauthenticated");
    // With its adapter an object is out of sight.
    api.delete(&object(&theirs)).expect(200);
    api.delete(&format!("/v1/adapters/{other}")).expect(204);
    api.get(&object(&theirs)).problem(404, "not-found");
}

#[test]
fn activity_is_the_adapters_part_of_the_audit_log_newest_first() {
    let api = administrator();
    let (own, mut client) = adapter(&api, "activity own");
    let (other, mut elsewhere) = adapter(&api, "activity other");
    let id = register(&mut client, register_aes(&[7; 16], []));
    client.call(get(&id)).unwrap();
    client.call(get(&uuid::Uuid::new_v4().to_string())).unwrap_err();
    register(&mut elsewhere, register_aes(&[8; 16], []));
    let path = format!("/v1/adapters/{own}/activity");
    let read = |query: &str| -> Vec<Activity> {
        let found = api.get(&format!("{path}?{query}")).expect(200);
        serde_json::from_value(found["items"].clone()).unwrap()
    };
    let operations = |query: &str| -> Vec<String> {
        read(query).into_iter().filter(|one| one.kind == "request").map(|one| one.operation).collect()
    };
    assert_eq!(operations(""), ["Get", "Get", "Register", "DiscoverVersions"]);
    assert_eq!(operations("outcome=failure"), ["Get"]);
    assert_eq!(operations("action=Reg*"), ["Register"]);
    assert_eq!(operations(&format!("object={id}")), ["Get", "Register"]);
    assert_eq!(operations("until=2020-01-01T00:00:00Z"), [""; 0]);
    let added = read("action=certificate.register");
    let outcomes: Vec<_> = added.iter().map(|one| (one.kind.as_str(), one.outcome.as_str())).collect();
    assert_eq!(outcomes, [("admin", "success"), ("admin", "begun")]);
    assert_eq!(read("action=certificate.register&outcome=ended").len(), 1);
    assert!(read("").windows(2).all(|pair| pair[0].sequence > pair[1].sequence));

    // Pages, of which reading makes more.
    let first = api.get(&format!("{path}?limit=2&action=Get")).expect(200);
    let next = first["next_page"].as_str().unwrap();
    let second = api.get(&format!("{path}?limit=2&action=Get&page={next}")).expect(200);
    assert_eq!((first["items"].as_array().unwrap().len(), second["items"].as_array().unwrap().len()), (2, 0));

    for query in ["since=now", "limit=0", "actor=x"] {
        api.get(&format!("{path}?{query}")).problem(422, "invalid");
    }
    api.get(&format!("{path}?page=zzz")).problem(400, "malformed");
    let auditor = api.service("activity auditor", &[("auditor", Some(&own))]);
    auditor.get(&path).expect(200);
    auditor.get(&format!("/v1/adapters/{other}/activity")).problem(404, "not-found");
    api.service("activity viewer", &[("viewer", None)]).get(&path).problem(403, "forbidden");
}
