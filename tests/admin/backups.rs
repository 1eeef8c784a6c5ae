//! `/v1/backups`: a copy that is made while the server works, and that opens.

use std::{fs, path::Path};

use keystead::admin::model::Backup;
use kmip::version::Version;
use ring::digest::{SHA256, digest};
use serde_json::json;

use super::{
    administrator,
    approvals::{approve, ask, id_of, let_time_pass, path, two},
    server,
};
use crate::{
    cli::mode,
    harness::{
        ask::{get, made, material},
        create_aes,
        server::Server,
    },
};

fn put_back(copy: &Path, database: &Path) {
    for end in ["db", "db-wal", "db-shm"] {
        let _ = fs::remove_file(database.with_extension(end));
    }
    fs::copy(copy, database).unwrap();
}

#[test]
fn a_backup_is_put_back_and_its_keys_open() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_in(folder.path(), &[]);
    let api = server.api();
    let mut client = server.connect(Version::V1_4);
    let key = made(client.call(create_aes(256, [])).unwrap());
    let value = material(client.call(get(&key)).unwrap());
    let made_backup: Backup = api.post("/v1/backups", &json!({})).read(201);
    let copy = folder.path().join("backups").join(&made_backup.file);
    assert_eq!((mode(&copy), mode(copy.parent().unwrap())), (0o600, 0o700));
    let bytes = fs::read(&copy).unwrap();
    let sha256: String = digest(&SHA256, &bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((made_backup.sha256, made_backup.bytes), (sha256, bytes.len() as u64));
    let root_key = api.root_key();
    let needed: Vec<_> = made_backup.root_keys.iter().map(|root| (root.id.to_string(), root.version)).collect();
    assert_eq!(needed, [(root_key, 1)]);
    assert!(!bytes.windows(value.len()).any(|part| part == value), "what is in it is sealed");

    // What came later is not in it; what was there before is.
    let later = made(client.call(create_aes(256, [])).unwrap());
    server.stop();
    put_back(&copy, &folder.path().join("keystead.db"));
    let server = Server::start_in(folder.path(), &[]);
    let mut client = server.connect(Version::V1_4);
    assert_eq!(material(client.call(get(&key)).unwrap()), value);
    assert!(client.call(get(&later)).is_err());
}

#[test]
fn what_was_approved_when_a_backup_was_made_is_not_done_when_it_is_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_in(folder.path(), &[]);
    let api = server.api();
    let (asks, decides) = two(&server, "restored");
    let request = ask(&asks, "adapter.delete", &id_of(&api, "/v1/adapters", "other"));
    approve(&decides, &request).expect(200);
    let waits = ask(&asks, "root_key.destroy", &api.root_key());
    let backup: Backup = api.post("/v1/backups", &json!({})).read(201);
    assert_eq!(api.get(&path(&request)).expect(200)["state"], "approved", "the server itself goes on");
    // It would be due at once.
    server.stop();
    put_back(&folder.path().join("backups").join(&backup.file), &folder.path().join("keystead.db"));
    let_time_pass(folder.path(), &request, "hold_until");
    let server = Server::start_in(folder.path(), &[]);
    let api = server.api();
    for request in [&request, &waits] {
        let restored = api.get(&path(request)).expect(200);
        assert_eq!(restored["state"], "cancelled");
        assert!(restored["outcome"].as_str().unwrap().contains("restored from a backup"), "{restored}");
    }
    assert_eq!(api.get("/v1/approvals?state=approved").expect(200)["items"], json!([]));
    let adapter = id_of(&api, "/v1/adapters", "other");
    ask(&server.api(), "adapter.delete", &adapter);
}

#[test]
fn so_many_backups_are_kept_as_the_configuration_says() {
    let owned = tempfile::tempdir().unwrap();
    let dir = owned.path().join("data");
    drop(Server::start_in(&dir, &[]));
    let config = dir.join("keystead.toml");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("\nkeep = 8\n"));
    fs::write(&config, text.replace("\nkeep = 8\n", "\nkeep = 2\n")).unwrap();
    let server = Server::start_in(&dir, &[]);
    let api = server.api();
    let mut files = Vec::new();
    for _ in 0..3 {
        let backup: Backup = api.post("/v1/backups", &json!({})).read(201);
        files.push(backup.file);
    }
    let listed = super::all(&api, "/v1/backups", 1);
    assert_eq!(listed.len(), 2);
    let kept: Vec<_> = fs::read_dir(dir.join("backups")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(kept.len(), 4, "two copies with their descriptions: {kept:?}");
    let newest: Vec<_> = listed.iter().map(|backup| backup["file"].clone()).collect();
    assert_eq!(newest, [json!(files[2]), json!(files[1])]);
}

#[test]
fn roles_decide_who_makes_and_sees_backups() {
    let api = administrator();
    let officer = api.service("backups officer", &[("security-officer", None)]);
    let operator = api.service("backups operator", &[("operator", None)]);
    let refused = operator.post("/v1/backups", &json!({})).problem(403, "forbidden");
    assert_eq!(refused.members["permission"], "backup.create");
    officer.post("/v1/backups", &json!({})).expect(201);
    operator.get("/v1/backups").expect(200);
    officer.post("/v1/backups", &json!({"path": "/tmp/elsewhere"})).problem(422, "invalid");
    let adapter = api.adapter("backups scoped");
    let scoped = api.service("backups scoped", &[("administrator", Some(&adapter))]);
    scoped.post("/v1/backups", &json!({})).problem(403, "forbidden");
    scoped.get("/v1/backups").problem(403, "forbidden");
    server().stranger().get("/v1/backups").problem(401, "unauthenticated");
    api.get("/v1/backups?limit=0").problem(422, "invalid");
}
