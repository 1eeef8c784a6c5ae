//! The log takes the record that a change begins and not the record of how it ended.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use kmip::{client::RequestBuilder, payloads::DiscoverVersionsRequest, version::Version};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use super::whole;
use crate::harness::{api::Reply, server::Server};

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// The lines about administration with this correlation id, oldest first.
fn of(log: &Path, reply: &Reply) -> Vec<Value> {
    let correlation = serde_json::from_str::<Value>(&reply.text).unwrap()["correlation"].clone();
    let text = fs::read(log).unwrap();
    let lines = text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    lines.filter(|line| line["correlation"] == correlation).collect()
}

#[test]
fn a_change_whose_end_cannot_be_recorded_is_on_record_as_begun() {
    let dir = tempfile::tempdir().unwrap();
    // The limit comes with a signal that ends a process which does not ignore it.
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#, env!("CARGO_BIN_EXE_keystead")]);
    let server = Server::start_by(command, dir.path(), &[]);
    let api = server.api();
    let path = format!("/v1/adapters/{}", api.adapter("intent"));
    let log = dir.path().join("audit/audit.jsonl");
    let database = dir.path().join("keystead.db");
    let others = ["keystead.db", "keystead.db-wal", "keystead.db-shm"].map(|name| dir.path().join(name));
    // With the log the longest file by far, a limit on the length of files is one on the log.
    let mut client = server.connect(Version::V1_4);
    let batch = || {
        let items = 0..200;
        let ask = || DiscoverVersionsRequest { protocol_version: Vec::new() };
        items.fold(RequestBuilder::new(Version::V1_4), |batch, _| batch.item(ask()))
    };
    while size(&log) < (1 << 20) + 2 * others.iter().map(|path| size(path)).max().unwrap() {
        client.send(batch()).unwrap();
    }
    drop(client);
    // How long the records of such a change are.
    api.patch(&path, &json!({"description": "number 1"})).expect(200);
    let text = fs::read_to_string(&log).unwrap();
    let lengths: Vec<u64> = text.lines().rev().take(2).map(|line| line.len() as u64 + 1).collect();
    let begun = lengths[1];
    let etag = api.get(&path).header("etag").to_owned();
    let limit = |bytes: Option<u64>| {
        let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap());
        prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).expect("limits can be set");
    };
    limit(Some(size(&log) + begun + 40));
    let body = json!({"description": "number 2"}).to_string();
    let refused = api.with("if-match", &etag).send("PATCH", &path, Some(&body));
    refused.problem(503, "audit-unavailable");
    let found = of(&log, &refused);
    let said: Vec<_> = found.iter().map(|line| (line["operation"].as_str(), line["outcome"].as_str())).collect();
    assert_eq!(said, [(Some("adapter.update"), Some("begun"))]);
    assert!(path.ends_with(found[0]["adapter"].as_str().unwrap()));
    let changed = || {
        let database = rusqlite::Connection::open(&database).unwrap();
        let sql = "SELECT description FROM adapter WHERE name = 'intent'";
        database.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap()
    };
    assert_eq!(changed(), "number 2", "it was made, and the record that it began is all there is of it");
    // Nothing more is begun.
    let refused = api.with("if-match", "*").send("PATCH", &path, Some(&json!({"description": "number 3"}).to_string()));
    refused.problem(503, "audit-unavailable");
    assert_eq!((changed().as_str(), of(&log, &refused).len()), ("number 2", 0));

    limit(None);
    let deadline = Instant::now() + Duration::from_secs(60);
    while api.get(&path).status != 200 {
        assert!(Instant::now() < deadline, "there is room again");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(api.get(&path).expect(200)["description"], "number 2");
    server.kill();
    whole(dir.path());
}
