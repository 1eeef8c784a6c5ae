//! Commands that speak to a server's admin API: contexts, first administrators and API keys, adapters, and what they say when they are
//! refused.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

use super::{Data, Ran, mode, program, ran, succeed};
use crate::harness::server::{Server, write_private};

/// A user's contexts, in a folder that has nothing else at first.
pub(crate) struct Desk {
    folder: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// One that speaks to `server` as the administrator that `keystead dev` makes.
    pub(crate) fn of(server: &Server) -> Self {
        let desk = Self::new();
        desk.add("main", server, &server.dir().join("admin.token"));
        desk
    }

    /// Adds a context with an API key.
    pub(crate) fn add(&self, name: &str, server: &Server, key: &Path) {
        let ca = server.dir().join("tls/ca.pem");
        let (url, ca, key) = (url(server), ca.display(), key.display());
        self.succeed(&format!("context add {name} --server {url} --ca {ca} --api-key-file {key}"));
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        let mut command = Command::new(program());
        command.args(line.split_whitespace()).stdin(Stdio::null()).current_dir(self.folder.path());
        command.env("KEYSTEAD_CONTEXTS", self.file("config/contexts.toml"));
        ran(&format!("keystead {line}"), command.output().unwrap())
    }

    pub(crate) fn succeed(&self, line: &str) -> String {
        let ran = self.run(line);
        assert_eq!(ran.code, 0, "keystead {line}\n{}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// What it complains of, and nothing else: a command that fails has no result.
    pub(crate) fn fail(&self, code: i32, line: &str) -> String {
        let ran = self.run(line);
        assert_eq!(ran.code, code, "keystead {line}\n{}{}", ran.stdout, ran.stderr);
        ran.stderr
    }

    pub(crate) fn json(&self, line: &str) -> Value {
        let said = self.succeed(&format!("{line} --json"));
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("keystead {line}\n{said}"))
    }
}

pub(crate) fn url(server: &Server) -> String {
    format!("https://{}", server.admin_addr())
}

#[test]
fn contexts_are_kept_closed_chosen_and_forgotten() {
    let desk = Desk::new();
    assert!(desk.fail(2, "adapter list").contains("which server?"));
    let said = desk.succeed("context add one --server https://kms.example.com --ca ca.pem --api-key-file key");
    assert!(said.contains("is the current one"), "{said}");
    let thumbprint = "AB:".repeat(31) + "AB";
    let operator = "--cert me.pem --key me.key";
    let said = desk.succeed(&format!("context add two --server https://[::1]:9 --thumbprint {thumbprint} {operator}"));
    assert!(!said.contains("is the current one"), "{said}");
    assert_eq!(mode(&desk.file("config/contexts.toml")), 0o600);
    let listed = desk.json("context list");
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!((&listed[0]["name"], &listed[0]["current"]), (&"one".into(), &true.into()));
    // A path is kept so that it means the same file in every directory.
    assert_eq!(listed[0]["ca"], desk.file("ca.pem").display().to_string());
    assert_eq!(listed[1]["thumbprint"], "AB".repeat(32));
    desk.succeed("context use two");
    assert!(desk.succeed("context list").lines().any(|line| line.starts_with("*  two")));
    desk.succeed("context remove two");
    assert!(desk.fail(2, "context use two").contains("there is one"));
    assert!(desk.fail(2, "context test").contains("which server?"));
    assert!(desk.fail(2, "adapter list --context two").contains("no context \"two\""));

    for bad in [
        "context add bad --server http://a --ca c --api-key-file k",
        "context add bad --server https://a/path --ca c --api-key-file k",
        "context add bad --server https://a --api-key-file k",
        "context add bad --server https://a --ca c",
        "context add bad --server https://a --ca c --cert c",
        "context add bad --server https://a --thumbprint abab --api-key-file k",
        "context add bad --server https://a --ca c --api-key ks_0",
    ] {
        desk.fail(2, bad);
    }
    std::fs::set_permissions(desk.file("config/contexts.toml"), std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(desk.fail(1, "context list").contains("chmod 600"));
}

#[test]
fn the_token_of_init_makes_the_first_administrator_who_makes_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let said = succeed(&format!("init --dir {} --hsm software --tls-key ecdsa-p256", dir.display()));
    let token = said.split_whitespace().find(|word| word.starts_with("ks_")).expect("init prints a token");
    let server = Server::serving(&dir, &[]);
    let desk = Desk::new();
    write_private(&desk.file("token"), token);
    desk.add("first", &server, &desk.file("token"));

    // It makes an identity and its key, and nothing else.
    let said = desk.fail(1, "adapter list");
    assert!(said.contains("Your roles do not allow this") && said.contains("first administrator"), "{said}");
    desk.succeed("user create alice --role administrator --api-key-out alice.key");
    assert_eq!(mode(&desk.file("alice.key")), 0o600);
    assert!(desk.fail(1, "user create mallory --role administrator").contains("401"));

    desk.add("alice", &server, &desk.file("alice.key"));
    desk.succeed("context use alice");
    assert!(desk.succeed("context test").contains("you     alice"));
    desk.succeed("user create bob --kind service --role viewer --description Reports");
    let said = desk.succeed("user key create bob --name reports --expires-in-days 7 --out bob.key");
    let key = std::fs::read_to_string(desk.file("bob.key")).unwrap();
    assert!(key.starts_with("ks_") && !said.contains(key.trim()), "the key is in its file alone");
    // A file that is there is never replaced, and no key is made for it.
    assert!(desk.fail(1, "user key create bob --name again --out bob.key").contains("already a file"));
    let keys = desk.json("user key list bob");
    assert_eq!(keys.as_array().unwrap().len(), 1);
    assert!(!keys.to_string().contains(key.trim()));

    desk.add("bob", &server, &desk.file("bob.key"));
    desk.succeed("adapter list --context bob");
    let said = desk.fail(1, "adapter delete default --context bob");
    for words in ["Your roles do not allow this", "403 forbidden", "/v1/adapters/", "in the server's logs: "] {
        assert!(said.contains(words), "{said}");
    }
    desk.succeed("user update bob --role operator --no-description");
    let shown = desk.json("user show bob");
    assert_eq!((&shown["grants"][0]["role"], &shown["description"]), (&"operator".into(), &Value::Null));
    desk.succeed(&format!("user key revoke bob {}", keys[0]["id"].as_str().unwrap()));
    assert!(desk.fail(1, "adapter list --context bob").contains("401"));
    assert!(desk.fail(1, "user show nobody").contains("there is alice, bob"));
    desk.fail(2, "user update bob");
    desk.fail(2, "user create carol --role root");
    desk.succeed("user delete bob");
    assert!(!desk.succeed("user list").contains("bob"));
}

#[test]
fn an_operator_is_recognised_by_a_certificate_and_a_server_by_its_own() {
    let server = Server::start();
    let desk = Desk::of(&server);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem();
    std::fs::write(desk.file("me.pem"), certificate).unwrap();
    write_private(&desk.file("me.key"), &key.serialize_pem());
    desk.succeed("user create me --role auditor --cert me.pem");
    let thumbprint = desk.json("server show")["certificate"]["thumbprint_sha256"].as_str().unwrap().to_owned();
    let (url, files) = (url(&server), "--cert me.pem --key me.key");
    desk.succeed(&format!("context add pinned --server {url} --thumbprint {thumbprint} {files}"));
    assert!(desk.succeed("context test pinned").contains("you     me"));

    let other = format!("context add other --server {url} --thumbprint {} {files}", "ab".repeat(32));
    desk.succeed(&other);
    assert!(desk.fail(1, "context test other").contains("nothing was sent"));
    let stranger = Data::new();
    let ca = stranger.file("tls/ca.pem");
    desk.succeed(&format!("context add foreign --server {url} --ca {} {files}", ca.display()));
    assert!(desk.fail(1, "context test foreign").contains("not issued by the authority"));
    assert!(desk.fail(1, "user list --context foreign").contains("not issued by the authority"));
}

#[test]
fn what_cannot_be_an_api_key_is_never_sent_and_a_wrong_one_is_refused() {
    let server = Server::start();
    let desk = Desk::of(&server);
    write_private(&desk.file("password"), "hunter2");
    desk.add("password", &server, &desk.file("password"));
    let said = desk.fail(1, "adapter list --context password");
    assert!(said.contains("begins with ks_") && !said.contains("hunter2"), "{said}");
    let right = std::fs::read_to_string(server.dir().join("admin.token")).unwrap();
    let (id, _) = right.trim().rsplit_once('_').unwrap_or_default();
    let wrong = format!("{}_{}", &id[..35], "A".repeat(43));
    write_private(&desk.file("wrong"), &wrong);
    desk.add("wrong", &server, &desk.file("wrong"));
    let said = desk.fail(1, "adapter list --context wrong");
    assert!(said.contains("401 unauthenticated") && !said.contains(&wrong), "{said}");
    std::fs::set_permissions(desk.file("wrong"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(desk.fail(1, "adapter list --context wrong").contains("chmod 600"));
    // Not the admin API, and nothing at all.
    desk.add("closed", &server, &desk.file("password"));
    let path = desk.file("config/contexts.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    write_private(&path, &text.replace(&url(&server), &format!("https://{closed}")));
    assert!(desk.fail(1, "adapter list --context main").contains("nothing listens there"));
}

#[test]
fn a_context_is_spoken_to_and_config_still_means_the_files() {
    let server = Server::start();
    let desk = Desk::of(&server);
    let config = server.dir().join("keystead.toml");
    desk.succeed(&format!("adapter create here --config {}", config.display()));
    assert!(desk.succeed("adapter list").contains("here"));
    desk.succeed("adapter update here --rename there --description Moved --hold-seconds 60");
    let shown = desk.json("adapter show there");
    assert_eq!((&shown["description"], &shown["hold_seconds"]), (&"Moved".into(), &60.into()));
    assert!(desk.succeed("adapter show there").contains("hold seconds"));
    let listed = succeed(&format!("adapter list --json --config {}", config.display()));
    assert!(listed.contains("\"there\""));
    let here = format!("--config {}", config.display());
    assert_eq!(desk.json(&format!("adapter show there {here}")), shown, "one answer, whichever way it is asked for");
    assert!(desk.fail(2, &format!("server show {here}")).contains("--context NAME"));
    desk.fail(2, &format!("adapter list --context main --config {}", config.display()));
    desk.fail(2, "adapter update there");
    let said = desk.fail(1, "adapter show nowhere");
    assert!(said.contains("there is no adapter \"nowhere\"; there is"), "{said}");
    desk.succeed("adapter delete there");
    assert!(desk.fail(1, "adapter show there").contains("no adapter"));
    assert!(desk.succeed("server show").contains("version"));
    desk.succeed("server reload");
}

#[test]
fn completions_and_manual_pages_are_made_for_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = succeed(&format!("completions {shell}"));
        for word in ["adapter", "context", "root-key", "check"] {
            assert!(script.contains(word), "{shell} completes {word}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let said = succeed(&format!("man --dir {}", folder.path().join("man").display()));
    let pages: Vec<_> =
        std::fs::read_dir(folder.path().join("man")).unwrap().map(|page| page.unwrap().path()).collect();
    assert!(said.starts_with(&pages.len().to_string()), "{said}");
    assert!(pages.len() > 60, "{}", pages.len());
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{}", page.display());
    }
    // Every command that the help names has its page.
    commands(&mut Vec::new(), &mut |path| {
        let page = folder
            .path()
            .join("man")
            .join(format!("keystead{}.1", path.iter().map(|name| format!("-{name}")).collect::<String>()));
        assert!(pages.contains(&page), "{}", page.display());
    });
}

/// Walks over every command as the help names them.
fn commands(path: &mut Vec<String>, visit: &mut impl FnMut(&[String])) {
    visit(path);
    let help = succeed(&format!("{} --help", path.join(" ")));
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return };
    let names = list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    for name in names.filter(|name| *name != "help").map(str::to_owned).collect::<Vec<_>>() {
        path.push(name);
        commands(path, visit);
        path.pop();
    }
}

#[test]
fn a_server_verifies_its_log_and_finds_what_belongs_to_a_request() {
    let server = Server::start();
    let desk = Desk::of(&server);
    desk.succeed("adapter create verified");
    let said = desk.succeed("audit verify");
    assert!(said.contains("the chain is whole") && said.contains("checkpoint  none"), "{said}");
    let found = desk.json("audit verify");
    assert_eq!(
        (&found["clean"], &found["first"], &found["problems"]),
        (&true.into(), &1.into(), &Value::Array(vec![]))
    );
    // With files it is about these, and nobody is asked.
    let folder = server.dir().join("audit");
    assert!(desk.succeed(&format!("audit verify --dir {}", folder.display())).contains("the chain is whole"));

    let adapter = desk.json("adapter show verified")["id"].clone();
    let body = serde_json::json!({"action": "adapter.delete", "subject": adapter, "reason": "to be found"});
    let asked = server.api().post("/v1/approvals", &body).expect(201);
    let id = asked["id"].as_str().unwrap();
    let found = desk.json(&format!("audit search --approval {id} --outcome ended"));
    assert_eq!((found.as_array().unwrap().len(), &found[0]["action"]), (1, &"approval.request".into()));
    assert!(desk.succeed(&format!("audit search --approval {id}")).contains("begun"));

    // Somebody changes a letter.
    let open = folder.join("audit.jsonl");
    let text = std::fs::read_to_string(&open).unwrap();
    let at = text.find("\"name\":\"verified\"").unwrap() + 8;
    let file = std::fs::OpenOptions::new().write(true).open(&open).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"V", at as u64).unwrap();
    let ran = desk.run("audit verify");
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("PROBLEM     audit.jsonl:") && ran.stdout.contains("was changed"), "{}", ran.stdout);
}

#[test]
fn certificates_are_registered_issued_signed_and_removed_at_a_server() {
    let (server, other) = (Server::start(), Data::new());
    let desk = Desk::of(&server);
    let theirs = other.file("client/cert.pem");
    desk.succeed(&format!("cert add {} --adapter demo --name theirs", theirs.display()));
    let said = desk.fail(1, &format!("cert register {} --adapter other", theirs.display()));
    assert!(said.contains("409"), "{said}");
    let listed = desk.json("cert list --adapter demo");
    let fingerprint =
        listed.as_array().unwrap().iter().find(|one| one["name"] == "theirs").unwrap()["fingerprint"].clone();
    let fingerprint = fingerprint.as_str().unwrap();
    assert!(desk.succeed("cert list").contains(fingerprint));
    assert_eq!(desk.json(&format!("cert show {}", &fingerprint[..8]))["name"], "theirs");
    assert!(desk.succeed("cert expiring --within-days 3660").contains("theirs"));
    desk.succeed(&format!("cert remove {fingerprint}"));
    assert!(desk.fail(1, &format!("cert show {fingerprint}")).contains("no certificate"));

    write_private(&desk.file("password"), "correct horse battery");
    let issue = "cert issue --adapter demo --common-name vcenter --key ecdsa-p256 --out vcenter";
    let said = desk.succeed(&format!("{issue} --password-file password"));
    assert!(said.contains("\"vcenter\"") && !said.contains("correct horse"), "{said}");
    assert_eq!(mode(&desk.file("vcenter/client.p12")), 0o600);
    assert!(desk.fail(1, &format!("{issue} --password-file password")).contains("already a file"));
    let unpacked = Command::new("openssl")
        .args(["pkcs12", "-nodes", "-passin", "file:password", "-in", "vcenter/client.p12"])
        .current_dir(desk.file(""))
        .output()
        .unwrap();
    let unpacked = String::from_utf8(unpacked.stdout).unwrap();
    // Without a password the private key is made here and stays here.
    let own = "cert issue --adapter demo --common-name own --key ecdsa-p256 --out own";
    desk.succeed(own);
    assert_eq!(mode(&desk.file("own/key.pem")), 0o600);
    assert!(desk.fail(1, own).contains("already a file"));
    assert!(
        desk.fail(1, &own.replace("--out own", "--out taken --adapter none").replacen("--adapter demo ", "", 1))
            .contains("no adapter")
    );
    assert!(!desk.file("taken/key.pem").exists());
    let files = "--ca own/ca.pem --cert own/cert.pem --key own/key.pem";
    desk.succeed(&format!("check --addr {} {files}", server.addr()));
    assert!(unpacked.contains("PRIVATE KEY") && unpacked.contains("BEGIN CERTIFICATE"), "{unpacked}");

    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "array-1");
    std::fs::write(desk.file("array.csr"), params.serialize_request(&key).unwrap().pem().unwrap()).unwrap();
    desk.succeed("cert sign array.csr --adapter other --out array.pem");
    assert!(std::fs::read_to_string(desk.file("array.pem")).unwrap().contains("BEGIN CERTIFICATE"));
    write_private(&desk.file("array.key"), &key.serialize_pem());
    let ca = server.dir().join("tls/ca.pem");
    let files = format!("--ca {} --cert array.pem --key array.key", ca.display());
    desk.succeed(&format!("check --addr {} {files}", server.addr()));

