//! Noticing silence without a timer per message.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Into how many ticks a time-out is divided: it fires at most one tick late.
const TICKS: u32 = 8;
/// The shortest tick; timers are not finer.
const LEAST_TICK: Duration = Duration::from_millis(1);

/// A time-out on silence: noting that something happened costs one store.
#[derive(Debug)]
pub struct IdleWatch {
    tick: Duration,
    /// How many quiet ticks the time-out has.
    limit: u32,
    quiet_ticks: u32,
    has_ticked: bool,
    sleep: Pin<Box<Sleep>>,
}

impl IdleWatch {
    /// A watch that fires when nothing was noted for `timeout`, at most an eighth later.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self::ticking(timeout, timeout)
    }

    /// A watch that fires when nothing was noted for `timeout`, and ticks at least once in `pace`.
    #[must_use]
    pub fn ticking(timeout: Duration, pace: Duration) -> Self {
        let tick = (timeout / TICKS).min(pace).max(LEAST_TICK);
        let limit = timeout.as_nanos().div_ceil(tick.as_nanos());
        Self {
            tick,
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            quiet_ticks: 0,
            has_ticked: false,
            sleep: Box::pin(sleep(tick)),
        }
    }

    /// Notes that something happened.
    pub const fn touch(&mut self) {
        self.quiet_ticks = 0;
    }

    /// Ready when the silence has lasted too long.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            self.has_ticked = true;
            self.quiet_ticks = self.quiet_ticks.saturating_add(1);
            self.sleep.as_mut().reset(Instant::now() + self.tick);
            // The first tick may have begun long before the silence did.
            if self.quiet_ticks > self.limit {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// Whether it has ticked since this was last asked: time to look at what is seldom looked at.
    pub const fn has_ticked(&mut self) -> bool {
        std::mem::replace(&mut self.has_ticked, false)
    }
}

/// A time-out that is mostly not needed, and costs nothing until it is.
#[derive(Debug, Default)]
pub struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    /// Fires after `timeout`, unless it is set already.
    pub fn set(&mut self, timeout: Duration) {
        self.0.get_or_insert_with(|| Box::pin(sleep(timeout)));
    }

    /// Does not fire any more.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    /// Ready when the time is up.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn silence_is_noticed_after_the_time_out_and_at_most_an_eighth_later() {
        let start = Instant::now();
        let mut idle = IdleWatch::new(Duration::from_secs(8));
        poll_fn(|cx| idle.poll_expired(cx)).await;
        let waited = start.elapsed();
        assert!(waited >= Duration::from_secs(8) && waited <= Duration::from_millis(9_100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_faster_pace_does_not_change_the_time_out() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut idle = IdleWatch::ticking(8 * second, second / 3);
        let mut ticks = 0;
        poll_fn(|cx| {
            let expired = idle.poll_expired(cx);
            ticks += u32::from(idle.has_ticked());
            expired
        })
        .await;
        assert!(start.elapsed() >= 8 * second && start.elapsed() <= 9 * second);
        assert!((24..28).contains(&ticks), "{ticks}");
        assert!(!idle.has_ticked());
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_in_time_keeps_it_quiet() {
        let mut idle = IdleWatch::new(Duration::from_secs(8));
        for _ in 0..10 {
            let expired =
                tokio::time::timeout(Duration::from_secs(7), poll_fn(|cx| idle.poll_expired(cx)));
            assert!(expired.await.is_err());
            idle.touch();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_was_cleared_does_not_fire() {
        let mut deadline = Deadline::default();
        deadline.set(Duration::from_secs(1));
        deadline.clear();
        let expired = poll_fn(|cx| deadline.poll_expired(cx));
        assert!(tokio::time::timeout(Duration::from_secs(5), expired).await.is_err());
    }
}
