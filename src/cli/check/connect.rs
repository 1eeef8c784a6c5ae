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
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, StreamOwned, WantsVerifier,
    client::{ResolvesClientCert, WantsClientCert, danger::ServerCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use zeroize::Zeroizing;

use super::{CheckArgs, TlsVersion, explain, token::TokenResolver};
use crate::{
    ca::{CaError, Thumbprints, read_certificates},
    cli::{CliError, dev::read_credential, error::UsageError},
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
    pub(super) host: String,
    pub(super) port: u16,
    /// The name that the server's certificate must have.
    pub(super) name: ServerName<'static>,
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
    pub(super) fn read(args: &CheckArgs) -> Result<Self, CliError> {
        let mut roots = RootCertStore::empty();
        for certificate in args.ca.as_ref().map(certificates).transpose()?.unwrap_or_default() {
            roots.add(certificate).map_err(|error| CliError::Check(CheckError::Unusable(error)))?;
        }
        if args.client_token.is_none() && (args.cert.is_none() || args.key.is_none()) {
            return Err(UsageError::NoClientCertificate.into());
        }
        let (config, token) = with_identity(tls(args.tls)?.with_root_certificates(roots), args)?;
        Self::new(args, config, token)
    }

    /// The same for a connection whose certificate `verifier` looks at. Where the client's own certificate or key cannot be used,
    /// the reason comes along, and the target goes without them.
    pub(super) fn diagnosed(
        args: &CheckArgs,
        verifier: &Arc<impl ServerCertVerifier + 'static>,
    ) -> Result<(Self, Option<CliError>), CliError> {
        let builder = || {
            let verifier = Arc::clone(verifier);
            Ok::<_, CliError>(tls(args.tls)?.dangerous().with_custom_certificate_verifier(verifier))
        };
        let ((config, token), unusable) = match with_identity(builder()?, args) {
            Ok(usable) => (usable, None),
            Err(error) => ((builder()?.with_no_client_auth(), None), Some(error)),
        };
        Ok((Self::new(args, config, token)?, unusable))
    }

    fn new(args: &CheckArgs, config: ClientConfig, token: Option<Arc<TokenResolver>>) -> Result<Self, CliError> {
        // The command line demands it wherever a connection is made.
        let address = args.addr.as_deref().unwrap_or_default();
        let bad_address = || CliError::Check(CheckError::BadAddress(address.to_owned()));
        let (host, port) = split_address(address).ok_or_else(bad_address)?;
        let name = args.server_name.as_deref().unwrap_or(host);
        Ok(Self {
            host: host.to_owned(),
            port,
            name: ServerName::try_from(name.to_owned()).map_err(|_| bad_address())?,
            config: Arc::new(config),
            token,
            timeout: Duration::from_secs(args.timeout_seconds),
            credential: args.credential_file.as_ref().map(read_credential).transpose()?,
        })
    }

    /// The addresses of its name.
    pub(super) fn addresses(&self) -> Result<Vec<SocketAddr>, CheckError> {
        let unresolved = |source| CheckError::Unresolved { host: self.host.clone(), source };
        let found: Vec<_> = (self.host.as_str(), self.port).to_socket_addrs().map_err(unresolved)?.collect();
        if found.is_empty() { Err(unresolved(io::ErrorKind::NotFound.into())) } else { Ok(found) }
    }

    /// A TCP connection to the first of `addresses` that answers.
    pub(super) fn reach(&self, addresses: &[SocketAddr]) -> Result<(SocketAddr, TcpStream), CheckError> {
        let source = io::ErrorKind::NotFound.into();
        let mut last = CheckError::Unresolved { host: self.host.clone(), source };
        for &address in addresses {
            match TcpStream::connect_timeout(&address, self.timeout) {
                Ok(socket) => return Ok((address, socket)),
                Err(source) => last = CheckError::Unreachable { address, source },
            }
        }
        Err(last)
    }

    /// Connects, and finishes the TLS handshake. Whether the server accepts the client's certificate may show only at the
    /// first answer (TLS 1.3).
    pub(super) fn connect(&self) -> Result<Connection, CheckError> {
        let (_, socket) = self.reach(&self.addresses()?)?;
        let mut shaken = self.shake_hands(socket)?;
        match shaken.failure.take() {
            Some(error) => Err(CheckError::Transport(error)),
            None => Ok(shaken.into_connection(self.token.as_deref())),
        }
    }

    /// TLS on `socket`, as far as it gets.
    pub(super) fn shake_hands(&self, mut socket: TcpStream) -> Result<Shaken, CheckError> {
        let ready = socket
            .set_read_timeout(Some(self.timeout))
            .and_then(|()| socket.set_write_timeout(Some(self.timeout)))
            .and_then(|()| socket.set_nodelay(true));
        ready.map_err(CheckError::Transport)?;
        let mut tls =
            ClientConnection::new(Arc::clone(&self.config), self.name.clone()).map_err(CheckError::Unusable)?;
        let mut failure = None;
        while tls.is_handshaking() && failure.is_none() {
            failure = tls.complete_io(&mut socket).err();
        }
        Ok(Shaken { tls, socket, failure })
    }
}

/// A TLS handshake, finished or broken off.
pub(super) struct Shaken {
    tls: ClientConnection,
    socket: TcpStream,
    /// What broke it off.
    pub(super) failure: Option<io::Error>,
}

impl Shaken {
    /// The version and cipher suite, as soon as the server has chosen them.
    pub(super) fn chosen(&self) -> Option<String> {
        let version = match self.tls.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_2 => "TLS 1.2",
            rustls::ProtocolVersion::TLSv1_3 => "TLS 1.3",
            _ => "TLS",
        };
        let suite = self.tls.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or_default();
        Some(format!("{version}, {}", suite.trim_start_matches("TLS13_")))
    }

    /// The connection, of a handshake that is finished.
    pub(super) fn into_connection(self, token: Option<&TokenResolver>) -> Connection {
        let server =
            self.tls.peer_certificates().and_then(|chain| chain.first()).map(|der| Thumbprints::of(der).sha256);
        let short: String = server.unwrap_or_default().chars().take(11).collect();
        let mut agreed = format!("{}, server certificate {short}..", self.chosen().unwrap_or_default());
        if let Some(token) = token {
            agreed.push_str(", signed on the client's token ");
            agreed.push_str(token.signed_by());
        }
        Connection { stream: StreamOwned::new(self.tls, self.socket), agreed }
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

/// TLS in the version that was asked for, or in any.
fn tls(version: Option<TlsVersion>) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, CliError> {
    let versions = match version {
        None => &[&rustls::version::TLS13, &rustls::version::TLS12][..],
        Some(TlsVersion::Tls12) => &[&rustls::version::TLS12],
        Some(TlsVersion::Tls13) => &[&rustls::version::TLS13],
    };
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(|error| CliError::Check(CheckError::Unusable(error)))
}

/// Adds the client's certificate and key, where any are given, and says which token signs.
fn with_identity(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    args: &CheckArgs,
) -> Result<(ClientConfig, Option<Arc<TokenResolver>>), CliError> {
    if let Some(token) = &args.client_token {
        let resolver = Arc::new(TokenResolver::open(token, args.cert.as_ref().map(certificates).transpose()?)?);
        let used: Arc<dyn ResolvesClientCert> = Arc::clone(&resolver) as _;
        return Ok((builder.with_client_cert_resolver(used), Some(resolver)));
    }
    let (Some(certificate), Some(key)) = (&args.cert, &args.key) else {
        return Ok((builder.with_no_client_auth(), None));
    };
    let text = read_secret_file(key).map_err(CliError::secret(key))?;
    let der = PrivateKeyDer::from_pem_slice(&text).map_err(|error| CliError::content(key)(CaError::Pem(error)))?;
    let config = builder.with_client_auth_cert(certificates(certificate)?, der).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            CliError::Check(CheckError::KeyMismatch { key: key.clone(), certificate: certificate.clone() })
        }
        other => CliError::Check(CheckError::Unusable(other)),
    })?;
    Ok((config, None))
}

/// The certificates in the file `path`.
pub(super) fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, CliError> {
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
