//! The real program in a process of its own, over TLS, with everything made by `keystead dev`.

use std::{
    fs::OpenOptions,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, channel},
    },
    time::Duration,
};

use super::api::Api;
use keystead::{
    admin::first,
    store::{Store, StoreOptions},
};
use kmip::{client::Client, version::Version};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tempfile::TempDir;

/// A connection to the server.
pub type Connection = Client<StreamOwned<ClientConnection, TcpStream>>;

/// A running server. Killed when dropped.
pub struct Server {
    child: Child,
    dir: PathBuf,
    addr: SocketAddr,
    health: String,
    admin: SocketAddr,
    lines: Mutex<Receiver<String>>,
    _owned: Option<TempDir>,
}

impl Server {
    /// A new server with the software HAL in a new directory.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further options of `keystead dev`.
    pub fn start_with(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut server = Self::start_in(dir.path(), more);
        server._owned = Some(dir);
        server
    }

    /// A server in `dir`, which may hold the state of an earlier one.
    pub fn start_in(dir: &Path, more: &[&str]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_keystead")), dir, more)
    }

    /// The same, with `command` to run the program, to which its arguments are added.
    pub fn start_by(mut command: Command, dir: &Path, more: &[&str]) -> Self {
        command.args(["dev", "--kmip-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.arg("--dir").arg(dir).args(more);
        if !more.contains(&"--tls-key") {
            command.args(["--tls-key", "ecdsa-p256"]);
        }
        if !more.contains(&"--hsm") {
            command.args(["--hsm", "software"]);
        }
        Self::spawn(command, dir)
    }

    /// A server in a new directory that `keystead init` made, run by `keystead serve`, with other limits (`name = value` of its
    /// configuration's section of limits). It has one adapter, `demo`.
    pub fn configured(limits: &[(&str, u32)]) -> Self {
        let owned = tempfile::tempdir().unwrap();
        let dir = owned.path().join("data");
        Self::set_up(&dir, "--hsm software --tls-key ecdsa-p256 --adapter demo", limits);
        let mut server = Self::serve(&dir);
        server._owned = Some(owned);
        server
    }

    /// Makes a directory with `keystead init` and these options, and lets it be served at any free ports.
    pub fn set_up(dir: &Path, options: &str, limits: &[(&str, u32)]) {
        crate::cli::succeed(&format!("init --dir {} {options}", dir.display()));
        Self::configure(dir, limits);
    }

    /// A server in the data directory `dir`, run by `keystead serve` with other limits.
    pub fn serving(dir: &Path, limits: &[(&str, u32)]) -> Self {
        Self::configure(dir, limits);
        Self::serve(dir)
    }

    fn configure(dir: &Path, limits: &[(&str, u32)]) {
        let config = dir.join("keystead.toml");
        let mut text = std::fs::read_to_string(&config).unwrap();
        let limits = limits.iter().map(|(name, value)| (*name, value.to_string()));
        let places = [("kmip_listen", "[\"127.0.0.1:0\"]".to_owned()), ("listen", "\"127.0.0.1:0\"".to_owned())];
        for (name, value) in places.into_iter().chain(limits) {
            // The admin API and telemetry both say where they listen.
            let begins = format!("{name} = ");
            let lines: Vec<_> = text.lines().filter(|line| line.starts_with(&begins)).map(str::to_owned).collect();
            assert!(!lines.is_empty(), "there is no setting {name}");
            for line in lines {
                text = text.replace(&line, &format!("{name} = {value}"));
            }
        }
        std::fs::write(&config, text).unwrap();
    }

    /// A server of a directory that [`Server::set_up`] made, by `keystead serve`.
    pub fn serve(dir: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keystead"));
        command.arg("serve").arg("--config").arg(dir.join("keystead.toml"));
        Self::spawn(command, dir)
    }

    /// Runs `command`, a server of the data directory `dir`, and waits until it serves.
    pub fn spawn(mut command: Command, dir: &Path) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let (sender, lines) = channel();
        for pipe in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn std::io::Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        let mut seen = Vec::new();
        let mut health = String::new();
        let mut admin = None;
        let addr = loop {
            let line = lines
                .recv_timeout(Duration::from_secs(120))
                .unwrap_or_else(|_| panic!("the server does not get ready:\n{}", seen.join("\n")));
            if let Some(addr) = line.strip_prefix("KMIP ready on ") {
                break addr.trim().parse().expect("an address");
            }
            if let Some(address) = line.strip_prefix("admin API ready on ") {
                admin = Some(address.trim().parse().expect("an address"));
            }
            if let Some(rest) = line.strip_prefix("health and metrics: http://") {
                rest.split('/').next().unwrap_or_default().clone_into(&mut health);
            }
            seen.push(line);
        };
        let admin = admin.expect("it serves the admin API before KMIP");
        Self { child, dir: dir.to_owned(), addr, health, admin, lines: Mutex::new(lines), _owned: None }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The admin API, as the administrator that `keystead dev` makes.
    pub fn api(&self) -> Api {
        let key = std::fs::read_to_string(self.dir.join("admin.token")).expect("keystead dev makes it");
        self.stranger().with_key(key.trim())
    }

    /// An administrator called `name` whose access came through nobody's hands: the machine itself makes it.
    pub fn independent(&self, name: &str) -> Api {
        let store = Store::open(&self.dir.join("keystead.db"), StoreOptions::default()).unwrap();
        let made = first::administrator(&store, name, "made for a test").unwrap();
        self.stranger().with_key(&made.text)
    }

    /// The admin API, without any login.
    pub fn stranger(&self) -> Api {
        Api::new(self.admin, &self.dir.join("tls/ca.pem"))
    }

    /// Where the admin API is.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    /// What it answers to a request for a page of health or metrics, header and all.
    pub fn page(&self, path: &str) -> String {
        let mut socket = TcpStream::connect(&self.health).expect("it serves health and metrics");
        write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        std::io::Read::read_to_string(&mut socket, &mut page).unwrap();
        page
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "the server had ended before");
    }

    /// Its data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection of adapter `demo`.
    pub fn connect(&self, version: Version) -> Connection {
        self.connect_as("client", version)
    }

    /// A connection with the certificate in a folder of the data directory: `client` is adapter `demo`, `client2` is `other`.
    pub fn connect_as(&self, folder: &str, version: Version) -> Connection {
        let config = client_config(&self.dir.join(folder));
        Client::new(connect(self.addr, config).expect("the server accepts the connection"), version)
    }

    /// What it printed and logged since it was asked last.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().try_iter().collect()
    }

