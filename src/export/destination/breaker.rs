//! Whether a destination may be tried, and how often: what makes a dead one cost next to nothing.
//!
//! While attempts succeed, several are made at a time. After a failure that another attempt may
//! mend there is one at a time, with growing waits between them, until one succeeds.

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;

/// How many parcels are on their way at a time.
const MOST_AT_ONCE: usize = 8;

/// After so many failures in a row the way counts as blocked.
const BLOCKED_AFTER: u32 = 2;

#[derive(Debug)]
pub(super) struct Breaker {
    backoff: Backoff,
    /// Failures since the last success.
    failures: u32,
    /// Not to be tried before.
    not_before: Instant,
}

impl Breaker {
    pub(super) fn new(seed: u64) -> Self {
        Self { backoff: Backoff::new(seed), failures: 0, not_before: Instant::now() }
    }

    /// How many attempts may be under way now.
    pub(super) fn slots(&self) -> usize {
        match self.failures {
            _ if Instant::now() < self.not_before => 0,
            0 => MOST_AT_ONCE,
            _ => 1,
        }
    }

    /// When an attempt may be made again, if none may now.
    pub(super) fn opens_at(&self) -> Option<Instant> {
        (Instant::now() < self.not_before).then_some(self.not_before)
    }

    /// Whether the last attempt failed.
    pub(super) const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Whether so many attempts have failed that what comes had better be put elsewhere.
    pub(super) const fn is_blocked(&self) -> bool {
        self.failures >= BLOCKED_AFTER
    }

    /// Notes an attempt that got an answer which settles it.
    pub(super) const fn succeeded(&mut self) {
        self.failures = 0;
        self.backoff.reset();
    }

    /// Notes an attempt, begun at `begun`, that is to be made again, not before `after`.
    pub(super) fn failed(&mut self, begun: Instant, after: Option<Duration>) {
        let now = Instant::now();
        let is_news = self.failures == 0 || begun >= self.not_before;
        if is_news {
            self.failures = self.failures.saturating_add(1);
            self.not_before = self.not_before.max(now + self.backoff.wait(after));
        } else if after.is_some() {
            // It began together with the one that failed first.
            self.not_before = self.not_before.max(now + Backoff::asked(after));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{advance, sleep_until};

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_there_is_one_attempt_at_a_time_until_one_succeeds() {
        let mut breaker = Breaker::new(7);
        assert_eq!(breaker.slots(), MOST_AT_ONCE);
        breaker.failed(Instant::now(), None);
        assert_eq!((breaker.slots(), breaker.is_blocked()), (0, false));
        sleep_until(breaker.opens_at().expect("it waits")).await;
        assert_eq!(breaker.slots(), 1);
        breaker.failed(Instant::now(), None);
        assert!(breaker.is_blocked());
        sleep_until(breaker.opens_at().expect("it waits")).await;
        breaker.succeeded();
        assert_eq!((breaker.slots(), breaker.is_blocked()), (MOST_AT_ONCE, false));
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_that_fail_together_count_once() {
        let mut breaker = Breaker::new(7);
        let begun = Instant::now();
        advance(Duration::from_millis(10)).await;
        breaker.failed(begun, None);
        let opens = breaker.opens_at();
        breaker.failed(begun, None);
        assert_eq!((breaker.opens_at(), breaker.is_blocked()), (opens, false));
        breaker.failed(begun, Some(Duration::from_secs(20)));
        assert_eq!(breaker.opens_at(), Some(Instant::now() + Duration::from_secs(20)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_for_holds_although_others_arrive_and_fail() {
        let mut breaker = Breaker::new(7);
        let begun = Instant::now();
        breaker.failed(begun, Some(Duration::from_secs(60)));
        breaker.succeeded();
        breaker.failed(begun, None);
        assert_eq!(breaker.opens_at(), Some(begun + Duration::from_secs(60)));
    }
}
