//! Bringing a system from the rules it has to the rules it is to have: whole, or not at all.
//!
//! What is there is read first. Where it is what is wanted, nothing is touched. Otherwise each step
//! (the routes, then one transaction a family, or one of nft for both) notes how it is undone, and
//! the first that fails undoes those before it. Whoever is killed in between leaves chains of ours
//! that `remove` knows by their names and `apply` completes.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use super::fault::Fault;
use super::ours::{Ours, marks_in};
use super::parts::Family;
use super::programs::{LOCK_WAIT, Prefix, run, succeed};
use super::routing::{self, Change};
use super::{Config, iptables, nft, rules};

/// The program of nft.
const NFT: &str = "nft";
/// What keeps two of us from changing the rules of one network namespace at a time: these names are
/// known within it alone, and free again when their holder ends.
const LOCK: &[u8] = b"spandrel-redirect";
/// The bit of `CAP_NET_ADMIN` in the sets of capabilities.
const NET_ADMIN: u32 = 12;

/// What keeps the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The programs of iptables of this name.
    Iptables(Prefix),
    /// nft.
    Nft,
}

/// A step that was done.
enum Step {
    Route(Change),
    Iptables { prefix: Prefix, family: Family, before: Ours },
    Nft { before: Option<String> },
}

/// What `remove` has come across.
#[derive(Default)]
struct Taken {
    done: Vec<Step>,
    marks: Vec<u32>,
    faults: Vec<Fault>,
    /// Whether any backend could be asked at all.
    is_anything_known: bool,
}

/// Puts the rules in. Says what was done in a sentence.
///
/// # Errors
/// When anything fails; what was there before is there again then.
pub fn apply(config: &Config, backend: &Backend) -> Result<&'static str, Fault> {
    let _lock = lock()?;
    require_capability()?;
    if config.families.contains(&Family::V6) && !has_ipv6() {
        return Err(Fault::no_ipv6());
    }
    refuse_other_backends(backend)?;
    let mut done = Vec::new();
    match put_in(config, backend, &mut done) {
        Ok(()) if done.is_empty() => Ok("the rules are in place already: nothing was changed"),
        Ok(()) => Ok("the rules are in place"),
        Err(fault) => Err(undone(fault, done)),
    }
}

/// Takes away all that is ours, of whatever backend. Says what was done in a sentence.
///
/// # Errors
/// When anything fails; what can be taken away is taken away all the same.
pub fn remove(config: &Config, prefix: &Prefix) -> Result<&'static str, Fault> {
    let _lock = lock()?;
    require_capability()?;
    let mut taken = Taken { marks: vec![config.mark], ..Taken::default() };
    remove_iptables(prefix, &mut taken);
    remove_nft(&mut taken);
    if !taken.is_anything_known && taken.faults.is_empty() && taken.done.is_empty() {
        taken.faults.extend(read(prefix, Family::V4).err());
    }
    let routes = remove_routes(config, &taken.marks, false, &mut taken.done);
    // Without the program nobody can have made a route for us.
    taken.faults.extend(routes.err().filter(|fault| !fault.is_missing_program()));
    match (taken.faults.into_iter().next(), taken.done.is_empty()) {
        (Some(fault), _) => Err(fault),
        (None, true) => Ok("there were no rules of spandrel: nothing was changed"),
        (None, false) => Ok("the rules of spandrel are gone"),
    }
}

/// Whether the rules in place are those of the configuration: none where there are none at all.
pub(super) fn is_planned(config: &Config, backend: &Backend) -> Result<Option<bool>, Fault> {
    let rules = rules::of(config);
    let (mut is_there, mut is_same) = (false, true);
    match backend {
        Backend::Iptables(prefix) => {
            for family in &config.families {
                let ours = read(prefix, *family)?;
                is_there |= !ours.is_empty();
                let wanted = Ours::planned(&iptables::text(&rules, *family));
                is_same &= ours.input_to(&wanted).is_none();
            }
        }
        Backend::Nft => {
            let table = nft_table()?;
            is_there = table.is_some();
            is_same = table.is_none_or(|table| table == nft::text(&rules, &config.families));
        }
    }
    for family in config.families.iter().filter(|_| config.is_tproxy()) {
        is_same &= routing::is_there(config, *family)?;
    }
    Ok(is_there.then_some(is_same))
}

