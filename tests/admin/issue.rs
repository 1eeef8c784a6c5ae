//! Certificates from the server's own authority: signed requests, and PKCS#12 files.

use std::{path::Path, process::Command};

use base64ct::{Base64, Encoding as _};
use keystead::admin::model::{Issued, SignedCertificate};
use rcgen::{BasicConstraints, IsCa, KeyPair, SigningKey as _};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::json;
use yasna::models::ObjectIdentifier;

use super::{
    administrator, all,
    client::{Holder, params},
    server,
};
use crate::harness::hsm::wait_until;

fn sign(adapter: &str) -> String {
    format!("/v1/adapters/{adapter}/certificates/sign")
}

fn issue(adapter: &str) -> String {
    format!("/v1/adapters/{adapter}/certificates/issue")
}

/// Runs the openssl command in `folder`; its standard output where it succeeds, its complaint where not.
pub fn openssl(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output();
    let output = output.expect("these tests need the openssl command: apt install openssl");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The same request as another tool would have made it: with another version, which no standard has.
fn of_version(request: &[u8], version: u8, key: &KeyPair) -> Vec<u8> {
    let info = yasna::parse_der(request, |r| {
        r.read_sequence(|r| {
            let info = r.next().read_der()?;
            r.next().read_der()?;
            r.next().read_der()?;
            Ok(info)
        })
    });
    let parts = yasna::parse_der(&info.unwrap(), |r| {
        r.read_sequence(|r| {
            assert_eq!(r.next().read_u8()?, 0);
            Ok([r.next().read_der()?, r.next().read_der()?, r.next().read_der()?])
        })
    });
    let info = yasna::construct_der(|w| {
        w.write_sequence(|w| {
            w.next().write_u8(version);
            for part in parts.unwrap() {
                w.next().write_der(&part);
            }
        });
    });
    let signature = key.sign(&info).unwrap();
    yasna::construct_der(|w| {
        w.write_sequence(|w| {
            w.next().write_der(&info);
            w.next().write_sequence(|w| {
                w.next().write_oid(&ObjectIdentifier::from_slice(&[1, 2, 840, 10045, 4, 3, 2]));
            });
            w.next().write_bitvec_bytes(&signature, signature.len() * 8);
        });
    })
}

#[test]
fn a_signed_request_opens_connections_at_once() {
    let (api, adapter) = (administrator(), administrator().adapter("sign live"));
    let key = KeyPair::generate().unwrap();
    let mut wishes = params("storage-1");
    wishes.subject_alt_names = vec![rcgen::SanType::DnsName("storage-1.example.com".try_into().unwrap())];
    let request = wishes.serialize_request(&key).unwrap().pem().unwrap();
    let made = api.post(&sign(&adapter), &json!({"request": request, "name": "cluster 1", "days": 90}));
    let place = made.header("location").to_owned();
    let signed: SignedCertificate = made.read(201);
    assert_eq!((signed.registered, signed.rule), (true, None));
    assert!(signed.not_granted.contains(&"subjectAltName".to_owned()), "{:?}", signed.not_granted);
    assert_eq!(signed.ca_pem, api.get("/v1/server/ca.pem").text);
    let read = api.get(&place).expect(200);
    assert_eq!(read["name"], "cluster 1");
    // Of whole days that are left there are 90 within the second in which it was issued.
    let days_left = read["days_left"].as_i64().unwrap();
    assert!((89..=90).contains(&days_left), "{days_left}");
    let connection = Holder::with(&signed.certificate_pem, key).connect(server()).expect("it works at once");
    drop(connection);

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), &signed.ca_pem).unwrap();
    std::fs::write(folder.path().join("cert.pem"), &signed.certificate_pem).unwrap();
    openssl(folder.path(), &["verify", "-x509_strict", "-CAfile", "ca.pem", "-purpose", "sslclient", "cert.pem"])
        .unwrap();
}

#[test]
fn requests_come_in_every_form_that_clients_send() {
    let (api, adapter) = (administrator(), administrator().adapter("sign forms"));
    let new = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let request = params(name).serialize_request(&key).unwrap();
        (request.der().to_vec(), request.pem().unwrap(), key)
    };
    let (der, pem, _) = new("form-pem");
    let old = pem.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST");
    let lines: String = Base64::encode_string(&der)
        .as_bytes()
        .chunks(64)
        .map(|line| format!("{}\r\n", String::from_utf8_lossy(line)))
        .collect();
    for request in [pem, old, Base64::encode_string(&der), lines] {
        api.post(&sign(&adapter), &json!({"request": request})).expect(201);
    }
    // NetApp Element does not send the version 0 that the standard wants.
    for version in [1, 2, 5, 127] {
        let (der, _, key) = new("form-version");
        let odd = of_version(&der, version, &key);
        let signed: SignedCertificate =
            api.post(&sign(&adapter), &json!({"request": Base64::encode_string(&odd)})).read(201);
        assert!(Holder::with(&signed.certificate_pem, key).connect(server()).is_some(), "version {version}");
    }
}

