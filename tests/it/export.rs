//! The application is never hurt by its collector, and the books balance whatever that does.

use std::time::Duration;

use spandrel::metrics::{
    FAULTS, REQUESTS, SPANS_CREATED, SPANS_DROPPED, SPANS_EXPORTED, SPANS_QUEUED, Sample,
};

use crate::support::app::{TestApp, number};
use crate::support::collector::Collector;
use crate::support::peer::{Closed, Origin, Peer};
use crate::support::soon;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Created, exported, dropped and queued of one reading, which must balance.
fn books(samples: &[Sample]) -> [u64; 4] {
    let sum =
        |metric| -> u64 { samples.iter().filter(|s| s.metric == metric).map(|s| s.value).sum() };
    let books = [SPANS_CREATED, SPANS_EXPORTED, SPANS_DROPPED, SPANS_QUEUED].map(sum);
    let [created, exported, dropped, queued] = books;
    assert_eq!(created, exported + dropped + queued, "{books:?}");
    books
}

/// An application and its sidecar, and one connection through both.
struct Path {
    app: TestApp,
    _origin: Origin,
    client: Peer,
    server: Option<Peer>,
}

impl Path {
    async fn open(collector: std::net::SocketAddr, settings: &[(&str, &str)]) -> Self {
        let origin = Origin::start().await;
        let app = TestApp::beside(origin.address, collector, settings);
        let mut client = Peer::connect(app.inbound()).await;
        client.send(GET).await;
        let mut server = origin.accept().await;
        server.head().await;
        server.send(OK).await;
        client.expect(OK).await;
        Self { app, _origin: origin, client, server: Some(server) }
    }

    /// So many requests more, with a reading after each.
    async fn ask(&mut self, count: usize) {
        let server = self.server.as_mut().expect("the path is open");
        for _ in 0..count {
            self.client.send(GET).await;
            server.head().await;
            server.send(OK).await;
            self.client.expect(OK).await;
            books(&self.app.samples());
        }
    }

    /// Waits for a reading of this kind.
    async fn reading(&self, is_wanted: impl Fn([u64; 4]) -> bool) -> [u64; 4] {
        let wanted = async {
            loop {
                let books = books(&self.app.samples());
                if is_wanted(books) {
                    return books;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon("a certain reading of the books", wanted).await
    }

    /// Stops the sidecar; gives the last reading.
    async fn close(self) -> [u64; 4] {
        let registry = std::sync::Arc::clone(&self.app.registry);
        drop(self.client);
        self.app.stop().await;
        books(&registry.samples())
    }
}

#[tokio::test]
async fn spans_wait_for_a_collector_that_is_down_and_arrive_when_it_is_up() {
    let closed = Closed::hold();
    let mut path = Path::open(closed.address, &[]).await;
    path.ask(99).await;
    let [created, exported, dropped, queued] = books(&path.app.samples());
    assert!(created > 0 && created == queued, "{created} {exported} {dropped} {queued}");
    let collector = Collector::on(closed.listen(16));
    collector.spans(100).await;
    path.ask(100).await;
    assert_eq!(path.close().await, [200, 200, 0, 0]);
    assert_eq!(collector.received().len(), 200);
}

#[tokio::test]
async fn a_collector_that_hangs_delays_no_request() {
    let collector = Collector::hanging().await;
    let settings = [("export.batch.max_queue_size", "64"), ("limits.flush_timeout", "100ms")];
    let mut path = Path::open(collector.address, &settings).await;
    collector.asked().await;
    // More than the queue holds, all of them while the collector owes an answer.
    path.ask(500).await;
    let [created, exported, dropped, queued] = path.close().await;
    assert_eq!((created, exported, dropped, queued), (501, 0, 501, 0));
}

#[tokio::test]
async fn a_queue_that_overflows_drops_and_counts_and_goes_on_afterwards() {
    let closed = Closed::hold();
    let settings = [("export.batch.max_queue_size", "32")];
    let mut path = Path::open(closed.address, &settings).await;
    path.ask(499).await;
    // A worker hands spans over in groups, and a group that does not fit is dropped whole.
    path.reading(|[_, _, dropped, queued]| dropped > 0 && queued <= 32).await;
    let collector = Collector::on(closed.listen(16));
    collector.spans(1).await;
    let [created, exported, dropped, _] = path.reading(|[_, _, _, queued]| queued == 0).await;
    assert_eq!((created, exported + dropped), (500, 500));
    assert!(dropped >= 400, "{dropped}");
    assert_eq!(collector.received().len() as u64, exported);
    path.ask(10).await;
    assert_eq!(path.close().await, [510, exported + 10, dropped, 0]);
    assert_eq!(collector.received().len() as u64, exported + 10);
}

#[tokio::test]
async fn telemetry_that_comes_back_to_us_is_refused_and_counted() {
    for protocol in ["http/protobuf", "grpc"] {
        // Nobody else has this address, whoever may get the port.
        let port = Closed::hold().address.port();
        let own = std::net::SocketAddr::from(([127, 0, 0, 77], port));
        let listen = own.to_string();
        let settings = [
            ("outbound.listen", listen.as_str()),
            ("export.otlp.protocol", protocol),
            ("limits.flush_timeout", "200ms"),
        ];
        let path = Path::open(own, &settings).await;
        let registry = std::sync::Arc::clone(&path.app.registry);
        let refused = [("side", "proxy"), ("kind", "loop")];
        path.reading(|_| number(&registry, FAULTS, &refused) > 0).await;
        assert_eq!(path.close().await, [1, 0, 1, 0], "{protocol}");
        assert_eq!(number(&registry, REQUESTS, &[("direction", "outbound")]), 0, "{protocol}");
    }
}

#[tokio::test]
async fn a_span_arrives_soon_without_another_to_push_it() {
    let collector = Collector::start().await;
    let path = Path::open(collector.address, &[("service.name", "orders")]).await;
    let spans = collector.spans(1).await;
    assert_eq!((spans.len(), spans[0].service.as_str()), (1, "orders"));
    drop(path);
}

#[tokio::test]
async fn an_export_that_is_switched_off_makes_no_spans_at_all() {
    let collector = Collector::start().await;
    let mut path = Path::open(collector.address, &[("export.enabled", "false")]).await;
    path.ask(3).await;
    assert_eq!(path.close().await, [0; 4]);
    assert_eq!(collector.received(), []);
}
