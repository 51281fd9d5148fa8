//! The trust zone: the destinations that may see context, baggage and tenants.
//!
//! A destination is inside by its address, or by the name that the request gives it. Nothing is
//! looked up here: the address is the one that was connected to.

use std::fmt;
use std::net::IpAddr;

use super::dns::is_name;
use crate::cidr::Cidr;

/// What is inside unless the configuration says otherwise: the networks that are nobody's on the
/// internet, this machine, and the names of clusters and of what is private by convention.
pub const DEFAULT: [&str; 13] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
    ".svc",
    ".local",
    ".internal",
    "localhost",
];

/// Who is inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustZone {
    is_everything: bool,
    networks: Vec<Cidr>,
    /// Names in lower case, with a dot in front where only what is below them is meant.
    names: Vec<Box<str>>,
}

/// An entry that is neither a network nor a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneError(String);

impl Default for TrustZone {
    fn default() -> Self {
        Self::new(&DEFAULT).expect("the entries of the default are networks and names")
    }
}

impl TrustZone {
    /// The zone of these entries: networks (`10.0.0.0/8`), addresses, names with all that is below
    /// them (`shop.example`), what is below a name alone (`.svc`), or `*` for everything.
    ///
    /// # Errors
    /// When an entry is none of them; the error names the first.
    pub fn new(entries: &[impl AsRef<str>]) -> Result<Self, ZoneError> {
        let mut zone = Self { is_everything: false, networks: Vec::new(), names: Vec::new() };
        for entry in entries.iter().map(AsRef::as_ref) {
            if entry == "*" {
                zone.is_everything = true;
            } else if let Some(network) = Cidr::parse(entry) {
                zone.networks.push(network);
            } else if is_name(entry.strip_prefix('.').unwrap_or(entry).as_bytes()) {
                zone.names.push(entry.to_ascii_lowercase().into());
            } else {
                return Err(ZoneError(entry.to_owned()));
            }
        }
        Ok(zone)
    }

    /// Whether a destination is inside, by its address or by its name.
    #[must_use]
    pub fn contains(&self, ip: IpAddr, host: Option<&[u8]>) -> bool {
        self.has_address(ip) || host.is_some_and(|host| self.has_name(host))
    }

    /// Whether an address is inside; one of v4 that is mapped into v6 is what it is in v4.
    #[must_use]
    pub fn has_address(&self, ip: IpAddr) -> bool {
        self.is_everything || self.networks.iter().any(|network| network.contains(ip))
    }

    /// Whether a name is inside, in any case and with or without the last dot. An address that
    /// stands in the place of a name is not: what counts is where it leads.
    #[must_use]
    pub fn has_name(&self, host: &[u8]) -> bool {
        let host = host.strip_suffix(b".").unwrap_or(host);
        self.is_everything
            || self.names.iter().any(|name| ends_with_labels(host, name.as_bytes()))
                && is_name(host)
    }
}

/// Whether `host` is `name`, or below it.
fn ends_with_labels(host: &[u8], name: &[u8]) -> bool {
    let at = host.len().checked_sub(name.len());
    let Some((front, end)) = at.and_then(|at| host.split_at_checked(at)) else { return false };
    let is_whole = match name.first() {
        Some(b'.') => !front.is_empty(),
        _ => front.is_empty() || front.ends_with(b"."),
    };
    is_whole && end.eq_ignore_ascii_case(name)
}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected networks such as 10.0.0.0/8, names such as .svc, or *, found {:?}",
            self.0
        )
    }
}

impl std::error::Error for ZoneError {}

#[cfg(test)]
mod tests {
    use super::super::dns::MAX_NAME;
    use super::*;
    use proptest::prelude::*;

