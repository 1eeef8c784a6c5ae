//! What administrative commands share: the store and the audit log of one data directory, and one way to act on them.
//!
//! Commands work on the files directly, beside a running server, which notices a change within a second.

use std::sync::Arc;

use jiff::Timestamp;
use rustix::process::getuid;
use uuid::Uuid;

use super::{CliError, data_dir::ServerLock};
pub(super) use crate::audit::Subject;
use crate::{
    audit::{Actor, AdminEvent, Audit, Event, Outcome},
    config::{Config, Limits},
    store::{Store, StoreError, StoreOptions},
};

/// The store and audit log of a data directory.
pub(super) struct Admin {
    /// The configuration that names them.
    pub(super) config: Config,
    /// The store.
    pub(super) store: Arc<Store>,
    audit: Arc<Audit>,
}

/// What a server takes over from an [`Admin`].
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) store: Arc<Store>,
    pub(super) audit: Arc<Audit>,
}

impl Admin {
    /// Opens what `config` names, beside a server that may run on it.
    pub(super) fn open(config: Config) -> Result<Self, CliError> {
        Self::with(config, open_store)
    }

    /// Opens what `config` names for a server, which has the lock.
    pub(super) fn open_alone(config: Config, _lock: &ServerLock) -> Result<Self, CliError> {
        Self::with(config, |config| Ok(Store::open(&config.store.path, store_options(&config.limits))?))
    }

    fn with(config: Config, open: impl FnOnce(&Config) -> Result<Store, CliError>) -> Result<Self, CliError> {
        let audit = Audit::open_with(&config.audit.path, config.audit.options)?;
        let store = open(&config)?;
        Ok(Self { config, store: Arc::new(store), audit: Arc::new(audit) })
    }

    /// The audit log, for work that goes on beside the command.
    pub(super) fn audit(&self) -> Arc<Audit> {
        Arc::clone(&self.audit)
    }

    /// Hands everything to a server.
    pub(super) fn into_parts(self) -> Parts {
        let Self { config, store, audit } = self;
        Parts { config, store, audit }
    }

    /// Records that `work` begins, does it, and records how it ended.
    pub(super) fn act<T>(
        &self,
        action: &'static str,
        about: Subject,
        work: impl FnOnce() -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let correlation = Uuid::new_v4();
        let event = |outcome| {
            Event::Admin(AdminEvent {
                actor: Actor::LocalUser { uid: getuid().as_raw() },
                peer: None,
                action,
                subject: about.clone(),
                outcome,
                correlation,
            })
        };
        self.audit.append(&[event(Outcome::Begun)])?;
        let result = work();
        let outcome = match &result {
            Ok(_) => Outcome::Success,
            Err(error) => Outcome::Failed(code(error)),
        };
        self.audit.append(&[event(outcome)])?;
        result
    }
}

/// Opens the store that `config` names, beside a server that may run on it: a database of an older version is brought up to
/// date only while none runs, because a server that runs on it is of that older version, too.
pub(super) fn open_store(config: &Config) -> Result<Store, CliError> {
    let path = &config.store.path;
    let options = store_options(&config.limits);
    match Store::open(path, StoreOptions { migrate: false, ..options.clone() }) {
        Err(StoreError::OlderSchema { found, known }) => {
            let _alone = ServerLock::take(path).map_err(|error| match error {
                CliError::Served { lock } => CliError::OtherVersionServes { lock, found, known },
                error => error,
            })?;
            Ok(Store::open(path, options)?)
        }
        opened => Ok(opened?),
    }
}

/// The store's share of the limits.
fn store_options(limits: &Limits) -> StoreOptions {
    StoreOptions {
        waiting_mutations: limits.waiting_mutations as usize,
        max_adapters: limits.adapters,
        max_certificates: limits.certificates_per_adapter,
        ..StoreOptions::default()
    }
}

/// Seconds since 1970-01-01 UTC as a listing shows them.
pub(super) fn shown_time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

fn code(error: &CliError) -> &'static str {
    match error {
        CliError::Store(StoreError::LimitReached { .. }) => "limit_reached",
        CliError::Store(_) => "store_failed",
        CliError::Hal(_) => "hsm_failed",
        CliError::NoSuch { .. } => "not_found",
        CliError::Exists { .. } => "exists",
        _ => "failed",
    }
}
