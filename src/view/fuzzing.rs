//! The backend without its sockets, for the fuzz targets: there only when they are built.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;

use http::{Request, StatusCode};

use super::receive::take;
use super::sidecars::Sidecars;
use super::store::Store;
use super::{Addresses, Backend, State, api};
use crate::analysis::message::Malformed;
use crate::net::clock::Clock;
use crate::otlp::{Encoding, Signal};

/// A backend that nobody can connect to.
pub struct Unbound(Backend);

impl fmt::Debug for Unbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unbound").finish()
    }
}

impl Unbound {
    /// One that keeps traces in so many bytes.
    #[must_use]
    pub fn new(memory: usize) -> Self {
        let state =
            State { store: Store::new(memory), sidecars: Sidecars::default(), refused_requests: 0 };
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let clock = Clock::anchored();
        Self(Backend {
            state: Mutex::new(state),
            started: clock.now(),
            clock,
            addresses: Addresses { page: None, grpc: nowhere, http: nowhere },
        })
    }

    /// Takes a message of OTLP; how many items were taken, and how many refused.
    ///
    /// # Errors
    /// When it cannot be read, or nothing in it can.
    pub fn take(
        &self,
        signal: Signal,
        encoding: Encoding,
        body: &[u8],
    ) -> Result<(u64, u64), Malformed> {
        take(&self.0, signal, encoding, body).map(|outcome| (outcome.taken, outcome.refused))
    }

    /// The status of the answer to a question; `None` where the target is no URL.
    #[must_use]
    pub fn ask(&self, target: &str) -> Option<StatusCode> {
        let request = Request::get(target).body(()).ok()?;
        Some(api::answer(&self.0, &request).status())
    }

    /// How many bytes are kept, and how many may be.
    #[must_use]
    pub fn bytes(&self) -> (usize, usize) {
        self.0.state().store.bytes()
    }
}
