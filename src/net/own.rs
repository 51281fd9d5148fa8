//! Our own connections to others, by the addresses of both ends.
//!
//! One end alone would not do: the system gives the same port to several connections that have
//! different ends, so that the application may have it as well.
//!
//! Where the rules that redirect traffic do not spare spandrel's own, a connection that it makes
//! comes back to it, and one becomes many. The peer of such a connection is one of ours.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use super::canonical;
use crate::direction::Direction;

/// How many tables there are, so that workers seldom want the same.
const SHARDS: usize = 16;

/// The connections that spandrel makes. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct OwnSockets {
    shards: Arc<[Mutex<HashMap<Ends, Purpose>>; SHARDS]>,
    /// Held for reading from before a connection begins until it is noted.
    beginning: Arc<RwLock<()>>,
}

/// From where to where a connection goes.
type Ends = (SocketAddr, SocketAddr);

/// What a connection of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To pass on what came this way.
    Traffic(Direction),
    /// To send telemetry.
    Telemetry,
}

/// Forgets a connection when it is dropped.
#[derive(Debug)]
pub struct Registered {
    all: OwnSockets,
    ends: Ends,
}

impl OwnSockets {
    /// Notes a connection that we make from `local` to `remote`.
    #[must_use]
    pub fn register(&self, local: SocketAddr, remote: SocketAddr, purpose: Purpose) -> Registered {
        let ends = (canonical(local), canonical(remote));
        self.shard(ends).insert(ends, purpose);
        Registered { all: self.clone(), ends }
    }

    /// To be held from before a connection begins until it is noted: its other end, which may be a
    /// listener of ours on another thread, is told of it as soon as it begins.
    pub fn beginning(&self) -> RwLockReadGuard<'_, ()> {
        self.beginning.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the connection is for that comes from `peer` and was meant for `meant`, if it is one of
    /// ours.
    #[must_use]
    pub fn purpose(&self, peer: SocketAddr, meant: SocketAddr) -> Option<Purpose> {
        let ends = (canonical(peer), canonical(meant));
        // Whoever began before this peer came to us has noted it then.
        drop(self.beginning.write().unwrap_or_else(PoisonError::into_inner));
        self.shard(ends).get(&ends).copied()
    }

    fn shard(&self, (local, _): Ends) -> MutexGuard<'_, HashMap<Ends, Purpose>> {
        let at = usize::from(local.port()) % SHARDS;
        let shard = self.shards.get(at).expect("the rest of a division is less than the divisor");
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.all.shard(self.ends).remove(&self.ends);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_known_while_it_lives() {
        let own = OwnSockets::default();
        let local: SocketAddr = "10.0.0.1:40000".parse().unwrap();
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:40000".parse().unwrap();
        let remote: SocketAddr = "10.0.0.2:80".parse().unwrap();
        let registered = own.register(mapped, remote, Purpose::Telemetry);
        assert_eq!(own.purpose(local, remote), Some(Purpose::Telemetry));
        assert_eq!(own.purpose("10.0.0.1:40016".parse().unwrap(), remote), None);
        // The same port with another end is somebody else's.
        assert_eq!(own.purpose(local, "10.0.0.2:81".parse().unwrap()), None);
        drop(registered);
        assert_eq!(own.purpose(local, remote), None);
    }

    #[test]
    fn whoever_asks_waits_for_what_has_begun() {
        let own = OwnSockets::default();
        let local: SocketAddr = "10.0.0.1:40000".parse().unwrap();
        let beginning = own.beginning();
        let asker = own.clone();
        let (tell, is_asking) = std::sync::mpsc::channel();
        let asking = std::thread::spawn(move || {
            tell.send(()).unwrap();
            asker.purpose(local, local)
        });
        is_asking.recv().unwrap();
        let _registered = own.register(local, local, Purpose::Telemetry);
        drop(beginning);
        assert_eq!(asking.join().unwrap(), Some(Purpose::Telemetry));
    }
}
