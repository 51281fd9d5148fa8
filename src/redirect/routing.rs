//! The routes of TPROXY: what bears our mark is for this machine, whatever its address.
//!
//! The application answers to the caller's address; a rule leads these packets into a table whose
//! only route is the loopback interface, where spandrel's socket waits.

use super::Config;
use super::fault::Fault;
use super::parts::Family;
use super::programs::{run, succeed};

const PROGRAM: &str = "ip";

/// A change that was made, and how it is undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    family: Family,
    undo: Vec<String>,
}

impl Change {
    pub(super) fn undo(&self) -> Result<(), Fault> {
        let arguments: Vec<&str> = self.undo.iter().map(String::as_str).collect();
        succeed(PROGRAM, &prefixed(self.family, &arguments), "").map(|_| ())
    }
}

/// The commands, as comments of a plan.
pub(super) fn plan(config: &Config, family: Family) -> String {
    let Config { mark, route_table: table, .. } = config;
    let flag = flag(family);
    format!(
        "# ip {flag} rule add fwmark {mark:#x} lookup {table}\n\
         # ip {flag} route add local default dev lo table {table}\n"
    )
}

/// Adds what is missing, noting in `done` each change that was made.
pub(super) fn add(config: &Config, family: Family, done: &mut Vec<Change>) -> Result<(), Fault> {
    let (mark, table) = (format!("{:#x}", config.mark), config.route_table.to_string());
    let routes = routes(family, &table)?;
    let has_route = routes.iter().any(|route| is_ours(route));
    if routes.len() > usize::from(has_route) {
        return Err(Fault::new(format!(
            "the routing table {table} is used by others already: set redirect.route_table to one \
             that is free"
        )));
    }
    if !has_route {
        let route = ["local", "default", "dev", "lo", "table", &table];
        change(family, "route", &route, done)?;
    }
    if !rules(family)?.iter().any(|rule| *rule == (config.mark, table.clone())) {
        change(family, "rule", &["fwmark", &mark, "lookup", &table], done)?;
    }
    Ok(())
}

/// Takes away the rules for these marks except `kept`, and the route of each table that they led
/// to.
pub(super) fn remove(
    marks: &[u32],
    kept: Option<&(u32, String)>,
    family: Family,
    done: &mut Vec<Change>,
) -> Result<(), Fault> {
    for led in rules(family)?.iter().filter(|led| marks.contains(&led.0) && kept != Some(*led)) {
        let (mark, table) = led;
        let routes = routes(family, table)?;
        // Who uses our mark for a table of another shape is not us.
        if routes.iter().any(|route| !is_ours(route)) {
            continue;
        }
        take(family, "rule", &["fwmark", &format!("{mark:#x}"), "lookup", table], done)?;
        if !routes.is_empty() && kept.is_none_or(|kept| kept.1 != *table) {
            take(family, "route", &["local", "default", "dev", "lo", "table", table], done)?;
        }
    }
    Ok(())
}

/// Whether this has been added.
pub(super) fn is_there(config: &Config, family: Family) -> Result<bool, Fault> {
    let table = config.route_table.to_string();
    let has_rule = rules(family)?.contains(&(config.mark, table.clone()));
    Ok(has_rule && routes(family, &table)?.iter().any(|route| is_ours(route)))
}

fn change(family: Family, what: &str, how: &[&str], done: &mut Vec<Change>) -> Result<(), Fault> {
    order(family, what, ["add", "del"], how, done)
}

fn take(family: Family, what: &str, how: &[&str], done: &mut Vec<Change>) -> Result<(), Fault> {
    order(family, what, ["del", "add"], how, done)
}

fn order(
    family: Family,
    what: &str,
    [verb, reverse]: [&str; 2],
    how: &[&str],
    done: &mut Vec<Change>,
) -> Result<(), Fault> {
    let arguments = [&[what, verb], how].concat();
    succeed(PROGRAM, &prefixed(family, &arguments), "")?;
    let undo = [&[what, reverse], how].concat().into_iter().map(str::to_owned).collect();
    done.push(Change { family, undo });
    Ok(())
}

/// The rules that look for a mark: which, and the table that they lead to.
fn rules(family: Family) -> Result<Vec<(u32, String)>, Fault> {
    let shown = succeed(PROGRAM, &prefixed(family, &["rule", "show"]), "")?;
    Ok(shown.lines().filter_map(marked).collect())
}

/// A line such as `32765: from all fwmark 0x6ed lookup 1773`, and no other condition.
fn marked(line: &str) -> Option<(u32, String)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [_, "from", "all", "fwmark", mark, "lookup", table] => {
            let mark = u32::from_str_radix(mark.strip_prefix("0x")?, 16).ok()?;
            Some((mark, (*table).to_owned()))
        }
        _ => None,
    }
}

fn routes(family: Family, table: &str) -> Result<Vec<String>, Fault> {
    let ended = run(PROGRAM, &prefixed(family, &["route", "show", "table", table]), "")?;
    // It fails where there never was such a table.
    let is_absent = ended.err.contains("FIB table does not exist");
    match ended.is_success || is_absent {
        true => Ok(ended
            .out
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .map(str::to_owned)
            .collect()),
        false => Err(Fault::of_end(PROGRAM, &ended.err, "")),
    }
}

fn is_ours(route: &str) -> bool {
    let words: Vec<&str> = route.split_whitespace().collect();
    words.starts_with(&["local", "default", "dev", "lo"])
}

fn prefixed<'a>(family: Family, arguments: &[&'a str]) -> Vec<&'a str> {
    [&[flag(family)], arguments].concat()
}

const fn flag(family: Family) -> &'static str {
    match family {
        Family::V4 => "-4",
        Family::V6 => "-6",
    }
}
