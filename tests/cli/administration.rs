//! Adapters, credentials, certificates and rules.

use std::process::{Command, Stdio};

use super::{Data, fail, keystead, program};

#[test]
fn adapters_are_made_once_and_listed() {
    let data = Data::new();
    data.succeed("adapter create vsphere --description for-the-cluster");
    let said = data.fail(1, "adapter create vsphere");
    assert!(said.contains("409 exists") && said.contains("an adapter called \"vsphere\""), "{said}");
    data.fail(2, "adapter create v");
    data.fail(2, &format!("adapter create {}", "v".repeat(41)));
    let said = data.fail(1, "adapter create other --root-key none");
    assert!(said.contains("keystead-root"), "{said}");
    let listed = data.list("adapter list");
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(listed[1]["name"], "vsphere");
    assert_eq!(listed[1]["description"], "for-the-cluster");
    assert_eq!(listed[1]["objects"]["live"], 0);
    assert_eq!(listed[1]["root_key"]["label"], "keystead-root");
}

#[test]
fn with_several_root_keys_one_must_be_chosen() {
    let data = Data::new();
    data.succeed("root-key create second");
    let said = data.fail(1, "root-key create second");
    assert!(said.contains("label"), "{said}");
    let said = data.fail(2, "adapter create vsphere");
    assert!(said.contains("--root-key") && said.contains("second"), "{said}");
    data.succeed("adapter create vsphere --root-key second");
}

#[test]
fn a_password_comes_from_a_closed_file_or_standard_input() {
    let data = Data::new();
    let user = |data: &Data| data.list("adapter list")[0]["credential_user"].clone();
    let file = data.secret("password", "s3cret\n");
    data.succeed(&format!("adapter credential default --user fred --password-file {}", file.display()));
    assert_eq!(user(&data), "fred");
    data.succeed("adapter credential default --remove");
    assert!(user(&data).is_null());

    let mut child = Command::new(program())
        .args(["adapter", "credential", "default", "--user", "barney", "--config"])
        .arg(data.file("keystead.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"from stdin\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(user(&data), "barney");
    // Nothing on standard input is no password.
    data.fail(2, "adapter credential default --user fred");

    std::os::unix::fs::symlink(data.file("keystead.toml"), data.dir().with_file_name("open")).unwrap();
    let open = data.dir().with_file_name("open");
    let said = data.fail(1, &format!("adapter credential default --user fred --password-file {}", open.display()));
    assert!(said.contains("chmod 600"), "{said}");
    // Neither the password nor its hash is in the audit log.
    let audit = std::fs::read_to_string(data.file("audit/audit.jsonl")).unwrap();
    assert!(audit.contains("adapter.credential.set") && !audit.contains("s3cret") && !audit.contains("argon2"));
}

#[test]
fn a_certificate_belongs_to_one_adapter_only() {
    let (data, stranger) = (Data::new(), Data::new());
    data.succeed("adapter create vsphere");
    let theirs = stranger.file("client/cert.pem");
    data.succeed(&format!("cert register {} --adapter vsphere --name vc1", theirs.display()));
    let said = data.fail(1, &format!("cert register {} --adapter default", theirs.display()));
    assert!(said.contains("with the adapter \"vsphere\""), "{said}");
    let said = data.fail(1, &format!("cert register {} --adapter nobody", theirs.display()));
    assert!(said.contains("there is default, vsphere"), "{said}");
    data.fail(1, &format!("cert register {} --adapter default", data.file("keystead.toml").display()));

    let listed = data.list("cert list --adapter vsphere");
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["name"], "vc1");
    let fingerprint = listed[0]["fingerprint"].as_str().unwrap();
    let said = data.fail(2, &format!("cert remove {}", &fingerprint[..7]));
    assert!(said.contains("at least 8"), "{said}");
    data.fail(1, "cert remove 0000000000");
    data.succeed(&format!("cert remove {}", &fingerprint[..8]));
    assert!(data.list("cert list --adapter vsphere").as_array().unwrap().is_empty());
}

#[test]
fn an_issued_certificate_comes_with_its_key_and_replaces_nothing() {
    let data = Data::new();
    let out = data.dir().with_file_name("issued");
    let issue = format!("cert issue --adapter default --common-name app-1 --key ecdsa-p256 --out {}", out.display());
    data.succeed(&issue);
    let key = std::fs::read(out.join("key.pem")).unwrap();
    let said = data.fail(1, &issue);
    assert!(said.contains("already"), "{said}");
    assert_eq!(std::fs::read(out.join("key.pem")).unwrap(), key);
    let names: Vec<_> = data.list("cert list").as_array().unwrap().iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, ["app-1", "default"]);
}

