//! The machine's own addresses, read from what the kernel tells of them; pure but for the reading.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::redirect::Family;

/// The scope of addresses that are valid everywhere, in `/proc/net/if_inet6`.
const GLOBAL: &str = "00";
/// The flags of addresses that cannot be used yet, or never: tentative, and tried in vain.
const UNUSABLE: u8 = 0x40 | 0x08;

/// The first address of this machine that is not loopback.
pub(super) fn own(family: Family) -> Option<IpAddr> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    match family {
        Family::V4 => first_v4(&read("/proc/net/fib_trie")).map(IpAddr::V4),
        Family::V6 => first_v6(&read("/proc/net/if_inet6")).map(IpAddr::V6),
    }
}

/// In the trie of routes, an address of the machine is followed by a route to itself.
fn first_v4(trie: &str) -> Option<Ipv4Addr> {
    let mut address = None;
    for line in trie.lines().map(str::trim) {
        if let Some(leaf) = line.strip_prefix("|-- ") {
            address = leaf.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL"
            && let Some(own) = address.filter(|a| !a.is_loopback())
        {
            return Some(own);
        }
    }
    None
}

/// A line is the address in 32 digits, the interface's number, the prefix, the scope, flags, name.
fn first_v6(table: &str) -> Option<Ipv6Addr> {
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [digits, _, _, scope, flags, _] = words.as_slice() else { return None };
        let is_usable = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & UNUSABLE == 0);
        let bits = u128::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 32)?;
        let address = Ipv6Addr::from_bits(bits);
        (*scope == GLOBAL && is_usable && !address.is_loopback()).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_of_each_family_is_found() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.1.2.0\n        /24 link UNICAST\n\
                    Local:\n     |-- 10.1.2.0\n        /32 link BROADCAST\n     |-- 127.0.0.1\n        \
                    /32 host LOCAL\n     |-- 10.1.2.3\n        /32 host LOCAL\n";
        assert_eq!(first_v4(trie), Some(Ipv4Addr::new(10, 1, 2, 3)));
        let table = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fe800000000000000000000000000001 02 40 20 80     eth0\n\
                     20010db8000000000000000000000008 02 40 00 c0     eth0\n\
                     20010db8000000000000000000000007 02 40 00 80     eth0\n";
        assert_eq!(first_v6(table), "2001:db8::7".parse().ok());
    }

    #[test]
    fn nothing_is_made_of_what_is_no_table() {
        for text in [
            "",
            "\n",
            "|-- x\n/32 host LOCAL",
            "/32 host LOCAL",
            "1 2 3 00 zz eth0",
            "é é é 00 80 é",
        ] {
            assert_eq!((first_v4(text), first_v6(text)), (None, None), "{text}");
        }
    }
}
