//! Which certificates end soon, so that nobody is surprised by one.

use std::collections::HashMap;

use super::{Service, now};
use crate::{
    admin::{
        caller::{Caller, Visible},
        model::{ExpiringCertificate, Sighting, shown_time},
        page::{Page, Window},
        permission::{Permission, Scope},
        problem::Problem,
    },
    expiry::{self, CertificateKind, Expiring},
    text,
};

/// Within how many days certificates end that are listed where nothing is said, and at most.
const USUAL_DAYS: u32 = 60;
const MOST_DAYS: u32 = 3660;
const DAY: i64 = 86_400;
/// Characters of a name or subject that are shown.
const SHOWN_CHARS: usize = 512;

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
            let (seen, directory) = (self.store.certificates_seen(None)?, self.directory()?);
            let now = now();
            let others = expiry::others(&directory.rows, &self.certificate.chain(), &self.own_ca()?, &seen, now);
            let sight = Sight::of(caller, visible);
            let until = now.saturating_add(i64::from(days) * DAY);
            let is_meant = |one: &&Expiring| one.not_after <= until && sight.includes(one);
            let found = directory.expiring().iter().chain(&others).filter(is_meant).cloned();
            let Page { items, next_page } = window.cut(found.map(|one| one.counted_from(now)), place);
            let sightings: HashMap<_, _> =
                seen.into_iter().map(|seen| ((seen.adapter, seen.fingerprint), (seen.at, seen.address))).collect();
            let items = items.into_iter().map(|one| {
                let key = one.adapter.as_ref().map(|(adapter, _)| (*adapter, one.fingerprint));
                let last_seen = key.and_then(|key| sightings.get(&key));
                ExpiringCertificate {
                    last_seen: last_seen
                        .map(|(at, address)| Sighting { at: shown_time(*at), address: address.clone() }),
                    ..shown(one)
                }
            });
            Ok(Page { items: items.collect(), next_page })
        })
    }
}

/// Which certificates a caller sees.
pub(super) struct Sight {
    visible: Visible,
    sees_server: bool,
}

impl Sight {
    pub(super) fn of(caller: &Caller, visible: Visible) -> Self {
        Self { visible, sees_server: caller.may(Permission::ConfigRead, Scope::Everything).is_ok() }
    }

    pub(super) fn includes(&self, one: &Expiring) -> bool {
        match (&one.adapter, one.kind) {
            (Some((adapter, _)), _) => self.visible.includes(*adapter),
            // Of an adapter that was deleted a moment ago.
            (None, CertificateKind::Client) => false,
            (None, _) => self.sees_server,
        }
    }
}

/// Digits that sort like the times, which may be before 1970.
fn place(one: &Expiring) -> String {
    format!("{:020} {} {}", i128::from(one.not_after) + (1_i128 << 63), one.kind.name(), one.fingerprint)
}

fn shown(one: Expiring) -> ExpiringCertificate {
    ExpiringCertificate {
        kind: one.kind.into(),
        adapter: one.adapter.map(|(adapter, _)| adapter.0),
        name: text::shown(&one.name, SHOWN_CHARS),
        registered: one.registered,
        fingerprint: one.fingerprint.to_string(),
        subject: text::shown(&one.subject, SHOWN_CHARS),
        not_after: shown_time(one.not_after),
        days_left: one.days_left,
        last_seen: None,
    }
}
