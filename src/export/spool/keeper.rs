//! A spool on a thread of its own, for those who must not wait for a disk.
//!
//! Commands are done one after the other; a bounded number of them wait. What is shown beside them,
//! by [`Keeper::counts`] and [`Keeper::given_up`], is right before the answer of a command arrives.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::super::parcel::Parcel;
use super::error::SpoolError;
use super::file_system::{Disk, FileSystem};
use super::recovery::Recovered;
use super::store::Spool;
use super::{Config, GivenUp, Items, Kept, Stored, Ticket};
use crate::net::clock::Clock;

/// The most commands that wait for the thread.
const MOST_WAITING: usize = 64;

/// The spool of a destination, as the control side sees it.
///
/// A future that is dropped does not undo what it asked for, but what was to be handed out stays.
/// Dropping the keeper closes the spool, some time later.
#[derive(Debug)]
pub struct Keeper {
    commands: SyncSender<Waiting>,
    room: Arc<Semaphore>,
    shown: Arc<Mutex<Shown>>,
}

/// What can be seen without asking the thread.
#[derive(Debug, Default)]
struct Shown {
    held: Items,
    bytes: u64,
    given_up: GivenUp,
}

/// A command, and its place among those that wait.
type Waiting = (Command, OwnedSemaphorePermit);

#[derive(Debug)]
enum Command {
    Append(Parcel, oneshot::Sender<Result<Kept, SpoolError>>),
    Oldest(oneshot::Sender<Result<Option<Stored>, SpoolError>>),
    Acknowledge(Ticket, oneshot::Sender<()>),
    Release(Ticket, oneshot::Sender<()>),
    Close(oneshot::Sender<Result<(), SpoolError>>),
}

impl Keeper {
    /// Opens the spool of a destination, and says what was found in it. This takes as long as reading
    /// all of it does.
    ///
    /// # Errors
    /// When another process has it, or the folder cannot be used.
    pub async fn open(config: &Config, destination: &str) -> Result<(Self, Recovered), SpoolError> {
        Self::open_on(Box::new(Disk), config, destination).await
    }

    /// Opens it on this file system.
    pub(super) async fn open_on(
        disk: Box<dyn FileSystem>,
        config: &Config,
        destination: &str,
    ) -> Result<(Self, Recovered), SpoolError> {
        let (commands, waiting) = sync_channel(MOST_WAITING);
        let (opened, opening) = oneshot::channel();
        let shown = Arc::new(Mutex::new(Shown::default()));
        let place = Arc::clone(&shown);
        let (config, name) = (config.clone(), destination.to_owned());
        let directory = config.directory_of(destination);
        let run = move || {
            let clock = Clock::anchored();
            match Spool::open(disk, &config, &name, millis(&clock)) {
                Ok((spool, recovered)) => {
                    let mut thread = Thread { spool, shown: place, clock };
                    thread.show();
                    if opened.send(Ok(recovered)).is_ok() {
                        thread.run(&waiting);
                    }
                }
                Err(error) => {
                    opened.send(Err(error)).ok();
                }
            }
        };
        thread::Builder::new()
            .name(format!("spool-{destination}").replace('\0', ""))
            .spawn(run)
            .map_err(SpoolError::failed("start a thread for", &directory))?;
        let recovered = opening.await.map_err(|_| SpoolError::Ended)??;
        tell(&directory, &recovered);
        Ok((Self { commands, room: Arc::new(Semaphore::new(MOST_WAITING)), shown }, recovered))
    }

    /// Puts a parcel in. It outlives this process once this has answered.
    ///
    /// # Errors
    /// When the parcel is not kept, as it is too large or the disk fails: the caller still has it.
    pub async fn append(&self, parcel: Parcel) -> Result<Kept, SpoolError> {
        self.ask(|answer| Command::Append(parcel, answer)).await?
    }

    /// Hands out the oldest record that is not handed out; `None` where there is none.
    ///
    /// # Errors
    /// When the disk cannot read it at the moment. It stays, and the next call gives another, if
    /// there is one; so wait a little before asking again.
    pub async fn oldest(&self) -> Result<Option<Stored>, SpoolError> {
        self.ask(Command::Oldest).await?
    }

    /// Settles a record: its destination has taken it, or will never. Nothing is done for one that is
    /// not handed out.
    ///
    /// # Errors
    /// When the thread has ended.
    pub async fn acknowledge(&self, ticket: Ticket) -> Result<(), SpoolError> {
        self.ask(|answer| Command::Acknowledge(ticket, answer)).await
    }

