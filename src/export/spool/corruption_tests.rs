//! Each way in which a spool is known to be damaged, and what is found of it then.

use super::format::{HEAD_BYTES, HEADER_BYTES};
use super::recovery::{LeftAlone, Recovered};
use super::testing::{Machine, config, id, ids, notes, parcel, segment};

/// Length of the messages of these tests, and of a whole record.
const MESSAGE: usize = 100;
const RECORD: usize = HEAD_BYTES + MESSAGE;

/// A machine on whose disk there is one segment of the records 0, 1, 2 and 3.
fn machine() -> Machine {
    let machine = Machine::new(1);
    let (mut spool, _) = machine.open(&config(), 0).expect("an empty folder");
    for id in 0..4 {
        spool.append(&parcel(id, MESSAGE), 0).expect("the disk works");
    }
    drop(spool);
    assert_eq!(machine.names(), ["00000000000000000001.spool"]);
    assert_eq!(machine.content(&segment(1)).len(), HEADER_BYTES + 4 * RECORD);
    machine
}

/// What is found on the machine, and which records come out. The items of those are as many as were
/// said to be found.
fn recovered(machine: &Machine) -> (Recovered, Vec<u64>) {
    let (mut spool, recovered) = machine.open(&config(), 0).expect("the folder can be used");
    assert_eq!(spool.held(), recovered.items);
    let ids = ids(&mut spool, 0);
    let items: usize = ids.iter().map(|id| parcel(*id, MESSAGE).items).sum();
    assert_eq!((recovered.items.total(), recovered.records), (items as u64, ids.len() as u64));
    assert!(spool.take_given_up().is_empty());
    (recovered, ids)
}

/// What comes out after one segment was changed so.
fn after(how: impl FnOnce(&mut Vec<u8>)) -> (Recovered, Vec<u64>) {
    let machine = machine();
    machine.damage(&segment(1), how);
    recovered(&machine)
}

/// What comes out after a bit of the second record was flipped, at this byte of it.
fn after_flip(at: usize) -> (Recovered, Vec<u64>) {
    after(|bytes| bytes[HEADER_BYTES + RECORD + at] ^= 0x10)
}

#[test]
fn what_is_not_damaged_is_all_there() {
    let (recovered, ids) = after(|_| {});
    assert_eq!(ids, [0, 1, 2, 3]);
    assert!(recovered.is_clean());
    assert_eq!(recovered.segments, 1);
}

#[test]
fn a_torn_head_is_cut_off() {
    for left in 1..HEAD_BYTES {
        let machine = machine();
        machine.damage(&segment(1), |bytes| bytes.truncate(HEADER_BYTES + 3 * RECORD + left));
        let (found, ids) = recovered(&machine);
        assert_eq!((ids, found.torn_bytes), (vec![0, 1, 2], left as u64));
        assert_eq!((found.damaged_bytes, found.damaged.total()), (0, 0), "a crash is no damage");
        assert_eq!(machine.content(&segment(1)).len(), HEADER_BYTES + 3 * RECORD);
        assert!(recovered(&machine).0.is_clean(), "it is cut once");
    }
}

