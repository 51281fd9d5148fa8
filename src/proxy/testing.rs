//! A worker without threads, sockets or an exporter, for the tests of what lives on one.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Receiver;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::connection::{Conn, Place};
use super::inflight::InFlight;
use super::worker::{Parts, Worker};
use super::{Authority, Config, Limits, Tracing};
use crate::direction::Direction;
use crate::doctor::Doctor;
use crate::drain;
use crate::export::testing::kept;
use crate::metrics::{Counter, Registry};
use crate::net::clock::Clock;
use crate::net::own::OwnSockets;
use crate::net::redirect::OriginalDst;
use crate::trace::semconv::Key;
use crate::trace::span::{self, SpanBatch, Value};

/// How long anything may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A worker, and what comes of it.
pub(super) struct Stage {
    pub(super) worker: Rc<Worker>,
    pub(super) registry: Arc<Registry>,
    batches: Receiver<SpanBatch>,
}

/// A finished span, with its attributes as texts.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) span: span::Span,
    pub(super) name: String,
    pub(super) attributes: BTreeMap<&'static str, String>,
}

impl Told {
    pub(super) fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    pub(super) fn attributes<const N: usize>(&self, keys: [&str; N]) -> [&str; N] {
        keys.map(|key| self.attribute(key))
    }
}

impl Stage {
    pub(super) fn set(tracing: Tracing, limits: Limits) -> Self {
        Self::with(Config { limits, tracing, ..Config::default() })
    }

    pub(super) fn with(config: Config) -> Self {
        let registry = Arc::<Registry>::default();
        let (sink, batches) = kept(&registry);
        let config = Config { workers: 1, ..config };
        let parts = Parts {
            config: Arc::new(config),
            listeners: Vec::new(),
            in_flight: InFlight::handles(1).remove(0),
            own_sockets: OwnSockets::default(),
            doctor: Doctor::with_ledgers(1, &registry, &[]).1.remove(0),
            sink,
            registry: Arc::clone(&registry),
            clock: Clock::anchored(),
            seed: [5; 32],
            drain: drain::channel().1,
        };
        Self { worker: Rc::new(Worker::new(parts, Vec::new())), registry, batches }
    }

    pub(super) fn usual() -> Self {
        Self::set(Tracing::default(), Limits::default())
    }

    /// A connection that was accepted, and perhaps redirected to us on its way to `meant`.
    pub(super) fn conn(
        &self,
        direction: Direction,
        accepted: &TcpStream,
        meant: Option<SocketAddr>,
    ) -> Rc<Conn> {
        let room = Arc::new(Semaphore::new(1));
        let permit = room.try_acquire_owned().unwrap();
        Rc::new(Conn {
            worker: Rc::clone(&self.worker),
            direction,
            peer: accepted.peer_addr().unwrap(),
            local: accepted.local_addr().unwrap(),
            original: meant.map(OriginalDst),
            target: meant.map(Authority::of),
            purpose: None,
            place: Place::taken(permit, &Counter::default()),
            told: OnceCell::new(),
        })
    }

    /// Every span that was finished, once nothing is left that could finish one.
    pub(super) async fn told(self) -> Vec<Told> {
        let Self { worker, mut batches, .. } = self;
        assert_eq!(Rc::strong_count(&worker), 1, "nothing is left of the connections");
        drop(worker);
        let mut told = Vec::new();
        while let Some(batch) = batches.recv().await {
            told.extend(read(&batch));
        }
        told
    }

    pub(super) async fn only(self) -> Told {
        let mut all = self.told().await;
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    pub(super) fn number(&self, metric: crate::metrics::Metric, labels: &[(&str, &str)]) -> u64 {
        let samples = self.registry.samples().into_iter();
        samples.filter(|s| s.metric == metric && s.labels == labels).map(|s| s.value).sum()
    }
}

/// The two ends of a connection over loopback: of who connects, and of who accepts.
pub(super) async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (one, other) = tokio::join!(TcpStream::connect(address), listener.accept());
    (one.unwrap(), other.unwrap().0)
}

pub(super) async fn pass(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).await.unwrap();
    let mut read = vec![0; bytes.len()];
    timeout(PATIENCE, to.read_exact(&mut read)).await.expect("it comes").unwrap();
    assert_eq!(read, bytes);
}

pub(super) async fn bulk(from: &mut TcpStream, to: &mut TcpStream, size: usize) {
    let sent: Vec<u8> = (0..=250).cycle().take(size).collect();
    let mut read = vec![0; size];
    let both = async { tokio::join!(from.write_all(&sent), to.read_exact(&mut read)) };
    let (wrote, came) = timeout(PATIENCE, both).await.expect("it comes");
    assert!(wrote.is_ok() && came.is_ok() && sent == read);
}

pub(super) async fn expect_end(stream: &mut TcpStream) {
    assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 8])).await.expect("it ends").unwrap(), 0);
}

pub(super) async fn expect_reset(stream: &mut TcpStream) {
    let read = timeout(PATIENCE, stream.read(&mut [0; 8])).await.expect("it ends");
    assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

fn read(batch: &SpanBatch) -> Vec<Told> {
    let text = |value: Value<'_>| match value {
        Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Bool(is) => is.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
    };
    let told = batch.iter().map(|view| Told {
        span: view.span,
        name: String::from_utf8_lossy(view.name).into_owned(),
        attributes: view
            .attributes
            .map(|(name, value)| (Key::of(name).expect("a known key").as_str(), text(value)))
            .collect(),
    });
    told.collect()
}

/// Runs a test where tasks may stay on their thread.
pub(super) async fn locally(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}