    // A deleted adapter takes its certificates along.
    assert!(desk.succeed("adapter activity other").contains("certificate."));
    desk.succeed("adapter delete other");
    let found = desk.run(&format!("check --addr {} {files} --json", server.addr()));
    let report: Value = serde_json::from_str(&found.stdout).unwrap();
    let failed: Vec<_> =
        report["checks"].as_array().unwrap().iter().filter(|check| check["result"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{report:#}");
    assert_eq!(failed[0]["check"], "client-accepted");
}

#[test]
fn rules_and_authorities_of_a_server_are_managed() {
    let (server, other) = (Server::start(), Data::new());
    let desk = Desk::of(&server);
    let ca = other.file("tls/ca.pem");
    let said = desk.succeed(&format!("authority add {} --name theirs", ca.display()));
    let fingerprint = said.lines().next().unwrap().rsplit(' ').next().unwrap().to_owned();
    assert!(desk.succeed("authority list").contains(&fingerprint));
    desk.succeed(&format!("cert rules add --adapter demo --dns array.example.com --issuer {fingerprint}"));
    desk.succeed("cert rule add --adapter demo --common-name array-2");
    let rules = desk.json("cert rule list");
    let kinds: Vec<_> = rules.as_array().unwrap().iter().map(|rule| rule["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"dns") && kinds.contains(&"cn"), "{rules}");
    let said = desk.fail(1, &format!("authority remove {fingerprint}"));
    assert!(said.contains("409"), "{said}");
    for rule in rules.as_array().unwrap() {
        desk.succeed(&format!("cert rule remove {}", rule["id"].as_str().unwrap()));
    }
    desk.succeed(&format!("authority remove {}", &fingerprint[..8]));
    assert_eq!(desk.json("authority list"), Value::Array(Vec::new()));
    desk.fail(2, "cert rule add --adapter demo");
    desk.fail(2, "cert rule add --adapter demo --dns a --uri b");
    desk.fail(1, "cert rule remove 00000000-0000-4000-8000-000000000000");
}

#[test]
fn keys_of_a_server_are_listed_destroyed_and_recovered() {
    let server = Server::start();
    let desk = Desk::of(&server);
    desk.succeed("adapter update demo --hold-seconds 3600");
    let files = server.dir().join("client");
    let files = format!("--ca {0}/ca.pem --cert {0}/cert.pem --key {0}/key.pem", files.display());
    desk.succeed(&format!("check --as vcenter --addr {} {files} --keep-key", server.addr()));
    let listed = desk.json("key list --adapter demo --state Active");
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert!(desk.succeed(&format!("key show {id}")).contains("SymmetricKey"));
    let said = desk.fail(1, &format!("key destroy {id}"));
    assert!(said.contains("approval-needed"), "{said}");

    // What the sequence of another client leaves behind is not Active.
    desk.succeed(&format!("check --as generic --addr {} {files}", server.addr()));
    let held = desk.json("key list --adapter demo --held");
    let held = held[0]["id"].as_str().unwrap();
    desk.succeed(&format!("key recover {held}"));
    assert_eq!(desk.json(&format!("key show {held}"))["held_until"], Value::Null);
    assert!(desk.succeed(&format!("key destroy {held}")).contains("keystead key recover"));
    assert_eq!(desk.json("key list --adapter demo --limit 1").as_array().unwrap().len(), 1);
    desk.fail(1, "key list --adapter demo --state Nonsense");
    desk.fail(1, "key show 00000000-0000-4000-8000-000000000000");
    let here = format!("--config {}", server.dir().join("keystead.toml").display());
    let listed = desk.json("key list --adapter demo --state Active");
    let on_files = desk.json(&format!("key list --adapter demo --state Active {here}"));
    assert_eq!((&on_files[0]["id"], &on_files[0]["names"]), (&listed[0]["id"], &listed[0]["names"]));
    assert_eq!(on_files.as_array().unwrap().len(), listed.as_array().unwrap().len());
}

#[test]
fn an_adapters_credential_is_set_at_a_server() {
    let server = Server::start();
    let desk = Desk::of(&server);
    write_private(&desk.file("password"), "right");
    let said = desk.succeed("adapter credential demo --user fred --password-file password");
    assert!(!said.contains("right"), "{said}");
    assert_eq!(desk.json("adapter show demo")["credential_user"], "fred");
    desk.succeed("adapter credential demo --remove");
    assert_eq!(desk.json("adapter show demo")["credential_user"], Value::Null);
}
