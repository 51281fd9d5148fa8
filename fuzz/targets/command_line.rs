//! The command line: addresses, times, sizes and everything else that can be typed.
#![no_main]

use clap::Parser as _;
use libfuzzer_sys::fuzz_target;
use spandrel::cli::{Cli, Command, flags};
use spandrel::config::{Config, Environment, value};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(time) = value::duration(text, 0, 86_400_000) {
        assert!(time.as_millis() <= 86_400_000);
    }
    if let Ok(size) = value::bytes_of(text, 1, 1 << 40) {
        assert!((1..=1 << 40).contains(&size));
    }
    let words = ["spandrel"].into_iter().chain(text.split('\n').take(12));
    let Ok(cli) = Cli::try_parse_from(words) else { return };
    match cli.command {
        Command::Run(args) | Command::Check(args) => {
            // Whatever was typed is told, or is meant.
            drop(Config::load(None, &Environment::new(), &flags(&args)));
        }
        Command::Trace(command) => drop(command.into_request()),
        Command::Graph(args) => drop(args.into_request()),
        Command::View(args) => assert!((1 << 20..=1 << 40).contains(&args.memory)),
        Command::Iptables(_) | Command::Demo(_) => {}
    }
});
