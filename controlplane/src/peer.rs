//! Peers' addresses, as they are counted by: whoever has one IPv6 address has 2⁶⁴ of them.

use std::net::{IpAddr, Ipv6Addr};

/// The address that what `peer` does is counted under: itself, or its network's of 64 bits (RFC 6177 §2).
pub(crate) fn counted(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & NETWORK)),
    }
}

const NETWORK: u128 = u128::MAX << 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_count_as_one_and_mapped_ones_as_themselves() {
        let counted = |text: &str| counted(text.parse().unwrap()).to_string();
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), counted("2001:db8:1:2::9"));
        assert_ne!(counted("2001:db8:1:2::9"), counted("2001:db8:1:3::9"));
        assert_eq!(counted("::ffff:192.0.2.7"), "192.0.2.7");
        assert_ne!(counted("192.0.2.7"), counted("192.0.2.8"));
    }
}
