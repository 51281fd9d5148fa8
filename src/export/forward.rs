//! The way of the application's own telemetry to the destinations.

use std::fmt;
use std::sync::Arc;

use super::destination::Door;
use super::parcel::{Parcel, Signal};
use crate::metrics::{Counter, RECORDS_RECEIVED, Registry, SPANS_CREATED};

/// Gives parcels to every destination that takes them. Clones lead to the same destinations.
#[derive(Clone, Debug)]
pub struct Forwarder(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    doors: Vec<Door>,
    spans: Counter,
    data_points: Counter,
    log_records: Counter,
}

/// There is no room for a parcel in any destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too much is waiting to be forwarded, try again later")
    }
}

impl std::error::Error for Full {}

impl Forwarder {
    pub(super) fn new(doors: &[Door], registry: &Registry) -> Self {
        let records =
            |signal: Signal| registry.counter(RECORDS_RECEIVED, &[("signal", signal.as_str())]);
        Self(Arc::new(Inside {
            doors: doors.to_vec(),
            spans: registry.counter(SPANS_CREATED, &[]),
            data_points: records(Signal::Metrics),
            log_records: records(Signal::Logs),
        }))
    }

    /// Takes a parcel for every destination that has a use for it. Never waits.
    ///
    /// # Errors
    /// When each of these is so full that something else would have to go. The sender still has the
    /// parcel, and should be told to come again.
    pub fn offer(&self, parcel: &Parcel) -> Result<(), Full> {
        let Inside { doors, spans, data_points, log_records } = &*self.0;
        let mut takers = doors.iter().filter(|door| door.takes(parcel.signal)).peekable();
        if takers.peek().is_some() && !takers.clone().any(|door| door.has_room_for(parcel)) {
            return Err(Full);
        }
        let received = match parcel.signal {
            Signal::Traces => spans,
            Signal::Metrics => data_points,
            Signal::Logs => log_records,
        };
        // Counted before anything else can happen to it, so that the books are never short.
        received.add(parcel.items as u64);
        takers.for_each(|door| door.push_parcel(parcel));
        Ok(())
    }
}
