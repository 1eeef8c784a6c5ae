//! Failed logins: slowed down for each address and each API key, and an address that keeps failing is locked out.
//!
//! All of this is about how failures are answered. A right credential is let in before anybody asks here, so nobody locks others
//! out by failing from their address, or by guessing their key; secrets of 256 bits lose nothing by being compared. What fails
//! again too soon is answered at once, and neither counted nor recorded, so that a flood of it fills nothing.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use uuid::Uuid;

use crate::net::network;

/// Failures in a row that are answered at once.
const BURST: u32 = 10;
/// After that one more is answered in each such time.
const REFILL: Duration = Duration::from_secs(6);
/// Failures within [`LOCK_OUT`] after which an address is locked out.
const MOST_FAILURES: u32 = 20;
/// How long an address stays locked out, and how long a failure counts.
const LOCK_OUT: Duration = Duration::from_secs(15 * 60);
/// Addresses, and keys, that are remembered; strangers choose them, so their number is bounded.
const REMEMBERED: usize = 4096;

/// Who failed, and how often.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    addresses: Mutex<HashMap<IpAddr, Failures>>,
    keys: Mutex<HashMap<Uuid, Failures>>,
}

/// The next attempt may come after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TryLater(pub(super) Duration);

#[derive(Clone, Copy, Debug)]
struct Failures {
    /// Failures that may be answered at once, as of `last`.
    left: u32,
    /// Since `first`.
    count: u32,
    first: Instant,
    last: Instant,
    locked_until: Option<Instant>,
}

impl Throttle {
    /// Notes a failed login, and tells when that was one too many. `key` is the API key that was claimed. While `address` has to
    /// wait, nothing is noted.
    pub(super) fn failed(&self, address: IpAddr, key: Option<Uuid>, now: Instant) -> Result<(), TryLater> {
        let address = network(address);
        {
            let mut addresses = self.addresses.lock();
            addresses.get(&address).map_or(Ok(()), |known| known.wait(now))?;
            note(&mut addresses, address, now, true)?;
        }
        key.map_or(Ok(()), |key| note(&mut self.keys.lock(), key, now, false))
    }

    /// Notes a login with what was good once, and tells when that was one too many.
    pub(super) fn failed_known(&self, key: Uuid, now: Instant) -> Result<(), TryLater> {
        note(&mut self.keys.lock(), key, now, false)
    }
}

/// Adds a failure to `who`'s, and says whether there was one left.
fn note<K: Hash + Eq + Copy>(
    known: &mut HashMap<K, Failures>,
    who: K,
    now: Instant,
    locks: bool,
) -> Result<(), TryLater> {
    if !known.contains_key(&who) && known.len() >= REMEMBERED {
        known.retain(|_, failures| !failures.is_over(now));
        if known.len() >= REMEMBERED
            && let Some(oldest) = known.iter().min_by_key(|(_, failures)| failures.last).map(|(who, _)| *who)
        {
            known.remove(&oldest);
        }
    }
    let fresh = Failures { left: BURST, count: 0, first: now, last: now, locked_until: None };
    let failures = known.entry(who).or_insert(fresh);
    if failures.is_over(now) {
        *failures = fresh;
    }
    failures.refill(now);
    let late = failures.wait(now);
    failures.left = failures.left.saturating_sub(1);
    failures.count += 1;
    if locks && failures.count >= MOST_FAILURES {
        failures.locked_until = Some(now + LOCK_OUT);
    }
    late
}

impl Failures {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.first) >= LOCK_OUT && self.locked_until.is_none_or(|until| now >= until)
    }

    fn refill(&mut self, now: Instant) {
        let gained = now.saturating_duration_since(self.last).as_secs() / REFILL.as_secs();
        if gained > 0 {
            self.left = u32::try_from(gained).unwrap_or(u32::MAX).saturating_add(self.left).min(BURST);
            self.last = now;
        }
    }

    /// How long the next attempt has to wait.
    fn wait(&self, now: Instant) -> Result<(), TryLater> {
        if let Some(until) = self.locked_until {
            let left = until.saturating_duration_since(now);
            return if left.is_zero() { Ok(()) } else { Err(TryLater(left)) };
        }
        let since = now.saturating_duration_since(self.last);
        if self.left > 0 || since >= REFILL { Ok(()) } else { Err(TryLater(REFILL.saturating_sub(since))) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn ten_failures_are_answered_at_once_and_then_one_in_six_seconds() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(throttle.failed(HERE, None, start), Ok(()));
        }
        for _ in 0..100 {
            let late = throttle.failed(HERE, None, start + Duration::from_secs(2));
            assert_eq!(late, Err(TryLater(Duration::from_secs(4))), "what comes too soon makes nobody wait longer");
        }
        assert_eq!(throttle.failed(HERE, None, start + Duration::from_secs(6)), Ok(()));
        assert_eq!(throttle.failed(HERE, None, start + Duration::from_secs(6)), Err(TryLater(REFILL)));
        let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(throttle.failed(elsewhere, None, start), Ok(()));
    }

    #[test]
    fn twenty_failures_lock_an_address_out_for_a_quarter_of_an_hour() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let mut now = start;
        for _ in 0..20 {
            while throttle.failed(HERE, None, now).is_err() {
                now += Duration::from_secs(1);
            }
        }
        let last_second = throttle.failed(HERE, None, now + Duration::from_secs(899));
        assert_eq!(last_second, Err(TryLater(Duration::from_secs(1))));
        assert_eq!(throttle.failed(HERE, None, now + Duration::from_secs(900)), Ok(()), "it begins anew");
    }

    #[test]
    fn a_key_is_slowed_down_from_whatever_addresses_it_is_guessed() {
        let (throttle, now, key) = (Throttle::default(), Instant::now(), Uuid::new_v4());
        let address = |host| IpAddr::V4(Ipv4Addr::new(192, 0, 2, host));
        for host in 0..10 {
            assert_eq!(throttle.failed(address(host), Some(key), now), Ok(()));
        }
        assert!(throttle.failed(address(11), Some(key), now).is_err());
        assert!(throttle.failed(address(12), Some(Uuid::new_v4()), now).is_ok());
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for host in 0..10u16 {
            let _ = throttle.failed(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host).into(), None, now);
        }
        assert!(throttle.failed("2001:db8::ffff".parse().unwrap(), None, now).is_err());
        assert!(throttle.failed("2001:db8:0:1::1".parse().unwrap(), None, now).is_ok());
    }

    #[test]
    fn strangers_cannot_make_it_grow() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for host in 0..10_000u32 {
            let _ = throttle.failed(Ipv4Addr::from_bits(host).into(), Some(Uuid::from_u128(host.into())), now);
        }
        assert_eq!(throttle.addresses.lock().len(), REMEMBERED);
        assert_eq!(throttle.keys.lock().len(), REMEMBERED);
    }
}
