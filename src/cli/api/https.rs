//! One request, one HTTPS connection. The server is recognised by an authority or by its own certificate's thumbprint, never by what
//! the system trusts.

use std::{io, sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    http::{HeaderValue, Request, Response, Uri, header},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::ApiError;
use crate::{
    ca::{CaError, read_certificates},
    cli::{
        CliError,
        check::explain,
        context::Context,
        judged::{Judge, Judged},
        thumbprint::Thumbprint,
    },
    config::read_secret_file,
};

/// The port of the admin API where a URL names none.
const ADMIN_PORT: u16 = 8443;
/// To the end of the TLS handshake.
const CONNECT_TIME: Duration = Duration::from_secs(15);
/// To the end of the answer: an RSA key may have to be made, or a root key in a slow HSM.
const ANSWER_TIME: Duration = Duration::from_secs(180);
/// Longest answer in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// The text names no server.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a server is written as https://HOST:PORT")]
pub(in crate::cli) struct BadServer;

/// The host and port of `https://HOST:PORT`.
pub(in crate::cli) fn parse_server(text: &str) -> Result<(String, u16), BadServer> {
    let uri: Uri = text.parse().map_err(|_| BadServer)?;
    let is_bare = uri.path() == "/" && uri.query().is_none();
    // A user and password in it would end up in the file of contexts.
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) if is_bare && !has_user => {
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            Ok((host, uri.port_u16().unwrap_or(ADMIN_PORT)))
        }
        _ => Err(BadServer),
    }
}

/// A server to speak to.
pub(super) struct Https {
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: TlsConnector,
    authorization: Option<HeaderValue>,
}

impl Https {
    /// Reads the files that `context` names.
    pub(super) fn of(name: &str, context: &Context) -> Result<Self, CliError> {
        let bad = || CliError::from(super::super::error::UsageError::BadServer { context: name.to_owned() });
        let (host, port) = parse_server(&context.server).map_err(|_| bad())?;
        let server_name = ServerName::try_from(host.clone()).map_err(|_| bad())?;
        let authorization = context.api_key_file.as_ref().map(|file| {
            let key = read_secret_file(file).map_err(CliError::secret(file))?;
            bearer(&key).ok_or(CliError::Api(ApiError::NotAnApiKey))
        });
        Ok(Self {
            host,
            port,
            name: server_name,
            tls: TlsConnector::from(Arc::new(client_config(context)?)),
            authorization: authorization.transpose()?,
        })
    }

    /// Its address, for people.
    pub(super) fn server(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("https://{host}:{}", self.port)
    }

    /// Sends a request and waits for the whole answer.
    pub(super) async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Bytes>, ApiError> {
        let host = self.server().trim_start_matches("https://").to_owned();
        if let Ok(host) = HeaderValue::try_from(host) {
            request.headers_mut().insert(header::HOST, host);
        }
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        let late = |_| {
            self.unreachable("no answer in time; is there a firewall in between, and is the server well?".to_owned())
        };
        let stream = timeout(CONNECT_TIME, self.connect()).await.map_err(late)??;
        let answer = async {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            let connection = tokio::spawn(connection);
            let answer = sender.send_request(request).await?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            connection.abort();
            Ok::<_, hyper::Error>((parts, body))
        };
        let (parts, body) = timeout(ANSWER_TIME, answer).await.map_err(late)?.map_err(|error| self.broken(&error))?;
        match body {
            Ok(body) => Ok(Response::from_parts(parts, body.to_bytes())),
            Err(error) => Err(self.unreachable(format!("the answer broke off: {error}"))),
        }
    }

    async fn connect(&self) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ApiError> {
        let socket = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| self.unreachable(explain::connecting(&error)))?;
        let _ = socket.set_nodelay(true);
        self.tls.connect(self.name.clone(), socket).await.map_err(|error| self.no_tls(&error))
    }

    fn no_tls(&self, error: &io::Error) -> ApiError {
        let is_other = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()).is_some_and(|cause| {
            *cause == rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
        });
        if is_other {
            return self.unreachable(
                "the server's certificate does not have the thumbprint of this context: nothing was sent; compare it with the one that \
                 the server's operator tells"
                    .to_owned(),
            );
        }
        self.unreachable(explain::transport(error))
    }

    fn broken(&self, error: &hyper::Error) -> ApiError {
        let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
        self.unreachable(cause.map_or_else(|| format!("the connection broke: {error}"), explain::transport))
    }

    fn unreachable(&self, why: String) -> ApiError {
        ApiError::Unreachable { server: self.server(), why }
    }
}

/// The header of an API key; `None` where that is none, so that no other secret is ever sent by mistake.
fn bearer(key: &[u8]) -> Option<HeaderValue> {
    let key = std::str::from_utf8(key).ok()?.trim();
    let is_key = key.len() == 79
        && key.starts_with("ks_")
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let text = Zeroizing::new(format!("Bearer {key}"));
    let mut value = HeaderValue::from_str(&text).ok().filter(|_| is_key)?;
    value.set_sensitive(true);
    Some(value)
}

fn client_config(context: &Context) -> Result<ClientConfig, CliError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(ApiError::Trust)?;
    let builder = match (&context.thumbprint, &context.ca) {
        (Some(thumbprint), _) => {
            let pinned = Judged::by(Pinned(thumbprint.clone()));
            builder.dangerous().with_custom_certificate_verifier(Arc::new(pinned))
        }
        (None, ca) => {
            let mut roots = RootCertStore::empty();
            for certificate in ca.as_ref().map(|file| certificates(file)).transpose()?.unwrap_or_default() {
                roots.add(certificate).map_err(ApiError::Trust)?;
            }
            builder.with_root_certificates(roots)
        }
    };
    let (Some(certificate), Some(key)) = (&context.certificate, &context.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let text = read_secret_file(key).map_err(CliError::secret(key))?;
    let der = PrivateKeyDer::from_pem_slice(&text).map_err(|error| CliError::content(key)(CaError::Pem(error)))?;
    Ok(builder.with_client_auth_cert(certificates(certificate)?, der).map_err(ApiError::Identity)?)
}

fn certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, CliError> {
    let file = std::fs::read(path).map_err(CliError::file(path))?;
    read_certificates(&file).map_err(CliError::content(path))
}

/// Takes one certificate, whatever it says of itself.
#[derive(Debug)]
struct Pinned(Thumbprint);

impl Judge for Pinned {
    fn judge(&self, end_entity: &CertificateDer<'_>, _: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        match self.0.is_of(end_entity) {
            true => Ok(()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_https_url_of_host_and_port_and_nothing_else_is() {
        for (text, host, port) in [
            ("https://kms.example.com", "kms.example.com", 8443),
            ("https://127.0.0.1:9000/", "127.0.0.1", 9000),
            ("https://[::1]:1", "::1", 1),
        ] {
            assert_eq!(parse_server(text).unwrap(), (host.to_owned(), port), "{text}");
        }
        for bad in ["http://a", "a:1", "https://", "https://a/v1", "https://u:p@a", "https://a?x", ""] {
            assert!(parse_server(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_an_api_key_is_ever_sent_as_one() {
        let key = format!("ks_{}_{}", "0".repeat(32), "A".repeat(43));
        let header = bearer(key.as_bytes()).unwrap();
        assert!(header.is_sensitive() && !format!("{header:?}").contains("AAAA"));
        for bad in ["", "hunter2", &key[1..], &format!("{key}x"), &key.replace("AA", "A ")] {
            assert!(bearer(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