#[test]
fn a_certificate_that_a_rule_lets_in_as_before_is_removed_only_knowingly() {
    let data = Data::new();
    let out = data.dir().with_file_name("covered");
    data.succeed("cert rule add --adapter default --common-name covered-1");
    data.succeed(&format!(
        "cert issue --adapter default --common-name covered-1 --key ecdsa-p256 --out {}",
        out.display()
    ));
    let listed = data.list("cert list");
    let row = listed.as_array().unwrap().iter().find(|row| row["name"] == "covered-1").unwrap().clone();
    let remove = format!("cert remove {}", row["fingerprint"].as_str().unwrap());
    let said = data.fail(1, &remove);
    assert!(said.contains("--although-covered") && said.contains("cert rule remove"), "{said}");
    assert_eq!(data.list("cert list"), listed);
    data.succeed(&format!("{remove} --although-covered"));
}

#[test]
fn a_request_is_signed_and_registered_but_not_one_that_was_changed() {
    let data = Data::new();
    let folder = data.dir().with_file_name("request");
    std::fs::create_dir(&folder).unwrap();
    let made = Command::new("openssl")
        .current_dir(&folder)
        .args("req -new -newkey rsa:2048 -nodes -keyout key.pem -subj /O=Array/CN=element -out request.pem".split(' '))
        .output()
        .expect("this test needs the openssl command: apt install openssl");
    assert!(made.status.success());
    let (request, out) = (folder.join("request.pem"), folder.join("cert.pem"));
    data.succeed(&format!("cert sign-csr {} --adapter default --out {}", request.display(), out.display()));
    assert!(std::fs::read_to_string(&out).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(data.list("cert list")[1]["subject"], "CN=element,O=Array");
    let before = std::fs::read(&out).unwrap();
    let said = data.fail(1, &format!("cert sign-csr {} --adapter default --out {}", request.display(), out.display()));
    assert!(said.contains("there is already a file") && said.contains("cert.pem"), "{said}");
    assert_eq!(std::fs::read(&out).unwrap(), before);
    assert_eq!(data.list("cert list").as_array().unwrap().len(), 2);
    let text = std::fs::read_to_string(&request).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let (first, last) = (lines[1], lines[lines.len() - 2]);
    for (from, to) in [(first, last), (last, first)] {
        std::fs::write(&request, text.replacen(from, to, 1)).unwrap();
        data.fail(1, &format!("cert sign-csr {} --adapter default", request.display()));
    }
    assert_eq!(data.list("cert list").as_array().unwrap().len(), 2);
}

#[test]
fn rules_are_added_once_listed_and_removed() {
    let data = Data::new();
    data.succeed("cert rule add --adapter default --common-name app");
    let said = data.fail(1, "cert rule add --adapter default --common-name app");
    assert!(said.contains("this adapter already"), "{said}");
    let rules = data.list("cert rule list");
    assert_eq!((&rules[0]["kind"], &rules[0]["value"]), (&"cn".into(), &"app".into()));
    let id = rules[0]["id"].as_str().unwrap();
    data.succeed(&format!("cert rule remove {id}"));
    data.fail(1, &format!("cert rule remove {id}"));
}

#[test]
fn what_is_done_is_in_the_audit_log_and_what_failed_too() {
    let data = Data::new();
    data.succeed("adapter create vsphere");
    data.fail(1, "adapter create vsphere");
    let audit = std::fs::read_to_string(data.file("audit/audit.jsonl")).unwrap();
    let events: Vec<serde_json::Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let made: Vec<_> = events.iter().filter(|event| event["operation"] == "adapter.create").collect();
    // Of the adapter that every directory has, of this one, and of the one that failed.
    let outcomes: Vec<_> = made.iter().map(|event| event["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["begun", "success", "begun", "success", "begun", "exists"]);
    assert!(made.chunks(2).all(|pair| pair[0]["correlation"] == pair[1]["correlation"]));
}

#[test]
fn a_command_without_its_configuration_says_which_file_it_looked_for() {
    let said = fail(2, "adapter list --config /nonexistent/keystead.toml");
    assert!(said.contains("/nonexistent/keystead.toml"), "{said}");
    assert!(said.contains("(--config FILE chooses another)"), "{said}");
}

#[test]
fn wrong_arguments_are_named() {
    let data = Data::new();
    let said = data.fail(2, "key show nope");
    assert!(said.contains("not a Unique Identifier (a UUID)"), "{said}");
    let said = fail(2, "hsm probe");
    assert!(said.contains("give --config, or --module"), "{said}");
    let file = data.file("keystead.toml");
    let said = data.fail(1, &format!("cert sign-csr {} --adapter default", file.display()));
    assert!(said.contains("request: neither PEM"), "{said}");
    let tls = data.file("tls");
    let (tls, client) = (tls.display(), data.file("client"));
    let files = format!("--ca {tls}/ca.pem --cert {0}/cert.pem --key {tls}/server.key", client.display());
    let said = fail(1, &format!("check --as generic --addr 127.0.0.1:1 {files}"));
    let absent = files.replace("ca.pem", "none.pem");
    let missing = fail(2, &format!("check --as generic --addr 127.0.0.1 {absent}"));
    assert!(missing.contains("--ca: there is no file") && missing.contains("none.pem"), "{missing}");
    assert!(said.contains("server.key does not belong to") && said.contains("client/cert.pem"), "{said}");
}

#[test]
fn certificates_that_are_no_clients_are_refused_or_noted() {
    let (data, other) = (Data::new(), Data::new());
    for name in ["tls/ca.pem", "tls/server.pem"] {
        let said = data.fail(1, &format!("cert register {} --adapter default", data.file(name).display()));
        assert!(said.contains("the server's own certificate, or that of its authority"), "{said}");
    }
    assert_eq!(data.list("cert list").as_array().unwrap().len(), 1);
    let config = data.file("keystead.toml");
    for (name, noted) in [("tls/ca.pem", true), ("client/cert.pem", false)] {
        let file = other.file(name);
        let line = format!("cert register {} --adapter default --config {}", file.display(), config.display());
        let ran = keystead(&line);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(
            ran.stderr.contains("an authority's certificate; certificates that it issued are not accepted"),
            noted,
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn whatever_a_server_does_is_done_on_the_files_too() {
    let (data, other) = (Data::new(), Data::new());
    data.succeed("adapter update default --description Moved --hold-seconds 60");
    assert_eq!(data.list("adapter show default")["hold_seconds"], 60);
    data.succeed("adapter create gone");
    data.succeed("adapter delete gone");
    let said = data.fail(1, "adapter show gone");
    assert!(said.contains("no adapter \"gone\"; there is default"), "{said}");
    let activity = data.succeed("adapter activity default");
    assert!(activity.contains(&format!("uid:{}", rustix::process::getuid().as_raw())), "{activity}");

    data.succeed(&format!("authority add {} --name theirs", other.file("tls/ca.pem").display()));
    let fingerprint = data.list("authority list")[0]["fingerprint"].as_str().unwrap().to_owned();
    data.succeed(&format!("cert rule add --adapter default --dns array.example.com --issuer {fingerprint}"));
    let said = data.fail(1, &format!("authority remove {fingerprint}"));
    assert!(said.contains("409 state") && said.contains("in the audit log: "), "{said}");
    assert!(data.succeed("cert expiring --within-days 3660").contains("default"));
    assert!(data.succeed("cert show --help").contains("fingerprint"));

    let password = data.secret("password", "correct horse battery");
    let out = data.dir().with_file_name("file");
    let issue = "cert issue --adapter default --common-name app --key ecdsa-p256";
    data.succeed(&format!("{issue} --out {} --password-file {}", out.display(), password.display()));
    assert_eq!(super::mode(&out.join("client.p12")), 0o600);
    assert!(!out.join("key.pem").exists());

    data.succeed("backup create");
    assert_eq!(data.list("backup list").as_array().unwrap().len(), 1);
    let found = data.list("audit search --action backup.create");
    assert_eq!(found[0]["outcome"], "success");
}

#[test]
fn the_files_of_a_machine_are_nobody_who_could_be_one_of_two_people() {
    let data = Data::new();
    let refused = [
        ("user create alice --role administrator", "identity.create"),
        ("approval request --delete-adapter default --reason Moved", "approval.request"),
        ("root-key destroy keystead-root --reason Moved", "approval.request"),
    ];
    for (line, permission) in refused {
        let said = data.fail(1, line);
        assert!(said.contains("403 forbidden") && said.contains("keystead context add"), "{said}");
        let found = data.list("audit search --outcome denied --limit 1");
        assert_eq!((&found[0]["permission"], &found[0]["actor_name"]), (&permission.into(), &serde_json::Value::Null));
        assert_eq!(found[0]["actor"], format!("uid:{}", rustix::process::getuid().as_raw()));
    }
    // Who there is may be seen.
    assert!(data.list("user list").as_array().unwrap().iter().all(|user| user["name"] == "bootstrap"));
    assert_eq!(data.list("approval list"), serde_json::json!([]));
    assert_eq!(data.list("root-key describe keystead-root")["state"], "active");
}

#[test]
fn an_hsm_that_is_not_needed_is_not_opened_and_one_that_cannot_be_is_told_in_its_own_words() {
    let data = Data::new();
    let passphrase = data.file("hsm/passphrase");
    std::fs::rename(&passphrase, data.dir().with_file_name("passphrase")).unwrap();
    data.succeed("adapter create vsphere");
    assert_eq!(data.list("root-key list")[0]["state"], "active");
    for line in ["root-key create second", "root-key list --hsm", "root-key describe keystead-root"] {
        let said = data.fail(1, line);
        assert!(said.contains("hsm/passphrase"), "{line}: {said}");
    }
}
