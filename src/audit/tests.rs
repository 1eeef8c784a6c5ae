use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
};

use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::store::{AdapterId, Fingerprint, ObjectId};

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
        peer: None,
        action: "adapter.create",
        subject: Subject {
            adapter: Some(AdapterId(Uuid::from_u128(1))),
            root_key: Some(Uuid::from_u128(9)),
            ..Subject::default()
        },
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

#[test]
fn an_identity_a_denial_and_every_subject_are_written() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let audit = Audit::open(&path).unwrap();
    let id = |number| Uuid::from_u128(number);
    let event = AdminEvent {
        actor: Actor::Identity(Identity {
            id: id(1),
            name: Name::new("Ünal \"the\" auditor"),
            via: Via::ApiKey(id(2)),
        }),
        peer: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 40000))),
        action: "approval.decide",
        subject: Subject {
            adapter: Some(AdapterId(id(3))),
            certificate: Some(Fingerprint([1; 32])),
            ca_rule: Some(id(4)),
            root_key: Some(id(5)),
            object: Some(ObjectId(id(6))),
            identity: Some(id(7)),
            api_key: Some(id(8)),
            approval: Some(id(9)),
            authority: Some(Fingerprint([2; 32])),
            name: Some(Name::new("arrays")),
        },
        outcome: Outcome::Denied("approval.decide"),
        correlation: id(10),
    };
    let via = |via| AdminEvent {
        actor: Actor::Identity(Identity { id: id(1), name: Name::new("x"), via }),
        subject: Subject::default(),
        ..event.clone()
    };
    audit
        .append(&[
            Event::Admin(event.clone()),
            Event::Admin(via(Via::Certificate(Fingerprint([3; 32])))),
            Event::Admin(via(Via::Session(id(11)))),
        ])
        .unwrap();
    let found = lines(&path);
    let uuid = |number| Uuid::from_u128(number).to_string();
    for (field, value) in [
        ("actor", format!("identity:{}", uuid(1))),
        ("actor_name", "Ünal \"the\" auditor".to_owned()),
        ("via", format!("api_key:{}", uuid(2))),
        ("peer", "127.0.0.1:40000".to_owned()),
        ("operation", "approval.decide".to_owned()),
        ("adapter", uuid(3)),
        ("certificate", "01".repeat(32)),
        ("ca_rule", uuid(4)),
        ("root_key", uuid(5)),
        ("object", uuid(6)),
        ("identity", uuid(7)),
        ("api_key", uuid(8)),
        ("approval", uuid(9)),
        ("authority", "02".repeat(32)),
        ("name", "arrays".to_owned()),
        ("outcome", "denied".to_owned()),
        ("permission", "approval.decide".to_owned()),
    ] {
        assert_eq!(found[0][field], Value::String(value), "{field}");
    }
    assert_eq!(found[1]["via"], format!("certificate:{}", "03".repeat(32)));
    assert_eq!(found[2]["via"], format!("session:{}", uuid(11)));
}

#[test]
fn hostile_names_forge_no_line() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let audit = Audit::open(&path).unwrap();
    let long = "x".repeat(10_000);
    let names = [
        "a\nb",
        "a\r\n{\"sequence\":1,\"kind\":\"admin\"}\n",
        "\",\"outcome\":\"success\",\"x\":\"",
        "\\\",\"x\":\"",
        "\0\u{1b}[2J\u{7f}\u{85}",
        "\u{202e}txt.exe\u{2028}\u{2029}\u{feff}",
        "🔑\u{e0001}",
        &long,
        &"é".repeat(10_000),
    ];
    for (number, name) in names.iter().enumerate() {
        let Event::Admin(event) = admin() else { unreachable!() };
        let subject = Subject { name: Some(Name::new(name)), ..Subject::default() };
        audit.append(&[Event::Admin(AdminEvent { subject, outcome: Outcome::Failed("failed"), ..event })]).unwrap();
        let found = lines(&path);
        assert_eq!(found.len(), number + 1);
        assert_eq!(found[number]["outcome"], "failed");
        let written = found[number]["name"].as_str().unwrap();
        assert!(written.len() <= Name::MAX_BYTES);
        assert!(*name == written || name.starts_with(written.strip_suffix('…').unwrap()));
    }
    let text = fs::read_to_string(&path).unwrap();
    let hidden = |c: char| c != '\n' && (c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{feff}'));
    assert!(!text.contains(hidden));
}
