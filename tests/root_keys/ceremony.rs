//! The files and the protocol of a ceremony, and the import of what it made.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{hold, read_protocol, shares, versions};
use crate::{
    cli::{Data, fail, keystead, mode, succeed},
    harness::skip,
};

#[test]
fn each_custodian_gets_a_file_that_only_the_owner_reads_and_the_protocol_fits_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("shares");
    let (files, protocol) = hold(&out, "main", 3, 5);
    assert_eq!(files.len(), 5);
    assert_eq!(mode(&out), 0o700);
    assert_eq!(protocol["threshold"], 3);
    for (file, row) in files.iter().zip(protocol["shares"].as_array().unwrap()) {
        assert_eq!(mode(file), 0o600);
        let share: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        for field in ["ceremony", "root_key", "version", "label", "kcv", "commitment", "threshold"] {
            assert_eq!(share[field], protocol[field], "{field}");
        }
        let sum = std::process::Command::new("sha256sum").arg(file).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        assert_eq!(sum.split_whitespace().next(), row["sha256"].as_str());
    }
}

#[test]
fn what_is_printed_to_sign_holds_no_share() {
    let folder = tempfile::tempdir().unwrap();
    let line = "root-key ceremony --label main --threshold 2 --shares 2 --out";
    let ran = keystead(&format!("{line} {}", folder.path().display()));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("PROTOCOL") && ran.stdout.contains("\"main\"") && ran.stdout.contains("signature"));
    for entry in fs::read_dir(folder.path()).unwrap() {
        let file: serde_json::Value = serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
        assert!(ran.stdout.contains(file["kcv"].as_str().unwrap()));
        let share = file["share"].as_str().unwrap();
        assert!(!ran.stdout.contains(share) && !ran.stderr.contains(share));
    }
}

#[test]
fn a_share_file_is_never_overwritten_and_a_failed_ceremony_leaves_none() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, blocked) = (folder.path().join("ours"), folder.path().join("blocked"));
    fs::create_dir(&ours).unwrap();
    fs::create_dir(&blocked).unwrap();
    fs::set_permissions(&blocked, fs::Permissions::from_mode(0o500)).unwrap();
    let (first, second) = (ours.display(), blocked.display());
    let line = format!("root-key ceremony --label main --threshold 2 --shares 2 --out {first} --out {second}");
    // Whoever may write anywhere writes there too.
    if fs::write(blocked.join("probe"), "").is_err() {
        fail(1, &line);
        assert_eq!(fs::read_dir(&ours).unwrap().count(), 0);
    }
    let said = fail(2, &format!("{line} --out {first}"));
    assert!(said.contains("3 times for 2 shares"), "{said}");

    let data = Data::new();
    let again = format!("root-key ceremony --for keystead-root --threshold 2 --shares 2 --out {first} --json");
    let (files, _) = read_protocol(&data.succeed(&again));
    let before = fs::read(&files[0]).unwrap();
    let said = data.fail(1, &again);
    assert!(said.contains("already a file"), "{said}");
    assert_eq!(fs::read(&files[0]).unwrap(), before);
}

