//! The control thread's end of the way: from all workers to every destination.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::destination::{Destination, Door, Phase};
use super::forward::Forwarder;
use super::sink::Intake;
use crate::metrics::Registry;
use crate::trace::span::SpanBatch;

/// The part of the grace period that is kept for putting on disk what could not be sent.
const SHARE_OF_SPOOL: u32 = 4;

/// The end of all workers' sinks: a future to be run on the control thread.
#[derive(Debug)]
pub struct Pipeline {
    intake: Intake,
    /// What goes before all else.
    canary: Option<SpanBatch>,
    doors: Vec<Door>,
    destinations: Vec<Destination>,
}

impl Pipeline {
    pub(super) const fn new(
        intake: Intake,
        canary: Option<SpanBatch>,
        doors: Vec<Door>,
        destinations: Vec<Destination>,
    ) -> Self {
        Self { intake, canary, doors, destinations }
    }

    /// A way to the same destinations for telemetry that spandrel did not make.
    #[must_use]
    pub fn forwarder(&self, registry: &Registry) -> Forwarder {
        Forwarder::new(&self.doors, registry)
    }

    /// Sends what the sinks hand over, until `shutdown` comes or every sink is gone.
    ///
    /// After `shutdown` it goes on for up to `grace`, until nothing is left; what is left then is
    /// dropped and counted, as is what sinks hand over later. Flush or drop the sinks before.
    pub async fn run(self, shutdown: impl Future<Output = ()>, grace: Duration) {
        let Self { mut intake, canary, doors, destinations } = self;
        let has_spool = destinations.iter().any(Destination::has_spool);
        let (phase, told) = watch::channel(Phase::Running);
        let mut running = JoinSet::new();
        for destination in destinations {
            running.spawn(destination.run(told.clone()));
        }
        if let Some(canary) = canary {
            give(canary, &doors);
        }
        let mut shutdown = pin!(shutdown);
        let is_told = tokio::select! {
            () = pass_on(&mut intake, &doors) => false,
            () = &mut shutdown => true,
        };
        if is_told {
            intake.close();
            pass_on(&mut intake, &doors).await;
        }
        phase.send_replace(Phase::Closing);
        let reserve = if has_spool { grace / SHARE_OF_SPOOL } else { Duration::ZERO };
        let out_of_time = async {
            if !is_told {
                shutdown.await;
            }
            sleep(grace.saturating_sub(reserve)).await;
        };
        tokio::select! {
            () = all_ended(&mut running) => return,
            () = out_of_time => {}
        }
        phase.send_replace(Phase::Over(reserve));
        all_ended(&mut running).await;
    }
}

/// Gives every destination what comes, until nothing more will.
async fn pass_on(intake: &mut Intake, doors: &[Door]) {
    while let Some(batch) = intake.recv().await {
        give(batch, doors);
    }
}

fn give(batch: SpanBatch, doors: &[Door]) {
    let batch = Arc::new(batch);
    for door in doors {
        door.push(&batch);
    }
}

async fn all_ended(running: &mut JoinSet<()>) {
    while let Some(ended) = running.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a destination ended, which is a fault of spandrel's");
        }
    }
}
