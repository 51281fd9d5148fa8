//! Accepting connections: bounded, and patient when the system has none left to give.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::balance::{Accepted, Seat};
use super::connection::{self, Conn, Place};
use super::fault::{Fault, Kind};
use super::worker::Worker;
use super::{Authority, InboundMode, OutboundMode};
use crate::direction::Direction;
use crate::net;
use crate::net::own::Purpose;
use crate::net::redirect::{self, OriginalDst};

/// How long accepting pauses when the system has no file descriptors or memory left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until the worker drains, then waits for them to end.
///
/// When as many are open as may be, no more are accepted: the next ones wait in the kernel, and
/// nobody who is connected is disturbed.
pub async fn run(worker: Rc<Worker>, direction: Direction, listener: TcpListener, mut seat: Seat) {
    let most = u32::try_from(worker.config.most_connections()).unwrap_or(u32::MAX);
    let room = Arc::clone(seat.scales.room());
    tokio::select! {
        () = serve_all(&worker, direction, &listener, &mut seat) => {}
        () = worker.draining() => {}
    }
    drop(listener);
    // What others have left to this worker and it has not come to is closed, as in the kernel.
    drop(seat);
    // Every open connection holds a permit; a closed semaphore would be a mistake of ours.
    drop(room.acquire_many(most).await);
}

/// Serves what is accepted here and stays, and what other workers leave to this one.
async fn serve_all(
    worker: &Rc<Worker>,
    direction: Direction,
    listener: &TcpListener,
    seat: &mut Seat,
) {
    let Seat { scales, door } = seat;
    let mut patience = Patience::default();
    loop {
        let next = tokio::select! {
            handed = door.handed() => handed.map(Some),
            accepted = accept(listener, scales.room()) => {
                accepted.and_then(|accepted| scales.leave(accepted))
            }
        };
        match next {
            Ok(Some(accepted)) => {
                patience = Patience::default();
                serve(worker, direction, accepted);
            }
            Ok(None) => {}
            Err(error) => patience.after(&error).await,
        }
    }
}

/// The next connection, when there is room for one.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> std::io::Result<Accepted> {
    let permit = Arc::clone(room).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok(Accepted { stream, peer, permit })
}

/// What is done about connections that cannot be had.
#[derive(Default)]
struct Patience {
    is_exhausted: bool,
}

impl Patience {
    async fn after(&mut self, error: &std::io::Error) {
        if !net::is_exhausted(error) {
            // The peer was gone before we came to it.
            return tracing::debug!(%error, "connection lost before it was accepted");
        }
        if !std::mem::replace(&mut self.is_exhausted, true) {
            tracing::warn!(%error, "cannot accept, raise the limit of open files");
        }
        tokio::time::sleep(EXHAUSTED_PAUSE).await;
    }
}

fn serve(worker: &Rc<Worker>, direction: Direction, accepted: Accepted) {
    let Accepted { stream, peer, permit } = accepted;
    if let Ok(local) = stream.local_addr() {
        let place = Place::taken(permit, worker.counters.connections(direction));
        let ends = Ends { direction, peer, local };
        tokio::task::spawn_local(begin(Rc::clone(worker), stream, ends, place));
    }
}

/// What is known of a connection when it is accepted.
#[derive(Clone, Copy)]
struct Ends {
    direction: Direction,
    peer: SocketAddr,
    local: SocketAddr,
}

/// Finds out where a connection goes, and serves it.
async fn begin(worker: Rc<Worker>, stream: TcpStream, ends: Ends, place: Place) {
    let Some(Going { original, target }) = going(&worker, &stream, ends) else {
        return refuse(&worker, &stream, ends);
    };
    let Ends { direction, peer, local } = ends;
    let meant = original.map_or(local, |OriginalDst(meant)| meant);
    let purpose = worker.own_sockets.purpose(peer, meant);
    if purpose.is_some_and(|purpose| comes_back(purpose, direction)) {
        return refuse(&worker, &stream, ends);
    }
    let told = OnceCell::new();
    let conn = Conn { worker, direction, peer, local, original, target, purpose, place, told };
    connection::serve(Rc::new(conn), stream).await;
}

/// Where a connection goes, as far as that is known before its first byte.
#[derive(Default)]
struct Going {
    original: Option<OriginalDst>,
    target: Option<Authority>,
}

/// Where a connection goes; `None` if it was redirected to us but meant for us.
fn going(worker: &Worker, stream: &TcpStream, ends: Ends) -> Option<Going> {
    let Ends { direction, peer, local } = ends;
    let config = &worker.config;
    let inbound = config.inbound.as_ref().map(|inbound| &inbound.mode);
    let outbound = config.outbound.as_ref().map(|outbound| outbound.mode);
    let redirected = || redirect::original_dst(stream, peer, local);
    let meant = match (direction, inbound, outbound) {
        (Direction::Inbound, Some(InboundMode::Explicit(app)), _) => {
            return Some(Going { target: Some(app.clone()), ..Going::default() });
        }
        (Direction::Outbound, _, Some(OutboundMode::Explicit)) => return Some(Going::default()),
        (Direction::Inbound, Some(InboundMode::Tproxy { .. }), _) => {
            let listening = worker.listening_port(direction);
            // What the application sends to its own address is redirected all the same.
            redirect::tproxied_dst(local, listening).or_else(redirected)
        }
        _ => redirected(),
    };
    meant.map(|meant| Going { original: Some(meant), target: Some(Authority::of(meant.0)) })
}

/// Whether a connection that we made ourselves would go round for ever. A call of the application
/// to its own service goes from the outbound to the inbound listener, and comes to an end there, as
/// does telemetry for a collector at this address.
fn comes_back(purpose: Purpose, direction: Direction) -> bool {
    let is_outbound = direction == Direction::Outbound;
    match purpose {
        Purpose::Traffic(from) => from == direction || is_outbound,
        Purpose::Telemetry => is_outbound,
    }
}

/// Refuses a connection that was meant for us, or comes from us: there is nowhere it could go.
fn refuse(worker: &Worker, stream: &TcpStream, Ends { direction, peer, .. }: Ends) {
    let fault = Fault::proxy(Kind::Loop);
    worker.counters.fault(fault).add(1);
    fault.log(direction, &peer.to_string(), "");
    // The peer must not wait for an answer.
    stream.set_zero_linger().ok();
}
