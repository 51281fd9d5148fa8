//! The addresses of a collector's name: used in turn, and followed when they change.
//!
//! Each new connection begins with the next address, and with those last that did not answer
//! lately. While connections live, their names are looked up again from time to time.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::faults::Fault;

/// How often a name that is in use is looked up again.
pub(super) const LOOK_UP_EVERY: Duration = Duration::from_secs(30);

/// How long an address that did not answer is only tried after the others.
const AVOIDED_FOR: Duration = Duration::from_secs(30);

/// The most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// The most names that are followed: a destination has one, or one for each signal.
const MAX_NAMES: usize = 8;

/// Knows the addresses of names.
pub(super) trait Resolve: fmt::Debug + Send + Sync {
    /// Looks them up.
    fn resolve(&self, host: &str, port: u16) -> Resolving;
}

/// A future that a [`Resolve`] gives.
pub(super) type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// As the system does it.
#[derive(Debug)]
struct System;

impl Resolve for System {
    fn resolve(&self, host: &str, port: u16) -> Resolving {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// What one client knows of the names that it connects to. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Names {
    resolver: Arc<dyn Resolve>,
    known: Arc<Mutex<HashMap<Name, Known>>>,
}

/// A host and a port.
pub(super) type Name = (String, u16);

#[derive(Debug)]
struct Known {
    looked_up: Instant,
    /// How many connections have begun.
    turn: usize,
    /// Addresses that did not answer, and when.
    avoided: Vec<(SocketAddr, Instant)>,
    /// The addresses of the connections that live.
    used: Vec<Weak<SocketAddr>>,
}

impl Default for Names {
    fn default() -> Self {
        Self::by(Arc::new(System))
    }
}

impl Names {
    /// Those that `resolver` knows.
    pub(super) fn by(resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver, known: Arc::default() }
    }

    /// The addresses of a host, in the order in which a new connection tries them.
    pub(super) async fn addresses(&self, name: &Name) -> io::Result<Vec<SocketAddr>> {
        let mut found = self.look_up(name).await?;
        let now = Instant::now();
        let mut known = self.known();
        if known.len() >= MAX_NAMES && !known.contains_key(name) {
            return Ok(found);
        }
        let known = known.entry(name.clone()).or_insert_with(|| Known::at(now));
        known.looked_up = now;
        if !found.is_empty() {
            let first = known.turn % found.len();
            found.rotate_left(first);
        }
        known.turn = known.turn.wrapping_add(1);
        known.avoided.retain(|(_, since)| now.duration_since(*since) < AVOIDED_FOR);
        found.sort_by_key(|address| known.avoided.iter().any(|(avoided, _)| avoided == address));
        Ok(found)
    }

