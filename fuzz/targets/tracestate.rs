//! `tracestate`: a list is valid however its lines are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::trace::propagate::tracestate::{MAX_MEMBERS, is_valid, join};

fuzz_target!(|bytes: &[u8]| {
    let lines = || bytes.split(|b| *b == b'\n');
    let is_list = is_valid(lines());
    let mut joined = Vec::new();
    join(lines(), &mut joined);
    assert_eq!(is_list, is_valid([&joined[..]].into_iter()), "lines and list differ");
    if is_list {
        let is_member = |m: &&[u8]| !m.trim_ascii().is_empty();
        let members = joined.split(|b| *b == b',').filter(is_member);
        assert!(members.count() <= MAX_MEMBERS);
        assert!(joined.iter().all(|b| *b == b'\t' || matches!(b, b' '..=b'~')));
    }
});
