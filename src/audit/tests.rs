use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
};

use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

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

/// The lines that are about events.
fn events(path: &Path) -> Vec<Value> {
    lines(path).into_iter().filter(|line| line["kind"] == "request" || line["kind"] == "admin").collect()
}

/// The log in `directory` has no fault.
fn whole(directory: &Path) -> verify::Report {
    let report = verify::verify(&verify::Evidence::of_folder(directory).unwrap()).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    report
}

#[test]
fn an_event_is_one_line_with_everything_an_auditor_asks_for() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let audit = Audit::open(&path).unwrap();
    audit.append(&[request("Get"), admin()]).unwrap();

    let found = events(&path);
    assert_eq!(found.len(), 2);
    let time = found[0]["time"].as_str().unwrap();
    assert_eq!(time.len(), "2025-01-01T00:00:00.000Z".len(), "{time}");
    time.parse::<Timestamp>().unwrap();
    let without = |line: &Value| {
        let mut line = line.clone();
        line.as_object_mut().unwrap().retain(|name, _| name != "time" && name != "prev");
        line
    };
    assert_eq!(
        without(&found[0]),
        serde_json::json!({
            "sequence": 2, "kind": "request", "adapter": "00000000-0000-0000-0000-000000000001", "certificate": "ab".repeat(32),
            "peer": "127.0.0.1:40000", "version": "1.1", "operation": "Get", "object": "00000000-0000-0000-0000-000000000002",
            "outcome": "ItemNotFound", "correlation": "00000000-0000-0000-0000-000000000003",
        })
    );
    assert_eq!(
        without(&found[1]),
        serde_json::json!({
            "sequence": 3, "kind": "admin", "actor": "uid:1000", "adapter": "00000000-0000-0000-0000-000000000001",
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
fn a_half_line_is_accounted_for_by_the_next_record() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let append = || Audit::open(&path).unwrap().append(&[request("Get")]).unwrap();
    append();
    let whole_lines = fs::read_to_string(&path).unwrap();
    for torn in ["{\"sequence\":3,\"pre", "{\"sequence\":3}\n{\"seq", "garbage\n", "\n"] {
        fs::write(&path, [&whole_lines, torn].concat()).unwrap();
        append();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&[&whole_lines, torn].concat()), "nothing is taken away");
        let report = whole(directory.path());
        assert_eq!((report.records, report.notes.len()), (4, 1), "{torn:?}");
        // Another line in its place is not accounted for.
        let changed = text.replacen(torn.trim_end(), "{\"sequence\":3,\"prx", 1);
        if changed != text && torn.len() > 2 {
            fs::write(&path, changed).unwrap();
            let evidence = verify::Evidence::of_folder(directory.path()).unwrap();
            let problem = verify::verify(&evidence).unwrap().problems.remove(0);
            assert_eq!(problem.kind, verify::ProblemKind::WrongRecovery, "{torn:?}");
        }
    }
    // A record that lacks only its newline is one.
    fs::write(&path, whole_lines.trim_end()).unwrap();
    append();
    let report = whole(directory.path());
    assert_eq!((report.records, report.notes.len()), (3, 0));
}

#[test]
fn threads_of_two_openings_make_one_chain() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let options = Options { sync: SyncPolicy::Interval, ..Options::default() };
    let open = || Audit::open_with(&path, options).unwrap();
    let (one, two) = (open(), open());
    thread::scope(|scope| {
        for audit in [&one, &one, &two, &two] {
            scope.spawn(move || {
                for _ in 0..250 {
                    audit.append(&[request("Get"), request("Locate")]).unwrap();
                }
            });
        }
    });
    let report = whole(directory.path());
    assert_eq!((report.first, report.last), (Some(1), Some(2001)));
    assert_eq!(events(&path).len(), 2000);
}

#[test]
fn segments_are_sealed_by_one_opening_while_another_writes_and_nothing_is_lost() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let open = || Audit::open_with(&path, Options { sync: SyncPolicy::Interval, ..Options::default() }).unwrap();
    let (one, two) = (open(), open());
    two.reopen().unwrap();
    thread::scope(|scope| {
        for audit in [&one, &two] {
            scope.spawn(move || {
                for _ in 0..500 {
                    audit.append(&[request("Get")]).unwrap();
                }
            });
        }
        scope.spawn(|| {
            for number in 0..20 {
                [&one, &two][number % 2].reopen().unwrap();
            }
        });
    });
    one.reopen().unwrap();
    let report = whole(directory.path());
    let place = Place::new(&path);
    let found: usize = place.segments().unwrap().iter().map(|segment| events(&segment.path).len()).sum();
    assert_eq!(found, 1000);
    assert!(report.segments >= 2);
    for segment in place.segments().unwrap() {
        assert_eq!(lines(&segment.path)[0]["kind"], "segment");
        let is_open = segment.path == path;
        assert_eq!(lines(&segment.path).last().unwrap()["kind"] == "seal", !is_open);
    }
    // An empty segment is not sealed.
    one.reopen().unwrap();
    assert_eq!(place.segments().unwrap().len(), report.segments);
}

