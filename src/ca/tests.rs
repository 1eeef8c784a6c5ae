use std::{path::Path, process::Command, sync::Arc};

use hal::RootKeys as _;
use x509_parser::prelude::FromDer as _;
use yasna::{Tag, models::ObjectIdentifier};

use super::*;

fn now() -> Timestamp {
    Timestamp::now()
}

fn authority(kind: KeyKind) -> CertificateAuthority {
    CertificateAuthority::create(PrivateKey::generate(kind).unwrap(), now()).unwrap()
}

fn names(texts: &[&str]) -> Vec<SubjectAltName> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Runs the openssl command in `folder`; its standard output where it succeeds, its complaint where not.
fn openssl(folder: &Path, arguments: &str) -> Result<String, String> {
    let output = Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output();
    let output = output.expect("these tests need the openssl command: apt install openssl");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// A request as `openssl req` would never make it: any version, and a subject with repeated and multi-valued parts.
fn odd_request(key: &PrivateKey, version: u8) -> (Vec<u8>, Vec<u8>) {
    let parts: [&[(u64, &str)]; 7] = [
        &[(6, "US")],
        &[(8, "California")],
        &[(7, "San Jose")],
        &[(10, "Storage")],
        &[(11, "First unit")],
        &[(11, "Second unit")],
        &[(3, "hqrj"), (5, "17")],
    ];
    let subject = der::sequence(|w| {
        for part in parts {
            w.next().write_set_of(|w| {
                for (attribute, value) in part {
                    w.next().write_sequence(|w| {
                        w.next().write_oid(&ObjectIdentifier::from_slice(&[2, 5, 4, *attribute]));
                        w.next().write_printable_string(value);
                    });
                }
            });
        }
    });
    // It asks to become an authority, and for an extension that nobody knows.
    let wishes = der::sequence(|w| {
        w.next().write_sequence(|w| {
            w.next().write_oid(&ObjectIdentifier::from_slice(&[2, 5, 29, 19]));
            w.next().write_bool(true);
            w.next().write_bytes(&[0x30, 0x03, 0x01, 0x01, 0xff]);
        });
        w.next().write_sequence(|w| {
            w.next().write_oid(&ObjectIdentifier::from_slice(&[1, 3, 6, 1, 4, 1, 789, 99]));
            w.next().write_bytes(b"\x05\x00");
        });
    });
    let info = der::sequence(|w| {
        w.next().write_u8(version);
        w.next().write_der(&subject);
        w.next().write_der(key.public());
        w.next().write_tagged_implicit(Tag::context(0), |w| {
            w.write_set_of(|w| {
                w.next().write_sequence(|w| {
                    w.next().write_oid(&ObjectIdentifier::from_slice(&[1, 2, 840, 113_549, 1, 9, 14]));
                    w.next().write_set_of(|w| w.next().write_der(&wishes));
                });
            });
        });
    });
    let signature = key.sign(&info).unwrap();
    (key.algorithm().join(&info, &signature), subject)
}

#[test]
fn openssl_verifies_every_certificate_of_both_kinds_of_authority() {
    for kind in [KeyKind::Rsa3072, KeyKind::EcdsaP256] {
        let folder = tempfile::tempdir().unwrap();
        let ca = authority(kind);
        let key = PrivateKey::generate(KeyKind::EcdsaP256).unwrap();
        let server = ca.issue_server(&key, &names(&["kms.example.com", "10.0.0.5", "fd00::5"]), now()).unwrap();
        let client = ca.issue_client(&key, "vcenter-1", now()).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("ca.pem", &ca.certificate().pem);
        write("server.pem", &server.pem);
        write("client.pem", &client.pem);
        let run = |arguments| openssl(folder.path(), arguments);

        run("verify -x509_strict -CAfile ca.pem -purpose sslserver -verify_hostname kms.example.com server.pem")
            .unwrap();
        run("verify -x509_strict -CAfile ca.pem -purpose sslserver -verify_ip 10.0.0.5 server.pem").unwrap();
        run("verify -x509_strict -CAfile ca.pem -purpose sslserver -verify_ip fd00::5 server.pem").unwrap();
        run("verify -x509_strict -CAfile ca.pem -purpose sslclient client.pem").unwrap();
        run("verify -CAfile ca.pem -purpose sslclient server.pem").unwrap_err();
        run("verify -CAfile ca.pem -purpose sslserver client.pem").unwrap_err();
        run("verify -CAfile ca.pem -verify_hostname other.example.com server.pem").unwrap_err();

        let shown = describe(&server.der).unwrap();
        assert_eq!(shown.common_name, "kms.example.com");
        assert_eq!(shown.alternative_names, names(&["kms.example.com", "10.0.0.5", "fd00::5"]));
        let shown = run("x509 -in server.pem -noout -fingerprint -sha256").unwrap();
        assert!(shown.trim_end().ends_with(&Thumbprints::of(&server.der).sha256), "{shown}");
        let shown = run("x509 -in server.pem -noout -fingerprint -sha1").unwrap();
        assert!(shown.trim_end().ends_with(&Thumbprints::of(&server.der).sha1), "{shown}");
    }
}

#[test]
fn a_certificate_of_another_authority_does_not_verify() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (authority(KeyKind::EcdsaP256), authority(KeyKind::EcdsaP256));
    let key = PrivateKey::generate(KeyKind::EcdsaP256).unwrap();
    std::fs::write(folder.path().join("ca.pem"), ours.certificate().pem).unwrap();
    std::fs::write(folder.path().join("client.pem"), other.issue_client(&key, "mallory", now()).unwrap().pem).unwrap();
    openssl(folder.path(), "verify -CAfile ca.pem client.pem").unwrap_err();
}

