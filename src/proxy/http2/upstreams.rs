//! The upstream connections of one downstream connection: one for each target.

use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::guard::{Guard, Watched};
use super::settings;
use crate::proxy::connection::Conn;
use crate::proxy::fault::{Fault, Kind};
use crate::proxy::upstream::Dialled;
use crate::proxy::{Authority, upstream};

/// Upstream connections that one downstream connection may hold; the oldest makes room.
const MAX_UPSTREAMS: usize = 8;

/// The upstream connections of one downstream connection.
#[derive(Debug)]
pub struct Upstreams {
    conn: Rc<Conn>,
    held: RefCell<Vec<Held>>,
    /// Connections that are being made; other streams wait for them in the order they came, and
    /// share what becomes of them, the failure too.
    attempts: RefCell<Vec<(Authority, Vec<oneshot::Sender<Attempt>>)>>,
    extended: Rc<Extended>,
    /// What became of connecting to the upstream before there was a request.
    first: RefCell<Option<Box<Dialled>>>,
}

/// Whether a server that this connection leads to takes extended CONNECT (RFC 8441).
#[derive(Debug, Default)]
struct Extended {
    is_taken: Cell<bool>,
    changed: Notify,
}

/// What has become of an attempt to connect: a connection that is held, or a failure.
type Attempt = Result<(), Fault>;

#[derive(Clone, Debug)]
struct Held {
    target: Authority,
    peer: SocketAddr,
    sender: SendRequest<Bytes>,
    watched: Watched,
    extended: watch::Receiver<Option<bool>>,
    /// How long connecting took, until a stream has told so.
    connecting: Option<Duration>,
}

/// A connection that can take a request.
#[derive(Debug)]
pub struct Ready {
    /// Sends the request.
    pub sender: SendRequest<Bytes>,
    /// The other end.
    pub peer: SocketAddr,
    /// How long connecting took, where that was needed.
    pub connecting: Option<Duration>,
    /// What was seen of the frames that came.
    pub watched: Watched,
    extended: watch::Receiver<Option<bool>>,
}

impl Ready {
    /// Waits for the settings of the other end, and tells whether it takes extended CONNECT.
    pub async fn takes_extended_connect(&mut self) -> bool {
        let known = self.extended.wait_for(Option::is_some).await;
        known.is_ok_and(|known| *known == Some(true))
    }
}

impl Upstreams {
    /// None yet, for the streams of `conn`, unless `first` was dialled already.
    #[must_use]
    pub fn new(conn: Rc<Conn>, first: Option<Box<Dialled>>) -> Self {
        Self {
            conn,
            held: RefCell::default(),
            attempts: RefCell::default(),
            extended: Rc::default(),
            first: RefCell::new(first),
        }
    }

    /// The downstream connection.
    #[must_use]
    pub const fn conn(&self) -> &Rc<Conn> {
        &self.conn
    }

    /// Waits until one of the upstreams takes extended CONNECT.
    pub async fn extended_connect(&self) {
        while !self.extended.is_taken.get() {
            self.extended.changed.notified().await;
        }
    }

    /// A connection to `target` that can take a request now: one that is held, or a new one.
    ///
    /// # Errors
    /// When the target cannot be reached or does not speak HTTP/2.
    pub async fn ready(&self, target: &Authority) -> Result<Ready, Fault> {
        loop {
            if let Some(ready) = self.ready_held(target).await {
                return Ok(ready);
            }
            let Some(attempt) = self.join(target) else {
                self.attempt(target).await?;
                let ready = self.ready_held(target).await;
                return ready.ok_or(Fault::upstream(Kind::ConnectionClosed));
            };
            // A stream that gave up half way leaves no outcome, and the next one tries.
            if let Ok(outcome) = attempt.await {
                outcome?;
            }
        }
    }

    /// What becomes of the attempt that runs, if there is one.
    fn join(&self, target: &Authority) -> Option<oneshot::Receiver<Attempt>> {
        let mut attempts = self.attempts.borrow_mut();
        let (_, waiting) = attempts.iter_mut().find(|(t, _)| t == target)?;
        let (tell, told) = oneshot::channel();
        waiting.push(tell);
        Some(told)
    }

