//! The rules in the words of nft, exactly as `nft list table inet spandrel` prints them; pure.
//!
//! One table of both families, which is ours as a whole: it is replaced and deleted, never edited.

use super::parts::Family;
use super::rules::{ChainName, Hook, Jump, Match, Rule, Rules, Table, Target};
use crate::cidr::Cidr;

/// The table, as nft names it.
pub(super) const TABLE: &str = "inet spandrel";

/// The table with its rules.
pub(super) fn text(rules: &Rules, families: &[Family]) -> String {
    let only = match families {
        [family] => Some(*family),
        _ => None,
    };
    let is_wanted =
        |rule: &&Rule| only.is_none() || rule.family().is_none_or(|family| Some(family) == only);
    let mut blocks: Vec<String> = Vec::new();
    for chain in &rules.chains {
        let rules = chain.rules.iter().filter(is_wanted);
        let lines = rules.map(|rule| rule_text(chain.table, rule));
        blocks.push(block(&chain_name(chain.table, chain.name), lines));
    }
    for jump in &rules.jumps {
        let Jump { table, hook, rule } = jump;
        let (name, kind) = base(*table, *hook);
        let family =
            only.map_or_else(String::new, |family| format!("meta nfproto {} ", family.name()));
        let leap = format!("{family}{}", rule_text(*table, rule));
        blocks.push(block(name, [kind.to_owned(), leap].into_iter()));
    }
    format!("table {TABLE} {{\n{}}}\n", blocks.join("\n"))
}

/// The input of `nft -f` that puts this table in the place of the one there is, if there is one.
pub(super) fn replacement(table: &str) -> String {
    format!("table {TABLE}\ndelete table {TABLE}\n{table}")
}

fn block(name: &str, lines: impl Iterator<Item = String>) -> String {
    let lines: String = lines.map(|line| format!("\t\t{line}\n")).collect();
    format!("\tchain {name} {{\n{lines}\t}}\n")
}

/// The chain that a hook of the system asks, and how it is tied to it.
fn base(table: Table, hook: Hook) -> (&'static str, &'static str) {
    match (table, hook) {
        (Table::Nat, Hook::Prerouting) => {
            ("nat_prerouting", "type nat hook prerouting priority dstnat; policy accept;")
        }
        (Table::Nat, Hook::Output) => {
            ("nat_output", "type nat hook output priority -100; policy accept;")
        }
        (Table::Mangle, Hook::Prerouting) => {
            ("mangle_prerouting", "type filter hook prerouting priority mangle; policy accept;")
        }
        (Table::Mangle, Hook::Output) => {
            ("mangle_output", "type route hook output priority mangle; policy accept;")
        }
    }
}

/// A table of nft has room for one chain of a name, so that those of mangle have another.
fn chain_name(table: Table, name: ChainName) -> String {
    let before = match table {
        Table::Nat => "",
        Table::Mangle => "tproxy_",
    };
    match name {
        ChainName::Inbound(1) => format!("{before}inbound"),
        ChainName::Inbound(level) => format!("{before}inbound_{level}"),
        ChainName::InRedirect => "in_redirect".to_owned(),
        ChainName::Output(1) => format!("{before}output"),
        ChainName::Output(level) => format!("{before}output_{level}"),
        ChainName::Redirect => "out_redirect".to_owned(),
        ChainName::Tproxy => "in_tproxy".to_owned(),
    }
}

fn rule_text(table: Table, rule: &Rule) -> String {
    let Rule { matches, target } = rule;
    // What a port or an address says of the protocol need not be said, and is not printed.
    let mut words: Vec<String> = matches.iter().map(match_text).collect();
    words.push(match target {
        Target::Return => "return".to_owned(),
        Target::Jump(chain) => format!("jump {}", chain_name(table, *chain)),
        Target::Redirect(port) => format!("redirect to :{port}"),
        Target::Tproxy(port) => format!("tproxy to :{port} accept"),
        Target::Refuse => "reject with tcp reset".to_owned(),
        Target::SaveMark => "ct mark set meta mark".to_owned(),
        Target::RestoreMark => "meta mark set ct mark".to_owned(),
    });
    words.join(" ")
}

fn match_text(m: &Match) -> String {
    match m {
        Match::Source(cidr) => address_text(*cidr, "saddr", ""),
        Match::Destination(cidr) => address_text(*cidr, "daddr", ""),
        Match::NotDestination(cidr) => address_text(*cidr, "daddr", "!= "),
        Match::In(interface) => format!("iifname \"{}\"", interface.as_str()),
        Match::NotIn(interface) => format!("iifname != \"{}\"", interface.as_str()),
        Match::Out(interface) => format!("oifname \"{}\"", interface.as_str()),
        Match::Tcp => "meta l4proto tcp".to_owned(),
        Match::Port(ports) => format!("tcp dport {}", ports.joined('-')),
        Match::Uid(uid) => format!("meta skuid {uid}"),
        Match::Gid(gid) => format!("meta skgid {gid}"),
        Match::Mark(mark) => format!("meta mark {mark:#010x}"),
        Match::ConnectionMark(mark) => format!("ct mark {mark:#010x}"),
        Match::NotLocal => "fib daddr type != local".to_owned(),
        Match::Original => "ct direction original".to_owned(),
        Match::Reply => "ct direction reply".to_owned(),
        Match::Established => "ct state established socket wildcard 0".to_owned(),
    }
}

fn address_text(cidr: Cidr, side: &str, not: &str) -> String {
    let family = Family::of(cidr.address());
    let header = match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    };
    match cidr.as_host() {
        _ if cidr.is_everything() => format!("meta nfproto {}", family.name()),
        Some(address) => format!("{header} {side} {not}{address}"),
        None => format!("{header} {side} {not}{cidr}"),
    }
}
