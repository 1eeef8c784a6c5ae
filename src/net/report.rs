//! What operators are told about connections: log lines, kept to one for each cause and minute, and metrics.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{AlertDescription, HandshakeKind, PeerIncompatible, ProtocolVersion, ServerConnection};

use super::{
    PeerIdentity,
    arrivals::{Arrivals, TurnedAway},
    connection::Ended,
    hsm_key::{HsmKeyError, failure_in},
    throttle::Throttle,
    tls::refusal_in,
};
use crate::{
    store::{AdapterId, Fingerprint},
    telemetry::{field, metric},
    trust::{Identity, Refusal, ShownCertificate},
};

/// How often one stranger, or one limit, may cause a log line.
const LOG_PERIOD: Duration = Duration::from_secs(60);

/// Tells operators.
pub(super) struct Report {
    causes: Throttle<LogCause>,
    arrivals: Arc<Arrivals>,
}

/// What log lines are kept apart by.
#[derive(PartialEq, Eq, Hash)]
enum LogCause {
    Full,
    AdapterFull(AdapterId),
    AcceptFailed,
    NoRoom,
    CrowdedOut,
    Hsm,
    Refused(Fingerprint),
    Peer(&'static str, IpAddr),
}

impl Report {
    pub(super) fn new() -> Self {
        Self { causes: Throttle::new(LOG_PERIOD), arrivals: Arc::default() }
    }

    /// Who came lately.
    pub(super) fn arrivals(&self) -> &Arc<Arrivals> {
        &self.arrivals
    }

    pub(super) fn accept_failed(&self, error: &io::Error) {
        if let Some(suppressed) = self.causes.pass(LogCause::AcceptFailed, Instant::now()) {
            tracing::warn!(%error, suppressed, "connections cannot be accepted");
        }
    }

    pub(super) fn full(&self, address: SocketAddr, limit: u32) {
        metrics::counter!(metric::CONNECTIONS_REFUSED, "reason" => "full").increment(1);
        self.arrivals.failed(address.ip(), TurnedAway::Full);
        if let Some(suppressed) = self.causes.pass(LogCause::Full, Instant::now()) {
            let line = "connection refused: the limit of open connections is reached";
            tracing::warn!({ field::PEER } = %address, limit, suppressed, "{line}");
        }
    }

    pub(super) fn crowded_out(&self) {
        metrics::counter!(metric::HANDSHAKES_FAILED, "reason" => "crowded_out").increment(1);
        if let Some(suppressed) = self.causes.pass(LogCause::CrowdedOut, Instant::now()) {
            tracing::warn!(
                suppressed,
                "handshake cut for a newer connection: the limit of open connections is reached"
            );
        }
    }

    pub(super) fn slow_handshake(&self, address: SocketAddr) {
        metrics::counter!(metric::HANDSHAKES_FAILED, "reason" => "timeout").increment(1);
        self.arrivals.failed(address.ip(), TurnedAway::Timeout);
        tracing::debug!({ field::PEER } = %address, "handshake not finished in time");
    }

    pub(super) fn accepted(&self, session: &ServerConnection, peer: &PeerIdentity, shown: &ShownCertificate) {
        let version = version_of(session);
        self.arrivals.accepted(peer, shown, version);
        let resumed = if session.handshake_kind() == Some(HandshakeKind::Resumed) { "yes" } else { "no" };
        metrics::counter!(metric::HANDSHAKES, "version" => version, "resumed" => resumed).increment(1);
    }

    pub(super) fn failed_handshake(&self, address: SocketAddr, error: &io::Error) {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        if let Some(refusal) = cause.and_then(refusal_in) {
            return self.refusal(address, refusal, None);
        }
        if let Some(failure) = cause.and_then(failure_in) {
            self.arrivals.failed(address.ip(), TurnedAway::Hsm);
            return self.hsm_did_not_sign(failure);
        }
        self.arrivals.failed(address.ip(), why(cause));
        // (metric label, line for the operator; none where scanners and probes do the same)
        let (reason, line) = match cause {
            Some(rustls::Error::NoCertificatesPresented) => {
                ("no_certificate", Some("the client offered no certificate: give it one and register it"))
            }
            Some(rustls::Error::AlertReceived(alert)) if refuses_server(*alert) => {
                ("alert", Some("the client does not accept this server's certificate: give it the CA certificate"))
            }
            Some(rustls::Error::PeerIncompatible(_)) => {
                ("incompatible", Some("the client offers no TLS version or cipher suite that this server accepts"))
            }
            Some(rustls::Error::AlertReceived(_)) => ("alert", None),
            Some(_) => ("protocol", None),
            None => ("closed", None),
        };
        metrics::counter!(metric::HANDSHAKES_FAILED, "reason" => reason).increment(1);
        let passed = line.and_then(|line| {
            let suppressed = self.causes.pass(LogCause::Peer(reason, address.ip()), Instant::now())?;
            Some((line, suppressed))
        });
        match passed {
            Some((line, suppressed)) => tracing::info!(%address, %error, suppressed, "handshake failed: {line}"),
            None => tracing::debug!(%address, %error, "handshake failed"),
        }
    }

