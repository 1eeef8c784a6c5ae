//! `init`: what it makes, what it keeps, and what it refuses.

use std::{collections::BTreeMap, fs::File, path::Path};

use rusqlite::Connection;

use super::{Data, fail, keystead, mode, succeed};

/// Every file below `folder` with its content.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.display().to_string(), std::fs::read(&path).unwrap());
        }
    }
    found
}

fn has_soft_hsm() -> bool {
    pkcs11_fixtures::SoftHsm::shared().is_some()
}

#[test]
fn makes_files_that_only_the_owner_can_read() {
    let data = Data::new();
    for name in
        ["tls/ca.key", "tls/server.key", "client/key.pem", "hsm/passphrase", "hsm/root-keys", "audit/audit.jsonl"]
    {
        assert_eq!(mode(&data.file(name)), 0o600, "{name}");
    }
    for name in ["", "tls", "hsm", "audit", "client"] {
        assert_eq!(mode(&data.file(name)), 0o700, "{name}");
    }
    data.succeed("check-config");
}

#[test]
fn a_second_run_keeps_everything_and_says_so() {
    let data = Data::new();
    let before = contents(&data.dir());
    let ran = keystead(&format!("init --dir {}", data.dir().display()));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let said = ran.stderr;
    for what in ["configuration", "certificate authority", "server certificate", "client certificate"] {
        assert!(said.contains(&format!("kept  {what}")), "{what} is not in {said}");
    }
    assert!(!said.contains("made "), "{said}");
    let after = contents(&data.dir());
    for (name, content) in before.iter().filter(|(name, _)| !name.contains("keystead.db")) {
        assert!(after.get(name) == Some(content), "{name} was changed");
    }
}

#[test]
fn an_interrupted_set_up_is_completed() {
    let data = Data::new();
    let adapters = data.list("adapter list");
    for name in ["tls/server.pem", "client/cert.pem"] {
        std::fs::remove_file(data.file(name)).unwrap();
    }
    let key = std::fs::read(data.file("client/key.pem")).unwrap();
    succeed(&format!("init --dir {}", data.dir().display()));
    assert_eq!(std::fs::read(data.file("client/key.pem")).unwrap(), key);
    assert_eq!(data.list("adapter list")[0]["id"], adapters[0]["id"]);
    data.succeed("check-config");
}

#[test]
fn options_that_differ_from_what_is_there_are_refused_before_any_change() {
    let data = Data::new();
    let init = format!("init --dir {}", data.dir().display());
    let before = contents(&data.dir());
    for (options, expected) in [
        ("--hsm softhsm", "keystead.toml says hsm.backend = \"software\", --hsm says \"softhsm\": edit the file"),
        ("--module /lib/x.so", "hsm.backend = \"software\", --module says \"/lib/x.so\""),
        ("--token-label t", "--token-label says \"t\""),
        ("--pin-file /pin", "--pin-file says \"/pin\""),
        ("--tls-key rsa-3072", "has a key of the kind ecdsa-p256, --tls-key says rsa-3072"),
        ("--root-key other", "is \"keystead-root\", --root-key says \"other\""),
        ("--adapter second", "first adapter is \"default\"; make others with: keystead adapter create NAME --config"),
    ] {
        let said = fail(2, &format!("{init} {options}"));
        assert!(said.contains(expected), "{expected} is not in {said}");
    }
    let after = contents(&data.dir());
    for (name, content) in before.iter().filter(|(name, _)| !name.contains("keystead.db")) {
        assert!(after.get(name) == Some(content), "{name} was changed");
    }
    succeed(&format!("{init} --hsm software --tls-key ecdsa-p256 --root-key keystead-root --adapter default"));
}

#[test]
fn the_first_adapter_keeps_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let init = format!("init --dir {}", dir.display());
    succeed(&format!("{init} --hsm software --tls-key ecdsa-p256 --adapter first --root-key own"));
    succeed(&init);
    let config = dir.join("keystead.toml");
    let listed = succeed(&format!("adapter list --json --config {}", config.display()));
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["name"], "first");
}

#[test]
fn a_token_that_cannot_be_used_leaves_no_configuration_behind() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let (module, pin) = (folder.path().join("module.so"), folder.path().join("pin"));
    std::fs::write(&module, "not a module").unwrap();
    std::fs::write(&pin, "1234").unwrap();
    std::fs::set_permissions(&pin, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let init = format!("init --dir {} --tls-key ecdsa-p256", dir.display());
    let token = |module: &Path| {
        format!("{init} --hsm pkcs11 --module {} --token-label t --pin-file {}", module.display(), pin.display())
    };
    let said = fail(2, &token(&folder.path().join("missing.so")));
    assert!(said.contains("there is no file"), "{said}");
    fail(1, &token(&module));
    assert!(!dir.join("keystead.toml").exists());
    succeed(&format!("{init} --hsm software"));
}

#[test]
fn a_token_that_is_there_must_be_described_whole() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().display();
    let said = fail(2, &format!("init --dir {dir}/data --hsm pkcs11 --module {} --token-label t", super::program()));
    assert!(said.contains("--pin-file"), "{said}");
}

#[test]
fn the_authoritys_key_may_be_kept_elsewhere_until_something_is_issued() {
    let data = Data::new();
    let elsewhere = data.dir().with_file_name("ca.key");
    std::fs::rename(data.file("tls/ca.key"), &elsewhere).unwrap();
    let again = format!("init --dir {}", data.dir().display());
    succeed(&again);
    std::fs::remove_file(data.file("tls/server.pem")).unwrap();
    let said = fail(1, &again);
    assert!(said.contains("ca.key is not"), "{said}");
    assert!(!data.file("tls/ca.key").exists(), "another authority's key was made");
    std::fs::rename(&elsewhere, data.file("tls/ca.key")).unwrap();
    succeed(&again);
}

