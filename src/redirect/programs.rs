//! Running the system's programs: what they are called, and what came of them.
//!
//! Each has a bounded time and a bounded output; nothing is taken from a shell.

use std::io::{self, Read, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::parts::Family;

/// How long a program may take; iptables waits for its lock within it.
const MOST_TIME: Duration = Duration::from_secs(30);
/// How long iptables waits for whoever holds its lock, in seconds.
pub(super) const LOCK_WAIT: &str = "10";
/// The most that a program may print, in bytes.
const MOST_OUTPUT: u64 = 64 << 20;

/// What the programs of iptables are called: `iptables`, `iptables-legacy`, or a path that ends so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    folder: String,
    name: String,
}

impl Default for Prefix {
    fn default() -> Self {
        Self { folder: String::new(), name: "iptables".to_owned() }
    }
}

impl Prefix {
    /// Reads a name that begins with `iptables`, with or without a folder before it.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (folder, name) = match text.rfind('/') {
            Some(at) => text.split_at(at + 1),
            None => ("", text),
        };
        if name.starts_with("iptables") {
            return Ok(Self { folder: folder.to_owned(), name: name.to_owned() });
        }
        Err("expected iptables, iptables-legacy, iptables-nft or a path that ends so".to_owned())
    }

    /// The program that puts rules in.
    pub(super) fn restore(&self, family: Family) -> String {
        self.program(family, "-restore")
    }

    /// The program that prints the rules there are.
    pub(super) fn save(&self, family: Family) -> String {
        self.program(family, "-save")
    }

    /// These programs and the other kinds there may be on one machine.
    pub(super) fn and_others(&self) -> Vec<Self> {
        let mut all = vec![self.clone()];
        for name in ["iptables", "iptables-nft", "iptables-legacy"] {
            let other = Self { folder: String::new(), name: name.to_owned() };
            if !all.contains(&other) {
                all.push(other);
            }
        }
        all
    }

    fn program(&self, family: Family, end: &str) -> String {
        let Self { folder, name } = self;
        match family {
            Family::V4 => format!("{folder}{name}{end}"),
            Family::V6 => format!("{folder}{}{end}", name.replacen("iptables", "ip6tables", 1)),
        }
    }
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) is_success: bool,
    pub(super) out: String,
    pub(super) err: String,
}

/// Runs a program to its end, whatever that is.
pub(super) fn run(program: &str, arguments: &[&str], input: &str) -> Result<Ended, Fault> {
    let spawned = Command::new(program)
        .args(arguments)
        // Their messages are read.
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.map_err(|error| Fault::of_start(program, &error))?;
    let (tell, told) = mpsc::channel();
    let streams = [
        child.stdout.take().map(|out| Box::new(out) as Box<dyn Read + Send>),
        child.stderr.take().map(|err| Box::new(err) as Box<dyn Read + Send>),
    ];
    for (index, stream) in streams.into_iter().enumerate() {
        let tell = tell.clone();
        thread::spawn(move || tell.send((index, stream.map_or(Ok(String::new()), read))).ok());
    }
    let (pipe, input) = (child.stdin.take(), input.to_owned());
    // Who does not read its input says so by how it ends.
    thread::spawn(move || pipe.map(|mut pipe| pipe.write_all(input.as_bytes())));
    let deadline = Instant::now() + MOST_TIME;
    let mut texts = [String::new(), String::new()];
    for _ in 0..texts.len() {
        let left = deadline.saturating_duration_since(Instant::now());
        match told.recv_timeout(left) {
            Ok((index, Ok(text))) => {
                if let Some(slot) = texts.get_mut(index) {
                    *slot = text;
                }
            }
            Ok((_, Err(error))) => return Err(Fault::of_start(program, &error)),
            Err(_) => {
                // One that has ended meanwhile cannot be ended.
                child.kill().ok();
                child.wait().ok();
                return Err(Fault::too_slow(program, MOST_TIME));
            }
        }
    }
    let status = child.wait().map_err(|error| Fault::of_start(program, &error))?;
    let [out, err] = texts;
    Ok(Ended { is_success: status.success(), out, err })
}

/// Runs a program that must succeed, and gives what it printed.
pub(super) fn succeed(program: &str, arguments: &[&str], input: &str) -> Result<String, Fault> {
    let ended = run(program, arguments, input)?;
    if ended.is_success { Ok(ended.out) } else { Err(Fault::of_end(program, &ended.err, input)) }
}

fn read(mut stream: Box<dyn Read + Send>) -> io::Result<String> {
    let mut bytes = Vec::new();
    stream.by_ref().take(MOST_OUTPUT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
