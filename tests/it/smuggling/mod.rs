//! Messages that two servers could read differently: each is refused, or arrives as one request.
//!
//! The tables beside this file say what becomes of each message. All are sent with another request
//! behind them, whole and byte by byte, to the inbound side and, where that makes sense, to the
//! outbound side with and without a URL. An application records what arrives; readers that share
//! nothing with spandrel, strict and lax ones, must agree on what it is.

mod case;
mod chunks;
mod codings;
mod hosts;
mod lengths;
mod lines;
mod options;
mod reader;
mod recorder;
mod responses;
mod starts;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::timeout;

use self::case::{Case, Outcome, Way};
use self::reader::READINGS;
use self::recorder::{Answering, OK, record};
use crate::support::PATIENCE;
use crate::support::app::{Stage, TestApp};
use crate::support::peer::{Peer, find, show};

const PLAIN: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const TRACED: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\ntraceparent: TRACE\r\n\r\n";
/// What stands behind every message.
const SECOND: &[u8] = b"GET /second HTTP/1.1\r\nHost: h\r\n\r\n";
/// What ends a connection, so that all that came on it can be looked at.
const CLOSING: &[u8] = b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
/// The line that tells where a request goes.
const HOST: &[u8] = b"Host: h\r\n";

/// How the bytes of a message are given to the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    AtOnce,
    ByteByByte,
}

/// The longest message that is sent byte by byte.
const MOST_BYTES: usize = 1_000;

/// Every case of the tables.
fn all() -> Vec<Case> {
    [
        lengths::table(),
        codings::table(),
        lines::table(),
        starts::table(),
        hosts::table(),
        chunks::table(),
        options::table(),
    ]
    .concat()
}

/// A sidecar between a client and a recording application.
struct Theatre {
    app: TestApp,
    origin: SocketAddr,
    records: UnboundedReceiver<Vec<u8>>,
}

impl Theatre {
    async fn set(answering: Answering) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback socket");
        let origin = listener.local_addr().expect("it is bound");
        let (told, records) = mpsc::unbounded_channel();
        drop(tokio::spawn(record(listener, answering, told)));
        // Nobody collects spans here.
        let app = TestApp::beside(origin, "127.0.0.1:9".parse().expect("an address"), &[]);
        Self { app, origin, records }
    }

    /// The message as it is sent this way; `None` where that makes no sense.
    fn addressed(&self, message: &[u8], way: Way) -> Option<Vec<u8>> {
        if way == Way::Inbound {
            return Some(message.to_vec());
        }
        let at = find(message, HOST)?;
        let rest = message.get(at + HOST.len()..)?;
        let is_only_one = find(rest, HOST).is_none();
        let line = format!("Host: {}\r\n", self.origin);
        let sent = [message.get(..at)?, line.as_bytes(), rest].concat();
        match way {
            Way::Absolute => {
                let path = find(&sent, b" / HTTP/1.")?;
                let is_start = find(&sent, b"\r\n").is_some_and(|end| path < end);
                let (method, rest) = sent.split_at(path);
                let url = format!(" http://{}", self.origin);
                let whole = [method, url.as_bytes(), rest.get(1..)?].concat();
                (is_only_one && is_start).then_some(whole)
            }
            _ => is_only_one.then_some(sent),
        }
    }

    async fn client(&self, way: Way) -> Peer {
        Peer::connect(match way {
            Way::Inbound => self.app.inbound(),
            Way::Outbound | Way::Absolute => self.app.outbound(),
        })
        .await
    }

    /// What the application got since the last time: of each connection, in their order. What is
    /// sent behind everything else comes last.
    async fn recorded(&mut self) -> Vec<Vec<u8>> {
        let mut fence = self.client(Way::Inbound).await;
        fence.send(CLOSING).await;
        fence.rest().await;
        let mut records = Vec::new();
        loop {
            let record = timeout(PATIENCE, self.records.recv()).await;
            let record = record.expect("every connection ends").expect("the application runs");
            if untraced(&record) == CLOSING {
                return records;
            }
            records.push(record);
        }
    }

    /// Sends a message and what stands behind it, and gives what the client got. Where the message
    /// is cut, nothing is sent behind it.
    async fn exchange(&self, sent: &[u8], way: Way, pace: Pace, is_cut: bool) -> Vec<u8> {
        let mut client = self.client(way).await;
        match pace {
            Pace::AtOnce => client.try_send(sent).await,
            Pace::ByteByByte => {
                for byte in sent {
                    client.try_send([*byte]).await;
                }
            }
        }
        if is_cut {
            client.try_end().await;
        }
        client.whatever().await.0
    }

    /// Plays a case in one way, and says what is wrong.
    async fn play(
        &mut self,
        case: &Case,
        way: Way,
        pace: Pace,
        answering: Answering,
    ) -> Result<bool, String> {
        let message = self.addressed(&case.message, way).filter(|_| case.ways.contains(&way));
        let Some(message) = message else { return Ok(false) };
        let behind = |request: &[u8]| self.addressed(request, way.plain()).unwrap_or_default();
        let (second, last) = (behind(SECOND), behind(CLOSING));
        let is_cut = case.outcome == Outcome::Cut;
        let behind = if is_cut { Vec::new() } else { [&second[..], &last].concat() };
        let sent = [&message[..], &behind].concat();
        let reply = self.exchange(&sent, way, pace, is_cut).await;
        let records = self.recorded().await;
        let arrives = match &case.outcome {
            Outcome::Refused | Outcome::Cut => {
                return check_none(&reply, &records, is_cut).map(|()| true);
            }
            Outcome::PassesAs(other) => self.addressed(other, way.plain()),
            Outcome::Passes | Outcome::PassesLast => self.addressed(&case.message, way.plain()),
        };
        let arrives = arrives.ok_or("the case cannot be addressed")?;
        let is_last = case.outcome == Outcome::PassesLast || answering == Answering::Once;
        let expected = match is_last {
            true => vec![arrives],
            false => vec![arrives, second, last],
        };
        check_arrival(&records, &expected)?;
        let answers = reply.windows(9).filter(|w| *w == b"HTTP/1.1 ").count();
        match answers == expected.len() {
            true => Ok(true),
            false => Err(format!("{answers} answers came: {}", show(&reply))),
        }
    }
}

