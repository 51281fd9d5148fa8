//! `baggage`: its members are bounded, and their names are tokens.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::trace::propagate::baggage::members;

fuzz_target!(|bytes: &[u8]| {
    let lines = || bytes.split(|b| *b == b'\n');
    let all: Vec<_> = members(lines()).collect();
    assert!(all.len() <= 64);
    assert!(all.iter().map(|(key, _)| key.len()).sum::<usize>() <= 8_192);
    for (key, value) in &all {
        assert!(!key.is_empty() && !key.contains([' ', ',', ';', '=', '"']));
        // Written anew, each is read as itself.
        let coded: String = value.bytes().map(|b| format!("%{b:02X}")).collect();
        let line = format!("{key}={coded}");
        if line.len() <= 8_192 {
            let again: Vec<_> = members([line.as_bytes()].into_iter()).collect();
            assert_eq!(again, [(*key, value.clone())]);
        }
    }
});
