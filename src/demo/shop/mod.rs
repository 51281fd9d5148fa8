//! The shop: five ordinary services on loopback, which know nothing of tracing.
//!
//! ```text
//! gateway --> user
//! gateway --> order --> payment (gRPC)
//!             order --> inventory
//! ```
//!
//! Each listens on a socket of its own and makes its calls through the sidecar beside it, as
//! programs do where an HTTP proxy is set. All that they do for tracing is in `forward`. What they
//! call they count themselves, so that what the traces say can be held against it.

pub mod calls;
pub mod client;
pub mod forward;
pub mod gateway;
pub mod inventory;
pub mod order;
pub mod payment;
pub mod user;
pub mod web;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use tokio::task::JoinSet;

use calls::Calls;
use client::Client;

pub use forward::TENANT;
pub use inventory::BUSY_ITEM;
pub use payment::{EXPIRED_CARD, UNREADABLE_CARD};

/// A service of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Takes the requests of customers.
    Gateway,
    /// Knows the customers.
    User,
    /// Takes orders.
    Order,
    /// Charges cards, over gRPC; now and then it is slow.
    Payment,
    /// Knows what is in stock.
    Inventory,
}

/// The sockets that the services listen on.
#[derive(Debug)]
pub struct Doors(BTreeMap<Service, TcpListener>);

/// Where a sidecar listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    /// Where others call the service.
    pub inbound: SocketAddr,
    /// The proxy for the service's own calls.
    pub outbound: SocketAddr,
    /// Where it shows its numbers.
    pub admin: SocketAddr,
}

/// Where each service's sidecar is: all that a service knows of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Street(BTreeMap<Service, Sides>);

/// The open shop; it closes at once when it is dropped.
#[derive(Debug)]
pub struct Shop {
    calls: Calls,
    _services: JoinSet<()>,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 5] =
        [Self::Gateway, Self::User, Self::Order, Self::Payment, Self::Inventory];

    /// Its name, in traces as well.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::User => "user",
            Self::Order => "order",
            Self::Payment => "payment",
            Self::Inventory => "inventory",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The templates of the paths that the services are called with.
pub const ROUTES: [&str; 7] = [
    "/users/{id}",
    "/orders",
    "/orders/{id}/events",
    "/cart",
    "/report",
    "/items/{id}",
    "/items/{id}/reservation",
];

impl Doors {
    /// Binds a free port of loopback for each service.
    ///
    /// # Errors
    /// When the system has none.
    pub fn bind() -> io::Result<Self> {
        let bind = |service| Ok((service, crate::net::bind((Ipv4Addr::LOCALHOST, 0).into())?));
        Service::ALL.into_iter().map(bind).collect::<io::Result<_>>().map(Self)
    }

    /// Where a service listens.
    ///
    /// # Errors
    /// When its socket does not know.
    pub fn address(&self, service: Service) -> io::Result<SocketAddr> {
        self.0.get(&service).ok_or(io::ErrorKind::NotFound)?.local_addr()
    }

    fn open(&mut self, service: Service) -> io::Result<tokio::net::TcpListener> {
        let listener = self.0.remove(&service).ok_or(io::ErrorKind::NotFound)?;
        tokio::net::TcpListener::from_std(listener)
    }
}

impl Street {
    /// The street of these sidecars, which must be those of all services.
    #[must_use]
    pub fn new(sides: impl IntoIterator<Item = (Service, Sides)>) -> Self {
        Self(sides.into_iter().collect())
    }

    /// The sidecar beside a service.
    ///
    /// # Panics
    /// When the street is not that of all services.
    #[must_use]
    pub fn beside(&self, service: Service) -> Sides {
        *self.0.get(&service).expect("every service has a sidecar")
    }
}

impl Shop {
    /// Opens the shop: every service begins to take requests.
    ///
    /// # Errors
    /// When the system does not let them.
    pub fn open(mut doors: Doors, street: &Arc<Street>) -> io::Result<Self> {
        let calls = Calls::default();
        let client = |service| Client::new(service, Arc::clone(street), calls.clone());
        let mut services = JoinSet::new();
        let gateway = gateway::Gateway::new(client(Service::Gateway));
        services.spawn(web::serve(doors.open(Service::Gateway)?, gateway));
        services.spawn(web::serve(doors.open(Service::User)?, user::User));
        let till = payment::Till::new(street, calls.clone());
        let order = order::Order::new(client(Service::Order), till);
        services.spawn(web::serve(doors.open(Service::Order)?, order));
        services.spawn(payment::serve(doors.open(Service::Payment)?));
        services.spawn(web::serve(doors.open(Service::Inventory)?, inventory::Inventory));
        Ok(Self { calls, _services: services })
    }

    /// The calls that the services have made.
    #[must_use]
    pub const fn calls(&self) -> &Calls {
        &self.calls
    }
}
