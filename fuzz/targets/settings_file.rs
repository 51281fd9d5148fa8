//! The file of settings: what is in effect, written down, is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::config::fuzzing::load;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match load(text) {
        Ok(config) => {
            let printed = config.effective.to_string();
            if printed.contains("REDACTED") {
                return;
            }
            match load(&printed) {
                Ok(again) => assert_eq!(values(&again.effective.to_string()), values(&printed)),
                Err(error) => panic!("{printed}\n{error}"),
            }
        }
        Err(error) => {
            assert!(!error.problems().is_empty());
            assert!(error.problems().iter().all(|problem| problem.len() < 4_096), "{error}");
        }
    }
});

/// The settings without the comments that tell where they come from.
fn values(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim_end()).collect()
}
