//! How many requests there were, how many failed and how long they took, minute by minute: for those who look at the console.
//!
//! All of it is kept in memory, since the start, for a day. A request costs two or three additions without a lock; the first
//! one of each minute clears the place that the minute takes over from a day before. The record for machines is `/metrics`.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use parking_lot::Mutex;

pub use super::spread::Latency;
use super::spread::{Spread, Sum};

/// Minutes that are remembered: a day, and the one that is not over.
const DAY: u64 = 24 * 60 + 1;
/// Minutes that the HSM's answers are remembered.
const HOUR: u64 = 61;
/// Seconds of a minute.
const MINUTE: u64 = 60;
/// A place that no minute has taken yet.
const NONE: u64 = u64::MAX;

/// Kinds of KMIP operations that are counted apart, in this order.
pub const GROUPS: [&str; 5] = ["read", "make", "find", "change", "other"];

/// Over how long a time each number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// 60 times a minute.
    Hour,
    /// 96 times a quarter of an hour.
    Day,
}

/// The requests of one minute, or of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// When it begins, in seconds since 1970-01-01 UTC.
    pub start: u64,
    /// How many requests failed.
    pub errors: u64,
    /// How many there were and how long they took.
    pub latency: Latency,
    /// How many there were of each of [`GROUPS`].
    pub groups: [u64; GROUPS.len()],
}

/// Counts requests.
#[derive(Debug)]
pub struct Statistics {
    clock: MinuteClock,
    minutes: Ring<Requests>,
}

/// Measures one operation of the HSM.
#[derive(Debug)]
pub struct HsmTimes {
    clock: MinuteClock,
    minutes: Ring<Spread>,
}

/// Tells minutes by a clock that nobody can set.
#[derive(Debug)]
struct MinuteClock {
    started: Instant,
    /// Seconds since 1970-01-01 UTC.
    started_at: u64,
}

#[derive(Debug, Default)]
struct Requests {
    spread: Spread,
    errors: AtomicU32,
    groups: [AtomicU32; GROUPS.len()],
}

/// Places that minutes take in turn.
#[derive(Debug)]
struct Ring<T> {
    places: Box<[Place<T>]>,
    /// Held while a place is cleared.
    clearing: Mutex<()>,
}

#[derive(Debug)]
struct Place<T> {
    minute: AtomicU64,
    counts: T,
}

/// What can begin anew.
trait Counts: Default {
    fn clear(&self);
}

impl Span {
    /// How many periods there are.
    #[must_use]
    pub fn periods(self) -> u64 {
        match self {
            Self::Hour => 60,
            Self::Day => 96,
        }
    }

    /// How many seconds each has.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.minutes() * MINUTE
    }

    fn minutes(self) -> u64 {
        match self {
            Self::Hour => 1,
            Self::Day => 15,
        }
    }
}

impl Default for Statistics {
    fn default() -> Self {
        Self { clock: MinuteClock::start(), minutes: Ring::new(DAY) }
    }
}

impl Statistics {
    /// Counts a request. `operation` is its name in the KMIP specification.
    pub fn record(&self, operation: &str, has_failed: bool, took: Duration) {
        self.record_in(self.clock.minute(), operation, has_failed, took);
    }

