//! One pass over the KEKs of a root key: several threads take batches in order and finish them in any, and the place that the
//! store remembers is always one that everything before is done with.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use hal::{HalError, Outage, Refusal, RootKeyVersion, WrappedKek};
use parking_lot::Mutex;
use tracing::dispatcher;
use uuid::Uuid;

use super::{
    BATCH, Rotator, Stop,
    stop::{Backoff, Throttle},
};
use crate::store::{KekRow, Rewrapped, RootKeyState, RotationStep, StoreError, VersionState};

/// KEKs handed to the HSM in one call: so many may each wait for an HSM that has just gone away.
const CALL: usize = 16;
/// An HSM that wraps a KEK again in less is fast. One across a network takes longer, and many calls at a time.
const FAST: Duration = Duration::from_micros(300);
/// How often a suspended root key is looked at.
const SUSPENDED: Duration = Duration::from_secs(1);
/// How long a rotation waits for what is in the way of it alone before others have their turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a pass ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// It was asked to.
    Stopped,
    /// Something is in the way of this rotation alone, and others wait.
    GaveWay,
    /// The rotation is finished, or the root key is no more.
    Gone,
}

/// A pass at work.
pub(super) struct Pass<'a> {
    rotator: &'a Rotator,
    under: RootKeyVersion,
    stop: &'a Stop,
    /// It lets others go first where only it cannot go on.
    gives_way: bool,
    throttle: Throttle,
    progress: Mutex<Progress>,
    /// The HSM does not wrap, and operators know.
    waits: AtomicBool,
    /// The HSM answers so fast that calls take turns.
    is_fast: AtomicBool,
    turn: Mutex<()>,
}

struct Progress {
    /// The last place that was read.
    read: i64,
    /// The number of the next batch.
    next: u64,
    /// Batches that are done but stand behind one that is not, with their last places.
    done: BTreeMap<u64, i64>,
    /// The first batch that is not done.
    first_open: u64,
    /// The last place before that.
    cursor: i64,
    /// KEKs that cannot be opened.
    damaged: BTreeSet<i64>,
    halt: Option<Halt>,
}

struct Batch {
    number: u64,
    last: i64,
    keks: Vec<KekRow>,
}

