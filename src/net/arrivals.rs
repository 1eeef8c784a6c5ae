//! Who came lately, and why some were turned away: for people who connect a client and wait for its first handshake.
//!
//! It is kept in memory, since the start, and bounded: what strangers do takes no more room than this, and does not push out
//! what is known of clients. One entry is kept for each client and address, and counted up when it comes again. The record for
//! machines is the log and `/metrics`.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;
use parking_lot::Mutex;

pub use super::turned_away::TurnedAway;
use super::{PeerIdentity, network::network};
use crate::{
    store::{AdapterId, Fingerprint},
    trust::{Identity, Refusal, ShownCertificate},
};

/// Entries of each kind: accepted clients, refused certificates, failures without a certificate.
pub const KEPT: usize = 256;
/// Refused certificates that one address can have in the list.
const OF_ONE_ADDRESS: usize = 8;
/// Longest certificate that is kept to be shown, in bytes; those of clients have about a thousand.
const MAX_CERTIFICATE: usize = 8 * 1024;

/// Who came lately.
#[derive(Debug)]
pub struct Arrivals {
    started_at: i64,
    lists: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    sequence: u64,
    accepted: Vec<Arrival>,
    refused: Vec<Arrival>,
    failed: Vec<Arrival>,
}

/// A client at an address, or a stranger. Times are in seconds since 1970-01-01 UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// A number that is greater than that of everything that happened before the client came last.
    pub sequence: u64,
    /// Why it was turned away; `None` where it was let in.
    pub turned_away: Option<TurnedAway>,
    /// Where it came from last.
    pub address: IpAddr,
    /// The adapter that it acts as, or would act as.
    pub adapter: Option<AdapterId>,
    /// The TLS version that was agreed on, such as `1.3`, where it came to that.
    pub tls: Option<&'static str>,
    /// Its certificate.
    pub certificate: Option<ArrivalCertificate>,
    /// When it came first.
    pub first_seen: i64,
    /// When it came last.
    pub last_seen: i64,
    /// How often it came.
    pub times: u64,
}

/// A certificate that a client presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrivalCertificate {
    /// SHA-256 of its DER form.
    pub fingerprint: Fingerprint,
    /// The certificate, DER, where it was refused and is not too long. Nobody has looked at it more closely.
    pub der: Option<Arc<[u8]>>,
    /// What is shown of it, where it was accepted.
    pub shown: Option<ShownCertificate>,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { started_at: now(), lists: Mutex::default() }
    }
}

impl Arrivals {
    /// When the list was begun.
    #[must_use]
    pub fn started_at(&self) -> i64 {
        self.started_at
    }

    /// Those that came after `sequence` was the greatest number, last first, and the greatest number now.
    #[must_use]
    pub fn since(&self, sequence: u64) -> (u64, Vec<Arrival>) {
        let lists = self.lists.lock();
        let all = lists.accepted.iter().chain(&lists.refused).chain(&lists.failed);
        let mut found: Vec<_> = all.filter(|one| one.sequence > sequence).cloned().collect();
        let newest = lists.sequence;
        drop(lists);
        found.sort_unstable_by_key(|one| std::cmp::Reverse(one.sequence));
        (newest, found)
    }

    pub(super) fn accepted(&self, peer: &PeerIdentity, shown: &ShownCertificate, tls: &'static str) {
        let certificate = ArrivalCertificate { fingerprint: peer.certificate, der: None, shown: Some(shown.clone()) };
        self.note(Arrival {
            adapter: Some(peer.adapter),
            tls: Some(tls),
            certificate: Some(certificate),
            ..arrival(peer.address.ip(), None)
        });
    }

    pub(super) fn refused(&self, address: IpAddr, refusal: &Refusal, tls: Option<&'static str>) {
        let der = Some(&refusal.der).filter(|der| der.len() <= MAX_CERTIFICATE).map(Arc::clone);
        let certificate = ArrivalCertificate { fingerprint: refusal.certificate, der, shown: None };
        self.note(Arrival {
            adapter: refusal.adapter,
            tls,
            certificate: Some(certificate),
            ..arrival(address, Some(TurnedAway::Certificate(refusal.reason)))
        });
    }

    pub(super) fn adapter_full(&self, address: IpAddr, identity: &Identity) {
        let shown = Some(identity.shown.clone());
        let certificate = ArrivalCertificate { fingerprint: identity.certificate, der: None, shown };
        self.note(Arrival {
            adapter: Some(identity.adapter),
            certificate: Some(certificate),
            ..arrival(address, Some(TurnedAway::AdapterFull))
        });
    }

    pub(super) fn failed(&self, address: IpAddr, why: TurnedAway) {
        self.note(arrival(address, Some(why)));
    }

    fn note(&self, new: Arrival) {
        let mut lists = self.lists.lock();
        lists.sequence += 1;
        let sequence = lists.sequence;
        let (list, of_one_address) = match (&new.turned_away, &new.certificate) {
            (None, _) => (&mut lists.accepted, KEPT),
            (Some(_), Some(_)) => (&mut lists.refused, OF_ONE_ADDRESS),
            (Some(_), None) => (&mut lists.failed, KEPT),
        };
        if let Some(known) = list.iter_mut().find(|known| known.is_like(&new)) {
            known.sequence = sequence;
            (known.address, known.tls) = (new.address, new.tls);
            known.last_seen = known.last_seen.max(new.last_seen);
            known.times += 1;
            return;
        }
        let place = network(new.address);
        if list.iter().filter(|known| network(known.address) == place).count() >= of_one_address {
            remove_oldest(list, |known| network(known.address) == place);
        } else if list.len() >= KEPT {
            remove_oldest(list, |_| true);
        }
        list.push(Arrival { sequence, ..new });
    }
}

