//! spandrel: a sidecar proxy that gives a service distributed tracing without a line of code.

pub mod admin;
pub mod export;
pub mod metrics;
pub mod proxy;
pub mod telemetry;
pub mod trace;
