//! Configuration in, `Bound` out: every socket is bound before anything runs.
//!
//! The data path has its own threads, one a worker. Everything else (export, admin, the end)
//! lives on the control runtime, which is the caller's.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::admin::{self, State, Surface};
use crate::config::Config;
use crate::direction::Direction;
use crate::doctor::{Doctor, Ledger};
use crate::drain::{self, Phase, Trigger, Watch};
use crate::export::{self, ExportError, Pipeline, Sink};
use crate::footprint;
use crate::metrics::Registry;
use crate::net::own::OwnSockets;
use crate::net::{self, Taking, clock::Clock};
use crate::proxy::InboundMode;
use crate::proxy::balance::{self, Seat};
use crate::proxy::inflight::InFlight;
use crate::proxy::worker::{self, Parts};
use crate::reach::Reach;
use crate::receive::{self, ReceiveError, Receivers};

/// How long the workers may take to end once they are forced to.
const FORCED_END: Duration = Duration::from_secs(2);
/// What the system says where a capability is missing (EPERM).
const NOT_PERMITTED: i32 = 1;

/// The listening, not yet running, program.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    registry: Arc<Registry>,
    inbound: Option<TcpListener>,
    outbound: Option<TcpListener>,
    admin: TcpListener,
    metrics: Option<TcpListener>,
    sinks: Vec<Sink>,
    doctor: Doctor,
    ledgers: Vec<Ledger>,
    pipeline: Option<Pipeline>,
    /// Where the application's own telemetry is received; it goes the pipeline's way.
    receivers: Receivers,
    reach: Reach,
    own_sockets: OwnSockets,
}

/// The addresses that were really bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Requests into the application.
    pub inbound: Option<SocketAddr>,
    /// Requests out of the application.
    pub outbound: Option<SocketAddr>,
    /// The admin listener.
    pub admin: SocketAddr,
    /// The listener for probes and metrics alone.
    pub metrics: Option<SocketAddr>,
}

/// What a running program can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Finish what runs, then end; told twice, it means now.
    Gracefully,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything that ran was finished.
    Drained,
    /// Something was cut off.
    Forced,
}

/// Why the program cannot start, or ended.
#[derive(Debug)]
pub enum AppError {
    /// A listener cannot be bound.
    Bind {
        /// The setting that names the address.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// The exporter cannot be set up.
    Export(ExportError),
    /// The application's own telemetry cannot be received.
    Receive(ReceiveError),
    /// The system gives us no threads or no randomness.
    System(std::io::Error),
    /// A worker ended by itself.
    Worker(String),
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { key, address, error } if error.kind() == std::io::ErrorKind::AddrInUse => {
                write!(f, "{key}: {address} is in use, give another address or stop what uses it")
            }
            Self::Bind { key, error, .. } if error.raw_os_error() == Some(NOT_PERMITTED) => {
                write!(
                    f,
                    "{key}: the system does not let us take what is meant for others: give the \
                     capability NET_ADMIN, or set inbound.mode redirect"
                )
            }
            Self::Bind { key, address, error } => {
                write!(f, "{key}: cannot listen on {address}, give another address: {error}")
            }
            Self::Export(error) => error.fmt(f),
            Self::Receive(error) => error.fmt(f),
            Self::System(error) => write!(f, "the system gives no resources to start: {error}"),
            Self::Worker(reason) => {
                write!(f, "a worker ended, which is a fault of spandrel's: {reason}")
            }
        }
    }
}

impl std::error::Error for AppError {}

impl From<ReceiveError> for AppError {
    fn from(error: ReceiveError) -> Self {
        Self::Receive(error)
    }
}

impl From<std::io::Error> for AppError {
    fn from(error: std::io::Error) -> Self {
        Self::System(error)
    }
}

