//! `/v1/adapters/{id}/rules`: certificates that authorities issued, let in by what they say.

use keystead::admin::model::{Rule, RuleKind, SignedCertificate};
use rcgen::{CertificateParams, KeyPair, SanType, string::Ia5String};
use serde_json::json;

use super::{
    administrator, all,
    client::{Authority, Holder, is_cut, params},
    server,
};
use crate::harness::api::Api;

fn path(adapter: &str) -> String {
    format!("/v1/adapters/{adapter}/rules")
}

fn add_authority(api: &Api, name: &str, authority: &Authority) -> String {
    let made = api.post("/v1/authorities", &json!({"name": name, "pem": authority.pem})).expect(201);
    made["fingerprint"].as_str().unwrap().to_owned()
}

/// A request for a certificate with this common name, and its key.
fn request(common_name: &str) -> (String, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let pem = params(common_name).serialize_request(&key).unwrap().pem().unwrap();
    (pem, key)
}

#[test]
fn a_rule_lets_in_certificates_of_the_own_authority_until_it_is_removed() {
    let (api, adapter) = (administrator(), administrator().adapter("rules own"));
    let sign = format!("/v1/adapters/{adapter}/certificates/sign");
    let (pem, key) = request("rules-own-1");
    let body = json!({"request": pem, "register": false});
    assert_eq!(api.post(&sign, &body).problem(422, "invalid").members["field"], "register", "nothing covers it yet");

    let made = api.post(&path(&adapter), &json!({"kind": "cn", "value": "rules-own-1"}));
    let place = made.header("location").to_owned();
    let rule: Rule = made.read(201);
    assert_eq!((rule.kind, &*rule.value, rule.issuer), (RuleKind::Cn, "rules-own-1", None));
    assert_eq!(place, format!("{}/{}", path(&adapter), rule.id));
    let signed: SignedCertificate = api.post(&sign, &body).read(201);
    assert_eq!((signed.registered, signed.rule), (false, Some(rule.id)));
    let holder = Holder::with(&signed.certificate_pem, key);
    let connection = holder.connect(server()).expect("the rule lets it in");
    assert!(all(&api, &format!("/v1/adapters/{adapter}/certificates"), 10).is_empty());

    api.get(&place).expect(200);
    api.delete(&place).expect(204);
    is_cut(connection);
    assert!(holder.connect(server()).is_none());
    api.get(&place).problem(404, "not-found");
    api.delete(&place).problem(404, "not-found");
}

#[test]
fn rules_of_every_kind_let_in_certificates_of_another_authority_and_no_others() {
    let (api, adapter) = (administrator(), administrator().adapter("rules kinds"));
    let (authority, stranger) = (Authority::new("rules CA"), Authority::new("rules CA"));
    let issuer = add_authority(&api, "rules kinds", &authority);
    let ia5 = |text: &str| Ia5String::try_from(text).unwrap();
    let with = |common_name: &str, san: Option<SanType>| -> CertificateParams {
        let mut params = params(common_name);
        params.subject_alt_names.extend(san);
        params
    };
    for (kind, value, good, bad) in [
        ("cn", "array-1", with("array-1", None), with("array-2", None)),
        ("subject", "cn = array-3", with("array-3", None), with("array-3x", None)),
        (
            "dns",
            "Array-1.example.com",
            with("x", Some(SanType::DnsName(ia5("array-1.example.com")))),
            with("array-1.example.com", Some(SanType::DnsName(ia5("array-1.example.com.evil.example")))),
        ),
        (
            "uri",
            "spiffe://example.com/array-1",
            with("x", Some(SanType::URI(ia5("spiffe://example.com/array-1")))),
            with("x", Some(SanType::URI(ia5("spiffe://example.com/array-2")))),
        ),
        (
            "email",
            "array-1@example.com",
            with("x", Some(SanType::Rfc822Name(ia5("array-1@example.com")))),
            with("x", Some(SanType::Rfc822Name(ia5("array-2@example.com")))),
        ),
    ] {
        assert!(authority.issue(&good).connect(server()).is_none(), "{kind}: there is no rule yet");
        let rule: Rule = api.post(&path(&adapter), &json!({"issuer": issuer, "kind": kind, "value": value})).read(201);
        assert_eq!(rule.issuer.as_deref(), Some(&*issuer));
        assert!(authority.issue(&good).connect(server()).is_some(), "{kind}");
        assert!(authority.issue(&bad).connect(server()).is_none(), "{kind}");
        assert!(stranger.issue(&good).connect(server()).is_none(), "{kind}: of another authority of the same name");
    }
    assert_eq!(all(&api, &path(&adapter), 2).len(), 5);
}

