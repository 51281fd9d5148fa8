//! What a destination is given to go by, and what it is told.

use std::time::Duration;

use crate::export::spool;
use crate::reach::Reach;

/// What a destination is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::export) enum Phase {
    /// Gather and send.
    Running,
    /// Send what there is, and end.
    Closing,
    /// Put on disk what is left, in no more time than this, give up the rest, and end.
    Over(Duration),
}

/// What a destination is given to go by.
#[derive(Clone, Debug)]
pub(in crate::export) struct Terms {
    pub(in crate::export) times: Times,
    /// Where what cannot be sent is put on disk, if anywhere.
    pub(in crate::export) spool: Option<spool::Config>,
    /// Whether the first span is one that tells whether the way is free.
    pub(in crate::export) has_canary: bool,
    /// Where it tells whether it is reached.
    pub(in crate::export) reach: Reach,
}

/// The times a destination is given.
#[derive(Clone, Copy, Debug)]
pub(in crate::export) struct Times {
    /// The longest time a span waits for its parcel to fill.
    pub(in crate::export) schedule_delay: Duration,
    /// How long one attempt may take, and how long a parcel is tried while others arrive.
    pub(in crate::export) export_timeout: Duration,
}
