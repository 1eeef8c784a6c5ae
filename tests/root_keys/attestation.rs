//! Attestations: made, kept, checked offline, and refused where they are not what they seem.

use std::fs;

use keystead::store::{Store, StoreOptions};
use pkcs11_fixtures::SoftHsm;

use super::versions;
use crate::cli::{Data, fail, keystead, succeed};

fn verify(line: &str) -> String {
    succeed(&format!("root-key verify-attestation {line}"))
}

/// A data directory with SoftHSM2 in it, where that is installed.
fn with_token() -> Option<Data> {
    SoftHsm::shared().map(|_| Data::with_hsm("softhsm"))
}

#[test]
fn an_attestation_of_a_token_is_checked_with_the_signers_public_key() {
    let Some(data) = with_token() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (file, pem) = (folder.path().join("attestation.json"), folder.path().join("signer.pem"));
    data.succeed(&format!("root-key attest keystead-root --out {}", file.display()));
    data.succeed(&format!("root-key signer --out {}", pem.display()));
    let (file, pem) = (file.display(), pem.display());
    let said = verify(&format!("{file} --signer {pem}"));
    for part in ["result      valid\n", "SENSITIVE", "not EXTRACTABLE", "SoftHSM", "passed", "the key that was given"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let said = verify(&format!("{file}"));
    assert!(said.contains("compared with nothing") && said.contains("valid, if"), "{said}");
    let json: serde_json::Value = serde_json::from_str(&verify(&format!("{file} --signer {pem} --json"))).unwrap();
    assert_eq!((&json["valid"], &json["trusted"]), (&true.into(), &true.into()));
    let claim = &json["statement"]["claim"];
    let listed = &data.list("root-key list")[0];
    assert_eq!((&claim["root_key"], &claim["kcv"]["value"]), (&listed["id"], &listed["kcv"]));
    assert_eq!(claim["is_hsm"], true);
    assert_eq!(
        claim["copies"][0]["token"]["serial"],
        versions(&data.dir(), "keystead-root")[0]["hsm"]["tokens"][0]["serial"]
    );
    assert!(claim["copies"][0]["self_test"].as_array().unwrap().iter().all(|test| test["passed"] == true));
}

#[test]
fn a_software_root_key_is_attested_as_one_and_is_no_pass() {
    let data = Data::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attestation.json");
    data.succeed(&format!("root-key attest keystead-root --out {}", file.display()));
    let ran = keystead(&format!("root-key verify-attestation {}", file.display()));
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("SOFTWARE") && !ran.stdout.contains("result"), "{}", ran.stdout);
    assert!(ran.stderr.contains("the signature is right, but: no HSM holds the root key"), "{}", ran.stderr);
    let said = verify(&format!("{} --allow-software", file.display()));
    assert!(said.contains("SOFTWARE") && said.contains("result"), "{said}");
    let ran = keystead(&format!("root-key verify-attestation {} --json", file.display()));
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &json["valid"]), (1, &false.into()));
    assert!(json["failed"][0].as_str().unwrap().contains("no HSM"));
}

#[test]
fn a_changed_file_and_another_signer_are_told_apart() {
    let (data, other) = (Data::new(), Data::new());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    data.succeed(&format!("root-key attest keystead-root --out {}", path("good").display()));
    other.succeed(&format!("root-key signer --out {}", path("theirs.pem").display()));
    let good = path("good").display().to_string();
    let said = fail(1, &format!("root-key verify-attestation {good} --signer {}", path("theirs.pem").display()));
    assert!(said.contains("not by the key that was given"), "{said}");
    let said = fail(1, &format!("root-key verify-attestation {good} --signer {good}"));
    assert!(said.contains("no public key"), "{said}");

    let text = fs::read_to_string(&good).unwrap();
    fs::write(path("changed"), text.replacen("\\\"is_hsm\\\":false", "\\\"is_hsm\\\":true", 1)).unwrap();
    assert_ne!(text, fs::read_to_string(path("changed")).unwrap());
    let changed = path("changed").display().to_string();
    let ran = keystead(&format!("root-key verify-attestation {changed} --json"));
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &json["valid"]), (1, &false.into()));
    assert!(json["failed"][0].as_str().unwrap().contains("the signature is wrong"), "{json}");
    fail(1, &format!("root-key verify-attestation {}", path("missing").display()));
}

#[test]
fn every_new_root_key_is_attested_and_the_record_is_kept() {
    let data = Data::new();
    data.succeed("root-key create second");
    let stored = |data: &Data| {
        let store = Store::open(&data.file("keystead.db"), StoreOptions::default()).unwrap();
        let rows = store.root_keys().unwrap();
        rows.into_iter().map(|row| row.versions[0].attestation.clone().unwrap()).collect::<Vec<_>>()
    };
    let first = stored(&data);
    assert_eq!(first.len(), 2);
    let printed = data.succeed("root-key attest second --version 1");
    let second = stored(&data);
    assert_eq!((&second[0], second[1].trim()), (&first[0], printed.trim()));
    let said = data.fail(1, "root-key attest third");
    assert!(said.contains("there is keystead-root, second"), "{said}");
    data.fail(1, "root-key attest second --version 2");
}

#[test]
fn a_replaced_signer_signs_from_then_on() {
    let data = Data::new();
    let first = data.succeed("root-key signer");
    assert!(first.starts_with("-----BEGIN PUBLIC KEY-----"));
    assert_eq!(data.succeed("root-key signer"), first);
    let second = data.succeed("root-key signer --replace");
    assert_ne!(second, first);
    assert_eq!(data.succeed("root-key signer"), second);
    let audit = fs::read_to_string(data.file("audit/audit.jsonl")).unwrap();
    let replaced: Vec<_> = audit.lines().filter(|line| line.contains("\"operation\":\"signer.replace\"")).collect();
    assert_eq!(replaced.len(), 2);
    assert!(replaced[0].contains("\"outcome\":\"begun\"") && replaced[1].contains("\"outcome\":\"success\""));
}