#[test]
fn a_rule_maps_to_one_adapter_and_who_may_see_that_is_told_which() {
    let api = administrator();
    let (own, other) = (api.adapter("rules mine"), api.adapter("rules theirs"));
    let body = json!({"kind": "cn", "value": "rules-unique"});
    api.post(&path(&other), &body).expect(201);
    assert_eq!(api.post(&path(&own), &body).problem(409, "exists").members["adapter"], json!(other));
    let scoped = api.service("rules scoped", &[("operator", Some(&own))]);
    let problem = scoped.post(&path(&own), &body).problem(403, "forbidden");
    assert!(problem.members.get("adapter").is_none() && !problem.detail.contains("rules theirs"), "{problem:?}");
    api.post(&path(&other), &body).problem(409, "exists");

    // Nor does anybody take the clients of another adapter away by registering their certificates.
    let authority = Authority::new("rules-takeover");
    let issuer = add_authority(&api, "rules takeover", &authority);
    let victim = authority.issue(&params("rules-victim"));
    // Its chain may be whole only where it connects.
    let elsewhere = Authority::new("rules-elsewhere").issue(&params("rules-victim"));
    api.post(&path(&other), &json!({"issuer": issuer, "kind": "cn", "value": "rules-victim"})).expect(201);
    let certificates = format!("/v1/adapters/{own}/certificates");
    scoped.post(&certificates, &json!({"pem": victim.pem})).problem(409, "exists");
    scoped.post(&certificates, &json!({"pem": elsewhere.pem})).problem(409, "exists");
    api.post(&format!("/v1/adapters/{other}/certificates"), &json!({"pem": victim.pem})).expect(201);

    // Nor does anybody get a certificate that would act as another adapter.
    let (pem, _) = request("rules-unique");
    let sign = format!("/v1/adapters/{own}/certificates/sign");
    let problem = scoped.post(&sign, &json!({"request": pem})).problem(409, "exists");
    assert!(!problem.detail.contains("rules theirs"), "{}", problem.detail);
    let issue = format!("/v1/adapters/{own}/certificates/issue");
    let body = json!({"common_name": "rules-unique", "password": "long enough 1", "key": "ecdsa-p256"});
    scoped.post(&issue, &body).problem(409, "exists");
    assert!(all(&api, &format!("/v1/adapters/{own}/certificates"), 10).is_empty());
}

#[test]
fn values_that_no_certificate_can_have_are_refused() {
    let (api, adapter) = (administrator(), administrator().adapter("rules bad"));
    let unknown = "00".repeat(32);
    for (field, body) in [
        ("value", json!({"kind": "cn", "value": ""})),
        ("value", json!({"kind": "cn", "value": "n".repeat(65)})),
        ("value", json!({"kind": "cn", "value": "a\nb"})),
        ("value", json!({"kind": "cn", "value": "a\u{202e}b"})),
        ("value", json!({"kind": "subject", "value": "array-1"})),
        ("value", json!({"kind": "dns", "value": "array 1"})),
        ("value", json!({"kind": "uri", "value": "array-1"})),
        ("value", json!({"kind": "email", "value": "array-1"})),
        ("issuer", json!({"kind": "cn", "value": "array-1", "issuer": unknown})),
        ("issuer", json!({"kind": "cn", "value": "array-1", "issuer": "own"})),
    ] {
        assert_eq!(api.post(&path(&adapter), &body).problem(422, "invalid").members["field"], field, "{body}");
    }
    api.post(&path(&adapter), &json!({"kind": "ip", "value": "10.0.0.1"})).problem(422, "invalid");
    api.post(&path(&adapter), &json!({"kind": "cn"})).problem(422, "invalid");
    api.get(&format!("{}/not-a-uuid", path(&adapter))).problem(404, "not-found");
    assert!(all(&api, &path(&adapter), 10).is_empty());
}

#[test]
fn roles_and_scopes_decide_who_manages_rules() {
    let api = administrator();
    let (own, other) = (api.adapter("rules role own"), api.adapter("rules role other"));
    let theirs: Rule = api.post(&path(&other), &json!({"kind": "cn", "value": "rules-role-theirs"})).read(201);
    let viewer = api.service("rules viewer", &[("viewer", None)]);
    let operator = api.service("rules operator", &[("operator", Some(&own))]);
    let body = json!({"kind": "cn", "value": "rules-role-mine"});
    viewer.post(&path(&own), &body).problem(403, "forbidden");
    // A rule can name the clients of another adapter too, so it takes a role for all of them.
    operator.post(&path(&own), &body).problem(403, "forbidden");
    operator.post(&path(&other), &body).problem(403, "forbidden");
    let mine: Rule = api.service("rules everywhere", &[("operator", None)]).post(&path(&own), &body).read(201);
    let place = format!("{}/{}", path(&own), mine.id);
    viewer.get(&place).expect(200);
    viewer.delete(&place).problem(403, "forbidden");
    for reply in [
        operator.get(&path(&other)),
        operator.get(&format!("{}/{}", path(&other), theirs.id)),
        operator.delete(&format!("{}/{}", path(&other), theirs.id)),
        operator.get(&format!("{}/{}", path(&own), theirs.id)),
        operator.delete(&format!("{}/{}", path(&own), theirs.id)),
    ] {
        reply.problem(404, "not-found");
    }
    operator.delete(&place).expect(204);
    server().stranger().get(&path(&own)).problem(401, "unauthenticated");
}
