//! `keystead check` without `--as`: each way in which the set-up of TLS goes wrong is found, by name, and nothing else is.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use serde_json::Value;
use tempfile::TempDir;

use super::{Data, Ran, keystead, succeed};
use crate::harness::server::{Server, write_private};

/// A running server with the adapter `demo`, whose client's files are in `client`.
struct Served {
    server: Server,
    folder: TempDir,
    /// Of the authority of the server's certificate.
    ca: PathBuf,
}

impl Served {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("data");
        Server::set_up(&dir, "--hsm software --tls-key ecdsa-p256 --adapter demo", &[]);
        Self { server: Server::serve(&dir), ca: dir.join("tls/ca.pem"), folder }
    }

    /// The same with a server certificate of another authority, which `change` makes what it is.
    fn with_certificate(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("data");
        Server::set_up(&dir, "--hsm software --tls-key ecdsa-p256 --adapter demo", &[]);
        let (authority, ca) = authority();
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        std::fs::write(dir.join("tls/server.pem"), params.signed_by(&key, &authority).unwrap().pem()).unwrap();
        write_private(&dir.join("tls/server.key"), &key.serialize_pem());
        let path = folder.path().join("authority.pem");
        std::fs::write(&path, ca).unwrap();
        Self { server: Server::serve(&dir), ca: path, folder }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn config(&self) -> String {
        self.dir().join("keystead.toml").display().to_string()
    }

    /// Checks as the client of the files in `client`.
    fn check(&self, client: &Path, more: &str) -> Found {
        let files = client.display();
        self.run(&format!("--ca {} --cert {files}/cert.pem --key {files}/key.pem {more}", self.ca.display()))
    }

    fn run(&self, more: &str) -> Found {
        Found::of(&format!("check --addr {} {more} --json", self.server.addr()))
    }
}

fn authority() -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

/// What a run of the checks found.
struct Found {
    code: i32,
    report: Value,
}

impl Found {
    fn of(line: &str) -> Self {
        let Ran { code, stdout, stderr } = keystead(line);
        let report = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{line}\n{stdout}{stderr}"));
        Self { code, report }
    }

