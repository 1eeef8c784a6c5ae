//! `dev`, `serve` and `check`: a server that starts, is played against, is administered while it runs, and stops.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{Data, Ran, fail, keystead, program, succeed};

/// How long anything may take that should happen soon.
const SOON: Duration = Duration::from_secs(30);

/// A running server; killed where a test fails.
struct Server {
    child: Child,
    address: String,
    health: String,
    rest: Option<JoinHandle<String>>,
}

impl Server {
    /// Starts `keystead` with arguments that are separated by blanks, and waits until it serves.
    fn start(line: &str) -> Self {
        let mut child = Command::new(program())
            .args(line.split_whitespace())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let (mut address, mut health) = (String::new(), String::new());
        while address.is_empty() {
            let mut line = String::new();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the server ended before it served");
            if let Some(found) = line.strip_prefix("KMIP ready on ") {
                found.trim_end().clone_into(&mut address);
            } else if let Some(found) = line.strip_prefix("health and metrics: http://") {
                found.split('/').next().unwrap_or_default().clone_into(&mut health);
            }
        }
        let rest = std::thread::spawn(move || {
            let mut text = String::new();
            lines.read_to_string(&mut text).unwrap();
            text
        });
        Self { child, address, health, rest: Some(rest) }
    }

    fn dev(data: &Path) -> Self {
        Self::start(&format!(
            "dev --dir {} --hsm software --tls-key ecdsa-p256 --kmip-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0",
            data.display()
        ))
    }

    /// Plays `client` with the files in `folder`.
    fn check(&self, client: &str, folder: &Path, more: &str) -> Ran {
        let files = folder.display();
        let files = format!("--ca {files}/ca.pem --cert {files}/cert.pem --key {files}/key.pem");
        keystead(&format!("check --as {client} --addr {} {files} {more}", self.address))
    }

    /// Plays a client until that fails; its complaint.
    fn fails_soon(&self, folder: &Path) -> String {
        let start = Instant::now();
        while start.elapsed() < SOON {
            let ran = self.check("mongodb", folder, "");
            if ran.code == 1 {
                return ran.stderr;
            }
            assert_eq!(ran.code, 0, "{}", ran.stderr);
        }
        panic!("the client is still let in");
    }

    /// Plays a client until that succeeds.
    fn succeeds_soon(&self, folder: &Path) {
        let start = Instant::now();
        while self.check("mongodb", folder, "").code != 0 {
            assert!(start.elapsed() < SOON, "the client is still kept out");
        }
    }

    fn page(&self, path: &str) -> String {
        let mut socket = TcpStream::connect(&self.health).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        socket.read_to_string(&mut page).unwrap();
        page
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status().unwrap();
        assert!(sent.success());
    }

