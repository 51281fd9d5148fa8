//! The command `demo`: a small shop on loopback with a sidecar beside each service, customers, and
//! the backend that shows what they do.
//!
//! Everything runs in this process, on real sockets, and leaves nothing behind. Only the sidecars
//! know of tracing: the services forward a few headers and count their calls themselves, so that
//! what the traces say can be checked. The order of the end matters: customers first, then the
//! services, then the sidecars, which send their last spans to the backend, which goes last.

pub mod backend;
pub mod load;
pub mod plan;
pub mod report;
pub mod shop;
pub mod sidecar;

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval, interval_at, timeout};

use crate::app::{AppError, Stop};
use crate::cli::DemoArgs;
use crate::config::{self, ConfigError};
use crate::telemetry::TelemetryError;
use crate::view::{Reader, ViewError};
use backend::Backend;
use load::Load;
use report::{Places, Progress, Screen, Summary};
use shop::{Doors, Service, Shop};
use sidecar::{Running, Sidecars};

/// The shortest and the longest time that can be asked for, in milliseconds.
const DURATIONS: (u64, u64) = (1_000, 24 * 3_600_000);
/// The most requests that can be asked for.
const MAX_REQUESTS: u64 = 10_000_000;
/// How often it is looked whether the last spans have arrived.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Looks in a row that must find nothing on its way.
const QUIET_LOOKS: u32 = 2;
/// Looks after which it is no longer waited for.
const MAX_LOOKS: u32 = 24;
/// How long the last answers may take once the time is over.
const LAST_ANSWERS: Duration = Duration::from_secs(3);
/// How long the sidecars may take to end.
const LAST_SPANS: Duration = Duration::from_secs(2);
/// How long the backend may take to end.
const BACKEND_END: Duration = Duration::from_millis(200);

/// What is wanted of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// After what time it ends by itself.
    pub duration: Option<Duration>,
    /// After how many requests the load stops.
    pub requests: Option<u64>,
    /// Whether the page is served.
    pub has_page: bool,
}

/// Why the demo cannot start, or ended.
#[derive(Debug)]
pub enum DemoError {
    /// The backend cannot start.
    Backend(ViewError),
    /// The backend ended by itself.
    BackendEnded,
    /// The settings of a sidecar are not taken.
    Settings(ConfigError),
    /// A sidecar cannot start, or ended by itself.
    Sidecar(AppError),
    /// The numbers of a sidecar cannot be sent.
    Numbers(TelemetryError),
    /// The system gives us no sockets.
    System(io::Error),
    /// What is to be told cannot be written.
    Output(io::Error),
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backend(error) => error.fmt(f),
            Self::BackendEnded => {
                f.write_str("the backend ended by itself, which is a fault of spandrel's")
            }
            Self::Settings(error) => error.fmt(f),
            Self::Sidecar(error) => error.fmt(f),
            Self::Numbers(error) => error.fmt(f),
            Self::System(error) => write!(f, "the system gives no resources to start: {error}"),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}

impl std::error::Error for DemoError {}

impl From<ViewError> for DemoError {
    fn from(error: ViewError) -> Self {
        Self::Backend(error)
    }
}

impl From<ConfigError> for DemoError {
    fn from(error: ConfigError) -> Self {
        Self::Settings(error)
    }
}

impl From<AppError> for DemoError {
    fn from(error: AppError) -> Self {
        Self::Sidecar(error)
    }
}

impl From<TelemetryError> for DemoError {
    fn from(error: TelemetryError) -> Self {
        Self::Numbers(error)
    }
}

impl From<io::Error> for DemoError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl Config {
    /// What the flags ask for.
    ///
    /// # Errors
    /// When one is not understood; the error says what was expected.
    pub fn of(args: &DemoArgs) -> Result<Self, String> {
        let DemoArgs { duration, requests, no_page } = args;
        let (min, max) = DURATIONS;
        let duration = duration.as_deref().map(|text| config::value::duration(text, min, max));
        let duration = duration.transpose().map_err(|problem| format!("--duration: {problem}"))?;
        if let Some(requests) = requests.filter(|n| !(1..=MAX_REQUESTS).contains(n)) {
            return Err(format!(
                "--requests: expected a whole number from 1 to {MAX_REQUESTS}, found `{requests}`"
            ));
        }
        Ok(Self { duration, requests: *requests, has_page: !no_page })
    }
}

