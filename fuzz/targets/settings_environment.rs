//! The variables of the environment, percent-encoding included.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use libfuzzer_sys::fuzz_target;
use spandrel::config::{Config, Environment};

fuzz_target!(|bytes: &[u8]| {
    let lines = bytes.split(|b| *b == b'\n').take(16);
    let pairs = lines.filter_map(|line| {
        let at = line.iter().position(|b| *b == b'=')?;
        let name = std::str::from_utf8(&line[..at]).ok()?.to_owned();
        Some((name, OsString::from_vec(line[at + 1..].to_vec())))
    });
    let environment: Environment = pairs.collect();
    match Config::load(None, &environment, &[("inbound.app", "8080")]) {
        Ok(config) => assert!(!config.effective.to_string().is_empty()),
        Err(error) => {
            assert!(error.problems().iter().all(|problem| problem.len() < 4_096), "{error}");
        }
    }
});