    /// Gives a record back, to be handed out again in its turn.
    ///
    /// # Errors
    /// When the thread has ended.
    pub async fn release(&self, ticket: Ticket) -> Result<(), SpoolError> {
        self.ask(|answer| Command::Release(ticket, answer)).await
    }

    /// The items that are held, by signal: those that wait, those that are handed out and neither
    /// acknowledged nor released, and those that were given up and that nobody was told of.
    #[must_use]
    pub fn counts(&self) -> Items {
        let shown = lock(&self.shown);
        let mut counts = shown.held;
        counts.extend(&shown.given_up.all());
        counts
    }

    /// The bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        lock(&self.shown).bytes
    }

    /// What was given up and told neither here nor by an append before. They are held no longer.
    #[must_use = "what was given up is told once"]
    pub fn given_up(&self) -> GivenUp {
        std::mem::take(&mut lock(&self.shown).given_up)
    }

    /// Does what was asked for before, brings all to the disk, and lets go of the folder.
    ///
    /// # Errors
    /// When the disk fails, so that what was written last may not survive the machine.
    pub async fn close(self) -> Result<(), SpoolError> {
        self.ask(Command::Close).await?
    }

    /// Has the thread do something, and waits for its answer.
    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, SpoolError> {
        let place = Arc::clone(&self.room).acquire_owned().await;
        let place = place.map_err(|_| SpoolError::Ended)?;
        let (answer, answered) = oneshot::channel();
        // There are as many places as the channel takes, so this does not wait.
        self.commands.send((command(answer), place)).map_err(|_| SpoolError::Ended)?;
        answered.await.map_err(|_| SpoolError::Ended)
    }
}

/// What runs on the thread.
struct Thread {
    spool: Spool,
    shown: Arc<Mutex<Shown>>,
    clock: Clock,
}

