//! How long to wait before a destination is tried again.

use std::time::Duration;

/// The wait before the first retry.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait of one's own choice.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The longest wait that the destination may ask for.
pub(super) const LONGEST_ASKED: Duration = Duration::from_mins(10);

/// The waits between the attempts of one batch: each half as long again as the one before, and
/// shortened by up to a quarter at random, so that many sidecars do not come back all at once.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    random: XorShift,
}

impl Backoff {
    /// Waits whose random part begins at `seed`.
    pub(super) const fn new(seed: u64) -> Self {
        Self { next: FIRST_WAIT, random: XorShift(seed | 1) }
    }

    /// Begins again with the shortest wait.
    pub(super) const fn reset(&mut self) {
        self.next = FIRST_WAIT;
    }

    /// The next wait. What the destination `asked` for is a lower bound, and the base of what
    /// follows; it is believed up to [`LONGEST_ASKED`].
    pub(super) fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let own = self.next.mul_f64(1.0 - self.random.fraction() / 4.0);
        let asked = Self::asked(asked);
        let wait = own.max(asked);
        self.next = self.next.max(asked).mul_f64(1.5).min(LONGEST_WAIT);
        wait
    }

    /// What is believed of a wait that is asked for.
    pub(super) fn asked(asked: Option<Duration>) -> Duration {
        asked.unwrap_or_default().min(LONGEST_ASKED)
    }
}

/// Marsaglia's generator: good enough to keep clients apart.
#[derive(Debug)]
struct XorShift(u64);

impl XorShift {
    /// A number from 0 up to and without 1.
    fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let upper = (self.0 >> 32) as u32;
        f64::from(upper) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(from: f64, to: f64, wait: Duration) -> bool {
        (from..=to).contains(&wait.as_secs_f64())
    }

    #[test]
    fn waits_grow_by_half_up_to_five_seconds() {
        let mut backoff = Backoff::new(7);
        for full in [1.0, 1.5, 2.25, 3.375, 5.0, 5.0] {
            let wait = backoff.wait(None);
            assert!(seconds(full * 0.75, full, wait), "{wait:?} is not up to {full} s");
        }
        backoff.reset();
        assert!(backoff.wait(None) <= FIRST_WAIT);
    }

    #[test]
    fn what_the_destination_asks_for_is_a_lower_bound_and_has_a_cap() {
        let mut backoff = Backoff::new(7);
        assert_eq!(backoff.wait(Some(Duration::from_secs(3))), Duration::from_secs(3));
        assert!(seconds(3.3, 4.5, backoff.wait(None)), "the wait grows from what was asked");
        assert_eq!(backoff.wait(Some(Duration::from_hours(1))), LONGEST_ASKED);
        assert!(backoff.wait(None) <= LONGEST_WAIT);
    }

    #[test]
    fn different_seeds_wait_differently() {
        assert_ne!(Backoff::new(3).wait(None), Backoff::new(1_000_003).wait(None));
    }

    proptest! {
        #[test]
        fn a_wait_is_never_out_of_bounds(seed: u64, asked in proptest::option::of(any::<u64>())) {
            let mut backoff = Backoff::new(seed);
            let asked = asked.map(Duration::from_nanos);
            for _ in 0..20 {
                let wait = backoff.wait(asked);
                prop_assert!(wait >= FIRST_WAIT.mul_f64(0.74) && wait <= LONGEST_ASKED);
            }
        }
    }
}
