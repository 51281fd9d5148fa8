//! One single-threaded runtime: its listeners, its connections, its spans, its counters.
//!
//! Everything here belongs to one thread. Nothing on the path of a request is shared with
//! another worker, so plain cells do where others need locks.

use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::LocalOptions;
use tokio::sync::Notify;

use super::Config;
use super::balance::Seat;
use super::fault::{Fault, Kind, Side};
use super::inflight::InFlight;
use super::listener;
use crate::direction::Direction;
use crate::doctor::Ledger;
use crate::drain::{Phase, Watch};
use crate::export::Sink;
use crate::metrics::{
    CONNECTIONS, Counter, FAULTS, HEALTH_CHECKS, OPAQUE_CONNECTIONS, REQUESTS, Registry,
};
use crate::net::buffer::BufferPool;
use crate::net::clock::Clock;
use crate::net::idle::IdleWatch;
use crate::net::own::OwnSockets;
use crate::trace::IdGenerator;
use crate::trace::semconv::Servers;
use crate::trace::span::{Attributes, Span};

/// How long a finished span may stay with its worker before it is handed to the exporter.
const HAND_OVER_DELAY: Duration = Duration::from_millis(100);
/// The most attribute buffers kept for the next exchange.
const MAX_SCRATCH: usize = 64;
/// The largest attribute buffer that is kept, in bytes.
const MAX_SCRATCH_BYTES: usize = 16 * 1024;
/// How many times in a progress interval one looks whether it is over: it is told at most a
/// quarter late.
const LOOKS: u32 = 4;

/// What the connections of one worker share.
#[derive(Debug)]
pub struct Worker {
    /// The settings.
    pub config: Arc<Config>,
    /// Where spandrel listens, and for what.
    pub listening: Vec<(Direction, SocketAddr)>,
    /// The requests that the application is working on.
    pub in_flight: InFlight,
    /// The connections that spandrel makes.
    pub own_sockets: OwnSockets,
    /// The time.
    pub clock: Clock,
    /// Makes new ids.
    pub ids: RefCell<IdGenerator>,
    /// Spare read buffers.
    pub pool: Rc<BufferPool>,
    /// The servers that spans have named last.
    pub servers: Servers,
    /// The numbers of this worker.
    pub counters: Counters,
    /// What this worker knows of trace context.
    pub doctor: Ledger,
    /// Requests that have begun and not ended.
    pub requests_open: Cell<usize>,
    sink: RefCell<Sink>,
    scratch: RefCell<Vec<Vec<u8>>>,
    has_finished_spans: Notify,
    phase: Cell<Phase>,
    phase_changed: Notify,
}

/// What a worker needs to be made, all of it fit to be sent to the worker's thread.
#[derive(Debug)]
pub struct Parts {
    /// The settings.
    pub config: Arc<Config>,
    /// The listeners, with the direction of what they accept and this worker's seat at each.
    pub listeners: Vec<(Direction, TcpListener, Seat)>,
    /// This worker's handle on the requests in flight.
    pub in_flight: InFlight,
    /// The connections that spandrel makes.
    pub own_sockets: OwnSockets,
    /// This worker's part of what is known of trace context.
    pub doctor: Ledger,
    /// Where finished spans go.
    pub sink: Sink,
    /// Where the numbers go.
    pub registry: Arc<Registry>,
    /// The time, by the same anchor for all workers.
    pub clock: Clock,
    /// The start of the ids.
    pub seed: [u8; 32],
    /// When to stop.
    pub drain: Watch,
}

/// The bound counters of a worker.
#[derive(Debug)]
pub struct Counters {
    requests: [[Counter; STATUS_CLASSES.len()]; 2],
    faults: [[Counter; Kind::ALL.len()]; 3],
    connections: [Counter; 2],
    opaque: [[Counter; PROTOCOLS.len()]; 2],
    /// Health checks.
    pub health_checks: Counter,
}