#[test]
fn requests_that_are_not_sound_are_refused() {
    let (api, adapter) = (administrator(), administrator().adapter("sign bad"));
    let key = KeyPair::generate().unwrap();
    let good = params("sign-bad").serialize_request(&key).unwrap();
    let pem = good.pem().unwrap();
    let mut forged = good.der().to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let mut ca = params("sign-bad-ca");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = ca.serialize_request(&key).unwrap().pem().unwrap();
    let encode = |der: &[u8]| Base64::encode_string(der);
    for (field, body) in [
        ("request", json!({"request": ""})),
        ("request", json!({"request": "hello"})),
        ("request", json!({"request": encode(b"hello")})),
        ("request", json!({"request": encode(&good.der()[..40])})),
        ("request", json!({"request": encode(&forged)})),
        ("request", json!({"request": ca})),
        ("request", json!({"request": Holder::new("no request").pem})),
        ("days", json!({"request": pem, "days": 0})),
        ("days", json!({"request": pem, "days": 1826})),
        ("name", json!({"request": pem, "name": "a"})),
    ] {
        assert_eq!(api.post(&sign(&adapter), &body).problem(422, "invalid").members["field"], field, "{body}");
    }
    api.post(&sign(&adapter), &json!({"name": "no request"})).problem(422, "invalid");
    assert!(all(&api, &format!("/v1/adapters/{adapter}/certificates"), 10).is_empty());
}

#[test]
fn an_issued_file_opens_with_its_password_only_and_its_holder_gets_in() {
    let (api, adapter) = (administrator(), administrator().adapter("issue live"));
    let password = "correct horse battery 42";
    let body = json!({"common_name": "vcenter-1", "password": password, "key": "ecdsa-p256", "days": 365});
    let once = api.with("idempotency-key", "issue once 1");
    let made = once.post(&issue(&adapter), &body);
    let issued: Issued = made.read(201);
    assert!(!made.text.contains(password));
    once.post(&issue(&adapter), &body).problem(409, "not-repeatable");
    assert_eq!(all(&api, &format!("/v1/adapters/{adapter}/certificates"), 10).len(), 1, "it was made once");

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vcenter.p12"), Base64::decode_vec(&issued.pkcs12).unwrap()).unwrap();
    let open = |password: &str, what: &[&str]| {
        let password = format!("pass:{password}");
        openssl(folder.path(), &[&["pkcs12", "-in", "vcenter.p12", "-passin", &password], what].concat())
    };
    open("correct horse battery 43", &["-noout"]).unwrap_err();
    let key = open(password, &["-nocerts", "-nodes"]).unwrap();
    let certificate = open(password, &["-clcerts", "-nokeys"]).unwrap();
    let authority = open(password, &["-cacerts", "-nokeys"]).unwrap();
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    assert_eq!(der(&authority), der(&issued.ca_pem));
    assert_eq!(keystead::trust::fingerprint(&der(&certificate)).to_string(), issued.certificate.info.fingerprint);
    let begin = key.find("-----BEGIN").unwrap();
    let holder = Holder::with(
        &certificate[certificate.find("-----BEGIN").unwrap()..],
        KeyPair::from_pem(&key[begin..]).unwrap(),
    );
    assert!(holder.connect(server()).is_some(), "it works at once");

    // Neither password nor file stay behind on the server.
    let file = Base64::decode_vec(&issued.pkcs12).unwrap();
    let secrets =
        [password.as_bytes(), &file[file.len() / 2..file.len() / 2 + 32], &issued.pkcs12.as_bytes()[500..560]];
    search(server().dir(), &secrets);
}

/// No file of the server has any of `secrets` in it.
fn search(folder: &Path, secrets: &[&[u8]]) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            search(&entry.path(), secrets);
        } else if let Ok(content) = std::fs::read(entry.path()) {
            for secret in secrets {
                let found = content.windows(secret.len()).any(|part| part == *secret);
                assert!(!found, "{} has a secret in it", entry.path().display());
            }
        }
    }
}

#[test]
fn what_was_issued_for_one_adapter_never_acts_as_another_by_a_rule() {
    let (api, first, second) =
        (administrator(), administrator().adapter("issue a"), administrator().adapter("issue b"));
    let signed = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let request = params(name).serialize_request(&key).unwrap().pem().unwrap();
        let signed: SignedCertificate = api.post(&sign(&first), &json!({"request": request})).read(201);
        Holder::with(&signed.certificate_pem, key)
    };
    let register = |adapter: &str, holder: &Holder| {
        api.post(&format!("/v1/adapters/{adapter}/certificates"), &json!({"pem": holder.pem}))
    };
    let place =
        |adapter: &str, holder: &Holder| format!("/v1/adapters/{adapter}/certificates/{}", holder.fingerprint());
    let rule = |adapter: &str, name: &str| {
        api.post(&format!("/v1/adapters/{adapter}/rules"), &json!({"kind": "cn", "value": name})).expect(201)
    };
    let (holder, kept) = (signed("issue-bound-1"), signed("issue-bound-2"));
    // The registration goes, then somebody makes a rule for that name.
    api.delete(&place(&first, &holder)).expect(204);
    rule(&second, "issue-bound-1");
    assert!(holder.connect(server()).is_none(), "the rule is another adapter's");
    // In TLS 1.3 the client is told first.
    wait_until("it is counted", || server().page("/metrics").contains("reason=\"issued_for_another\""));
    // Those rules are nothing to it, so it can be registered again where it belongs; and where somebody means this very one.
    register(&first, &holder).expect(201);
    assert!(holder.connect(server()).is_some());
    // Nor when its adapter is gone.
    api.delete(&format!("/v1/adapters/{first}")).expect(204);
    rule(&second, "issue-bound-2");
    for holder in [&holder, &kept] {
        assert!(holder.connect(server()).is_none());
    }
    register(&second, &holder).expect(201);
    assert!(holder.connect(server()).is_some());
}

