//! What counts as one address where strangers are counted.

use std::net::{IpAddr, Ipv6Addr};

/// What counts as one address: an IPv6 host chooses among those of its network at will, so of IPv6 it is the network (64 bits).
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one_and_mapped_ones_as_ipv4() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1".parse::<IpAddr>().unwrap());
        assert_eq!(network("::1"), "::1".parse::<IpAddr>().unwrap(), "this machine is not a network");
    }
}