#[test]
fn an_authority_comes_back_from_its_files_but_not_with_another_key() {
    let ca = authority(KeyKind::EcdsaP256);
    let pem = ca.certificate().pem;
    let key = |ca: &CertificateAuthority| PrivateKey::from_pem(ca.key_pem().unwrap().as_bytes()).unwrap();
    let again = CertificateAuthority::load(pem.as_bytes(), key(&ca)).unwrap();
    assert_eq!(again.certificate(), ca.certificate());
    assert_eq!(again.key_id, ca.key_id);
    let other = PrivateKey::generate(KeyKind::EcdsaP256).unwrap();
    assert!(matches!(CertificateAuthority::load(pem.as_bytes(), other), Err(CaError::KeyMismatch)));
}

#[test]
fn openssl_verifies_what_a_key_in_the_hsm_has_signed() {
    let folder = tempfile::tempdir().unwrap();
    let passphrase = hal::SecretBytes::from(b"passphrase".to_vec());
    let hsm = Arc::new(hal::software::SoftwareHal::create(&folder.path().join("keys"), &passphrase).unwrap());
    let make = |label: &str, kind| hsm.generate_signer(&hal::Label::new(label).unwrap(), kind).unwrap();
    for kind in hal::SignerKind::ALL {
        let signer = make(kind.name(), kind);
        let ca = CertificateAuthority::create(PrivateKey::in_hsm(hsm.clone(), &signer), now()).unwrap();
        assert!(matches!(ca.key_pem(), Err(CaError::KeyInHsm)));
        let client = ca.issue_client(&PrivateKey::generate(KeyKind::EcdsaP256).unwrap(), "client", now()).unwrap();
        let server_key = PrivateKey::in_hsm(hsm.clone(), &make(&format!("server {kind}"), kind));
        let server = ca.issue_server(&server_key, &names(&["localhost"]), now()).unwrap();
        assert_eq!(describe(&server.der).unwrap().key, kind.name());
        let files = [("ca.pem", &ca.certificate()), ("client.pem", &client), ("server.pem", &server)];
        for (name, certificate) in files {
            std::fs::write(folder.path().join(name), &certificate.pem).unwrap();
        }
        openssl(folder.path(), "verify -x509_strict -purpose sslclient -CAfile ca.pem client.pem").unwrap();
        openssl(folder.path(), "verify -x509_strict -purpose sslserver -CAfile ca.pem server.pem").unwrap();

        let again = PrivateKey::in_hsm(hsm.clone(), &signer);
        CertificateAuthority::load(ca.certificate().pem.as_bytes(), again).unwrap();
        let other = CertificateAuthority::load(ca.certificate().pem.as_bytes(), server_key);
        assert!(matches!(other, Err(CaError::KeyMismatch)));
    }
}

