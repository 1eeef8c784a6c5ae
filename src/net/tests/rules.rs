//! Certificates of authorities, own and other people's, by rule.

use std::time::Instant;

use rcgen::{SanType, string::Ia5String};
use rustls::version::TLS13;

use super::*;
use crate::{
    store::{AuthorityRow, Fingerprint, IssuedRow, RuleKind},
    trust::{BadAuthority, BadRule, RefusalReason, check_authority, rule_value},
};

/// A removal takes effect within a second; the rest is for a loaded machine.
const SOON: Duration = Duration::from_secs(3);

fn row(authority: &Authority) -> AuthorityRow {
    let der = authority.der.to_vec();
    AuthorityRow { fingerprint: fingerprint(&authority.der), name: "theirs".to_owned(), der, added_at: 0 }
}

fn rule_of(issuer: Option<&Authority>, adapter: AdapterId, kind: RuleKind, value: &str) -> CaRuleRow {
    let value = rule_value(kind, value).unwrap();
    let issuer = issuer.map(|issuer| fingerprint(&issuer.der));
    CaRuleRow { id: Uuid::new_v4(), adapter, issuer, kind, value, added_at: 0 }
}

fn rows(authorities: &[&Authority], ca_rules: Vec<CaRuleRow>) -> TrustRows {
    TrustRows {
        adapters: vec![adapter(ALICE), adapter(BOB)],
        authorities: authorities.iter().map(|authority| row(authority)).collect(),
        ca_rules,
        ..TrustRows::default()
    }
}

/// A client with a common name and these alternative names.
fn subject(common_name: &str, names: &[SanType]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.subject_alt_names = names.to_vec();
    params
}

fn ia5(text: &str) -> Ia5String {
    text.try_into().unwrap()
}

async fn who(server: &Running, holder: &Holder) -> Option<String> {
    let mut client = server.connect_with(server.client(Some(holder), &TLS13)).await.ok()?;
    client.call(b"who").await.ok().map(|name| String::from_utf8(name).unwrap())
}

