//! Spreading connections over workers.
//!
//! All workers accept from one socket, and whoever is idle does it first, which after a burst may
//! mean all of them for one worker, for as long as they live. So who accepts a connection leaves it
//! to the worker that has the fewest open, once, before its first byte is read; a worker that is alone
//! keeps all.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How many connections more than another a worker may have before it leaves one to it.
const MARGIN: usize = 1;

/// A worker's seat among those that serve a listener.
#[derive(Debug)]
pub struct Seat {
    /// What it sees of all of them.
    pub scales: Scales,
    /// What the others leave to it.
    pub door: Door,
}

/// How many connections each worker has.
#[derive(Debug)]
pub struct Scales {
    own: Arc<Place>,
    all: Arc<[Arc<Place>]>,
}

/// Where connections come in that other workers leave to this one.
#[derive(Debug)]
pub struct Door(mpsc::UnboundedReceiver<Handed>);

/// What the others see of a worker.
#[derive(Debug)]
struct Place {
    /// A permit for each connection that it may have, so that the channel is bounded too.
    room: Arc<Semaphore>,
    door: mpsc::UnboundedSender<Handed>,
}

/// A connection on its way from one worker to another.
#[derive(Debug)]
struct Handed {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
}

/// A connection that a worker is to serve, and its permit.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub stream: TcpStream,
    /// Who connected.
    pub peer: SocketAddr,
    /// Held for as long as it is open.
    pub permit: OwnedSemaphorePermit,
}

/// A seat for each worker, of which each may have so many connections.
#[must_use]
pub fn seats(workers: usize, most: usize) -> Vec<Seat> {
    let (doors, behind): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
    let place = |door| Arc::new(Place { room: Arc::new(Semaphore::new(most)), door });
    let all: Arc<[Arc<Place>]> = doors.into_iter().map(place).collect();
    let seat = |(own, behind): (&Arc<Place>, _)| Seat {
        scales: Scales { own: Arc::clone(own), all: Arc::clone(&all) },
        door: Door(behind),
    };
    all.iter().zip(behind).map(seat).collect()
}

impl Door {
    /// Waits for a connection that another worker leaves to this one.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn handed(&mut self) -> std::io::Result<Accepted> {
        match self.0.recv().await {
            Some(Handed { stream, peer, permit }) => {
                Ok(Accepted { stream: TcpStream::from_std(stream)?, peer, permit })
            }
            // The worker holds a door to itself, so that this never closes.
            None => std::future::pending().await,
        }
    }
}

impl Scales {
    /// This worker's permits.
    #[must_use]
    pub fn room(&self) -> &Arc<Semaphore> {
        &self.own.room
    }

    /// Leaves a connection to the worker that has the fewest; gives it back where that is this one.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn leave(&self, accepted: Accepted) -> std::io::Result<Option<Accepted>> {
        let Some((other, permit)) = self.emptier() else { return Ok(Some(accepted)) };
        let Accepted { stream, peer, permit: own } = accepted;
        let handed = Handed { stream: stream.into_std()?, peer, permit };
        match other.door.send(handed) {
            Ok(()) => Ok(None),
            // That worker is gone, so the connection stays here.
            Err(mpsc::error::SendError(Handed { stream, peer, .. })) => {
                Ok(Some(Accepted { stream: TcpStream::from_std(stream)?, peer, permit: own }))
            }
        }
    }

    /// The worker that has the fewest connections, and a permit of its, where this one has more.
    fn emptier(&self) -> Option<(&Place, OwnedSemaphorePermit)> {
        let own = self.own.room.available_permits();
        let others = self.all.iter().filter(|place| !place.door.is_closed());
        let other = others.max_by_key(|place| place.room.available_permits())?;
        let has_fewer = other.room.available_permits() > own + MARGIN;
        let permit = has_fewer.then(|| Arc::clone(&other.room).try_acquire_owned().ok())??;
        Some((other, permit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Connects, accepts in the place of the first worker, and tells who has the connection.
    async fn connect(seats: &mut [Seat], listener: &TcpListener) -> (usize, Accepted) {
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        let room = Arc::clone(seats[0].scales.room());
        let permit = room.acquire_owned().await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        if let Some(kept) = seats[0].scales.leave(Accepted { stream, peer, permit }).unwrap() {
            return (0, kept);
        }
        for (at, seat) in seats.iter_mut().enumerate() {
            if let Ok(Handed { stream, peer, permit }) = seat.door.0.try_recv() {
                let stream = TcpStream::from_std(stream).unwrap();
                return (at, Accepted { stream, peer, permit });
            }
        }
        unreachable!("somebody has it");
    }

    #[tokio::test]
    async fn a_burst_that_one_worker_accepts_is_spread_over_all() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut seats = seats(4, 100);
        let mut open: [Vec<Accepted>; 4] = Default::default();
        for _ in 0..64 {
            let (at, accepted) = connect(&mut seats, &listener).await;
            open[at].push(accepted);
        }
        let counts: Vec<_> = open.iter().map(Vec::len).collect();
        assert!(counts.iter().all(|count| (15..=17).contains(count)), "{counts:?}");
        // Who has lost its connections gets the next ones.
        open[2].clear();
        for _ in 0..10 {
            assert_eq!(connect(&mut seats, &listener).await.0, 2);
        }
    }

    #[tokio::test]
    async fn one_worker_keeps_everything() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut seats = seats(1, 3);
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(connect(&mut seats, &listener).await);
        }
        assert_eq!(seats[0].scales.room().available_permits(), 0);
    }

    #[tokio::test]
    async fn a_worker_that_is_gone_gets_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut seats = seats(2, 100);
        drop(seats.pop());
        let mut open = Vec::new();
        for _ in 0..5 {
            let (at, accepted) = connect(&mut seats, &listener).await;
            assert_eq!(at, 0);
            open.push(accepted);
        }
    }
}
