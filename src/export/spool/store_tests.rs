//! What the spool promises, one promise at a time.

use super::file_system::FileSystem as _;
use super::format::{HEAD_BYTES, HEADER_BYTES};
use super::recovery::LeftAlone;
use super::store::Spool;
use super::testing::{Call, Machine, all, config, id, ids, notes, parcel, segment};
use super::{Config, GivenUp, Items, MAX_MESSAGE, SpoolError, Stored};

/// Length of the messages of these tests.
const MESSAGE: usize = 300;

fn open(machine: &Machine, config: &Config) -> Spool {
    machine.open(config, 0).expect("the folder can be used").0
}

fn append(spool: &mut Spool, ids: std::ops::Range<u64>, now: u64) {
    for id in ids {
        spool.append(&parcel(id, MESSAGE), now).expect("the disk works");
    }
}

fn oldest(spool: &mut Spool) -> Stored {
    spool.oldest(0).expect("the disk works").expect("a record waits")
}

fn take_oldest(spool: &mut Spool) {
    let stored = oldest(spool);
    spool.acknowledge(stored.ticket, 0);
}

fn items(ids: impl IntoIterator<Item = u64>) -> Items {
    let mut items = Items::default();
    for id in ids {
        let parcel = parcel(id, 8);
        items.add(parcel.signal, u32::try_from(parcel.items).expect("few"));
    }
    items
}

#[test]
fn what_is_put_in_comes_out_in_order_also_after_a_restart() {
    let machine = Machine::new(1);
    let mut spool = open(&machine, &config());
    append(&mut spool, 0..12, 5);
    let first = oldest(&mut spool);
    assert_eq!((first.parcel, first.written_at), (parcel(0, MESSAGE), 5));
    drop(spool);
    let (mut spool, recovered) = machine.open(&config(), 0).expect("the folder can be used");
    assert_eq!((recovered.items, recovered.records), (items(0..12), 12));
    assert!(recovered.is_clean() && recovered.segments > 1);
    assert_eq!(ids(&mut spool, 0), (0..12).collect::<Vec<_>>());
    assert_eq!(spool.oldest(0).expect("the disk works"), None);
}

#[test]
fn what_is_acknowledged_is_not_sent_again() {
    let machine = Machine::new(1);
    let mut spool = open(&machine, &config());
    append(&mut spool, 0..12, 0);
    let out = all(&mut spool, 0);
    for at in [7, 0, 3] {
        spool.acknowledge(out[at].ticket, 0);
        spool.acknowledge(out[at].ticket, 0);
    }
    let left = [1, 2, 4, 5, 6, 8, 9, 10, 11];
    assert_eq!(spool.held(), items(left));
    drop(spool);
    assert_eq!(ids(&mut open(&machine, &config()), 0), left);
}

#[test]
fn a_segment_of_which_all_is_taken_is_deleted() {
    let machine = Machine::new(1);
    let mut spool = open(&machine, &config());
    append(&mut spool, 0..6, 0);
    assert_eq!(machine.paths(".spool").len(), 2, "three in each");
    for stored in all(&mut spool, 0).into_iter().take(3).rev() {
        spool.acknowledge(stored.ticket, 0);
    }
    assert_eq!(machine.paths(".spool"), [segment(2)]);
    assert_eq!(machine.paths(".settled"), [notes(1)], "until the folder is synced");
    spool.sync().expect("the disk works");
    assert_eq!(machine.names(), ["00000000000000000002.spool"]);
}

#[test]
fn what_is_released_is_handed_out_again_in_its_turn() {
    let machine = Machine::new(1);
    let mut spool = open(&machine, &config());
    append(&mut spool, 0..3, 0);
    let (zero, one) = (oldest(&mut spool), oldest(&mut spool));
    spool.release(zero.ticket);
    assert_eq!(ids(&mut spool, 0), [0, 2]);
    spool.release(one.ticket);
    assert_eq!(oldest(&mut spool), one);
    assert_eq!(spool.held(), items(0..3));
}

