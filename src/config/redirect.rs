//! The settings of the rules that redirect traffic, and what must hold between them.

use std::net::{IpAddr, SocketAddr};

use super::listeners;
use super::value::EVERYTHING;
use super::values::Values;
use crate::cidr::Cidr;
use crate::proxy::{self, InboundMode, OutboundMode};
use crate::redirect::{Config, Family, Inbound, Interface, Lists, Method, Outbound, PortRange};

const FAMILIES: &str = "redirect.families";
/// The routing tables of the system itself.
const SYSTEM_TABLES: [u32; 3] = [253, 254, 255];

/// The rules for what of the data path is redirected, which may be nothing.
pub(super) fn of(values: &mut Values, proxy: &proxy::Config) -> Config {
    let families = families(values);
    let lists = |values: &mut Values, side: &str| {
        (included(values, side, &families), excluded(values, side, &families))
    };
    let (include, exclude) = lists(values, "inbound");
    let inbound = proxy.inbound.as_ref().and_then(|inbound| {
        let method = match inbound.mode {
            InboundMode::Explicit(_) => return None,
            InboundMode::Redirect => Method::Redirect,
            InboundMode::Tproxy { .. } => Method::Tproxy,
        };
        let port = port(values, "inbound.listen", inbound.listen, &families, false);
        Some(Inbound { port, method, own_ports: own_ports(values), include, exclude })
    });
    let (include, exclude) = lists(values, "outbound");
    let redirected = |outbound: &&proxy::Outbound| outbound.mode == OutboundMode::Redirect;
    let outbound = proxy.outbound.as_ref().filter(redirected).map(|outbound| {
        let port = port(values, "outbound.listen", outbound.listen, &families, true);
        Outbound { port, include, exclude }
    });
    let route_table = number(values, "redirect.route_table");
    if SYSTEM_TABLES.contains(&route_table) {
        values.refuse("redirect.route_table", "expected a table that is not the system's own");
    }
    Config {
        inbound,
        outbound,
        uid: number(values, "redirect.uid"),
        gid: number(values, "redirect.gid"),
        mark: number(values, "redirect.mark"),
        route_table,
        families,
    }
}

fn families(values: &mut Values) -> Vec<Family> {
    let names = values.list(FAMILIES);
    if names.is_empty() {
        values.refuse(FAMILIES, "expected ipv4, ipv6 or both, found none");
    }
    // In the order of the rules, whatever the order of the setting.
    Family::ALL.into_iter().filter(|f| names.iter().any(|name| name == f.name())).collect()
}

/// The port of a listener that redirected connections of every family reach. Those of this machine
/// come to its loopback address, those of others to the address of the interface.
fn port(
    values: &mut Values,
    key: &str,
    listen: SocketAddr,
    families: &[Family],
    is_local: bool,
) -> u16 {
    let takes = |family: &Family| match (listen.ip(), family) {
        (ip, _) if ip.is_loopback() => is_local && Family::of(ip) == *family,
        (IpAddr::V6(ip), _) => ip.is_unspecified(),
        (IpAddr::V4(ip), Family::V4) => ip.is_unspecified(),
        (IpAddr::V4(_), Family::V6) => false,
    };
    if listen.port() == 0 {
        values.refuse(key, "expected a port, which the rules redirect to, found 0");
    } else if let Some(family) = families.iter().find(|family| !takes(family)) {
        let name = family.name();
        values.refuse(
            key,
            &format!(
                "expected [::]:{}, where redirected connections of every family arrive, or \
                 {FAMILIES} without {name}, found `{listen}`",
                listen.port()
            ),
        );
    }
    listen.port()
}

/// The ports of every listener of spandrel's.
fn own_ports(values: &Values) -> Vec<u16> {
    let addresses = listeners::over_tcp().filter_map(|key| values.address(key));
    let ports = addresses.map(|address| address.port());
    let mut own: Vec<u16> = ports.filter(|port| *port != 0).collect();
    own.sort_unstable();
    own.dedup();
    own
}

/// Empty lists stand for everything here.
fn included(values: &mut Values, side: &str, families: &[Family]) -> Lists {
    lists(values, side, families, |values, name| {
        let key = format!("{side}.include_{name}");
        let items = values.list(&key);
        let is_everything = items.iter().any(|item| item == EVERYTHING);
        if items.is_empty() {
            let text = format!(
                "expected * or what is redirected, found nothing: to redirect nothing, set {side}.mode: explicit"
            );
            values.refuse(&key, &text);
        } else if is_everything && items.len() > 1 {
            values.refuse(&key, "expected `*` by itself, found it beside others");
        }
        (key, if is_everything { Vec::new() } else { items })
    })
}

fn excluded(values: &mut Values, side: &str, families: &[Family]) -> Lists {
    let lists = lists(values, side, families, |values, name| {
        let key = format!("{side}.exclude_{name}");
        let mut items = values.list(&key);
        if items.iter().any(|item| item == EVERYTHING) {
            refuse_everything(values, side, &key);
            items.clear();
        }
        (key, items)
    });
    if lists.ports.iter().any(|ports| ports.is_everything()) {
        refuse_everything(values, side, &format!("{side}.exclude_ports"));
    }
    if lists.cidrs.iter().any(|cidr| cidr.is_everything()) {
        refuse_everything(values, side, &format!("{side}.exclude_cidrs"));
    }
    lists
}

fn refuse_everything(values: &mut Values, side: &str, key: &str) {
    let text = format!(
        "expected less than everything: to redirect nothing, set {side}.mode: explicit, or to leave \
         out a family, {FAMILIES}"
    );
    values.refuse(key, &text);
}

