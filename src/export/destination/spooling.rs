//! Putting on disk what cannot be sent, and sending it later.
//!
//! The disk is slow and may fail, so nothing here waits for it: what is asked of the keeper is
//! under way while the destination goes on, and where the disk fails, memory has to do.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::accounts::Accounts;
use super::queue::Waiting;
use crate::export::parcel::Signal;
use crate::export::spool::{
    Config, GivenUp, Items, Keeper, Kept, Recovered, SpoolError, Stored, Ticket,
};
use crate::metrics::DropReason;

/// How long a disk that failed is left alone.
const PATIENCE: Duration = Duration::from_secs(5);

/// The spool of a destination, from the destination's side.
#[derive(Debug)]
pub(super) struct Spooling {
    destination: String,
    config: Config,
    accounts: Accounts,
    keeper: Option<Arc<Keeper>>,
    under_way: JoinSet<Done>,
    is_opening: bool,
    is_keeping: bool,
    is_fetching: bool,
    /// What was handed out and is not on its way: what was tried before comes last.
    ready: VecDeque<(Waiting, Ticket)>,
    /// Items on the disk.
    held: u64,
    /// What was sent last has used up the rate until then.
    replay_at: Instant,
    /// The disk is not to be asked for anything before.
    well_at: Instant,
    /// All that is on the disk is handed out, as far as is known until then.
    fetch_at: Instant,
    is_well: bool,
    /// Records that were cut up, whose parts are all settled.
    wholes: (mpsc::UnboundedSender<Ticket>, mpsc::UnboundedReceiver<Ticket>),
}

/// A record that was cut up. It stays on the disk for as long as a part of it, which holds this, has
/// neither arrived nor been given up: a process that is killed before finds the whole again.
#[derive(Debug)]
pub(super) struct Whole {
    ticket: Ticket,
    settled: mpsc::UnboundedSender<Ticket>,
}

impl Drop for Whole {
    fn drop(&mut self) {
        // Nobody listens any more once the spool is closed.
        self.settled.send(self.ticket).ok();
    }
}

/// What the keeper has done.
#[derive(Debug)]
pub(super) enum Done {
    Opened(Result<(Keeper, Recovered), SpoolError>),
    Kept(Waiting, Result<Kept, SpoolError>),
    Fetched(Result<Option<Stored>, SpoolError>),
    Acknowledged(Result<(), SpoolError>),
}

/// What the disk makes of the memory.
#[derive(Debug)]
pub(super) enum Noted {
    /// So many bytes are on the disk now.
    Kept(usize),
    /// It stays in memory.
    NotKept(Waiting),
    /// So many bytes were read from the disk.
    Fetched(usize),
}

impl Spooling {
    pub(super) fn new(destination: &str, config: Config, accounts: Accounts) -> Self {
        Self {
            destination: destination.to_owned(),
            config,
            accounts,
            keeper: None,
            under_way: JoinSet::new(),
            is_opening: false,
            is_keeping: false,
            is_fetching: false,
            ready: VecDeque::new(),
            held: 0,
            replay_at: Instant::now(),
            well_at: Instant::now(),
            fetch_at: Instant::now(),
            is_well: true,
            wholes: mpsc::unbounded_channel(),
        }
    }

    /// Whether it could keep a parcel now.
    pub(super) fn may_keep(&self) -> bool {
        self.keeps_at().is_some_and(|at| at <= Instant::now())
    }

    /// From when on it could keep a parcel, if nothing else must happen before.
    pub(super) fn keeps_at(&self) -> Option<Instant> {
        (self.keeper.is_some() && !self.is_keeping).then_some(self.well_at)
    }

    /// Whether nothing is under way that must not be cut off.
    pub(super) fn is_at_rest(&self) -> bool {
        self.under_way.is_empty()
    }

    /// When there is something to send, if there is.
    pub(super) fn sends_at(&self) -> Option<Instant> {
        (!self.ready.is_empty()).then_some(self.replay_at)
    }