impl Arrival {
    /// Whether it is the same client, with the same outcome.
    fn is_like(&self, other: &Self) -> bool {
        let fingerprint = |one: &Self| one.certificate.as_ref().map(|certificate| certificate.fingerprint);
        self.turned_away == other.turned_away
            && network(self.address) == network(other.address)
            && self.adapter == other.adapter
            && fingerprint(self) == fingerprint(other)
    }
}

/// Takes away the one among those chosen that came longest ago.
fn remove_oldest(list: &mut Vec<Arrival>, chosen: impl Fn(&Arrival) -> bool) {
    let oldest = list.iter().enumerate().filter(|(_, one)| chosen(one)).min_by_key(|(_, one)| one.sequence);
    if let Some((at, _)) = oldest {
        list.swap_remove(at);
    }
}

fn arrival(address: IpAddr, turned_away: Option<TurnedAway>) -> Arrival {
    let at = now();
    Arrival {
        sequence: 0,
        turned_away,
        address: address.to_canonical(),
        adapter: None,
        tls: None,
        certificate: None,
        first_seen: at,
        last_seen: at,
        times: 1,
    }
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::trust::RefusalReason;

    fn v4(number: u16) -> IpAddr {
        let [high, low] = number.to_be_bytes();
        IpAddr::from([198, 18, high, low])
    }

    fn refusal(number: u8, bytes: usize) -> Refusal {
        Refusal {
            certificate: Fingerprint([number; 32]),
            subject: String::new(),
            adapter: None,
            der: vec![number; bytes].into(),
            reason: RefusalReason::Unknown,
        }
    }

    fn client(number: u128) -> (PeerIdentity, ShownCertificate) {
        let address = "192.0.2.1:1".parse().unwrap();
        let adapter = AdapterId(Uuid::from_u128(number));
        let peer = PeerIdentity { adapter, certificate: Fingerprint([1; 32]), address };
        (peer, ShownCertificate { subject: "CN=vc".into(), expires_at: 1 })
    }

    #[test]
    fn who_comes_again_is_counted_and_comes_first() {
        let arrivals = Arrivals::default();
        let (peer, shown) = client(1);
        arrivals.accepted(&peer, &shown, "1.3");
        arrivals.failed(v4(9), TurnedAway::NoCertificate);
        let (before, found) = arrivals.since(0);
        assert_eq!((before, found.len()), (2, 2));
        arrivals.accepted(&peer, &shown, "1.2");
        let (newest, found) = arrivals.since(before);
        assert_eq!((newest, found.len()), (3, 1));
        assert_eq!((found[0].times, found[0].tls, found[0].turned_away), (2, Some("1.2"), None));
        assert_eq!(arrivals.since(0).1.iter().map(|one| one.sequence).collect::<Vec<_>>(), [3, 2]);
        // The same certificate, refused, from elsewhere, or for another adapter is something else.
        arrivals.refused(v4(1), &refusal(1, 9), None);
        arrivals.accepted(&PeerIdentity { address: "192.0.2.2:1".parse().unwrap(), ..peer }, &shown, "1.3");
        arrivals.accepted(&client(2).0, &shown, "1.3");
        assert_eq!(arrivals.since(0).1.len(), 5);
        assert_eq!(arrivals.since(newest + 3), (newest + 3, Vec::new()));
    }

    #[test]
    fn strangers_use_up_no_memory_and_push_no_client_out() {
        let arrivals = Arrivals::default();
        let (peer, shown) = client(1);
        arrivals.accepted(&peer, &shown, "1.3");
        // One address with many certificates, then many addresses with one each, then many without any.
        (0..100).for_each(|number| arrivals.refused(v4(1), &refusal(number, 9), None));
        assert_eq!(arrivals.since(0).1.len(), 1 + OF_ONE_ADDRESS);
        (0..1000).for_each(|number| arrivals.refused(v4(number), &refusal(7, 9), None));
        (0..1000).for_each(|number| arrivals.failed(v4(number), TurnedAway::Closed));
        let (_, found) = arrivals.since(0);
        assert_eq!(found.len(), 1 + KEPT + KEPT);
        assert_eq!(found.last().map(|one| one.adapter), Some(Some(peer.adapter)));
        let network: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        arrivals.failed(network, TurnedAway::Timeout);
        arrivals.failed(neighbour, TurnedAway::Timeout);
        let (_, found) = arrivals.since(0);
        assert_eq!((found[0].address, found[0].times), (neighbour, 2));
    }

    #[test]
    fn a_long_certificate_is_named_but_not_kept() {
        let arrivals = Arrivals::default();
        arrivals.refused(v4(1), &refusal(1, MAX_CERTIFICATE), None);
        arrivals.refused(v4(1), &refusal(2, MAX_CERTIFICATE + 1), None);
        let kept = |one: &Arrival| one.certificate.as_ref().is_some_and(|certificate| certificate.der.is_some());
        assert_eq!(arrivals.since(0).1.iter().map(kept).collect::<Vec<_>>(), [false, true]);
    }
}