#[test]
fn nothing_outlives_the_authority() {
    let key = || PrivateKey::generate(KeyKind::EcdsaP256).unwrap();
    let long_ago = later(now(), -(AUTHORITY_DAYS - 30));
    let ca = CertificateAuthority::create(key(), long_ago).unwrap();
    let client = ca.issue_client(&key(), "late", now()).unwrap();
    assert_eq!(parse(&client.der).unwrap().validity().not_after.timestamp(), ca.not_after.as_second());
    let ended = CertificateAuthority::create(key(), later(now(), -AUTHORITY_DAYS - 1)).unwrap();
    assert!(matches!(ended.issue_client(&key(), "later", now()), Err(CaError::AuthorityEnded(_))));
}

#[test]
fn serial_numbers_are_long_and_differ() {
    let serials: std::collections::HashSet<_> = (0..100).map(|_| random_serial().unwrap()).collect();
    assert_eq!(serials.len(), 100);
    assert!(serials.iter().all(|serial| (0x40..0x80).contains(&serial[0])));
}

#[test]
fn signs_a_request_with_an_odd_version_and_keeps_its_subject_and_key_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let ca = authority(KeyKind::Rsa3072);
    let key = PrivateKey::generate(KeyKind::Rsa3072).unwrap();
    for version in [0, 1, 2, 3] {
        let (request, subject) = odd_request(&key, version);
        for file in [request.clone(), pem::encode("NEW CERTIFICATE REQUEST", &request).as_bytes().to_vec()] {
            let issued = ca.sign_request(&file, now()).unwrap();
            let certificate = parse(&issued.der).unwrap();
            assert_eq!(certificate.subject().as_raw(), subject);
            assert_eq!(certificate.public_key().raw, key.public());
            // What the request wished for is not granted: the policy is.
            assert!(!certificate.is_ca());
            assert_eq!(certificate.extensions().len(), 5);
            let usage = certificate.extended_key_usage().unwrap().unwrap().value;
            assert!(usage.client_auth && !usage.server_auth);
            let usage = certificate.key_usage().unwrap().unwrap();
            assert!(usage.critical && usage.value.digital_signature() && !usage.value.key_cert_sign());
            std::fs::write(folder.path().join("ca.pem"), ca.certificate().pem).unwrap();
            std::fs::write(folder.path().join("client.pem"), issued.pem).unwrap();
            openssl(folder.path(), "verify -x509_strict -CAfile ca.pem -purpose sslclient client.pem").unwrap();
        }
    }
}

#[test]
fn signs_what_openssl_requests_for_each_kind_of_key() {
    let folder = tempfile::tempdir().unwrap();
    let ca = authority(KeyKind::EcdsaP256);
    for key in ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-256", "ec -pkeyopt ec_paramgen_curve:P-384"] {
        let run = format!("req -new -newkey {key} -nodes -keyout key.pem -subj /O=Array/CN=esx-1 -out request.pem");
        openssl(folder.path(), &run).unwrap();
        let request = std::fs::read(folder.path().join("request.pem")).unwrap();
        let issued = ca.sign_request(&request, now()).unwrap();
        assert_eq!(parse(&issued.der).unwrap().subject().to_string(), "O=Array, CN=esx-1");
    }
}

