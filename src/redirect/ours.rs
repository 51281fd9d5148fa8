//! What of a system's tables is ours, read from what `iptables-save` prints, and the input of
//! `iptables-restore` that makes other of it; pure.
//!
//! Ours are the chains whose names begin with `SPANDREL_`, what they hold, and the rules of other
//! chains that lead to them. Everything else is passed over and never named.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How the names of our chains begin.
pub(super) const PREFIX: &str = "SPANDREL_";

/// What is ours, by table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ours(BTreeMap<String, Table>);

/// What is ours in one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Table {
    /// Our chains with their rules.
    chains: BTreeMap<String, Vec<String>>,
    jumps: Vec<Jump>,
}

/// A rule of a chain that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Jump {
    chain: String,
    rule: String,
    /// Which rule of its chain it is, from 1; none where it is to be the last.
    position: Option<usize>,
}

impl Jump {
    fn is_same(&self, other: &Self) -> bool {
        self.chain == other.chain && self.rule == other.rule
    }
}

impl Ours {
    /// What is ours of what `iptables-save` printed. Lines that it does not print are passed over.
    pub(super) fn read(saved: &str) -> Self {
        let mut tables: BTreeMap<String, Table> = BTreeMap::new();
        let mut name = "";
        let mut lengths: BTreeMap<&str, usize> = BTreeMap::new();
        for line in saved.lines() {
            if let Some(table) = line.strip_prefix('*') {
                name = table.trim();
                lengths.clear();
            } else if let Some(chain) = line.strip_prefix(':').and_then(first_word)
                && chain.starts_with(PREFIX)
            {
                let table = tables.entry(name.to_owned()).or_default();
                table.chains.entry(chain.to_owned()).or_default();
            } else if let Some((chain, rule)) =
                line.strip_prefix("-A ").and_then(|rest| rest.split_once(' '))
            {
                let length = lengths.entry(chain).or_default();
                *length += 1;
                if chain.starts_with(PREFIX) {
                    let table = tables.entry(name.to_owned()).or_default();
                    table.chains.entry(chain.to_owned()).or_default().push(rule.to_owned());
                } else if leads_to_us(rule) {
                    let jump = Jump {
                        chain: chain.to_owned(),
                        rule: rule.to_owned(),
                        position: Some(*length),
                    };
                    tables.entry(name.to_owned()).or_default().jumps.push(jump);
                }
            }
        }
        Self(tables)
    }

    /// What a plan makes ours: its jumps stand last in their chains, wherever it lists them.
    pub(super) fn planned(text: &str) -> Self {
        let mut ours = Self::read(text);
        for jump in ours.0.values_mut().flat_map(|table| &mut table.jumps) {
            jump.position = None;
        }
        ours
    }

    /// Whether nothing is ours.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The marks that our rules look for, which routes may have been made for.
    pub(super) fn marks(&self) -> Vec<u32> {
        let rules = self.0.values().flat_map(|table| table.chains.values()).flatten();
        rules.flat_map(|rule| marks_in(rule)).collect()
    }

    /// The input of `iptables-restore --noflush` that turns this into `wanted`; none if it is that
    /// already. Jumps that are in both stay where they are.
    pub(super) fn input_to(&self, wanted: &Self) -> Option<String> {
        let nothing = Table::default();
        let mut names: Vec<&String> = self.0.keys().chain(wanted.0.keys()).collect();
        names.sort();
        names.dedup();
        let input: String = names
            .into_iter()
            .filter_map(|name| {
                let from = self.0.get(name).unwrap_or(&nothing);
                let to = wanted.0.get(name).unwrap_or(&nothing);
                Some(format!("*{name}\n{}COMMIT\n", from.changes_to(to)?))
            })
            .collect();
        (!input.is_empty()).then_some(input)
    }
}

/// The marks that rules of iptables or nft look for.
pub(super) fn marks_in(rules: &str) -> Vec<u32> {
    let digits = rules
        .split("mark 0x")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_hexdigit()).next().unwrap_or_default());
    digits.filter_map(|digits| u32::from_str_radix(digits, 16).ok()).filter(|m| *m != 0).collect()
}

impl Table {
    fn changes_to(&self, wanted: &Self) -> Option<String> {
        let surplus = without(&self.jumps, &wanted.jumps);
        let missing = without(&wanted.jumps, &self.jumps);
        if surplus.is_empty() && missing.is_empty() && self.chains == wanted.chains {
            return None;
        }
        let mut text = String::new();
        let unused = || self.chains.keys().filter(|chain| !wanted.chains.contains_key(*chain));
        // Declaring a chain empties it, which also takes away what refers to others.
        for chain in wanted.chains.keys().chain(unused()) {
            writeln!(text, ":{chain} - [0:0]").ok();
        }
        for Jump { chain, rule, .. } in surplus {
            writeln!(text, "-D {chain} {rule}").ok();
        }
        for (chain, rules) in &wanted.chains {
            for rule in rules {
                writeln!(text, "-A {chain} {rule}").ok();
            }
        }
        for Jump { chain, rule, position } in missing {
            match position {
                Some(at) => writeln!(text, "-I {chain} {at} {rule}").ok(),
                None => writeln!(text, "-A {chain} {rule}").ok(),
            };
        }
        for chain in unused() {
            writeln!(text, "-X {chain}").ok();
        }
        Some(text)
    }
}

/// The jumps that `others` has no match for; of several that are the same, each needs its own.
fn without<'a>(jumps: &'a [Jump], others: &[Jump]) -> Vec<&'a Jump> {
    let mut left: Vec<&Jump> = others.iter().collect();
    jumps
        .iter()
        .filter(|jump| match left.iter().position(|other| other.is_same(jump)) {
            Some(at) => {
                left.swap_remove(at);
                false
            }
            None => true,
        })
        .collect()
}

fn leads_to_us(rule: &str) -> bool {
    let words: Vec<&str> = rule.split_whitespace().collect();
    words.windows(2).any(|pair| match pair {
        [option, chain] => matches!(*option, "-j" | "-g") && chain.starts_with(PREFIX),
        _ => false,
    })
}

fn first_word(text: &str) -> Option<&str> {
    text.split_whitespace().next()
}
