//! No module of spandrel imports one above it, or one beside it.

use crate::support::sources::{Source, sources};

/// The floors, from the ground up. A module may use what lies below it; those of one floor do not
/// know each other.
const FLOORS: [&[&str]; 8] = [
    &["cidr", "direction", "drain", "footprint", "otlp", "protobuf"],
    &["trace", "net", "metrics", "reach"],
    &["export", "analysis", "doctor", "intake"],
    &["telemetry", "proxy", "redirect", "admin", "view", "explore", "receive"],
    &["config"],
    &["app", "cli"],
    &["demo"],
    &["main"],
];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// The module that a file of `src` belongs to.
fn module(path: &str) -> &str {
    path.split(['/', '.']).next().unwrap_or_default()
}

/// What is wrong with the imports of a file.
fn violations(path: &str, text: &str) -> Vec<String> {
    let own = module(path);
    if own == "lib" {
        return Vec::new();
    }
    let Some(own_floor) = floor(own) else { return vec![format!("{path}: {own} has no floor")] };
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        // The program sees the library by its name.
        let starts =
            ["crate::", "spandrel::"].into_iter().filter(|s| own == "main" || *s == "crate::");
        let uses = starts.flat_map(|start| after(line, start));
        found.extend(uses.filter_map(|name| {
            let problem = match floor(name) {
                _ if name == own => return None,
                None if name.is_empty() => {
                    "imports several modules, or all, in one line".to_owned()
                }
                None => format!("uses {name}, which has no floor"),
                Some(floor) if floor < own_floor => return None,
                Some(floor) => format!("{own} on floor {own_floor} uses {name} on floor {floor}"),
            };
            Some(format!("{path}:{}: {problem}", number + 1))
        }));
    }
    found
}

/// The names that follow each `start` in a line, where that is the start of a path.
fn after<'a>(line: &'a str, start: &'static str) -> impl Iterator<Item = &'a str> {
    line.match_indices(start).filter_map(move |(at, _)| {
        let before = line.get(..at)?.chars().next_back();
        let is_start = before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == ':'));
        let rest = line.get(at + start.len()..)?;
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        rest.get(..end).filter(|_| is_start)
    })
}

#[test]
fn every_import_goes_down() {
    let all: Vec<Source> = sources();
    assert!(all.len() > 50, "the walk finds the sources");
    let found: Vec<String> = all.iter().flat_map(|s| violations(&s.path, &s.text)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_floor_is_lived_on() {
    let all = sources();
    for name in FLOORS.iter().copied().flatten() {
        assert!(all.iter().any(|s| module(&s.path) == *name), "{name} is no module");
    }
}

#[test]
fn a_planted_violation_is_found() {
    for (path, line) in [
        ("net/mod.rs", "use crate::proxy::Limits;"),
        ("net/mod.rs", "use crate::metrics::Registry;"),
        ("trace/mod.rs", "    let x = crate::config::Config::default();"),
        ("proxy/http1/relay.rs", "use crate::admin::State;"),
        ("drain.rs", "pub(in crate::app) fn x() {}"),
        ("proxy/mod.rs", "use crate::{net, trace};"),
        ("proxy/mod.rs", "use crate::*;"),
        ("proxy/mod.rs", "use crate::unheard_of::Thing;"),
        ("unheard_of/mod.rs", "// nothing"),
        ("cli.rs", "use crate::app::Bound;"),
    ] {
        assert_eq!(violations(path, line).len(), 1, "{path}: {line}");
    }
}

#[test]
fn what_is_allowed_is_not_reported() {
    for (path, line) in [
        ("net/wire.rs", "use crate::net::buffer::Buffer;"),
        ("proxy/mod.rs", "use crate::trace::{Flags, Headers}; use crate::net;"),
        ("app.rs", "use crate::config::Config;"),
        ("main.rs", "use spandrel::app::Bound;"),
        ("lib.rs", "pub use crate::app::Bound;"),
        ("net/mod.rs", "use othercrate::proxy; use super::buffer;"),
    ] {
        assert_eq!(violations(path, line), [""; 0], "{path}: {line}");
    }
}
