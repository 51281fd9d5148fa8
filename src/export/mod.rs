//! From finished spans to a collector.
//!
//! A worker writes its spans into a [`Sink`]; the [`Pipeline`] on the control thread gathers them
//! into batches, encodes each batch once, and sends it until it is taken, refused, or must make
//! room. No step waits for the one behind it without a bound, and every span that a sink took is
//! counted in the end as exported or as dropped for a reason, and never as both.

mod answer;
mod canary;
mod config;
mod connect;
mod destination;
mod encode;
mod exporter;
mod faults;
mod filter;
mod forward;
#[cfg(fuzzing)]
pub mod fuzzing;
mod json;
mod lines;
mod names;
mod otlp;
mod parcel;
mod pipeline;
mod proxies;
mod request;
mod sink;
pub mod spool;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transport;
mod zipkin;

use std::fmt;
use std::path::PathBuf;

pub use config::{
    Batch, Client, Compression, Config, Destination, Filter, Lines, Otlp, Protocol, Proxy, Queue,
    Target, WhenFull, Zipkin,
};
pub use connect::{Connector, OwnStream};
pub use encode::Encoder;
pub use forward::{Forwarder, Full};
pub use parcel::{Parcel, Signal};
pub use pipeline::Pipeline;
pub use request::headers;
pub use sink::Sink;
pub use transport::{Answer, Bounds, SendError, Transport, roots, uri};

use destination::{Accounts, Door, Limits, Terms, Times};
use exporter::Exporter;
use filter::Sieve;
use sink::Room;

use crate::metrics::{Books, Registry};
use crate::net::own::OwnSockets;
use crate::reach::Reach;

/// Why the export cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportError {
    /// The URL is none that can be sent to.
    Url {
        /// The URL as it was given.
        url: String,
    },
    /// A header cannot be sent. Its value, which may be a secret, is not repeated.
    Header {
        /// The header's name as it was given.
        name: String,
    },
    /// A proxy cannot be used. Its URL, which may have a password, is not repeated.
    Proxy {
        /// The variable of its name.
        name: &'static str,
    },
    /// A certificate or a key cannot be used.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { url } => write!(
                f,
                "`{url}` is not an OTLP endpoint: give a URL such as http://collector:4318"
            ),
            Self::Header { name } => write!(
                f,
                "the OTLP header `{name}` cannot be sent: use visible ASCII characters in its \
                 name and value"
            ),
            Self::Proxy { name } => write!(
                f,
                "the URL of the proxy in {name} cannot be used: give one such as \
                 http://proxy:3128, since others than HTTP proxies are not spoken to"
            ),
            Self::File { path, problem } => write!(
                f,
                "the PEM file `{}` for the OTLP endpoint cannot be used, correct it: {problem}",
                path.display()
            ),
        }
    }
}

impl std::error::Error for ExportError {}

/// The pipeline that `config` asks for, and a sink for each of `workers`. Its connections are among
/// `own`.
///
/// # Errors
/// When the endpoint, a header or a certificate of the settings cannot be used.
pub fn build(
    config: &Config,
    registry: &Registry,
    workers: usize,
    own: &OwnSockets,
    reach: &Reach,
) -> Result<(Vec<Sink>, Pipeline), ExportError> {
    let mut parts = Parts::new(config, registry, reach.clone());
    for destination in std::iter::once(&config.first).chain(&config.further) {
        registry.describe(&destination.component(config.batch.max_queue_size));
        parts.add(destination, exporter::connect(&destination.target, own)?);
    }
    Ok(parts.join(workers))
}

/// The parts of a pipeline, before they are joined.
struct Parts<'a> {
    config: &'a Config,
    registry: &'a Registry,
    /// The bounds of each destination.
    limits: Limits,
    doors: Vec<Door>,
    destinations: Vec<destination::Destination>,
    books: Vec<Books>,
    reach: Reach,
}

impl<'a> Parts<'a> {
    /// Of what may wait in memory, a quarter is for what comes from the workers, and the rest is
    /// shared evenly by the destinations, so that none takes the room of another.
    fn new(config: &'a Config, registry: &'a Registry, reach: Reach) -> Self {
        let destinations = 1 + config.further.len();
        let limits = Limits {
            bytes: config.queue.max_bytes / 4 * 3 / destinations,
            spans: config.batch.max_queue_size,
            parcel_spans: config.batch.max_export_batch_size,
            when_full: config.queue.when_full,
        };
        let (doors, destinations, books) = (Vec::new(), Vec::new(), Vec::new());
        Self { config, registry, limits, doors, destinations, books, reach }
    }

    fn add(&mut self, Destination { name, filter, .. }: &Destination, exporter: Box<dyn Exporter>) {
        let Self { config, registry, limits, .. } = *self;
        let accounts = Accounts::open(registry, name, |signal| exporter.takes(signal));
        let door = Door::new(limits, Sieve::new(filter), accounts.clone());
        let encoder = Encoder::new(&config.resource);
        let terms = Terms {
            times: Times {
                schedule_delay: config.batch.schedule_delay,
                export_timeout: config.batch.export_timeout,
            },
            spool: config.spool.clone(),
            has_canary: config.canary,
            reach: self.reach.clone(),
        };
        self.books.push(accounts.spans().clone());
        self.doors.push(door.clone());
        self.destinations
            .push(destination::Destination::new(name, door, exporter, encoder, accounts, terms));
    }

    fn join(self, workers: usize) -> (Vec<Sink>, Pipeline) {
        let room = Room {
            spans: self.config.batch.max_queue_size,
            bytes: self.config.queue.max_bytes / 4,
        };
        let (sinks, intake) = sink::open(workers, room, self.registry, &self.books);
        let canary = self.config.canary.then(|| canary::span(self.registry));
        (sinks, Pipeline::new(intake, canary, self.doors, self.destinations))
    }
}
