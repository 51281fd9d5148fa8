//! What `OTEL_TRACES_EXPORTER` chooses among the exporters that OpenTelemetry has names for.
//!
//! `otlp` is the destination of `export.otlp`. `zipkin` and `console` are destinations by these
//! names, which are as if they stood in the file.

use super::value::{parts, quoted};

pub(super) const VARIABLE: &str = "OTEL_TRACES_EXPORTER";

/// An exporter that OpenTelemetry has a name for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exporter {
    Otlp,
    Zipkin,
    Console,
}

/// The exporters that the value of the variable names; none for `none`.
///
/// # Errors
/// When it names another, or nothing.
pub(super) fn chosen(text: &str) -> Result<Vec<Exporter>, String> {
    let exporter = |name: &str| match name {
        "otlp" => Some(Exporter::Otlp),
        "zipkin" => Some(Exporter::Zipkin),
        "console" => Some(Exporter::Console),
        _ => None,
    };
    let expected = "expected otlp, zipkin, console, a list of these, or none";
    if text == "none" {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = parts(text).collect();
    match names.iter().find(|name| exporter(name).is_none()) {
        Some(name) => Err(format!("{expected}, found {}", quoted(name))),
        None if names.is_empty() => Err(format!("{expected}, found {}", quoted(text))),
        None => Ok(names.into_iter().filter_map(exporter).collect()),
    }
}

impl Exporter {
    /// What the exporter is as a destination by its name: the name, the last part of each key, and
    /// its value.
    pub(super) const fn as_destination(
        self,
    ) -> &'static [(&'static str, &'static str, &'static str)] {
        match self {
            Self::Otlp => &[],
            Self::Zipkin => &[("zipkin", "type", "zipkin")],
            Self::Console => &[("console", "type", "file"), ("console", "path", "-")],
        }
    }
}
