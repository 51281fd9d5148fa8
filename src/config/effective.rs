//! The configuration as it is in effect: every key, its value and who gave it.

use std::fmt;

use super::problem::Origin;
use super::settings::Setting;
use super::values::{Chosen, Values};

/// Every setting in effect. Displays as YAML that is itself a valid file of settings, with the
/// origin of each value beside it and with secrets left out.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The settings, in the order of the table.
    pub entries: Vec<Entry>,
}

/// One setting in effect.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The whole key.
    pub key: String,
    /// The setting.
    pub setting: &'static Setting,
    /// Its value as YAML on one line, secrets left out; `None` if it has none.
    pub value: Option<String>,
    /// Who gave it.
    pub origin: Origin,
}

/// The column that origins stand in, as far as values leave it free.
const ORIGIN_COLUMN: usize = 56;

impl Effective {
    pub(super) fn of(values: &Values) -> Self {
        let entry = |Chosen { key, setting, value, origin }: &Chosen| Entry {
            key: key.clone(),
            setting,
            value: value.as_ref().map(|value| setting.kind.write(value)),
            origin: origin.clone(),
        };
        Self { entries: values.all().iter().map(entry).collect() }
    }

    /// The entry of `key`, if there is such a setting.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut open: Vec<&str> = Vec::new();
        for Entry { key, value, origin, .. } in &self.entries {
            let mut groups: Vec<&str> = key.split('.').collect();
            let name = groups.pop().unwrap_or_default();
            let shared = open.iter().zip(&groups).take_while(|(a, b)| a == b).count();
            for (depth, group) in groups.iter().enumerate().skip(shared) {
                writeln!(f, "{:indent$}{group}:", "", indent = 2 * depth)?;
            }
            let indent = 2 * groups.len();
            open = groups;
            match value {
                Some(value) => {
                    let line = format!("{:indent$}{name}: {value}", "");
                    writeln!(f, "{line:ORIGIN_COLUMN$} # {origin}")?;
                }
                None => writeln!(f, "{:indent$}# {name}: not set", "")?,
            }
        }
        Ok(())
    }
}
