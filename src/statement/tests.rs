use std::collections::BTreeSet;

use hal::{
    Capabilities, Kcv, KcvMethod, KeyWrapper, Label, RootKeyAttributes, RootKeyId, RootKeyInfo, RootKeys, SecretBytes,
    SelfCheck, SelfTestReport, SignerKind, TokenInfo, TokenSelfTest, WrapScheme, software::SoftwareHal,
};
use proptest::prelude::*;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;

/// Statements that another program (openssl) signed, and the public key.
const GOLDEN: [&str; 3] = [
    include_str!("golden/attestation.json"),
    include_str!("golden/rotation.json"),
    include_str!("golden/destruction.json"),
];

fn golden_signer() -> PublicKey {
    PublicKey::from_pem(include_bytes!("golden/signer.pem")).unwrap()
}

struct Signing {
    hal: SoftwareHal,
    signer: SignerInfo,
    _folder: TempDir,
}

fn signing(kind: SignerKind) -> Signing {
    let folder = tempfile::tempdir().unwrap();
    let passphrase = SecretBytes::from(b"a passphrase of a test".to_vec());
    let hal = SoftwareHal::create(&folder.path().join("keys"), &passphrase).unwrap();
    let signer = hal.generate_signer(&Label::new("attestation").unwrap(), kind).unwrap();
    Signing { hal, signer, _folder: folder }
}

fn now() -> Timestamp {
    "2026-11-22T06:30:00.987Z".parse().unwrap()
}

fn root() -> RootKeyInfo {
    RootKeyInfo {
        id: RootKeyId::from_uuid(Uuid::from_u128(7)),
        label: Label::new("main").unwrap(),
        version: 3,
        attributes: RootKeyAttributes {
            sensitive: Some(true),
            extractable: Some(false),
            local: Some(true),
            always_sensitive: Some(true),
            never_extractable: None,
        },
        kcv: Kcv { method: KcvMethod::EcbZeroBlock, value: [1, 2, 0xab] },
        scheme: WrapScheme::AesGcm,
        tokens: vec![TokenInfo { serial: "42".to_owned(), ..TokenInfo::default() }],
    }
}

fn hsm() -> Capabilities {
    Capabilities {
        backend: "pkcs11",
        is_hsm: true,
        token: root().tokens.pop(),
        schemes: vec![WrapScheme::AesGcm],
        scheme: Some(WrapScheme::AesGcm),
        sessions: 8,
    }
}

fn passed() -> SelfTestReport {
    let check = SelfCheck { name: "not-copied".to_owned(), passed: true, detail: "refused".to_owned() };
    let on = |token| TokenSelfTest { token: Some(token), checks: vec![check.clone()] };
    let other = TokenInfo { serial: "43".to_owned(), ..TokenInfo::default() };
    SelfTestReport { key: root().key(), tokens: root().tokens.into_iter().chain([other]).map(on).collect() }
}

fn attestation() -> Statement {
    Statement::new(now(), Claim::Attestation(Attestation::new(&root(), &hsm(), &passed())))
}

fn error_of(file: &str, known: Option<&PublicKey>) -> String {
    verify(file.as_bytes(), known).unwrap_err().to_string()
}

#[test]
fn statements_that_openssl_signed_are_confirmed() {
    let known = golden_signer();
    for file in GOLDEN {
        let verified = verify(file.as_bytes(), Some(&known)).unwrap();
        assert!(verified.trusted);
        assert_eq!(verified.signer, known);
        assert_eq!(verified.statement.product, "keystead 0.1.0");
    }
    let Claim::Attestation(attestation) = verify(GOLDEN[0].as_bytes(), None).unwrap().statement.claim else {
        panic!("the first is an attestation")
    };
    assert_eq!(attestation.label, "Wurzel \"1\"");
    assert_eq!(attestation.weaknesses(), []);
}

#[test]
fn what_is_signed_is_confirmed_with_either_curve() {
    for kind in [SignerKind::EcdsaP256, SignerKind::EcdsaP384] {
        let Signing { hal, signer, _folder } = signing(kind);
        let file = attestation().sign(&hal, &signer).unwrap();
        let known = PublicKey::of_signer(&signer).unwrap();
        let verified = verify(file.as_bytes(), Some(&known)).unwrap();
        assert_eq!(verified.statement, attestation());
        assert_eq!(verified.statement.time.to_string(), "2026-11-22T06:30:00Z");
        assert!(!verify(file.as_bytes(), None).unwrap().trusted);
    }
}

