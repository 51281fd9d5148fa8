//! spandrel: a sidecar proxy that gives a service distributed tracing without a line of code.

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod direction;
pub mod drain;
pub mod export;
pub mod metrics;
pub mod net;
pub mod proxy;
pub mod telemetry;
pub mod trace;