    async fn look_up(&self, (host, port): &Name) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, *port)]);
        }
        let mut found = self.resolver.resolve(host, *port).await.map_err(|error| {
            io::Error::other(Fault::Unresolved { host: host.clone(), error: error.to_string() })
        })?;
        found.truncate(MAX_ADDRESSES);
        Ok(found)
    }

    /// Notes that a connection to `address` lives as long as what this gives.
    pub(super) fn use_of(&self, name: &Name, address: SocketAddr) -> Arc<SocketAddr> {
        let used = Arc::new(address);
        if let Some(known) = self.known().get_mut(name) {
            known.used.retain(|used| used.strong_count() > 0);
            known.used.push(Arc::downgrade(&used));
            known.avoided.retain(|(avoided, _)| *avoided != address);
        }
        used
    }

    /// Notes that these did not answer, or not as fast as others.
    pub(super) fn avoid(&self, name: &Name, addresses: &[SocketAddr]) {
        let now = Instant::now();
        if let Some(known) = self.known().get_mut(name) {
            known.avoided.retain(|(avoided, _)| !addresses.contains(avoided));
            known.avoided.extend(addresses.iter().map(|address| (*address, now)));
        }
    }

    /// The names in use that it is time to look up again; asked again, it gives them no more.
    pub(super) fn due(&self) -> Vec<Name> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (name, known) in &mut *self.known() {
            let is_in_use = known.used.iter().any(|used| used.strong_count() > 0);
            let is_name = name.0.parse::<IpAddr>().is_err();
            if is_name && is_in_use && now.duration_since(known.looked_up) >= LOOK_UP_EVERY {
                known.looked_up = now;
                due.push(name.clone());
            }
        }
        due
    }

    /// Whether a connection lives to an address that the name does not have any more. Where the
    /// name cannot be looked up, nothing is known to have changed.
    pub(super) async fn has_moved(&self, name: &Name) -> bool {
        let Ok(found) = self.look_up(name).await else { return false };
        let known = self.known();
        let Some(known) = known.get(name).filter(|_| !found.is_empty()) else { return false };
        known.used.iter().filter_map(Weak::upgrade).any(|used| !found.contains(&used))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Name, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    const fn at(looked_up: Instant) -> Self {
        Self { looked_up, turn: 0, avoided: Vec::new(), used: Vec::new() }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Answers with what it holds.
    #[derive(Debug, Default)]
    pub(in crate::export) struct Table(pub(in crate::export) Mutex<Vec<SocketAddr>>);

    impl Table {
        pub(in crate::export) fn of(addresses: &[SocketAddr]) -> Arc<Self> {
            Arc::new(Self(Mutex::new(addresses.to_vec())))
        }

        pub(in crate::export) fn set(&self, addresses: &[SocketAddr]) {
            *self.0.lock().unwrap() = addresses.to_vec();
        }
    }

    impl Resolve for Table {
        fn resolve(&self, _: &str, _: u16) -> Resolving {
            let found = self.0.lock().unwrap().clone();
            let none = || io::Error::other("no such name");
            Box::pin(async move { if found.is_empty() { Err(none()) } else { Ok(found) } })
        }
    }

    fn at(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 4317))
    }

    fn name() -> Name {
        ("collector".to_owned(), 4317)
    }

    #[tokio::test(start_paused = true)]
    async fn each_connection_begins_with_the_next_address() {
        let names = Names::by(Table::of(&[at(1), at(2), at(3)]));
        let mut begun = Vec::new();
        for _ in 0..4 {
            begun.push(names.addresses(&name()).await.unwrap());
        }
        assert_eq!(begun[0], [at(1), at(2), at(3)]);
        assert_eq!(begun[1], [at(2), at(3), at(1)]);
        assert_eq!(begun[2], [at(3), at(1), at(2)]);
        assert_eq!(begun[3], begun[0]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_did_not_answer_comes_last_for_a_while() {
        let names = Names::by(Table::of(&[at(1), at(2)]));
        assert_eq!(names.addresses(&name()).await.unwrap(), [at(1), at(2)]);
        names.avoid(&name(), &[at(1)]);
        for _ in 0..3 {
            assert_eq!(names.addresses(&name()).await.unwrap(), [at(2), at(1)]);
        }
        tokio::time::advance(AVOIDED_FOR).await;
        assert_eq!(names.addresses(&name()).await.unwrap(), [at(1), at(2)]);
        names.avoid(&name(), &[at(2)]);
        let _used = names.use_of(&name(), at(2));
        assert_eq!(names.addresses(&name()).await.unwrap(), [at(2), at(1)], "it answers again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_in_use_is_looked_up_again_and_one_out_of_use_is_not() {
        let table = Table::of(&[at(1)]);
        let names = Names::by(Arc::clone(&table) as Arc<dyn Resolve>);
        names.addresses(&name()).await.unwrap();
        let used = names.use_of(&name(), at(1));
        assert!(names.due().is_empty());
        tokio::time::advance(LOOK_UP_EVERY).await;
        assert_eq!(names.due(), [name()]);
        assert!(names.due().is_empty(), "once each time");
        assert!(!names.has_moved(&name()).await);
        table.set(&[at(1), at(2)]);
        assert!(!names.has_moved(&name()).await, "it is still there");
        table.set(&[]);
        assert!(!names.has_moved(&name()).await, "nothing is known");
        table.set(&[at(2)]);
        assert!(names.has_moved(&name()).await);
        drop(used);
        tokio::time::advance(LOOK_UP_EVERY).await;
        assert!(names.due().is_empty() && !names.has_moved(&name()).await);
    }

    #[tokio::test]
    async fn an_address_is_its_own_name_and_what_has_none_is_told() {
        let names = Names::by(Table::of(&[]));
        let own = ("::1".to_owned(), 80);
        assert_eq!(names.addresses(&own).await.unwrap(), ["[::1]:80".parse().unwrap()]);
        let error = names.addresses(&name()).await.unwrap_err().to_string();
        assert!(error.contains("`collector`"), "{error}");
    }
}