fn put_in(config: &Config, backend: &Backend, done: &mut Vec<Step>) -> Result<(), Fault> {
    let rules = rules::of(config);
    let mut marks = Vec::new();
    if config.is_tproxy() {
        for family in &config.families {
            routes(done, |changes| routing::add(config, *family, changes))?;
        }
    }
    match backend {
        Backend::Iptables(prefix) => {
            for family in families_here() {
                let is_wanted = config.families.contains(&family);
                let ours = match read(prefix, family) {
                    // Nothing of ours is where there is no program that could have put it there.
                    Err(_) if !is_wanted => continue,
                    ours => ours?,
                };
                let wanted = match is_wanted {
                    true => Ours::planned(&iptables::text(&rules, family)),
                    false => Ours::default(),
                };
                marks.extend(ours.marks());
                replace(prefix, family, ours, &wanted, done)?;
            }
        }
        Backend::Nft => {
            let (before, wanted) = (nft_table()?, nft::text(&rules, &config.families));
            marks.extend(before.as_deref().map(marks_in).unwrap_or_default());
            if before.as_ref() != Some(&wanted) {
                done.push(Step::Nft { before });
                succeed(NFT, &["-f", "-"], &nft::replacement(&wanted))?;
            }
        }
    }
    // Routes of settings that were others.
    match marks.is_empty() {
        true => Ok(()),
        false => remove_routes(config, &marks, config.is_tproxy(), done),
    }
}

fn replace(
    prefix: &Prefix,
    family: Family,
    ours: Ours,
    wanted: &Ours,
    done: &mut Vec<Step>,
) -> Result<(), Fault> {
    let Some(input) = ours.input_to(wanted) else { return Ok(()) };
    // Noted first: where several tables change, those before the one that fails have changed.
    done.push(Step::Iptables { prefix: prefix.clone(), family, before: ours });
    restore(prefix, family, &input)
}

fn restore(prefix: &Prefix, family: Family, input: &str) -> Result<(), Fault> {
    succeed(&prefix.restore(family), &["--noflush", "-w", LOCK_WAIT], input).map(|_| ())
}

fn read(prefix: &Prefix, family: Family) -> Result<Ours, Fault> {
    succeed(&prefix.save(family), &[], "").map(|saved| Ours::read(&saved))
}

/// The fault, after everything that was done is undone.
fn undone(fault: Fault, done: Vec<Step>) -> Fault {
    if done.is_empty() {
        return fault;
    }
    let faults: Vec<Fault> = done.into_iter().rev().filter_map(|step| undo(step).err()).collect();
    match faults.first() {
        None => fault.and("what was there before is in place"),
        Some(other) => fault.and(&format!(
            "and putting back what was there before failed too ({other}): run `spandrel iptables remove`"
        )),
    }
}

fn undo(step: Step) -> Result<(), Fault> {
    match step {
        Step::Route(change) => change.undo(),
        Step::Iptables { prefix, family, before } => {
            match read(&prefix, family)?.input_to(&before) {
                Some(input) => restore(&prefix, family, &input),
                None => Ok(()),
            }
        }
        Step::Nft { before } => {
            let table = nft_table()?;
            match before {
                _ if table == before => Ok(()),
                Some(former) => succeed(NFT, &["-f", "-"], &nft::replacement(&former)).map(|_| ()),
                None => delete_nft_table(),
            }
        }
    }
}

fn remove_iptables(prefix: &Prefix, taken: &mut Taken) {
    for family in families_here() {
        for (index, prefix) in prefix.and_others().iter().enumerate() {
            match read(prefix, family) {
                Ok(ours) => {
                    taken.is_anything_known = true;
                    taken.marks.extend(ours.marks());
                    let removed = replace(prefix, family, ours, &Ours::default(), &mut taken.done);
                    taken.faults.extend(removed.err());
                }
                // The others need not be there, nor work.
                Err(fault) if index == 0 && !fault.is_missing_program() => taken.faults.push(fault),
                Err(_) => {}
            }
        }
    }
}

fn remove_nft(taken: &mut Taken) {
    match nft_table() {
        Ok(Some(table)) => {
            taken.marks.extend(marks_in(&table));
            taken.done.push(Step::Nft { before: Some(table) });
            taken.faults.extend(delete_nft_table().err());
        }
        Ok(None) => taken.is_anything_known = true,
        Err(fault) if fault.is_missing_program() => {}
        Err(fault) => taken.faults.push(fault),
    }
}