    /// Waits for a line that it prints or logs.
    pub fn wait_for(&self, part: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.lines.lock().unwrap().recv_timeout(Duration::from_secs(60)) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => seen.push(line),
                Err(_) => panic!("no line has {part:?} in it:\n{}", seen.join("\n")),
            }
        }
    }

    /// Asks it to end, waits until it has, and returns all that it printed and logged since it was ready.
    pub fn stop(mut self) -> Vec<String> {
        self.signal("TERM");
        assert!(self.child.wait().unwrap().success(), "the server ends in order");
        // Its end closes the pipes, and with them the channel.
        self.lines.lock().unwrap().iter().collect()
    }

    /// Lets it run until this process ends; a static never drops what it holds.
    pub fn end_with_this_process(&self, folder: &Path) {
        // The pipe to the watcher closes with this process, however that ends.
        let watch = "cat >/dev/null; kill -9 \"$1\"; rm -rf \"$2\"";
        let mut watcher = Command::new("sh");
        watcher.args(["-c", watch, "watcher", &self.child.id().to_string()]).arg(folder);
        watcher.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        std::mem::forget(watcher.spawn().expect("the shell starts"));
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(mut self) -> Option<TempDir> {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self._owned.take()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a file that only its owner reads.
pub fn write_private(path: &Path, content: &str) {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
}

/// The TLS client of the certificate, key and CA in a folder.
pub fn client_config(folder: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(folder.join("ca.pem")).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let chain = CertificateDer::pem_file_iter(folder.join("cert.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap())
}

/// A TLS stream to `addr`, its handshake done.
pub fn connect(
    addr: SocketAddr,
    config: Arc<ClientConfig>,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut socket = TcpStream::connect(addr)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut tls =
        ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).map_err(std::io::Error::other)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(tls, socket))
}