impl Way {
    /// The way that the message takes behind the sidecar.
    const fn plain(self) -> Self {
        match self {
            Self::Inbound => Self::Inbound,
            Self::Outbound | Self::Absolute => Self::Outbound,
        }
    }
}

/// Nobody must find a whole request in what arrived, and the client must be told or hung up on.
fn check_none(reply: &[u8], records: &[Vec<u8>], is_cut: bool) -> Result<(), String> {
    let is_refusal =
        reply.starts_with(b"HTTP/1.1 4") && find(reply, b"connection: close").is_some();
    let heads = reply.windows(9).filter(|w| *w == b"HTTP/1.1 ").count();
    if !(is_refusal && heads == 1 || is_cut && reply.is_empty()) {
        return Err(format!("the client got: {}", show(reply)));
    }
    for record in records {
        for reading in READINGS {
            let read = reading.read(record);
            if !read.messages.is_empty() {
                return Err(format!("a request arrived ({}): {}", reading.name, show(record)));
            }
        }
    }
    Ok(())
}

/// Everybody must find these requests in what arrived, byte for byte, and nothing else.
fn check_arrival(records: &[Vec<u8>], expected: &[Vec<u8>]) -> Result<(), String> {
    let [record] = records else { return Err(format!("{} connections came", records.len())) };
    if untraced(record) != expected.concat() {
        return Err(format!("arrived: {}", show(record)));
    }
    let [strict, lax @ ..] = READINGS;
    let read = strict.read(record);
    if read.messages.len() != expected.len() || read.has_rest {
        return Err(format!("{} requests arrived: {}", read.messages.len(), show(record)));
    }
    match lax.into_iter().find(|reading| reading.read(record) != read) {
        Some(other) => Err(format!("another reader ({}) reads otherwise", other.name)),
        None => Ok(()),
    }
}

/// The bytes without the lines that spandrel adds.
fn untraced(bytes: &[u8]) -> Vec<u8> {
    const LINE: &[u8] = b"traceparent: 00-";
    let mut rest = bytes.to_vec();
    let mut from = 0;
    while let Some(at) = rest.get(from..).and_then(|rest| find(rest, LINE)) {
        let start = from + at;
        rest.drain(start..(start + LINE.len() + 54).min(rest.len()));
        from = start;
    }
    rest
}

