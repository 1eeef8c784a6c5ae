//! TLS connections as a KMIP client makes them: certificate and key from files, the server's name checked, time-outs on
//! everything.

use std::{
    io::{self, Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use kmip::client::ClientError;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, client::ResolvesClientCert};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use zeroize::Zeroizing;

use super::{CheckArgs, TlsVersion, explain, token::TokenResolver};
use crate::{
    ca::{CaError, Thumbprints, read_certificates},
    cli::{CliError, data_dir::exists, dev::read_credential, error::UsageError},
    config::read_secret_file,
};

/// The port of KMIP over TLS, registered with IANA.
const KMIP_PORT: u16 = 5696;

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// `--addr` or `--server-name` names no server.
    #[error("{0:?} is not HOST or HOST:PORT with a host name or an IP address")]
    BadAddress(String),
    /// The name has no address.
    #[error("the name {host:?} has no address: {source}")]
    Unresolved {
        /// The name.
        host: String,
        /// The cause.
        source: io::Error,
    },
    /// No TCP connection.
    #[error("no connection to {address}: {}", explain::connecting(source))]
    Unreachable {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The key is another certificate's.
    #[error("the private key in {} does not belong to the certificate in {}", key.display(), certificate.display())]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The token with the client's key cannot be used.
    #[error("{0}")]
    Token(super::token::TokenError),
    /// The certificates and key of this side cannot be used together.
    #[error("the client's certificate and key cannot be used: {0}")]
    Unusable(rustls::Error),
    /// TLS failed, or the connection ended.
    #[error("{}", explain::transport(.0))]
    Transport(io::Error),
    /// KMIP failed: the connection, the server's answer, or the server said no.
    #[error("{}", explain::client(.0))]
    Client(#[from] ClientError),
    /// The server answers otherwise than the client needs.
    #[error("{0}")]
    Unexpected(&'static str),
    /// The system has no random numbers.
    #[error("the system's random number generator failed")]
    NoRandomness,
}

/// A server to connect to, and who to be.
pub(super) struct Target {
    host: String,
    port: u16,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
    /// The token that signs, where the client's key is on one.
    token: Option<Arc<TokenResolver>>,
    timeout: Duration,
    /// The KMIP credential to give, where there is one.
    pub(super) credential: Option<(String, Zeroizing<String>)>,
}

/// An open connection.
pub(super) struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    /// What was agreed on, in words.
    pub(super) agreed: String,
}

impl Target {
    /// Reads the files and names of `args`.
    pub(super) fn read(args: &CheckArgs, timeout: Duration) -> Result<Self, CliError> {
        let bad_address = || CliError::Check(CheckError::BadAddress(args.addr.clone()));
        let (host, port) = split_address(&args.addr).ok_or_else(bad_address)?;
        let files = [("--ca", Some(&args.ca)), ("--cert", args.cert.as_ref()), ("--key", args.key.as_ref())];
        for (option, path) in files.into_iter().filter_map(|(option, path)| Some((option, path?))) {
            if !exists(path)? {
                return Err(UsageError::NoFile { option, path: path.clone() }.into());
            }
        }
        let name = args.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| bad_address())?;
        let (config, token) = client_config(args)?;
        Ok(Self {
            host: host.to_owned(),
            port,
            name,
            config: Arc::new(config),
            token,
            timeout,
            credential: args.credential_file.as_ref().map(read_credential).transpose()?,
        })
    }

    /// Connects, and finishes the TLS handshake. Whether the server accepts the client's certificate may show only at the
    /// first answer (TLS 1.3).
    pub(super) fn connect(&self) -> Result<Connection, CheckError> {
        let unresolved = |source| CheckError::Unresolved { host: self.host.clone(), source };
        let addresses: Vec<_> = (self.host.as_str(), self.port).to_socket_addrs().map_err(unresolved)?.collect();
        let mut last = unresolved(io::ErrorKind::NotFound.into());
        for address in addresses {
            match TcpStream::connect_timeout(&address, self.timeout) {
                Ok(socket) => return self.shake_hands(socket),
                Err(source) => last = CheckError::Unreachable { address, source },
            }
        }
        Err(last)
    }

    fn shake_hands(&self, mut socket: TcpStream) -> Result<Connection, CheckError> {
        let ready = socket
            .set_read_timeout(Some(self.timeout))
            .and_then(|()| socket.set_write_timeout(Some(self.timeout)))
            .and_then(|()| socket.set_nodelay(true));
        ready.map_err(CheckError::Transport)?;
        let mut tls =
            ClientConnection::new(Arc::clone(&self.config), self.name.clone()).map_err(CheckError::Unusable)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).map_err(CheckError::Transport)?;
        }
        let version = match tls.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS",
        };
        let suite = tls.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or_default();
        let server = tls.peer_certificates().and_then(|chain| chain.first()).map(|der| Thumbprints::of(der).sha256);
        let short: String = server.unwrap_or_default().chars().take(11).collect();
        let mut agreed = format!("{version}, {}, server certificate {short}..", suite.trim_start_matches("TLS13_"));
        if let Some(token) = &self.token {
            agreed.push_str(", signed on the client's token ");
            agreed.push_str(token.signed_by());
        }
        Ok(Connection { stream: StreamOwned::new(tls, socket), agreed })
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A polite end; a server that is gone already does not matter.
        self.stream.conn.send_close_notify();
        let _ = self.stream.flush();
    }
}