/// What the HSM said to a KEK.
enum Verdict {
    Rewrapped(WrappedKek),
    /// It will never open.
    Damaged,
    /// The same may work later.
    Later(HalError),
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        rotator: &'a Rotator,
        under: RootKeyVersion,
        cursor: i64,
        stop: &'a Stop,
        gives_way: bool,
    ) -> Self {
        let progress = Progress {
            read: cursor,
            next: 0,
            done: BTreeMap::new(),
            first_open: 0,
            cursor,
            damaged: BTreeSet::new(),
            halt: None,
        };
        let throttle = Throttle::new(rotator.per_second);
        Self {
            rotator,
            under,
            stop,
            gives_way,
            throttle,
            progress: Mutex::new(progress),
            waits: AtomicBool::new(false),
            is_fast: AtomicBool::new(true),
            turn: Mutex::new(()),
        }
    }

    /// Works with so many threads until nothing is left to read, and returns what cannot be opened.
    pub(super) fn run(self, threads: usize) -> Result<BTreeSet<i64>, Halt> {
        // What the others log goes where this thread's lines go.
        let log = dispatcher::get_default(Clone::clone);
        thread::scope(|scope| {
            for number in 1..threads {
                let worker = thread::Builder::new().name(format!("rotation-{number}"));
                // One thread is enough, this one.
                let _ = worker.spawn_scoped(scope, || dispatcher::with_default(&log, || self.work()));
            }
            self.work();
        });
        let progress = self.progress.into_inner();
        match progress.halt {
            Some(halt) => Err(halt),
            None => Ok(progress.damaged),
        }
    }

    fn work(&self) {
        loop {
            let outcome = match self.take() {
                Ok(Some(batch)) => self.rewrap(batch),
                Ok(None) => return,
                Err(halt) => Err(halt),
            };
            if let Err(halt) = outcome {
                self.progress.lock().halt.get_or_insert(halt);
                return;
            }
        }
    }

    fn root(&self) -> Uuid {
        *self.under.root.as_uuid()
    }

    /// The next batch; the others wait while one reads.
    fn take(&self) -> Result<Option<Batch>, Halt> {
        let mut progress = self.progress.lock();
        if let Some(halt) = progress.halt {
            return Err(halt);
        }
        self.wait_while_suspended()?;
        let (root, version) = (self.root(), self.under.version);
        let keks = self.patiently(|| self.rotator.store.next_keks(root, version, progress.read, BATCH))?;
        let Some(last) = keks.last().map(|kek| kek.seq) else { return Ok(None) };
        let number = progress.next;
        progress.next += 1;
        progress.read = last;
        Ok(Some(Batch { number, last, keks }))
    }

    fn wait_while_suspended(&self) -> Result<(), Halt> {
        let mut told = false;
        loop {
            let row = self.patiently(|| self.rotator.root_key(self.root()))?.ok_or(Halt::Gone)?;
            match row.state {
                RootKeyState::Active => return Ok(()),
                RootKeyState::Destroyed => return Err(Halt::Gone),
                RootKeyState::Suspended => {}
            }
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(root_key = %row.id, label = row.label, "rotation waits: the root key is suspended");
            }
            if self.gives_way && self.rotator.others_wait(self.root()) {
                return Err(Halt::GaveWay);
            }
            if self.stop.sleep(SUSPENDED) {
                return Err(Halt::Stopped);
            }
        }
    }

    /// Wraps a batch again, however long the HSM takes to come back.
    fn rewrap(&self, batch: Batch) -> Result<(), Halt> {
        let Batch { number, last, keks: mut rest } = batch;
        let mut backoff = Backoff::new();
        let mut stuck_since = None;
        loop {
            let (done, damaged, later, obstacle) = self.try_rewrap(&rest);
            self.commit(number, last, done, &damaged, later.is_empty())?;
            // Only now: where the rotation is gone, what failed may just have been destroyed or brought along by another.
            for kek in &damaged {
                self.rotator.report_damaged(self.root(), kek);
            }
            if self.stop.is_stopped() && !later.is_empty() {
                return Err(Halt::Stopped);
            }
            let Some(obstacle) = obstacle else { return Ok(()) };
            // An outage is in everybody's way.
            let since = match obstacle {
                HalError::Unavailable(_) => None,
                _ => Some(stuck_since.unwrap_or_else(Instant::now)),
            };
            stuck_since = since;
            self.give_way(since)?;
            if obstacle == HalError::Unavailable(Outage::Overloaded) {
                // Requests go first: nothing that an operator should look at.
                tracing::debug!(root_key = %self.under, "rotation waits: {obstacle}");
            } else if !self.waits.swap(true, Ordering::Relaxed) {
                tracing::warn!(root_key = %self.under, "rotation waits: {obstacle}");
            }
            if backoff.sleep(self.stop) {
                return Err(Halt::Stopped);
            }
            rest = later;
        }
    }

    /// Ends the pass where it has waited long enough for what is in its own way, and others wait for their turn.
    fn give_way(&self, stuck_since: Option<Instant>) -> Result<(), Halt> {
        // Another thread has.
        if self.progress.lock().halt == Some(Halt::GaveWay) {
            return Err(Halt::GaveWay);
        }
        let long_enough = stuck_since.is_some_and(|since| since.elapsed() >= PATIENCE);
        if self.gives_way && long_enough && self.rotator.others_wait(self.root()) {
            return Err(Halt::GaveWay);
        }
        Ok(())
    }

    /// Wraps what it can: KEKs done, damaged, left for later, and why they were left.
    fn try_rewrap(&self, keks: &[KekRow]) -> (Vec<Rewrapped>, Vec<KekRow>, Vec<KekRow>, Option<HalError>) {
        let (mut done, mut damaged, mut later, mut obstacle) = (Vec::new(), Vec::new(), Vec::new(), None);
        let usable = self.usable_versions();
        for call in keks.chunks(CALL) {
            if obstacle.is_some() || self.throttle.pass(call.len(), self.stop) {
                later.extend_from_slice(call);
                continue;
            }
            let mut readable = Vec::with_capacity(call.len());
            for kek in call {
                match self.parse(kek, &usable) {
                    Some(wrapped) => readable.push((kek, wrapped)),
                    None => damaged.push(kek.clone()),
                }
            }
            let (keks, wrapped): (Vec<_>, Vec<_>) = readable.into_iter().unzip();
            let answers = self.ask(&wrapped);
            for (kek, answer) in keks.into_iter().zip(answers) {
                match judge(answer) {
                    Verdict::Rewrapped(new) => {
                        done.push(Rewrapped { seq: kek.seq, old: kek.wrapped.clone(), new: new.to_bytes() });
                    }
                    Verdict::Damaged => damaged.push(kek.clone()),
                    Verdict::Later(error) => {
                        later.push(kek.clone());
                        obstacle.get_or_insert(error);
                    }
                }
            }
        }
        (done, damaged, later, obstacle)
    }

    /// Has the HSM wrap some KEKs again. A token that answers within microseconds works on this machine's own processors, where
    /// two calls at a time only get in each other's way; so they take turns, and one thread stores while another one asks.
    fn ask(&self, wrapped: &[WrappedKek]) -> Vec<Result<WrappedKek, HalError>> {
        let turn = self.is_fast.load(Ordering::Relaxed).then(|| self.turn.lock());
        let start = Instant::now();
        let answers = self.rotator.hal.rewrap_keks(wrapped, self.under);
        let each = start.elapsed().checked_div(u32::try_from(wrapped.len()).unwrap_or(u32::MAX));
        self.is_fast.store(each.is_some_and(|each| each < FAST), Ordering::Relaxed);
        drop(turn);
        answers
    }

    /// The versions that something may be under. `None` where the store does not say now: then the HSM decides.
    fn usable_versions(&self) -> Option<Vec<u32>> {
        let row = self.rotator.root_key(self.root()).ok().flatten()?;
        let usable = row.versions.iter().filter(|version| version.state != VersionState::Retired);
        Some(usable.map(|version| version.version).collect())
    }

    /// The KEK as the HAL takes it; `None` where it is not what was stored for this root key.
    fn parse(&self, kek: &KekRow, usable: &Option<Vec<u32>>) -> Option<WrappedKek> {
        let wrapped = WrappedKek::from_bytes(&kek.wrapped).ok()?;
        let known = usable.as_ref().is_none_or(|versions| versions.contains(&kek.version));
        (wrapped.root == self.under.root && wrapped.version == kek.version && known).then_some(wrapped)
    }

    /// Stores what was done of a batch; the whole batch where `complete`.
    fn commit(
        &self,
        number: u64,
        last: i64,
        rewrapped: Vec<Rewrapped>,
        damaged: &[KekRow],
        complete: bool,
    ) -> Result<(), Halt> {
        let cursor = {
            let mut progress = self.progress.lock();
            progress.damaged.extend(damaged.iter().map(|kek| kek.seq));
            if complete && progress.first_open == number { last } else { progress.cursor }
        };
        let progressed = !rewrapped.is_empty();
        let failed = u64::try_from(damaged.len()).unwrap_or(u64::MAX);
        let step = RotationStep { rewrapped, failed, cursor };
        let (root, version) = (self.root(), self.under.version);
        self.patiently(|| self.rotator.store.rotation_step(root, version, step.clone()))?;
        if progressed && self.waits.swap(false, Ordering::Relaxed) {
            tracing::info!(root_key = %self.under, "rotation goes on");
        }
        if complete {
            self.progress.lock().is_done(number, last);
        }
        Ok(())
    }

    /// Asks the store until it answers.
    fn patiently<T>(&self, ask: impl Fn() -> Result<T, StoreError>) -> Result<T, Halt> {
        let mut backoff = Backoff::new();
        loop {
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(StoreError::NotFound) => return Err(Halt::Gone),
                Err(error) if backoff.is_first() => {
                    tracing::warn!(root_key = %self.under, %error, "rotation waits for the store");
                }
                Err(_) => {}
            }
            if backoff.sleep(self.stop) {
                return Err(Halt::Stopped);
            }
        }
    }
}

