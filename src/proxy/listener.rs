//! Accepting connections: bounded, and patient when the system has none left to give.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::connection::{self, Conn, Place};
use super::worker::Worker;
use crate::direction::Direction;
use crate::net;

/// How long accepting pauses when the system has no file descriptors or memory left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until the worker drains, then waits for them to end.
///
/// When as many are open as may be, no more are accepted: the next ones wait in the kernel, and
/// nobody who is connected is disturbed.
pub async fn run(worker: Rc<Worker>, direction: Direction, listener: TcpListener) {
    let most = worker.config.limits.connections.div_ceil(worker.config.workers.max(1));
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    let room = Arc::new(Semaphore::new(most as usize));
    let accepting = accept_all(&worker, direction, &listener, &room);
    tokio::select! {
        () = accepting => {}
        () = worker.draining() => {}
    }
    drop(listener);
    // Every open connection holds a permit; a closed semaphore would be a mistake of ours.
    drop(room.acquire_many(most).await);
}

async fn accept_all(
    worker: &Rc<Worker>,
    direction: Direction,
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) {
    let mut is_exhausted = false;
    loop {
        let Ok(permit) = Arc::clone(room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                is_exhausted = false;
                if let Ok(local) = stream.local_addr() {
                    let place = Place::taken(permit, worker.counters.connections(direction));
                    let worker = Rc::clone(worker);
                    let conn = Rc::new(Conn { worker, direction, peer, local, place });
                    tokio::task::spawn_local(connection::serve(conn, stream));
                }
            }
            Err(error) if net::is_exhausted(&error) => {
                if !std::mem::replace(&mut is_exhausted, true) {
                    tracing::warn!(%error, "cannot accept, raise the limit of open files");
                }
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
            // The peer was gone before we came to it.
            Err(error) => tracing::debug!(%error, "connection lost before it was accepted"),
        }
    }
}