#[test]
fn whoever_died_between_sealing_and_renaming_is_finished_by_the_next() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let audit = Audit::open(&path).unwrap();
    audit.append(&[request("Get")]).unwrap();
    audit.shared.append_own(&Own::Seal).unwrap();
    drop(audit);
    Audit::open(&path).unwrap().append(&[request("Locate")]).unwrap();
    assert_eq!(whole(directory.path()).segments, 2);
    assert_eq!(events(&path).len(), 1);
    // And one that died before the first record of the new segment.
    Audit::open(&path).unwrap().reopen().unwrap();
    fs::remove_file(&path).unwrap();
    Audit::open(&path).unwrap().append(&[request("Query")]).unwrap();
    assert_eq!(whole(directory.path()).segments, 3);
}

#[test]
fn what_was_cut_off_while_it_was_open_is_missed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let audit = Audit::open(&path).unwrap();
    audit.append(&[request("Get")]).unwrap();
    let length = fs::metadata(&path).unwrap().len();
    audit.append(&[request("Destroy"), request("Destroy")]).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(length).unwrap();
    audit.append(&[request("Locate")]).unwrap();
    let report = verify::verify(&verify::Evidence::of_folder(directory.path()).unwrap()).unwrap();
    assert_eq!(report.problems[0].kind, verify::ProblemKind::Missing { through: 4 });
    assert_eq!(report.problems[0].sequence, Some(3));
}

#[test]
fn a_file_of_another_form_is_set_aside_and_kept() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let old = "{\"time\":\"2026-01-01T00:00:00.000Z\",\"sequence\":1}\n";
    fs::write(&path, old).unwrap();
    Audit::open(&path).unwrap().append(&[request("Get")]).unwrap();
    whole(directory.path());
    let aside: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("unchained"))
        .collect();
    assert_eq!(fs::read_to_string(&aside[0]).unwrap(), old);
}

#[test]
fn a_full_disk_is_an_error_that_says_what_to_do_until_there_is_room() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    // Every write to /dev/full fails as on a full disk.
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let audit = Audit::open(&path).unwrap();
    let error = audit.append(&[request("Get")]).unwrap_err();
    assert!(
        matches!(error, AuditError::File { ref source, .. } if source.kind() == io::ErrorKind::StorageFull),
        "{error}"
    );
    assert!(error.to_string().contains("make room"), "{error}");
    assert!(audit.health().is_err());
    fs::remove_file(&path).unwrap();
    audit.health().unwrap();
    audit.append(&[request("Get")]).unwrap();
    let kinds: Vec<_> = lines(&path).iter().map(|line| line["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["segment", "resumed", "request"]);
    whole(directory.path());
}

#[test]
fn a_lock_that_somebody_holds_for_ever_is_an_error_and_not_a_wait() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let audit = Audit::open(&path).unwrap();
    let other = fs::File::open(directory.path().join("audit.lock")).unwrap();
    other.lock().unwrap();
    assert!(matches!(audit.append(&[request("Get")]), Err(AuditError::Locked { .. })));
    other.unlock().unwrap();
    audit.append(&[request("Get")]).unwrap();
}

#[test]
fn changes_are_synced_before_they_are_acknowledged_and_readings_are_not() {
    let with = |operation, outcome| {
        let Event::Request(event) = request(operation) else { unreachable!() };
        Event::Request(RequestEvent { outcome, ..event })
    };
    let admin = |action, outcome, actor| {
        let Event::Admin(event) = admin() else { unreachable!() };
        Event::Admin(AdminEvent { action, outcome, actor, ..event })
    };
    for change in ["Create", "Register", "Destroy", "Revoke", "Activate", "ModifyAttribute", "SetAttribute", "New"] {
        assert!(with(change, Outcome::Success).is_mutation(), "{change}");
        assert!(!with(change, Outcome::Failed("ItemNotFound")).is_mutation());
    }
    assert!(!with("Get", Outcome::Success).is_mutation());
    assert!(admin("adapter.create", Outcome::Failed("exists"), Actor::Server).is_mutation());
    assert!(!admin("adapter.list", Outcome::Success, Actor::Server).is_mutation());
    assert!(!admin("adapter.create", Outcome::Denied("kmip-management.create"), Actor::Server).is_mutation());
    assert!(!admin("session.create", Outcome::Failed("wrong"), Actor::Unknown).is_mutation());
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
    let found = events(&path);
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
        let found = events(&path);
        assert_eq!(found.len(), number + 1);
        assert_eq!(found[number]["outcome"], "failed");
        let written = found[number]["name"].as_str().unwrap();
        assert!(written.len() <= Name::MAX_BYTES);
        assert!(*name == written || name.starts_with(written.strip_suffix('…').unwrap()));
    }
    let text = fs::read_to_string(&path).unwrap();
    let hidden = |c: char| c != '\n' && (c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{feff}'));
    assert!(!text.contains(hidden));
    whole(directory.path());
}
