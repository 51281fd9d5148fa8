//! What an earlier process left on the disk: only what was written comes out, whatever became of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::export::spool::fuzzing::{messages, notes, segment};
use spandrel::export::{Parcel, Signal};

const NUMBER: u64 = 42;

fuzz_target!(|input: &[u8]| {
    assert!(notes(input, NUMBER) <= input.len() / 12);
    let _ = messages(input, NUMBER);
    let Some(([places, from, bit], rest)) = input.split_first_chunk() else { return };
    let written: Vec<Vec<u8>> = rest.chunks(1 + usize::from(*places)).map(<[u8]>::to_vec).collect();
    let parcel = |message: &Vec<u8>| Parcel {
        signal: Signal::Logs,
        items: 1,
        has_error: false,
        message: message.clone().into(),
    };
    let parcels: Vec<Parcel> = written.iter().map(parcel).collect();
    let mut whole = segment(NUMBER, &parcels);
    assert_eq!(messages(&whole, NUMBER), written);
    // One bit of it costs one record at most, and changes none.
    let at = usize::from(*from) * whole.len() / 256;
    whole[at] ^= 1 << (bit % 8);
    let found = messages(&whole, NUMBER);
    assert!(found.len() + 1 >= written.len());
    // A message may hold the bytes of a record for the very place where they lie, of which the
    // mutations of this target learn. Where the record around it is damaged, it is one.
    let is_within = |message: &Vec<u8>| {
        written.iter().any(|one| {
            one.len() > message.len()
                && (message.is_empty() || one.windows(message.len()).any(|part| part == message))
        })
    };
    let mut expected = written.iter();
    for message in &found {
        let at = expected.clone().position(|one| one == message);
        match at {
            Some(at) => drop(expected.nth(at)),
            None => assert!(is_within(message), "in order"),
        }
    }
    // Another segment's records are none.
    assert!(messages(&whole, NUMBER + 1).is_empty());
});
