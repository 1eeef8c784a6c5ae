//! Root keys, what needs two people, backups and the audit log of a server, by its admin API.

use super::remote::Desk;
use crate::harness::server::Server;

#[test]
fn a_root_key_is_made_rotated_attested_and_suspended_at_a_server() {
    let server = Server::start();
    let desk = Desk::of(&server);
    assert!(desk.succeed("root-key create second").contains("made inside the HSM"));
    assert!(desk.fail(1, "root-key create second").contains("409"));
    let listed = desk.json("root-key list");
    assert!(listed.as_array().unwrap().iter().any(|root| root["label"] == "second"), "{listed}");
    desk.succeed("adapter create two --root-key second");
    assert!(desk.fail(2, "adapter create three").contains("choose one with --root-key"));
    let said = desk.succeed("root-key rotate second --wait");
    assert!(said.contains("version 2 is current") && said.contains("nothing is left"), "{said}");
    assert_eq!(desk.json("root-key describe second")["current_version"], 2);
    desk.succeed("root-key describe second --proof proof.json");
    desk.succeed("root-key attest second --out attestation.json");
    // A software root key is rightly not good enough.
    assert!(desk.fail(1, "root-key verify-attestation attestation.json").contains("the signature is right"));
    desk.fail(1, "root-key retire second --version 2 --yes");
    desk.succeed("root-key retire second --version 1 --yes");
    assert!(desk.succeed("root-key suspend second").contains("suspended"));
    assert!(desk.fail(1, "adapter create three --root-key second").contains("suspended"));
    assert!(desk.succeed("root-key resume second").contains("active"));
    assert!(desk.fail(1, "root-key describe third").contains("no root key"));
    // What somebody at the machine may do alone is not done from afar.
    assert!(desk.fail(2, "root-key destroy second --yes").contains("--config FILE"));
    assert!(desk.fail(2, "root-key rotate second --share s1 --share s2").contains("--config FILE"));
    assert!(desk.succeed("root-key destroy second").contains("objects that would be lost: 0"));
    assert_eq!(desk.json("root-key describe second")["state"], "active");
}

#[test]
fn what_cannot_be_undone_is_asked_for_by_one_and_decided_by_another() {
    let server = Server::start();
    let desk = Desk::of(&server);
    for name in ["alice", "bob"] {
        desk.succeed(&format!("user create {name} --role security-officer --api-key-out {name}.key"));
        desk.add(name, &server, &desk.file(&format!("{name}.key")));
    }
    desk.succeed("root-key create doomed");
    let said = desk.succeed("root-key destroy doomed --reason Closed --context alice");
    let id = said.split_whitespace().last().unwrap().to_owned();
    let said = desk.fail(1, &format!("approval approve {id} --context alice"));
    assert!(said.contains("own-request"), "{said}");
    // Whom Alice made is no second person for her.
    desk.succeed("user create carol --role security-officer --api-key-out carol.key --context alice");
    desk.add("carol", &server, &desk.file("carol.key"));
    let said = desk.fail(1, &format!("approval approve {id} --context carol"));
    assert!(said.contains("not-independent") && said.contains("alice gave you"), "{said}");
    let shown = desk.succeed("user show carol");
    let given = shown.lines().find(|line| line.starts_with("given by")).unwrap();
    assert!(given.ends_with("  alice"), "{shown}");
    assert!(
        desk.succeed("user key list carol")
            .lines()
            .all(|line| line.ends_with("  GIVEN BY") || line.ends_with("  alice"))
    );
    assert_eq!(desk.json("user show alice")["given_by"], serde_json::json!([]));
    assert_eq!(desk.json("approval list --state pending --context bob")[0]["id"], id.as_str());
    assert!(desk.succeed(&format!("approval show {id} --context bob")).contains("Closed"));
    desk.succeed(&format!("approval approve {id} --context bob"));
    desk.succeed(&format!("approval cancel {id} --context alice"));
    assert!(desk.succeed("approval list --state cancelled").contains(&id));
    assert_eq!(desk.json("root-key describe doomed")["state"], "active");

    let said = desk.succeed("approval request --delete-adapter other --reason Moved");
    let id = said.split_whitespace().last().unwrap();
    desk.succeed(&format!("approval reject {id} --context bob"));
    assert!(desk.succeed("adapter list").contains("other"));
    desk.fail(2, "approval request --reason Nothing");
    desk.fail(2, "approval request --delete-adapter a --destroy-root-key b --reason Both");
    desk.fail(1, "approval approve 00000000-0000-4000-8000-000000000000");
}

#[test]
fn backups_are_made_and_the_audit_log_is_searched_at_a_server() {
    let server = Server::start();
    let desk = Desk::of(&server);
    assert!(desk.succeed("backup create").contains("SHA-256"));
    assert_eq!(desk.json("backup list").as_array().unwrap().len(), 1);
    desk.succeed("adapter create seen");
    let found = desk.json("audit search --action adapter.create --limit 10");
    assert!(found.as_array().unwrap().iter().any(|event| event["name"] == "seen"), "{found}");
    assert!(desk.succeed("audit search --adapter seen").contains("adapter.create"));
    desk.succeed("user create reader --role viewer --api-key-out reader.key");
    desk.add("reader", &server, &desk.file("reader.key"));
    assert!(desk.fail(1, "audit search --context reader").contains("403"));
}