    /// Asks the server to stop; its exit code.
    fn stop(mut self, signal: &str) -> i32 {
        self.signal(signal);
        let code = self.child.wait().unwrap().code().expect("it ends by itself");
        let rest = self.rest.take().map(|rest| rest.join().unwrap()).unwrap_or_default();
        assert_eq!(rest, "", "something was printed after the ready line");
        code
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn dev_serves_every_client_that_check_can_play_and_stops_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::dev(&data);
    for client in ["vcenter", "mongodb", "generic"] {
        for files in ["client", "client2"] {
            let ran = server.check(client, &data.join(files), "");
            assert_eq!(ran.code, 0, "{client}\n{}{}", ran.stdout, ran.stderr);
            assert!(ran.stdout.contains("steps are right"), "{}", ran.stdout);
        }
    }
    assert!(server.page("/healthz").starts_with("HTTP/1.1 200"));
    assert!(server.page("/readyz").contains(r#""ready":true"#));
    let metrics = server.page("/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200"));
    assert!(metrics.contains("keystead_hsm_state"), "{metrics}");
    for line in [
        "keystead_root_key_state{root=\"",
        "state=\"active\"} 1",
        "state=\"suspended\"} 0",
        "keystead_root_key_version{root=\"",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    assert!(metrics.contains("keystead_store_waiting_mutations 0"), "{metrics}");
    assert_eq!(server.stop("TERM"), 0);
}

#[test]
fn a_key_outlives_the_server_that_made_it_and_is_shown_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::dev(&data);
    let ran = server.check("vcenter", &data.join("client"), "--keep-key --json");
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["ok"], true);
    assert!(report["steps"].as_array().unwrap().iter().all(|step| step["ok"] == true && step["millis"].is_number()));
    let key = report["kept_key"].as_str().unwrap().to_owned();
    assert_eq!(server.stop("INT"), 0);

    let config = data.join("keystead.toml");
    let shown = succeed(&format!("key show {key} --json --config {}", config.display()));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["id"], &shown["type"]), (&key.as_str().into(), &"SymmetricKey".into()));
    assert_eq!(shown["sealed"]["scheme"], "aes-kw");
    assert_eq!(shown["sealed"]["wrapped_kek_bytes"], 40);

    let server = Server::dev(&data);
    let ran = server.check("generic", &data.join("client"), "");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(server.stop("TERM"), 0);
    let listed = succeed(&format!("key list --adapter demo --json --config {}", config.display()));
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    // The newest first.
    assert_eq!((&listed[0]["state"], &listed[0]["sealed_under"]), (&"Destroyed".into(), &serde_json::Value::Null));
    assert_eq!(listed[1]["id"].as_str(), Some(key.as_str()));
    assert_eq!(listed[1]["sealed_under"]["version"], 1);
}

#[test]
fn changes_by_the_command_line_reach_the_running_server() {
    let data = Data::new();
    let server = serve(&data);
    let client = data.file("client");
    server.succeeds_soon(&client);

    let issued = data.dir().with_file_name("issued");
    data.succeed("adapter create vsphere");
    let issue = "cert issue --adapter vsphere --common-name vc --key ecdsa-p256 --out";
    data.succeed(&format!("{issue} {}", issued.display()));
    server.succeeds_soon(&issued);

    let fingerprint = data.list("cert list --adapter vsphere")[0]["fingerprint"].as_str().unwrap().to_owned();
    data.succeed(&format!("cert remove {fingerprint}"));
    let said = server.fails_soon(&issued);
    assert!(said.contains("register"), "{said}");

    // Issued by the own authority, so a rule lets it in again.
    data.succeed("cert rule add --adapter vsphere --common-name vc");
    server.succeeds_soon(&issued);
    let rule = data.list("cert rule list")[0]["id"].as_str().unwrap().to_owned();
    data.succeed(&format!("cert rule remove {rule}"));
    server.fails_soon(&issued);

    let password = data.secret("password", "right");
    data.succeed(&format!("adapter credential default --user fred --password-file {}", password.display()));
    let wrong = data.secret("wrong", "fred:wrong\n");
    let start = Instant::now();
    loop {
        let ran = server.check("vcenter", &client, &format!("--credential-file {}", wrong.display()));
        if ran.code == 1 && ran.stdout.contains("AuthenticationNotSuccessful") {
            break;
        }
        assert!(start.elapsed() < SOON, "a wrong password is still good\n{}", ran.stdout);
    }
    let right = data.secret("right", "fred:right\n");
    let ran = server.check("vcenter", &client, &format!("--credential-file {}", right.display()));
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(server.stop("TERM"), 0);
}