impl Bound {
    /// Binds every listener of the configuration.
    ///
    /// # Errors
    /// When one cannot be bound, or the exporter's settings cannot be used.
    pub fn bind(config: Config) -> Result<Self, AppError> {
        net::raise_open_files();
        let bind_as = |key, address, taking| {
            net::bind_as(address, taking).map_err(|error| AppError::Bind { key, address, error })
        };
        let bind = |key, address| bind_as(key, address, Taking::Own);
        let inbound = config.proxy.inbound.as_ref();
        let inbound = inbound
            .map(|inbound| bind_as("inbound.listen", inbound.listen, taking(&inbound.mode)))
            .transpose()?;
        let outbound = config.proxy.outbound.as_ref();
        let outbound = outbound.map(|o| bind("outbound.listen", o.listen)).transpose()?;
        let admin = bind("admin.listen", config.admin.listen)?;
        let metrics = config.admin.metrics_listen;
        let metrics = metrics.map(|address| bind("metrics.listen", address)).transpose()?;

        let receivers = receive::bind(&config.receive)?;

        let registry = Arc::<Registry>::default();
        let own_sockets = OwnSockets::default();
        let reach = Reach::default();
        let workers = config.proxy.workers.max(1);
        let (sinks, pipeline) = match &config.export {
            Some(export) => {
                let (sinks, pipeline) =
                    export::build(export, &registry, workers, &own_sockets, &reach)
                        .map_err(AppError::Export)?;
                (sinks, Some(pipeline))
            }
            None => ((0..workers).map(|_| Sink::disabled()).collect(), None),
        };
        let join_keys = &config.proxy.tracing.propagation.join_keys;
        let (doctor, ledgers) = Doctor::with_ledgers(workers, &registry, join_keys);
        Ok(Self {
            config,
            registry,
            inbound,
            outbound,
            admin,
            metrics,
            sinks,
            doctor,
            ledgers,
            pipeline,
            receivers,
            reach,
            own_sockets,
        })
    }

    /// The addresses that were bound.
    ///
    /// # Errors
    /// When a socket does not know its address.
    pub fn addresses(&self) -> std::io::Result<Addresses> {
        let address = |listener: &Option<TcpListener>| {
            listener.as_ref().map(TcpListener::local_addr).transpose()
        };
        Ok(Addresses {
            inbound: address(&self.inbound)?,
            outbound: address(&self.outbound)?,
            admin: self.admin.local_addr()?,
            metrics: address(&self.metrics)?,
        })
    }

    /// The numbers of the program.
    #[must_use]
    pub const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The connections that the program makes, among which those of its telemetry must be.
    #[must_use]
    pub const fn own_sockets(&self) -> &OwnSockets {
        &self.own_sockets
    }

    /// Runs until it is told to stop (or nobody is left who could), and has stopped: requests
    /// that run are finished within `drain_timeout`, then the last spans are sent within
    /// `flush_timeout`.
    ///
    /// # Errors
    /// When the program cannot start, or a worker ends by itself.
    pub async fn run(mut self, mut stop: mpsc::Receiver<Stop>) -> Result<End, AppError> {
        let addresses = self.addresses()?;
        let (trigger, watch) = drain::channel();
        let mut workers = self.start_workers(&watch)?;
        // Only the workers hold them now, so that they close when the workers stop accepting.
        (self.inbound, self.outbound) = (None, None);
        let (flush, flushing) = oneshot::channel::<()>();
        let flush_timeout = self.config.flush_timeout;
        let parts = self.receiving();
        let receivers = self.receivers;
        let (close_receivers, closing) = oneshot::channel::<()>();
        let receiving =
            parts.map(|parts| tokio::spawn(receivers.run(parts, async { drop(closing.await) })));
        let pipeline = self.pipeline.map(|pipeline| {
            let flushing = async { drop(flushing.await) };
            tokio::spawn(pipeline.run(flushing, flush_timeout))
        });
        let effective = self.config.effective.to_string();
        let state = Arc::new(State::new(self.registry, effective, self.doctor, self.reach));
        let listeners = [(Some(self.admin), Surface::All), (self.metrics, Surface::Probes)];
        for (listener, surface) in listeners {
            if let Some(listener) = listener {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                tokio::spawn(admin::serve(listener, surface, Arc::clone(&state)));
            }
        }
        state.set_ready(true);
        announce(&addresses);
        if let Err(error) = footprint::shrink() {
            tracing::debug!(%error, "the memory that only the start needed is kept");
        }

        let failed = tokio::select! {
            _told = stop.recv() => None,
            failed = workers.ended() => failed.err(),
        };
        state.set_ready(false);
        tracing::info!("draining");
        let end = drain_workers(&trigger, &mut workers, &mut stop, self.config.drain_timeout).await;
        // What the application tells of its own end is taken along.
        close_receivers.send(()).ok();
        if let Some(receiving) = receiving {
            receiving.await.map_err(std::io::Error::other)??;
        }
        // The pipeline may be gone already, with every sink.
        flush.send(()).ok();
        if let Some(mut pipeline) = pipeline {
            tracing::info!("sending the last spans");
            tokio::select! {
                _ended = &mut pipeline => {}
                () = told_again(&mut stop) => {
                    tracing::warn!("told to stop now: the last spans are lost");
                    pipeline.abort();
                }
            }
        }
        tracing::info!(?end, "stopped");
        failed.map_or(Ok(end), Err)
    }

