//! Wall-clock time that never runs backwards: one anchor per process, and monotonic time since.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A clock whose readings can be compared and subtracted, and sent to others.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    anchor: Instant,
    /// The time at the anchor, in nanoseconds since the Unix epoch.
    epoch: u64,
}

impl Clock {
    /// A clock anchored at this moment.
    #[must_use]
    pub fn anchored() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let epoch = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        Self { anchor: Instant::now(), epoch }
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> u64 {
        let since = u64::try_from(self.anchor.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.epoch.saturating_add(since)
    }
}
