//! The parts that rules are made of, beside networks: families, ports and interfaces.
//!
//! Everything that gets into the text of a rule is one of these, a network or a number, so that no setting can
//! carry anything else into it.

use std::net::IpAddr;

/// The longest name of an interface, in bytes (IFNAMSIZ less its end).
const MAX_INTERFACE: usize = 15;

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of this name, as `redirect.families` writes it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }

    /// Its name in settings and in nft.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }

    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// Ports from the first to the last, which may be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The one port.
    #[must_use]
    pub const fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// Reads `8080` or `8000-8100`; port 0 is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let port = |text| {
            number(text, u32::from(u16::MAX))
                .filter(|n| *n != 0)
                .and_then(|n| u16::try_from(n).ok())
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = Self { first: port(first)?, last: port(last)? };
        (range.first <= range.last).then_some(range)
    }

    /// Whether it is every port.
    #[must_use]
    pub const fn is_everything(self) -> bool {
        self.first == 1 && self.last == u16::MAX
    }

    /// The first of them.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// Whether a port is one of them.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// The range with this between its ends; a single port stands alone.
    pub(super) fn joined(self, between: char) -> String {
        let Self { first, last } = self;
        if first == last { first.to_string() } else { format!("{first}{between}{last}") }
    }
}

/// The name of a network interface: letters, digits and `._-@`, which no rule reads as anything
/// else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface(String);

impl Interface {
    /// The loopback interface.
    pub(super) fn loopback() -> Self {
        Self("lo".to_owned())
    }

    /// Reads a name of 1 to 15 bytes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@');
        let is_interface = (1..=MAX_INTERFACE).contains(&text.len())
            && text.bytes().all(is_name)
            && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && text != "all";
        is_interface.then(|| Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Digits only, at most `max`.
pub(super) fn number(text: &str, max: u32) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok())?.filter(|n| *n <= max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_one_or_a_range_that_does_not_run_backwards() {
        for (text, written) in [("80", "80"), ("8000-8100", "8000:8100"), ("7-7", "7")] {
            assert_eq!(PortRange::parse(text).map(|p| p.joined(':')).as_deref(), Some(written));
        }
        for text in ["", "0", "0-5", "5-4", "65536", "-", "1-", "-1", "+1", "1-2-3", "80 ", "*"] {
            assert_eq!(PortRange::parse(text), None, "{text}");
        }
        assert!(PortRange::parse("1-65535").is_some_and(PortRange::is_everything));
    }

    #[test]
    fn a_name_of_an_interface_carries_nothing_else() {
        for text in ["eth0", "veth1a@if2", "br-1", "a.100", "abcdefghijklmno"] {
            assert!(Interface::parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            "abcdefghijklmnop",
            "eth 0",
            "eth\"0",
            "-j",
            "!eth0",
            "eth+",
            "eth*",
            "a\n",
            "a;b",
            "a/b",
            "all",
        ] {
            assert!(Interface::parse(text).is_none(), "{text}");
        }
    }
}
