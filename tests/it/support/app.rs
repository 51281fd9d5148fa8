//! A sidecar in this process, on threads of its own, and the usual company around it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use spandrel::app::{Addresses, Bound, End, Stop};
use spandrel::config::{Config, Environment};
use spandrel::metrics::{Label, Metric, Registry, Sample};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};

use super::collector::{Collector, Span};
use super::peer::{Origin, Peer};
use super::soon;

/// What every sidecar of the tests is told, unless a test says otherwise.
const USUAL: [(&str, &str); 7] = [
    ("inbound.listen", "127.0.0.1:0"),
    ("inbound.app", "127.0.0.1:9"),
    ("outbound.listen", "127.0.0.1:0"),
    ("admin.listen", "127.0.0.1:0"),
    ("export.batch.schedule_delay", "50ms"),
    ("limits.drain_timeout", "20s"),
    ("service.name", "app"),
];

/// A running sidecar.
#[derive(Debug)]
pub(crate) struct TestApp {
    pub(crate) addresses: Addresses,
    pub(crate) registry: Arc<Registry>,
    stop: mpsc::Sender<Stop>,
    ended: oneshot::Receiver<Result<End, String>>,
}

impl TestApp {
    /// Starts one with these settings and the usual ones.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let is_given = |key: &str| settings.iter().any(|(given, _)| *given == key);
        let usual = USUAL.into_iter().filter(|(key, _)| !is_given(key));
        let flags: Vec<(&str, &str)> = settings.iter().copied().chain(usual).collect();
        let config = Config::load(None, &Environment::new(), &flags);
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        let bound = Bound::bind(config).unwrap_or_else(|error| panic!("{error}"));
        let addresses = bound.addresses().expect("the sockets are bound");
        let registry = Arc::clone(bound.registry());
        let (stop, stopped) = mpsc::channel(2);
        let (tell, ended) = oneshot::channel();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            let end = runtime.block_on(Box::pin(bound.run(stopped)));
            // A test that does not wait for the end does not want to know.
            tell.send(end.map_err(|error| error.to_string())).ok();
        });
        Self { addresses, registry, stop, ended }
    }

    /// Starts one beside `app`, whose spans go to `collector`.
    pub(crate) fn beside(
        app: SocketAddr,
        collector: SocketAddr,
        settings: &[(&str, &str)],
    ) -> Self {
        let (app, collector) = (app.to_string(), format!("http://{collector}"));
        let ours = [("inbound.app", app.as_str()), ("export.otlp.endpoint", collector.as_str())];
        let all: Vec<(&str, &str)> = settings.iter().copied().chain(ours).collect();
        Self::start(&all)
    }

    pub(crate) fn inbound(&self) -> SocketAddr {
        self.addresses.inbound.expect("the inbound side is proxied")
    }

    pub(crate) fn outbound(&self) -> SocketAddr {
        self.addresses.outbound.expect("the outbound side is proxied")
    }

    /// Orders a graceful stop; again, an immediate one.
    pub(crate) async fn order_stop(&self) {
        self.stop.send(Stop::Gracefully).await.expect("the sidecar runs");
    }

    /// Waits for the end.
    pub(crate) async fn ended(self) -> End {
        let end = soon("the end of the sidecar", self.ended).await;
        end.expect("the thread lives").unwrap_or_else(|error| panic!("{error}"))
    }

    /// Stops gracefully, and waits for it.
    pub(crate) async fn stop(self) -> End {
        self.order_stop().await;
        self.ended().await
    }

    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.registry.samples()
    }

    /// The sum over all series of `metric` that carry these labels.
    pub(crate) fn number(&self, metric: Metric, labels: &[Label]) -> u64 {
        number(&self.registry, metric, labels)
    }
}

/// The sum over all series of `metric` that carry these labels.
pub(crate) fn number(registry: &Registry, metric: Metric, labels: &[Label]) -> u64 {
    let samples = registry.samples().into_iter();
    let wanted = samples
        .filter(|s| s.metric == metric && labels.iter().all(|label| s.labels.contains(label)));
    wanted.map(|s| s.value).sum()
}

/// A sidecar, the application behind it and the collector beside it.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) origin: Origin,
    pub(crate) collector: Collector,
    pub(crate) app: TestApp,
}

impl Stage {
    pub(crate) async fn set(settings: &[(&str, &str)]) -> Self {
        let (origin, collector) = (Origin::start().await, Collector::start().await);
        let app = TestApp::beside(origin.address, collector.address, settings);
        Self { origin, collector, app }
    }

    /// A new connection to the inbound side.
    pub(crate) async fn client(&self) -> Peer {
        Peer::connect(self.app.inbound()).await
    }

    /// A new connection to the outbound side.
    pub(crate) async fn outbound_client(&self) -> Peer {
        Peer::connect(self.app.outbound()).await
    }

    /// Stops the sidecar, and gives every span it made.
    pub(crate) async fn spans(self) -> Vec<Span> {
        let Self { origin: _origin, collector, app } = self;
        assert_eq!(app.stop().await, End::Drained);
        collector.received()
    }

    /// Stops the sidecar, and gives the only span it made.
    pub(crate) async fn span(self) -> Span {
        let spans = self.spans().await;
        let [span] = spans.as_slice() else { panic!("one span is expected: {spans:#?}") };
        span.clone()
    }
}
