//! What a server of traces answers: nothing in it steers the terminal or leaves its quotes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::analysis::words;
use spandrel::explore::fuzzing;
use spandrel_fuzz::led;

fuzz_target!(|input: &[u8]| {
    let Some((columns, bytes)) = led(input) else { return };
    drop(fuzzing::services(bytes));
    drop(fuzzing::problem(bytes));
    let Ok(Some((drawn, json))) = fuzzing::trace(bytes, columns) else { return };
    for text in [&drawn, &json] {
        assert!(text.chars().all(|c| c == '\n' || !words::steers(c)), "{text:?}");
    }
    let report: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    for span in report["spans"].as_array().expect("a list") {
        if let Some(line) = span["curl"].as_str() {
            check_line(line);
        }
    }
});

/// To a shell, the line must be `curl` with a method and a URL, and nothing else.
fn check_line(line: &str) {
    let (mut words, mut is_quoted, mut is_escaped) = (vec![String::new()], false, false);
    for c in line.chars() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if !is_quoted => is_escaped = true,
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            c => {
                assert!(is_quoted || c.is_ascii_alphabetic() || c == '-', "{line}");
                words.last_mut().expect("there is one").push(c);
            }
        }
    }
    let [curl, option, _method, url] = words.as_slice() else { panic!("{line}") };
    assert!(curl == "curl" && option == "-X" && !is_quoted, "{line}");
    assert!(url.starts_with(|c: char| c.is_ascii_alphabetic()), "{line}");
}
