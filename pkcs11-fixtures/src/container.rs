//! Keystead with SoftHSM2 in a container, built from `Containerfile`.

use std::{env, net::SocketAddr, path::Path};

use tempfile::TempDir;

use crate::{docker::Engine, environment::skip};

/// Where set to `1`, tests in containers fail where they cannot run, rather than skip themselves.
pub const REQUIRE_DOCKER_VARIABLE: &str = "KEYSTEAD_TESTS_DOCKER";

/// A running Keystead in a container. Removed when dropped.
pub struct KeysteadContainer {
    address: SocketAddr,
    files: TempDir,
    /// What ends it on drop.
    _running: Box<dyn std::any::Any>,
}

impl KeysteadContainer {
    /// Builds the image of this checkout where needed, starts it, and waits until it serves.
    ///
    /// `None`, after a printed `SKIP:` line, where no Docker engine answers or this crate was built without its feature
    /// `containers`.
    ///
    /// # Panics
    /// Where it does not get ready; where it cannot run and `KEYSTEAD_TESTS_DOCKER` is `1`.
    pub fn start() -> Option<Self> {
        let why = match Engine::find() {
            None => "no Docker engine answers (DOCKER_HOST is not set, and no socket is there)".to_owned(),
            Some(engine) if !engine.answers() => format!("no Docker engine answers at {engine}"),
            Some(_) if !cfg!(feature = "containers") => {
                "not built for containers: cargo test --features pkcs11-fixtures/containers".to_owned()
            }
            Some(_) => return Some(run()),
        };
        assert!(env::var_os(REQUIRE_DOCKER_VARIABLE).is_none_or(|value| value != "1"), "{why}");
        skip(&why);
        None
    }

    /// Where its KMIP port is on this host.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A folder with `ca.pem`, `cert.pem` and `key.pem` of the client that is adapter `demo`.
    pub fn client(&self) -> &Path {
        self.files.path()
    }
}

#[cfg(not(feature = "containers"))]
fn run() -> KeysteadContainer {
    unreachable!("it is skipped without the feature")
}

#[cfg(feature = "containers")]
fn run() -> KeysteadContainer {
    use std::{net::ToSocketAddrs as _, time::Duration};

    use testcontainers::{
        GenericBuildableImage, ImageExt as _,
        core::{IntoContainerPort as _, WaitFor},
        runners::{SyncBuilder as _, SyncRunner as _},
    };

    const PORT: u16 = 5696;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut image = GenericBuildableImage::new("keystead-test", "checkout");
    image = image.with_dockerfile(root.join("pkcs11-fixtures/Containerfile"));
    // What the build needs, and no more: everything that is sent and changes makes the image anew.
    for part in ["Cargo.toml", "Cargo.lock", "benches", "config", "hal", "kmip", "pkcs11-fixtures", "src", "tests"] {
        image = image.with_file(root.join(part), part);
    }
    let container = image
        .build_image()
        .expect("the image builds")
        .with_exposed_port(PORT.tcp())
        .with_wait_for(WaitFor::message_on_stdout("KMIP ready on"))
        .with_startup_timeout(Duration::from_secs(120))
        .start()
        .expect("the container gets ready");
    let files = tempfile::tempdir().expect("a directory is made");
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        let target = files.path().join(name);
        container.copy_file_from(format!("/data/client/{name}"), target).expect("a file is copied out");
    }
    let host = container.get_host().expect("the engine's host").to_string();
    let port = container.get_host_port_ipv4(PORT.tcp()).expect("a port of the host");
    let address = (host.as_str(), port).to_socket_addrs().expect("the host is known").find(SocketAddr::is_ipv4);
    KeysteadContainer { address: address.expect("an address"), files, _running: Box::new(container) }
}
