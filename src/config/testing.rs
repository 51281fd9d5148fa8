//! What the tests of this folder share: loading settings that are written in the test.

use super::env::Environment;
use super::problem::ConfigError;
use super::{Config, file};

/// The least that makes a configuration.
pub(super) const LEAST: &str = "inbound: {app: 8080}\n";

/// The configuration of a file called `spandrel.yaml`, of variables and of flags.
pub(super) fn load(
    yaml: &str,
    variables: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Config, ConfigError> {
    let mut problems = ConfigError::default();
    let given = file::parse("spandrel.yaml", yaml, &mut problems);
    Config::combine(given, &environment(variables), flags, problems)
}

pub(super) fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect()
}

/// The configuration of the least file and of `variables`.
pub(super) fn with(variables: &[(&str, &str)]) -> Config {
    load(LEAST, variables, &[]).unwrap()
}

/// What is wrong with a file, one problem a line.
pub(super) fn wrong_file(yaml: &str) -> String {
    load(yaml, &[], &[]).unwrap_err().to_string()
}

/// What is wrong with variables, one problem a line.
pub(super) fn wrong_variables(variables: &[(&str, &str)]) -> String {
    load(LEAST, variables, &[]).unwrap_err().to_string()
}

/// The value in effect of `key`, and its origin.
pub(super) fn effective(config: &Config, key: &str) -> (String, String) {
    let entry = config.effective.find(key).unwrap();
    (entry.value.clone().unwrap_or_default(), entry.origin.to_string())
}

/// Everything of a configuration that the program acts on, to compare.
pub(super) fn parts(config: &Config) -> String {
    let Config {
        proxy,
        export,
        receive,
        telemetry,
        redirect,
        admin,
        drain_timeout,
        flush_timeout,
        ..
    } = config;
    format!(
        "{proxy:#?} {export:#?} {receive:?} {telemetry:#?} {redirect:#?} {admin:#?} {drain_timeout:?} {flush_timeout:?}"
    )
}