/// Settings by which bytes are the bound, with records of [`LARGE`], of which a segment takes eight.
fn roomy() -> Config {
    let mut config = config();
    config.max_bytes = 256 * 1024;
    config
}

/// Length of the messages that fill it up.
const LARGE: usize = 2_000;

#[test]
fn a_full_spool_gives_up_its_oldest_segment_and_tells_exactly_what_was_in_it() {
    let machine = Machine::new(1);
    let mut spool = open(&machine, &roomy());
    for id in 0..129 {
        spool.append(&parcel(id, LARGE), 0).expect("the disk works");
        assert!(spool.bytes() <= roomy().max_bytes);
        assert_eq!(spool.given_up_now().is_empty(), id < 128, "{id}");
    }
    assert_eq!(spool.held(), items(0..129), "held until told");
    let full = items(0..8);
    assert_eq!(spool.take_given_up(), GivenUp { full, ..GivenUp::default() });
    assert_eq!(spool.held(), items(8..129));
    assert_eq!(ids(&mut spool, 0), (8..129).collect::<Vec<_>>());
}

#[test]
fn what_is_on_its_way_when_its_segment_is_given_up_is_settled_as_it_turns_out() {
    let machine = Machine::new(1);
    let mut spool = open(&machine, &config());
    append(&mut spool, 0..3, 0);
    let (taken, returned) = (oldest(&mut spool), oldest(&mut spool));
    append(&mut spool, 3..60, 0);
    let full = spool.take_given_up().full;
    let waiting = ids(&mut spool, 0);
    let first = *waiting.first().expect("some are left");
    assert_eq!(full, items(2..first), "without those that are on their way");
    assert_eq!(spool.held(), items([0, 1].into_iter().chain(first..60)));
    spool.acknowledge(taken.ticket, 0);
    assert!(spool.take_given_up().is_empty());
    spool.release(returned.ticket);
    assert_eq!(spool.take_given_up().full, items([1]));
    assert_eq!(spool.held(), items(first..60));
}

#[test]
fn there_are_no_more_records_than_fit_into_memory() {
    let machine = Machine::new(1);
    let mut spool = open(&machine, &config());
    for id in 0..200 {
        spool.append(&parcel(id, 8), 0).expect("the disk works");
    }
    assert!(spool.take_given_up().full.total() > 0);
    let left = ids(&mut spool, 0);
    assert!(left.len() <= 16 && left.last() == Some(&199), "{left:?}");
}

#[test]
fn what_is_too_old_is_given_up_record_by_record() {
    let machine = Machine::new(1);
    let mut spool = open(&machine, &config());
    append(&mut spool, 0..2, 100);
    append(&mut spool, 2..3, 200);
    let out = oldest(&mut spool);
    spool.tick(10_099);
    assert!(spool.take_given_up().is_empty());
    spool.tick(10_100);
    let expired = items([1]);
    assert_eq!(spool.take_given_up(), GivenUp { expired, ..GivenUp::default() });
    assert_eq!(spool.held(), items([0, 2]), "what is on its way is not too old");
    spool.release(out.ticket);
    drop(spool);
    let (mut spool, recovered) = machine.open(&config(), 10_150).expect("the folder can be used");
    assert_eq!(recovered.items, items([0, 2]), "what expired is not found again");
    assert_eq!(ids(&mut spool, 10_150), [2]);
    assert_eq!(spool.take_given_up().expired, items([0]));
}

#[test]
fn a_clock_that_was_wrong_makes_nothing_expire_early() {
    let machine = Machine::new(1);
    let mut spool = open(&machine, &config());
    append(&mut spool, 0..1, 900_000);
    append(&mut spool, 1..2, 500);
    drop(spool);
    let (mut spool, _) = machine.open(&config(), 1_000).expect("the folder can be used");
    assert_eq!(ids(&mut spool, 10_900), [0, 1]);
    assert!(spool.take_given_up().is_empty());
}

