//! The TLS connection to the receiver: its certificate checked, time-outs on everything.

use std::{
    io::{self, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};

use super::{super::AuditError, Receiver};
use crate::config::{SecretFileError, read_secret_file};

/// How long connecting, the handshake and a write may take, each.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a look at what the receiver says may take.
const GLANCE: Duration = Duration::from_millis(1);

/// Why records do not arrive.
#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    /// Certificates cannot be read.
    #[error("{path}: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rustls_pki_types::pem::Error,
    },
    /// There is no certificate in a file.
    #[error("{0}: there is no certificate in it")]
    NoCertificate(PathBuf),
    /// The private key cannot be read.
    #[error("{path}: {source}")]
    Key {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: SecretFileError,
    },
    /// The receiver's name is none.
    #[error("{0:?} is no name of a server")]
    Name(String),
    /// Certificates or key cannot be used, or the receiver's are not to be trusted.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The connection failed.
    #[error("{0}")]
    Connection(io::Error),
    /// The receiver has ended the connection.
    #[error("it ended the connection")]
    Ended,
    /// The segments cannot be read.
    #[error("the audit log cannot be read: {0}")]
    Log(io::Error),
    /// The thread could not be started.
    #[error(transparent)]
    Thread(AuditError),
}

/// A connection that is made when it is needed.
pub(super) struct Connection {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    stream: Option<StreamOwned<ClientConnection, TcpStream>>,
}

impl Connection {
    /// Reads the certificates. Does not connect.
    pub(super) fn new(receiver: &Receiver) -> Result<Self, ReceiverError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&receiver.ca_file)? {
            roots.add(certificate)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = builder.with_root_certificates(roots);
        let config = match &receiver.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let pem = read_secret_file(key).map_err(|source| ReceiverError::Key { path: key.clone(), source })?;
                let key = PrivateKeyDer::from_pem_slice(&pem)
                    .map_err(|source| ReceiverError::Pem { path: key.clone(), source })?;
                builder.with_client_auth_cert(certificates(chain)?, key)?
            }
        };
        let name = receiver.server_name.as_ref().unwrap_or(&receiver.host);
        let name = ServerName::try_from(name.clone()).map_err(|_| ReceiverError::Name(name.clone()))?;
        Ok(Self { config: Arc::new(config), name, stream: None })
    }

    /// Connects where there is no connection.
    pub(super) fn open(&mut self, receiver: &Receiver) -> Result<(), ReceiverError> {
        if self.stream.is_some() {
            return Ok(());
        }
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        let addresses = (receiver.host.as_str(), receiver.port).to_socket_addrs().map_err(ReceiverError::Connection)?;
        for address in addresses {
            match TcpStream::connect_timeout(&address, TIMEOUT) {
                Ok(socket) => {
                    self.stream = Some(self.shake_hands(socket)?);
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(ReceiverError::Connection(last))
    }

    fn shake_hands(&self, mut socket: TcpStream) -> Result<StreamOwned<ClientConnection, TcpStream>, ReceiverError> {
        let limit = |socket: &TcpStream, read| {
            socket.set_read_timeout(Some(read))?;
            socket.set_write_timeout(Some(TIMEOUT))
        };
        limit(&socket, TIMEOUT).map_err(ReceiverError::Connection)?;
        let mut tls = ClientConnection::new(Arc::clone(&self.config), self.name.clone())?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).map_err(ReceiverError::Connection)?;
        }
        limit(&socket, GLANCE).map_err(ReceiverError::Connection)?;
        Ok(StreamOwned::new(tls, socket))
    }

    /// Whether the receiver is still there. It has nothing to say but that it is not.
    pub(super) fn check(&mut self) -> Result<(), ReceiverError> {
        let Some(stream) = &mut self.stream else { return Err(ReceiverError::Ended) };
        match stream.read(&mut [0; 256]) {
            Ok(0) => Err(ReceiverError::Ended),
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(()),
            Err(error) => Err(ReceiverError::Connection(error)),
        }
    }

    /// Sends bytes.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), ReceiverError> {
        let Some(stream) = &mut self.stream else { return Err(ReceiverError::Ended) };
        stream.write_all(bytes).and_then(|()| stream.flush()).map_err(ReceiverError::Connection)
    }

    /// Ends the connection.
    pub(super) fn close(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            stream.conn.send_close_notify();
            // Who is gone need not be told.
            let _ = stream.flush();
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ReceiverError> {
    let unreadable = |source| ReceiverError::Pem { path: path.to_owned(), source };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect();
    let found = found.map_err(unreadable)?;
    if found.is_empty() { Err(ReceiverError::NoCertificate(path.to_owned())) } else { Ok(found) }
}
