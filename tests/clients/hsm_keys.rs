//! A server whose TLS key and whose authority's key are in the HSM (SoftHSM2), against openssl and our own clients.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use kmip::{client::Client, enums::Operation, version::Version};
use pkcs11_fixtures::{PrivateModule, SoftHsm};
use serde_json::json;
use tempfile::TempDir;

use super::message::{Batch as _, message};
use crate::{
    cli::{fail, keystead, succeed},
    harness::server::{Server, client_config, connect, write_private},
};

/// For what should happen soon.
const SOON: Duration = Duration::from_secs(60);

/// A data directory with a SoftHSM2 token of its own.
struct Data {
    folder: TempDir,
}

impl Data {
    /// Makes one with these options of `keystead init`; `None` where SoftHSM2 is not there.
    fn new(options: &str) -> Option<Self> {
        SoftHsm::shared()?;
        let data = Self { folder: tempfile::tempdir().unwrap() };
        Server::set_up(&data.dir(), &format!("--hsm softhsm {options}"), &[]);
        Some(data)
    }

    /// The same with the token of `module`.
    fn on(module: &PrivateModule, options: &str) -> Self {
        let data = Self { folder: tempfile::tempdir().unwrap() };
        let (token, pin) = (module.token(), data.folder.path().join("pin"));
        write_private(&pin, &token.pin);
        let token = format!("--token-label {} --pin-file {}", token.label, pin.display());
        let module = module.module_path();
        Server::set_up(&data.dir(), &format!("--hsm pkcs11 --module {} {token} {options}", module.display()), &[]);
        data
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// What the option `--config` adds.
    fn config(&self) -> String {
        format!("--config {}", self.file("keystead.toml").display())
    }

    fn serve(&self) -> Server {
        Server::serve(&self.dir())
    }

    /// Replaces a part of the configuration.
    fn configure(&self, from: &str, to: &str) {
        let path = self.file("keystead.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    /// Has a new server certificate made.
    fn renew(&self) {
        std::fs::remove_file(self.file("tls/server.pem")).unwrap();
        succeed(&format!("init --dir {}", self.dir().display()));
    }

    fn unplug(&self) {
        std::fs::rename(self.file("hsm/tokens"), self.file("hsm/elsewhere")).unwrap();
    }

    fn plug_in(&self) {
        // The module may have made an empty folder meanwhile.
        let _ = std::fs::remove_dir(self.file("hsm/tokens"));
        std::fs::rename(self.file("hsm/elsewhere"), self.file("hsm/tokens")).unwrap();
    }
}

/// A full handshake by openssl; what it says of it where that succeeds, its complaint where not.
fn s_client(server: &Server, options: &str) -> Result<String, String> {
    let folder = server.dir().join("client");
    let mut command = Command::new("openssl");
    command.args(["s_client", "-brief", "-verify_return_error", "-verify_hostname", "localhost", "-connect"]);
    command.arg(server.addr().to_string()).args(options.split_whitespace()).current_dir(folder);
    command.args(["-CAfile", "ca.pem", "-cert", "cert.pem", "-key", "key.pem"]).stdin(Stdio::null());
    let output = command.output().expect("these tests need the openssl command: apt install openssl");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(text) } else { Err(text) }
}

fn expect(said: Result<String, String>, parts: &[&str]) {
    let said = said.unwrap();
    for part in parts {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(said.contains("Verification: OK"), "{said}");
}

/// A full handshake and a request by our own client. Its configuration is new, so that no session is resumed.
fn ask(server: &Server) -> std::io::Result<()> {
    let config = client_config(&server.dir().join("client"));
    let mut client = Client::new(connect(server.addr(), Arc::clone(&config))?, Version::V1_1);
    client.exchange(&message(Version::V1_1).op(Operation::DiscoverVersions, []).build()).map(drop).map_err(|error| {
        let kmip::client::ClientError::Connection(error) = error else { panic!("{error}") };
        error
    })
}

fn succeeds_soon(server: &Server) {
    let deadline = Instant::now() + SOON;
    while let Err(error) = ask(server) {
        assert!(Instant::now() < deadline, "still no handshake: {error}");
        std::thread::yield_now();
    }
}

/// The key of the certificate that the server shows now.
fn shown(server: &Server) -> Vec<u8> {
    let stream = connect(server.addr(), client_config(&server.dir().join("client"))).unwrap();
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

fn subject_key(certificate: &Path) -> String {
    let output = Command::new("openssl").args(["x509", "-noout", "-pubkey", "-in"]).arg(certificate).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn openssl_shakes_hands_with_ecdsa_keys_in_the_hsm() {
    for (option, bits, digest) in [("hsm", "256", "SHA256"), ("hsm-ecdsa-p384", "384", "SHA384")] {
        let Some(data) = Data::new(&format!("--tls-key {option}")) else { return };
        assert!(!data.file("tls/server.key").exists());
        let server = data.serve();
        for version in ["-tls1_2", "-tls1_3"] {
            let said = s_client(&server, version);
            expect(said, &["Signature type: ECDSA", &format!("Hash used: {digest}")]);
        }
        let other = if bits == "256" { "ecdsa_secp384r1_sha384" } else { "ecdsa_secp256r1_sha256" };
        s_client(&server, &format!("-tls1_3 -sigalgs {other}")).unwrap_err();
        ask(&server).unwrap();
        assert_eq!(server.stop().iter().filter(|line| line.contains("ERROR")).count(), 0);
    }
}

#[test]
fn openssl_shakes_hands_with_an_rsa_key_in_the_hsm_by_every_scheme() {
    let Some(data) = Data::new("--tls-key hsm-rsa-2048") else { return };
    let server = data.serve();
    for hash in ["256", "384", "512"] {
        let pss = ["Signature type: RSA-PSS", &format!("Hash used: SHA{hash}")];
        for version in ["-tls1_2", "-tls1_3"] {
            expect(s_client(&server, &format!("{version} -sigalgs rsa_pss_rsae_sha{hash}")), &pss);
        }
        let pkcs1 = ["Signature type: RSA\n", &format!("Hash used: SHA{hash}")];
        expect(s_client(&server, &format!("-tls1_2 -sigalgs rsa_pkcs1_sha{hash}")), &pkcs1);
        s_client(&server, &format!("-tls1_3 -sigalgs rsa_pkcs1_sha{hash}")).unwrap_err();
    }
    ask(&server).unwrap();
}

#[test]
fn the_admin_api_shakes_hands_with_the_key_in_the_hsm_as_well() {
    for option in ["hsm", "hsm-rsa-2048"] {
        let Some(data) = Data::new(&format!("--tls-key {option}")) else { return };
        assert!(!data.file("tls/server.key").exists());
        let server = data.serve();
        let token = succeed(&format!("admin-token {}", data.config()));
        let first = server.stranger().with_key(token.trim());
        let administrator = json!({"kind": "operator", "name": "first", "grants": [{"role": "administrator"}]});
        let made = first.post("/v1/identities", &administrator).expect(201);
        let api = first.with_key(&first.new_key(made["id"].as_str().unwrap()));
        // The certificate that is shown is the one of KMIP, and the answers are whole.
        let thumbprints = api.get("/v1/server").expect(200).to_string();
        let fingerprint = keystead::trust::fingerprint(&shown(&server).into()).to_string();
        let colons = |text: &str| {
            let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap().to_uppercase());
            pairs.collect::<Vec<_>>().join(":")
        };
        assert!(thumbprints.contains(&colons(&fingerprint)), "{fingerprint} in {thumbprints}");
        let adapter = api.adapter("by the hsm");
        assert_eq!(api.get(&format!("/v1/adapters/{adapter}")).expect(200)["name"], "by the hsm");
        // Each a handshake of its own.
        for _ in 0..5 {
            server.stranger().get("/healthz").expect_text(200);
        }
        // And with a client certificate, which is signed for too.
        let (certificate, key) = crate::admin::certificate("an operator");
        let body = json!({"kind": "operator", "name": "by certificate", "certificate_pem": certificate,
                          "grants": [{"role": "viewer"}]});
        api.post("/v1/identities", &body).expect(201);
        let operator = server.stranger().with_certificate(&certificate, &key);
        assert_eq!(operator.get("/v1/session").expect(200)["name"], "by certificate");
        assert_eq!(server.stop().iter().filter(|line| line.contains("ERROR")).count(), 0);
    }
}

#[test]
fn a_certificate_of_another_key_stops_the_server_at_its_start() {
    let Some(data) = Data::new("--tls-key hsm") else { return };
    let serve = format!("serve {}", data.config());
    std::fs::copy(data.file("client/cert.pem"), data.file("tls/server.pem")).unwrap();
    let said = fail(1, &serve);
    assert!(said.contains("the key in the HSM is not the one in the certificate"), "{said}");
    let said = fail(1, &format!("init --dir {}", data.dir().display()));
    assert!(said.contains("server.pem was not issued for tls.key = \"hsm:keystead-tls\": remove it"), "{said}");
    data.renew();
    ask(&data.serve()).unwrap();
}

#[test]
fn a_label_that_was_never_made_is_a_clear_error_until_init_makes_it() {
    let Some(data) = Data::new("--tls-key ecdsa-p256") else { return };
    let before = subject_key(&data.file("tls/server.pem"));
    data.configure("key = \"tls/server.key\"", "key = \"hsm:web\"");
    let said = fail(1, &format!("serve {}", data.config()));
    assert!(said.contains("tls.key = \"hsm:web\": no key of this label was made for this directory"), "{said}");
    data.renew();
    assert_ne!(subject_key(&data.file("tls/server.pem")), before);
    ask(&data.serve()).unwrap();
}

#[test]
fn a_key_serves_one_purpose_and_has_the_kind_that_is_asked_for() {
    let Some(data) = Data::new("--tls-key ecdsa-p256 --ca-key hsm") else { return };
    data.configure("key = \"tls/server.key\"", "key = \"hsm:keystead-ca\"");
    let said = fail(1, &format!("serve {}", data.config()));
    assert!(said.contains("no key of this label was made for this directory"), "{said}");
    std::fs::remove_file(data.file("tls/server.pem")).unwrap();
    let init = format!("init --dir {}", data.dir().display());
    let said = fail(2, &init);
    assert!(
        said.contains("\"keystead-ca\" in the HSM is on record for \"ca\": name another label for tls.key"),
        "{said}"
    );
    data.configure("key = \"hsm:keystead-ca\"\n#", "key = \"hsm:web\"\n#");
    succeed(&format!("{init} --tls-key hsm-ecdsa-p384"));
    std::fs::remove_file(data.file("tls/server.pem")).unwrap();
    let said = fail(2, &format!("{init} --tls-key hsm"));
    assert!(said.contains("\"web\" in the HSM is of the kind ecdsa-p384, not ecdsa-p256"), "{said}");
    succeed(&init);
    ask(&data.serve()).unwrap();
    // A second key for the server stands beside the first.
    data.configure("key = \"hsm:web\"", "key = \"hsm:web 2\"");
    data.renew();
    ask(&data.serve()).unwrap();
}

#[test]
fn a_hang_up_shows_a_renewed_certificate_of_the_same_key_and_keeps_the_old_one_otherwise() {
    let Some(data) = Data::new("--tls-key hsm") else { return };
    let server = data.serve();
    let (first, key) = (shown(&server), subject_key(&data.file("tls/server.pem")));
    data.renew();
    assert_eq!(subject_key(&data.file("tls/server.pem")), key, "a renewal makes no new key");
    assert_eq!(shown(&server), first);
    server.signal("HUP");
    server.wait_for("server certificate read again");
    let second = shown(&server);
    assert_ne!(second, first);

    std::fs::copy(data.file("client/cert.pem"), data.file("tls/server.pem")).unwrap();
    server.signal("HUP");
    let said = server.wait_for("the old server certificate stays in use");
    assert!(said.contains("the key in the HSM is not the one in the certificate"), "{said}");
    assert_eq!(shown(&server), second);
}

#[test]
fn while_the_token_is_away_handshakes_fail_at_once_and_heal_when_it_is_back() {
    let Some(data) = Data::new("--tls-key hsm") else { return };
    let server = data.serve();
    let mut open = server.connect(Version::V1_1);
    data.unplug();
    let deadline = Instant::now() + SOON;
    loop {
        let start = Instant::now();
        let failed = ask(&server).is_err();
        // No longer than the HSM's own deadline, with some room for a busy machine.
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        if failed {
            break;
        }
        assert!(Instant::now() < deadline, "handshakes go on without the token");
    }
    server.wait_for("new connections fail: the server's TLS key in the HSM cannot be used");
    let metrics = server.page("/metrics");
    assert!(metrics.contains("keystead_tls_handshakes_failed_total{reason=\"hsm\"}"), "{metrics}");
    let request = message(Version::V1_1).op(Operation::DiscoverVersions, []).build();
    open.exchange(&request).expect("a connection that is open goes on");
    data.plug_in();
    succeeds_soon(&server);
    open.exchange(&request).unwrap();
}

#[test]
fn a_module_that_hangs_while_it_signs_costs_handshakes_the_deadline_and_nobody_else_anything() {
    let Some(module) = PrivateModule::new("hangs") else { return };
    let data = Data::on(&module, "--tls-key hsm");
    let server = data.serve();
    let mut open = server.connect(Version::V1_1);
    module.control().tell("hang C_Sign").unwrap();
    let request = message(Version::V1_1).op(Operation::DiscoverVersions, []).build();
    std::thread::scope(|scope| {
        let hanging: Vec<_> = (0..4).map(|_| scope.spawn(|| ask(&server).unwrap_err())).collect();
        while hanging.iter().any(|handshake| !handshake.is_finished()) {
            let start = Instant::now();
            open.exchange(&request).expect("a connection that is open goes on");
            // Far less than the deadline of the HSM, which is two seconds.
            assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
        }
    });
    module.control().tell("release").unwrap();
    succeeds_soon(&server);
}

#[test]
fn a_server_starts_while_its_token_is_away_and_serves_when_it_is_back() {
    let Some(data) = Data::new("--tls-key hsm") else { return };
    data.unplug();
    let server = data.serve();
    assert!(server.page("/healthz").starts_with("HTTP/1.1 200"));
    assert!(server.page("/readyz").starts_with("HTTP/1.1 503"));
    ask(&server).unwrap_err();
    data.plug_in();
    succeeds_soon(&server);
    let deadline = Instant::now() + SOON;
    while !server.page("/readyz").starts_with("HTTP/1.1 200") {
        assert!(Instant::now() < deadline, "still not ready");
        std::thread::yield_now();
    }
}

#[test]
fn an_authority_whose_key_is_in_the_hsm_issues_and_signs() {
    for option in ["hsm", "hsm-ecdsa-p384", "hsm-rsa-3072"] {
        let Some(data) = Data::new(&format!("--tls-key ecdsa-p256 --ca-key {option} --adapter demo")) else { return };
        assert!(!data.file("tls/ca.key").exists());
        let (folder, config) = (data.folder.path().display(), data.config());
        let issue = "cert issue --adapter demo --common-name issued --key ecdsa-p256";
        succeed(&format!("{issue} --out {folder}/issued {config}"));
        let new = format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=asked -keyout {folder}/asked.key -out {folder}/asked.csr"
        );
        assert!(Command::new("openssl").args(new.split(' ')).stderr(Stdio::null()).status().unwrap().success());
        succeed(&format!("cert sign-csr {folder}/asked.csr --adapter demo --out {folder}/asked.pem {config}"));
        let verify = format!(
            "verify -x509_strict -CAfile {} {folder}/issued/cert.pem {folder}/asked.pem",
            data.file("tls/ca.pem").display()
        );
        assert!(Command::new("openssl").args(verify.split(' ')).stdout(Stdio::null()).status().unwrap().success());
        let server = data.serve();
        connect(server.addr(), client_config(&data.folder.path().join("issued"))).unwrap();
        ask(&server).unwrap();
        drop(server);
        data.unplug();
        let said = fail(1, &format!("{issue} --out {folder}/late {config}"));
        assert!(said.contains("the HSM is unavailable"), "{said}");
    }
}

#[test]
fn init_keeps_keys_in_the_hsm_and_refuses_options_that_say_otherwise() {
    let Some(data) = Data::new("--tls-key hsm --ca-key hsm --audit-key hsm") else { return };
    let init = format!("init --dir {}", data.dir().display());
    let again = keystead(&format!("{init} --tls-key hsm --ca-key hsm --audit-key hsm"));
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(!again.stderr.contains("making"), "{}", again.stderr);
    for (options, expected) in [
        ("--tls-key ecdsa-p256", "tls.key = \"hsm:keystead-tls\", --tls-key says \"ecdsa-p256\""),
        ("--tls-key hsm-rsa-2048", "has a key of the kind ecdsa-p256, --tls-key says rsa-2048"),
    ] {
        let said = fail(2, &format!("{init} {options}"));
        assert!(said.contains(expected), "{expected} is not in {said}");
    }
    let Some(data) = Data::new("--tls-key ecdsa-p256") else { return };
    let init = format!("init --dir {}", data.dir().display());
    for (options, expected) in [
        ("--tls-key hsm", "--tls-key says \"hsm\": edit the file"),
        ("--ca-key hsm", "tls/ca.key\", --ca-key says \"hsm\""),
        ("--audit-key hsm", "audit.signing_key = \"\", --audit-key says \"hsm\""),
    ] {
        let said = fail(2, &format!("{init} {options}"));
        assert!(said.contains(expected), "{expected} is not in {said}");
    }
}