impl Progress {
    fn is_done(&mut self, number: u64, last: i64) {
        self.done.insert(number, last);
        while let Some(last) = self.done.remove(&self.first_open) {
            self.first_open += 1;
            self.cursor = last;
        }
    }
}

fn judge(answer: Result<WrappedKek, HalError>) -> Verdict {
    match answer {
        Ok(wrapped) => Verdict::Rewrapped(wrapped),
        Err(HalError::Tampered | HalError::Refused(Refusal::UnknownBlobFormat)) => Verdict::Damaged,
        Err(error) => Verdict::Later(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_passes_a_batch_when_all_before_it_are_done() {
        let mut progress = Progress {
            read: 0,
            next: 4,
            done: BTreeMap::new(),
            first_open: 0,
            cursor: 7,
            damaged: BTreeSet::new(),
            halt: None,
        };
        for (number, last, cursor) in [(1, 20, 7), (3, 40, 7), (0, 10, 20), (2, 30, 40)] {
            progress.is_done(number, last);
            assert_eq!(progress.cursor, cursor, "after batch {number}");
        }
        assert!(progress.done.is_empty());
    }

    #[test]
    fn only_what_never_opens_counts_as_damaged() {
        let damaged = |error| matches!(judge(Err(error)), Verdict::Damaged);
        let key = RootKeyVersion::first(hal::RootKeyId::from_uuid(Uuid::nil()));
        assert!(damaged(HalError::Tampered));
        assert!(damaged(HalError::Refused(Refusal::UnknownBlobFormat)));
        assert!(!damaged(HalError::Refused(Refusal::SchemeNotSupported)), "another token may know the scheme");
        assert!(!damaged(HalError::Unavailable(Outage::DeviceFailed)));
        assert!(!damaged(HalError::UnknownRootKey(key)), "the wrong token may be attached");
        assert!(!damaged(HalError::Refused(Refusal::KeyReplaced)));
    }
}