#[test]
fn a_message_that_does_not_fit_is_refused_and_nothing_is_given_up_for_it() {
    let machine = Machine::new(1);
    let mut spool = open(&machine, &config());
    append(&mut spool, 0..3, 0);
    let most = 16 * 1024 - HEADER_BYTES - HEAD_BYTES;
    let refused = spool.append(&parcel(3, most + 1), 0).expect_err("too large");
    assert!(refused.to_string().contains(&most.to_string()), "{refused}");
    assert_eq!(spool.held(), items(0..3));
    spool.append(&parcel(3, most), 0).expect("it fits exactly");
    assert_eq!(spool.take_given_up().full, items(0..3));
    assert_eq!(ids(&mut spool, 0), [3]);

    let mut large = config();
    large.max_bytes = 1 << 30;
    let machine = Machine::new(1);
    let mut spool = open(&machine, &large);
    spool.append(&parcel(0, MAX_MESSAGE + 1), 0).expect_err("too large");
    spool.append(&parcel(0, MAX_MESSAGE), 0).expect("it is the largest");
    drop(spool);
    assert_eq!(ids(&mut open(&machine, &large), 0), [0]);
}

#[test]
fn another_process_is_told_which_folder_is_in_use() {
    let machine = Machine::new(1);
    let spool = open(&machine, &config());
    let error = machine.open(&config(), 0).expect_err("it is locked");
    let text = error.to_string();
    assert!(matches!(error, SpoolError::Locked { .. }));
    assert!(text.contains("/spool/otlp") && text.contains("directory of its own"), "{text}");
    drop(spool);
    open(&machine, &config());
}

#[test]
fn a_full_disk_keeps_what_it_has_and_takes_more_when_there_is_room() {
    for room in 0..MESSAGE {
        let machine = Machine::new(1);
        let mut spool = open(&machine, &config());
        append(&mut spool, 0..2, 0);
        machine.fill_up(room);
        for id in 2..5 {
            let error = spool.append(&parcel(id, MESSAGE), 0).expect_err("no room");
            assert!(error.to_string().contains("00000000000000000"), "{error}");
        }
        assert_eq!(spool.held(), items(0..2));
        assert!(spool.take_given_up().is_empty(), "it is not ours to make room");
        assert_eq!(machine.content(&segment(1)).len(), HEADER_BYTES + 2 * (HEAD_BYTES + MESSAGE));
        machine.mend();
        append(&mut spool, 5..7, 0);
        assert_eq!(ids(&mut spool, 0), [0, 1, 5, 6]);
        drop(spool);
        let (mut spool, recovered) = machine.open(&config(), 0).expect("the folder can be used");
        assert!(recovered.is_clean());
        assert_eq!(ids(&mut spool, 0), [0, 1, 5, 6]);
    }
}

#[test]
fn a_half_written_record_that_cannot_be_cut_off_never_comes_out() {
    for seed in 0..50 {
        let machine = Machine::new(seed);
        let mut spool = open(&machine, &config());
        append(&mut spool, 0..2, 0);
        machine.break_down(Call::Append);
        machine.break_down(Call::Truncate);
        spool.append(&parcel(2, MESSAGE), 0).expect_err("the disk fails");
        machine.mend();
        append(&mut spool, 3..4, 0);
        drop(spool);
        assert_eq!(ids(&mut open(&machine, &config()), 0), [0, 1, 3], "by its note at least");
    }
}

#[test]
fn writes_of_a_part_are_gone_on_with() {
    let machine = Machine::new(1);
    machine.write_short();
    let mut spool = open(&machine, &config());
    append(&mut spool, 0..9, 0);
    take_oldest(&mut spool);
    drop(spool);
    assert_eq!(ids(&mut open(&machine, &config()), 0), (1..9).collect::<Vec<_>>());
}

