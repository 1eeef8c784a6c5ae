//! `keystead audit`: what an auditor does with copied files, and an operator on the machine.

use std::{fs, path::Path};

use kmip::version::Version;
use serde_json::Value;

use super::{objects, records, whole};
use crate::{
    cli::{fail, keystead, succeed},
    harness::{ask::*, create_aes, server::Server},
};

/// A directory with a signing key, whose server made keys in two segments and has ended.
fn served(dir: &Path) -> Vec<String> {
    Server::set_up(dir, "--hsm software --tls-key ecdsa-p256 --adapter demo --audit-key hsm", &[]);
    let server = Server::serve(dir);
    let mut client = server.connect(Version::V1_4);
    let mut made_keys: Vec<_> = (0..5).map(|_| made(client.call(create_aes(256, [])).unwrap())).collect();
    server.signal("HUP");
    server.wait_for("the audit log goes on in a new segment");
    made_keys.extend((0..5).map(|_| made(client.call(create_aes(256, [])).unwrap())));
    client.call(get("01900000-0000-7000-8000-000000000000")).unwrap_err();
    server.stop();
    made_keys
}

#[test]
fn a_log_is_verified_searched_and_exported_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let keys = served(&dir);
    let config = format!("--config {}", dir.join("keystead.toml").display());
    let signer = folder.path().join("signer.pem");
    succeed(&format!("audit signer --out {} {config}", signer.display()));
    let log = records(&dir);
    assert!(keys.iter().all(|id| objects(&log, "Create").contains(id)));
    assert_eq!(whole(&dir).segments, 2);

    // On the machine, and with copies and the public key alone.
    succeed(&format!("audit verify {config}"));
    let copy = folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(dir.join("audit")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let verify = format!("audit verify --dir {} --signer {}", copy.display(), signer.display());
    let report: Value = serde_json::from_str(&succeed(&format!("{verify} --json"))).unwrap();
    assert_eq!(report["problems"], Value::Array(Vec::new()));
    assert_eq!(report["newest_checkpoint"]["trusted"], true);
    let last = report["last"].as_u64().unwrap();
    assert!(report["newest_checkpoint"]["through"].as_u64().unwrap() >= last - 1, "{report}");
    let said = succeed(&verify);
    assert!(said.contains("the chain is whole") && said.contains("no checkpoint vouches"), "{said}");

    // Found by who, what and how it ended.
    let found: Value = serde_json::from_str(&succeed(&format!(
        "audit search --adapter demo --action Create --limit 3 --json {config}"
    )))
    .unwrap();
    assert_eq!(found.as_array().unwrap().len(), 3);
    assert_eq!(found[0]["object"], Value::String(keys[9].clone()), "the newest first");
    let table = succeed(&format!("audit search --outcome failure {config}"));
    assert!(table.contains("ItemNotFound") && !table.contains("success"), "{table}");
    let lines = succeed(&format!("audit export --action adapter.* --format jsonl {config}"));
    assert!(lines.lines().count() >= 1 && lines.lines().all(|line| line.contains("\"operation\":\"adapter.")));
    assert!(fail(1, &format!("audit search --adapter nobody {config}")).contains("there is no adapter"));
    fail(2, &format!("audit search --since yesterday {config}"));

    // Somebody changes one record of the copy.
    let open = copy.join("audit.jsonl");
    let text = fs::read_to_string(&open).unwrap();
    fs::write(&open, text.replacen("\"outcome\":\"success\"", "\"outcome\":\"failure\"", 1)).unwrap();
    let ran = keystead(&verify);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("was changed"), "{}", ran.stdout);
    // Or cuts its end.
    let lines: Vec<_> = text.lines().collect();
    fs::write(&open, lines[..3].join("\n") + "\n").unwrap();
    let ran = keystead(&verify);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("the end was cut off"), "{}", ran.stdout);
    // With another signer's key nothing is confirmed.
    let other = folder.path().join("other.pem");
    succeed(&format!("root-key signer --out {} {config}", other.display()));
    let ran = keystead(&format!("audit verify --signer {} {config}", other.display()));
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("none of the keys that were given"), "{}", ran.stdout);
    assert!(fail(1, &format!("audit verify --signer {} {config}", open.display())).contains("no public key"));
}

#[test]
fn a_log_without_a_signing_key_is_verified_and_says_what_that_is_worth() {
    let data = crate::cli::Data::new();
    let said = data.succeed("audit verify");
    assert!(said.contains("checkpoint  none") && said.contains("from record 1 on no checkpoint vouches"), "{said}");
    assert!(data.fail(2, "audit signer").contains("no key signs the audit log"));
}

#[test]
fn a_key_of_a_kind_that_signs_no_checkpoints_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let init = format!("init --dir {} --hsm software --tls-key ecdsa-p256 --audit-key", dir.display());
    assert!(fail(2, &format!("{init} hsm-rsa-3072")).contains("ECDSA on P-256 or P-384"));
    succeed(&format!("{init} hsm-ecdsa-p384"));
}