#[test]
fn numbers_that_make_no_sense_are_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display();
    for (threshold, shares) in [(1, 3), (4, 3), (2, 17), (0, 0)] {
        let numbers = format!("--threshold {threshold} --shares {shares}");
        fail(2, &format!("root-key ceremony --label main {numbers} --out {out}"));
    }
    let numbers = "--threshold 2 --shares 3";
    fail(2, &format!("root-key ceremony {numbers} --out {out}"));
    fail(2, &format!("root-key ceremony --label a --for b {numbers} --out {out}"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_new_root_key_is_imported_once_and_used_by_adapters() {
    let data = Data::new();
    let folder = tempfile::tempdir().unwrap();
    let (files, protocol) = hold(folder.path(), "escrowed", 2, 3);
    let said = data.fail(1, &format!("root-key import {}", shares(&files[..1])));
    assert!(said.contains("1 of the 2 shares"), "{said}");
    data.succeed(&format!("root-key import {}", shares(&files[1..])));
    let listed = data.list("root-key list");
    let ours = listed.as_array().unwrap().iter().find(|row| row["label"] == "escrowed").unwrap();
    assert_eq!((&ours["id"], &ours["kcv"]), (&protocol["root_key"], &protocol["kcv"]));
    // Doing it again, with other shares of it, changes nothing.
    data.succeed(&format!("root-key import {}", shares(&files[..2])));
    let ids = |listed: &serde_json::Value| -> Vec<serde_json::Value> {
        let rows = listed.as_array().unwrap().iter();
        rows.map(|row| serde_json::json!([row["id"], row["label"], row["state"], row["kcv"], row["adapters"]]))
            .collect()
    };
    assert_eq!(ids(&data.list("root-key list")), ids(&listed));
    data.succeed("adapter create vsphere --root-key escrowed");
    let listed = data.list("root-key list");

    let (others, _) = hold(&folder.path().join("others"), "escrowed", 2, 2);
    let said = data.fail(1, &format!("root-key import {}", shares(&others)));
    assert!(said.contains("already a root key \"escrowed\""), "{said}");
    let said = data.fail(1, &format!("root-key import {}", shares(&[files[0].clone(), others[1].clone()])));
    assert!(said.contains("shares of two ceremonies"), "{said}");
    assert_eq!(data.list("root-key list"), listed);

    let audit = fs::read_to_string(data.file("audit/audit.jsonl")).unwrap();
    let imports = audit.lines().filter(|line| line.contains("root_key.import"));
    let done = imports.filter(|line| line.contains("success") && line.contains(protocol["root_key"].as_str().unwrap()));
    assert_eq!(done.count(), 2);
}

#[test]
fn a_share_file_that_others_can_read_or_that_was_damaged_is_refused() {
    let data = Data::new();
    let folder = tempfile::tempdir().unwrap();
    let (files, _) = hold(folder.path(), "escrowed", 2, 2);
    let line = format!("root-key import {}", shares(&files));
    fs::set_permissions(&files[0], fs::Permissions::from_mode(0o644)).unwrap();
    let said = data.fail(1, &line);
    assert!(said.contains("chmod 600"), "{said}");
    fs::set_permissions(&files[0], fs::Permissions::from_mode(0o600)).unwrap();
    let text = fs::read_to_string(&files[1]).unwrap();
    fs::write(&files[1], text.replace("escrowed", "escrowEd")).unwrap();
    let said = data.fail(1, &line);
    assert!(said.contains(files[1].to_str().unwrap()) && said.contains("checksum"), "{said}");
    fs::write(&files[1], text).unwrap();
    data.succeed(&line);
}

#[test]
fn shares_of_the_next_version_are_a_rotation_and_others_are_refused() {
    let data = Data::new();
    let folder = tempfile::tempdir().unwrap();
    let ceremony = |name: &str| {
        let out = folder.path().join(name);
        let line =
            format!("root-key ceremony --for keystead-root --threshold 2 --shares 2 --out {} --json", out.display());
        read_protocol(&data.succeed(&line))
    };
    let (second, protocol) = ceremony("second");
    let (rival, _) = ceremony("rival");
    assert_eq!(protocol["version"], 2);
    data.succeed(&format!("root-key import {}", shares(&second)));
    // Another key as the same version is not taken for it.
    let said = data.fail(1, &format!("root-key import {}", shares(&rival)));
    assert!(said.contains("another key"), "{said}");
    let versions: Vec<_> = versions(&data.dir(), "keystead-root").iter().map(|row| row["version"].clone()).collect();
    assert_eq!(versions, [1, 2]);

    // A database that knows nothing of the root key takes its first version only.
    let other = Data::new();
    let said = other.fail(1, &format!("root-key import {}", shares(&second)));
    assert!(said.contains("does not know"), "{said}");
    data.fail(1, "root-key ceremony --for nobody --threshold 2 --shares 2 --out nowhere");
    let said = succeed("root-key ceremony --help");
    assert!(said.contains("--for"), "{said}");
}

#[test]
fn a_rotation_takes_the_shares_of_the_next_version_and_no_others() {
    let data = Data::new();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (files, _) = hold(&at("first"), "escrowed", 2, 2);
    data.succeed(&format!("root-key import {}", shares(&files)));
    let next =
        format!("root-key ceremony --for escrowed --threshold 2 --shares 2 --out {} --json", at("next").display());
    let (next, protocol) = read_protocol(&data.succeed(&next));
    for wrong in [&files, &hold(&at("stranger"), "stranger", 2, 2).0] {
        data.fail(2, &format!("root-key rotate escrowed {}", shares(wrong)));
    }
    data.fail(1, &format!("root-key rotate escrowed {}", shares(&next[..1])));
    assert_eq!(versions(&data.dir(), "escrowed").len(), 1);
    data.succeed(&format!("root-key rotate escrowed --wait {}", shares(&next)));
    let listed = versions(&data.dir(), "escrowed");
    assert_eq!((&listed[1]["kcv"], listed[1]["attestation"].is_string()), (&protocol["kcv"], true));
    assert_eq!((&listed[0]["state"], &listed[1]["state"]), (&"superseded".into(), &"current".into()));

    let (proof, pem) = (at("proof.json"), at("signer.pem"));
    data.succeed(&format!("root-key describe escrowed --proof {}", proof.display()));
    data.succeed(&format!("root-key signer --out {}", pem.display()));
    let said = succeed(&format!("root-key verify-attestation {} --signer {}", proof.display(), pem.display()));
    for part in ["PROOF OF A ROTATION", "from version 1 to 2", "0 left under other versions", "result      valid\n"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    // Shares of what is current are for nothing but a token that has lost it.
    data.fail(2, &format!("root-key rotate escrowed {}", shares(&next)));
    data.succeed(&format!("root-key import {}", shares(&next)));
}

/// The program of the documentation, which a security officer may need when there is no Keystead.
#[test]
fn the_documents_program_puts_the_key_together() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/key-ceremony.md")).unwrap();
    let program = text.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let run = |numbers: &[u8]| {
        let files = numbers.iter().map(|number| root.join(format!("src/ceremony/golden/share-{number}.json")));
        std::process::Command::new("python3").arg("-c").arg(program).args(files).output()
    };
    let Ok(output) = run(&[4, 1, 3]) else { return skip("python3 is not on this machine") };
    let key: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), key, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!run(&[1, 2]).unwrap().status.success());
}
