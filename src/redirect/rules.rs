//! The rules as data, for both families and every table; pure.
//!
//! The printers differ in words only: what is redirected, in which order it is decided, and what
//! is spared, is said here alone.

use std::net::{IpAddr, Ipv4Addr};

use super::parts::{Family, Interface, PortRange};
use super::{Config, Inbound, Lists, Method, Outbound};
use crate::cidr::Cidr;

/// The port of names, which are asked for by UDP and, rarely, TCP.
const DNS: PortRange = PortRange::one(53);
/// Where spandrel's connections to the application come from; the rules spare it.
const SPARED_V4: Cidr = Cidr::host(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6)));
/// The same of IPv6, which has one address of loopback only.
const SPARED_V6: Cidr = Cidr::LOOPBACK_V6;
/// What cannot be redirected: the system does not lead such a connection to another interface, which
/// loopback is, and of where it was meant to go the interface would not be known.
const LINK_LOCAL: Match = Match::Destination(Cidr::LINK_LOCAL_V6);

/// A table of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Nat,
    Mangle,
}

/// Where the system asks for rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    Prerouting,
    Output,
}

/// Our chains; the number says which of the lists that must all fit is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChainName {
    Inbound(usize),
    InRedirect,
    Output(usize),
    Redirect,
    Tproxy,
}

/// What a packet must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Source(Cidr),
    Destination(Cidr),
    NotDestination(Cidr),
    In(Interface),
    NotIn(Interface),
    Out(Interface),
    Tcp,
    Port(PortRange),
    Uid(u32),
    Gid(u32),
    Mark(u32),
    ConnectionMark(u32),
    /// Not for this machine.
    NotLocal,
    /// From whoever began the connection.
    Original,
    /// From the other side.
    Reply,
    /// Of a connection that a socket here has already.
    Established,
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Return,
    Jump(ChainName),
    Redirect(u16),
    Tproxy(u16),
    Refuse,
    SaveMark,
    RestoreMark,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) matches: Vec<Match>,
    pub(super) target: Target,
}

/// A chain of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) table: Table,
    pub(super) name: ChainName,
    pub(super) rules: Vec<Rule>,
}

/// How packets get from the system's chains to ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Jump {
    pub(super) table: Table,
    pub(super) hook: Hook,
    pub(super) rule: Rule,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) chains: Vec<Chain>,
    pub(super) jumps: Vec<Jump>,
}

impl Rule {
    /// The family that it is about, if it is about one only.
    pub(super) fn family(&self) -> Option<Family> {
        self.matches.iter().find_map(|m| match m {
            Match::Source(cidr) | Match::Destination(cidr) | Match::NotDestination(cidr) => {
                Some(Family::of(cidr.address()))
            }
            _ => None,
        })
    }
}

/// The rules of a configuration.
pub(super) fn of(config: &Config) -> Rules {
    let mut rules = Rules::default();
    if let Some(inbound) = &config.inbound {
        rules.nat_inbound(inbound);
        if inbound.method == Method::Tproxy {
            rules.mangle(inbound, config.mark);
        }
    }
    rules.nat_output(config);
    rules
}

impl Rules {
    /// Connections to the application: from outside, and those of spandrel to the machine's own
    /// address, which it makes for the application when that calls itself.
    fn nat_inbound(&mut self, inbound: &Inbound) {
        let target = Target::Jump(ChainName::InRedirect);
        self.filtered(
            Table::Nat,
            ChainName::Inbound,
            spared_inbound(inbound),
            &inbound.include,
            target,
        );
        self.chain(Table::Nat, ChainName::InRedirect, vec![redirect(inbound.port)]);
        if inbound.method == Method::Redirect {
            self.jump(Table::Nat, Hook::Prerouting, ChainName::Inbound(1));
        }
    }

    /// The same without rewriting. Only the first packet needs it: the others find the socket that
    /// it made. Connections that were there before the rules go on as they were.
    fn mangle(&mut self, inbound: &Inbound, mark: u32) {
        let mut spared =
            vec![rule([Match::Reply], Target::Return), rule([Match::Established], Target::Return)];
        spared.extend(spared_inbound(inbound));
        let target = Target::Jump(ChainName::Tproxy);
        self.filtered(Table::Mangle, ChainName::Inbound, spared, &inbound.include, target);
        // Where spandrel does not run, iptables gives up the packet by itself; nft goes on.
        let targets = [Target::Tproxy(inbound.port), Target::Refuse];
        let led = targets.map(|target| rule([Match::Tcp], target)).into();
        self.chain(Table::Mangle, ChainName::Tproxy, led);
        self.jump(Table::Mangle, Hook::Prerouting, ChainName::Inbound(1));
        // The application answers to the caller's address; the mark leads that back to spandrel.
        let marked = vec![
            rule([Match::Original, Match::Mark(mark)], Target::SaveMark),
            rule([Match::Reply, Match::ConnectionMark(mark)], Target::RestoreMark),
        ];
        self.chain(Table::Mangle, ChainName::Output(1), marked);
        self.jump(Table::Mangle, Hook::Output, ChainName::Output(1));
    }