#[test]
fn root_keys_that_are_gone_are_never_replaced_by_new_ones() {
    let data = Data::new();
    std::fs::remove_file(data.file("hsm/root-keys")).unwrap();
    fail(1, &format!("init --dir {}", data.dir().display()));
    assert!(!data.file("hsm/root-keys").exists());
}

#[test]
fn a_soft_hsm_token_holds_a_root_key_that_cannot_leave_it() {
    if !has_soft_hsm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let init = format!("init --dir {} --tls-key ecdsa-p256 --root-key first", dir.display());
    succeed(&init);
    let config = format!("--config {}", dir.join("keystead.toml").display());
    let roots: serde_json::Value = serde_json::from_str(&succeed(&format!("root-key list --json {config}"))).unwrap();
    assert_eq!(roots[0]["label"], "first");
    let root: serde_json::Value =
        serde_json::from_str(&succeed(&format!("root-key describe first --json {config}"))).unwrap();
    assert_eq!(root["versions"][0]["hsm"]["attributes"]["sensitive"], true);
    assert_eq!(root["versions"][0]["hsm"]["attributes"]["extractable"], false);

    succeed(&init);
    let again: serde_json::Value = serde_json::from_str(&succeed(&format!("root-key list --json {config}"))).unwrap();
    assert_eq!(roots, again);
    let probe: serde_json::Value = serde_json::from_str(&succeed(&format!("hsm probe --json {config}"))).unwrap();
    assert_eq!(probe["usable"], true);
    let slots = probe["modules"][0]["slots"].as_array().unwrap();
    let trials: Vec<_> = slots.iter().map(|slot| &slot["trial"]).filter(|trial| !trial.is_null()).collect();
    assert_eq!(trials.len(), 1);
    assert_eq!((&trials[0]["usable"], &trials[0]["scheme"]), (&true.into(), &"aes-gcm".into()));
    let said = succeed(&format!("hsm probe {config}"));
    assert!(said.contains("root keys may be on it: yes") && said.contains("CKR_KEY_UNEXTRACTABLE"), "{said}");
    // A scheme that the token does not do is a reason not to use it.
    let path = dir.join("keystead.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("scheme = \"auto\"", "scheme = \"aes-kwp\"")).unwrap();
    let ran = keystead(&format!("hsm probe {config}"));
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(
        ran.stdout.contains("root keys may be on it: NO") && ran.stdout.contains("asks for aes-kwp"),
        "{}",
        ran.stdout
    );
    std::fs::write(&path, text).unwrap();

    // The token vanishes: an error, and no new token under the old name.
    std::fs::rename(dir.join("hsm/tokens"), dir.join("hsm/elsewhere")).unwrap();
    fail(1, &init);
    let away = succeed(&format!("root-key describe first --json {config}"));
    assert!(away.contains("no token with the configured label"), "{away}");
    assert_eq!(std::fs::read_dir(dir.join("hsm/tokens")).unwrap().count(), 0);
}

#[test]
fn a_wrong_configuration_is_reported_whole_with_exit_code_2() {
    let data = Data::new();
    let path = data.file("keystead.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("batch_items = 256", "batch_items = 0\nbatch_item = 1")).unwrap();
    for command in ["check-config", "serve", "adapter list"] {
        let said = data.fail(2, command);
        assert!(said.contains("has 2 problems"), "{said}");
        assert!(said.contains("limits.batch_items = 0") && said.contains("did you mean limits.batch_items?"), "{said}");
    }
}

#[test]
fn a_secret_that_others_can_read_is_refused_before_serving() {
    use std::os::unix::fs::PermissionsExt as _;
    let data = Data::new();
    std::fs::set_permissions(data.file("tls/server.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    for command in ["check-config", "serve"] {
        let said = data.fail(2, command);
        assert!(said.contains("tls.key") && said.contains("chmod 600"), "{said}");
    }
}

/// Puts an empty database of the first schema version in the place of the one that is there.
fn make_old(data: &Data) {
    for name in ["keystead.db", "keystead.db-wal", "keystead.db-shm"] {
        let _ = std::fs::remove_file(data.file(name));
    }
    let database = Connection::open(data.file("keystead.db")).unwrap();
    database.execute_batch(include_str!("../../src/store/migrations/0001_init.sql")).unwrap();
    database.pragma_update(None, "application_id", 0x4b53_5444).unwrap();
    database.pragma_update(None, "user_version", 1).unwrap();
}

fn schema_version(data: &Data) -> u32 {
    let database = Connection::open(data.file("keystead.db")).unwrap();
    database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[test]
fn a_database_is_not_migrated_under_a_server_of_an_older_version() {
    let data = Data::new();
    // What a server holds for as long as it runs.
    let lock = File::options().write(true).create(true).truncate(false).open(data.file("server.lock")).unwrap();
    lock.try_lock().unwrap();
    data.succeed("adapter list");
    make_old(&data);
    let again = format!("init --dir {}", data.dir().display());
    for said in [data.fail(1, "adapter list"), data.fail(1, "root-key create second"), fail(1, &again)] {
        assert!(said.contains("another version") && said.contains("Stop that server first"), "{said}");
        assert!(said.contains("schema version 1") && said.contains("server.lock"), "{said}");
        assert_eq!(schema_version(&data), 1);
    }
    lock.unlock().unwrap();
    assert_eq!(data.list("adapter list"), serde_json::json!([]));
    assert_eq!(schema_version(&data), 4);
    // Whoever migrated it has let go of the lock.
    lock.try_lock().unwrap();
    data.succeed("adapter list");
}
