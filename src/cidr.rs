//! Networks of addresses, as settings name them: an address and how many of its bits count.
//!
//! The rules that redirect traffic and the trust zone are told of networks alike. Addresses of IPv4
//! in the form of IPv6 are none of IPv6: a network is of one family, and has an address in either
//! form.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The first address.
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// The loopback addresses of IPv4.
    pub const LOOPBACK_V4: Self =
        Self { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 };
    /// The loopback address of IPv6.
    pub const LOOPBACK_V6: Self = Self { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 };
    /// The addresses of IPv6 that mean something on one link only.
    pub const LINK_LOCAL_V6: Self =
        Self { address: IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), prefix: 10 };

    /// The one address.
    #[must_use]
    pub const fn host(address: IpAddr) -> Self {
        let prefix = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        Self { address, prefix }
    }

    /// The network around an address whose first `prefix` bits are the address's; `None` where
    /// that is more bits than it has, and for IPv4 in the form of IPv6.
    #[must_use]
    pub fn around(address: IpAddr, prefix: u8) -> Option<Self> {
        let is_plain = address.to_canonical() == address;
        (is_plain && prefix <= Self::host(address).prefix)
            .then(|| Self { address: masked(address, prefix), prefix })
    }

    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or an address alone. Bits behind the prefix must be zero,
    /// since they say that something else was meant.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(number(prefix)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let network = Self::around(address, prefix.unwrap_or_else(|| Self::host(address).prefix))?;
        (network.address == address).then_some(network)
    }

    /// Its first address.
    #[must_use]
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// Whether it is every address of its family.
    #[must_use]
    pub const fn is_everything(self) -> bool {
        self.prefix == 0
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.prefix) == self.address
    }

    /// The address, where it is a single one.
    #[must_use]
    pub fn as_host(self) -> Option<IpAddr> {
        (self == Self::host(self.address)).then_some(self.address)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & mask))
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & mask))
        }
    }
}

/// Digits only.
fn number(text: &str) -> Option<u8> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cidr(text: &str) -> Cidr {
        Cidr::parse(text).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read_and_written() {
        for (text, written) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8:0::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(cidr(text).to_string(), written);
        }
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/256",
            "10.0.0/8",
            "10.1.0.0/8",
            "fe80::1/10",
            "::/129",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "::ffff:10.0.0.1",
            "::ffff:10.0.0.0/104",
            "fe80::1%eth0",
            "10.0.0.0/255.0.0.0",
            "a",
        ] {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }

    #[test]
    fn all_of_one_family_is_not_all_of_the_other() {
        let (v4, v6) = (cidr("0.0.0.0/0"), cidr("::/0"));
        for address in ["8.8.8.8", "::ffff:8.8.8.8"] {
            assert!(v4.contains(ip(address)) && !v6.contains(ip(address)), "{address}");
        }
        for address in ["::1", "2001:db8::1"] {
            assert!(!v4.contains(ip(address)) && v6.contains(ip(address)), "{address}");
        }
        assert!(v4.is_everything() && v6.is_everything() && !cidr("10.0.0.0/8").is_everything());
    }

    #[test]
    fn a_single_address_is_a_host() {
        assert_eq!(cidr("10.0.0.1/32").as_host(), Some(ip("10.0.0.1")));
        assert_eq!(cidr("10.0.0.0/31").as_host(), None);
        assert_eq!(cidr("::1").as_host(), Some(ip("::1")));
    }

    proptest! {
        #[test]
        fn a_network_has_what_shares_its_first_bits(
            bits in any::<u128>(), is_v4 in any::<bool>(), length in 0_u8..=128, flip in 0_u32..128,
        ) {
            let most = if is_v4 { 32 } else { 128 };
            let (length, flip) = (length.min(most), flip % u32::from(most));
            let address = |bits: u128| -> IpAddr {
                let bytes = bits.to_be_bytes();
                if is_v4 { IpAddr::from(*bytes.last_chunk::<4>().unwrap()) } else { bytes.into() }
            };
            prop_assume!(is_v4 || address(bits).to_canonical() == address(bits));
            let network = Cidr::around(address(bits), length).unwrap();
            prop_assert!(network.contains(address(bits)));
            prop_assert_eq!(cidr(&network.to_string()), network);
            let flipped = bits ^ (1 << (u32::from(most) - 1 - flip));
            prop_assume!(is_v4 || address(flipped).to_canonical() == address(flipped));
            prop_assert_eq!(network.contains(address(flipped)), flip >= u32::from(length));
        }
    }
}