#[test]
fn a_disk_that_cannot_be_written_to_fails_each_append_and_recovers() {
    for call in [Call::Create, Call::Append] {
        let machine = Machine::new(1);
        let mut spool = open(&machine, &config());
        machine.break_down(call);
        for id in 0..3 {
            spool.append(&parcel(id, MESSAGE), 0).expect_err("the disk fails");
        }
        assert_eq!((spool.held(), spool.bytes()), (Items::default(), 0));
        machine.mend();
        append(&mut spool, 3..4, 0);
        assert_eq!(ids(&mut spool, 0), [3]);
    }
}

#[test]
fn by_the_clock_it_is_synced_once_for_all_that_was_written() {
    let machine = Machine::new(1);
    let mut spool = open(&machine, &config());
    spool.tick(1_000);
    let before = machine.calls(Call::Sync);
    append(&mut spool, 0..2, 1_000);
    spool.tick(1_999);
    assert_eq!(machine.calls(Call::Sync), before);
    assert_eq!(spool.until_due(1_400).as_millis(), 600);
    spool.tick(2_000);
    spool.tick(9_000);
    assert_eq!(machine.calls(Call::Sync), before + 1);
    machine.cut_power();
    assert_eq!(machine.open(&config(), 0).expect("the folder can be used").1.items, items(0..2));
}

#[test]
fn with_zero_every_record_is_on_the_disk_before_the_answer() {
    let mut config = config();
    config.sync = std::time::Duration::ZERO;
    for seed in 0..50 {
        let machine = Machine::new(seed);
        let mut spool = open(&machine, &config);
        append(&mut spool, 0..5, 0);
        machine.break_down(Call::Sync);
        spool.append(&parcel(5, MESSAGE), 0).expect_err("it is not on the disk");
        machine.break_down(Call::SyncDirectory);
        machine.cut_power();
        machine.mend();
        assert_eq!(ids(&mut open(&machine, &config), 0), [0, 1, 2, 3, 4]);
    }
}

#[test]
fn what_an_earlier_process_left_is_brought_to_the_disk() {
    for seed in 0..50 {
        let machine = Machine::new(seed);
        let mut spool = open(&machine, &config());
        append(&mut spool, 0..5, 0);
        machine.kill();
        drop(spool);
        let mut spool = open(&machine, &config());
        spool.tick(1_000);
        machine.cut_power();
        drop(spool);
        assert_eq!(ids(&mut open(&machine, &config()), 0), [0, 1, 2, 3, 4]);
    }
}

#[test]
fn what_cannot_be_read_now_lets_the_others_pass_and_is_tried_again() {
    let machine = Machine::new(1);
    let mut spool = open(&machine, &config());
    append(&mut spool, 0..3, 0);
    machine.break_down(Call::Read);
    let error = spool.oldest(0).expect_err("the disk fails");
    assert!(error.to_string().contains("cannot read"), "{error}");
    machine.mend();
    assert_eq!(ids(&mut spool, 0), [1, 2, 0]);
    assert!(spool.take_given_up().is_empty());
}

#[test]
fn segments_that_cannot_be_read_at_the_start_are_left_for_the_next() {
    let machine = Machine::new(1);
    append(&mut open(&machine, &config()), 0..2, 0);
    machine.break_down(Call::Read);
    let (mut spool, recovered) = machine.open(&config(), 0).expect("the folder can be used");
    assert_eq!(recovered.items, Items::default());
    assert_eq!(recovered.left_alone[0].1, LeftAlone::Unreadable);
    machine.mend();
    append(&mut spool, 2..3, 0);
    assert_eq!(ids(&mut spool, 0), [2]);
    drop(spool);
    assert_eq!(ids(&mut open(&machine, &config()), 0), [0, 1, 2]);
}

