//! A server whose token is a SoftHSM2 behind the fault-injecting module: what happens to the token, a test commands.

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use kmip::version::Version;
use pkcs11_fixtures::{PrivateModule, SoftHsm};
use tempfile::TempDir;

use super::{
    engine::memory_dir,
    server::{Connection, Server, write_private},
};

/// How long a test waits for what must come sooner or later.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The server, its token and its data directory.
pub struct HsmServer {
    server: Option<Server>,
    module: PrivateModule,
    folder: TempDir,
    token_directory: PathBuf,
}

impl HsmServer {
    /// A server with a new token, one root key and the adapter `demo`; `settings` are lines of its configuration to replace.
    pub fn start(label: &str, settings: &[(&str, &str)]) -> Option<Self> {
        let module = PrivateModule::new(label)?;
        let folder = memory_dir();
        let pin_file = folder.path().join("pin");
        write_private(&pin_file, &module.token().pin);
        let token_directory = SoftHsm::shared()?.token_directory(module.token());
        let this = Self { server: None, module, folder, token_directory };
        let init = [
            ("--dir", this.dir().display().to_string()),
            ("--hsm", "pkcs11".to_owned()),
            ("--module", this.module.module_path().display().to_string()),
            ("--token-label", this.module.token().label.clone()),
            ("--pin-file", pin_file.display().to_string()),
            ("--tls-key", "ecdsa-p256".to_owned()),
            ("--adapter", "demo".to_owned()),
        ];
        crate::cli::succeed(
            &init.map(|(option, value)| format!(" {option} {value}")).concat().replacen(' ', "init ", 1),
        );
        let places = [("kmip_listen", "[\"127.0.0.1:0\"]"), ("listen", "\"127.0.0.1:0\"")];
        this.configure(&places);
        this.configure(settings);
        Some(this.started())
    }

    /// Starts the server on what is in its directory.
    #[must_use]
    pub fn started(mut self) -> Self {
        let mut command = Command::new(crate::cli::program());
        command.arg("serve").arg("--config").arg(self.config());
        self.server = Some(Server::spawn(command, &self.dir()));
        self
    }

    /// Ends the server in order; all that it printed and logged since it was ready.
    pub fn stop(&mut self) -> Vec<String> {
        self.server.take().expect("it runs").stop()
    }

    /// Replaces lines of the configuration.
    pub fn configure(&self, settings: &[(&str, &str)]) {
        let mut text = std::fs::read_to_string(self.config()).unwrap();
        for (name, value) in settings {
            let starts = [format!("{name} = "), format!("# {name} = ")];
            let is_it = |line: &&str| starts.iter().any(|start| line.starts_with(start));
            let mut lines: Vec<_> = text.lines().filter(is_it).map(str::to_owned).collect();
            assert!(!lines.is_empty(), "no setting {name}");
            // The admin API and telemetry both say where they listen; of any other setting the first place is meant.
            lines.truncate(if *name == "listen" { lines.len() } else { 1 });
            for line in lines {
                text = text.replacen(&line, &format!("{name} = {value}"), 1);
            }
        }
        std::fs::write(self.config(), text).unwrap();
    }

    /// Its data directory.
    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Its configuration.
    pub fn config(&self) -> PathBuf {
        self.dir().join("keystead.toml")
    }

    /// The file that holds the token's PIN.
    pub fn pin_file(&self) -> PathBuf {
        self.folder.path().join("pin")
    }

    /// Moves the token's files away: what SoftHSM2 has for an unplugged token.
    pub fn take_token_away(&self) {
        std::fs::rename(&self.token_directory, self.token_away()).unwrap();
    }

    /// Moves them back.
    pub fn put_token_back(&self) {
        std::fs::rename(self.token_away(), &self.token_directory).unwrap();
    }

    fn token_away(&self) -> PathBuf {
        let tokens = self.token_directory.parent().expect("a directory of tokens");
        tokens.with_file_name(format!("away-{}", self.module.token().serial))
    }

    /// Gives the token another PIN, which the server does not know.
    pub fn change_pin(&self) -> String {
        SoftHsm::shared().expect("it was there").change_pin(self.module.token()).pin
    }

    /// Commands the module, in the words of docs/shim.md.
    pub fn fault(&self, command: &str) {
        self.module.control().tell(command).unwrap_or_else(|error| panic!("{command}: {error}"));
    }

    /// The server.
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    /// A connection of the adapter.
    pub fn connect(&self) -> Connection {
        self.server().connect(Version::V1_4)
    }

    /// Runs `keystead` with these arguments and this server's configuration; its standard output.
    pub fn admin(&self, arguments: &str) -> String {
        crate::cli::succeed(&format!("{arguments} --config {}", self.config().display()))
    }

    /// Whether `/readyz` says that all is well.
    pub fn is_ready(&self) -> bool {
        self.page("/readyz").starts_with("HTTP/1.1 200")
    }

    /// A page of the health listener.
    pub fn page(&self, path: &str) -> String {
        self.server().page(path)
    }
}

/// Asks until `done` says so.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    start.elapsed()
}
