use std::{path::Path, process::Command, sync::Arc};

use hal::RootKeys as _;
use x509_parser::prelude::FromDer as _;
use yasna::{Tag, models::ObjectIdentifier};

use super::*;

/// BasicConstraints of a certificate that is no authority's.
const CLIENT: &[u8] = &[0x30, 0x00];
/// Of one that is.
const AUTHORITY: &[u8] = &[0x30, 0x03, 0x01, 0x01, 0xff];

fn now() -> Timestamp {
    Timestamp::now()
}

fn authority(kind: KeyKind) -> CertificateAuthority {
    CertificateAuthority::create(PrivateKey::generate(kind).unwrap(), now()).unwrap()
}

/// The certificate that `ca` makes for the request in `file`.
fn sign(ca: &CertificateAuthority, file: &[u8]) -> Result<IssuedCertificate, CaError> {
    ca.sign_request_for(file, Lifetime::default(), now()).map(|signed| signed.certificate)
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

/// A request as `openssl req` would never make it: any version, and a subject with repeated and multi-valued parts. It wishes
/// for basicConstraints with this content.
fn odd_request(key: &PrivateKey, version: u8, constraints: &[u8]) -> (Vec<u8>, Vec<u8>) {
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
    // And for an extension that nobody knows.
    let wishes = der::sequence(|w| {
        w.next().write_sequence(|w| {
            w.next().write_oid(&ObjectIdentifier::from_slice(&[2, 5, 29, 19]));
            w.next().write_bool(true);
            w.next().write_bytes(constraints);
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
        let (request, subject) = odd_request(&key, version, CLIENT);
        for file in [request.clone(), pem::encode("NEW CERTIFICATE REQUEST", &request).as_bytes().to_vec()] {
            let issued = sign(&ca, &file).unwrap();
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
        let issued = sign(&ca, &request).unwrap();
        assert_eq!(parse(&issued.der).unwrap().subject().to_string(), "O=Array, CN=esx-1");
    }
}

#[test]
fn a_request_made_here_is_signed_like_any_other_and_openssl_reads_it() {
    let ca = authority(KeyKind::EcdsaP256);
    for kind in [KeyKind::EcdsaP256, KeyKind::Rsa3072] {
        let key = PrivateKey::generate(kind).unwrap();
        let request = request_for(&key, "Schlüssel 1").unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("request.pem"), &request).unwrap();
        let said = openssl(folder.path(), "req -in request.pem -noout -verify -subject -nameopt utf8").unwrap();
        assert!(said.contains("Schlüssel 1"), "{said}");
        let signed = ca.sign_request_for(request.as_bytes(), Lifetime::default(), now()).unwrap();
        assert!(signed.not_granted.is_empty());
        assert!(key.certifies(&signed.certificate.der).unwrap());
        let same = ca.issue_client(&key, "Schlüssel 1", now()).unwrap();
        let subject = |der: &[u8]| describe(der).unwrap().subject;
        assert_eq!(subject(&signed.certificate.der), subject(&same.der));
    }
    let key = PrivateKey::generate(KeyKind::EcdsaP256).unwrap();
    for bad in ["", &"n".repeat(65), "a\nb"] {
        assert!(matches!(request_for(&key, bad), Err(CaError::BadCommonName)), "{bad:?}");
    }
}

#[test]
fn refuses_a_request_with_a_weak_or_strange_key() {
    let folder = tempfile::tempdir().unwrap();
    let ca = authority(KeyKind::EcdsaP256);
    let refusal = |key: &str| {
        let run = format!("req -new -newkey {key} -nodes -keyout key.pem -subj /CN=a -out request.pem");
        openssl(folder.path(), &run).unwrap();
        sign(&ca, &std::fs::read(folder.path().join("request.pem")).unwrap()).unwrap_err()
    };
    assert!(matches!(refusal("rsa:1024"), CaError::WeakKey { bits: 1024 }));
    assert!(matches!(refusal("ec -pkeyopt ec_paramgen_curve:secp256k1"), CaError::UnsupportedKey));
}

#[test]
fn refuses_a_request_to_become_an_authority_or_that_might_be_one() {
    let ca = authority(KeyKind::EcdsaP256);
    let key = PrivateKey::generate(KeyKind::EcdsaP256).unwrap();
    for constraints in [AUTHORITY, b"\x30\x03\x01", b""] {
        let (request, _) = odd_request(&key, 0, constraints);
        assert!(matches!(sign(&ca, &request), Err(CaError::WantsAuthority)), "{constraints:?}");
    }
    let (request, _) = odd_request(&key, 0, CLIENT);
    let signed = ca.sign_request_for(&request, Lifetime::default(), now()).unwrap();
    assert_eq!(signed.not_granted, ["basicConstraints", "1.3.6.1.4.1.789.99"]);
}

#[test]
fn a_certificate_ends_when_it_was_asked_to_within_the_cap() {
    let ca = authority(KeyKind::EcdsaP256);
    let key = PrivateKey::generate(KeyKind::EcdsaP256).unwrap();
    let (request, _) = odd_request(&key, 0, CLIENT);
    for days in [1, 90, Lifetime::LONGEST_DAYS] {
        let at = now();
        let signed = ca.sign_request_for(&request, Lifetime::of_days(days).unwrap(), at).unwrap();
        let ends = describe(&signed.certificate.der).unwrap().not_after;
        assert_eq!(ends.as_second(), later(at, days.into()).as_second());
    }
    for days in [0, Lifetime::LONGEST_DAYS + 1] {
        assert!(matches!(Lifetime::of_days(days), Err(CaError::BadLifetime)));
    }
}

fn password(text: &str) -> Result<FilePassword, CaError> {
    FilePassword::new(Zeroizing::new(text.to_owned()))
}

/// A client file in `folder`, beside its password.
fn client_file(ca: &CertificateAuthority, folder: &Path, kind: KeyKind, secret: &str) -> ClientFile {
    let new = NewClient { common_name: "vcenter-é", kind, lifetime: Lifetime::of_days(30).unwrap() };
    let file = ca.issue_client_file(&new, &password(secret).unwrap(), now()).unwrap();
    std::fs::write(folder.join("client.p12"), &file.pkcs12).unwrap();
    std::fs::write(folder.join("password"), secret).unwrap();
    file
}

#[test]
fn openssl_and_java_read_a_client_file() {
    let folder = tempfile::tempdir().unwrap();
    let ca = authority(KeyKind::EcdsaP256);
    for (kind, secret) in [(KeyKind::Rsa3072, "0123456789ab"), (KeyKind::EcdsaP256, "a password ~!\"#")] {
        let file = client_file(&ca, folder.path(), kind, secret);
        let mut command = Command::new("openssl");
        let arguments = "pkcs12 -in client.p12 -passin file:password -nodes -info";
        let read = command.current_dir(folder.path()).args(arguments.split(' ')).output().unwrap();
        let info = String::from_utf8(read.stderr).unwrap();
        let encrypted = info.matches("PBES2, PBKDF2, AES-256-CBC, Iteration 600000, PRF hmacWithSHA256").count();
        assert!(encrypted == 2 && info.contains("MAC: sha256, Iteration 600000"), "{info}");
        assert!(PrivateKey::from_pem(&read.stdout).unwrap().certifies(&file.certificate.der).unwrap());
        let found = read_certificates(&read.stdout).unwrap();
        assert_eq!(found, [file.certificate.der.as_slice().into(), ca.certificate().der.as_slice().into()]);
    }
    java_lists_a_key(folder.path());
}

#[test]
fn a_client_file_opens_with_no_other_password_and_not_once_it_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let file = client_file(&authority(KeyKind::EcdsaP256), folder.path(), KeyKind::EcdsaP256, "a good password");
    let read = || openssl(folder.path(), "pkcs12 -in client.p12 -passin file:password -noout");
    std::fs::write(folder.path().join("password"), "a good passwore").unwrap();
    assert!(read().unwrap_err().contains("invalid password"));
    std::fs::write(folder.path().join("password"), "a good password").unwrap();
    let mut changed = file.pkcs12;
    changed[200] ^= 1;
    std::fs::write(folder.path().join("client.p12"), changed).unwrap();
    read().unwrap_err();
}

/// Says so where there is no Java.
fn java_lists_a_key(folder: &Path) {
    let arguments = "-J-Duser.language=en -list -storetype PKCS12 -keystore client.p12 -storepass:file password";
    let listed = match Command::new("keytool").current_dir(folder).args(arguments.split(' ')).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return eprintln!("SKIP: there is no keytool"),
        listed => listed.unwrap(),
    };
    let text = String::from_utf8_lossy(&listed.stdout);
    assert!(listed.status.success() && text.contains("PrivateKeyEntry"), "{text}");
}

#[test]
fn a_file_password_is_long_enough_and_means_the_same_to_every_program() {
    assert!(password("abcdefghijkl").is_ok() && password(&"~".repeat(128)).is_ok());
    for text in ["abcdefghijk", &"a".repeat(129), "pässword pässword", "a password\nmore"] {
        assert!(matches!(password(text), Err(CaError::BadPassword)), "{text}");
    }
    assert_eq!(format!("{:?}", password("abcdefghijkl").unwrap()), "FilePassword(..)");
}

#[test]
fn a_key_in_the_hsm_goes_into_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let passphrase = hal::SecretBytes::new(Zeroizing::new(b"of this test".to_vec()));
    let hsm = hal::software::SoftwareHal::create(&folder.path().join("hsm"), &passphrase).unwrap();
    let signer = hsm.generate_signer(&hal::Label::new("client").unwrap(), hal::SignerKind::EcdsaP256).unwrap();
    let key = PrivateKey::in_hsm(Arc::new(hsm), &signer);
    let ca = authority(KeyKind::EcdsaP256);
    let certificate = ca.issue_client(&key, "a", now()).unwrap();
    let written = pkcs12::write_pkcs12(&key, &certificate, &ca.certificate(), "a", &password("abcdefghijkl").unwrap());
    assert!(matches!(written, Err(CaError::KeyInHsm)));
}

#[test]
fn a_renewed_server_certificate_is_for_the_same_names_and_key() {
    let ca = authority(KeyKind::EcdsaP256);
    let key = PrivateKey::generate(KeyKind::EcdsaP256).unwrap();
    let wanted = names(&["kms.example.com", "10.0.0.5", "fd00::5"]);
    let old = ca.issue_server(&key, &wanted, later(now(), -1000)).unwrap();
    let new = ca.renew_server(&old.der, now()).unwrap();
    let (before, after) = (describe(&old.der).unwrap(), describe(&new.der).unwrap());
    assert_eq!(after.alternative_names, wanted);
    assert!(key.certifies(&new.der).unwrap());
    assert_eq!(after.not_after.as_second() - before.not_after.as_second(), 1000 * 86_400);
    assert_ne!(parse(&old.der).unwrap().raw_serial(), parse(&new.der).unwrap().raw_serial());

    // Issued by another authority, also by one of the same name.
    let other = authority(KeyKind::EcdsaP256);
    let foreign = other.issue_server(&key, &wanted, now()).unwrap();
    assert!(matches!(ca.renew_server(&foreign.der, now()), Err(CaError::ForeignServer { .. })));
    let mut forger = authority(KeyKind::EcdsaP256);
    forger.subject = ca.subject.clone();
    let forged = forger.issue_server(&key, &wanted, now()).unwrap();
    assert!(matches!(ca.renew_server(&forged.der, now()), Err(CaError::ForeignServer { .. })));
    // A client's certificate has no names.
    let client = ca.issue_client(&key, "a", now()).unwrap();
    assert!(matches!(ca.renew_server(&client.der, now()), Err(CaError::BadSubjectAltName)));
}

#[test]
fn refuses_a_request_that_was_changed_or_signed_with_another_key() {
    let ca = authority(KeyKind::EcdsaP256);
    let key = PrivateKey::generate(KeyKind::EcdsaP256).unwrap();
    let (request, subject) = odd_request(&key, 1, CLIENT);
    let place = request.windows(subject.len()).position(|window| window == subject).unwrap();
    let mut changed = request.clone();
    changed[place + subject.len() - 1] ^= 1;
    assert!(matches!(sign(&ca, &changed), Err(CaError::BadRequestSignature)));

    let (_, parsed) = x509_parser::certification_request::X509CertificationRequest::from_der(&request).unwrap();
    let info = parsed.certification_request_info.raw;
    let signature = PrivateKey::generate(KeyKind::EcdsaP256).unwrap().sign(info).unwrap();
    let forged = key.algorithm().join(info, &signature);
    assert!(matches!(sign(&ca, &forged), Err(CaError::BadRequestSignature)));
}

#[test]
fn refuses_what_is_no_request_or_has_no_subject_or_trails() {
    let ca = authority(KeyKind::EcdsaP256);
    let key = PrivateKey::generate(KeyKind::EcdsaP256).unwrap();
    let (mut request, _) = odd_request(&key, 0, CLIENT);
    assert!(matches!(sign(&ca, &ca.certificate().der), Err(CaError::NotARequest)));
    assert!(matches!(sign(&ca, b"hello"), Err(CaError::NotARequest)));
    request.push(0);
    assert!(matches!(sign(&ca, &request), Err(CaError::NotARequest)));
    let info = der::sequence(|w| {
        w.next().write_u8(0);
        w.next().write_sequence(|_| ());
        w.next().write_der(key.public());
        w.next().write_tagged_implicit(Tag::context(0), |w| w.write_set_of(|_| ()));
    });
    let nameless = key.algorithm().join(&info, &key.sign(&info).unwrap());
    assert!(matches!(sign(&ca, &nameless), Err(CaError::NoSubject)));
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