/// Runs the demo until it is told to stop, or its time is over, and writes to `out` what there is
/// to see. When nobody reads that any more, it ends as well.
///
/// # Errors
/// When it cannot start, or a part of it ends by itself.
pub async fn run(
    config: Config,
    stop: mpsc::Receiver<Stop>,
    out: impl Write,
    is_terminal: bool,
) -> Result<(), DemoError> {
    let screen = Screen::new(out, is_terminal);
    let backend = Backend::bind(config.has_page)?;
    let (addresses, reader) = (backend.addresses(), backend.reader());
    let (over, ended) = oneshot::channel::<()>();
    let mut serving = pin!(backend.run(async move { drop(ended.await) }));
    let play = async {
        let doors = Doors::bind()?;
        let sidecars = Sidecars::bind(&doors, addresses.http)?;
        let street = Arc::new(sidecars.street());
        let entrance = street.beside(Service::Gateway);
        let places = Places {
            page: addresses.page,
            grpc: addresses.grpc,
            http: addresses.http,
            shop: entrance.inbound,
            admin: entrance.admin,
        };
        let load = Load::new(entrance.inbound, config.requests);
        let (sidecars, shop) = (sidecars.start()?, Shop::open(doors, &street)?);
        let has_told_calls = false;
        Stage { sidecars, shop, load, reader, screen, has_told_calls }
            .play(places, config, stop)
            .await
    };
    let result = tokio::select! {
        result = Box::pin(play) => result,
        ended = &mut serving => {
            return Err(ended.err().map_or(DemoError::BackendEnded, DemoError::System));
        }
    };
    drop(over);
    timeout(BACKEND_END, serving).await.ok();
    match result {
        // Whoever read it has seen enough.
        Err(DemoError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// An address, or a free port beside it if somebody has that one.
fn usual_or_free(address: SocketAddr) -> SocketAddr {
    match crate::net::bind(address) {
        Ok(_free_at_the_moment) => address,
        Err(_) => SocketAddr::new(address.ip(), 0),
    }
}

/// Everything that runs.
struct Stage<W> {
    sidecars: Running,
    shop: Shop,
    load: Load,
    reader: Reader,
    screen: Screen<W>,
    has_told_calls: bool,
}

/// Why the demo ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It was told to.
    Told,
    /// Its time is over.
    InTime,
}

impl<W: Write> Stage<W> {
    async fn play(
        mut self,
        places: Places,
        config: Config,
        mut stop: mpsc::Receiver<Stop>,
    ) -> Result<(), DemoError> {
        let ending = match self.screen.greet(&places) {
            Ok(()) => self.watch(config.duration, &mut stop).await,
            Err(error) => Err(DemoError::Output(error)),
        };
        if let Ok(Ending::InTime) = ending {
            tokio::select! {
                _in_time_or_not = timeout(LAST_ANSWERS, self.load.finish()) => {}
                _told = stop.recv() => {}
            }
        }
        self.close(ending).await
    }

    /// Lets everything run until it is to end.
    async fn watch(
        &mut self,
        duration: Option<Duration>,
        stop: &mut mpsc::Receiver<Stop>,
    ) -> Result<Ending, DemoError> {
        let end = duration.map(|duration| Instant::now() + duration);
        let mut lines = interval_at(Instant::now() + self.screen.every(), self.screen.every());
        let mut looks = interval(LOOK_EVERY);
        let (mut is_over, mut looked, mut quiet) = (false, 0, 0);
        loop {
            tokio::select! {
                // Nobody left who could tell is as good as being told.
                _told = stop.recv() => return Ok(Ending::Told),
                () = until(end) => return Ok(Ending::InTime),
                error = self.sidecars.failed() => return Err(error),
                () = self.load.run(), if !is_over => is_over = true,
                _ = lines.tick() => {
                    let progress = self.progress();
                    self.screen.status(&progress).map_err(DemoError::Output)?;
                }
                _ = looks.tick(), if is_over && !self.has_told_calls => {
                    quiet = if self.sidecars.queued() == 0 { quiet + 1 } else { 0 };
                    looked += 1;
                    if quiet >= QUIET_LOOKS || looked >= MAX_LOOKS {
                        self.tell_calls()?;
                    }
                }
            }
        }
    }

    fn progress(&self) -> Progress {
        let totals = self.reader.totals();
        Progress::new(self.load.tally(), totals.traces, totals.spans)
    }

    fn tell_calls(&mut self) -> Result<(), DemoError> {
        self.has_told_calls = true;
        let (progress, calls) = (self.progress(), self.shop.calls().table());
        self.screen.load_is_over(&progress, &calls).map_err(DemoError::Output)
    }

    /// Closes everything in its order, and reports.
    async fn close(self, ending: Result<Ending, DemoError>) -> Result<(), DemoError> {
        let Self { sidecars, shop, load, reader, mut screen, has_told_calls } = self;
        let calls = shop.calls().clone();
        let tally = load.tally().clone();
        drop((load, shop));
        timeout(LAST_SPANS, sidecars.stop()).await.ok();
        let (Ending::Told | Ending::InTime) = ending?;
        let totals = reader.totals();
        let summary = Summary {
            progress: Progress::new(&tally, totals.traces, totals.spans),
            slowest_hop: reader.slowest_hop(),
            calls: (!has_told_calls).then(|| calls.table()),
        };
        screen.report(&summary).map_err(DemoError::Output)
    }
}

/// Waits until then; for ever where there is no such time.
async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn args(duration: Option<&str>, requests: Option<u64>) -> DemoArgs {
        DemoArgs { duration: duration.map(str::to_owned), requests, no_page: false }
    }

    #[test]
    fn the_flags_are_read_as_settings_are() {
        let config = Config::of(&args(Some("20s"), Some(60)));
        let duration = Some(Duration::from_secs(20));
        assert_eq!(config, Ok(Config { duration, requests: Some(60), has_page: true }));
        let plain = DemoArgs { no_page: true, ..args(None, None) };
        let expected = Config { duration: None, requests: None, has_page: false };
        assert_eq!(Config::of(&plain), Ok(expected));
    }

    #[test]
    fn what_is_no_time_or_no_number_of_requests_is_told() {
        for (args, start) in [
            (args(Some("20"), None), "--duration: expected a duration from 1s to 24h "),
            (args(Some("10ms"), None), "--duration: expected a duration from 1s to 24h "),
            (args(None, Some(0)), "--requests: expected a whole number from 1 to 10000000"),
        ] {
            let error = Config::of(&args).unwrap_err();
            assert!(error.starts_with(start), "{error}");
        }
    }

    #[test]
    fn a_taken_port_is_replaced_by_a_free_one() {
        let held = crate::net::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let taken = held.local_addr().unwrap();
        assert_eq!(usual_or_free(taken), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        drop(held);
        assert_eq!(usual_or_free(taken), taken);
    }
}
