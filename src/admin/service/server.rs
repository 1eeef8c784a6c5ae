//! The server itself: how it is, and reading again what was changed on disk.

use std::collections::BTreeMap;

use hal::Health as HsmHealth;
use jiff::Timestamp;

use super::Service;
use crate::{
    admin::{
        caller::Caller,
        model::{CertificateInfo, Health, ServerInfo},
        permission::{Permission, Scope},
        problem::{Code, Problem},
    },
    audit::Subject,
    ca::{CaError, IssuedCertificate, describe},
    net::RenewalError,
    trust::fingerprint,
};

impl Service {
    /// Tells about the server.
    pub(in crate::admin) fn read_server(&self, caller: &Caller) -> Result<ServerInfo, Problem> {
        let may = (Permission::ConfigRead, Scope::Everything);
        self.act(caller, "server.read", may, Subject::default(), |_| {
            let chain = self.certificate.chain();
            let certificate = chain.first().ok_or_else(|| Problem::internal("the server has no certificate"))?;
            let names = describe(certificate).map_err(Problem::internal)?.alternative_names;
            let ca_pem = std::fs::read_to_string(&self.config.tls.ca).map_err(Problem::internal)?;
            Ok(ServerInfo {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                started_at: self.started_at.to_string(),
                health: self.health(),
                kmip_listen: self.kmip_listen.iter().map(ToString::to_string).collect(),
                names: names.iter().map(ToString::to_string).collect(),
                certificate: CertificateInfo::of(certificate).map_err(Problem::internal)?,
                ca_pem,
            })
        })
    }

    /// Reads the server's certificate again, and goes on with a new audit file, as SIGHUP does.
    pub(in crate::admin) fn reload_server(&self, caller: &Caller) -> Result<ServerInfo, Problem> {
        let may = (Permission::ConfigWrite, Scope::Everything);
        self.act(caller, "server.reload", may, Subject::default(), |_| {
            self.certificate.reload().map_err(|error| {
                Problem::new(Code::State, format!("the old server certificate stays in use: {error}"))
            })?;
            self.audit.reopen()?;
            Ok(self.trust.refresh_now()?)
        })?;
        self.read_server(caller)
    }

    /// Renews the server's certificate with the own authority.
    pub(in crate::admin) fn renew_server(&self, caller: &Caller) -> Result<ServerInfo, Problem> {
        let may = (Permission::ConfigWrite, Scope::Everything);
        self.act(caller, "server.certificate.renew", may, Subject::default(), |about| {
            let authority = self.own_authority()?;
            let renewed = self.certificate.renew(&authority, Timestamp::now()).map_err(|error| match error {
                RenewalError::Authority(CaError::Hsm(error)) => error.into(),
                error => Problem::new(Code::State, format!("the old server certificate stays in use: {error}")),
            })?;
            about.certificate = Some(fingerprint(&renewed.der.as_slice().into()));
            Ok(())
        })?;
        self.read_server(caller)
    }

    /// The certificate of the own authority, PEM.
    pub(in crate::admin) fn read_own_ca(&self, caller: &Caller) -> Result<String, Problem> {
        let may = (Permission::ConfigRead, Scope::Everything);
        self.act(caller, "server.ca.read", may, Subject::default(), |_| {
            let own = self.own_ca()?;
            Ok(own.into_iter().map(|der| IssuedCertificate::from_der(der.to_vec()).pem).collect())
        })
    }

    /// How the server's parts are.
    #[must_use]
    pub fn health(&self) -> Health {
        let hsm = match self.hal.health() {
            HsmHealth::Ready | HsmHealth::Degraded(_) => Ok(()),
            HsmHealth::Down(error) => Err(error.to_string()),
        };
        let store = self.store.trust_generation().map(drop).map_err(|error| error.to_string());
        let audit = self.audit.health().map_err(|error| error.to_string());
        let parts = [("hsm", hsm), ("store", store), ("audit", audit)];
        Health {
            ready: parts.iter().all(|(_, result)| result.is_ok()),
            parts: parts
                .into_iter()
                .map(|(part, result)| (part.to_owned(), result.err().unwrap_or_else(|| "ready".to_owned())))
                .collect::<BTreeMap<_, _>>(),
        }
    }
}