/// Serves what `init` made, on free ports.
fn serve(data: &Data) -> Server {
    let path = data.file("keystead.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text
        .replace("0.0.0.0:5696", "127.0.0.1:0")
        .replace("127.0.0.1:8443", "127.0.0.1:0")
        .replace("127.0.0.1:9464", "127.0.0.1:0");
    std::fs::write(&path, text).unwrap();
    Server::start(&format!("serve --config {}", path.display()))
}

#[test]
fn a_hang_up_signal_takes_a_new_certificate_into_use() {
    let data = Data::new();
    let server = serve(&data);
    let client = data.file("client");
    let thumbprint = |server: &Server| {
        let ran = server.check("mongodb", &client, "");
        let (_, rest) = ran.stdout.split_once("server certificate ").expect("the trace names the certificate");
        rest.lines().next().unwrap().to_owned()
    };
    let before = thumbprint(&server);
    std::fs::remove_file(data.file("tls/server.pem")).unwrap();
    succeed(&format!("init --dir {}", data.dir().display()));
    server.signal("HUP");
    let start = Instant::now();
    while thumbprint(&server) == before {
        assert!(start.elapsed() < SOON, "the old certificate is still in use");
    }
    assert_eq!(server.stop("TERM"), 0);
}

#[test]
fn a_check_says_in_words_what_is_wrong() {
    let (data, other) = (Data::new(), Data::new());
    let server = serve(&data);
    let (ours, theirs) = (data.file("client"), other.file("client"));
    let check = |ca: &Path, of: &Path, more: &str| {
        let (ca, of) = (ca.display(), of.display());
        let files = format!("--ca {ca}/ca.pem --cert {of}/cert.pem --key {of}/key.pem");
        let ran = keystead(&format!("check --as generic --addr {} {files} {more}", server.address));
        assert_eq!(ran.code, 1, "{}", ran.stdout);
        assert!(ran.stdout.contains("FAIL"), "{}", ran.stdout);
        ran.stderr
    };
    let said = check(&theirs, &ours, "");
    assert!(said.contains("not issued by the authority in --ca"), "{said}");
    let said = check(&ours, &theirs, "");
    assert!(said.contains("client's certificate") && said.contains("regist"), "{said}");
    let said = check(&ours, &ours, "--server-name elsewhere.example.com");
    assert!(said.contains("--server-name"), "{said}");
    let gone = server.address.clone();
    assert_eq!(server.stop("TERM"), 0);
    let files = ours.display();
    let files = format!("--ca {files}/ca.pem --cert {files}/cert.pem --key {files}/key.pem");
    let ran = keystead(&format!("check --as generic --addr {gone} {files}"));
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("nothing listens there"), "{}", ran.stderr);
}

#[test]
fn the_server_starts_and_answers_status_while_the_token_is_away() {
    if pkcs11_fixtures::SoftHsm::shared().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    succeed(&format!("init --dir {} --hsm softhsm --tls-key ecdsa-p256", dir.display()));
    let config = dir.join("keystead.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text
        .replace("0.0.0.0:5696", "127.0.0.1:0")
        .replace("127.0.0.1:8443", "127.0.0.1:0")
        .replace("127.0.0.1:9464", "127.0.0.1:0");
    std::fs::write(&config, text).unwrap();
    std::fs::rename(dir.join("hsm/tokens"), dir.join("hsm/elsewhere")).unwrap();
    std::fs::create_dir(dir.join("hsm/tokens")).unwrap();
    let server = Server::start(&format!("serve --config {}", config.display()));
    let ran = server.check("vcenter", &dir.join("client"), "");
    assert_eq!(ran.code, 1);
    let failed: Vec<_> = ran.stdout.lines().filter(|line| line.starts_with("FAIL")).collect();
    assert!(matches!(failed.as_slice(), [line] if line.contains("create an AES-256 key")), "{}", ran.stdout);
    assert!(server.page("/healthz").starts_with("HTTP/1.1 200"));
    let ready = server.page("/readyz");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("token"), "{ready}");
    assert_eq!(server.stop("TERM"), 0);
}

#[test]
fn a_directory_has_one_server_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut server = Server::dev(&data);
    let config = data.join("keystead.toml");
    let config = config.display();
    for second in [
        format!("serve --config {config}"),
        format!("dev --dir {} --kmip-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0", data.display()),
    ] {
        let said = fail(1, &second);
        assert!(said.contains("another Keystead serves this directory"), "{said}");
    }
    succeed(&format!("adapter list --config {config}"));
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    assert_eq!(Server::dev(&data).stop("TERM"), 0);
}
