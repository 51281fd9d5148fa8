//! Accepting for the ordinary HTTP programs: bounded, and patient when the system has nothing
//! left to give.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long accepting pauses when the system has nothing left to give.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// The next connection of a listener, once there is room for it: as many are open at a time as
/// `room` has permits, and others wait in the kernel. A connection holds its permit.
pub async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    // Nobody closes the room; if somebody did, nothing more would be accepted.
    let Ok(permit) = Arc::clone(room).acquire_owned().await else { return pending().await };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) => {
                tracing::debug!(%error, "connection not accepted");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}
