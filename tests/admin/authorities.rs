//! `/v1/authorities`.

use keystead::admin::model::Authority as Shown;
use serde_json::json;

use super::{
    administrator, all,
    client::{Authority, Holder, params},
    server,
};

const PATH: &str = "/v1/authorities";

#[test]
fn an_authority_is_added_read_and_removed_when_no_rule_names_it() {
    let (api, adapter) = (administrator(), administrator().adapter("authorities life"));
    let authority = Authority::new("a site's CA");
    let made = api.post(PATH, &json!({"name": "site", "pem": authority.pem}));
    let place = made.header("location").to_owned();
    let shown: Shown = made.read(201);
    assert_eq!((&*shown.info.subject, shown.rules), ("CN=a site's CA", 0));
    let holder = authority.issue(&params("authorities-life"));
    assert!(holder.connect(server()).is_none(), "by itself it lets nobody in");

    let body = json!({"issuer": shown.info.fingerprint, "kind": "cn", "value": "authorities-life"});
    let rule = api.post(&format!("/v1/adapters/{adapter}/rules"), &body);
    let rule = rule.header("location").to_owned();
    assert!(holder.connect(server()).is_some());
    assert_eq!(api.get(&place).read::<Shown>(200).rules, 1);
    assert_eq!(api.delete(&place).problem(409, "state").members["rules"], 1);
    api.delete(&rule).expect(204);
    api.delete(&place).expect(204);
    api.get(&place).problem(404, "not-found");
    api.delete(&place).problem(404, "not-found");
}

#[test]
fn what_cannot_be_an_authority_of_others_is_refused() {
    let api = administrator();
    let (one, two) = (Authority::new("authorities one"), Authority::new("authorities two"));
    let own = api.get("/v1/server/ca.pem").text;
    let mut ended = params("ended");
    ended.not_after = rcgen::date_time_ymd(2021, 1, 1);
    ended.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    for (field, body) in [
        ("name", json!({"name": "a", "pem": one.pem})),
        ("pem", json!({"name": "empty", "pem": ""})),
        ("pem", json!({"name": "two", "pem": format!("{}{}", one.pem, two.pem)})),
        ("pem", json!({"name": "own", "pem": own})),
        ("pem", json!({"name": "leaf", "pem": Holder::new("leaf").pem})),
        ("pem", json!({"name": "ended", "pem": Holder::of(&ended).pem})),
    ] {
        assert_eq!(api.post(PATH, &body).problem(422, "invalid").members["field"], field, "{body}");
    }
    api.post(PATH, &json!({"name": "once", "pem": one.pem})).expect(201);
    api.post(PATH, &json!({"name": "twice", "pem": one.pem})).problem(409, "exists");
    api.get(&format!("{PATH}/abc")).problem(404, "not-found");
}

#[test]
fn roles_decide_who_manages_authorities_and_pages_join() {
    let api = administrator();
    let (viewer, operator) =
        (api.service("auth viewer", &[("viewer", None)]), api.service("auth operator", &[("operator", None)]));
    let officer = api.service("auth officer", &[("security-officer", None)]);
    let adapter = api.adapter("authorities scope");
    let scoped = api.service("auth scoped", &[("operator", Some(&adapter))]);
    let new = |name: &str| json!({"name": name, "pem": Authority::new(name).pem});
    viewer.post(PATH, &new("roles 0")).problem(403, "forbidden");
    operator.post(PATH, &new("roles 0")).problem(403, "forbidden");
    scoped.get(PATH).problem(403, "forbidden");
    server().stranger().get(PATH).problem(401, "unauthenticated");
    let places: Vec<_> = ["roles 1", "roles 2", "roles 3"]
        .iter()
        .map(|name| officer.post(PATH, &new(name)).header("location").to_owned())
        .collect();
    viewer.get(&places[0]).expect(200);
    viewer.delete(&places[0]).problem(403, "forbidden");
    for limit in [1, 2, 1000] {
        let found = all(&viewer, PATH, limit);
        let names: Vec<_> = found.iter().filter_map(|item| item["name"].as_str()).collect();
        assert_eq!(names.iter().filter(|name| name.starts_with("roles ")).count(), 3);
        assert!(names.is_sorted());
    }
    officer.delete(&places[0]).expect(204);
}