#[test]
fn a_start_on_a_broken_disk_loses_nothing() {
    for call in Call::ALL {
        let machine = Machine::new(1);
        let mut spool = open(&machine, &config());
        append(&mut spool, 0..4, 0);
        take_oldest(&mut spool);
        drop(spool);
        machine.break_down(call);
        let opened = machine.open(&config(), 0);
        assert_eq!(opened.is_err(), matches!(call, Call::Lock | Call::List), "{call:?}");
        drop(opened);
        machine.mend();
        assert_eq!(ids(&mut open(&machine, &config()), 0), [1, 2, 3]);
    }
}

#[test]
fn a_settled_segment_that_cannot_be_deleted_is_not_sent_again_and_tried_again() {
    let machine = Machine::new(1);
    let mut spool = open(&machine, &config());
    append(&mut spool, 0..1, 0);
    machine.break_down(Call::Remove);
    take_oldest(&mut spool);
    assert_eq!(spool.held(), Items::default());
    assert_eq!(machine.names().len(), 2, "the segment and a note");
    machine.kill();
    assert_eq!(machine.open(&config(), 0).expect("it can be used").1.items, Items::default());
    machine.mend();
    spool.tick(0);
    assert_eq!(machine.paths(".spool").len(), 0);
}

#[test]
fn notes_that_cannot_be_written_are_written_later() {
    let machine = Machine::new(1);
    let mut spool = open(&machine, &config());
    append(&mut spool, 0..2, 0);
    machine.break_down(Call::Open);
    take_oldest(&mut spool);
    assert!(machine.paths(".settled").is_empty());
    machine.mend();
    spool.tick(0);
    drop(spool);
    assert_eq!(ids(&mut open(&machine, &config()), 0), [1]);
}

#[test]
fn where_no_room_can_be_made_nothing_is_given_up() {
    let machine = Machine::new(1);
    let mut spool = open(&machine, &config());
    append(&mut spool, 0..16, 0);
    machine.break_down(Call::Remove);
    for _ in 0..3 {
        spool.append(&parcel(16, MESSAGE), 0).expect_err("there is no room");
    }
    assert!(spool.take_given_up().is_empty());
    assert_eq!(spool.held(), items(0..16));
    machine.mend();
    assert_eq!(ids(&mut spool, 0), (0..16).collect::<Vec<_>>());
}

#[test]
fn the_end_of_the_process_keeps_a_power_cut_may_take_only_what_was_not_synced() {
    for seed in 0..100 {
        let machine = Machine::new(seed);
        let mut spool = open(&machine, &config());
        append(&mut spool, 0..4, 0);
        spool.sync().expect("the disk works");
        append(&mut spool, 4..9, 0);
        machine.cut_power();
        drop(spool);
        let left = ids(&mut open(&machine, &config()), 0);
        assert!(left.starts_with(&[0, 1, 2, 3]), "{left:?}");
    }
}

#[test]
fn folders_are_named_as_destinations_are_and_never_lie_elsewhere() {
    let config = config();
    let name = |destination| {
        let path = config.directory_of(destination);
        assert_eq!(path.parent(), Some(config.directory.as_path()));
        path.file_name().expect("a name").to_string_lossy().into_owned()
    };
    assert_eq!(name("otlp"), "otlp");
    assert_eq!(name("a.b-c_1"), "a.b-c_1");
    assert_eq!(name("../etc"), "%2E.%2Fetc");
    assert_eq!(name(".."), "%2E.");
    assert_eq!(name("é %"), "%C3%A9%20%25");
    assert_eq!(name(""), "%");
}

#[test]
fn a_file_in_the_way_of_a_new_segment_is_not_written_over() {
    let machine = Machine::new(1);
    let mut spool = open(&machine, &config());
    machine.put(&segment(1), b"somebody else's".to_vec());
    spool.append(&parcel(0, MESSAGE), 0).expect_err("it is there already");
    append(&mut spool, 1..2, 0);
    assert_eq!(machine.content(&segment(1)), b"somebody else's");
    assert_eq!(id(&oldest(&mut spool).parcel), 1);
    machine.remove(&segment(1)).expect("it is there");
}
