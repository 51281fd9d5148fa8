//! A real sidecar beside each service, set up with settings as anybody would give them.
//!
//! Each has its own listeners, its own worker thread and its own numbers. What they share is this
//! process and its control runtime.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::DemoError;
use super::shop::{Doors, ROUTES, Service, Sides, Street};
use crate::app::{AppError, Bound, End, Stop};
use crate::config::{Config, Environment};
use crate::export;
use crate::metrics::{Registry, SPANS_QUEUED};
use crate::telemetry::{self, Telemetry};

/// Where the shop is entered, if that port is free: where spandrel usually listens.
const ENTRANCE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 16006);
/// How long the last numbers may take to arrive.
const LAST_NUMBERS: Duration = Duration::from_millis(200);

/// What all of the sidecars are told. Traces are to be seen at once, and the end is to be quick.
const USUAL: [(&str, &str); 9] = [
    ("outbound.listen", "127.0.0.1:0"),
    ("admin.listen", "127.0.0.1:0"),
    ("service.resource", "service.namespace=shop"),
    ("export.batch.schedule_delay", "500ms"),
    ("export.batch.export_timeout", "5s"),
    ("metrics.otlp", "true"),
    ("metrics.interval", "5s"),
    ("limits.drain_timeout", "300ms"),
    ("limits.flush_timeout", "500ms"),
];

/// The sidecars of the shop, listening.
#[derive(Debug)]
pub struct Sidecars {
    all: Vec<Sidecar>,
}

#[derive(Debug)]
struct Sidecar {
    service: Service,
    bound: Bound,
    sides: Sides,
    /// What its own numbers are sent with.
    telemetry: telemetry::Config,
    export: Option<export::Config>,
}

/// The sidecars of the shop, running.
#[derive(Debug)]
pub struct Running {
    ends: JoinSet<Result<End, AppError>>,
    stops: Vec<mpsc::Sender<Stop>>,
    registries: Vec<Arc<Registry>>,
}

impl Sidecars {
    /// Binds one beside each service. Their spans go to `collector`, over OTLP/HTTP.
    ///
    /// # Errors
    /// When the system lacks the sockets.
    pub fn bind(doors: &Doors, collector: SocketAddr) -> Result<Self, DemoError> {
        let bind = |service| Sidecar::bind(service, doors.address(service)?, collector);
        Ok(Self { all: Service::ALL.into_iter().map(bind).collect::<Result<_, _>>()? })
    }

    /// Where each of them is.
    #[must_use]
    pub fn street(&self) -> Street {
        Street::new(self.all.iter().map(|sidecar| (sidecar.service, sidecar.sides)))
    }

    /// Sets them to work.
    ///
    /// # Errors
    /// When the numbers of one cannot be sent.
    pub fn start(self) -> Result<Running, DemoError> {
        let mut running = Running { ends: JoinSet::new(), stops: vec![], registries: vec![] };
        for sidecar in self.all {
            let Sidecar { bound, telemetry, export, .. } = sidecar;
            let registry = Arc::clone(bound.registry());
            let numbers = match export.as_ref().and_then(|e| Some((e.otlp()?, &e.resource))) {
                Some((otlp, resource)) => Some(Telemetry::metrics_only(
                    &telemetry,
                    otlp,
                    resource,
                    &registry,
                    &Handle::current(),
                    bound.own_sockets(),
                )?),
                None => None,
            };
            let (stop, stopped) = mpsc::channel(2);
            running.ends.spawn(async move {
                let end = Box::pin(bound.run(stopped)).await;
                if let Some(numbers) = numbers {
                    numbers.shutdown(LAST_NUMBERS).await;
                }
                end
            });
            running.stops.push(stop);
            running.registries.push(registry);
        }
        Ok(running)
    }
}

impl Sidecar {
    fn bind(service: Service, app: SocketAddr, collector: SocketAddr) -> Result<Self, DemoError> {
        let inbound = match service {
            Service::Gateway => super::usual_or_free(ENTRANCE),
            _ => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        };
        let (inbound, app) = (inbound.to_string(), app.to_string());
        let (collector, routes) = (format!("http://{collector}"), ROUTES.join(","));
        let own = [
            ("service.name", service.name()),
            ("inbound.listen", &inbound),
            ("inbound.app", &app),
            ("export.otlp.endpoint", &collector),
            ("export.otlp.protocol", "http/protobuf"),
            ("spans.routes", &routes),
        ];
        let settings: Vec<(&str, &str)> = own.into_iter().chain(USUAL).collect();
        // What the environment says is meant for other programs than this shop.
        let config = Config::load(None, &Environment::new(), &settings)?;
        let (telemetry, export) = (config.telemetry.clone(), config.export.clone());
        let bound = Bound::bind(config)?;
        let addresses = bound.addresses()?;
        let (Some(inbound), Some(outbound)) = (addresses.inbound, addresses.outbound) else {
            return Err(std::io::Error::from(std::io::ErrorKind::AddrNotAvailable).into());
        };
        let sides = Sides { inbound, outbound, admin: addresses.admin };
        Ok(Self { service, bound, sides, telemetry, export })
    }
}

impl Running {
    /// Waits for one to end by itself, which none should.
    pub async fn failed(&mut self) -> DemoError {
        match self.ends.join_next().await {
            Some(Ok(Err(error))) => error.into(),
            Some(Ok(Ok(_)) | Err(_)) | None => {
                AppError::Worker("it stopped by itself".to_owned()).into()
            }
        }
    }

    /// The spans that have not arrived yet.
    #[must_use]
    pub fn queued(&self) -> u64 {
        let samples = self.registries.iter().flat_map(|registry| registry.samples());
        samples.filter(|sample| sample.metric == SPANS_QUEUED).map(|sample| sample.value).sum()
    }

    /// Ends them all, and sends their last spans and numbers.
    pub async fn stop(mut self) {
        for stop in &self.stops {
            // One that is gone has stopped.
            stop.send(Stop::Gracefully).await.ok();
        }
        while self.ends.join_next().await.is_some() {}
    }
}
