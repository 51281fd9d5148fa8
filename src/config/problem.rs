//! Where a value came from, and everything that is wrong with a configuration.

use std::fmt;

/// Who gave a setting its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody: it is the default, or follows from other settings.
    Default,
    /// The file, on this line.
    File {
        /// The file as it was named.
        file: String,
        /// The line of the key, from 1.
        line: usize,
    },
    /// A variable that other programs know too: of OpenTelemetry, or for proxies.
    Shared(&'static str),
    /// A variable of spandrel's own.
    Spandrel(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl Origin {
    /// The higher of two overrides the other.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Shared(_) => 2,
            Self::Spandrel(_) => 3,
            Self::Flag(_) => 4,
        }
    }

    /// A problem with what this gave for `key`, as one line.
    pub(super) fn problem(&self, key: &str, text: &str) -> String {
        match self {
            Self::Default => format!("{key}: {text}"),
            Self::File { .. } => format!("{self}: {key}: {text}"),
            Self::Shared(_) | Self::Spandrel(_) | Self::Flag(_) => format!("{self}: {text}"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line } => write!(f, "{}:{line}", one_line(file)),
            Self::Shared(name) | Self::Flag(name) => f.write_str(name),
            Self::Spandrel(name) => f.write_str(name),
        }
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The most problems that are told at once.
const MAX_PROBLEMS: usize = 50;

/// Everything that is wrong with a configuration, one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
    untold: usize,
}

impl ConfigError {
    pub(super) fn push(&mut self, problem: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.untold += 1;
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// What is wrong, each a line that says where, which key and what was expected; at most 50.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))?;
        if self.untold > 0 {
            write!(f, "\nand {} more problems", self.untold)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
