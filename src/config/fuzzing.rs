//! The file of settings as a text, for the fuzz targets: there only when they are built.

use super::problem::ConfigError;
use super::{Config, Environment, file};

/// The configuration that a file with this text amounts to.
///
/// # Errors
/// With everything that is wrong.
pub fn load(text: &str) -> Result<Config, ConfigError> {
    let mut problems = ConfigError::default();
    let given = file::parse("file", text, &mut problems);
    Config::combine(given, &Environment::new(), &[], problems)
}
