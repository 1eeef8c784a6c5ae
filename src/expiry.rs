//! When certificates expire: of clients, of the server, of the own authority and of other people's.
//!
//! An expired certificate is an outage that could be seen coming for years. So there is one list of all of them, a metric, and
//! a warning in the log at 60, 30 and 7 days. It changes nothing and renews nothing.

use std::collections::{HashMap, HashSet};

use rustls_pki_types::CertificateDer;

pub use self::watch::{Watching, watch};
use crate::{
    ca::describe,
    store::{AdapterId, Fingerprint, SeenCertificate, StoreError, TrustRows},
    trust::fingerprint,
};

mod watch;

const DAY: i64 = 86_400;
/// Certificates that a rule let in and that were not seen for so long are taken for replaced.
const FORGOTTEN: i64 = 30 * DAY;

/// Whose a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CertificateKind {
    /// The server's own.
    Server,
    /// The own authority's.
    OwnAuthority,
    /// That of somebody else's authority that rules name.
    Authority,
    /// A client's.
    Client,
}

impl CertificateKind {
    /// Its name in listings and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::OwnAuthority => "ca",
            Self::Authority => "authority",
            Self::Client => "client",
        }
    }
}

impl Expiring {
    /// The same, its days counted from another time.
    #[must_use]
    pub fn counted_from(self, now: i64) -> Self {
        Self { days_left: days_left(self.not_after, now), ..self }
    }
}

/// A certificate that will expire, as all do, or has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiring {
    /// Whose it is.
    pub kind: CertificateKind,
    /// The name that people gave it, or the common name of its subject.
    pub name: String,
    /// Its subject, RFC 4514 text.
    pub subject: String,
    /// The adapter that its holder acts as, with its name.
    pub adapter: Option<(AdapterId, String)>,
    /// Whether it is registered; a client's that is not was let in by a rule.
    pub registered: bool,
    /// SHA-256 of its DER form.
    pub fingerprint: Fingerprint,
    /// The last moment of its validity, in seconds since 1970-01-01 UTC.
    pub not_after: i64,
    /// Whole days until then; negative once it has expired.
    pub days_left: i64,
}

/// All certificates, those that expire first in front. `server` and `own_ca` are chains whose first certificate counts; `seen`
/// tells of the certificates that rules let in. Certificates that cannot be read are left out.
#[must_use]
pub fn forecast(
    rows: &TrustRows,
    server: &[CertificateDer<'_>],
    own_ca: &[CertificateDer<'_>],
    seen: &[SeenCertificate],
    now: i64,
) -> Vec<Expiring> {
    let mut all = registered(rows, now);
    all.extend(others(rows, server, own_ca, seen, now));
    sort(&mut all);
    all
}

/// Puts those that expire first in front.
fn sort(all: &mut [Expiring]) {
    all.sort_by_key(|one| (one.not_after, one.kind, one.fingerprint.0));
}

/// The certificates that the rows hold, of clients and authorities, those that expire first in front.
#[must_use]
pub fn registered(rows: &TrustRows, now: i64) -> Vec<Expiring> {
    let adapters = names_of(rows);
    let adapter = |id| adapters.get(&id).map(|name| (id, (*name).to_owned()));
    let authorities = rows.authorities.iter();
    let authorities =
        authorities.filter_map(|row| read(CertificateKind::Authority, Some(&row.name), None, &row.der, now));
    let clients = rows.certificates.iter();
    let clients =
        clients.filter_map(|row| read(CertificateKind::Client, Some(&row.name), adapter(row.adapter), &row.der, now));
    let mut all: Vec<_> = authorities.chain(clients).collect();
    sort(&mut all);
    all
}

/// All the other certificates: the server's, its authority's, and those that rules let in, in no order.
#[must_use]
pub fn others(
    rows: &TrustRows,
    server: &[CertificateDer<'_>],
    own_ca: &[CertificateDer<'_>],
    seen: &[SeenCertificate],
    now: i64,
) -> Vec<Expiring> {
    let server = server.first().and_then(|der| read(CertificateKind::Server, None, None, der, now));
    let own_ca = own_ca.iter().filter_map(|der| read(CertificateKind::OwnAuthority, None, None, der, now));
    let adapters = names_of(rows);
    let registered: HashSet<_> = rows.certificates.iter().map(|row| row.fingerprint).collect();
    let by_rule = seen.iter().filter(|seen| !registered.contains(&seen.fingerprint) && seen.at > now - FORGOTTEN);
    let by_rule = by_rule.filter_map(|seen| {
        Some(Expiring {
            kind: CertificateKind::Client,
            name: seen.subject.clone(),
            subject: seen.subject.clone(),
            adapter: Some((seen.adapter, (*adapters.get(&seen.adapter)?).to_owned())),
            registered: false,
            fingerprint: seen.fingerprint,
            not_after: seen.expires_at?,
            days_left: days_left(seen.expires_at?, now),
        })
    });
    server.into_iter().chain(own_ca).chain(by_rule).collect()
}

/// Whole days until `not_after`.
fn days_left(not_after: i64, now: i64) -> i64 {
    not_after.saturating_sub(now).div_euclid(DAY)
}

fn names_of(rows: &TrustRows) -> HashMap<AdapterId, &str> {
    rows.adapters.iter().map(|row| (row.id, row.name.as_str())).collect()
}

fn read(
    kind: CertificateKind,
    name: Option<&str>,
    adapter: Option<(AdapterId, String)>,
    der: &[u8],
    now: i64,
) -> Option<Expiring> {
    let shown = describe(der).ok()?;
    let not_after = shown.not_after.as_second();
    Some(Expiring {
        kind,
        name: name.map_or(shown.common_name, str::to_owned),
        subject: shown.distinguished_name,
        adapter,
        registered: true,
        fingerprint: fingerprint(&CertificateDer::from(der)),
        not_after,
        days_left: days_left(not_after, now),
    })
}

/// The forecast of a running server.
///
/// # Errors
/// The store failed.
pub fn forecast_of(
    store: &crate::store::Store,
    server: &[CertificateDer<'_>],
    own_ca: &[CertificateDer<'_>],
    now: i64,
) -> Result<Vec<Expiring>, StoreError> {
    Ok(forecast(&store.trust()?, server, own_ca, &store.certificates_seen(None)?, now))
}

#[cfg(test)]
mod tests;
