//! Destinations with a spool on a real disk, in real time.

use super::super::spool::{self, Keeper, SpoolError};
use super::super::testing::number;
use super::tests::{Running, retry, taken};
use super::*;
use std::path::PathBuf;

/// A folder of this test's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("spandrel-destination-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn config(&self) -> spool::Config {
        spool::Config::new(self.0.clone())
    }

    /// How many spans are on the disk when nobody has it any more.
    async fn spans(&self) -> u64 {
        let opening = async {
            loop {
                match Keeper::open(&self.config(), "otlp").await {
                    // Who was killed lets go of it a little later.
                    Err(SpoolError::Locked { .. }) => tokio::task::yield_now().await,
                    opened => return opened,
                }
            }
        };
        let opened = timeout(Duration::from_secs(20), opening).await.expect("it is let go of");
        let (keeper, found) = opened.expect("the disk works");
        keeper.close().await.expect("the disk works");
        found.items.traces
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
        std::fs::remove_file(&self.0).ok();
    }
}

/// Waits, within reason, until a number of the books has this value.
async fn until(running: &Running, name: &str, value: u64) {
    let is_so = async {
        while number(&running.registry, name, "") != value {
            sleep_until(Instant::now() + Duration::from_millis(2)).await;
        }
    };
    let found = timeout(Duration::from_secs(20), is_so).await;
    let now = number(&running.registry, name, "");
    assert!(found.is_ok(), "{name} is {now}, not {value}");
}

const ASKED: Option<Duration> = Some(Duration::from_secs(60));

#[tokio::test]
async fn what_cannot_be_sent_at_the_end_is_on_disk_and_sent_by_the_next() {
    let folder = Folder::new("end");
    let mut running = Running::with_spool([Some(retry(ASKED))], folder.config());
    running.send(4);
    running.attempt().await;
    running.send(8);
    let (books, _) = running.stop().await;
    assert_eq!((books, folder.spans().await), ([12, 0, 0, 0, 0, 0], 12));

    let mut running = Running::with_spool([], folder.config());
    assert_eq!(running.attempt().await.1, 4);
    until(&running, "spooled", 0).await;
    assert_eq!(number(&running.registry, "recovered_total", ""), 12);
    assert_eq!(number(&running.registry, "exported_total", ""), 12);
    running.stop().await;
    assert_eq!(folder.spans().await, 0);
}

#[tokio::test]
async fn at_the_end_all_is_kept_although_the_only_record_on_disk_is_on_its_way() {
    let folder = Folder::new("probe");
    let mut running = Running::with_spool([Some(retry(ASKED))], folder.config());
    running.send(4);
    running.attempt().await;
    running.stop().await;
    assert_eq!(folder.spans().await, 4);
    // The one that was found never lands, nor does what is new.
    let mut running = Running::with_spool(std::iter::repeat_n(None, 8), folder.config());
    running.attempt().await;
    for _ in 0..3 {
        running.send(4);
    }
    running.attempt().await;
    let (books, _) = running.stop().await;
    assert_eq!((books[0], books[5], folder.spans().await), (12, 0, 16));
}

#[tokio::test]
async fn of_what_comes_from_the_disk_nothing_is_forgotten_when_several_fail() {
    let folder = Folder::new("several");
    let fails = std::iter::repeat_n(Some(retry(ASKED)), 3);
    let mut running = Running::with_spool(fails, folder.config());
    running.send(12);
    running.attempt().await;
    assert_eq!(running.stop().await.0, [12, 0, 0, 0, 0, 0]);
    let fails = [Some(retry(None)), Some(retry(None)), Some(retry(None))];
    let running = Running::with_spool(fails, folder.config());
    until(&running, "exported_total", 12).await;
    until(&running, "spooled", 0).await;
    running.stop().await;
}

#[tokio::test]
async fn what_is_on_disk_and_never_arrives_does_not_hold_up_what_is_in_memory() {
    let folder = Folder::new("poison");
    let mut running = Running::with_spool([Some(retry(ASKED))], folder.config());
    running.send(3);
    running.stop().await;
    assert_eq!(folder.spans().await, 3);
    let mut running = Running::with_spool([], folder.config());
    running.fails(3);
    assert_eq!(running.attempt().await.1, 3);
    running.send(4);
    until(&running, "exported_total", 4).await;
    running.stop().await;
    assert_eq!(folder.spans().await, 3);
}

#[tokio::test]
async fn a_parcel_too_large_for_the_disk_leaves_the_disk_to_the_others() {
    let folder = Folder::new("large");
    let config = spool::Config { max_bytes: 1_000, ..folder.config() };
    let mut running = Running::with_spool([Some(retry(ASKED))], config);
    running.send_long(4, 1_000);
    running.attempt().await;
    running.send(1);
    let (books, _) = running.stop().await;
    assert_eq!((books[0], books[5], folder.spans().await), (5, 4, 1));
}

#[tokio::test]
async fn where_there_is_no_disk_memory_has_to_do() {
    let folder = Folder::new("none");
    std::fs::write(&folder.0, b"not a folder").expect("a temporary file");
    let fails = [Some(retry(None)), Some(retry(None)), Some(taken(0))];
    let mut running = Running::with_spool(fails, folder.config());
    running.send(8);
    until(&running, "exported_total", 8).await;
    assert_eq!(running.stop().await.0, [8, 8, 0, 0, 0, 0]);
}

#[tokio::test]
async fn while_the_way_is_blocked_what_comes_is_put_on_disk_and_sent_later() {
    let folder = Folder::new("blocked");
    // Two fail together, and one of them again.
    let fails = [Some(retry(None)), Some(retry(None)), Some(retry(None))];
    let mut running = Running::with_spool(fails, folder.config());
    running.send(8);
    until(&running, "spooled", 8).await;
    running.send(4);
    until(&running, "exported_total", 12).await;
    until(&running, "spooled", 0).await;
    assert_eq!(running.stop().await.0, [12, 12, 0, 0, 0, 0]);
    assert_eq!(folder.spans().await, 0);
}

#[tokio::test]
async fn a_record_that_was_cut_up_stays_on_disk_until_its_parts_are_settled() {
    let folder = Folder::new("cut");
    let mut running = Running::with_spool([Some(retry(ASKED))], folder.config());
    running.send(4);
    running.stop().await;
    assert_eq!(folder.spans().await, 4);

    let large = || Some(Outcome::TooLarge { reason: "at most 3".to_owned() });
    let mut running = Running::with_spool([large(), None, None], folder.config());
    let sizes = [running.attempt().await.1, running.attempt().await.1, running.attempt().await.1];
    assert_eq!(sizes, [4, 2, 2]);
    running.kill().await;
    assert_eq!(folder.spans().await, 4, "neither part has arrived");

    let running = Running::with_spool([large()], folder.config());
    until(&running, "exported_total", 4).await;
    running.stop().await;
    assert_eq!(folder.spans().await, 0);
}