    fn zone(entries: &[&str]) -> TrustZone {
        TrustZone::new(entries).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn private_addresses_are_inside_by_default() {
        let zone = TrustZone::default();
        for inside in [
            "10.0.0.0",
            "10.255.255.255",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.7.7",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.8.9.10",
            "169.254.169.254",
            "::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "::ffff:10.1.2.3",
            "::ffff:127.0.0.1",
        ] {
            assert!(zone.contains(ip(inside), None), "{inside}");
        }
        for outside in [
            "9.255.255.255",
            "11.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.0.1",
            "8.8.8.8",
            "0.0.0.0",
            "::",
            "::2",
            "2001:db8::1",
            "fbff::1",
            "fec0::1",
            "::ffff:8.8.8.8",
            "::10.0.0.1",
            "::7f00:1",
        ] {
            assert!(!zone.contains(ip(outside), None), "{outside}");
        }
    }

    #[test]
    fn names_match_by_whole_labels_in_any_case() {
        let zone = TrustZone::default();
        let outside = ip("8.8.8.8");
        for inside in [
            "orders.shop.svc",
            "ORDERS.shop.SVC",
            "orders.shop.svc.",
            "a.svc.cluster.local",
            "printer.local",
            "metadata.google.internal",
            "localhost",
            "LocalHost.",
            "x.localhost",
        ] {
            assert!(zone.contains(outside, Some(inside.as_bytes())), "{inside}");
        }
        for name in [
            "",
            ".",
            "svc",
            ".svc",
            "orders.shopsvc",
            "example.com",
            "svc.example.com",
            "a.svc.example.com",
            "notlocalhost",
            "localhost.example.com",
            "a..svc",
            "a.svc..",
            "a b.svc",
            "a.svc:80",
            "u@a.svc",
            "a/.svc",
            "\u{e9}.svc",
            "a\0.svc",
        ] {
            assert!(!zone.contains(outside, Some(name.as_bytes())), "{name:?}");
        }
        assert!(!zone.contains(outside, None));
    }

    #[test]
    fn a_name_that_is_an_address_does_not_count() {
        let zone = TrustZone::default();
        for host in ["10.0.0.1", "127.0.0.1", "::1", "[::1]", "127.1"] {
            assert!(!zone.contains(ip("8.8.8.8"), Some(host.as_bytes())), "{host}");
        }
    }

    #[test]
    fn entries_are_networks_addresses_names_or_everything() {
        let one = zone(&["8.8.8.8", "2001:db8::/32", "Shop.Example", ".corp"]);
        assert!(one.has_address(ip("8.8.8.8")) && !one.has_address(ip("8.8.8.9")));
        assert!(one.has_address(ip("2001:db8:1::")) && !one.has_address(ip("2001:db9::")));
        assert!(one.has_name(b"shop.example") && one.has_name(b"a.shop.example"));
        assert!(one.has_name(b"a.corp") && !one.has_name(b"corp"));
        assert!(!one.has_address(ip("10.0.0.1")) && !one.has_name(b"a.svc"));
        let everything = zone(&["*"]);
        assert!(everything.contains(ip("8.8.8.8"), None) && everything.has_name(b"a b"));
        let nothing = zone(&[]);
        assert!(!nothing.contains(ip("127.0.0.1"), Some(b"localhost")));
    }

    #[test]
    fn what_is_no_entry_is_named() {
        for bad in [
            "",
            ".",
            "..svc",
            "a..b",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.1.0.0/8",
            "fe80::1/10",
            "::/129",
            "::ffff:10.0.0.0/104",
            "10.0.0/8",
            "1.2.3",
            "*.svc",
            "a b",
            "http://a",
            "a:80",
            "[::1]",
            "fe80::1%eth0",
        ] {
            let error = TrustZone::new(&["10.0.0.0/8", bad]).expect_err(bad);
            assert!(error.to_string().ends_with(&format!("found {bad:?}")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_whatsoever_make_it_panic(host in proptest::collection::vec(any::<u8>(), 0..300)) {
            let zone = TrustZone::new(&["shop.example", ".svc"]).unwrap();
            let inside = zone.has_name(&host);
            let below = [&b"a."[..], &host].concat();
            prop_assert!(!inside || zone.has_name(&below) || below.len() > MAX_NAME);
        }
    }
}
