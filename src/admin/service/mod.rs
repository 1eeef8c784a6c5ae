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
mod directory;
mod forecast;
mod hands;
mod handshakes;
mod identities;
mod impact;
mod issuing;
mod objects;
mod overview;
mod root_keys;
mod rules;
mod server;
mod statistics;
mod watched;

use std::{net::SocketAddr, sync::Arc};

use hal::RootKeys;
use jiff::Timestamp;
use parking_lot::Mutex;

use self::directory::Directory;
pub use self::watched::{Remembered, Watched};
use super::{
    caller::{Caller, Visible},
    model::{Change, shown_time},
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
    /// What the parts of the server tell by themselves.
    pub watched: Watched,
    /// What is kept in memory from request to request.
    pub remembered: Remembered,
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
            self.record_beginning(caller, action, about)?;
            work(about)
        })
    }

    /// Records that `action` begins, unless it changes nothing: asked when the caller is known to be allowed, before the work.
    fn record_beginning(&self, caller: &Caller, action: &'static str, about: &Subject) -> Result<(), Problem> {
        if !changes_nothing(action) {
            self.audit.append(&[event(caller, action, about.clone(), Outcome::Begun)])?;
        }
        Ok(())
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

    /// Like [`Service::list`] for what a page asks for again every few seconds: that somebody looks at it is recorded once in a
    /// while, and not each time. What is refused, or fails, is recorded always.
    ///
    /// # Errors
    /// As [`Service::list`].
    pub fn poll<T>(
        &self,
        caller: &Caller,
        action: &'static str,
        permission: Permission,
        work: impl FnOnce(Visible) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let result = caller.sees(permission).and_then(work);
        if result.is_ok() && !self.remembered.is_news(caller.identity, action) {
            return result;
        }
        self.audit.append(&[event(caller, action, Subject::default(), outcome(permission, &result))])?;
        result
    }

    /// What there is of adapters, certificates, rules and root keys.
    fn directory(&self) -> Result<Arc<Directory>, Problem> {
        Ok(self.remembered.directory.of(&self.store)?)
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
        let event = event(caller, action, about.clone(), outcome(permission, &result));
        self.audit.append(&[event])?;
        if result.is_ok() && !changes_nothing(action) {
            self.remembered.note_change(change(caller, action, about));
        }
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

fn outcome<T>(permission: Permission, result: &Result<T, Problem>) -> Outcome {
    match result {
        Ok(_) => Outcome::Success,
        Err(problem) if problem.code() == Code::Forbidden => Outcome::Denied(permission.name()),
        Err(problem) => Outcome::Failed(problem.code().name()),
    }
}

fn change(caller: &Caller, action: &'static str, about: Subject) -> Change {
    Change {
        time: shown_time(now()),
        action: action.to_owned(),
        actor: format!("identity:{}", caller.identity),
        actor_name: caller.name.to_string(),
        adapter: about.adapter.map(|id| id.0),
        root_key: about.root_key,
        object: about.object.map(|id| id.0),
        identity: about.identity,
        certificate: about.certificate.map(|certificate| certificate.to_string()),
        name: about.name.map(|name| name.as_str().to_owned()),
        correlation: caller.correlation.to_string(),
    }
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
