//! Root keys as operators look after them.

use hal::{DestroyConsent, RootKeys as _, SecretBytes, software::SoftwareHal};
use keystead::{
    root_keys,
    store::{RootKeyRow, RootKeyState, Store, StoreOptions},
};
use kmip::version::Version;
use serde_json::Value;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Data, keystead};
use crate::harness::{ask::made, create_aes, server::Server};

/// The root key that `init` makes.
const ROOT: &str = "keystead-root";

fn described(data: &Data, label: &str) -> Value {
    data.list(&format!("root-key describe {label}"))
}

fn audited(data: &Data, action: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(data.file("audit/audit.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    lines
        .filter(|line| line["operation"] == action && line["outcome"] != "begun")
        .map(|line| (text(&line["root_key"]), text(&line["outcome"])))
        .collect()
}

#[test]
fn a_root_key_is_suspended_and_resumed_by_label_or_id_and_that_is_on_record() {
    let data = Data::new();
    let listed = data.list("root-key list");
    assert_eq!((&listed[0]["label"], &listed[0]["state"]), (&ROOT.into(), &"active".into()));
    assert_eq!((&listed[0]["current_version"], &listed[0]["kcv"]), (&1.into(), &listed[0]["versions"][0]["kcv"]));
    let id = listed[0]["id"].as_str().unwrap().to_owned();

    assert!(data.succeed(&format!("root-key suspend {ROOT}")).contains("is now suspended"));
    assert!(data.succeed(&format!("root-key suspend {id}")).contains("was and is suspended"));
    assert_eq!(described(&data, ROOT)["state"], "suspended");
    let said = data.fail(1, &format!("adapter create second --root-key {ROOT}"));
    assert!(said.contains("suspended") && said.contains("resume it first"), "{said}");
    data.fail(1, "adapter create second");
    let said = data.fail(1, &format!("root-key rotate {ROOT}"));
    assert!(said.contains("suspended"), "{said}");

    data.succeed(&format!("root-key resume {id}"));
    assert_eq!(described(&data, &id)["state"], "active");
    data.succeed("adapter create second");
    let said = data.fail(1, "root-key suspend none");
    assert!(said.contains("no root key \"none\"") && said.contains(ROOT), "{said}");
    let ok = (id.clone(), "success".to_owned());
    assert_eq!(audited(&data, "root_key.suspend"), [ok.clone(), ok.clone()]);
    assert_eq!(audited(&data, "root_key.resume"), [ok]);
}

#[test]
fn a_root_key_is_rotated_without_a_server_and_its_old_version_retired() {
    let data = Data::new();
    let said = data.fail(1, &format!("root-key rotate {ROOT} --finish"));
    assert!(said.contains("no rotation that is not finished"), "{said}");
    let said = data.succeed(&format!("root-key rotate {ROOT}"));
    assert!(said.contains("version 2 is current"), "{said}");
    let root = described(&data, ROOT);
    let states: Vec<_> = root["versions"].as_array().unwrap().iter().map(|version| &version["state"]).collect();
    assert_eq!(states, ["superseded", "current"]);
    assert_eq!(root["versions"][1]["hsm"]["same_key"], true);
    assert_eq!(root["versions"][1]["kcv"], root["versions"][1]["hsm"]["kcv"]);
    assert_ne!(root["versions"][0]["kcv"], root["versions"][1]["kcv"]);
    assert!(root["rotation"]["finished_at"].is_string());
    assert!(data.succeed(&format!("root-key describe {ROOT}")).contains(", 0 damaged"));

    let proof = data.dir().with_file_name("proof.json");
    data.succeed(&format!("root-key describe {ROOT} --proof {}", proof.display()));
    let checked = keystead(&format!("root-key verify-attestation {}", proof.display()));
    assert_eq!(checked.code, 0, "{}{}", checked.stdout, checked.stderr);

    for (version, word) in [(2, "current one"), (7, "no version 7")] {
        let said = data.fail(1, &format!("root-key retire {ROOT} --version {version} --yes"));
        assert!(said.contains(word), "{said}");
    }
    let said = data.fail(1, &format!("root-key retire {ROOT} --version 1"));
    assert!(said.contains("backups") && said.contains("--yes"), "{said}");
    for _ in 0..2 {
        // The second time there is nothing left to do.
        assert!(data.succeed(&format!("root-key retire {ROOT} --version 1 --yes")).contains("retired"));
    }
    let root = described(&data, ROOT);
    assert_eq!((&root["versions"][0]["state"], &root["versions"][0]["hsm"]), (&"retired".into(), &Value::Null));
    assert_eq!(audited(&data, "root_key.rotate").len(), 1);
    assert_eq!(audited(&data, "root_key.rotation.finish").len(), 1);
    let outcomes: Vec<_> = audited(&data, "root_key.retire").into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(outcomes, ["state", "invalid", "success", "success"]);
    // Setting the directory up again uses the version that is left.
    super::succeed(&format!("init --dir {}", data.dir().display()));
}

#[test]
fn making_a_root_key_goes_on_where_it_was_interrupted() {
    let data = Data::new();
    let id = Uuid::new_v4();
    let path = data.file("keystead.db");
    let announced = RootKeyRow {
        id,
        label: "second".into(),
        state: RootKeyState::Suspended,
        current_version: 1,
        created_at: 1,
        changed_at: 1,
        destroyed_at: None,
        destruction: None,
        certificate: None,
        versions: Vec::new(),
    };
    Store::open(&path, StoreOptions::default()).unwrap().insert_root_key(announced).unwrap();
    assert_eq!(data.list("root-key list")[1]["state"], "unfinished");
    for command in ["root-key suspend second", "root-key resume second", "root-key rotate second"] {
        let said = data.fail(1, command);
        assert!(said.contains("never finished"), "{said}");
    }
    data.succeed("root-key create second");
    let root = described(&data, "second");
    assert_eq!((&root["id"], &root["state"]), (&id.to_string().into(), &"active".into()));
    let said = data.fail(1, "root-key create second");
    assert!(said.contains("label"), "{said}");
}

#[test]
fn root_keys_of_an_older_database_are_known_by_their_labels_as_soon_as_somebody_looks() {
    let data = Data::new();
    let path = data.file("keystead.db");
    let told = |data: &Data| {
        let listed = data.list("root-key list");
        ["id", "label", "state", "current_version", "kcv"].map(|member| listed[0][member].clone())
    };
    let before = told(&data);
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute_batch("DELETE FROM root_key_version; UPDATE root_key SET label = '';").unwrap();
    drop(database);
    assert_eq!(told(&data), before);
    let rows = Store::open(&path, StoreOptions::default()).unwrap().root_keys().unwrap();
    assert!(root_keys::recorded_kcv(&rows[0].versions[0]).is_some());
}

#[test]
fn an_object_tells_why_it_does_not_open() {
    let data = Data::new();
    let server = Server::serving(&data.dir(), &[]);
    let id = made(server.connect_as("client", Version::V1_4).call(create_aes(256, [])).unwrap());
    server.stop();
    let shown = |data: &Data| data.list(&format!("key show {id}"))["sealed"].clone();
    assert_eq!((&shown(&data)["closed"], &shown(&data)["version"]), (&Value::Null, &1.into()));
    data.succeed(&format!("root-key suspend {ROOT}"));
    assert!(shown(&data)["closed"].as_str().unwrap().contains("root-key resume"));
    let store = Store::open(&data.file("keystead.db"), StoreOptions::default()).unwrap();
    let root = store.root_keys().unwrap()[0].id;
    store.shred(root, 1_767_225_600, "{}".into()).unwrap();
    drop(store);
    let sealed = shown(&data);
    assert!(sealed["closed"].as_str().unwrap().contains("destroyed 2026-01-01"), "{sealed}");
    assert_eq!((&sealed["root_key_state"], &sealed["root_key"]), (&"destroyed".into(), &Value::Null));
    let text = data.succeed(&format!("key show {id}"));
    assert!(text.contains("cannot be recovered"), "{text}");
    let said = data.fail(1, &format!("adapter create second --root-key {ROOT}"));
    assert!(said.contains("destroyed"), "{said}");
    let said = data.fail(1, &format!("root-key resume {ROOT}"));
    assert!(said.contains("destroyed"), "{said}");
}

#[test]
fn a_version_that_the_hsm_does_not_hold_is_not_retired() {
    let data = Data::new();
    data.succeed(&format!("root-key rotate {ROOT}"));
    let passphrase = std::fs::read_to_string(data.file("hsm/passphrase")).unwrap();
    let passphrase = SecretBytes::new(Zeroizing::new(passphrase.trim_end().as_bytes().to_vec()));
    let hsm = SoftwareHal::open(&data.file("hsm/root-keys"), &passphrase).unwrap();
    let id: Uuid = described(&data, ROOT)["id"].as_str().unwrap().parse().unwrap();
    let old = root_keys::key(id, 1);
    hsm.destroy_root(old, DestroyConsent::approved_for(old)).unwrap();
    drop(hsm);
    let said = data.fail(1, &format!("root-key retire {ROOT} --version 1 --yes"));
    assert!(said.contains("not on this HSM"), "{said}");
    assert_eq!(described(&data, ROOT)["versions"][0]["state"], "superseded");
}

#[test]
fn root_keys_that_only_the_hsm_knows_are_listed_where_the_hsm_is_asked() {
    let data = Data::new();
    let known = data.list("root-key list");
    assert_eq!(data.list("root-key list --hsm"), known);
    assert_eq!((&known[0]["state"], known.as_array().unwrap().len()), (&"active".into(), 1));
    let passphrase = std::fs::read(data.file("hsm/passphrase")).unwrap().trim_ascii_end().to_vec();
    let hal = SoftwareHal::open(&data.file("hsm/root-keys"), &SecretBytes::from(passphrase)).unwrap();
    let stranger = hal.generate_root(&hal::Label::new("stranger").unwrap()).unwrap();
    // A rotation that was cut short leaves a version.
    let root = known[0]["id"].as_str().unwrap().parse::<Uuid>().unwrap();
    hal.generate_version(root_keys::key(root, 2), &hal::Label::new(ROOT).unwrap()).unwrap();

    assert_eq!(data.list("root-key list"), known);
    let listed = data.list("root-key list --hsm");
    assert_eq!(listed[0], known[0]);
    for (row, label, id, version) in
        [(&listed[1], ROOT, root.to_string(), 2), (&listed[2], "stranger", stranger.id.to_string(), 1)]
    {
        assert_eq!((&row["label"], &row["id"], &row["current_version"]), (&label.into(), &id.into(), &version.into()));
        assert_eq!(row["state"], "not on record");
    }
    assert_eq!(listed[2]["kcv"], stranger.kcv.to_string());
    let config = data.file("keystead.toml");
    let said = keystead(&format!("root-key list --hsm --config {}", config.display()));
    assert!(
        said.stdout.contains("stranger") && said.stderr.contains("root-key rotate"),
        "{}{}",
        said.stdout,
        said.stderr
    );

    // Run again, the rotation takes its version up.
    data.succeed(&format!("root-key rotate {ROOT}"));
    let listed = data.list("root-key list --hsm");
    assert_eq!((&listed[0]["current_version"], listed.as_array().unwrap().len()), (&2.into(), 2));
}
