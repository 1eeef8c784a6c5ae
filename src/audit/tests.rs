use std::{fs, net::Ipv4Addr, os::unix::fs::PermissionsExt};

use serde_json::Value;
use tempfile::TempDir;

use super::*;

fn request(operation: &'static str) -> Event {
    Event::Request(RequestEvent {
        adapter: AdapterId(Uuid::from_u128(1)),
        certificate: Fingerprint([0xab; 32]),
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 40000)),
        operation,
        object: Some(ObjectId(Uuid::from_u128(2))),
        outcome: Outcome::Failed("ItemNotFound"),
        correlation: Uuid::from_u128(3),
        version: Some((1, 1)),
    })
}

fn admin() -> Event {
    Event::Admin(AdminEvent {
        actor: Actor::LocalUser { uid: 1000 },
        action: "adapter.create",
        adapter: Some(AdapterId(Uuid::from_u128(1))),
        certificate: None,
        ca_rule: None,
        root_key: Some(Uuid::from_u128(9)),
        outcome: Outcome::Success,
        correlation: Uuid::from_u128(4),
    })
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_event_is_one_line_with_everything_an_auditor_asks_for() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let audit = Audit::open(&path).unwrap();
    audit.append(&[request("Get"), admin()]).unwrap();

    let found = lines(&path);
    assert_eq!(found.len(), 2);
    let time = found[0]["time"].as_str().unwrap();
    assert_eq!(time.len(), "2025-01-01T00:00:00.000Z".len(), "{time}");
    time.parse::<Timestamp>().unwrap();
    let without = |line: &Value| {
        let mut line = line.clone();
        line.as_object_mut().unwrap().retain(|name, _| name != "time" && name != "writer");
        line
    };
    assert_eq!(
        without(&found[0]),
        serde_json::json!({
            "sequence": 1, "kind": "request", "adapter": "00000000-0000-0000-0000-000000000001", "certificate": "ab".repeat(32),
            "peer": "127.0.0.1:40000", "version": "1.1", "operation": "Get", "object": "00000000-0000-0000-0000-000000000002",
            "outcome": "ItemNotFound", "correlation": "00000000-0000-0000-0000-000000000003",
        })
    );
    assert_eq!(
        without(&found[1]),
        serde_json::json!({
            "sequence": 2, "kind": "admin", "actor": "uid:1000", "adapter": "00000000-0000-0000-0000-000000000001",
            "operation": "adapter.create", "root_key": "00000000-0000-0000-0000-000000000009", "outcome": "success",
            "correlation": "00000000-0000-0000-0000-000000000004",
        })
    );
}

#[test]
fn only_the_owner_can_read_a_new_file() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let _audit = Audit::open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_was_there_stays_and_a_half_line_does_not_swallow_the_next() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    fs::write(&path, "{\"whole\":1}\n{\"half\":").unwrap();
    Audit::open(&path).unwrap().append(&[request("Get")]).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let found: Vec<_> = text.lines().collect();
    assert_eq!(found[..2], ["{\"whole\":1}", "{\"half\":"]);
    assert_eq!(serde_json::from_str::<Value>(found[2]).unwrap()["operation"], "Get");
}

#[test]
fn writers_on_many_threads_and_of_two_openings_leave_whole_lines_without_gaps() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let (one, two) = (Audit::open(&path).unwrap(), Audit::open(&path).unwrap());
    thread::scope(|scope| {
        for audit in [&one, &one, &two, &two] {
            scope.spawn(move || {
                for _ in 0..250 {
                    audit.append(&[request("Get"), request("Locate")]).unwrap();
                }
            });
        }
    });
    let found = lines(&path);
    for writer in [one.shared.writer, two.shared.writer] {
        let sequence: Vec<_> = found
            .iter()
            .filter(|line| line["writer"] == writer.to_string())
            .map(|line| line["sequence"].as_u64().unwrap())
            .collect();
        assert_eq!(sequence, (1..=1000).collect::<Vec<_>>());
    }
}

#[test]
fn after_a_rotation_events_go_to_the_new_file() {
    let directory = TempDir::new().unwrap();
    let (path, old) = (directory.path().join("audit.jsonl"), directory.path().join("audit.1"));
    let audit = Audit::open(&path).unwrap();
    audit.append(&[request("Get")]).unwrap();
    fs::rename(&path, &old).unwrap();
    audit.append(&[request("Locate")]).unwrap();
    audit.reopen().unwrap();
    audit.append(&[request("Destroy")]).unwrap();
    assert_eq!(lines(&old).len(), 2);
    let found = lines(&path);
    assert_eq!((found.len(), found[0]["sequence"].as_u64()), (1, Some(3)));
}

#[test]
fn a_full_disk_is_an_error_and_not_a_silence() {
    // Every write to /dev/full fails as on a full disk.
    let audit = Audit::open(Path::new("/dev/full")).unwrap();
    let error = audit.append(&[request("Get")]).unwrap_err();
    assert!(
        matches!(error, AuditError::File { ref source, .. } if source.kind() == io::ErrorKind::StorageFull),
        "{error}"
    );
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let directory = TempDir::new().unwrap();
    let error = Audit::open(&directory.path().join("missing/audit.jsonl")).unwrap_err();
    assert!(error.to_string().contains("missing/audit.jsonl"), "{error}");
}