impl Thread {
    fn run(mut self, commands: &Receiver<Waiting>) {
        loop {
            match commands.recv_timeout(self.spool.until_due(self.now())) {
                Ok((Command::Close(answer), _)) => {
                    let synced = self.spool.sync();
                    // The lock goes first, so that whoever hears of the end can have it.
                    drop(self);
                    answer.send(synced).ok();
                    return;
                }
                Ok((command, place)) => {
                    self.obey(command);
                    drop(place);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.spool.tick(self.now());
                    self.show();
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Err(error) = self.spool.sync() {
            tracing::warn!(%error, "what the spool has written last may not be on the disk");
        }
    }

    fn obey(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Append(parcel, answer) => {
                let appended = self.spool.append(&parcel, now);
                self.show();
                let kept = appended.map(|()| Kept { given_up: self.told() });
                if let Err(Ok(Kept { given_up })) = answer.send(kept) {
                    // Nobody has heard it.
                    lock(&self.shown).given_up.extend(&given_up);
                }
            }
            Command::Oldest(answer) => {
                let stored = self.spool.oldest(now);
                self.show();
                if let Err(Ok(Some(stored))) = answer.send(stored) {
                    self.spool.release(stored.ticket);
                    self.show();
                }
            }
            Command::Acknowledge(ticket, answer) => {
                self.spool.acknowledge(ticket, now);
                self.show();
                answer.send(()).ok();
            }
            Command::Release(ticket, answer) => {
                self.spool.release(ticket);
                self.show();
                answer.send(()).ok();
            }
            Command::Close(_) => {}
        }
    }

    /// Shows how things stand.
    fn show(&mut self) {
        let given_up = self.spool.take_given_up();
        let mut shown = lock(&self.shown);
        shown.given_up.extend(&given_up);
        shown.held = self.spool.held();
        shown.bytes = self.spool.bytes();
    }

    /// What was given up, to be told now.
    fn told(&self) -> GivenUp {
        std::mem::take(&mut lock(&self.shown).given_up)
    }

    fn now(&self) -> u64 {
        millis(&self.clock)
    }
}

/// One line on what was found, if there was anything, and one more if there was what should not be.
fn tell(directory: &Path, recovered: &Recovered) {
    let Recovered { items, records, segments, .. } = recovered;
    let directory = directory.display();
    if *records > 0 {
        tracing::info!(
            %directory, records, segments, spans = items.traces, data_points = items.metrics,
            log_records = items.logs, "the spool holds what was not sent before"
        );
    }
    if !recovered.is_clean() {
        let first = recovered.left_alone.first();
        let first =
            first.map_or_else(String::new, |(name, why)| format!("{name}: {}", why.as_str()));
        tracing::warn!(
            %directory, damaged_bytes = recovered.damaged_bytes, torn_bytes = recovered.torn_bytes,
            damaged_items = recovered.damaged.total(), left_alone = recovered.left_alone.len(),
            %first, "some of the spool could not be read"
        );
    }
}

fn millis(clock: &Clock) -> u64 {
    clock.now() / 1_000_000
}

fn lock(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::testing::{Call, Machine, config, parcel};
    use super::*;

    /// A folder of this test's own, on the real disk.
    fn folder(name: &str) -> Config {
        let name = format!("spandrel-spool-{name}-{}", std::process::id());
        Config::new(std::env::temp_dir().join(name))
    }

    #[tokio::test]
    async fn on_a_real_disk_it_takes_gives_and_finds_again() {
        let config = folder("keeper");
        let (keeper, recovered) = Keeper::open(&config, "otlp").await.expect("a folder");
        assert_eq!(recovered, Recovered::default());
        for id in 0..5 {
            let kept = keeper.append(parcel(id, 200)).await.expect("the disk works");
            assert!(kept.given_up.is_empty());
        }
        let first = keeper.oldest().await.expect("the disk works").expect("one waits");
        assert_eq!(first.parcel, parcel(0, 200));
        keeper.acknowledge(first.ticket).await.expect("it runs");
        let second = keeper.oldest().await.expect("the disk works").expect("one waits");
        keeper.release(second.ticket).await.expect("it runs");
        let locked = Keeper::open(&config, "otlp").await.expect_err("it is in use");
        assert!(matches!(locked, SpoolError::Locked { .. }));
        let held = keeper.counts();
        keeper.close().await.expect("the disk works");

        let (keeper, recovered) = Keeper::open(&config, "otlp").await.expect("it was let go of");
        assert_eq!((recovered.items, recovered.records), (held, 4));
        for id in 1..5 {
            let stored = keeper.oldest().await.expect("the disk works").expect("one waits");
            assert_eq!(stored.parcel, parcel(id, 200));
            keeper.acknowledge(stored.ticket).await.expect("it runs");
        }
        assert_eq!((keeper.counts(), keeper.oldest().await.ok()), (Items::default(), Some(None)));
        keeper.close().await.expect("the disk works");
        std::fs::remove_dir_all(&config.directory).expect("the folder is ours");
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_handed_out() {
        let machine = Machine::new(1);
        let (keeper, _) =
            Keeper::open_on(Box::new(machine), &config(), "otlp").await.expect("it works");
        keeper.append(parcel(0, 50)).await.expect("the disk works");
        let (answer, nobody) = oneshot::channel();
        drop(nobody);
        let place = Arc::clone(&keeper.room).acquire_owned().await.expect("there is room");
        keeper.commands.send((Command::Oldest(answer), place)).expect("it runs");
        let stored = keeper.oldest().await.expect("the disk works").expect("it still waits");
        assert_eq!(stored.parcel, parcel(0, 50));
    }

    #[tokio::test]
    async fn losses_are_told_once_and_counted_until_then() {
        let machine = Machine::new(1);
        let (keeper, _) =
            Keeper::open_on(Box::new(machine.clone()), &config(), "otlp").await.expect("it works");
        let (mut put_in, mut given_up) = (0, 0);
        for id in 0..100 {
            put_in += parcel(id, 300).items as u64;
            let kept = keeper.append(parcel(id, 300)).await.expect("the disk works");
            given_up += kept.given_up.full.total();
            assert_eq!(keeper.counts().total() + given_up, put_in);
        }
        assert!(given_up > 0 && keeper.given_up().is_empty());
        machine.break_down(Call::Create);
        machine.break_down(Call::Append);
        keeper.append(parcel(100, 300)).await.expect_err("the disk fails");
        let before = keeper.counts().total();
        let told = keeper.given_up().full.total();
        assert_eq!(keeper.counts().total(), before - told);
        assert_eq!(keeper.counts().total() + given_up + told, put_in);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
        let config = Config::new(PathBuf::from("/dev/null/spool"));
        let error = Keeper::open(&config, "otlp").await.expect_err("it is no folder");
        assert!(error.to_string().contains("/dev/null/spool/otlp"), "{error}");
    }
}