/// Host and port of `HOST`, `HOST:PORT` and, for IPv6, `IP`, `[IP]` and `[IP]:PORT`.
fn split_address(address: &str) -> Option<(&str, u16)> {
    if address.parse::<Ipv6Addr>().is_ok() {
        return Some((address, KMIP_PORT));
    }
    if let Some(host) = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return Some((host, KMIP_PORT));
    }
    match address.rsplit_once(':') {
        Some((host, port)) => Some((host.trim_start_matches('[').trim_end_matches(']'), port.parse().ok()?)),
        None => Some((address, KMIP_PORT)),
    }
}

/// What TLS needs on this side, and the token that signs for it.
fn client_config(args: &CheckArgs) -> Result<(ClientConfig, Option<Arc<TokenResolver>>), CliError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&args.ca)? {
        roots.add(certificate).map_err(|error| CliError::Check(CheckError::Unusable(error)))?;
    }
    let versions = match args.tls {
        None => &[&rustls::version::TLS13, &rustls::version::TLS12][..],
        Some(TlsVersion::Tls12) => &[&rustls::version::TLS12],
        Some(TlsVersion::Tls13) => &[&rustls::version::TLS13],
    };
    let unusable = |error| CliError::Check(CheckError::Unusable(error));
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(unusable)?
        .with_root_certificates(roots);
    if let Some(token) = &args.client_token {
        let resolver = Arc::new(TokenResolver::open(token, args.cert.as_ref().map(certificates).transpose()?)?);
        let used: Arc<dyn ResolvesClientCert> = Arc::clone(&resolver) as _;
        return Ok((builder.with_client_cert_resolver(used), Some(resolver)));
    }
    // The command line demands both where there is no token.
    let (Some(certificate), Some(key)) = (&args.cert, &args.key) else {
        return Ok((builder.with_no_client_auth(), None));
    };
    let text = read_secret_file(key).map_err(CliError::secret(key))?;
    let der = PrivateKeyDer::from_pem_slice(&text).map_err(|error| CliError::content(key)(CaError::Pem(error)))?;
    let config = builder.with_client_auth_cert(certificates(certificate)?, der).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            CliError::Check(CheckError::KeyMismatch { key: key.clone(), certificate: certificate.clone() })
        }
        other => unusable(other),
    })?;
    Ok((config, None))
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, CliError> {
    let file = std::fs::read(path).map_err(CliError::file(path))?;
    read_certificates(&file).map_err(CliError::content(path))
}

#[cfg(test)]
mod tests {
    use super::split_address;

    #[test]
    fn an_address_without_a_port_gets_the_port_of_kmip() {
        for (address, expected) in [
            ("kms.example.com", Some(("kms.example.com", 5696))),
            ("kms.example.com:1", Some(("kms.example.com", 1))),
            ("192.0.2.1", Some(("192.0.2.1", 5696))),
            ("::1", Some(("::1", 5696))),
            ("[::1]", Some(("::1", 5696))),
            ("[::1]:7", Some(("::1", 7))),
            ("host:", None),
            ("host:70000", None),
        ] {
            assert_eq!(split_address(address), expected, "{address}");
        }
    }
}
