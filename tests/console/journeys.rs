//! What an operator does in a day, from signing in to signing out.

use serde_json::json;

use super::Browser;
use crate::{
    admin::client::Holder,
    clients::vcenter,
    harness::{api::Api, server::Server},
};

fn key(server: &Server) -> String {
    std::fs::read_to_string(server.dir().join("admin.token")).unwrap().trim().to_owned()
}

/// The API key of a new identity with this role.
fn with_role(api: &Api, name: &str, role: &str) -> String {
    let grants = json!([{"role": role, "adapter": null}]);
    let made = api.post("/v1/identities", &json!({"kind": "operator", "name": name, "grants": grants})).expect(201);
    api.new_key(made["id"].as_str().unwrap())
}

fn id_of(api: &Api, list: &str, name: &str) -> String {
    let found = api.get(list).expect(200);
    let items = found["items"].as_array().unwrap();
    let one = items.iter().find(|item| item["name"] == name || item["label"] == name);
    one.unwrap()["id"].as_str().unwrap().to_owned()
}

#[test]
fn signs_in_and_out_and_is_told_what_is_wrong_with_a_key() {
    let server = Server::start();
    let Some(browser) = Browser::open(&server) else { return };
    browser.load("/adapters");
    browser.fill("API key", "ks_00000000000000000000000000000000_not-a-key-of-this-server-not-a-key-of-this");
    browser.press("Sign in");
    browser.sees("This key is not accepted");
    browser.press("Use my client certificate");
    browser.sees("No known certificate came");
    browser.fill("API key", &key(&server));
    browser.key("Enter");
    browser.sees("An adapter is a tenant");
    browser.sees("Administrator");

    // The key is nowhere in the page's reach, and the session survives that the page is loaded anew.
    let kept = browser.run("return [document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.body.innerHTML].join()", &[]);
    assert!(!kept.as_str().unwrap().contains("ks_"), "{kept}");
    browser.load("/root-keys");
    browser.sees("A root key is made inside the HSM");

    browser.press("Sign out");
    browser.sees("You are signed out.");
    browser.load("/");
    browser.sees("Sign in");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_token_of_a_new_server_makes_its_first_administrator() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let printed = crate::cli::succeed(&format!("init --dir {} --hsm software --tls-key ecdsa-p256", dir.display()));
    let token = printed.lines().find_map(|line| line.strip_prefix("admin token ")?.rsplit(' ').next()).expect(&printed);
    let server = Server::serving(&dir, &[]);
    let Some(browser) = Browser::open(&server) else { return };
    browser.load("/");
    browser.fill("API key", token);
    browser.press("Sign in");
    browser.sees("Set up this server");
    browser.fill("Your name", "Alice");
    browser.press("Make me administrator");
    browser.sees("It is shown this once");
    let made = browser.copied("API key");
    browser.press("I have saved it: sign in");
    browser.sees("Everything is well");
    server.stranger().with_key(&made).get("/v1/session").expect(200);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn makes_a_root_key_and_an_adapter_under_it() {
    let server = Server::start();
    let Some(browser) = Browser::open(&server) else { return };
    browser.sign_in(&key(&server));
    browser.press("Root keys");
    browser.press("New root key");
    browser.fill("Label", "production");
    browser.press("Make it in the HSM");
    browser.sees("Check value (KCV)");
    browser.press("Attest version 1");
    assert!(browser.downloaded("attestation-1.json").contains("signature"));

    browser.press("Adapters");
    browser.press("New adapter");
    browser.fill("Name", "demo");
    browser.choose("Root key", "production");
    browser.press("Make it");
    browser.sees("There is an adapter called");
    browser.fill("Name", "vcenter-site-a");
    browser.press("Make it");
    browser.sees("No certificate yet");
    browser.press("Policy");
    browser.fill("Description", "the vCenter of site A");
    browser.choose("When a key is destroyed", "Hold for 7 days");
    browser.press("Save");
    browser.sees("Saved");
    let api = server.api();
    let made = api.get(&format!("/v1/adapters/{}", id_of(&api, "/v1/adapters", "vcenter-site-a"))).expect(200);
    assert_eq!((&made["description"], &made["hold_seconds"]), (&"the vCenter of site A".into(), &604_800.into()));
    assert_eq!(made["root_key"]["label"], "production");

    // What has no keys is deleted by one person, who is told so in numbers.
    browser.press("Delete…");
    browser.sees("0 keys are lost");
    browser.press("Delete the adapter and its keys");
    browser.sees("vcenter-site-a is deleted");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn finds_a_key_by_what_vcenter_noted_about_it() {
    let server = Server::start();
    let Some(browser) = Browser::open(&server) else { return };
    let made = vcenter::makes_a_key(server.connect(kmip::version::Version::V1_1));
    browser.sign_in(&key(&server));
    browser.press("Keys");
    browser.sees("db 1");
    browser.press("More to search by");
    browser.fill("Attribute", "x-Name:db 2");
    browser.press("Search");
    browser.sees("No key fits");
    browser.fill("Attribute", "x-Name:db 1");
    browser.press("Search");
    browser.press("db 1");
    browser.sees(&made);
    browser.sees("VMware, Inc.");
    // By its identifier's beginning, and exported.
    browser.press("Keys");
    browser.fill("Identifier", &made[..13]);
    browser.choose("State", "Active");
    browser.press("Search");
    browser.sees("db 1");
    browser.press("Export CSV");
    assert!(browser.downloaded("keystead-Keys.csv").contains(&made));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn two_people_destroy_a_key_in_use() {
    let server = Server::start();
    let Some(alice) = Browser::open(&server) else { return };
    let api = server.api();
    let made = vcenter::makes_a_key(server.connect(kmip::version::Version::V1_1));
    alice.sign_in(&with_role(&api, "alice", "operator"));
    alice.go(&format!("/keys/{made}"));
    alice.press("Destroy…");
    alice.sees("1 key is lost");
    alice.sees("This takes two people");
    alice.fill("Reason, for whoever decides", "the machine is gone");
    alice.press("Ask for approval");
    alice.press("See the request");
    alice.sees("You asked for this, so another person must decide");
    assert!(!alice.offers("Approve…"));
    drop(alice);

    let Some(bob) = Browser::open(&server) else { return };
    bob.sign_in(&with_role(&api, "bob", "security-officer"));
    bob.press("Approvals 1 waiting");
    bob.press("Destroy the key db 1");
    bob.sees("the machine is gone");
    bob.press("Approve…");
    bob.sees("1 key is lost, 1 of them in use");
    bob.press("Approve");
    bob.sees("What became of it");
    assert_eq!(api.get(&format!("/v1/objects/{made}")).expect(200)["state"], "Destroyed");
    assert_eq!(bob.complaints(), Vec::<String>::new());
}

#[test]
fn a_hold_counts_down_and_can_be_cancelled() {
    let server = Server::start();
    let Some(browser) = Browser::open(&server) else { return };
    let api = server.api();
    vcenter::makes_a_key(server.connect(kmip::version::Version::V1_1));
    let adapter = id_of(&api, "/v1/adapters", "demo");
    let asks = server.stranger().with_key(&with_role(&api, "alice", "administrator"));
    let body = json!({"action": "adapter.delete", "subject": adapter, "reason": "the site is closed"});
    let request = asks.post("/v1/approvals", &body).expect(201)["id"].as_str().unwrap().to_owned();
    browser.sign_in(&key(&server));
    browser.go(&format!("/approvals/{request}"));
    browser.press("Approve…");
    browser.press("Approve");
    browser.sees("It is done in 59 minutes");
    browser.press("Cancel it…");
    browser.press("Cancel the request");
    browser.sees("It was cancelled before anything was done.");
    api.get(&format!("/v1/adapters/{adapter}")).expect(200);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn rotates_a_root_key_and_sees_it_finish() {
    let server = Server::start();
    let Some(browser) = Browser::open(&server) else { return };
    for _ in 0..3 {
        vcenter::makes_a_key(server.connect(kmip::version::Version::V1_1));
    }
    browser.sign_in(&key(&server));
    let api = server.api();
    browser.go(&format!("/root-keys/{}", api.root_key()));
    browser.press("Rotate…");
    browser.sees("3 keys will be re-wrapped.");
    browser.press("Rotate");
    browser.sees("Rotation to version 2 is finished");
    browser.sees("3 keys re-wrapped");
    browser.press("Download the signed proof");
    assert!(browser.downloaded("rotation-2.json").contains("signature"));
    browser.press("Suspend…");
    browser.sees("3 keys of 2 adapters cannot be used");
    browser.press("Suspend it");
    browser.sees("Nothing under it can be used until it is resumed.");
    browser.press("Resume…");
    browser.press("Resume it");
    browser.sees("It protects keys and opens them.");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn searches_exports_and_verifies_the_audit_log() {
    let server = Server::start();
    let Some(browser) = Browser::open(&server) else { return };
    vcenter::makes_a_key(server.connect(kmip::version::Version::V1_1));
    browser.sign_in(&key(&server));
    browser.press("Audit log");
    browser.press("Verify the audit log");
    browser.sees("The audit log is whole");
    browser.fill("What was done", "Create");
    browser.press("Search");
    browser.sees("KMIP 1.1");
    browser.misses("session.open");
    browser.press("Export JSON lines");
    let lines = browser.downloaded("keystead-audit.jsonl");
    assert!(lines.lines().count() >= 1 && lines.lines().all(|line| line.contains("\"action\":\"Create\"")), "{lines}");
    browser.choose("Outcome", "It failed");
    browser.press("Search");
    browser.sees("No record fits");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_session_that_ended_is_taken_up_where_it_was() {
    let server = Server::start();
    let Some(browser) = Browser::open(&server) else { return };
    let api = server.api();
    let alice = with_role(&api, "alice", "administrator");
    browser.sign_in(&alice);
    browser.press("Adapters");
    browser.press("New adapter");
    browser.fill("Name", "half-typed");
    // Her key is revoked while she types, and she gets another.
    let id = id_of(&api, "/v1/identities", "alice");
    let keys = api.get(&format!("/v1/identities/{id}/api-keys")).expect(200);
    let another = api.new_key(&id);
    let old = keys["items"][0]["id"].as_str().unwrap();
    api.send("DELETE", &format!("/v1/identities/{id}/api-keys/{old}"), None).expect_text(204);
    browser.press("Make it");
    browser.sees("Please sign in again");
    browser.fill("API key", &another);
    browser.press("Sign in");
    browser.sees("Adapter half-typed is made");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn hostile_text_is_shown_as_text() {
    let server = Server::start();
    let Some(browser) = Browser::open(&server) else { return };
    let api = server.api();
    let hostile = "<img src=x onerror=hacked()>\"'&";
    let long = "w".repeat(230);
    let body = json!({"name": hostile, "description": format!("\u{5e9}\u{5dc}\u{5d5}\u{5dd}{long}"), "root_key": api.root_key()});
    let made = api.post("/v1/adapters", &body).expect(201)["id"].as_str().unwrap().to_owned();
    let holder = Holder::new("<script>hacked()</script>");
    api.post(&format!("/v1/adapters/{made}/certificates"), &json!({"pem": holder.pem})).expect(201);
    browser.sign_in(&key(&server));
    browser.go("/adapters");
    browser.sees(hostile);
    browser.press(hostile);
    browser.sees("<script>hacked()</script>");
    let found = browser.run("return document.querySelectorAll('main img, main script').length", &[]);
    assert_eq!(found, 0);
    // Nothing is pushed off the page, at the width of a telephone either.
    browser.resize(390, 844);
    let wide = browser.run("return document.documentElement.scrollWidth - innerWidth", &[]).as_i64().unwrap();
    assert!(wide <= 0, "{wide} pixels too wide");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