/// The lists of a side, whose items `read` gives together with their key.
fn lists(
    values: &mut Values,
    side: &str,
    families: &[Family],
    read: impl Fn(&mut Values, &str) -> (String, Vec<String>),
) -> Lists {
    let (_, ports) = read(values, "ports");
    let (key, networks) = read(values, "cidrs");
    let cidrs: Vec<Cidr> = networks.iter().filter_map(|text| Cidr::parse(text)).collect();
    if let Some(cidr) = cidrs.iter().find(|cidr| !families.contains(&Family::of(cidr.address()))) {
        let text = format!("expected networks of {FAMILIES} only, found `{cidr}`");
        values.refuse(&key, &text);
    }
    let (_, interfaces) = read(values, "interfaces");
    let mut owners = |name| match side {
        "outbound" => read(values, name).1,
        _ => Vec::new(),
    };
    let ids = |items: Vec<String>| items.iter().filter_map(|text| text.parse().ok()).collect();
    let (uids, gids) = (ids(owners("uids")), ids(owners("gids")));
    Lists {
        ports: ports.iter().filter_map(|text| PortRange::parse(text)).collect(),
        cidrs,
        interfaces: interfaces.iter().filter_map(|text| Interface::parse(text)).collect(),
        uids,
        gids,
    }
}

fn number(values: &Values, key: &str) -> u32 {
    u32::try_from(values.count(key)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{load, wrong_file};
    use super::*;

    #[test]
    fn the_defaults_redirect_everything_but_what_is_spandrels() {
        let yaml =
            "inbound.mode: redirect\noutbound.mode: redirect\nmetrics.listen: 0.0.0.0:16020\n";
        let config = load(yaml, &[], &[]).unwrap().redirect;
        let inbound = config.inbound.unwrap();
        assert_eq!((inbound.port, inbound.method), (16_006, Method::Redirect));
        assert_eq!(inbound.own_ports, [16_000, 16_001, 16_006, 16_020]);
        assert_eq!((inbound.include, inbound.exclude), (Lists::default(), Lists::default()));
        let outbound = config.outbound.unwrap();
        assert_eq!((outbound.port, outbound.include), (16_001, Lists::default()));
        assert_eq!(outbound.exclude, Lists { uids: vec![1337, 2102], ..Lists::default() });
        assert_eq!(
            (config.uid, config.gid, config.mark, config.route_table),
            (1773, 1773, 1773, 1773)
        );
        assert_eq!(config.families, Family::ALL);
    }

    #[test]
    fn explicit_sides_are_not_redirected() {
        let config = load("inbound.app: 80\noutbound.listen: 127.0.0.1:1\n", &[], &[]).unwrap();
        assert!(config.redirect.is_empty());
    }

    #[test]
    fn what_makes_no_rules_is_refused_with_what_to_do() {
        let cases = [
            ("include_ports: []", "include_ports: expected * or what is redirected, found nothing"),
            ("include_ports: [\"*\", 80]", "include_ports: expected `*` by itself"),
            ("include_ports: [0]", "is a port, a range such as 8000-8100, or *, found `0`"),
            ("exclude_ports: [9-8]", "is a port, a range such as 8000-8100, or *, found `9-8`"),
            ("exclude_ports: [1-65535]", "exclude_ports: expected less than everything"),
            ("exclude_ports: [\"*\"]", "exclude_ports: expected less than everything"),
            ("exclude_cidrs: [0.0.0.0/0]", "exclude_cidrs: expected less than everything"),
            ("exclude_cidrs: [\"::/0\"]", "exclude_cidrs: expected less than everything"),
            ("include_cidrs: [10.0.0.0/33]", "is a network such as 10.0.0.0/8 or 2001:db8::/32"),
            ("include_cidrs: [\"::ffff:10.0.0.0/104\"]", "is a network such as"),
            ("exclude_interfaces: [\"eth0 -j ACCEPT\"]", "is the name of a network interface"),
            ("exclude_uids: [root]", "is the number of a user or group, or *, found `root`"),
            ("exclude_gids: [4294967295]", "is the number of a user or group"),
            ("listen: \"[::]:0\"", "expected a port, which the rules redirect to, found 0"),
            ("listen: 0.0.0.0:9", "expected [::]:9, where redirected connections of every family"),
        ];
        for (line, expected) in cases {
            let wrong = wrong_file(&format!("outbound: {{mode: redirect, {line}}}\n"));
            assert!(wrong.contains(expected), "{line}: {wrong}");
        }
        for (yaml, expected) in [
            (
                "redirect: {families: [ipv4]}\noutbound: {mode: redirect, exclude_cidrs: [\"fd00::/8\"]}\n",
                "expected networks of redirect.families only, found `fd00::/8`",
            ),
            ("redirect: {families: []}\noutbound.mode: redirect\n", "expected ipv4, ipv6 or both"),
            ("redirect: {route_table: 254}\noutbound.mode: redirect\n", "not the system's own"),
            (
                "redirect: {uid: 0}\noutbound.mode: redirect\n",
                "redirect.uid: expected a whole number from 1",
            ),
            // What other machines send arrives at the address of the interface.
            (
                "redirect: {families: [ipv4]}\ninbound: {mode: redirect, listen: \"127.0.0.1:9\"}\n",
                "expected [::]:9",
            ),
        ] {
            let wrong = wrong_file(yaml);
            assert!(wrong.contains(expected), "{yaml}: {wrong}");
        }
    }

    #[test]
    fn a_listener_of_one_family_does_for_that_family() {
        let yaml =
            "redirect: {families: [ipv4]}\noutbound: {mode: redirect, listen: \"127.0.0.1:9\"}\n";
        assert_eq!(load(yaml, &[], &[]).unwrap().redirect.outbound.unwrap().port, 9);
    }
}
