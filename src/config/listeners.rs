//! The listeners of the data path: where they are, how traffic gets to them, and what must hold
//! between them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::receive;
use super::value::Value;
use super::values::Values;
use crate::proxy::{Authority, Inbound, InboundMode, Outbound, OutboundMode, Protocols};

/// The port of redirected calls, unless another is set.
const OUTBOUND_PORT: u16 = 16_001;
/// The port of redirected requests to the application, unless another is set.
const INBOUND_PORT: u16 = 16_006;

/// The inbound side: a listener and an application, or a listener that is redirected to.
pub(super) fn inbound(values: &mut Values) -> Option<Inbound> {
    const LISTEN: &str = "inbound.listen";
    const APP: &str = "inbound.app";
    let protocols = protocols(values, ["inbound.http_ports", "inbound.opaque_ports"]);
    let mode = match values.word("inbound.mode").as_str() {
        "redirect" => InboundMode::Redirect,
        "tproxy" => {
            let mark = u32::try_from(values.count("redirect.mark")).unwrap_or(u32::MAX);
            InboundMode::Tproxy { mark }
        }
        _ if values.is_set(APP) => InboundMode::Explicit(values.application(APP)?),
        _ => {
            if values.is_set(LISTEN) {
                let text = "this needs inbound.app too: give --app ADDR, where the application \
                            listens, or inbound.mode redirect";
                values.refuse(LISTEN, text);
            }
            values.unset(LISTEN);
            return None;
        }
    };
    if !matches!(mode, InboundMode::Explicit(_)) {
        if !values.is_set(LISTEN) {
            values.derive(LISTEN, everywhere(INBOUND_PORT));
        }
        if values.is_set(APP) {
            let origin = values.origin(APP).clone();
            values.warn(format!(
                "inbound.app ({origin}) is not used: redirected requests go where they were meant to"
            ));
        }
    }
    let inbound = Inbound { listen: values.address(LISTEN)?, mode, protocols };
    if inbound.app().is_some_and(|app| is_same_place(inbound.listen, app)) {
        let text = "expected where the application listens, found spandrel's own inbound listener";
        values.refuse(APP, text);
    }
    Some(inbound)
}

/// The outbound side: a listener that the application knows of, or that is redirected to.
pub(super) fn outbound(values: &mut Values) -> Option<Outbound> {
    const LISTEN: &str = "outbound.listen";
    let protocols = protocols(values, ["outbound.http_ports", "outbound.opaque_ports"]);
    let mode = match values.word("outbound.mode").as_str() {
        "redirect" => OutboundMode::Redirect,
        _ => OutboundMode::Explicit,
    };
    if mode == OutboundMode::Redirect && !values.is_set(LISTEN) {
        values.derive(LISTEN, everywhere(OUTBOUND_PORT));
    }
    values.address(LISTEN).map(|listen| Outbound { listen, mode, protocols })
}

/// Refuses settings that leave nothing to proxy, and listeners that share an address.
pub(super) fn check(values: &mut Values) {
    const SIDES: [&str; 3] = ["inbound.app", "inbound.listen", "outbound.listen"];
    const MODES: [&str; 2] = ["inbound.mode", "outbound.mode"];
    let is_idle = !SIDES.iter().any(|key| values.is_set(key))
        && MODES.iter().all(|key| values.word(key) == "explicit");
    // A key that is misspelt is told already, and this would only hide it.
    if is_idle && values.problems.is_empty() {
        values.problems.push(
            "nothing to proxy: give --inbound ADDR --app ADDR for requests to the application, \
             or --outbound ADDR for those it makes, or inbound.mode and outbound.mode redirect"
                .to_owned(),
        );
    }
    check_addresses(values);
}

fn protocols(values: &mut Values, [http, opaque]: [&str; 2]) -> Protocols {
    let ports = |key: &str| -> Vec<u16> {
        values.list(key).iter().filter_map(|port| port.parse().ok()).collect()
    };
    let protocols = Protocols { http: ports(http), opaque: ports(opaque) };
    if let Some(port) = protocols.http.iter().find(|port| protocols.opaque.contains(port)) {
        let text = format!("expected ports that are not in {http}, found {port}");
        values.refuse(opaque, &text);
    }
    protocols
}

/// All addresses of this machine, of IPv4 as well as of IPv6.
fn everywhere(port: u16) -> Value {
    Value::Address(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port))
}

pub(super) fn is_same_place(listen: SocketAddr, Authority { host, port }: &Authority) -> bool {
    let is_here = match host.parse::<IpAddr>() {
        Ok(ip) => ip == listen.ip() || (listen.ip().is_unspecified() && ip.is_loopback()),
        Err(_) => {
            **host == *"localhost" && (listen.ip().is_unspecified() || listen.ip().is_loopback())
        }
    };
    is_here && *port == listen.port()
}

/// The listeners of spandrel's that are connected to.
pub(super) fn over_tcp() -> impl Iterator<Item = &'static str> {
    const OWN: [&str; 4] = ["inbound.listen", "outbound.listen", "metrics.listen", "admin.listen"];
    OWN.into_iter().chain(receive::OVER_TCP)
}

/// Two listeners cannot have one address.
fn check_addresses(values: &mut Values) {
    check_distinct(values, over_tcp());
    check_distinct(values, receive::OVER_UDP.into_iter());
}

fn check_distinct(values: &mut Values, keys: impl Iterator<Item = &'static str>) {
    let mut taken: Vec<(&str, SocketAddr)> = Vec::new();
    for key in keys {
        let Some(address) = values.address(key) else { continue };
        match taken.iter().find(|(_, other)| is_overlapping(*other, address)) {
            Some((other, _)) => {
                values
                    .refuse(key, &format!("expected an address of its own, found that of {other}"));
            }
            None => taken.push((key, address)),
        }
    }
}

fn is_overlapping(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && (is_any || one.ip() == other.ip())
}