    /// When the disk is to be asked for something, if it is; `may_fetch` where there is room.
    pub(super) fn asks_at(&self, may_fetch: bool) -> Option<Instant> {
        match &self.keeper {
            None if self.is_opening => None,
            None => Some(self.well_at),
            Some(_) if may_fetch && self.wants_more() => Some(self.well_at.max(self.fetch_at)),
            Some(_) => None,
        }
    }

    /// Whether there may be something on the disk that is to be sent next.
    fn wants_more(&self) -> bool {
        let has_new = self.ready.iter().any(|(waiting, _)| waiting.tried_since.is_none());
        self.held > 0 && !has_new && !self.is_fetching
    }

    /// Has the spool opened, if it is not, and fetches what is to be sent next, if it `may_fetch`.
    pub(super) fn go_on(&mut self, may_fetch: bool) {
        let Some(keeper) = &self.keeper else {
            if !self.is_opening && self.well_at <= Instant::now() {
                self.is_opening = true;
                let (config, name) = (self.config.clone(), self.destination.clone());
                self.under_way
                    .spawn(async move { Done::Opened(Keeper::open(&config, &name).await) });
            }
            return;
        };
        let given_up = keeper.given_up();
        let keeper = Arc::clone(keeper);
        while let Ok(ticket) = self.wholes.1.try_recv() {
            self.acknowledge(ticket);
        }
        if may_fetch && self.wants_more() && self.well_at.max(self.fetch_at) <= Instant::now() {
            self.is_fetching = true;
            self.under_way.spawn(async move { Done::Fetched(keeper.oldest().await) });
        }
        if !given_up.is_empty() {
            self.count_given_up(&given_up);
        }
    }

    /// Has a parcel kept.
    pub(super) fn keep(&mut self, waiting: Waiting) {
        let Some(keeper) = self.keeper.clone() else { return };
        self.is_keeping = true;
        self.under_way.spawn(async move {
            let kept = keeper.append(waiting.parcel.clone()).await;
            Done::Kept(waiting, kept)
        });
    }

    /// What is to be sent now, if the rate allows it.
    pub(super) fn next(&mut self) -> Option<(Waiting, Ticket)> {
        if self.replay_at > Instant::now() {
            return None;
        }
        let next = self.ready.pop_front()?;
        let seconds = next.0.parcel.message.len() as f64 / self.config.replay_rate.max(1) as f64;
        self.replay_at = Instant::now() + Duration::from_secs_f64(seconds);
        Some(next)
    }

    /// Takes back what could not be sent.
    pub(super) fn put_back(&mut self, waiting: Waiting, ticket: Ticket) {
        self.ready.push_back((waiting, ticket));
    }

    /// Notes that a record is no longer to be kept, as it has arrived or was given up.
    pub(super) fn settle(&mut self, waiting: &Waiting, ticket: Ticket) {
        self.held = self.held.saturating_sub(waiting.parcel.items as u64);
        self.acknowledge(ticket);
    }

    /// Notes that a record waits in memory again, in parts that are to hold what this gives.
    pub(super) fn cut_up(&mut self, waiting: &Waiting, ticket: Ticket) -> Arc<Whole> {
        self.held = self.held.saturating_sub(waiting.parcel.items as u64);
        Arc::new(Whole { ticket, settled: self.wholes.0.clone() })
    }

    fn acknowledge(&mut self, ticket: Ticket) {
        if let Some(keeper) = self.keeper.clone() {
            self.under_way
                .spawn(async move { Done::Acknowledged(keeper.acknowledge(ticket).await) });
        }
    }

    /// The next thing that is done; waits for ever where nothing is under way.
    pub(super) async fn done(&mut self) -> Done {
        loop {
            match self.under_way.join_next().await {
                Some(Ok(done)) => return done,
                Some(Err(error)) => tracing::error!(%error, "a fault of spandrel's in spooling"),
                None => std::future::pending().await,
            }
        }
    }

