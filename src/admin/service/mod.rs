//! What the admin plane does, without HTTP: synchronous functions on [`Service`], one file for each kind of thing.
//!
//! Every function goes through [`Service::act`] (one thing) or [`Service::list`] (many): the permission first, then, where the work
//! changes something, an audit event that it begins, then the work, then the audit event of how it ended, and only then the
//! answer. Nothing else in the admin plane writes such an event, but failed logins.

mod activity;
pub(super) mod adapters;
pub(super) mod approvals;
mod audit;
mod authorities;
mod backups;
pub(super) mod certificates;
mod credential;
mod forecast;
mod hands;
mod identities;
mod impact;
mod issuing;
mod objects;
mod root_keys;
mod rules;
mod server;

use std::{net::SocketAddr, sync::Arc};

use hal::RootKeys;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::{
    caller::{Caller, Visible},
    permission::{Permission, Scope},
    problem::{Code, Problem},
};
use crate::{
    audit::{AdminEvent, Audit, Event, Outcome, Subject, changes_nothing},
    config::Config,
    net::ServerCertificate,
    store::{AdapterId, Store},
    trust::LiveTrust,
};

/// What the admin plane works on. Shared behind an `Arc`; every function blocks.
pub struct Service {
    /// The store.
    pub store: Arc<Store>,
    /// The HSM, as administration sees it.
    pub hal: Arc<dyn RootKeys>,
    /// Who may connect over KMIP; told of every change that this process makes.
    pub trust: Arc<LiveTrust>,
    /// The audit log.
    pub audit: Arc<Audit>,
    /// What the server was started with.
    pub config: Config,
    /// Where KMIP clients connect, with the ports that the operating system chose.
    pub kmip_listen: Vec<SocketAddr>,
    /// The server's certificate, of the KMIP listeners as well.
    pub certificate: Arc<ServerCertificate>,
    /// When the server was started.
    pub started_at: Timestamp,
    /// Held while a copy of the database is made.
    pub backing_up: Mutex<()>,
    /// Held while the audit log is verified.
    pub verifying: Mutex<()>,
}

impl Service {
    /// Does `work` for `caller` if `permission` in `scope` allows it, and records it under the name `action`, allowed or
    /// refused, done or failed. `work` may add to `about` what it learns. Before `work` is called, which may change something, the
    /// intent is on the disk: whatever cannot be recorded afterwards, this is.
    ///
    /// # Errors
    /// The permission is missing, `work` failed, or it cannot be recorded.
    pub fn act<T>(
        &self,
        caller: &Caller,
        action: &'static str,
        (permission, scope): (Permission, Scope),
        about: Subject,
        work: impl FnOnce(&mut Subject) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        self.record(caller, action, permission, about, |about| {
            caller.may(permission, scope)?;
            if !changes_nothing(action) {
                self.audit.append(&[event(caller, action, about.clone(), Outcome::Begun)])?;
            }
            work(about)
        })
    }

    /// Lists what `caller` may see; what that is `work` is told.
    ///
    /// # Errors
    /// Nothing may be seen, `work` failed, or it cannot be recorded.
    pub fn list<T>(
        &self,
        caller: &Caller,
        action: &'static str,
        permission: Permission,
        work: impl FnOnce(Visible) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        self.record(caller, action, permission, Subject::default(), |_| work(caller.sees(permission)?))
    }

    /// Records what anybody may do who is logged in at all.
    pub(super) fn note(&self, caller: &Caller, action: &'static str) -> Result<(), Problem> {
        self.audit.append(&[event(caller, action, Subject::default(), Outcome::Success)])?;
        Ok(())
    }

    fn record<T>(
        &self,
        caller: &Caller,
        action: &'static str,
        permission: Permission,
        mut about: Subject,
        work: impl FnOnce(&mut Subject) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        // What could not be recorded afterwards is better not begun.
        self.audit.health()?;
        let result = work(&mut about);
        let outcome = match &result {
            Ok(_) => Outcome::Success,
            Err(problem) if problem.code() == Code::Forbidden => Outcome::Denied(permission.name()),
            Err(problem) => Outcome::Failed(problem.code().name()),
        };
        self.audit.append(&[event(caller, action, about, outcome)])?;
        result
    }

    /// Puts a change of adapters, certificates, rules or root keys in force.
    pub(super) fn trust_changed(&self) {
        // The change is made; the thread that follows changes finds it within a second.
        if let Err(error) = self.trust.refresh_now() {
            tracing::error!(%error, "a change takes effect later: adapters and certificates cannot be read now");
        }
    }
}

fn event(caller: &Caller, action: &'static str, subject: Subject, outcome: Outcome) -> Event {
    Event::Admin(AdminEvent {
        actor: caller.actor(),
        peer: caller.address,
        action,
        subject,
        outcome,
        correlation: caller.correlation,
    })
}

/// An event about an adapter, and what else belongs to it.
fn about(adapter: AdapterId) -> Subject {
    Subject { adapter: Some(adapter), ..Subject::default() }
}

/// Whole days from now until `time`, in seconds since 1970-01-01 UTC; negative where it has passed.
fn days_left(time: i64) -> i64 {
    time.saturating_sub(now()).div_euclid(86_400)
}

/// The present time in seconds since 1970-01-01 UTC.
fn now() -> i64 {
    Timestamp::now().as_second()
}
