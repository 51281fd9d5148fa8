//! spandrel's own logs and metrics: the only file that knows the OpenTelemetry SDK.

use std::time::Duration;

/// The settings of spandrel's own telemetry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which log lines are written, as a filter of `tracing-subscriber` (`info`, `spandrel=debug`).
    pub log_filter: String,
    /// How log lines are written to standard error.
    pub log_format: LogFormat,
    /// Whether log lines also go to the collector.
    pub logs_to_otlp: bool,
    /// Whether metrics also go to the collector.
    pub metrics_to_otlp: bool,
    /// How often metrics go to the collector.
    pub metrics_interval: Duration,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log_filter: "info".to_owned(),
            log_format: LogFormat::Text,
            logs_to_otlp: false,
            metrics_to_otlp: false,
            metrics_interval: Duration::from_secs(60),
        }
    }
}