/// Plays every case this way, and tells all that went wrong at once.
async fn play_all(way: Way, pace: Pace, answering: Answering) -> usize {
    let mut theatre = Theatre::set(answering).await;
    let (mut played, mut wrong) = (0, Vec::new());
    for case in all() {
        if pace == Pace::ByteByByte && case.message.len() > MOST_BYTES {
            continue;
        }
        println!("{}", case.name); // shown when a step does not come
        match theatre.play(&case, way, pace, answering).await {
            Ok(is_played) => played += usize::from(is_played),
            Err(problem) => wrong.push(format!("{}: {problem}", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{} of {played}:\n{}", wrong.len(), wrong.join("\n"));
    played
}

#[tokio::test]
async fn every_message_is_refused_or_arrives_as_one_request() {
    assert!(play_all(Way::Inbound, Pace::AtOnce, Answering::Always).await >= 300);
}

#[tokio::test]
async fn nothing_follows_a_message_before_it_is_answered() {
    assert!(play_all(Way::Inbound, Pace::AtOnce, Answering::Once).await >= 300);
}

#[tokio::test]
async fn messages_that_come_byte_by_byte_are_read_alike() {
    assert!(play_all(Way::Inbound, Pace::ByteByByte, Answering::Always).await >= 300);
}

#[tokio::test]
async fn messages_that_leave_by_their_host_are_read_alike() {
    assert!(play_all(Way::Outbound, Pace::AtOnce, Answering::Always).await >= 300);
}

#[tokio::test]
async fn messages_that_leave_by_their_url_are_read_alike() {
    assert!(play_all(Way::Absolute, Pace::AtOnce, Answering::Always).await >= 250);
}

#[test]
fn every_case_stands_in_the_tables_once() {
    let all = all();
    let names: BTreeSet<&str> = all.iter().map(|case| case.name.as_str()).collect();
    let messages: BTreeSet<&[u8]> = all.iter().map(|case| case.message.as_slice()).collect();
    let mut seen = BTreeSet::new();
    let twice: Vec<&str> =
        all.iter().filter(|c| !seen.insert(&c.message)).map(|c| c.name.as_str()).collect();
    assert_eq!((names.len(), messages.len()), (all.len(), all.len()), "{twice:?}");
    assert!(all.len() >= 450, "{}", all.len());
    let refused = all.iter().filter(|case| case.outcome == Outcome::Refused).count();
    assert!((250..all.len() - 100).contains(&refused), "{refused} of {}", all.len());
}

/// What is sent to the outbound side, where `{}` stands for the address of the application, and
/// what arrives there; nothing, where the request is refused.
const BY_URL: &[(&str, Option<&str>)] = &[
    // A proxy goes by the URL, and says so (RFC 9112, section 3.2.2).
    ("GET http://{}/ HTTP/1.1\r\nHost: other\r\n", Some("GET / HTTP/1.1\r\nHost: {}\r\n")),
    ("GET http://{}/ HTTP/1.1\r\nHost:\r\n", Some("GET / HTTP/1.1\r\nHost:{}\r\n")),
    ("GET http://{}/ HTTP/1.0\r\n", Some("GET / HTTP/1.0\r\nHost: {}\r\n")),
    ("GET HTTP://{}/ HTTP/1.1\r\nHost: h\r\n", Some("GET / HTTP/1.1\r\nHost: {}\r\n")),
    ("GET http://{} HTTP/1.1\r\nHost: h\r\n", Some("GET / HTTP/1.1\r\nHost: {}\r\n")),
    ("GET http://{}?a HTTP/1.1\r\nHost: h\r\n", Some("GET /?a HTTP/1.1\r\nHost: {}\r\n")),
    ("GET http://u:p@{}/ HTTP/1.1\r\nHost: h\r\n", Some("GET / HTTP/1.1\r\nHost: {}\r\n")),
    ("GET http://{}/a@b HTTP/1.1\r\nHost: h\r\n", Some("GET /a@b HTTP/1.1\r\nHost: {}\r\n")),
    ("OPTIONS http://{} HTTP/1.1\r\nHost: h\r\n", Some("OPTIONS * HTTP/1.1\r\nHost: {}\r\n")),
    ("GET / HTTP/1.1\r\nHost: {}\r\n", Some("GET / HTTP/1.1\r\nHost: {}\r\n")),
    ("GET http://{}/ HTTP/1.1\r\n", None),
    ("GET http://{}/ HTTP/1.1\r\nHost: {}\r\nHost: {}\r\n", None),
    ("GET http://{}/ HTTP/1.1\r\nHost: a b\r\n", None),
    ("GET https://{}/ HTTP/1.1\r\nHost: {}\r\n", None),
    ("GET ftp://{}/ HTTP/1.1\r\nHost: {}\r\n", None),
    ("GET http:///x HTTP/1.1\r\nHost: {}\r\n", None),
    ("GET http://@/x HTTP/1.1\r\nHost: {}\r\n", None),
    ("GET http://a@b@{}/ HTTP/1.1\r\nHost: {}\r\n", None),
    ("GET http://{}#@other/ HTTP/1.1\r\nHost: {}\r\n", None),
    ("GET http://{}\\@other/ HTTP/1.1\r\nHost: {}\r\n", None),
    ("GET http://other\\@{}/ HTTP/1.1\r\nHost: {}\r\n", None),
    ("GET http://{}:80/ HTTP/1.1\r\nHost: {}\r\n", None),
    ("GET http://{}x/ HTTP/1.1\r\nHost: {}\r\n", None),
    ("GET http://127.0.0.1%09/ HTTP/1.1\r\nHost: {}\r\nHost: {}\r\n", None),
    ("GET / HTTP/1.1\r\nHost: u@{}\r\n", None),
    ("GET / HTTP/1.1\r\nHost:\r\n", None),
    ("GET / HTTP/1.1\r\nHost: :80\r\n", None),
    ("GET / HTTP/1.0\r\n", None),
    ("CONNECT u@{} HTTP/1.1\r\nHost: {}\r\n", None),
    ("CONNECT {}/x HTTP/1.1\r\nHost: {}\r\n", None),
    ("CONNECT {} HTTP/1.1\r\nHost: {}\r\nContent-Length: 35\r\n", None),
];

#[tokio::test]
async fn a_call_goes_where_its_url_says_to_every_reader_or_nowhere() {
    let mut theatre = Theatre::set(Answering::Once).await;
    let mut wrong = Vec::new();
    for (sent, arrives) in BY_URL {
        let filled = |text: &str| text.replace("{}", &theatre.origin.to_string()).into_bytes();
        let whole = [&filled(sent)[..], b"\r\n", case::SMUGGLED].concat();
        let expected = arrives.map(|head| [&filled(head)[..], b"\r\n"].concat());
        let reply = theatre.exchange(&whole, Way::Outbound, Pace::AtOnce, false).await;
        let records = theatre.recorded().await;
        let checked = match expected {
            Some(head) => check_arrival(&records, &[head]),
            None => check_none(&reply, &records, false),
        };
        wrong.extend(checked.err().map(|problem| format!("{sent}: {problem}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_message_that_is_cut_anywhere_is_no_request() {
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let whole = [&head[..], b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"].concat();
    let mut theatre = Theatre::set(Answering::Always).await;
    for end in 1..whole.len() {
        let (cut, _) = whole.split_at(end);
        let case = Case::new("cut", &end.to_string(), cut.to_vec(), Outcome::Cut);
        let played = theatre.play(&case, Way::Inbound, Pace::AtOnce, Answering::Always).await;
        assert_eq!(played, Ok(true), "{}", show(cut));
    }
}

#[tokio::test]
async fn every_refused_message_makes_one_span() {
    let stage = Stage::set(&[]).await;
    let tables = [lengths::table(), chunks::table()].concat();
    let refused: Vec<Case> =
        tables.into_iter().filter(|case| case.outcome == Outcome::Refused).collect();
    for case in &refused {
        let mut client = stage.client().await;
        client.try_send([&case.message[..], SECOND].concat()).await;
        let (reply, _orderly) = client.whatever().await;
        assert!(reply.starts_with(b"HTTP/1.1 4"), "{}", case.name);
    }
    assert_eq!(stage.spans().await.len(), refused.len());
}

#[tokio::test]
async fn what_looks_like_a_request_within_a_body_stays_a_body() {
    let stage = Stage::set(&[]).await;
    let mut client = stage.client().await;
    let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 27\r\n";
    assert_eq!(PLAIN.len(), 27);
    client.send([format!("{head}\r\n").as_bytes(), PLAIN, PLAIN].concat()).await;
    let mut server = stage.origin.accept().await;
    server.expect(format!("{head}traceparent: TRACE\r\n\r\n")).await;
    server.expect(PLAIN).await;
    server.expect_silence().await;
    server.send(OK).await;
    client.expect(OK).await;
    server.expect(TRACED).await;
    server.send(OK).await;
    client.expect(OK).await;
    assert_eq!(stage.spans().await.len(), 2);
}
