//! A load at a steady rate, by callers that know nothing of each other: each has a thread and a
//! connection of its own, and asks at moments drawn at random.
//!
//! ```text
//! pace PORT PATH RATE CALLERS SECONDS
//! ```
//!
//! Asks on loopback, and prints what came of it as JSON: `requests` answered, `failed`, and `times`,
//! pairs of microseconds and how many answers took as long.
//!
//! h2load and wrk hold a rate by ticks of 10 ms and of 1 ms, at which all connections ask at once:
//! they show how long a burst takes to be worked off, not how long a request takes.

#![expect(clippy::print_stdout, reason = "whoever measures reads what was found")]
#![expect(
    clippy::disallowed_methods,
    reason = "a caller has a thread of its own, and sleeps in it"
)]

use std::collections::BTreeMap;
use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const MAX_BODY: u64 = 1 << 24;
const MAX_CALLERS: u32 = 1024;
const USAGE: &str = "usage: pace PORT PATH RATE CALLERS SECONDS";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [port, path, rate, callers, seconds] = words.as_slice() else { return Err(USAGE.into()) };
    let callers: u32 = parsed(callers)?;
    if !(1..=MAX_CALLERS).contains(&callers) {
        return Err(format!("there must be 1 to {MAX_CALLERS} callers").into());
    }
    let plan = Plan {
        port: parsed(port)?,
        request: format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"),
        mean_gap: Duration::try_from_secs_f64(f64::from(callers) / parsed::<f64>(rate)?)?,
        lasts: Duration::try_from_secs_f64(parsed(seconds)?)?,
    };
    println!("{}", all(&plan, callers).json());
    Ok(())
}

fn parsed<T: FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word:?} is no number; {USAGE}"))
}

/// What each caller does.
struct Plan {
    port: u16,
    request: String,
    /// From one request of a caller to its next, on average.
    mean_gap: Duration,
    lasts: Duration,
}

/// Lets so many call, and puts together what each found.
fn all(plan: &Plan, callers: u32) -> Found {
    thread::scope(|scope| {
        let callers: Vec<_> = (0..callers).map(|_| scope.spawn(|| call(plan))).collect();
        let mut found = Found::default();
        for caller in callers {
            match caller.join() {
                Ok(one) => found.add(one),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        found
    })
}

/// Asks until the time is over; what was due and not yet asked then is left.
///
/// A time begins with the asking. Where the answer before came only after a request was due, it
/// begins when that was due, so that a slow answer does not hide what it has delayed.
fn call(plan: &Plan) -> Found {
    let mut found = Found::default();
    let mut connection = None;
    let begun = Instant::now();
    let mut due = begun + gap(plan.mean_gap);
    while due.max(Instant::now()) < begun + plan.lasts {
        let wait = due.saturating_duration_since(Instant::now());
        thread::sleep(wait);
        let from = if wait.is_zero() { due } else { Instant::now() };
        match ask(&mut connection, plan) {
            Ok(()) => found.answered(from.elapsed()),
            Err(_) => {
                found.failed += 1;
                connection = None;
            }
        }
        due += gap(plan.mean_gap);
    }
    found
}

/// From one request to the next, as of a caller that comes at random (exponential distribution).
fn gap(mean: Duration) -> Duration {
    let drawn = getrandom::u32().expect("the system has random numbers");
    let share = (f64::from(drawn) + 1.0) / (f64::from(u32::MAX) + 1.0);
    mean.mul_f64(-share.ln())
}

fn ask(connection: &mut Option<BufReader<TcpStream>>, plan: &Plan) -> io::Result<()> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(connect(plan.port)?),
    };
    connection.get_mut().write_all(plan.request.as_bytes())?;
    read_answer(connection)
}

fn connect(port: u16) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

/// Reads an answer to its end; one that is not 200, or has no length, is a failure.
fn read_answer(connection: &mut impl BufRead) -> io::Result<()> {
    let mut line = String::new();
    connection.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 200 ") {
        return Err(io::Error::other(format!("the answer begins with {line:?}")));
    }
    let mut length = None;
    loop {
        line.clear();
        connection.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().ok().filter(|length| *length <= MAX_BODY);
            }
            Some(_) => {}
            None => break,
        }
    }
    let length = length.ok_or_else(|| io::Error::other("the answer has no length"))?;
    match io::copy(&mut connection.take(length), &mut io::sink())? {
        read if read == length => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// What came of it.
#[derive(Default)]
struct Found {
    requests: u64,
    failed: u64,
    /// How many answers took so many microseconds.
    times: BTreeMap<u128, u64>,
}

impl Found {
    fn answered(&mut self, took: Duration) {
        self.requests += 1;
        *self.times.entry(took.as_micros()).or_default() += 1;
    }

    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        for (time, count) in other.times {
            *self.times.entry(time).or_default() += count;
        }
    }

    fn json(&self) -> String {
        let times: Vec<_> =
            self.times.iter().map(|(time, count)| format!("[{time},{count}]")).collect();
        format!(
            r#"{{"requests": {}, "failed": {}, "times": [{}]}}"#,
            self.requests,
            self.failed,
            times.join(",")
        )
    }
}
