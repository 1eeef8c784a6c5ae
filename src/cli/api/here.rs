//! The admin API on the files of this machine, without a socket: the routes of a server in this process, also while one runs beside
//! it, which notices a change within a second.

use std::sync::Arc;

use axum::{
    body::Bytes,
    http::{Request, Response},
};
use hal::{HalError, RootKeys};
use http_body_util::{BodyExt as _, Full};
use jiff::Timestamp;
use parking_lot::Mutex;
use rustix::process::getuid;
use rustls_pki_types::CertificateDer;

use super::hsm::Deferred;
use crate::{
    admin::{
        local::{InProcess, LocalUser},
        service::{Remembered, Service, Watched},
    },
    ca::read_certificates,
    cli::{CliError, admin::Admin, data_dir::exists, root_key},
    config::Config,
    net::ServerCertificate,
    trust::{LiveTrust, TrustSource},
};

/// The files of this machine.
pub(in crate::cli) struct Here {
    /// Store and audit log.
    pub(in crate::cli) admin: Admin,
    hsm: Arc<Deferred>,
    api: InProcess,
}

impl Here {
    /// Opens what `config` names.
    pub(super) fn open(config: Config) -> Result<Self, CliError> {
        let admin = Admin::open(config)?;
        let hsm = Arc::new(Deferred::new(admin.config.hsm.clone(), Arc::clone(&admin.store)));
        root_key::identify(&admin);
        let trust = LiveTrust::still(TrustSource::store(&admin.store), &certificates(&admin.config.tls.ca)?)?;
        let service = Service {
            store: Arc::clone(&admin.store),
            hal: Arc::<Deferred>::clone(&hsm),
            trust,
            audit: admin.audit(),
            config: admin.config.clone(),
            kmip_listen: Vec::new(),
            certificate: Arc::new(ServerCertificate::without_key(certificates(&admin.config.tls.certificate)?)),
            started_at: Timestamp::now(),
            backing_up: Mutex::default(),
            watched: Watched::default(),
            remembered: Remembered::default(),
        };
        let user = LocalUser { uid: getuid().as_raw() };
        Ok(Self { admin, hsm, api: InProcess::new(service, user) })
    }

    /// Sends a request. An HSM that cannot be opened is told in its own words.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, CliError> {
        let _ = self.hsm.said();
        let (parts, body) = self.api.answer(request).await.into_parts();
        if parts.status.is_server_error()
            && let Some(error) = self.hsm.not_opened()
        {
            return Err(error);
        }
        // It is in memory, where nothing breaks off.
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Ok(Response::from_parts(parts, body))
    }

    /// The HSM, open.
    pub(in crate::cli) fn hsm(&self) -> Result<Arc<dyn RootKeys>, CliError> {
        self.hsm.open()?;
        Ok(Arc::<Deferred>::clone(&self.hsm))
    }

    /// What the HSM answered to the last request, where that was an error.
    pub(super) fn hsm_said(&self) -> Option<HalError> {
        self.hsm.said()
    }
}

/// The certificates in a file, none where it is not there: what needs them says so.
fn certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, CliError> {
    if !exists(path)? {
        return Ok(Vec::new());
    }
    let file = std::fs::read(path).map_err(CliError::file(path))?;
    read_certificates(&file).map_err(CliError::content(path))
}
