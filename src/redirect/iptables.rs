//! The rules in the words of iptables, exactly as `iptables-save` prints them; pure.

use std::fmt::Write as _;

use super::ours::PREFIX;
use super::parts::Family;
use super::rules::{ChainName, Hook, Match, Rule, Rules, Table, Target};

/// The tables in the order in which they are printed.
const TABLES: [Table; 2] = [Table::Mangle, Table::Nat];

/// The rules of one family, as input of `iptables-restore --noflush`.
pub(super) fn text(rules: &Rules, family: Family) -> String {
    TABLES.into_iter().map(|table| table_text(rules, table, family)).collect()
}

fn table_text(rules: &Rules, table: Table, family: Family) -> String {
    let chains: Vec<_> = rules.chains.iter().filter(|chain| chain.table == table).collect();
    let jumps: Vec<_> = rules.jumps.iter().filter(|jump| jump.table == table).collect();
    if chains.is_empty() && jumps.is_empty() {
        return String::new();
    }
    let mut text = String::from(match table {
        Table::Nat => "*nat\n",
        Table::Mangle => "*mangle\n",
    });
    for chain in &chains {
        writeln!(text, ":{} - [0:0]", chain_name(chain.name)).ok();
    }
    let mut append = |chain: &str, rule: &Rule| {
        if rule.family().is_none_or(|only| only == family) {
            writeln!(text, "-A {chain}{}", rule_text(rule, family)).ok();
        }
    };
    for jump in jumps {
        let hook = match jump.hook {
            Hook::Prerouting => "PREROUTING",
            Hook::Output => "OUTPUT",
        };
        append(hook, &jump.rule);
    }
    for chain in chains {
        let name = chain_name(chain.name);
        chain.rules.iter().for_each(|rule| append(&name, rule));
    }
    text.push_str("COMMIT\n");
    text
}

fn chain_name(name: ChainName) -> String {
    match name {
        ChainName::Inbound(1) => format!("{PREFIX}INBOUND"),
        ChainName::Inbound(level) => format!("{PREFIX}INBOUND_{level}"),
        ChainName::InRedirect => format!("{PREFIX}IN_REDIRECT"),
        ChainName::Output(1) => format!("{PREFIX}OUTPUT"),
        ChainName::Output(level) => format!("{PREFIX}OUTPUT_{level}"),
        ChainName::Redirect => format!("{PREFIX}REDIRECT"),
        ChainName::Tproxy => format!("{PREFIX}TPROXY"),
    }
}

/// A rule behind its chain. Addresses, interfaces and the protocol come first and in this order,
/// whatever else is matched follows as it stands.
fn rule_text(rule: &Rule, family: Family) -> String {
    let Rule { matches, target } = rule;
    let address = matches.iter().filter_map(|m| match m {
        Match::Source(cidr) if !cidr.is_everything() => Some(format!(" -s {cidr}")),
        Match::Destination(cidr) if !cidr.is_everything() => Some(format!(" -d {cidr}")),
        Match::NotDestination(cidr) => Some(format!(" ! -d {cidr}")),
        _ => None,
    });
    let interface = matches.iter().filter_map(|m| match m {
        Match::In(interface) => Some(format!(" -i {}", interface.as_str())),
        Match::NotIn(interface) => Some(format!(" ! -i {}", interface.as_str())),
        Match::Out(interface) => Some(format!(" -o {}", interface.as_str())),
        _ => None,
    });
    let is_tcp = matches.iter().any(|m| matches!(m, Match::Tcp | Match::Port(_)));
    let protocol = is_tcp.then(|| " -p tcp".to_owned());
    let extensions = matches.iter().filter_map(extension);
    let mut text: String = address.chain(interface).chain(protocol).chain(extensions).collect();
    text.push_str(&target_text(*target, family));
    text
}

fn extension(m: &Match) -> Option<String> {
    let text = match m {
        Match::Port(ports) => format!(" -m tcp --dport {}", ports.joined(':')),
        Match::Uid(uid) => format!(" -m owner --uid-owner {uid}"),
        Match::Gid(gid) => format!(" -m owner --gid-owner {gid}"),
        Match::Mark(mark) => format!(" -m mark --mark {mark:#x}"),
        Match::ConnectionMark(mark) => format!(" -m connmark --mark {mark:#x}"),
        Match::NotLocal => " -m addrtype ! --dst-type LOCAL".to_owned(),
        Match::Original => " -m conntrack --ctdir ORIGINAL".to_owned(),
        Match::Reply => " -m conntrack --ctdir REPLY".to_owned(),
        Match::Established => " -m conntrack --ctstate ESTABLISHED -m socket".to_owned(),
        Match::Source(_)
        | Match::Destination(_)
        | Match::NotDestination(_)
        | Match::In(_)
        | Match::NotIn(_)
        | Match::Out(_)
        | Match::Tcp => return None,
    };
    Some(text)
}

fn target_text(target: Target, family: Family) -> String {
    const MASKS: &str = "--nfmask 0xffffffff --ctmask 0xffffffff";
    match target {
        Target::Return => " -j RETURN".to_owned(),
        Target::Jump(chain) => format!(" -j {}", chain_name(chain)),
        Target::Redirect(port) => format!(" -j REDIRECT --to-ports {port}"),
        Target::Tproxy(port) => {
            let any = match family {
                Family::V4 => "0.0.0.0",
                Family::V6 => "::",
            };
            format!(" -j TPROXY --on-port {port} --on-ip {any} --tproxy-mark 0x0/0x0")
        }
        // REJECT cannot be said before it is known that a packet is for this machine.
        Target::Refuse => " -j DROP".to_owned(),
        Target::SaveMark => format!(" -j CONNMARK --save-mark {MASKS}"),
        Target::RestoreMark => format!(" -j CONNMARK --restore-mark {MASKS}"),
    }
}
