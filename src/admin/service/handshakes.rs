//! Who came to the KMIP port lately, let in or refused; and whether an adapter is in use, and by whom.

use super::{Service, about};
use crate::{
    admin::{
        caller::{Caller, Visible},
        model::{
            AdapterUsage, CertificateInfo, ClientReport, Handshake, HandshakeOutcome, HandshakeQuery, Handshakes,
            MadeObject, ObjectMade, ObjectsMade, PresentedCertificate, shown_time,
        },
        page::Window,
        permission::{Permission, Scope},
        problem::Problem,
    },
    ca::{IssuedCertificate, issuer_text},
    engine::{self, Making},
    net::arrivals::{Arrival, ArrivalCertificate},
    store::{AdapterId, Fingerprint, ObjectId, SeenCertificate},
    text,
};

/// Characters of a subject or issuer that are shown.
const SHOWN_CHARS: usize = 512;
/// Clients that are listed of an adapter.
const CLIENTS: usize = 50;

impl Service {
    /// Lists who came lately, last first.
    pub(in crate::admin) fn list_handshakes(
        &self,
        caller: &Caller,
        query: &HandshakeQuery,
    ) -> Result<Handshakes, Problem> {
        let limit = Window::new("handshakes", query.limit, None)?.limit;
        self.poll(caller, "handshake.list", Permission::KmipList, |visible| {
            let arrivals = &self.watched.arrivals;
            let (sequence, found) = arrivals.since(query.since.unwrap_or_default());
            let is_meant = |one: &Arrival| {
                // Strangers, and those who are of an adapter that the caller does not see, are for those who see all.
                let in_sight = match (&visible, one.adapter) {
                    (Visible::All, _) => true,
                    (Visible::Of(adapters), Some(adapter)) => adapters.contains(&adapter),
                    (Visible::Of(_), None) => false,
                };
                in_sight
                    && query.adapter.is_none_or(|adapter| one.adapter == Some(AdapterId(adapter)))
                    && query.outcome.is_none_or(|outcome| outcome == outcome_of(one))
            };
            let found = found.into_iter().filter(is_meant).take(limit);
            Ok(Handshakes {
                sequence,
                started_at: shown_time(arrivals.started_at()),
                items: found.map(|one| self.handshake_shown(one)).collect(),
            })
        })
    }

    /// Tells whether an adapter is in use, and by whom.
    pub(in crate::admin) fn read_usage(&self, caller: &Caller, id: AdapterId) -> Result<AdapterUsage, Problem> {
        let may = (Permission::KmipRead, Scope::Adapter(id));
        self.act(caller, "adapter.usage.read", may, about(id), |_| {
            self.find_adapter(id)?;
            let seen = self.store.certificates_seen(Some(id))?;
            let made =
                |found: Option<(ObjectId, i64)>| found.map(|(object, at)| self.made_object(id, object, at, &seen));
            let (first_object, last_object) =
                (made(engine::oldest(&self.store, id)?), made(engine::newest(&self.store, id)?));
            let more_clients = seen.len().saturating_sub(CLIENTS);
            let clients = seen.into_iter().take(CLIENTS).map(|seen| ClientReport {
                fingerprint: seen.fingerprint.to_string(),
                subject: text::shown(&seen.subject, SHOWN_CHARS),
                address: seen.address,
                seen_at: shown_time(seen.at),
            });
            Ok(AdapterUsage { adapter: id.0, first_object, last_object, clients: clients.collect(), more_clients })
        })
    }

    fn made_object(&self, adapter: AdapterId, object: ObjectId, at: i64, seen: &[SeenCertificate]) -> MadeObject {
        let maker = self.watched.makings.maker(adapter, object);
        let known = maker.and_then(|maker| seen.iter().find(|seen| seen.fingerprint == maker));
        MadeObject {
            id: object.0,
            created_at: shown_time(at),
            certificate: maker.map(|maker| maker.to_string()),
            address: known.map(|known| known.address.clone()),
        }
    }

    fn handshake_shown(&self, one: Arrival) -> Handshake {
        let made = one.adapter.zip(one.certificate.as_ref()).filter(|_| one.turned_away.is_none());
        let made = made.and_then(|(adapter, shown)| self.watched.makings.of(adapter, shown.fingerprint));
        let making = |making: Making| ObjectMade { id: making.object.0, at: shown_time(making.at) };
        Handshake {
            sequence: one.sequence,
            outcome: outcome_of(&one),
            reason: one.turned_away.map(|why| why.name().to_owned()),
            message: one.turned_away.map(|why| why.message().to_owned()),
            remedy: one.turned_away.map(|why| why.remedy().to_owned()),
            address: one.address.to_string(),
            adapter: one.adapter.map(|id| id.0),
            tls_version: one.tls.map(str::to_owned),
            certificate: one.certificate.map(certificate_shown),
            first_seen: shown_time(one.first_seen),
            last_seen: shown_time(one.last_seen),
            times: one.times,
            objects: made.map(|made| ObjectsMade {
                made: made.count,
                first: making(made.first),
                last: making(made.last),
            }),
        }
    }
}

fn outcome_of(one: &Arrival) -> HandshakeOutcome {
    if one.turned_away.is_none() { HandshakeOutcome::Accepted } else { HandshakeOutcome::Refused }
}

/// What a client presented may be no certificate at all: then it has nothing but its fingerprint.
fn certificate_shown(presented: ArrivalCertificate) -> PresentedCertificate {
    let ArrivalCertificate { fingerprint, der, shown } = presented;
    let clean = |text: &str| text::shown(text, SHOWN_CHARS);
    let nothing = PresentedCertificate {
        fingerprint: fingerprint.to_string(),
        thumbprint_sha1: None,
        thumbprint_sha256: with_colons(fingerprint),
        subject: shown.as_ref().map(|shown| clean(&shown.subject)),
        issuer: None,
        not_before: None,
        not_after: shown.map(|shown| shown_time(shown.expires_at)),
        pem: None,
    };
    let Some(der) = der else { return nothing };
    let Ok(info) = CertificateInfo::of(&der) else { return nothing };
    PresentedCertificate {
        thumbprint_sha1: Some(info.thumbprint_sha1),
        subject: Some(info.subject),
        issuer: issuer_text(&der).as_deref().map(clean),
        not_before: Some(info.not_before),
        not_after: Some(info.not_after),
        pem: Some(IssuedCertificate::from_der(der.to_vec()).pem),
        ..nothing
    }
}

fn with_colons(fingerprint: Fingerprint) -> String {
    fingerprint.0.map(|byte| format!("{byte:02X}")).join(":")
}
