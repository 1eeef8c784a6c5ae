//! Clients at work: one makes keys, one fetches them, one destroys them. Each notes what it was told.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::Scope,
    time::{Duration, Instant},
};

use kmip::attributes::Attribute;

use super::ledger::{GROUP, Ledger, is_outage};
use crate::harness::{
    ask::{destroy, get, made, material},
    create_aes,
    server::Connection,
};

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Work {
    Create,
    Get,
    Destroy,
}

/// All there is.
pub(super) const ALL: [Work; 3] = [Work::Create, Work::Get, Work::Destroy];

/// What each kind of work was answered, and when last.
#[derive(Default)]
pub(super) struct Log {
    of: Mutex<HashMap<Work, Answers>>,
}

/// The answers to one kind of work.
#[derive(Clone, Copy, Default)]
pub(super) struct Answers {
    pub(super) good: usize,
    pub(super) bad: usize,
    /// The longest wait for an answer.
    pub(super) longest: Duration,
    /// Good answers since the last bad one, and when the first of them came.
    pub(super) in_a_row: usize,
    pub(super) since: Option<Instant>,
}

impl Log {
    pub(super) fn of(&self, work: Work) -> Answers {
        self.of.lock().unwrap().get(&work).copied().unwrap_or_default()
    }

    /// Begins to count good answers in a row anew.
    pub(super) fn mark(&self) {
        self.of.lock().unwrap().values_mut().for_each(|answers| (answers.in_a_row, answers.since) = (0, None));
    }

    fn note(&self, work: Work, asked: Instant, is_good: bool) {
        let mut of = self.of.lock().unwrap();
        let answers = of.entry(work).or_default();
        let now = Instant::now();
        answers.longest = answers.longest.max(now - asked);
        if is_good {
            answers.good += 1;
            answers.in_a_row += 1;
            answers.since.get_or_insert(now);
        } else {
            answers.bad += 1;
            (answers.in_a_row, answers.since) = (0, None);
        }
    }
}

/// Starts the clients, one for each connection; they stop when the returned senders are dropped. Each pauses between two
/// requests, so that the ledger stays of a size that can be checked.
pub(super) fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    connections: Vec<(Work, Connection)>,
    ledger: &'scope Ledger,
    log: &'scope Log,
    pause: Duration,
) -> Vec<Sender<()>> {
    let client = |(number, (work, connection))| {
        let (stop, stopped) = mpsc::channel();
        scope.spawn(move || run((number, work, pause), connection, ledger, log, &stopped));
        stop
    };
    connections.into_iter().enumerate().map(client).collect()
}

fn run(
    (number, work, pause): (usize, Work, Duration),
    mut client: Connection,
    ledger: &Ledger,
    log: &Log,
    stopped: &Receiver<()>,
) {
    let mut dice = number;
    while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let asked = Instant::now();
        let is_good = match work {
            Work::Create => create(&mut client, ledger),
            Work::Get => match ledger.lease(dice >> 33) {
                Some((id, _)) => fetch(&mut client, ledger, &id),
                None => continue,
            },
            Work::Destroy => match ledger.lease(dice >> 33) {
                // Some must be left to be fetched.
                Some((id, _)) if ledger.counts().0 < 20 => {
                    ledger.release(&id, None);
                    continue;
                }
                Some((id, _)) => {
                    // The HSM has no part in it, so its outage is no excuse.
                    client.call(destroy(&id)).unwrap_or_else(|error| panic!("Destroy failed: {error}"));
                    ledger.destroyed(&id);
                    true
                }
                None => continue,
            },
        };
        log.note(work, asked, is_good);
    }
}

fn create(client: &mut Connection, ledger: &Ledger) -> bool {
    match client.call(create_aes(256, [Attribute::ObjectGroup(GROUP.to_owned())])) {
        Ok(response) => ledger.made(made(response)),
        Err(error) if is_outage(&error) => return false,
        Err(error) => panic!("Create was answered so: {error}"),
    }
    true
}

fn fetch(client: &mut Connection, ledger: &Ledger, id: &str) -> bool {
    match client.call(get(id)) {
        Ok(response) => ledger.release(id, Some(material(response))),
        Err(error) if is_outage(&error) => {
            ledger.release(id, None);
            return false;
        }
        Err(error) => panic!("Get of {id} was answered so: {error}"),
    }
    true
}
