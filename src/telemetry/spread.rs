//! How long things took, without keeping each of them: counts in buckets that grow with the duration.
//!
//! Eight buckets for each doubling, from a microsecond to four and a half minutes, so that what is read out of them is no more
//! than an eighth too large.

use std::{
    iter,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

/// Buckets for each doubling, as a power of two.
const FINENESS: u32 = 3;
/// Doublings, of which the first has buckets of one microsecond.
const DOUBLINGS: usize = 26;
/// Number of buckets. Whatever takes longer than the last one is counted in it.
const BUCKETS: usize = DOUBLINGS << FINENESS;

/// Counts that many threads add to.
#[derive(Debug)]
pub(super) struct Spread {
    counts: Box<[AtomicU32]>,
    longest: AtomicU64,
}

/// Counts read out of one [`Spread`] or several.
#[derive(Clone, Debug)]
pub(super) struct Sum {
    counts: Vec<u64>,
    longest: u64,
}

/// How long something took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// How often it happened.
    pub count: u64,
    /// What half of them took at most, in microseconds.
    pub p50_us: u64,
    /// What 99 of 100 took at most, in microseconds.
    pub p99_us: u64,
    /// What the longest took, in microseconds.
    pub max_us: u64,
}

impl Default for Spread {
    fn default() -> Self {
        Self { counts: iter::repeat_with(AtomicU32::default).take(BUCKETS).collect(), longest: AtomicU64::new(0) }
    }
}

impl Spread {
    pub(super) fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get(bucket_of(micros)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        // Written only where it grows, which it soon stops to do.
        if micros > self.longest.load(Ordering::Relaxed) {
            self.longest.fetch_max(micros, Ordering::Relaxed);
        }
    }

    pub(super) fn clear(&self) {
        self.counts.iter().for_each(|count| count.store(0, Ordering::Relaxed));
        self.longest.store(0, Ordering::Relaxed);
    }
}

impl Default for Sum {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], longest: 0 }
    }
}

impl Sum {
    pub(super) fn add(&mut self, spread: &Spread) {
        for (sum, count) in self.counts.iter_mut().zip(&spread.counts) {
            *sum += u64::from(count.load(Ordering::Relaxed));
        }
        self.longest = self.longest.max(spread.longest.load(Ordering::Relaxed));
    }

    pub(super) fn latency(&self) -> Latency {
        let count = self.counts.iter().sum();
        Latency { count, p50_us: self.at(count, 50), p99_us: self.at(count, 99), max_us: self.longest }
    }

    /// What so many of a hundred took at most.
    fn at(&self, count: u64, of_hundred: u64) -> u64 {
        let rank = (count * of_hundred).div_ceil(100);
        let mut below = 0;
        let found = self.counts.iter().position(|count| {
            below += count;
            below >= rank
        });
        found.map_or(0, last_of).min(self.longest)
    }
}

/// The bucket of a duration in microseconds.
fn bucket_of(micros: u64) -> usize {
    let doublings = micros.max(1).ilog2().saturating_sub(FINENESS);
    // The first digits of the number, in the binary system, and how many follow them.
    let bucket = (u64::from(doublings) << FINENESS) + (micros >> doublings);
    usize::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The longest duration in a bucket, in microseconds.
fn last_of(bucket: usize) -> u64 {
    let bucket = u64::try_from(bucket).unwrap_or(u64::MAX);
    let doublings = (bucket >> FINENESS).saturating_sub(1);
    let digits = bucket - (doublings << FINENESS);
    ((digits + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_a_bucket_that_ends_no_more_than_an_eighth_later() {
        let mut last = 0;
        for micros in (0..5000).chain((0..28).map(|power| (1 << power) + 1)) {
            let bucket = bucket_of(micros);
            let end = last_of(bucket);
            assert!(end >= micros && end <= micros + micros / 8, "{micros} ends at {end}");
            assert!(bucket >= last || micros < 5000, "{micros}");
            last = bucket;
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_read_out_of_the_counts() {
        let spread = Spread::default();
        let mut sum = Sum::default();
        sum.add(&spread);
        assert_eq!(sum.latency(), Latency::default());
        (1..=100).for_each(|number| spread.add(Duration::from_micros(number * 10)));
        sum.add(&spread);
        let found = sum.latency();
        assert_eq!((found.count, found.max_us), (100, 1000));
        assert!((500..=562).contains(&found.p50_us), "{found:?}");
        assert!((990..=1000).contains(&found.p99_us), "{found:?}");
        spread.clear();
        spread.add(Duration::from_secs(3600));
        let mut sum = Sum::default();
        sum.add(&spread);
        assert_eq!((sum.latency().count, sum.latency().max_us), (1, 3_600_000_000));
    }
}