    fn record_in(&self, minute: u64, operation: &str, has_failed: bool, took: Duration) {
        let Some(requests) = self.minutes.place(minute) else { return };
        requests.spread.add(took);
        if let Some(count) = requests.groups.get(group_of(operation)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if has_failed {
            requests.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// When it began to count, in seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn started_at(&self) -> u64 {
        self.clock.started_at
    }

    /// What was counted, oldest first. The last period is not over.
    #[must_use]
    pub fn over(&self, span: Span) -> Vec<Period> {
        self.until(self.clock.minute(), span)
    }

    fn until(&self, minute: u64, span: Span) -> Vec<Period> {
        let last = minute / span.minutes();
        let first = last.saturating_sub(span.periods() - 1);
        (first..=last).map(|period| self.sum(period * span.minutes(), span.minutes())).collect()
    }

    fn sum(&self, first: u64, minutes: u64) -> Period {
        let (mut sum, mut errors, mut groups) = (Sum::default(), 0, [0; GROUPS.len()]);
        for requests in (first..first + minutes).filter_map(|minute| self.minutes.look(minute)) {
            sum.add(&requests.spread);
            errors += u64::from(requests.errors.load(Ordering::Relaxed));
            for (sum, count) in groups.iter_mut().zip(&requests.groups) {
                *sum += u64::from(count.load(Ordering::Relaxed));
            }
        }
        Period { start: first * MINUTE, errors, latency: sum.latency(), groups }
    }
}

impl Default for HsmTimes {
    fn default() -> Self {
        Self { clock: MinuteClock::start(), minutes: Ring::new(HOUR) }
    }
}

impl HsmTimes {
    /// Over how many seconds [`HsmTimes::recent`] tells, the present minute not counted.
    pub const SECONDS: u64 = (HOUR - 1) * MINUTE;

    /// Counts an answer.
    pub fn record(&self, took: Duration) {
        if let Some(spread) = self.minutes.place(self.clock.minute()) {
            spread.add(took);
        }
    }

    /// How long answers took in the last hour.
    #[must_use]
    pub fn recent(&self) -> Latency {
        let (now, mut sum) = (self.clock.minute(), Sum::default());
        let first = now.saturating_sub(HOUR - 1);
        (first..=now).filter_map(|minute| self.minutes.look(minute)).for_each(|spread| sum.add(spread));
        sum.latency()
    }
}

impl MinuteClock {
    fn start() -> Self {
        Self { started: Instant::now(), started_at: u64::try_from(Timestamp::now().as_second()).unwrap_or_default() }
    }

    /// The number of the present minute since 1970-01-01 UTC.
    fn minute(&self) -> u64 {
        (self.started_at + self.started.elapsed().as_secs()) / MINUTE
    }
}

impl<T: Counts> Ring<T> {
    fn new(minutes: u64) -> Self {
        let place = |_| Place { minute: AtomicU64::new(NONE), counts: T::default() };
        Self { places: (0..minutes).map(place).collect(), clearing: Mutex::default() }
    }

    /// The place of a minute, which is cleared where another minute had it.
    fn place(&self, minute: u64) -> Option<&T> {
        let place = self.at(minute)?;
        if place.minute.load(Ordering::Acquire) != minute {
            let _clearing = self.clearing.lock();
            if place.minute.load(Ordering::Acquire) != minute {
                place.counts.clear();
                place.minute.store(minute, Ordering::Release);
            }
        }
        Some(&place.counts)
    }

    /// What was counted in a minute, where anything was.
    fn look(&self, minute: u64) -> Option<&T> {
        self.at(minute).filter(|place| place.minute.load(Ordering::Acquire) == minute).map(|place| &place.counts)
    }

    fn at(&self, minute: u64) -> Option<&Place<T>> {
        let number = minute % u64::try_from(self.places.len()).unwrap_or(u64::MAX);
        self.places.get(usize::try_from(number).ok()?)
    }
}

impl Counts for Requests {
    fn clear(&self) {
        self.spread.clear();
        self.errors.store(0, Ordering::Relaxed);
        self.groups.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }
}

impl Counts for Spread {
    fn clear(&self) {
        Spread::clear(self);
    }
}

/// The number of an operation's group in [`GROUPS`].
fn group_of(operation: &str) -> usize {
    match operation {
        "Get" | "GetAttributes" | "GetAttributeList" | "GetUsageAllocation" | "Export" | "Check" => 0,
        "Create" | "CreateKeyPair" | "Register" | "Import" | "ReKey" | "ReKeyKeyPair" | "DeriveKey" | "Certify"
        | "ReCertify" | "CreateSplitKey" | "JoinSplitKey" => 1,
        "Locate" => 2,
        "Activate" | "Revoke" | "Destroy" | "Archive" | "Recover" | "AddAttribute" | "ModifyAttribute"
        | "DeleteAttribute" | "SetAttribute" | "ObtainLease" => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn an_hour_and_a_day_are_sums_of_minutes() {
        let statistics = Statistics::default();
        // A minute that a quarter of an hour begins with.
        let now = 30_000_000;
        statistics.record_in(now - 59, "Create", false, MS);
        statistics.record_in(now - 60, "Create", false, MS);
        statistics.record_in(now - 1, "Locate", true, 3 * MS);
        (0..8).for_each(|_| statistics.record_in(now, "Get", false, MS));
        statistics.record_in(now, "Query", false, 50 * MS);

        let hour = statistics.until(now, Span::Hour);
        assert_eq!(hour.len(), 60);
        let (first, last) = (hour.first().unwrap(), hour.last().unwrap());
        assert_eq!((first.start, first.latency.count, first.groups), ((now - 59) * 60, 1, [0, 1, 0, 0, 0]));
        assert_eq!((last.start, last.latency.count, last.groups), (now * 60, 9, [8, 0, 0, 0, 1]));
        assert_eq!((last.errors, last.latency.max_us), (0, 50_000));
        assert!((1000..=1125).contains(&last.latency.p50_us), "{last:?}");
        assert_eq!(hour.get(58).map(|minute| minute.errors), Some(1));

        let day = statistics.until(now, Span::Day);
        assert_eq!((day.len(), day.last().unwrap().latency.count), (96, 9));
        assert_eq!(day.iter().map(|period| period.latency.count).sum::<u64>(), 12);
        assert!(day.windows(2).all(|two| two[1].start - two[0].start == Span::Day.seconds()));
    }

    #[test]
    fn a_minute_takes_the_place_of_the_one_a_day_before() {
        let statistics = Statistics::default();
        let now = 30_000_000;
        statistics.record_in(now, "Get", true, MS);
        let day_later = now + DAY;
        assert!(statistics.until(day_later, Span::Day).iter().all(|period| period.latency.count == 0));
        statistics.record_in(day_later, "Locate", false, 2 * MS);
        let last = statistics.until(day_later, Span::Hour).pop().unwrap();
        assert_eq!((last.latency.count, last.errors, last.groups), (1, 0, [0, 0, 1, 0, 0]));
    }

    #[test]
    fn no_request_of_many_threads_is_lost() {
        let (statistics, at_once) = (Statistics::default(), Barrier::new(8));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    at_once.wait();
                    (0..1000).for_each(|_| statistics.record_in(7, "Get", false, MS));
                });
            }
        });
        assert_eq!(statistics.until(7, Span::Hour).pop().unwrap().latency.count, 8000);
    }

    #[test]
    fn the_hsms_answers_are_told_over_the_last_hour() {
        let times = HsmTimes::default();
        assert_eq!(times.recent(), Latency::default());
        times.record(3 * MS);
        assert_eq!((times.recent().count, times.recent().max_us), (1, 3000));
    }
}