    /// Notes what was done, and tells what that makes of the memory.
    pub(super) fn note(&mut self, done: Done) -> Option<Noted> {
        match done {
            Done::Opened(opened) => {
                self.is_opening = false;
                self.opened(opened);
                None
            }
            Done::Kept(mut waiting, kept) => {
                self.is_keeping = false;
                waiting.is_for_memory = matches!(kept, Err(SpoolError::TooLarge { .. }));
                Some(match self.kept(&waiting, kept) {
                    true => Noted::Kept(waiting.parcel.message.len()),
                    false => Noted::NotKept(waiting),
                })
            }
            Done::Fetched(fetched) => {
                self.is_fetching = false;
                self.fetched(fetched).map(Noted::Fetched)
            }
            Done::Acknowledged(acknowledged) => {
                if let Err(error) = acknowledged {
                    self.is_unwell(&error);
                }
                None
            }
        }
    }

    fn opened(&mut self, opened: Result<(Keeper, Recovered), SpoolError>) {
        match opened {
            Ok((keeper, recovered)) => {
                self.is_well_again();
                self.held = recovered.items.total();
                for signal in Signal::ALL {
                    let found = recovered.items.of(signal);
                    self.accounts.settle(signal, |books| books.recovered(found));
                }
                self.keeper = Some(Arc::new(keeper));
            }
            Err(error) => self.is_unwell(&error),
        }
    }

    fn kept(&mut self, waiting: &Waiting, kept: Result<Kept, SpoolError>) -> bool {
        match kept {
            Ok(Kept { given_up }) => {
                self.is_well_again();
                let items = waiting.parcel.items as u64;
                self.held += items;
                self.accounts.settle(waiting.parcel.signal, |books| books.spooled(items));
                self.count_given_up(&given_up);
                self.fetch_at = Instant::now();
                true
            }
            // That says nothing of the disk.
            Err(SpoolError::TooLarge { .. }) => false,
            Err(error) => {
                self.is_unwell(&error);
                false
            }
        }
    }

    /// Takes over what was handed out, and tells how long it is.
    fn fetched(&mut self, fetched: Result<Option<Stored>, SpoolError>) -> Option<usize> {
        match fetched {
            Ok(Some(Stored { parcel, ticket, .. })) => {
                let bytes = parcel.message.len();
                // What is new goes before what was tried.
                self.ready.push_front((parcel.into(), ticket));
                return Some(bytes);
            }
            // All of it is handed out, or was given up meanwhile, which is told apart.
            Ok(None) => self.fetch_at = Instant::now() + PATIENCE,
            Err(error) => self.is_unwell(&error),
        }
        None
    }

    fn count_given_up(&mut self, given_up: &GivenUp) {
        let GivenUp { full, expired, damaged } = given_up;
        self.held = self.held.saturating_sub(given_up.all().total());
        for signal in Signal::ALL {
            let of = |items: &Items| items.of(signal);
            self.accounts.settle(signal, |books| {
                books.dropped(DropReason::SpoolFull, of(full));
                books.dropped(DropReason::SpoolExpired, of(expired));
                books.dropped(DropReason::SpoolCorrupt, of(damaged));
                books.unspooled(of(full) + of(expired) + of(damaged));
            });
        }
    }

    fn is_unwell(&mut self, error: &SpoolError) {
        self.well_at = Instant::now() + PATIENCE;
        if std::mem::replace(&mut self.is_well, false) {
            let destination = &self.destination;
            tracing::error!(destination, %error, "spooling does not work, memory has to do");
        }
    }

    fn is_well_again(&mut self) {
        if !std::mem::replace(&mut self.is_well, true) {
            tracing::info!(destination = self.destination, "spooling works again");
        }
    }

    /// Ends what is under way, and lets go of the spool.
    pub(super) async fn close(mut self) {
        while let Ok(ticket) = self.wholes.1.try_recv() {
            self.acknowledge(ticket);
        }
        while let Some(Ok(done)) = self.under_way.join_next().await {
            if let Some(Noted::NotKept(Waiting { parcel, .. })) = self.note(done) {
                self.accounts.dropped(parcel.signal, DropReason::Shutdown, parcel.items);
            }
        }
        if let Some(keeper) = self.keeper.take().and_then(Arc::into_inner)
            && let Err(error) = keeper.close().await
        {
            tracing::warn!(destination = self.destination, %error, "the spool was not closed");
        }
    }
}
