//! What was typed, and what it means for each module.
//!
//! Settings come from flags, `SPANDREL_*`, `OTEL_*`, a YAML file and defaults, the first of these
//! overriding the next. One table says what settings there are; the rest of the program sees only
//! the typed parts that this module makes of them, and never a text that should be a type.

mod destinations;
pub mod effective;
pub mod env;
mod export;
mod exporters;
mod file;
#[cfg(fuzzing)]
pub mod fuzzing;
mod listeners;
mod meaning;
mod otlp;
pub mod problem;
mod proxies;
mod receive;
mod redirect;
pub mod settings;
pub mod value;
mod values;

use std::path::Path;
use std::time::Duration;

pub use effective::Effective;
pub use env::Environment;
pub use problem::{ConfigError, Origin};
use settings::Setting;
use values::{Given, Values};

/// The whole configuration, by the modules that it is for.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data path.
    pub proxy: crate::proxy::Config,
    /// The export of spans; `None` when it is switched off.
    pub export: Option<crate::export::Config>,
    /// Where the application hands its own telemetry over.
    pub receive: crate::receive::Config,
    /// spandrel's own logs and metrics.
    pub telemetry: crate::telemetry::Config,
    /// The rules that redirect traffic.
    pub redirect: Box<crate::redirect::Config>,
    /// The admin listeners.
    pub admin: crate::admin::Config,
    /// How long requests may go on after spandrel was told to stop.
    pub drain_timeout: Duration,
    /// How long the last spans may then take to reach the collector.
    pub flush_timeout: Duration,
    /// Every setting as it is in effect, for people.
    pub effective: Effective,
    /// What was given and is valid, but has no effect: one sentence each, for the log.
    pub warnings: Vec<String>,
}

impl Config {
    /// Loads the configuration from what is given: the file, the environment, and the flags as
    /// pairs of the dotted key and the text.
    ///
    /// # Errors
    /// With everything that is wrong, each with its place, its key and what was expected.
    pub fn load(
        file: Option<&Path>,
        environment: &Environment,
        flags: &[(&str, &str)],
    ) -> Result<Self, ConfigError> {
        let mut problems = ConfigError::default();
        let from_file = file.map(|path| file::read(path, &mut problems)).unwrap_or_default();
        Self::combine(from_file, environment, flags, problems)
    }

    fn combine(
        from_file: Vec<Given>,
        environment: &Environment,
        flags: &[(&str, &str)],
        mut problems: ConfigError,
    ) -> Result<Self, ConfigError> {
        let mut warnings = Vec::new();
        let mut given = from_file;
        given.extend(env::read(environment, &mut problems, &mut warnings));
        given.extend(flags.iter().filter_map(|(key, text)| from_flag(key, text, &mut problems)));
        meaning::of(Values::choose(&given, problems, warnings))
    }
}

fn from_flag(key: &str, text: &str, problems: &mut ConfigError) -> Option<Given> {
    let Some(setting) = Setting::find(key) else {
        let meant = settings::suggestion(key, settings::keys_and_groups(key));
        problems.push(format!("{key}: unknown key{meant}"));
        return None;
    };
    let origin = Origin::Flag(setting.flag.unwrap_or(setting.key));
    let key = key.to_owned();
    Some(Given { key, setting, raw: setting.kind.split(text), origin })
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
