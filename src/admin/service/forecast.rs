//! Which certificates end soon, so that nobody is surprised by one.

use std::collections::HashMap;

use super::{Service, days_left, now};
use crate::{
    admin::{
        caller::{Caller, Visible},
        model::{CertificateInfo, CertificateKind, ExpiringCertificate, Sighting, shown_time},
        page::{Page, Window},
        permission::{Permission, Scope},
        problem::Problem,
    },
    ca::describe,
    store::{SeenCertificate, TrustRows},
    text,
};

/// Within how many days certificates end that are listed where nothing is said, and at most.
const USUAL_DAYS: u32 = 60;
const MOST_DAYS: u32 = 3660;
const DAY: i64 = 86_400;
/// How long ago a certificate that a rule lets in may have been seen; before that it is taken to have been replaced.
const RECENT: i64 = 30 * DAY;

impl Service {
    /// Lists certificates that end soon, those that end first at first.
    pub(in crate::admin) fn list_expiring(
        &self,
        caller: &Caller,
        within_days: Option<u32>,
        window: &Window,
    ) -> Result<Page<ExpiringCertificate>, Problem> {
        self.list(caller, "certificate.forecast.list", Permission::KmipList, |visible| {
            let days = within_days.unwrap_or(USUAL_DAYS);
            if days > MOST_DAYS {
                let reason = format_args!("allowed is 0 to {MOST_DAYS}");
                return Err(Problem::invalid("expiring_within_days", reason).with("maximum", MOST_DAYS));
            }
            let trust = self.store.trust()?;
            let mut found = self.of_clients(&trust, &visible)?;
            if caller.may(Permission::ConfigRead, Scope::Everything).is_ok() {
                found.extend(self.of_others(&trust)?);
            }
            let until = now().saturating_add(i64::from(days) * DAY);
            found.retain(|(ends, _)| *ends <= until);
            // Digits that sort like the times, which may be before 1970.
            let place = |(ends, item): &(i64, ExpiringCertificate)| {
                format!("{:020} {}", i128::from(*ends) + (1_i128 << 63), item.fingerprint)
            };
            let Page { items, next_page } = window.cut(found, place);
            Ok(Page { items: items.into_iter().map(|(_, item)| item).collect(), next_page })
        })
    }

    fn of_clients(&self, trust: &TrustRows, visible: &Visible) -> Result<Vec<(i64, ExpiringCertificate)>, Problem> {
        let mut seen: HashMap<_, _> = self
            .store
            .certificates_seen(None)?
            .into_iter()
            .filter(|seen| visible.includes(seen.adapter))
            .map(|seen| ((seen.adapter, seen.fingerprint), seen))
            .collect();
        let mut found = Vec::new();
        for row in trust.certificates.iter().filter(|row| visible.includes(row.adapter)) {
            let (ends, item) = item(CertificateKind::Client, Some(&row.name), &row.der)?;
            let last_seen = seen.remove(&(row.adapter, row.fingerprint)).as_ref().map(sighting);
            found.push((ends, ExpiringCertificate { adapter: Some(row.adapter.0), last_seen, ..item }));
        }
        let since = now() - RECENT;
        found.extend(seen.into_values().filter(|seen| seen.at >= since).filter_map(|seen| {
            let ends = seen.expires_at?;
            let item = ExpiringCertificate {
                kind: CertificateKind::Client,
                adapter: Some(seen.adapter.0),
                name: text::shown(&seen.subject, 512),
                registered: false,
                fingerprint: seen.fingerprint.to_string(),
                subject: text::shown(&seen.subject, 512),
                not_after: shown_time(ends),
                days_left: days_left(ends),
                last_seen: Some(sighting(&seen)),
            };
            Some((ends, item))
        }));
        Ok(found)
    }

    fn of_others(&self, trust: &TrustRows) -> Result<Vec<(i64, ExpiringCertificate)>, Problem> {
        let mut found = Vec::new();
        if let Some(certificate) = self.certificate.chain().first() {
            found.push(item(CertificateKind::Server, None, certificate)?);
        }
        if let Some(certificate) = self.own_ca()?.first() {
            found.push(item(CertificateKind::OwnAuthority, None, certificate)?);
        }
        for row in &trust.authorities {
            found.push(item(CertificateKind::Authority, Some(&row.name), &row.der)?);
        }
        Ok(found)
    }
}

fn item(kind: CertificateKind, name: Option<&str>, der: &[u8]) -> Result<(i64, ExpiringCertificate), Problem> {
    let described = describe(der).map_err(Problem::internal)?;
    let ends = described.not_after.as_second();
    let info = CertificateInfo::of(der).map_err(Problem::internal)?;
    let item = ExpiringCertificate {
        kind,
        adapter: None,
        name: name.map_or_else(|| text::shown(&described.common_name, 512), str::to_owned),
        registered: true,
        fingerprint: info.fingerprint,
        subject: info.subject,
        not_after: info.not_after,
        days_left: days_left(ends),
        last_seen: None,
    };
    Ok((ends, item))
}

fn sighting(seen: &SeenCertificate) -> Sighting {
    Sighting { at: shown_time(seen.at), address: seen.address.clone() }
}