#[test]
fn openssl_confirms_what_is_signed() {
    let Signing { hal, signer, _folder: folder } = signing(SignerKind::EcdsaP256);
    let file = attestation().sign(&hal, &signer).unwrap();
    let read: SignedFile = serde_json::from_str(&file).unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("statement"), &read.statement).unwrap();
    std::fs::write(path("signature"), Base64::decode_vec(&read.signature).unwrap()).unwrap();
    std::fs::write(path("signer.pem"), PublicKey::of_signer(&signer).unwrap().to_pem()).unwrap();
    let confirmed = std::process::Command::new("openssl")
        .current_dir(folder.path())
        .args("dgst -sha256 -verify signer.pem -signature signature statement".split(' '))
        .output()
        .expect("this test needs the openssl command: apt install openssl");
    assert!(confirmed.status.success(), "{}", String::from_utf8_lossy(&confirmed.stderr));
}

#[test]
fn a_public_key_comes_back_from_its_pem_form() {
    for kind in [SignerKind::EcdsaP256, SignerKind::EcdsaP384] {
        let key = PublicKey::of_signer(&signing(kind).signer).unwrap();
        assert_eq!(PublicKey::from_pem(key.to_pem().as_bytes()), Some(key));
    }
    let text = include_str!("golden/signer.pem");
    assert_eq!(golden_signer().to_pem(), text);
    assert_eq!(PublicKey::from_pem(text.replace("PUBLIC KEY", "PRIVATE KEY").as_bytes()), None);
    assert_eq!(PublicKey::from_pem(b""), None);
}

#[test]
fn another_signer_than_the_known_one_is_refused() {
    let other = PublicKey::of_signer(&signing(SignerKind::EcdsaP256).signer).unwrap();
    let said = error_of(GOLDEN[0], Some(&other));
    assert!(said.contains(&other.fingerprint()) && said.contains(&golden_signer().fingerprint()), "{said}");
}

/// Every place where the text of a statement can be changed and stay JSON: each letter and digit in it.
#[test]
fn every_change_of_the_signed_text_is_found() {
    for file in GOLDEN {
        let signed: SignedFile = serde_json::from_str(file).unwrap();
        for (place, letter) in signed.statement.char_indices().filter(|(_, letter)| letter.is_ascii_alphanumeric()) {
            let mut statement = signed.statement.clone();
            statement.replace_range(place..=place, if letter == '7' { "8" } else { "7" });
            let changed = SignedFile { statement, ..serde_json::from_str(file).unwrap() };
            let changed = serde_json::to_string(&changed).unwrap();
            assert!(error_of(&changed, None).contains("the signature is wrong"), "{changed}");
        }
    }
}

proptest! {
    #[test]
    fn a_file_with_any_byte_changed_is_refused_or_says_the_same(place in 0..GOLDEN[0].len(), to in any::<u8>()) {
        let mut file = GOLDEN[0].as_bytes().to_vec();
        file[place] = to;
        if let Ok(verified) = verify(&file, Some(&golden_signer())) {
            prop_assert_eq!(verified, verify(GOLDEN[0].as_bytes(), Some(&golden_signer())).unwrap());
        }
    }
}

#[test]
fn what_the_file_says_of_its_signer_must_be_so() {
    for (from, to) in [("sha256:", "sha256:0"), ("ecdsa-p256", "ecdsa-p384")] {
        assert!(error_of(&GOLDEN[0].replacen(from, to, 1), None).contains("kind or fingerprint"));
    }
    let said = error_of(&GOLDEN[0].replacen("\"signer\"", "\"more\": 1, \"signer\"", 1), None);
    assert!(said.contains("more"), "{said}");
    assert!(error_of("{}", None).contains("no signed statement"));
    assert!(error_of(&" ".repeat(MAX_BYTES + 1), None).contains("longer"));
}

/// A file with any text in it, signed as it must be.
fn signed(text: &str) -> String {
    let Signing { hal, signer, _folder } = signing(SignerKind::EcdsaP256);
    let key = PublicKey::of_signer(&signer).unwrap();
    let signature = hal.sign(signer.id, text.as_bytes(), signer.kind.scheme()).unwrap();
    let signer = SignerPart {
        kind: key.kind().to_owned(),
        public_key: Base64::encode_string(key.spki()),
        fingerprint: key.fingerprint(),
    };
    let file = SignedFile { statement: text.to_owned(), signer, signature: Base64::encode_string(&signature) };
    serde_json::to_string(&file).unwrap()
}