/// The values of the label `status`: the class of the status code, or that there was none.
const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The values of the label `protocol` of opaque connections.
const PROTOCOLS: [&str; 2] = ["tls", "tcp"];

/// Runs a worker until it has drained, or is forced to stop.
///
/// # Errors
/// When the runtime cannot be made or the listeners cannot be used.
pub fn run(parts: Parts) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(MAX_RESOLVER_THREADS)
        .build_local(LocalOptions::default())?;
    let result = runtime.block_on(work(parts));
    // This cuts off what is left, and each exchange records its own end. A name that is still being
    // looked up must not hold that up.
    runtime.shutdown_background();
    result
}

/// Threads that resolve names, at a time.
const MAX_RESOLVER_THREADS: usize = 32;

async fn work(mut parts: Parts) -> std::io::Result<()> {
    let mut drain = parts.drain.clone();
    let listeners: Vec<_> = std::mem::take(&mut parts.listeners)
        .into_iter()
        .map(|(direction, socket, seat)| {
            let address = socket.local_addr()?;
            Ok((direction, address, tokio::net::TcpListener::from_std(socket)?, seat))
        })
        .collect::<std::io::Result<_>>()?;
    let listening = listeners.iter().map(|(direction, at, ..)| (*direction, *at)).collect();
    let worker = Rc::new(Worker::new(parts, listening));
    let hand_over = tokio::task::spawn_local(Rc::clone(&worker).hand_over_spans());
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|(direction, _, socket, seat)| {
            tokio::task::spawn_local(listener::run(Rc::clone(&worker), direction, socket, seat))
        })
        .collect();
    drain.reached(Phase::Draining).await;
    worker.enter(Phase::Draining);
    let drained = async {
        for listener in accepting {
            // A listener's task ends when its connections have; it cannot fail.
            listener.await.ok();
        }
    };
    tokio::select! {
        () = drained => {}
        () = drain.reached(Phase::Forced) => {}
    }
    worker.enter(Phase::Forced);
    hand_over.abort();
    Ok(())
}

impl Worker {
    /// A worker that listens there; the listeners themselves are no part of it.
    pub(super) fn new(parts: Parts, listening: Vec<(Direction, SocketAddr)>) -> Self {
        Self {
            counters: Counters::register(&parts.registry),
            listening,
            config: parts.config,
            in_flight: parts.in_flight,
            own_sockets: parts.own_sockets,
            doctor: parts.doctor,
            clock: parts.clock,
            ids: RefCell::new(IdGenerator::from_seed(parts.seed)),
            pool: Rc::default(),
            servers: Servers::default(),
            requests_open: Cell::new(0),
            sink: RefCell::new(parts.sink),
            scratch: RefCell::default(),
            has_finished_spans: Notify::new(),
            phase: Cell::new(Phase::Running),
            phase_changed: Notify::new(),
        }
    }

    /// Counts a finished span and leaves it to be handed over.
    pub fn finish(&self, span: Span, name: &[&[u8]], trace_state: &[u8], attributes: &Attributes) {
        self.sink.borrow_mut().finish(span, name, trace_state, attributes);
        self.has_finished_spans.notify_one();
    }

    /// The port that is listened on for this direction.
    #[must_use]
    pub fn listening_port(&self, direction: Direction) -> u16 {
        let own = self.listening.iter().find(|(of, _)| *of == direction);
        own.map(|(_, address)| address.port()).unwrap_or_default()
    }

    /// Whether outbound requests come through spandrel too, and may have to be joined.
    #[must_use]
    pub fn has_outbound(&self) -> bool {
        self.config.outbound.is_some()
    }