#[tokio::test]
async fn each_kind_of_rule_lets_in_what_it_names_and_not_what_is_next_to_it() {
    let theirs = Authority::new();
    let cases = [
        (RuleKind::CommonName, "array-1", subject("array-1", &[]), subject("array-10", &[])),
        (
            RuleKind::Subject,
            "CN=array-1, O=Example\\, Inc.",
            subject("array-1", &[]),
            subject("array-1,O=Example\\, Inc.", &[]),
        ),
        (
            RuleKind::Dns,
            "Array-1.example.com",
            subject("x", &[SanType::DnsName(ia5("other.example.com")), SanType::DnsName(ia5("ARRAY-1.example.com"))]),
            subject("array-1.example.com", &[SanType::DnsName(ia5("array-1.example.com.evil.example"))]),
        ),
        (
            RuleKind::Uri,
            "spiffe://example.com/array-1",
            subject("x", &[SanType::URI(ia5("spiffe://example.com/array-1"))]),
            subject("x", &[SanType::URI(ia5("spiffe://example.com/ARRAY-1"))]),
        ),
        (
            RuleKind::Email,
            "array-1@Example.com",
            subject("x", &[SanType::Rfc822Name(ia5("array-1@EXAMPLE.com"))]),
            subject("array-1@example.com", &[SanType::Rfc822Name(ia5("array-1@example.com@evil.example"))]),
        ),
    ];
    for (kind, value, meant, near) in cases {
        let server =
            Running::start(rows(&[&theirs], vec![rule_of(Some(&theirs), BOB, kind, value)]), &[], limits()).await;
        assert_eq!(who(&server, &theirs.issue(&meant)).await.as_deref(), Some("b"), "{kind:?}");
        assert_eq!(who(&server, &theirs.issue(&near)).await, None, "{kind:?}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_rule_of_one_authority_is_nothing_to_certificates_of_another() {
    let (own, theirs, third) = (Authority::new(), Authority::new(), Authority::new());
    let client = subject("array-1", &[]);
    let own_rule = rule_of(None, ALICE, RuleKind::CommonName, "own-1");
    let their_rule = rule_of(Some(&theirs), BOB, RuleKind::CommonName, "array-1");
    let third_rule = rule_of(Some(&third), ALICE, RuleKind::CommonName, "third-1");
    let rows = rows(&[&theirs, &third], vec![own_rule, their_rule, third_rule]);
    let server = Running::start(rows, std::slice::from_ref(&own.der), limits()).await;
    assert_eq!(who(&server, &theirs.issue(&client)).await.as_deref(), Some("b"));
    for stranger in
        [own.issue(&client), third.issue(&client), theirs.issue(&subject("own-1", &[])), self_signed(&client)]
    {
        assert_eq!(who(&server, &stranger).await, None);
    }
    // An authority that calls itself as the right one does, and that authority's own certificate.
    assert_eq!(who(&server, &Authority::new().issue(&client)).await, None);
    server.stop().await;
}

#[tokio::test]
async fn certificates_for_servers_or_out_of_time_are_refused_by_every_authority() {
    let theirs = Authority::new();
    let rule = rule_of(Some(&theirs), BOB, RuleKind::CommonName, "array-1");
    let server = Running::start(rows(&[&theirs], vec![rule]), &[], limits()).await;
    let issue = |params: &CertificateParams| {
        let key = KeyPair::generate().unwrap();
        holder(params.signed_by(&key, &theirs.issuer).unwrap().der().clone(), &key)
    };
    let mut for_servers = subject("array-1", &[]);
    for_servers.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let (mut past, mut future) = (subject("array-1", &[]), subject("array-1", &[]));
    (past.not_before, past.not_after) = (rcgen::date_time_ymd(2000, 1, 1), rcgen::date_time_ymd(2001, 1, 1));
    (future.not_before, future.not_after) = (rcgen::date_time_ymd(2900, 1, 1), rcgen::date_time_ymd(2901, 1, 1));
    for params in [for_servers, past, future] {
        assert_eq!(who(&server, &issue(&params)).await, None);
    }
    assert_eq!(who(&server, &issue(&subject("array-1", &[]))).await.as_deref(), Some("b"));
    server.stop().await;
}

#[tokio::test]
async fn two_adapters_claimed_by_one_certificate_are_none() {
    let theirs = Authority::new();
    let client = theirs.issue(&subject("array-1", &[SanType::DnsName(ia5("array-1.example.com"))]));
    let by_name = rule_of(Some(&theirs), BOB, RuleKind::CommonName, "array-1");
    let by_dns = rule_of(Some(&theirs), ALICE, RuleKind::Dns, "array-1.example.com");
    let server = Running::start(rows(&[&theirs], vec![by_name.clone(), by_dns]), &[], limits()).await;
    assert_eq!(who(&server, &client).await, None);
    // Two rules for the same adapter agree.
    let by_dns = rule_of(Some(&theirs), BOB, RuleKind::Dns, "array-1.example.com");
    server.change(|rows| rows.ca_rules = vec![by_name, by_dns]);
    server.trust.refresh_now().unwrap();
    assert_eq!(who(&server, &client).await.as_deref(), Some("b"));
    // Registered is registered, whatever rules say.
    server.change(|rows| rows.certificates.push(registration(ALICE, &client)));
    server.trust.refresh_now().unwrap();
    assert_eq!(who(&server, &client).await.as_deref(), Some("a"));
    server.stop().await;
}

#[tokio::test]
async fn what_was_issued_for_one_adapter_no_rule_makes_act_as_another() {
    let own = Authority::new();
    let client = own.issue(&subject("array-1", &[]));
    let other = own.issue(&subject("array-1", &[]));
    let issued = |adapter| IssuedRow { fingerprint: fingerprint(client.der()), adapter, expires_at: i64::MAX };
    let bobs = rule_of(None, BOB, RuleKind::CommonName, "array-1");
    let start = TrustRows { issued: vec![issued(ALICE)], ..rows(&[], vec![bobs.clone()]) };
    let server = Running::start(start, std::slice::from_ref(&own.der), limits()).await;
    let reason = |server: &Running| {
        let identified = server.trust.current().identify(client.der(), &[], crate::trust::now());
        identified.map(|identity| identity.adapter).map_err(|refusal| refusal.reason)
    };
    assert_eq!(reason(&server), Err(RefusalReason::IssuedForAnother));
    assert_eq!(who(&server, &client).await, None);
    assert_eq!(who(&server, &other).await.as_deref(), Some("b"), "of whom nothing is known");
    // A rule of the adapter that it is for lets it in, whatever the other rule says.
    let alices = rule_of(None, ALICE, RuleKind::Subject, "CN=array-1,O=Example\\, Inc.");
    server.change(|rows| rows.ca_rules.push(alices));
    server.trust.refresh_now().unwrap();
    assert_eq!(who(&server, &client).await.as_deref(), Some("a"));
    assert_eq!(who(&server, &other).await, None, "two rules claim it");
    // With the adapter it is nobody's.
    server.change(|rows| rows.adapters.retain(|row| row.id != ALICE));
    server.trust.refresh_now().unwrap();
    assert_eq!(reason(&server), Err(RefusalReason::IssuedForAnother));
    // An operator who registers it with the other adapter means this very certificate.
    server.change(|rows| rows.certificates.push(registration(BOB, &client)));
    server.trust.refresh_now().unwrap();
    assert_eq!(who(&server, &client).await.as_deref(), Some("b"));
    server.stop().await;
}

#[tokio::test]
async fn a_connection_by_rule_ends_when_it_becomes_known_that_the_certificate_is_for_another_adapter() {
    let own = Authority::new();
    let client = own.issue(&subject("array-1", &[]));
    let start = rows(&[], vec![rule_of(None, BOB, RuleKind::CommonName, "array-1")]);
    let server = Running::start(start, std::slice::from_ref(&own.der), limits()).await;
    let mut connection = server.connect(&client).await;
    assert_eq!(connection.call(b"who").await.unwrap(), b"b");
    let issued = IssuedRow { fingerprint: fingerprint(client.der()), adapter: ALICE, expires_at: i64::MAX };
    server.change(|rows| rows.issued.push(issued));
    connection.sees_the_end().await;
    server.stop().await;
}

#[test]
fn the_rule_that_lets_a_certificate_in_without_registration_is_told() {
    let (own, theirs, between) = (Authority::new(), Authority::new(), Authority::new());
    let now = crate::trust::now();
    let rules = vec![
        rule_of(None, BOB, RuleKind::CommonName, "own-1"),
        rule_of(Some(&theirs), BOB, RuleKind::CommonName, "theirs-1"),
    ];
    let (by_own, by_theirs) = (rules[0].id, rules[1].id);
    let of_own = own.issue(&subject("own-1", &[])).der().clone();
    let issued = IssuedRow { fingerprint: fingerprint(&of_own), adapter: ALICE, expires_at: i64::MAX };
    let trust = |issued| {
        let rows = TrustRows { issued, ..rows(&[&theirs], rules.clone()) };
        crate::trust::Trust::new(rows, crate::trust::own_ca_verifier(std::slice::from_ref(&own.der)).unwrap())
    };
    let known = trust(vec![issued]);
    assert_eq!(known.rule_for(&of_own, BOB, now), None, "it is for another adapter");
    let trust = trust(Vec::new());
    assert_eq!(trust.rule_for(&of_own, BOB, now), Some(by_own));
    assert_eq!(trust.rule_for(&of_own, ALICE, now), None);
    assert!(trust.is_own(&of_own, now) && !trust.is_own(theirs.issue(&subject("own-1", &[])).der(), now));
    let of_theirs = theirs.issue(&subject("theirs-1", &[])).der().clone();
    assert_eq!(trust.rule_for(&of_theirs, BOB, now), Some(by_theirs));
    // Its holder may have a chain to the authority; a self-signed one has none.
    assert_eq!(trust.rule_for(between.issue(&subject("theirs-1", &[])).der(), BOB, now), Some(by_theirs));
    assert_eq!(trust.rule_for(between.issue(&subject("own-1", &[])).der(), BOB, now), None);
    assert_eq!(trust.rule_for(self_signed(&subject("theirs-1", &[])).der(), BOB, now), None);
    let mut past = subject("own-1", &[]);
    (past.not_before, past.not_after) = (rcgen::date_time_ymd(2000, 1, 1), rcgen::date_time_ymd(2001, 1, 1));
    assert_eq!(trust.rule_for(own.issue(&past).der(), BOB, now), None);
}

#[tokio::test]
async fn removing_a_rule_or_an_authority_cuts_what_it_let_in_within_a_second() {
    let (theirs, others) = (Authority::new(), Authority::new());
    let rules = || {
        vec![
            rule_of(Some(&theirs), BOB, RuleKind::CommonName, "array-1"),
            rule_of(Some(&others), ALICE, RuleKind::CommonName, "array-2"),
        ]
    };
    let removals: [fn(&mut TrustRows); 2] =
        [|rows| drop(rows.ca_rules.remove(0)), |rows| drop(rows.authorities.remove(0))];
    for removal in removals {
        let server = Running::start(rows(&[&theirs, &others], rules()), &[], limits()).await;
        let mut cut = server.connect(&theirs.issue(&subject("array-1", &[]))).await;
        let mut kept = server.connect(&others.issue(&subject("array-2", &[]))).await;
        assert_eq!(cut.call(b"who").await.unwrap(), b"b");
        // By another process: nobody calls `refresh_now`.
        let start = Instant::now();
        server.change(removal);
        cut.sees_the_end().await;
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        assert_eq!(kept.call(b"who").await.unwrap(), b"a");
        server.stop().await;
    }
}

#[tokio::test]
async fn an_authority_whose_certificate_is_none_lets_nobody_in_and_harms_no_other() {
    let theirs = Authority::new();
    let rule = rule_of(Some(&theirs), BOB, RuleKind::CommonName, "array-1");
    let mut rows = rows(&[&theirs], vec![rule]);
    rows.authorities.insert(
        0,
        AuthorityRow { fingerprint: Fingerprint([1; 32]), name: String::new(), der: vec![0x30, 0], added_at: 0 },
    );
    let server = Running::start(rows, &[], limits()).await;
    assert_eq!(who(&server, &theirs.issue(&subject("array-1", &[]))).await.as_deref(), Some("b"));
    server.stop().await;
}

#[test]
fn an_authority_is_one_that_may_issue_and_is_not_ours() {
    let (own, theirs) = (Authority::new(), Authority::new());
    let own_ca = std::slice::from_ref(&own.der);
    check_authority(&theirs.der, own_ca).unwrap();
    assert!(matches!(check_authority(&own.der, own_ca), Err(BadAuthority::OwnAuthority)));
    assert!(matches!(check_authority(self_signed(&params("client")).der(), own_ca), Err(BadAuthority::NotAnAuthority)));
    assert!(matches!(check_authority(b"hello", own_ca), Err(BadAuthority::Malformed)));
    let trailing = [theirs.der.as_ref(), b"x"].concat();
    assert!(matches!(check_authority(&trailing, own_ca), Err(BadAuthority::Malformed)));
    let mut signs_nothing = params("authority");
    signs_nothing.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    signs_nothing.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    let der = self_signed(&signs_nothing);
    assert!(matches!(check_authority(der.der(), own_ca), Err(BadAuthority::NotAnAuthority)));
}

#[test]
fn a_rule_has_a_value_that_certificates_can_have() {
    use RuleKind as K;
    for (kind, text, stored) in [
        (K::CommonName, "Array 1", "Array 1"),
        (K::Subject, "cn=a, o=b", "CN=a,O=b"),
        (K::Dns, "A.Example.COM", "a.example.com"),
        (K::Dns, "*.example.com", "*.example.com"),
        (K::Uri, "urn:uuid:1", "urn:uuid:1"),
        (K::Email, "A.b@Example.COM", "A.b@example.com"),
    ] {
        assert_eq!(rule_value(kind, text).as_deref(), Ok(stored));
    }
    let long = format!("urn:{}", "x".repeat(2048));
    for (kind, text, error) in [
        (K::CommonName, "", BadRule::CommonName),
        (K::CommonName, &"x".repeat(65), BadRule::CommonName),
        (K::CommonName, "a\nb", BadRule::CommonName),
        (K::Subject, "array-1", BadRule::Subject),
        (K::Dns, "", BadRule::Dns),
        (K::Dns, "a b", BadRule::Dns),
        (K::Dns, "*", BadRule::Dns),
        (K::Uri, "array-1", BadRule::Uri),
        (K::Uri, "x: y", BadRule::Uri),
        (K::Uri, &long, BadRule::Uri),
        (K::Email, "array-1", BadRule::Email),
        (K::Email, "@example.com", BadRule::Email),
        (K::Email, "a@b@c", BadRule::Email),
        (K::Email, "a b@c", BadRule::Email),
    ] {
        assert_eq!(rule_value(kind, text), Err(error), "{text}");
    }
}