#[test]
fn refuses_a_request_with_a_weak_or_strange_key() {
    let folder = tempfile::tempdir().unwrap();
    let ca = authority(KeyKind::EcdsaP256);
    let refusal = |key: &str| {
        let run = format!("req -new -newkey {key} -nodes -keyout key.pem -subj /CN=a -out request.pem");
        openssl(folder.path(), &run).unwrap();
        ca.sign_request(&std::fs::read(folder.path().join("request.pem")).unwrap(), now()).unwrap_err()
    };
    assert!(matches!(refusal("rsa:1024"), CaError::WeakKey { bits: 1024 }));
    assert!(matches!(refusal("ec -pkeyopt ec_paramgen_curve:secp256k1"), CaError::UnsupportedKey));
}

#[test]
fn refuses_a_request_that_was_changed_or_signed_with_another_key() {
    let ca = authority(KeyKind::EcdsaP256);
    let key = PrivateKey::generate(KeyKind::EcdsaP256).unwrap();
    let (request, subject) = odd_request(&key, 1);
    let place = request.windows(subject.len()).position(|window| window == subject).unwrap();
    let mut changed = request.clone();
    changed[place + subject.len() - 1] ^= 1;
    assert!(matches!(ca.sign_request(&changed, now()), Err(CaError::BadRequestSignature)));

    let (_, parsed) = x509_parser::certification_request::X509CertificationRequest::from_der(&request).unwrap();
    let info = parsed.certification_request_info.raw;
    let signature = PrivateKey::generate(KeyKind::EcdsaP256).unwrap().sign(info).unwrap();
    let forged = key.algorithm().join(info, &signature);
    assert!(matches!(ca.sign_request(&forged, now()), Err(CaError::BadRequestSignature)));
}

#[test]
fn refuses_what_is_no_request_or_has_no_subject_or_trails() {
    let ca = authority(KeyKind::EcdsaP256);
    let key = PrivateKey::generate(KeyKind::EcdsaP256).unwrap();
    let (mut request, _) = odd_request(&key, 0);
    assert!(matches!(ca.sign_request(&ca.certificate().der, now()), Err(CaError::NotARequest)));
    assert!(matches!(ca.sign_request(b"hello", now()), Err(CaError::NotARequest)));
    request.push(0);
    assert!(matches!(ca.sign_request(&request, now()), Err(CaError::NotARequest)));
    let info = der::sequence(|w| {
        w.next().write_u8(0);
        w.next().write_sequence(|_| ());
        w.next().write_der(key.public());
        w.next().write_tagged_implicit(Tag::context(0), |w| w.write_set_of(|_| ()));
    });
    let nameless = key.algorithm().join(&info, &key.sign(&info).unwrap());
    assert!(matches!(ca.sign_request(&nameless, now()), Err(CaError::NoSubject)));
}

#[test]
fn a_client_needs_a_common_name_that_fits() {
    let ca = authority(KeyKind::EcdsaP256);
    let key = PrivateKey::generate(KeyKind::EcdsaP256).unwrap();
    let issue = |name: &str| ca.issue_client(&key, name, now());
    assert!(issue("a").is_ok() && issue(&"é".repeat(64)).is_ok());
    for name in [String::new(), "é".repeat(65), "a\nb".to_owned()] {
        assert!(matches!(issue(&name), Err(CaError::BadCommonName)));
    }
}

#[test]
fn a_server_name_is_a_host_or_an_address() {
    for (text, shown) in [("KMS.example.com", "kms.example.com"), ("10.0.0.5", "10.0.0.5"), ("::1", "::1")] {
        assert_eq!(text.parse::<SubjectAltName>().unwrap().to_string(), shown);
    }
    for text in ["", "10.0.0", "10.0.0.256", "a b", "-a", "a..b", "https://kms", "kms:5696"] {
        assert!(text.parse::<SubjectAltName>().is_err(), "{text}");
    }
    let ca = authority(KeyKind::EcdsaP256);
    let key = PrivateKey::generate(KeyKind::EcdsaP256).unwrap();
    assert!(matches!(ca.issue_server(&key, &[], now()), Err(CaError::BadSubjectAltName)));
    let long = format!("{}.example.com", "a".repeat(60));
    ca.issue_server(&key, &names(&[&long]), now()).unwrap();
}