    /// Whether there is room for one more request.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.requests_open.get() <= self.config.limits.requests / self.config.workers.max(1)
    }

    /// A watch over a connection or a stream: it fires after silence, and ticks often enough for
    /// progress to be told in time.
    #[must_use]
    pub fn idle_watch(&self) -> IdleWatch {
        let timeout = self.config.limits.idle_timeout;
        let interval = self.config.tracing.progress_interval;
        IdleWatch::ticking(timeout, interval.unwrap_or(timeout) / LOOKS)
    }

    /// Whether new work is still taken.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.phase.get() >= Phase::Draining
    }

    /// Whether what runs is being cut off.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.phase.get() >= Phase::Forced
    }

    /// Waits until no new work is to be taken.
    pub async fn draining(&self) {
        while !self.is_draining() {
            self.phase_changed.notified().await;
        }
    }

    /// Enters a phase, and tells those who wait for it.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.phase_changed.notify_waiters();
    }

    /// An empty buffer for attributes.
    #[must_use]
    pub fn take_scratch(&self) -> Vec<u8> {
        self.scratch.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub fn give_scratch(&self, buffer: Vec<u8>) {
        let mut scratch = self.scratch.borrow_mut();
        if scratch.len() < MAX_SCRATCH && buffer.capacity() <= MAX_SCRATCH_BYTES {
            scratch.push(buffer);
        }
    }

    /// Hands finished spans over soon after the first of them, so that an idle worker sleeps.
    async fn hand_over_spans(self: Rc<Self>) {
        loop {
            self.has_finished_spans.notified().await;
            tokio::time::sleep(HAND_OVER_DELAY).await;
            self.sink.borrow_mut().flush();
        }
    }
}

impl Drop for Worker {
    /// The last connection is gone, so the last spans are finished.
    fn drop(&mut self) {
        self.sink.borrow_mut().flush();
    }
}

impl Counters {
    fn register(registry: &Registry) -> Self {
        let way = |direction: Direction| ("direction", direction.as_str());
        Self {
            requests: Direction::ALL.map(|direction| {
                STATUS_CLASSES
                    .map(|class| registry.counter(REQUESTS, &[way(direction), ("status", class)]))
            }),
            faults: Side::ALL.map(|side| {
                let side = ("side", side.as_str());
                Kind::ALL.map(|kind| registry.counter(FAULTS, &[side, ("kind", kind.as_str())]))
            }),
            connections: Direction::ALL
                .map(|direction| registry.counter(CONNECTIONS, &[way(direction)])),
            opaque: Direction::ALL.map(|direction| {
                PROTOCOLS.map(|protocol| {
                    let labels = [way(direction), ("protocol", protocol)];
                    registry.counter(OPAQUE_CONNECTIONS, &labels)
                })
            }),
            health_checks: registry.counter(HEALTH_CHECKS, &[]),
        }
    }

    /// The counter of requests that ended with this status.
    #[must_use]
    pub fn request(&self, direction: Direction, status: Option<u16>) -> &Counter {
        let [none, informational, success, redirect, client, server] =
            pick(&self.requests, direction);
        match status.map(|code| code / 100) {
            Some(1) => informational,
            Some(2) => success,
            Some(3) => redirect,
            Some(4) => client,
            Some(5) => server,
            _ => none,
        }
    }

    /// The gauge of open connections.
    #[must_use]
    pub const fn connections(&self, direction: Direction) -> &Counter {
        pick(&self.connections, direction)
    }

    /// The counter of opaque connections.
    #[must_use]
    pub const fn opaque(&self, direction: Direction, is_tls: bool) -> &Counter {
        let [tls, tcp] = pick(&self.opaque, direction);
        if is_tls { tls } else { tcp }
    }

    /// The counter of this fault.
    #[must_use]
    pub fn fault(&self, fault: Fault) -> &Counter {
        let [downstream, upstream, proxy] = &self.faults;
        let kinds = match fault.side {
            Side::Downstream => downstream,
            Side::Upstream => upstream,
            Side::Proxy => proxy,
        };
        let at = Kind::ALL.iter().position(|kind| *kind == fault.kind).unwrap_or_default();
        kinds.get(at).unwrap_or(&self.health_checks)
    }
}

const fn pick<T>(both: &[T; 2], direction: Direction) -> &T {
    let [inbound, outbound] = both;
    match direction {
        Direction::Inbound => inbound,
        Direction::Outbound => outbound,
    }
}
