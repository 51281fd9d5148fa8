//! The value that each setting has in the end, and who gave it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::problem::{ConfigError, Origin};
use super::settings::{self, A_NAME, MAX_NAMES, Setting};
use super::value::{Raw, Value, quoted, shortened};
use crate::proxy::Authority;

/// What one source gives for a setting.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// The whole key.
    pub(super) key: String,
    pub(super) setting: &'static Setting,
    /// What was written, or what is wrong with how it was written.
    pub(super) raw: Result<Raw, String>,
    pub(super) origin: Origin,
}

/// Every setting with its value.
#[derive(Debug)]
pub(super) struct Values {
    chosen: Vec<Chosen>,
    /// The names of the destinations, in the order in which they were given.
    names: Vec<String>,
    pub(super) problems: ConfigError,
    pub(super) warnings: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Chosen {
    /// The whole key.
    pub(super) key: String,
    pub(super) setting: &'static Setting,
    /// `None` for a setting that has no value, or an invalid one and no default.
    pub(super) value: Option<Value>,
    pub(super) origin: Origin,
}

impl Values {
    /// Chooses for each setting the strongest of what was given, or its default. What the others
    /// gave must be valid too, except for variables that are shared: overriding one is how one
    /// runs where it holds what spandrel cannot do.
    pub(super) fn choose(
        given: &[Given],
        mut problems: ConfigError,
        warnings: Vec<String>,
    ) -> Self {
        let names = names(given, &mut problems);
        let keys = settings::keys(&names);
        let mut values = Self { chosen: Vec::new(), names, problems, warnings };
        for (key, setting) in keys {
            let mut here: Vec<&Given> = given.iter().filter(|given| given.key == key).collect();
            here.sort_by_key(|given| std::cmp::Reverse(given.origin.rank()));
            let chosen = values.strongest(key, setting, &here);
            values.chosen.push(chosen);
        }
        values
    }

    fn strongest(&mut self, key: String, setting: &'static Setting, given: &[&Given]) -> Chosen {
        let mut chosen: Option<Chosen> = None;
        for Given { raw, origin, .. } in given {
            if chosen.is_some() && matches!(origin, Origin::Shared(_)) {
                continue;
            }
            let value = raw.clone().and_then(|raw| setting.kind.read(&raw));
            if let Err(text) = &value {
                self.problems.push(origin.problem(&key, text));
            }
            let value = value.ok().or_else(|| default(setting));
            chosen.get_or_insert_with(|| Chosen {
                key: key.clone(),
                setting,
                value,
                origin: origin.clone(),
            });
        }
        chosen.unwrap_or_else(|| Chosen {
            key,
            setting,
            value: default(setting),
            origin: Origin::Default,
        })
    }

    /// The names of the destinations, in the order in which they were given.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// What was given for the keys that begin with `prefix`, or follows for them.
    pub(super) fn under(&self, prefix: &str) -> impl Iterator<Item = &Chosen> {
        self.chosen.iter().filter(move |chosen| chosen.key.starts_with(prefix))
    }

    /// Takes `key` away as if there were no such setting.
    pub(super) fn forget(&mut self, key: &str) {
        self.chosen.retain(|chosen| chosen.key != key);
    }

    pub(super) fn all(&self) -> &[Chosen] {
        &self.chosen
    }

    /// Whether anybody gave `key` a value.
    pub(super) fn is_set(&self, key: &str) -> bool {
        *self.origin(key) != Origin::Default
    }

    /// Whether somebody gave `key` a value that it would not have anyway.
    pub(super) fn is_changed(&self, key: &str) -> bool {
        let chosen = self.chosen(key);
        chosen.origin != Origin::Default && chosen.value != default(chosen.setting)
    }

    pub(super) fn origin(&self, key: &str) -> &Origin {
        &self.chosen(key).origin
    }

    /// Gives `key`, which nobody set, the value that follows from other settings.
    pub(super) fn derive(&mut self, key: &str, value: Value) {
        self.chosen_mut(key).value = Some(value);
    }

    /// Takes away the value of `key`.
    pub(super) fn unset(&mut self, key: &str) {
        let chosen = self.chosen_mut(key);
        chosen.value = None;
        chosen.origin = Origin::Default;
    }

