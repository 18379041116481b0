//! The address of a client, as far as limits tell clients apart.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// An address of IPv4, or the /64 of one of IPv6: a household or a server has a /64 of its own, and could count as
/// 2⁶⁴ clients otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// IPv4, also as mapped into IPv6.
    V4(Ipv4Addr),
    /// The first half of an address of IPv6.
    V6([u8; 8]),
}

impl Address {
    /// Clients whose address isn't known, all together.
    pub const UNKNOWN: Self = Self::V4(Ipv4Addr::UNSPECIFIED);
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let mut half = [0; 8];
                half.copy_from_slice(&address.octets()[..8]);
                Self::V6(half)
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => address.fmt(f),
            Self::V6(half) => {
                let mut octets = [0; 16];
                octets[..8].copy_from_slice(half);
                write!(f, "{}/64", std::net::Ipv6Addr::from(octets))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_a_64_are_one_client() {
        let address = |text: &str| Address::from(text.parse::<IpAddr>().expect(text));
        assert_eq!(address("2001:db8:1:2::1"), address("2001:db8:1:2:ffff::9"));
        assert_ne!(address("2001:db8:1:2::1"), address("2001:db8:1:3::1"));
        assert_eq!(address("::ffff:192.0.2.7"), address("192.0.2.7"));
        assert_ne!(address("192.0.2.7"), address("192.0.2.8"));
        assert_eq!(address("2001:db8:1:2::1").to_string(), "2001:db8:1:2::/64");
        assert_eq!(address("::ffff:192.0.2.7").to_string(), "192.0.2.7");
    }
}