    fn check(&self, name: &str) -> &Value {
        let found = self.report["checks"].as_array().unwrap().iter().find(|check| check["check"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {:#}", self.report))
    }

    fn with_result(&self, result: &str) -> Vec<&str> {
        let all = self.report["checks"].as_array().unwrap().iter().filter(|check| check["result"] == result);
        all.map(|check| check["check"].as_str().unwrap()).collect()
    }

    /// Everything is right.
    fn is_good(&self) {
        assert_eq!((self.code, &self.report["ok"]), (0, &Value::Bool(true)), "{:#}", self.report);
        assert!(self.with_result("failed").is_empty());
    }

    /// Exactly these checks fail, the first of them with these words and something to do.
    fn fails(&self, checks: &[&str], words: &str) {
        assert_eq!((self.code, &self.report["ok"]), (1, &Value::Bool(false)), "{:#}", self.report);
        assert_eq!(self.with_result("failed"), checks, "{:#}", self.report);
        let first = self.check(checks[0]);
        assert!(first["finding"].as_str().unwrap().contains(words), "{first:#}");
        assert!(first["advice"].as_str().unwrap().len() > 20, "{first:#}");
    }
}

const AFTER_ACCEPTED: [&str; 4] = ["adapter", "discover-versions", "query", "locate"];

#[test]
fn a_client_that_is_set_up_right_passes_every_check() {
    let served = Served::new();
    let client = served.dir().join("client");
    for tls in ["", "--tls 1.2", "--tls 1.3"] {
        let found = served.check(&client, tls);
        found.is_good();
        assert!(found.with_result("not reached").is_empty(), "{:#}", found.report);
        assert_eq!(found.with_result("ok").len(), 13);
    }
    let found = served.check(&client, &format!("--config {}", served.config()));
    found.is_good();
    assert_eq!(found.with_result("ok").len(), 17);
    assert!(found.check("here-adapter")["finding"].as_str().unwrap().contains("\"demo\""));

    // For people: a line for each check, and nothing to do.
    let files = client.display();
    let line = format!("--ca {} --cert {files}/cert.pem --key {files}/key.pem", served.ca.display());
    let said = succeed(&format!("check --addr {} {line}", served.server.addr()));
    assert_eq!(said.lines().count(), 13, "{said}");
    assert!(said.lines().all(|line| line.starts_with("ok ")), "{said}");
}

#[test]
fn without_a_client_certificate_the_servers_side_is_checked_alone() {
    let served = Served::new();
    let found = served.run(&format!("--ca {}", served.ca.display()));
    found.is_good();
    assert_eq!(found.with_result("not reached").len(), 6, "{:#}", found.report);
    assert!(found.check("client-certificate")["advice"].as_str().unwrap().contains("--cert"));
}

#[test]
fn a_pinned_thumbprint_takes_the_place_of_an_authority_and_another_is_refused() {
    let served = Served::new();
    let shown = served.run(&format!("--ca {}", served.ca.display()));
    let finding = shown.check("server-chain")["finding"].as_str().unwrap();
    let thumbprint = finding.rsplit(' ').next().unwrap();
    let files = served.dir().join("client");
    let files = format!("--cert {0}/cert.pem --key {0}/key.pem", files.display());
    served.run(&format!("--thumbprint {thumbprint} {files}")).is_good();
    served.run(&format!("--thumbprint {} {files}", thumbprint.replace(':', "").to_lowercase())).is_good();
    let other = served.run(&format!("--thumbprint {} {files}", "ab".repeat(32)));
    other.fails(&["server-chain"], thumbprint);
    assert_eq!(other.check("client-accepted")["result"], "not reached");
}

#[test]
fn a_wrong_authority_and_a_wrong_name_are_told_apart() {
    let (served, other) = (Served::new(), Data::new());
    let client = served.dir().join("client");
    let files = format!("--cert {0}/cert.pem --key {0}/key.pem", client.display());
    let found = served.run(&format!("--ca {} {files}", other.file("tls/ca.pem").display()));
    found.fails(&["server-chain"], "issued by");
    assert_eq!(found.check("server-name")["result"], "ok");
    // Nothing is asked of a server that is not trusted.
    for check in ["client-accepted"].iter().chain(&AFTER_ACCEPTED) {
        assert_eq!(found.check(check)["result"], "not reached");
    }

    let found = served.check(&client, "--server-name kms.example.com");
    found.fails(&["server-name"], "not kms.example.com");
    assert!(found.check("server-name")["finding"].as_str().unwrap().contains("localhost"));
    assert_eq!(found.check("locate")["result"], "ok");
}

#[test]
fn an_expired_server_certificate_is_found() {
    let served = Served::with_certificate(|params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let found = served.check(&served.dir().join("client"), "");
    found.fails(&["server-dates"], "expired 2021-01-01");
    assert_eq!(found.check("server-chain")["result"], "ok");
    assert_eq!(found.check("locate")["result"], "ok");
}

#[test]
fn uses_that_are_not_a_servers_are_found_and_no_limit_of_uses_is_mentioned() {
    let served = Served::with_certificate(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    served.check(&served.dir().join("client"), "").fails(&["server-usage"], "no serverAuth");
    let served = Served::with_certificate(|params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement]);
    served.check(&served.dir().join("client"), "").fails(&["server-usage"], "digitalSignature");
    let served = Served::with_certificate(|params| params.extended_key_usages.clear());
    let found = served.check(&served.dir().join("client"), "");
    found.is_good();
    assert!(found.check("server-usage")["finding"].as_str().unwrap().contains("some clients insist on serverAuth"));
}

#[test]
fn a_client_that_is_not_registered_is_refused_and_the_servers_files_say_why() {
    let (served, other) = (Served::new(), Data::new());
    let stranger = other.file("client");
    for tls in ["--tls 1.2", "--tls 1.3"] {
        let found = served.check(&stranger, tls);
        found.fails(&["client-accepted"], "client's certificate");
        assert!(found.check("client-accepted")["advice"].as_str().unwrap().contains("register"));
        for check in AFTER_ACCEPTED {
            assert_eq!(found.check(check)["result"], "not reached");
        }
    }
    let found = served.check(&stranger, &format!("--config {}", served.config()));
    found.fails(&["client-accepted", "here-trusted"], "");
    assert!(found.check("here-trusted")["finding"].as_str().unwrap().contains("not registered with any adapter"));

    // Issued here, registered, removed: then only a rule is missing.
    let issued = served.folder.path().join("issued");
    let config = served.config();
    let issue = "cert issue --adapter demo --common-name vc --key ecdsa-p256 --out";
    succeed(&format!("{issue} {} --config {config}", issued.display()));
    let offline = || Found::of(&format!("check --config {config} --cert {}/cert.pem --json", issued.display()));
    offline().is_good();
    let listed: Value = serde_json::from_str(&succeed(&format!("cert list --json --config {config}"))).unwrap();
    let listed = listed.as_array().unwrap();
    let fingerprint = listed.iter().find(|row| row["name"] == "vc").unwrap()["fingerprint"].as_str().unwrap();
    succeed(&format!("cert remove {fingerprint} --config {config}"));
    offline().fails(&["here-trusted"], "no rule of that authority maps it");
    succeed(&format!("cert rule add --adapter demo --common-name vc --config {config}"));
    let found = offline();
    found.is_good();
    assert!(found.check("here-trusted")["finding"].as_str().unwrap().contains("let in by the rule"));
    // A rule of another adapter is nothing to it.
    let rules: Value = serde_json::from_str(&succeed(&format!("cert rule list --json --config {config}"))).unwrap();
    succeed(&format!("cert rule remove {} --config {config}", rules[0]["id"].as_str().unwrap()));
    succeed(&format!("adapter create another --config {config}"));
    succeed(&format!("cert rule add --adapter another --common-name vc --config {config}"));
    offline().fails(&["here-trusted"], "issued by the own authority for another adapter");
}

#[test]
fn a_wrong_key_and_an_expired_client_certificate_are_seen_before_anybody_else_sees_them() {
    let (served, other) = (Served::new(), Data::new());
    let (ours, theirs) = (served.dir().join("client"), other.file("client"));
    let ca = served.ca.display();
    let found = served.run(&format!("--ca {ca} --cert {}/cert.pem --key {}/key.pem", ours.display(), theirs.display()));
    found.fails(&["client-certificate", "client-accepted"], "does not belong to");
    assert_eq!(found.check("server-chain")["result"], "ok");

    let old = served.folder.path().join("old");
    std::fs::create_dir(&old).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let key = KeyPair::generate().unwrap();
    std::fs::write(old.join("cert.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    write_private(&old.join("key.pem"), &key.serialize_pem());
    succeed(&format!("cert register {}/cert.pem --adapter demo --config {}", old.display(), served.config()));
    let found = served.check(&old, &format!("--config {}", served.config()));
    found.fails(&["client-certificate", "client-accepted", "here-dates"], "expired 2021-01-01");
    assert_eq!(found.check("here-trusted")["result"], "ok");
}

#[test]
fn a_suspended_root_key_and_a_missing_password_are_found() {
    let served = Served::new();
    let (client, config) = (served.dir().join("client"), served.config());
    let roots: Value = serde_json::from_str(&succeed(&format!("root-key list --json --config {config}"))).unwrap();
    let root = roots[0]["label"].as_str().unwrap();
    succeed(&format!("root-key suspend {root} --config {config}"));
    let offline = format!("check --config {config} --cert {}/cert.pem --json", client.display());
    Found::of(&offline).fails(&["here-adapter"], "is suspended");
    succeed(&format!("root-key resume {root} --config {config}"));

    let wrong = served.folder.path().join("wrong");
    write_private(&wrong, "fred:wrong\n");
    let right = served.folder.path().join("right");
    write_private(&right, "fred:right\n");
    let password = served.folder.path().join("password");
    write_private(&password, "right");
    let line = "adapter credential demo --user fred --password-file";
    succeed(&format!("{line} {} --config {config}", password.display()));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let found = loop {
        let found = served.check(&client, &format!("--credential-file {}", wrong.display()));
        if found.code == 1 {
            break found;
        }
        assert!(std::time::Instant::now() < deadline, "a wrong password is still good");
    };
    found.fails(&["adapter"], "AuthenticationNotSuccessful");
    assert_eq!(found.check("client-accepted")["result"], "ok");
    served.check(&client, &format!("--credential-file {}", right.display())).is_good();
}

/// `openssl s_server`, ended when dropped.
struct Openssl(Child, u16);

impl Openssl {
    fn start(folder: &Path, options: &[&str]) -> Self {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        let (certificate, secret) = (folder.join("server.pem"), folder.join("server.key"));
        std::fs::write(&certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        write_private(&secret, &key.serialize_pem());
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", "127.0.0.1:0", "-cert"]).arg(certificate).arg("-key").arg(secret);
        command.args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("openssl is installed");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next().expect("it says where it listens").unwrap();
            if let Some(address) = line.strip_prefix("ACCEPT ") {
                break address.rsplit(':').next().unwrap().trim().parse().unwrap();
            }
        };
        // It must be able to go on printing.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self(child, port)
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_version_of_tls_and_a_cipher_suite_that_are_not_shared_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..], "", "TLS 1.2"),
        (&["-tls1_2"], "--tls 1.3", "TLS 1.2"),
        (&["-tls1_3"], "--tls 1.2", "TLS 1.3"),
        (&["-tls1_2", "-cipher", "AES128-SHA"], "", "ECDHE"),
    ];
    for (options, more, advice) in cases {
        let server = Openssl::start(folder.path(), options);
        let ca = folder.path().join("server.pem");
        let line = format!("check --addr 127.0.0.1:{} --ca {} {more} --json", server.1, ca.display());
        let found = Found::of(&line);
        found.fails(&["tls"], "no TLS version or cipher suite");
        assert!(found.check("tls")["advice"].as_str().unwrap().contains(advice), "{:#}", found.report);
        assert_eq!(found.check("server-chain")["result"], "not reached");
    }
    // The same server with nothing forbidden: the very certificate is trusted.
    let server = Openssl::start(folder.path(), &[]);
    let ca = folder.path().join("server.pem");
    Found::of(&format!("check --addr 127.0.0.1:{} --ca {} --json", server.1, ca.display())).is_good();
}

#[test]
fn names_ports_and_arguments_that_lead_nowhere_are_found() {
    let data = Data::new();
    let ca = data.file("tls/ca.pem");
    let ca = ca.display();
    let found = Found::of(&format!("check --addr no-such-host.invalid --ca {ca} --json"));
    found.fails(&["name-resolution"], "no-such-host.invalid");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let found = Found::of(&format!("check --addr {address} --ca {ca} --json"));
    found.fails(&["reachable"], "nothing listens there");
    for wrong in [
        "check",
        "check --addr localhost",
        "check --config keystead.toml",
        "check --addr localhost --thumbprint abcd",
        "check --addr localhost --ca ca.pem --key key.pem",
        "check --addr localhost --ca ca.pem --keep-key",
        &format!("check --as generic --addr localhost --ca {ca}"),
        "check --as generic --thumbprint abababababababababababababababababababab --addr localhost --ca ca.pem",
    ] {
        assert_eq!(keystead(wrong).code, 2, "{wrong}");
    }
}
