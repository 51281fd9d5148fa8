//! The admin listeners: is it alive, is it ready, what are its numbers and its settings.

use std::net::SocketAddr;

/// The settings of the admin listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where everything is served; loopback unless told otherwise.
    pub listen: SocketAddr,
    /// Where only probes and metrics are served, for what is outside the pod; `None` for nowhere.
    pub metrics_listen: Option<SocketAddr>,
}