    fn nat_output(&mut self, config: &Config) {
        let mut spared = spared_output(config);
        match &config.outbound {
            Some(Outbound { port, include, exclude }) => {
                spared.extend(
                    each(exclude, Match::Destination, Match::Out)
                        .into_iter()
                        .flatten()
                        .map(returned),
                );
                let target = Target::Jump(ChainName::Redirect);
                self.filtered(Table::Nat, ChainName::Output, spared, include, target);
                self.chain(Table::Nat, ChainName::Redirect, vec![redirect(*port)]);
            }
            None => self.chain(Table::Nat, ChainName::Output(1), spared),
        }
        self.jump(Table::Nat, Hook::Output, ChainName::Output(1));
    }

    /// A chain of what is spared, and then of what is included: for each list that is not empty a
    /// chain of its own, which the one before jumps to where an item fits, so that all must.
    fn filtered(
        &mut self,
        table: Table,
        name: fn(usize) -> ChainName,
        spared: Vec<Rule>,
        include: &Lists,
        target: Target,
    ) {
        let lists = match name(1) {
            ChainName::Inbound(_) => each(include, Match::Source, Match::In),
            _ => each(include, Match::Destination, Match::Out),
        };
        let lists: Vec<_> = lists.into_iter().filter(|list| !list.is_empty()).collect();
        let mut rules = spared;
        if lists.is_empty() {
            rules.push(rule([], target));
        }
        let count = lists.len();
        for (level, list) in (1..).zip(lists) {
            let next = if level == count { target } else { Target::Jump(name(level + 1)) };
            rules.extend(list.into_iter().map(|m| rule([m], next)));
            self.chain(table, name(level), std::mem::take(&mut rules));
        }
        if count == 0 {
            self.chain(table, name(1), rules);
        }
    }

    fn chain(&mut self, table: Table, name: ChainName, rules: Vec<Rule>) {
        self.chains.push(Chain { table, name, rules });
    }

    /// Everything of TCP, and inbound not what this machine sends itself.
    fn jump(&mut self, table: Table, hook: Hook, to: ChainName) {
        let outside = (hook == Hook::Prerouting).then(|| Match::NotIn(Interface::loopback()));
        let matches = outside.into_iter().chain([Match::Tcp]).collect();
        self.jumps.push(Jump { table, hook, rule: Rule { matches, target: Target::Jump(to) } });
    }
}

fn spared_inbound(inbound: &Inbound) -> Vec<Rule> {
    let own = inbound.own_ports.iter().map(|port| Match::Port(PortRange::one(*port)));
    let excluded = each(&inbound.exclude, Match::Source, Match::In).into_iter().flatten();
    [Match::NotLocal, LINK_LOCAL].into_iter().chain(own).chain(excluded).map(returned).collect()
}

/// What is spared of the connections that are made here, before any list is asked.
fn spared_output(config: &Config) -> Vec<Rule> {
    let lo = || Match::Out(Interface::loopback());
    let mut spared = vec![
        returned(Match::Port(DNS)),
        rule([Match::Source(SPARED_V4), lo()], Target::Return),
        rule([Match::Source(SPARED_V6), lo()], Target::Return),
    ];
    if config.is_tproxy() {
        spared.push(returned(Match::Mark(config.mark)));
    }
    let owners = [Match::Uid(config.uid), Match::Gid(config.gid)];
    if config.inbound.is_some() {
        for owner in &owners {
            for loopback in [Cidr::LOOPBACK_V4, Cidr::LOOPBACK_V6] {
                let itself = [Match::NotDestination(loopback), lo(), owner.clone()];
                spared.push(rule(itself, Target::Jump(ChainName::Inbound(1))));
            }
        }
    }
    spared.extend(owners.map(returned));
    spared.extend([Cidr::LOOPBACK_V4, Cidr::LOOPBACK_V6].map(Match::Destination).map(returned));
    spared.push(returned(LINK_LOCAL));
    spared
}

/// The items of each list, as what is matched.
fn each(
    lists: &Lists,
    cidr: fn(Cidr) -> Match,
    interface: fn(Interface) -> Match,
) -> [Vec<Match>; 5] {
    let Lists { ports, cidrs, interfaces, uids, gids } = lists;
    [
        ports.iter().copied().map(Match::Port).collect(),
        cidrs.iter().copied().map(cidr).collect(),
        interfaces.iter().cloned().map(interface).collect(),
        uids.iter().copied().map(Match::Uid).collect(),
        gids.iter().copied().map(Match::Gid).collect(),
    ]
}

fn redirect(port: u16) -> Rule {
    rule([Match::Tcp], Target::Redirect(port))
}

fn returned(m: Match) -> Rule {
    rule([m], Target::Return)
}

fn rule<const N: usize>(matches: [Match; N], target: Target) -> Rule {
    Rule { matches: matches.into(), target }
}