#[test]
fn a_certificate_that_a_rule_lets_in_as_before_is_removed_only_knowingly() {
    let (api, adapter) = (administrator(), administrator().adapter("issue covered"));
    let key = KeyPair::generate().unwrap();
    let request = params("issue-covered-1").serialize_request(&key).unwrap().pem().unwrap();
    let body = json!({"kind": "cn", "value": "issue-covered-1"});
    let rule = api.post(&format!("/v1/adapters/{adapter}/rules"), &body).expect(201)["id"].clone();
    let signed: SignedCertificate = api.post(&sign(&adapter), &json!({"request": request})).read(201);
    let holder = Holder::with(&signed.certificate_pem, key);
    let place = format!("/v1/adapters/{adapter}/certificates/{}", holder.fingerprint());
    let problem = api.delete(&place).problem(409, "state");
    assert_eq!(problem.members["rule"], rule);
    assert!(problem.detail.contains("although_covered"), "{}", problem.detail);
    api.get(&place).expect(200);
    api.send("DELETE", &format!("{place}?although_covered=perhaps"), None).problem(422, "invalid");
    api.send("DELETE", &format!("{place}?although_covered=false"), None).problem(409, "state");
    api.send("DELETE", &format!("{place}?although_covered=true"), None).expect(204);
    assert!(holder.connect(server()).is_some(), "as was said");
    // Without the rule nobody has to say anything.
    api.post(&format!("/v1/adapters/{adapter}/certificates"), &json!({"pem": holder.pem})).expect(201);
    api.delete(&format!("/v1/adapters/{adapter}/rules/{}", rule.as_str().unwrap())).expect(204);
    api.delete(&place).expect(204);
    assert!(holder.connect(server()).is_none());
}

#[test]
fn what_cannot_be_issued_is_refused() {
    let (api, adapter) = (administrator(), administrator().adapter("issue bad"));
    let good = "long enough 1";
    for (field, body) in [
        ("password", json!({"common_name": "x", "password": "short"})),
        ("password", json!({"common_name": "x", "password": "a".repeat(129)})),
        ("password", json!({"common_name": "x", "password": "nöt everywhere"})),
        ("common_name", json!({"common_name": "", "password": good})),
        ("common_name", json!({"common_name": "n".repeat(65), "password": good})),
        ("common_name", json!({"common_name": "a\u{0}b", "password": good})),
        ("name", json!({"common_name": "x", "password": good, "name": "a"})),
        ("days", json!({"common_name": "x", "password": good, "days": 0})),
    ] {
        let problem = api.post(&issue(&adapter), &body).problem(422, "invalid");
        assert_eq!(problem.members["field"], field, "{body}");
        assert!(!problem.detail.contains(good));
    }
    api.post(&issue(&adapter), &json!({"common_name": "x"})).problem(422, "invalid");
    api.post(&issue(&adapter), &json!({"common_name": "x", "password": good, "key": "rsa-1024"}))
        .problem(422, "invalid");
    assert!(all(&api, &format!("/v1/adapters/{adapter}/certificates"), 10).is_empty());
}

#[test]
fn roles_and_scopes_decide_for_whom_is_signed_and_issued() {
    let api = administrator();
    let (own, other) = (api.adapter("issue own"), api.adapter("issue other"));
    let key = KeyPair::generate().unwrap();
    let request = json!({"request": params("issue-role").serialize_request(&key).unwrap().pem().unwrap()});
    let file = json!({"common_name": "issue-role-2", "password": "long enough 1", "key": "ecdsa-p256"});
    let viewer = api.service("issue viewer", &[("viewer", None)]);
    let officer = api.service("issue officer", &[("security-officer", None)]);
    for api in [&viewer, &officer] {
        api.post(&sign(&own), &request).problem(403, "forbidden");
        api.post(&issue(&own), &file).problem(403, "forbidden");
    }
    let operator = api.service("issue operator", &[("operator", Some(&own))]);
    operator.post(&sign(&other), &request).problem(404, "not-found");
    operator.post(&issue(&other), &file).problem(404, "not-found");
    operator.post(&sign(&own), &request).expect(201);
    operator.post(&issue(&own), &file).expect(201);
    server().stranger().post(&issue(&own), &file).problem(401, "unauthenticated");
}