/// Takes away the routes for these marks, except that of the configuration where it is to stay.
fn remove_routes(
    config: &Config,
    marks: &[u32],
    is_kept: bool,
    done: &mut Vec<Step>,
) -> Result<(), Fault> {
    let kept = is_kept.then(|| (config.mark, config.route_table.to_string()));
    for family in families_here() {
        // The route of a family that is no longer wanted goes as well.
        let kept = kept.as_ref().filter(|_| config.families.contains(&family));
        routes(done, |changes| routing::remove(marks, kept, family, changes))?;
    }
    Ok(())
}

/// Notes the changes of routes that were made, also where not all could be made.
fn routes(
    done: &mut Vec<Step>,
    make: impl FnOnce(&mut Vec<Change>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut changes = Vec::new();
    let made = make(&mut changes);
    done.extend(changes.into_iter().map(Step::Route));
    made
}

/// Two backends at work would redirect everything twice.
fn refuse_other_backends(backend: &Backend) -> Result<(), Fault> {
    let prefix = match backend {
        Backend::Iptables(prefix) => prefix.clone(),
        Backend::Nft => Prefix::default(),
    };
    let own_kind = match backend {
        Backend::Iptables(prefix) => Some(is_over_nft(prefix)),
        Backend::Nft => None,
    };
    for other in prefix.and_others() {
        let is_other = || own_kind != Some(is_over_nft(&other));
        let has_ours = |family| read(&other, family).is_ok_and(|ours| !ours.is_empty());
        if families_here().any(has_ours) && is_other() {
            return Err(installed_already(&other.save(Family::V4)));
        }
    }
    match backend {
        Backend::Iptables(_) if matches!(nft_table(), Ok(Some(_))) => Err(installed_already(NFT)),
        _ => Ok(()),
    }
}

fn installed_already(by: &str) -> Fault {
    Fault::new(format!(
        "rules of spandrel are in place already in another way (see {by}): run `spandrel iptables \
         remove` first, which takes away those of every kind"
    ))
}

/// Whether these programs keep their rules where nft keeps its own.
fn is_over_nft(prefix: &Prefix) -> bool {
    run(&prefix.save(Family::V4), &["-V"], "").is_ok_and(|ended| ended.out.contains("nf_tables"))
}

/// Our table as nft prints it, if there is one.
fn nft_table() -> Result<Option<String>, Fault> {
    let ended = run(NFT, &["list", "table", "inet", "spandrel"], "")?;
    match ended.is_success {
        true => Ok(Some(ended.out)),
        false if ended.err.contains("No such file or directory") => Ok(None),
        false => Err(Fault::of_end(NFT, &ended.err, "")),
    }
}

fn delete_nft_table() -> Result<(), Fault> {
    succeed(NFT, &["delete", "table", "inet", "spandrel"], "").map(|_| ())
}

/// The families that the kernel has.
fn families_here() -> impl Iterator<Item = Family> {
    Family::ALL.into_iter().filter(|family| *family == Family::V4 || has_ipv6())
}

fn has_ipv6() -> bool {
    Path::new("/proc/net/if_inet6").exists()
}

fn lock() -> Result<UnixListener, Fault> {
    let address = SocketAddr::from_abstract_name(LOCK);
    address.and_then(|address| UnixListener::bind_addr(&address)).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Fault::new(
            "another `spandrel iptables` is changing the rules: wait for it to end, then try again",
        ),
        _ => Fault::new(format!("the rules cannot be locked: {error}")),
    })
}

fn require_capability() -> Result<(), Fault> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    match may_change(&status) {
        Some(false) => Err(Fault::not_permitted()),
        // Where it cannot be told, the programs tell.
        Some(true) | None => Ok(()),
    }
}

/// Whether the process of this status has `CAP_NET_ADMIN`.
fn may_change(status: &str) -> Option<bool> {
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(set.trim(), 16).ok().map(|set| set & (1 << NET_ADMIN) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capability_is_read_from_the_status() {
        assert_eq!(may_change("Name:\tx\nCapEff:\t000001ffffffffff\n"), Some(true));
        assert_eq!(may_change("CapEff:\t0000000000002000\n"), Some(false));
        for text in ["", "CapEff:\n", "CapEff:\tx\n", "CapPrm:\t1000\n"] {
            assert_eq!(may_change(text), None, "{text}");
        }
    }
}
