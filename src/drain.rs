//! How everything stops: take no new work, finish the old, then stop by force.
//!
//! One [`Trigger`] moves the phases forward and every part holds a [`Watch`]. The phases only
//! ever go forward, and a trigger that is dropped forces the end, so that nobody waits for ever.

use tokio::sync::watch;

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Work goes on.
    Running,
    /// No new work is taken; what runs is finished.
    Draining,
    /// What still runs is cut off.
    Forced,
}

/// Moves the phases forward.
#[derive(Debug)]
pub struct Trigger(watch::Sender<Phase>);

/// Sees the phases.
#[derive(Clone, Debug)]
pub struct Watch(watch::Receiver<Phase>);

/// A trigger in the phase [`Phase::Running`], and a watch of it.
#[must_use]
pub fn channel() -> (Trigger, Watch) {
    let (trigger, watch) = watch::channel(Phase::Running);
    (Trigger(trigger), Watch(watch))
}

impl Trigger {
    /// Enters `phase`, unless it is past already.
    pub fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let is_later = phase > *now;
            *now = phase.max(*now);
            is_later
        });
    }
}

impl Watch {
    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        if self.0.has_changed().is_err() { Phase::Forced } else { *self.0.borrow() }
    }

    /// Waits until `phase` is reached.
    pub async fn reached(&mut self, phase: Phase) {
        // An error means that the trigger is gone, which is the last phase.
        self.0.wait_for(|now| *now >= phase).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_only_go_forward() {
        let (trigger, mut watch) = channel();
        assert_eq!(watch.phase(), Phase::Running);
        trigger.advance(Phase::Forced);
        trigger.advance(Phase::Draining);
        watch.reached(Phase::Draining).await;
        assert_eq!(watch.phase(), Phase::Forced);
    }

    #[tokio::test]
    async fn a_lost_trigger_forces_the_end() {
        let (trigger, mut watch) = channel();
        drop(trigger);
        watch.reached(Phase::Forced).await;
        assert_eq!(watch.phase(), Phase::Forced);
    }
}
