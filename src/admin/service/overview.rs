//! How the server is, in one answer. It is asked for every few seconds, so it takes what is known already: it never waits for
//! the HSM, and reads no more of the store than numbers.

use hal::{Health as HsmHealth, TokenState, WrapScheme};
use jiff::Timestamp;

use super::{Directory, Service, approvals, forecast::Sight, now, root_keys::pace};
use crate::{
    admin::{
        caller::{Caller, Visible},
        model::{
            ApprovalsOverview, AuditOverview, BreakerState, CertificatesOverview, ConnectionsOverview, HsmOverview,
            HsmState, ObjectCounts, Overview, RunningRotation, SessionsOverview, StoreOverview, TokenOverview,
            shown_time,
        },
        permission::{Permission, Scope},
        problem::Problem,
    },
    expiry,
    process::disk_free,
    store::{ApprovalFilter, ApprovalState},
    telemetry::HsmTimes,
};

/// Days before their end in which certificates are counted.
const WITHIN_DAYS: u32 = 60;
/// Changes that are shown.
const CHANGES: usize = 20;
/// Open requests that are counted; there can be no more.
const MOST_APPROVALS: u64 = 10_000;

impl Service {
    /// Tells how the server is.
    pub(in crate::admin) fn read_overview(&self, caller: &Caller) -> Result<Overview, Problem> {
        self.poll(caller, "overview.read", Permission::KmipList, |visible| {
            let directory = self.directory()?;
            let everywhere = |permission| caller.may(permission, Scope::Everything).is_ok();
            let reads_config = everywhere(Permission::ConfigRead);
            let time = Timestamp::now();
            Ok(Overview {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                started_at: self.started_at.to_string(),
                uptime_seconds: time.as_second().saturating_sub(self.started_at.as_second()),
                now: shown_time(time.as_second()),
                ready: self.seems_ready(),
                hsm: if reads_config { self.hsm_overview() } else { None },
                store: reads_config.then(|| self.store_overview()),
                audit: reads_config.then(|| self.audit_overview()).transpose()?,
                connections: reads_config.then(|| ConnectionsOverview {
                    open: self.watched.connections.count(),
                    limit: self.config.limits.connections,
                }),
                adapters: directory.rows.adapters.iter().filter(|row| visible.includes(row.id)).count(),
                objects: self.objects_counted(&directory, &visible)?,
                approvals: ApprovalsOverview { pending: self.approvals_pending(caller)? },
                rotations: everywhere(Permission::RootKeyList)
                    .then(|| self.rotations_running(&directory))
                    .transpose()?,
                changes: everywhere(Permission::AuditRead).then(|| self.remembered.changes(CHANGES)),
                certificates: self.certificates_counted(&directory, &Sight::of(caller, visible))?,
            })
        })
    }

    /// Whether all parts are well, as far as is known without asking them.
    fn seems_ready(&self) -> bool {
        let hsm = self.watched.hsm.last().is_some_and(|seen| !matches!(seen.health, HsmHealth::Down(_)));
        hsm && self.audit.seems_well()
    }

    fn hsm_overview(&self) -> Option<HsmOverview> {
        let seen = self.watched.hsm.last()?;
        let (state, message) = health_shown(&seen.health);
        Some(HsmOverview {
            state,
            message,
            backend: self.hal.capabilities().backend.to_owned(),
            latency_window_seconds: HsmTimes::SECONDS,
            wrap: self.watched.hsm_times.wrap.recent().into(),
            unwrap: self.watched.hsm_times.unwrap.recent().into(),
            tokens: seen.tokens.into_iter().map(token_shown).collect(),
        })
    }

    fn store_overview(&self) -> StoreOverview {
        let condition = self.store.condition();
        StoreOverview {
            bytes: condition.bytes,
            disk_free_bytes: disk_free(&self.config.store.path),
            last_write_at: condition.last_write.map(shown_time),
            waiting: condition.waiting,
        }
    }

