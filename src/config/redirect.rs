//! The settings of the rules that redirect traffic, and what must hold between them.

use std::net::{IpAddr, SocketAddr};

use super::value::EVERYTHING;
use super::values::Values;
use crate::proxy::{self, InboundMode, OutboundMode};
use crate::redirect::{
    Cidr, Config, Family, Inbound, Interface, Lists, Method, Outbound, PortRange,
};

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
    let keys = ["inbound.listen", "outbound.listen", "metrics.listen", "admin.listen"];
    let ports = keys.iter().filter_map(|key| values.address(key)).map(|address| address.port());
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
    if let Some(cidr) = cidrs.iter().find(|cidr| !families.contains(&cidr.family())) {
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
