//! What the tests share: a sidecar in this process, and the peers on every side of it.
//!
//! Nothing here retries or sleeps to let something happen: every step waits for its own cause,
//! and fails with what was seen instead when that does not come within [`PATIENCE`].

pub(crate) mod app;
pub(crate) mod ask;
pub(crate) mod collector;
pub(crate) mod http2;
pub(crate) mod peer;
pub(crate) mod program;
pub(crate) mod sources;

use std::time::Duration;

/// How long one step of a test may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How long something that must not happen is waited for. Too short a wait can only let a fault
/// pass, never fail a test that is right.
pub(crate) const GLANCE: Duration = Duration::from_millis(30);

/// The result of a step that must come.
pub(crate) async fn soon<T>(what: &str, step: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, step).await {
        Ok(result) => result,
        Err(_late) => panic!("{what} did not happen in time"),
    }
}
