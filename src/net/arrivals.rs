//! Who came lately, and why some were turned away: for people who connect a client and wait for its first handshake.
//!
//! It is kept in memory, since the start, and bounded: what strangers do takes no more room than this, and does not push out
//! what is known of clients. One entry is kept for each client and address, and counted up when it comes again. The record for
//! machines is the log and `/metrics`.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use jiff::Timestamp;
use parking_lot::Mutex;

use super::PeerIdentity;
use crate::{
    store::{AdapterId, Fingerprint},
    trust::{Identity, Refusal, RefusalReason, ShownCertificate},
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

/// Why a client was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// Its certificate opens no connection.
    Certificate(RefusalReason),
    /// The adapter has as many connections as it may.
    AdapterFull,
    /// The server has as many connections as it may.
    Full,
    /// It has no certificate.
    NoCertificate,
    /// It does not accept the server's certificate.
    ServerNotTrusted,
    /// It knows no TLS version that the server accepts.
    TlsVersion,
    /// It knows no cipher suite or key exchange that the server accepts.
    NoCommonCipher,
    /// It lacks something else that the server needs.
    Incompatible,
    /// It ended the handshake with an alert.
    Alert,
    /// What it sent is not TLS, or broken.
    Protocol,
    /// It hung up.
    Closed,
    /// The handshake took too long.
    Timeout,
    /// The server's own key in the HSM cannot be used.
    Hsm,
}

impl TurnedAway {
    /// A short name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Certificate(reason) => reason.name(),
            Self::AdapterFull => "adapter_full",
            Self::Full => "full",
            Self::NoCertificate => "no_certificate",
            Self::ServerNotTrusted => "server_not_trusted",
            Self::TlsVersion => "tls_version",
            Self::NoCommonCipher => "no_common_cipher",
            Self::Incompatible => "incompatible",
            Self::Alert => "alert",
            Self::Protocol => "protocol",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Hsm => "hsm",
        }
    }

    /// What happened, as a sentence.
    #[must_use]
    pub fn message(self) -> &'static str {
        use RefusalReason as R;
        match self {
            Self::Certificate(R::Unknown) => "The client's certificate is not registered with any adapter.",
            Self::Certificate(R::NoRule) => {
                "The client's certificate was issued by a known authority, but no rule maps it to an adapter."
            }
            Self::Certificate(R::NoCommonName) => {
                "The client's certificate was issued by a known authority, but no rule maps it to an adapter, and its \
                 subject has not exactly one common name."
            }
            Self::Certificate(R::Ambiguous) => "Rules map the client's certificate to more than one adapter.",
            Self::Certificate(R::IssuedForAnother) => {
                "This server's own authority issued the client's certificate for another adapter than the one that a rule maps it to."
            }
            Self::Certificate(R::Expired) => "The client's certificate has expired.",
            Self::Certificate(R::NotYetValid) => "The client's certificate is not valid yet.",
            Self::Certificate(R::Malformed) => "What the client sent is not a readable X.509 certificate.",
            Self::AdapterFull => "The adapter has as many open connections as it may.",
            Self::Full => "The server has as many open connections as it may.",
            Self::NoCertificate => "The client offered no certificate.",
            Self::ServerNotTrusted => "The client does not accept this server's certificate.",
            Self::TlsVersion => "The client offers no TLS version that this server accepts: it takes 1.2 and 1.3.",
            Self::NoCommonCipher => "The client offers no cipher suite or key exchange that this server accepts.",
            Self::Incompatible => "The client's TLS lacks something that this server needs.",
            Self::Alert => "The client ended the handshake with an alert.",
            Self::Protocol => "What the client sent is not TLS.",
            Self::Closed => "The client hung up before the handshake was done, as a test of the port does.",
            Self::Timeout => "The client did not finish the handshake in time.",
            Self::Hsm => "The server's TLS key in the HSM cannot be used, so no handshake can be finished.",
        }
    }

    /// What to do about it, as a sentence.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        use RefusalReason as R;
        match self {
            Self::Certificate(R::Unknown) => "If the client is yours, register this certificate with its adapter.",
            Self::Certificate(R::NoRule | R::NoCommonName) => {
                "Register this certificate with an adapter, or add a rule for its subject or an alternative name."
            }
            Self::Certificate(R::Ambiguous) => {
                "Remove one of the rules, or register this certificate with the adapter that is meant."
            }
            Self::Certificate(R::IssuedForAnother) => {
                "Issue the client a certificate for the adapter that it is to act as."
            }
            Self::Certificate(R::Expired) => "Renew the client's certificate and register the new one.",
            Self::Certificate(R::NotYetValid) => {
                "Check the clocks of this machine and of the one that issued the certificate."
            }
            Self::Certificate(R::Malformed) => "Give the client another certificate.",
            Self::AdapterFull => {
                "Find out why the client opens so many, or raise limits.connections_per_adapter in the configuration."
            }
            Self::Full => "Find out who opens so many, or raise limits.connections in the configuration.",
            Self::NoCertificate => "Give the client a certificate and register it with its adapter.",
            Self::ServerNotTrusted => {
                "Have the client trust this server: in vCenter compare the thumbprint and confirm it, elsewhere install \
                 this server's CA certificate; and let it connect by a name or address that the certificate has."
            }
            Self::TlsVersion => "Switch TLS 1.2 or 1.3 on in the client.",
            Self::NoCommonCipher => {
                "Allow the client an ECDHE cipher suite with AES-GCM or ChaCha20-Poly1305, and the curve P-256 or X25519."
            }
            Self::Incompatible => "Bring the client's TLS up to date.",
            Self::Alert => "Look into the client's log: it says there what it did not like.",
            Self::Protocol => "Check that the client speaks KMIP over TLS (TTLV), not HTTP, to this port.",
            Self::Closed => "Nothing, if somebody tested the port; otherwise look into the client's log.",
            Self::Timeout => "Check the network between the client and this server.",
            Self::Hsm => "Look at the HSM: the overview and the server's log say what is wrong with it.",
        }
    }
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
        let place = place_of(new.address);
        if list.iter().filter(|known| place_of(known.address) == place).count() >= of_one_address {
            remove_oldest(list, |known| place_of(known.address) == place);
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
            && place_of(self.address) == place_of(other.address)
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

/// What counts as one address: of IPv6 the network, for a stranger has all the addresses in it.
fn place_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

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

    #[test]
    fn every_reason_is_told_in_sentences() {
        use RefusalReason as R;
        use TurnedAway as T;
        let certificates = [
            R::Unknown,
            R::NoRule,
            R::NoCommonName,
            R::Ambiguous,
            R::IssuedForAnother,
            R::Expired,
            R::NotYetValid,
            R::Malformed,
        ];
        let others = [
            T::AdapterFull,
            T::Full,
            T::NoCertificate,
            T::ServerNotTrusted,
            T::TlsVersion,
            T::NoCommonCipher,
            T::Incompatible,
            T::Alert,
            T::Protocol,
            T::Closed,
            T::Timeout,
            T::Hsm,
        ];
        let all: Vec<_> = certificates.map(T::Certificate).into_iter().chain(others).collect();
        let names: std::collections::HashSet<_> = all.iter().map(|why| why.name()).collect();
        assert_eq!(names.len(), all.len());
        for text in all.iter().flat_map(|why| [why.message(), why.remedy()]) {
            assert!(text.ends_with('.') && text.starts_with(char::is_uppercase), "{text}");
        }
    }
}
