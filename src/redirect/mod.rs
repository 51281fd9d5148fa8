//! The rules by which the system redirects an application's traffic to spandrel.
//!
//! Rules are data first (`rules`): what each chain holds, for both families. Two printers make text
//! of them, `iptables` and `nft`, in exactly the form in which the system prints what is installed,
//! so that the two can be compared. `install` brings a system from what is there to what is wanted,
//! whole or not at all, and leaves alone what is not ours. `verify` proves by connections that
//! redirection works. The data path, which takes the connections, is `proxy`.

mod fault;
mod install;
mod iptables;
mod nft;
mod ours;
mod parts;
mod programs;
mod routing;
mod rules;
mod verify;

pub use fault::Fault;
pub use install::{Backend, apply, remove};
pub use parts::{Family, Interface, PortRange};
pub use programs::Prefix;
pub use verify::verify;

use crate::cidr::Cidr;

/// What is redirected, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Connections to the application.
    pub inbound: Option<Inbound>,
    /// Connections that the application makes.
    pub outbound: Option<Outbound>,
    /// The user that spandrel runs as; nothing of this user is redirected.
    pub uid: u32,
    /// The group that spandrel runs as; nothing of this group is redirected.
    pub gid: u32,
    /// The mark of spandrel's own connections to the application, where the caller's address is
    /// kept.
    pub mark: u32,
    /// The routing table by which the answers to these come back to spandrel.
    pub route_table: u32,
    /// The families of addresses, each once.
    pub families: Vec<Family>,
}

/// Redirection of connections to the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// The port that spandrel listens on.
    pub port: u16,
    /// How they get there.
    pub method: Method,
    /// Ports that spandrel itself listens on; they are never redirected.
    pub own_ports: Vec<u16>,
    /// What is redirected; an empty list means everything.
    pub include: Lists,
    /// What is not.
    pub exclude: Lists,
}

/// Redirection of connections that the application makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// The port that spandrel listens on.
    pub port: u16,
    /// What is redirected; an empty list means everything.
    pub include: Lists,
    /// What is not.
    pub exclude: Lists,
}

/// How connections to the application get to spandrel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Their destination is rewritten; the application sees spandrel's address.
    Redirect,
    /// They are given to spandrel's socket as they are; the application sees the caller's address.
    Tproxy,
}

/// What a rule can tell connections apart by. Of each list one item must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// Destination ports.
    pub ports: Vec<PortRange>,
    /// The callers' addresses inbound, the destinations' outbound.
    pub cidrs: Vec<Cidr>,
    /// The interface that connections come in or go out by.
    pub interfaces: Vec<Interface>,
    /// The users that make them; outbound only.
    pub uids: Vec<u32>,
    /// The groups that make them; outbound only.
    pub gids: Vec<u32>,
}

/// The rules as text: the input of `iptables-restore` and `ip6tables-restore`, each behind a comment
/// that says which, or a file for `nft -f`.
#[must_use]
pub fn plan(config: &Config, backend: &Backend) -> String {
    let rules = rules::of(config);
    let routes = |family: &Family| match config.is_tproxy() {
        true => routing::plan(config, *family),
        false => String::new(),
    };
    match backend {
        Backend::Iptables(prefix) => {
            let family = |family: &Family| {
                let (name, program) = (family.name(), prefix.restore(*family));
                let text = iptables::text(&rules, *family);
                format!("# {name}: {program} --noflush\n{}{text}", routes(family))
            };
            config.families.iter().map(family).collect()
        }
        Backend::Nft => {
            let routes: String = config.families.iter().map(routes).collect();
            let table = nft::text(&rules, &config.families);
            format!("# nft -f\n{routes}{}", nft::replacement(&table))
        }
    }
}

impl Config {
    /// Whether nothing is redirected.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.inbound.is_none() && self.outbound.is_none()
    }

    /// Whether routes are needed besides the rules.
    fn is_tproxy(&self) -> bool {
        self.inbound.as_ref().is_some_and(|inbound| inbound.method == Method::Tproxy)
    }
}

#[cfg(test)]
mod tests;