    /// Makes a connection, for all streams that want one.
    ///
    /// # Errors
    /// When the target cannot be reached or does not speak HTTP/2.
    pub async fn attempt(&self, target: &Authority) -> Result<(), Fault> {
        self.attempts.borrow_mut().push((target.clone(), Vec::new()));
        let running = Running { upstreams: self, target };
        let result = self.connect(target).await;
        for waiting in running.end() {
            // Who gave up meanwhile does not hear of it.
            waiting.send(result).ok();
        }
        result
    }

    async fn connect(&self, target: &Authority) -> Result<(), Fault> {
        let start = Instant::now();
        let (dialled, took_before) = match self.first.take() {
            Some(first) => (first.result, first.took),
            None => (upstream::connect(&self.conn, target).await, Duration::ZERO),
        };
        let (wire, peer) = dialled?;
        let limits = &self.conn.worker.config.limits;
        let (guard, watched) = Guard::of_server(wire, limits, settings::header_bytes(limits));
        let handshake = settings::client(limits).handshake::<_, Bytes>(guard);
        let shaken = timeout(limits.connect_timeout, handshake).await;
        let (sender, connection) = shaken
            .map_err(|_late| Fault::upstream(Kind::ConnectTimeout))?
            .map_err(|error| fault(&error))?;
        let extended = self.drive(connection, watched.clone());
        let connecting = Some(took_before + start.elapsed());
        let sender = sender.ready().await.map_err(|error| fault(&error))?;
        let mut held = self.held.borrow_mut();
        held.retain(|h| h.target != *target);
        if held.len() >= MAX_UPSTREAMS {
            held.remove(0);
        }
        held.push(Held { target: target.clone(), peer, sender, watched, extended, connecting });
        Ok(())
    }

    /// Lets a connection run: it ends by itself when the last handle on it is gone. What it says of
    /// extended CONNECT is told to all.
    fn drive(
        &self,
        connection: h2::client::Connection<Guard, Bytes>,
        watched: Watched,
    ) -> watch::Receiver<Option<bool>> {
        let (tell, told) = watch::channel(None);
        let extended = Rc::clone(&self.extended);
        tokio::task::spawn_local(async move {
            let mut connection = pin!(connection);
            let ended = poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                let takes = watched.takes_extended_connect();
                if tell.send_if_modified(|told| std::mem::replace(told, takes) != takes)
                    && takes == Some(true)
                {
                    extended.is_taken.set(true);
                    extended.changed.notify_waiters();
                }
                polled
            });
            if let Err(error) = ended.await {
                tracing::debug!(%error, "upstream connection failed");
            }
        });
        told
    }

    async fn ready_held(&self, target: &Authority) -> Option<Ready> {
        let held = self.held.borrow().iter().find(|h| h.target == *target).cloned()?;
        let Held { peer, watched, extended, .. } = held;
        match held.sender.ready().await {
            Ok(sender) => {
                let mut all = self.held.borrow_mut();
                let first = all.iter_mut().find(|h| h.target == *target);
                let connecting = first.and_then(|held| held.connecting.take());
                Some(Ready { sender, peer, connecting, watched, extended })
            }
            Err(_gone) => {
                self.held.borrow_mut().retain(|h| h.target != *target);
                None
            }
        }
    }
}

/// Ends an attempt, however it ended.
struct Running<'a> {
    upstreams: &'a Upstreams,
    target: &'a Authority,
}

impl Running<'_> {
    /// Ends it, and gives those that wait for it.
    fn end(&self) -> Vec<oneshot::Sender<Attempt>> {
        let mut attempts = self.upstreams.attempts.borrow_mut();
        let at = attempts.iter().position(|(target, _)| target == self.target);
        at.map(|at| attempts.swap_remove(at).1).unwrap_or_default()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// The fault behind a failure of the upstream's connection or stream.
#[must_use]
pub(super) fn fault(error: &h2::Error) -> Fault {
    match error.get_io() {
        // So `h2` calls the orderly end of a connection that still has streams.
        Some(io) if io.kind() == std::io::ErrorKind::BrokenPipe => {
            Fault::upstream(Kind::ConnectionClosed)
        }
        Some(io) => Fault::upstream_io(io),
        None if error.is_reset() && error.is_remote() => Fault::upstream(Kind::ConnectionReset),
        None if error.is_go_away() && error.is_remote() => Fault::upstream(Kind::ConnectionClosed),
        None => Fault::upstream(Kind::ProtocolError),
    }
}