    /// The one failure of a handshake that is nothing of the client's.
    fn hsm_did_not_sign(&self, failure: &HsmKeyError) {
        metrics::counter!(metric::HANDSHAKES_FAILED, "reason" => "hsm").increment(1);
        if let Some(suppressed) = self.causes.pass(LogCause::Hsm, Instant::now()) {
            let line =
                "new connections fail: the server's TLS key in the HSM cannot be used; those that are open go on";
            tracing::error!(error = %failure, suppressed, "{line}");
        }
    }

    /// `session` is where the handshake was finished before the certificate was refused.
    pub(super) fn refusal(&self, address: SocketAddr, refusal: &Refusal, session: Option<&ServerConnection>) {
        self.arrivals.refused(address.ip(), refusal, session.map(version_of));
        metrics::counter!(metric::HANDSHAKES_FAILED, "reason" => refusal.reason.name()).increment(1);
        let Some(suppressed) = self.causes.pass(LogCause::Refused(refusal.certificate), Instant::now()) else { return };
        tracing::warn!(
            { field::PEER } = %address,
            { field::CERTIFICATE } = %refusal.certificate,
            subject = refusal.subject,
            reason = %refusal.reason,
            suppressed,
            "client certificate refused: {}",
            refusal.reason.remedy(),
        );
    }

    pub(super) fn full_adapter(&self, address: SocketAddr, identity: &Identity, limit: u32) {
        metrics::counter!(metric::CONNECTIONS_REFUSED, "reason" => "adapter_full").increment(1);
        self.arrivals.adapter_full(address.ip(), identity);
        let cause = LogCause::AdapterFull(identity.adapter);
        let Some(suppressed) = self.causes.pass(cause, Instant::now()) else { return };
        tracing::warn!(
            { field::PEER } = %address,
            { field::PRINCIPAL } = %identity.adapter.0,
            limit,
            suppressed,
            "connection refused: the adapter's limit of open connections is reached",
        );
    }

    /// Ends of connections are a peer's affair and go to the debug level; limits that were hit are counted.
    pub(super) fn end(&self, address: SocketAddr, ended: &Ended, limit: u32) {
        let reason = match ended {
            Ended::TooLarge(announced) => {
                let cause = LogCause::Peer("too_large", address.ip());
                if let Some(suppressed) = self.causes.pass(cause, Instant::now()) {
                    tracing::warn!(announced, limit, suppressed, "request refused: larger than the limit of a frame");
                }
                "too_large"
            }
            Ended::NoRoom => {
                if let Some(suppressed) = self.causes.pass(LogCause::NoRoom, Instant::now()) {
                    let line = "large reply not sent: clients do not read those they have asked for";
                    tracing::warn!({ field::PEER } = %address, suppressed, "{line}");
                }
                "no_room"
            }
            Ended::NotKmip => "not_kmip",
            Ended::Slow => "slow",
            Ended::Truncated => "truncated",
            Ended::Idle => "idle",
            Ended::ByPeer => "by_peer",
            Ended::Stopped => "stopped",
            Ended::ByHandler => "by_handler",
            Ended::Panicked => "panicked",
            Ended::Broken(error) => {
                tracing::debug!(%error, "connection broken");
                "broken"
            }
        };
        metrics::counter!(metric::CONNECTIONS_ENDED, "reason" => reason).increment(1);
        tracing::debug!(reason, "connection ended");
    }
}

fn version_of(session: &ServerConnection) -> &'static str {
    match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "1.3",
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        _ => "other",
    }
}

/// Why a handshake failed, for people.
fn why(cause: Option<&rustls::Error>) -> TurnedAway {
    use PeerIncompatible as P;
    use rustls::Error as E;
    match cause {
        None => TurnedAway::Closed,
        Some(E::NoCertificatesPresented) => TurnedAway::NoCertificate,
        Some(E::AlertReceived(alert)) if refuses_server(*alert) => TurnedAway::ServerNotTrusted,
        Some(E::AlertReceived(_)) => TurnedAway::Alert,
        Some(E::PeerIncompatible(
            P::Tls12NotOffered
            | P::Tls12NotOfferedOrEnabled
            | P::ServerTlsVersionIsDisabledByOurConfig
            | P::SupportedVersionsExtensionRequired
            // Clients that know nothing later than TLS 1.1 do not send it.
            | P::SignatureAlgorithmsExtensionRequired,
        )) => TurnedAway::TlsVersion,
        Some(E::PeerIncompatible(
            P::NoCipherSuitesInCommon | P::NoKxGroupsInCommon | P::NoSignatureSchemesInCommon,
        )) => TurnedAway::NoCommonCipher,
        Some(E::PeerIncompatible(_)) => TurnedAway::Incompatible,
        Some(_) => TurnedAway::Protocol,
    }
}

/// Whether the alert says that the client does not trust us, rather than anything else.
fn refuses_server(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::UnsupportedCertificate
    )
}