    /// Adds a problem with the value of `key`.
    pub(super) fn refuse(&mut self, key: &str, text: &str) {
        let problem = self.origin(key).problem(key, text);
        self.problems.push(problem);
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    pub(super) fn address(&self, key: &str) -> Option<SocketAddr> {
        self.value(key).map(|value| match value {
            Value::Address(address) => *address,
            _ => unreachable!("{key} is an address"),
        })
    }

    pub(super) fn application(&self, key: &str) -> Option<Authority> {
        self.value(key).map(|value| match value {
            Value::Application(authority) => authority.clone(),
            _ => unreachable!("{key} is an authority"),
        })
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.value(key).map(|value| match value {
            Value::Text(text) => text.clone(),
            _ => unreachable!("{key} is a text"),
        })
    }

    /// The text of `key` if somebody gave it one.
    pub(super) fn given_text(&self, key: &str) -> Option<String> {
        self.text(key).filter(|_| self.is_set(key))
    }

    /// The text of a setting that has a default.
    pub(super) fn word(&self, key: &str) -> String {
        self.text(key).expect("the setting has a default")
    }

    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        match self.value(key) {
            Some(Value::Bool(is)) => *is,
            _ => unreachable!("{key} is true or false and has a default"),
        }
    }

    pub(super) fn duration(&self, key: &str) -> Duration {
        match self.value(key) {
            Some(Value::Duration(time)) => *time,
            _ => unreachable!("{key} is a duration and has a default"),
        }
    }

    pub(super) fn ratio(&self, key: &str) -> f64 {
        match self.value(key) {
            Some(Value::Ratio(ratio)) => *ratio,
            _ => unreachable!("{key} is a ratio and has a default"),
        }
    }

    pub(super) fn count(&self, key: &str) -> usize {
        usize::try_from(self.number(key)).unwrap_or(usize::MAX)
    }

    /// A size or a count that may be greater than what memory can hold.
    pub(super) fn number(&self, key: &str) -> u64 {
        match self.value(key) {
            Some(Value::Number(n)) => *n,
            _ => unreachable!("{key} is a number and has a default"),
        }
    }

    pub(super) fn list(&self, key: &str) -> Vec<String> {
        match self.value(key) {
            Some(Value::List(items)) => items.clone(),
            _ => unreachable!("{key} is a list and has a default"),
        }
    }

    pub(super) fn map(&self, key: &str) -> Vec<(String, String)> {
        match self.value(key) {
            Some(Value::Map(pairs)) => pairs.clone(),
            _ => unreachable!("{key} is a map and has a default"),
        }
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.chosen(key).value.as_ref()
    }

    fn chosen(&self, key: &str) -> &Chosen {
        let mut all = self.chosen.iter();
        all.find(|chosen| chosen.key == key).expect("only keys of the table are asked for")
    }

    fn chosen_mut(&mut self, key: &str) -> &mut Chosen {
        let mut all = self.chosen.iter_mut();
        all.find(|chosen| chosen.key == key).expect("only keys of the table are asked for")
    }
}

/// The names that were given to the members of the family, the good ones.
fn names(given: &[Given], problems: &mut ConfigError) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for Given { key, setting, origin, .. } in given {
        let Some(name) = setting.name_in(key).filter(|name| !all.iter().any(|n| n == name)) else {
            continue;
        };
        if !settings::is_name(name) {
            problems.push(
                origin.problem(
                    &shortened(key),
                    &format!("expected {A_NAME}, found {}", quoted(name)),
                ),
            );
        } else if all.len() == MAX_NAMES {
            problems.push(
                origin.problem(
                    &shortened(key),
                    &format!("expected at most {MAX_NAMES} destinations"),
                ),
            );
        }
        all.push(name.to_owned());
    }
    all.retain(|name| settings::is_name(name));
    all.truncate(MAX_NAMES);
    all
}

fn default(setting: &Setting) -> Option<Value> {
    let read = |text| setting.kind.split(text).and_then(|raw| setting.kind.read(&raw));
    setting.default.map(|text| read(text).expect("the defaults of the table are valid"))
}
