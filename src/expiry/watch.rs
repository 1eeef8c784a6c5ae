//! The thread that keeps the metric up to date and warns.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use metrics::gauge;
use rustls_pki_types::CertificateDer;

use super::{CertificateKind, DAY, Expiring, forecast_of};
use crate::{
    engine::Clock,
    net::ServerCertificate,
    store::{Fingerprint, Store},
    telemetry::metric,
};

/// How often.
const PERIOD: Duration = Duration::from_secs(60);
/// Days before the end at which a warning is due, the most urgent first. 0: it has expired.
const WARNINGS: [i64; 4] = [0, 7, 30, 60];

/// The thread. It ends when this is dropped.
pub struct Watching {
    _alive: mpsc::Sender<()>,
}

/// Watches all certificates of a running server.
///
/// # Errors
/// The system has no thread to give.
pub fn watch(
    store: &Arc<Store>,
    server: &Arc<ServerCertificate>,
    own_ca: Vec<CertificateDer<'static>>,
    clock: Clock,
) -> io::Result<Watching> {
    let (store, server) = (Arc::downgrade(store), Arc::clone(server));
    let (alive, ended) = mpsc::channel::<()>();
    thread::Builder::new().name("expiry".to_owned()).spawn(move || {
        let mut round = Round::default();
        while let Some(store) = store.upgrade() {
            let now = clock.now();
            match forecast_of(&store, &server.chain(), &own_ca, now) {
                Ok(all) => round.take(&all, now),
                // A store that is away has its own log lines.
                Err(error) => tracing::debug!(%error, "when certificates expire is not known at the moment"),
            }
            drop(store);
            if ended.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    })?;
    Ok(Watching { _alive: alive })
}

/// The labels of one number of the metric.
type Labels = Vec<(&'static str, String)>;

/// What was warned of and exported so far.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// The most urgent warning that was given of a certificate.
    warned: HashMap<Fingerprint, i64>,
    exported: HashSet<Labels>,
}

impl Round {
    /// Warns of what is due and sets the metric.
    pub(super) fn take(&mut self, all: &[Expiring], now: i64) {
        let known: HashSet<_> = all.iter().map(|one| one.fingerprint).collect();
        self.warned.retain(|fingerprint, _| known.contains(fingerprint));
        for one in all {
            self.warn(one, now);
        }
        self.export(all);
    }

    fn warn(&mut self, one: &Expiring, now: i64) {
        let left = one.not_after - now;
        let Some(due) = WARNINGS.into_iter().find(|days| left < days * DAY) else {
            // Far away again, as after a clock was wrong.
            self.warned.remove(&one.fingerprint);
            return;
        };
        if self.warned.get(&one.fingerprint).is_some_and(|warned| *warned <= due) {
            return;
        }
        self.warned.insert(one.fingerprint, due);
        let adapter = one.adapter.as_ref().map(|(_, name)| name.as_str());
        let (kind, certificate, days_left) = (one.kind.name(), one.fingerprint, one.days_left);
        let (name, subject) = (plain(&one.name), plain(&one.subject));
        if due == 0 {
            tracing::error!(kind, %certificate, name, subject, adapter, "a certificate has expired");
        } else {
            let what = remedy(one);
            tracing::warn!(kind, %certificate, name, subject, adapter, days_left, "a certificate expires soon: {what}");
        }
    }

    /// One number for each kind, authority and adapter, the one that ends first: there may be tens of thousands of clients.
    fn export(&mut self, all: &[Expiring]) {
        let (mut told, mut set) = (HashSet::new(), HashSet::new());
        // In the order in which they end.
        for one in all {
            let adapter = one.adapter.as_ref().map(|(id, _)| *id);
            let of = Some(one.fingerprint).filter(|_| adapter.is_none());
            if !told.insert((one.kind, adapter, of)) {
                continue;
            }
            let mut labels = vec![("kind", one.kind.name().to_owned()), ("name", plain(&one.name))];
            labels.extend(one.adapter.as_ref().map(|(_, name)| ("adapter", name.clone())));
            #[expect(clippy::cast_precision_loss, reason = "2^53 seconds are more years than the calendar has")]
            gauge!(metric::CERTIFICATE_NOT_AFTER, &labels).set(one.not_after as f64);
            set.insert(labels);
        }
        // What is gone must not raise an alarm for ever.
        for gone in self.exported.difference(&set) {
            gauge!(metric::CERTIFICATE_NOT_AFTER, gone).set(f64::NAN);
        }
        self.exported = set;
    }
}

fn remedy(one: &Expiring) -> &'static str {
    match (one.kind, one.registered) {
        (CertificateKind::Server, _) => "renew it, which disturbs no client, or have its authority do so",
        (CertificateKind::OwnAuthority, _) => "every client must be told of a new authority before that day",
        (CertificateKind::Authority, _) => "register that authority's new certificate beside it",
        (CertificateKind::Client, true) => "register the client's next certificate beside it now",
        (CertificateKind::Client, false) => "the client needs its next certificate; the rule that let it in will too",
    }
}

/// Names and subjects may come from strangers.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(128).collect()
}
