//! The admin API as a client sees it: real HTTPS.

use std::{io::ErrorKind, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use keystead::admin::problem::ProblemDetails;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use ureq::{
    Agent, Body,
    http::{HeaderMap, Request, Response},
    tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig},
};

/// One caller of the admin API.
#[derive(Clone)]
pub struct Api {
    agent: Agent,
    base: String,
    headers: Vec<(String, String)>,
    roots: Vec<Certificate<'static>>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Api {
    /// At `address`, with the authority in `ca` to trust.
    pub fn new(address: SocketAddr, ca: &Path) -> Self {
        let roots =
            CertificateDer::pem_file_iter(ca).unwrap().map(|der| Certificate::from_der(&der.unwrap()).to_owned());
        let roots: Vec<_> = roots.collect();
        let agent = agent(&roots, None);
        Self { agent, base: format!("https://localhost:{}", address.port()), headers: Vec::new(), roots }
    }

    /// The same with an API key and nothing else.
    pub fn with_key(&self, key: &str) -> Self {
        let mut other = Self { headers: Vec::new(), ..self.clone() };
        other.headers.push(("authorization".to_owned(), format!("Bearer {key}")));
        other
    }

    /// The same with another header.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.push((name.to_owned(), value.to_owned()));
        other
    }

    /// The same with a client certificate and its key (PEM) and nothing else.
    pub fn with_certificate(&self, certificate: &str, key: &str) -> Self {
        let chain = [Certificate::from_pem(certificate.as_bytes()).unwrap()];
        let client = ClientCert::new_with_certs(&chain, PrivateKey::from_pem(key.as_bytes()).unwrap());
        Self { agent: agent(&self.roots, Some(client)), headers: Vec::new(), ..self.clone() }
    }

    /// The header that logs in.
    pub fn authorization(&self) -> &str {
        let found = self.headers.iter().find(|(name, _)| name == "authorization");
        &found.expect("a caller with an API key").1
    }

    /// Sends a request. A body is sent as it is; without one nothing is.
    pub fn send(&self, method: &str, path: &str, body: Option<&str>) -> Reply {
        let mut answer = self.attempt(method, path, body);
        // A server that refuses by the header alone may be gone before the body is sent, and its answer with it.
        for _ in 0..3 {
            match &answer {
                Err(ureq::Error::Io(error)) if error.kind() == ErrorKind::BrokenPipe => {
                    answer = self.attempt(method, path, body);
                }
                _ => break,
            }
        }
        let mut answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        Reply {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            text: answer.body_mut().read_to_string().unwrap(),
        }
    }

    fn attempt(&self, method: &str, path: &str, body: Option<&str>) -> Result<Response<Body>, ureq::Error> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let has_type = self.headers.iter().any(|(name, _)| name == "content-type");
        match body {
            Some(body) => {
                let request = if has_type { request } else { request.header("content-type", "application/json") };
                self.agent.run(request.body(body.to_owned()).unwrap())
            }
            None => self.agent.run(request.body(()).unwrap()),
        }
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &impl Serialize) -> Reply {
        self.send("POST", path, Some(&serde_json::to_string(body).unwrap()))
    }

    /// Changes what is at `path`, from its present revision.
    pub fn patch(&self, path: &str, body: &impl Serialize) -> Reply {
        self.current(path).send("PATCH", path, Some(&serde_json::to_string(body).unwrap()))
    }

    /// Deletes what is at `path`, at its present revision where it has one.
    pub fn delete(&self, path: &str) -> Reply {
        self.current(path).send("DELETE", path, None)
    }

    fn current(&self, path: &str) -> Self {
        match self.get(path).headers.get("etag") {
            Some(etag) => self.with("if-match", etag.to_str().unwrap()),
            None => self.with("if-match", "*"),
        }
    }

    /// The root key of the adapter that every test server has.
    pub fn root_key(&self) -> String {
        let adapters = self.get("/v1/adapters").expect(200);
        adapters["items"][0]["root_key"]["id"].as_str().unwrap().to_owned()
    }

    /// Makes an adapter; its identifier.
    pub fn adapter(&self, name: &str) -> String {
        let made = self.post("/v1/adapters", &json!({"name": name, "root_key": self.root_key()})).expect(201);
        made["id"].as_str().unwrap().to_owned()
    }

    /// A service of these grants with an API key: `(role, adapter)`.
    pub fn service(&self, name: &str, grants: &[(&str, Option<&str>)]) -> Self {
        let grants: Vec<_> = grants.iter().map(|(role, adapter)| json!({"role": role, "adapter": adapter})).collect();
        let made = self.post("/v1/identities", &json!({"kind": "service", "name": name, "grants": grants})).expect(201);
        self.with_key(&self.new_key(made["id"].as_str().unwrap()))
    }

    /// Makes an API key of an identity; its text.
    pub fn new_key(&self, identity: &str) -> String {
        let path = format!("/v1/identities/{identity}/api-keys");
        let made = self.post(&path, &json!({"name": "test key"})).expect(201);
        made["key"].as_str().unwrap().to_owned()
    }
}

impl Reply {
    /// The body, of an answer with this status.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { serde_json::from_str(&self.text).expect(&self.text) }
    }

    /// The body as it came, of an answer with this status.
    pub fn expect_text(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{}", self.text);
        &self.text
    }

    /// The body as the type that the command line reads, of an answer with this status.
    pub fn read<T: DeserializeOwned>(&self, status: u16) -> T {
        serde_json::from_value(self.expect(status)).expect(&self.text)
    }

    /// The problem, which must have this status and code.
    pub fn problem(&self, status: u16, code: &str) -> ProblemDetails {
        assert_eq!(self.header("content-type"), "application/problem+json", "{} {}", self.status, self.text);
        let details: ProblemDetails = self.read(status);
        assert_eq!(details.code, code, "{}", self.text);
        assert_eq!(details.status, status, "{}", self.text);
        assert!(!details.detail.is_empty(), "it says what to do");
        details
    }

    /// A header, which must be there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {} {}", self.status, self.text)).to_str().unwrap()
    }
}

fn agent(roots: &[Certificate<'static>], client: Option<ClientCert>) -> Agent {
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(roots))
        .client_cert(client)
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .timeout_global(Some(Duration::from_secs(60)))
        .build();
    Agent::new_with_config(config)
}