#[test]
fn a_torn_message_is_cut_off() {
    for left in HEAD_BYTES..RECORD {
        let (found, ids) = after(|bytes| bytes.truncate(HEADER_BYTES + 3 * RECORD + left));
        assert_eq!((ids, found.torn_bytes, found.damaged_bytes), (vec![0, 1, 2], left as u64, 0));
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_record_takes_that_record_alone() {
    for at in 0..RECORD {
        let (found, ids) = after_flip(at);
        assert_eq!(ids, [0, 2, 3], "at byte {at}");
        assert_eq!(found.damaged_bytes, RECORD as u64);
    }
}

#[test]
fn a_flipped_bit_in_the_mark_is_damage_of_unknown_items() {
    assert_eq!(after_flip(0).0.damaged.total(), 0);
}

#[test]
fn a_flipped_bit_in_the_length_does_not_lead_astray() {
    for at in 8..12 {
        assert_eq!(after_flip(at).1, [0, 2, 3]);
    }
    // The largest there can be.
    let (_, ids) = after(|bytes| bytes[HEADER_BYTES + 8..HEADER_BYTES + 12].fill(0xFF));
    assert_eq!(ids, [1, 2, 3]);
}

#[test]
fn a_flipped_bit_in_a_checksum_takes_that_record_alone() {
    for at in (4..8).chain(12..16) {
        assert_eq!(after_flip(at).1, [0, 2, 3]);
    }
}

#[test]
fn a_flipped_bit_in_a_message_is_counted_by_its_items() {
    let (found, ids) = after_flip(HEAD_BYTES + 50);
    assert_eq!(ids, [0, 2, 3]);
    assert_eq!(found.damaged.total(), parcel(1, MESSAGE).items as u64);
}

#[test]
fn damage_to_the_last_record_is_damage_and_no_torn_end() {
    let (found, ids) = after(|bytes| *bytes.last_mut().expect("it is not empty") ^= 1);
    assert_eq!((ids, found.torn_bytes, found.damaged_bytes), (vec![0, 1, 2], 0, RECORD as u64));
}

#[test]
fn zeros_at_the_end_are_cut_off() {
    let (found, ids) = after(|bytes| bytes.resize(bytes.len() + 5_000, 0));
    assert_eq!((ids, found.torn_bytes, found.damaged_bytes), (vec![0, 1, 2, 3], 5_000, 0));
}

#[test]
fn zeros_in_place_of_the_last_record_are_cut_off() {
    let (found, ids) = after(|bytes| bytes[HEADER_BYTES + 3 * RECORD..].fill(0));
    assert_eq!((ids, found.torn_bytes), (vec![0, 1, 2], RECORD as u64));
}

#[test]
fn zeros_in_the_middle_are_skipped() {
    let (found, ids) = after(|bytes| bytes[HEADER_BYTES + 50..HEADER_BYTES + RECORD + 9].fill(0));
    assert_eq!(ids, [2, 3]);
    assert_eq!(found.damaged_bytes, 2 * RECORD as u64);
}

#[test]
fn bytes_that_were_put_in_between_are_skipped() {
    // What lies behind them is no longer where it was written, and so it is not believed.
    let (_, ids) = after(|bytes| {
        bytes.splice(HEADER_BYTES + RECORD..HEADER_BYTES + RECORD, [7; 10]);
    });
    assert_eq!(ids, [0]);
}

#[test]
fn a_damaged_header_costs_no_record() {
    for at in 0..HEADER_BYTES {
        let (found, ids) = after(|bytes| bytes[at] ^= 4);
        assert_eq!((ids, found.left_alone), (vec![0, 1, 2, 3], vec![]), "at byte {at}");
    }
}

#[test]
fn a_damaged_header_without_records_is_left_alone() {
    let machine = machine();
    machine.damage(&segment(1), |bytes| {
        bytes.fill(b'x');
    });
    for _ in 0..2 {
        let (found, ids) = recovered(&machine);
        assert!(ids.is_empty());
        assert_eq!(found.left_alone, [(machine.names()[0].clone(), LeftAlone::Damaged)]);
    }
}

#[test]
fn an_empty_segment_is_deleted() {
    for length in [0, 1, HEADER_BYTES - 1] {
        let machine = machine();
        machine.damage(&segment(1), |bytes| bytes.truncate(length));
        assert!(recovered(&machine).1.is_empty());
        assert!(machine.names().is_empty(), "{length}");
    }
    let machine = machine();
    machine.damage(&segment(1), |bytes| bytes.fill(0));
    assert!(recovered(&machine).0.is_clean());
    assert!(machine.names().is_empty());
}

#[test]
fn a_segment_of_another_version_is_left_alone_and_its_number_is_not_used_again() {
    let machine = machine();
    let mut later = super::format::header(7).to_vec();
    later[8] = 2;
    let check = crc32fast::hash(&later[..12]);
    later[12..16].copy_from_slice(&check.to_le_bytes());
    later.extend([9; 50]);
    machine.put(&segment(7), later.clone());
    let (mut spool, found) = machine.open(&config(), 0).expect("the folder can be used");
    assert_eq!(
        found.left_alone,
        [("00000000000000000007.spool".to_owned(), LeftAlone::OtherVersion)]
    );
    assert_eq!(ids(&mut spool, 0), [0, 1, 2, 3]);
    spool.append(&parcel(4, MESSAGE), 0).expect("the disk works");
    assert_eq!(machine.content(&segment(7)), later);
    assert!(!machine.content(&segment(8)).is_empty());
    // A spool that is full gives up what is its own.
    for id in 5..400 {
        spool.append(&parcel(id, MESSAGE), 0).expect("the disk works");
    }
    assert_eq!(machine.content(&segment(7)), later);
}

#[test]
fn a_copy_of_a_segment_is_left_alone() {
    let machine = machine();
    machine.put(&segment(9), machine.content(&segment(1)));
    let (found, ids) = recovered(&machine);
    assert_eq!(ids, [0, 1, 2, 3]);
    assert_eq!(found.left_alone, [("00000000000000000009.spool".to_owned(), LeftAlone::Copy)]);
}

#[test]
fn records_that_were_copied_elsewhere_are_not_believed() {
    // Behind themselves, and into a file without a header that is right.
    let (found, ids) = after(|bytes| bytes.extend_from_within(HEADER_BYTES..));
    assert_eq!((ids, found.damaged_bytes), (vec![0, 1, 2, 3], 4 * RECORD as u64));
    let machine = machine();
    let mut copy = machine.content(&segment(1));
    copy[16..28].fill(1);
    machine.put(&segment(9), copy);
    assert_eq!(recovered(&machine).1, [0, 1, 2, 3]);
}

#[test]
fn a_message_that_holds_a_record_never_becomes_one() {
    let machine = machine();
    let (mut spool, _) = machine.open(&config(), 0).expect("the folder can be used");
    let mut outer = parcel(10, MESSAGE);
    outer.message = machine.content(&segment(1)).into();
    spool.append(&outer, 0).expect("the disk works");
    drop(spool);
    // The head is gone, so that the records within lie open.
    machine.damage(&segment(2), |bytes| bytes[HEADER_BYTES..HEADER_BYTES + 20].fill(0));
    assert_eq!(recovered(&machine).1, [0, 1, 2, 3]);
}

#[test]
fn foreign_files_are_left_alone() {
    let machine = machine();
    let folder = config().directory_of("otlp");
    let names = [
        "42.spool",
        "0000000000000000000x.spool",
        "99999999999999999999.spool",
        "18446744073709551615.spool",
        "00000000000000000042.spool.bak",
        "notes.txt",
        ".spool",
    ];
    for name in names {
        machine.put(&folder.join(name), b"not ours".to_vec());
    }
    let (found, ids) = recovered(&machine);
    assert_eq!((ids, found.is_clean()), (vec![0, 1, 2, 3], true));
    for name in names {
        assert_eq!(machine.content(&folder.join(name)), b"not ours");
    }
}

#[test]
fn notes_that_are_damaged_settle_nothing() {
    for at in 0..24 {
        let machine = machine();
        let (mut spool, _) = machine.open(&config(), 0).expect("the folder can be used");
        for expected in 0..2 {
            let stored = spool.oldest(0).expect("the disk works").expect("a record waits");
            assert_eq!(id(&stored.parcel), expected);
            spool.acknowledge(stored.ticket, 0);
        }
        drop(spool);
        machine.damage(&notes(1), |bytes| bytes[at] ^= 1);
        let again = at / 12;
        assert_eq!(
            recovered(&machine).1,
            [again as u64, 2, 3],
            "the one of byte {at} is sent twice"
        );
    }
}

#[test]
fn a_torn_note_does_not_hide_the_next() {
    let machine = machine();
    let (mut spool, _) = machine.open(&config(), 0).expect("the folder can be used");
    let stored = spool.oldest(0).expect("the disk works").expect("a record waits");
    spool.acknowledge(stored.ticket, 0);
    drop(spool);
    machine.damage(&notes(1), |bytes| {
        let note = bytes.clone();
        bytes.truncate(5);
        bytes.extend(note);
    });
    assert_eq!(recovered(&machine).1, [1, 2, 3]);
}

#[test]
fn notes_without_a_segment_are_deleted() {
    let machine = machine();
    machine.put(&notes(50), vec![1; 24]);
    assert_eq!(recovered(&machine).1, [0, 1, 2, 3]);
    assert_eq!(machine.names(), ["00000000000000000001.spool"]);
}

#[test]
fn a_record_that_is_damaged_while_it_waits_is_given_up_and_counted() {
    let machine = machine();
    let (mut spool, found) = machine.open(&config(), 0).expect("the folder can be used");
    machine.damage(&segment(1), |bytes| bytes[HEADER_BYTES + RECORD + HEAD_BYTES] ^= 1);
    assert_eq!(ids(&mut spool, 0), [0, 2, 3]);
    assert_eq!(spool.held(), found.items, "held until told");
    let damaged = spool.take_given_up().damaged;
    assert_eq!(damaged.total(), parcel(1, MESSAGE).items as u64);
    assert_eq!(spool.held().total() + damaged.total(), found.items.total());
}

#[test]
fn a_segment_that_is_deleted_by_somebody_is_counted_as_damaged() {
    let machine = machine();
    let (mut spool, found) = machine.open(&config(), 0).expect("the folder can be used");
    super::file_system::FileSystem::remove(&machine, &segment(1)).expect("it is there");
    assert_eq!(spool.oldest(0).expect("nothing to read is no failure"), None);
    assert_eq!(spool.take_given_up().damaged, found.items);
    assert_eq!(spool.held().total(), 0);
}
