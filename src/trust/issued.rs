//! For whom the own authority issued a certificate, and what rules still make of it.
//!
//! What is issued here is recorded before it is handed out. Of certificates that were issued elsewhere by the same authority, or
//! by an older version of the program, the adapter that they are registered with is the one that they were issued for.

use rustls_pki_types::{CertificateDer, UnixTime};
use uuid::Uuid;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{LiveTrust, Names, RefusalReason, Trust, TrustedBy, check_dates, fingerprint, now};
use crate::store::{AdapterId, Fingerprint, IssuedRow, Store, StoreError};

impl Trust {
    /// The adapter that the own authority issued a certificate for, as far as that is on record. It may have been deleted.
    #[must_use]
    pub fn issued_for(&self, certificate: &Fingerprint) -> Option<AdapterId> {
        self.issued.get(certificate).copied()
    }

    /// Whether the own authority issued a certificate, which is valid at `now`.
    #[must_use]
    pub fn is_own(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
        self.authorities.get(&None).is_some_and(|own| own.check(certificate, &[], now).is_ok())
    }

    /// A rule by which a certificate acts as `adapter` also where it is not registered. Where the chain to an authority of
    /// somebody else's cannot be built without what its holder sends, a rule of that authority that names it counts.
    #[must_use]
    pub fn rule_for(&self, certificate: &CertificateDer<'_>, adapter: AdapterId, now: UnixTime) -> Option<Uuid> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let issued_for = self.issued_for(&fingerprint(certificate));
        if check_dates(&parsed, now) == Err(RefusalReason::Expired) || issued_for.is_some_and(|meant| meant != adapter)
        {
            return None;
        }
        match self.identify_by_rule(&parsed, issued_for, certificate, &[], now) {
            Ok((found, TrustedBy::Rule { rule, .. })) => return (found == adapter).then_some(rule),
            Ok(_) | Err(_) if parsed.issuer().as_raw() == parsed.subject().as_raw() => return None,
            Ok(_) | Err(_) => {}
        }
        let names = Names::of(&parsed);
        let theirs = self.authorities.iter().filter(|(issuer, _)| issuer.is_some());
        let mut named = theirs.flat_map(|(_, authority)| authority.matches(&names));
        named.find(|matched| matched.adapter == adapter).map(|matched| matched.rule)
    }

    /// What is to be recorded of registered certificates of the own authority.
    fn unrecorded<'a>(&'a self, registered: impl IntoIterator<Item = (&'a [u8], AdapterId)>) -> Vec<IssuedRow> {
        let (now, mut found) = (now(), Vec::new());
        for (der, adapter) in registered {
            let certificate = CertificateDer::from(der);
            if self.issued_for(&fingerprint(&certificate)).is_none() && self.is_own(&certificate, now) {
                found.extend(issued_row(der, adapter));
            }
        }
        found
    }
}

/// That the certificate `der` was issued for `adapter`; `None` where it is no certificate.
#[must_use]
pub fn issued_row(der: &[u8], adapter: AdapterId) -> Option<IssuedRow> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let expires_at = parsed.validity().not_after.timestamp();
    Some(IssuedRow { fingerprint: fingerprint(&der.into()), adapter, expires_at })
}

/// Records of every registered certificate of the own authority for whom it is, where that is not on record.
///
/// # Errors
/// The store failed.
pub fn keep_registered(store: &Store, trust: &LiveTrust, at: i64) -> Result<(), StoreError> {
    let rows = store.trust()?;
    let registered = rows.certificates.iter().map(|row| (row.der.as_slice(), row.adapter));
    let unrecorded = trust.current().unrecorded(registered);
    if unrecorded.is_empty() { Ok(()) } else { store.record_issued(unrecorded, at) }
}