    /// What receiving takes, where there is anywhere to go for what is received.
    fn receiving(&self) -> Option<receive::Parts> {
        let (pipeline, export) = self.pipeline.as_ref().zip(self.config.export.as_ref())?;
        Some(receive::Parts {
            forward: Arc::new(pipeline.forwarder(&self.registry)),
            resource: export.resource.clone(),
            sampler: self.config.proxy.tracing.sampler,
            registry: Arc::clone(&self.registry),
        })
    }

    fn start_workers(&mut self, watch: &Watch) -> Result<Workers, AppError> {
        let config = Arc::new(self.config.proxy.clone());
        let clock = Clock::anchored();
        let (ended, endings) = mpsc::channel(config.workers.max(1));
        let sinks = std::mem::take(&mut self.sinks);
        let mut running = 0;
        let handles = InFlight::handles(config.workers.max(1));
        let ledgers = std::mem::take(&mut self.ledgers);
        let listeners = self.share_listeners()?;
        let workers = sinks.into_iter().zip(handles).zip(ledgers).zip(listeners);
        for (((sink, in_flight), doctor), listeners) in workers {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
            let parts = Parts {
                config: Arc::clone(&config),
                listeners,
                in_flight,
                own_sockets: self.own_sockets.clone(),
                doctor,
                sink,
                registry: Arc::clone(&self.registry),
                clock,
                seed,
                drain: watch.clone(),
            };
            let ended = ended.clone();
            thread::Builder::new().name(format!("worker-{running}")).spawn(move || {
                let result = worker::run(parts).map_err(|error| error.to_string());
                // Nobody waits any more when the end was forced.
                ended.blocking_send(result).ok();
            })?;
            running += 1;
        }
        Ok(Workers { running, endings })
    }

    /// The same sockets for every worker: whoever is idle accepts, and who has the fewest
    /// connections serves.
    fn share_listeners(&self) -> std::io::Result<Vec<Vec<(Direction, TcpListener, Seat)>>> {
        let config = &self.config.proxy;
        let mut all: Vec<_> = (0..config.workers.max(1)).map(|_| Vec::new()).collect();
        let both = [(Direction::Inbound, &self.inbound), (Direction::Outbound, &self.outbound)];
        for (direction, listener) in both {
            let Some(listener) = listener else { continue };
            let seats = balance::seats(all.len(), config.most_connections());
            for (worker, seat) in all.iter_mut().zip(seats) {
                worker.push((direction, listener.try_clone()?, seat));
            }
        }
        Ok(all)
    }
}

/// What the inbound listener must take.
const fn taking(mode: &InboundMode) -> Taking {
    match mode {
        InboundMode::Tproxy { .. } => Taking::Tproxied,
        InboundMode::Explicit(_) | InboundMode::Redirect => Taking::Own,
    }
}

/// The workers that run.
struct Workers {
    running: usize,
    endings: mpsc::Receiver<Result<(), String>>,
}

impl Workers {
    /// Waits until all have ended, or one has failed.
    async fn ended(&mut self) -> Result<(), AppError> {
        while self.running > 0 {
            match self.endings.recv().await {
                Some(Ok(())) => self.running -= 1,
                Some(Err(reason)) => return Err(AppError::Worker(reason)),
                None => return Err(AppError::Worker("it panicked".to_owned())),
            }
        }
        Ok(())
    }
}

/// Lets the workers finish what runs; a second order, or the deadline, cuts them off.
async fn drain_workers(
    trigger: &Trigger,
    workers: &mut Workers,
    stop: &mut mpsc::Receiver<Stop>,
    drain_timeout: Duration,
) -> End {
    trigger.advance(Phase::Draining);
    let end = tokio::select! {
        _ended = workers.ended() => End::Drained,
        () = tokio::time::sleep(drain_timeout) => End::Forced,
        () = told_again(stop) => End::Forced,
    };
    trigger.advance(Phase::Forced);
    if timeout(FORCED_END, workers.ended()).await.is_err() {
        tracing::error!("workers did not end in time");
    }
    end
}

async fn told_again(stop: &mut mpsc::Receiver<Stop>) {
    // A sender that is gone tells nothing.
    if stop.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

fn announce(addresses: &Addresses) {
    let Addresses { inbound, outbound, admin, metrics } = addresses;
    let address = |a: &Option<SocketAddr>| a.map_or_else(|| "none".to_owned(), |a| a.to_string());
    tracing::info!(
        inbound = address(inbound),
        outbound = address(outbound),
        metrics = address(metrics),
        %admin,
        "listening"
    );
}