#[test]
fn what_is_signed_but_unknown_is_refused_by_name() {
    let text = attestation().text().unwrap();
    verify(signed(&text).as_bytes(), None).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from));
        error_of(&signed(&text.replacen(from, to, 1)), None)
    };
    assert!(changed("keystead-statement-1", "keystead-statement-2").contains("\"keystead-statement-2\""));
    assert!(changed("root-key-attestation", "something-newer").contains("\"something-newer\""));
    // The fields of the right kind, and no others, each once.
    assert!(changed("root-key-attestation", "root-key-rotation").contains("no statement"));
    assert!(changed("\"is_hsm\":true", "\"is_hsm\":true,\"more\":1").contains("more"));
    assert!(changed("\"version\":3", "\"version\":3,\"version\":4").contains("duplicate"));
    assert!(changed(",\"is_hsm\":true", "").contains("is_hsm"));
    assert!(error_of(&signed("hello"), None).contains("no statement"));
}

#[test]
fn what_is_signed_in_another_form_is_refused() {
    let text = attestation().text().unwrap();
    let upper = text.replace("00000000-0000-0000-0000-000000000007", "00000000000000000000000000000007");
    let forms = [
        text.replacen(':', ": ", 1),
        format!("{text} "),
        text.replacen("main", "\\u006dain", 1),
        text.replace("06:30:00Z", "07:30:00+01:00"),
        text.replace("06:30:00Z", "06:30:00.000Z"),
        upper,
    ];
    for form in forms {
        assert_ne!(form, text);
        assert!(error_of(&signed(&form), None).contains("might read it differently"), "{form}");
    }
}

#[test]
fn an_attestation_says_what_speaks_against_the_root_key() {
    type Change = fn(&mut RootKeyInfo, &mut Capabilities, &mut Vec<TokenSelfTest>);
    let of = |change: Change| {
        let (mut root, mut hsm, mut report) = (root(), hsm(), passed());
        change(&mut root, &mut hsm, &mut report.tokens);
        let found = Attestation::new(&root, &hsm, &report).weaknesses();
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(of(|_, _, _| {}), "");
    assert!(of(|_, hsm, _| hsm.is_hsm = false).contains("no HSM"));
    assert!(of(|root, _, _| root.tokens.clear()).contains("no HSM"));
    for value in [None, Some(false)] {
        let weak: Change = if value.is_none() {
            |root, _, _| root.attributes.sensitive = None
        } else {
            |root, _, _| root.attributes.sensitive = Some(false)
        };
        assert!(of(weak).contains("not say that the root key is SENSITIVE"));
    }
    assert!(of(|root, _, _| root.attributes.extractable = None).contains("not EXTRACTABLE"));
    assert!(of(|root, _, _| root.attributes.extractable = Some(true)).contains("not EXTRACTABLE"));
    assert!(
        of(|_, _, tokens| tokens[1].checks[0].passed = false)
            .contains("43 the root key failed its self-test: not-copied")
    );
    assert!(of(|_, _, tokens| tokens[1].checks.clear()).contains("43 the root key was not tested"));
    assert!(of(|_, _, tokens| tokens[1].token = None).contains("no HSM"));
    assert!(of(|_, _, tokens| tokens.clear()).contains("no place"));
}

#[test]
fn a_rotation_that_left_something_behind_says_so() {
    let Claim::Rotation(proof) = verify(GOLDEN[1].as_bytes(), None).unwrap().statement.claim else {
        panic!("the second is a rotation")
    };
    assert_eq!(proof.weaknesses(), []);
    let found = RotationProof { remaining: 3, ..proof }.weaknesses();
    assert!(found[0].to_string().starts_with("3 damaged KEKs"), "{found:?}");
}

#[test]
fn the_kinds_have_names_of_their_own() {
    let names = GOLDEN.map(|file| {
        let text = serde_json::from_str::<SignedFile>(file).unwrap().statement;
        let statement = Statement::parse(&text).unwrap();
        serde_json::to_value(&statement.claim).unwrap()["kind"].as_str().unwrap().to_owned()
    });
    assert_eq!(BTreeSet::from(names), BTreeSet::from(KINDS.map(str::to_owned)));
}