    fn audit_overview(&self) -> Result<AuditOverview, Problem> {
        let status = self.audit.status().map_err(Problem::internal)?;
        let healthy = self.audit.seems_well();
        let message =
            "The audit log cannot be written, so nothing is answered: the server's log says why, and what to do.";
        let through = status.checkpoint.as_ref().map_or(0, |last| last.through);
        Ok(AuditOverview {
            healthy,
            message: (!healthy).then(|| message.to_owned()),
            records: status.records,
            segments: status.segments,
            bytes: status.bytes,
            disk_free_bytes: disk_free(&self.config.audit.path),
            unsynced: status.is_unsynced,
            unsigned_records: status.records.saturating_sub(through),
            last_checkpoint_at: status.checkpoint.map(|last| last.at),
        })
    }

    fn objects_counted(&self, directory: &Directory, visible: &Visible) -> Result<ObjectCounts, Problem> {
        let mut sum = ObjectCounts { live: 0, destroyed: 0 };
        for (adapter, count) in self.store.counts()? {
            if visible.includes(adapter) && directory.adapter(adapter).is_some() {
                sum.live += count.live;
                sum.destroyed += count.destroyed;
            }
        }
        Ok(sum)
    }

    fn certificates_counted(&self, directory: &Directory, sight: &Sight) -> Result<CertificatesOverview, Problem> {
        let seen = self.remembered.seen_lately(&self.store)?;
        let now = now();
        let others = expiry::others(&directory.rows, &self.certificate.chain(), &self.own_ca()?, &seen, now);
        let until = now.saturating_add(i64::from(WITHIN_DAYS) * 86_400);
        let mut counted = CertificatesOverview { total: 0, expiring: 0, expired: 0, within_days: WITHIN_DAYS };
        for one in directory.expiring().iter().chain(&others).filter(|one| sight.includes(one)) {
            counted.total += 1;
            if one.not_after < now {
                counted.expired += 1;
            } else if one.not_after <= until {
                counted.expiring += 1;
            }
        }
        Ok(counted)
    }

    fn approvals_pending(&self, caller: &Caller) -> Result<usize, Problem> {
        let filter = ApprovalFilter { states: vec![ApprovalState::Pending], after: None, limit: MOST_APPROVALS };
        let (rows, now) = (self.store.approvals(&filter)?, now());
        let is_open = rows.iter().filter(|row| row.expires_at > now);
        Ok(is_open.filter(|row| approvals::may_see(caller, row).is_ok()).count())
    }

    fn rotations_running(&self, directory: &Directory) -> Result<Vec<RunningRotation>, Problem> {
        let (rows, now) = (self.store.rotations()?, now());
        let label = |id| directory.rows.root_keys.iter().find(|row| row.id == id).map(|row| row.label.clone());
        let running = rows.iter().filter(|row| row.finished_at.is_none()).map(|row| {
            let (per_second, seconds_left) = pace(row, now);
            RunningRotation {
                root_key: row.root,
                label: label(row.root).unwrap_or_default(),
                done: row.done,
                total: row.total,
                per_second,
                seconds_left,
            }
        });
        Ok(running.collect())
    }
}

fn health_shown(health: &HsmHealth) -> (HsmState, Option<String>) {
    match health {
        HsmHealth::Ready => (HsmState::Ready, None),
        HsmHealth::Degraded(lack) => (HsmState::Degraded, Some(lack.to_string())),
        HsmHealth::Down(error) => (HsmState::Down, Some(error.to_string())),
    }
}

fn token_shown(token: TokenState) -> TokenOverview {
    let (state, message) = health_shown(&token.health);
    TokenOverview {
        label: token.label,
        serial: token.serial,
        state,
        message,
        scheme: token.scheme.map(|scheme| scheme.name().to_owned()),
        mechanism: token.scheme.map(|scheme| in_words(scheme).to_owned()),
        sessions: SessionsOverview {
            size: token.workers,
            busy: token.busy,
            waiting: token.waiting,
            stuck: token.stuck,
        },
        breaker: if token.refuses { BreakerState::Open } else { BreakerState::Closed },
    }
}

fn in_words(scheme: WrapScheme) -> &'static str {
    match scheme {
        WrapScheme::AesGcm => "AES-256-GCM",
        WrapScheme::AesKw => "AES key wrap (RFC 3394)",
        WrapScheme::AesKwp => "AES key wrap with padding (RFC 5649)",
    }
}
