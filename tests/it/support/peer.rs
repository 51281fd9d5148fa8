//! The far ends of a sidecar as raw sockets: what they send and see are literal bytes.

use std::io::ErrorKind;
use std::net::SocketAddr;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{GLANCE, PATIENCE, soon};

/// What stands for the value of a `traceparent` in expected bytes.
const MASK: &[u8] = b"TRACE";
/// The length of a `traceparent` value.
const TRACE_LENGTH: usize = 55;

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: TcpStream,
    /// What was read and not yet looked at.
    read: Vec<u8>,
}

/// What a read gave.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    Some,
    End,
    Reset,
}

impl Peer {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = soon("connecting", TcpStream::connect(address)).await;
        Self::of(stream.expect("the other side listens"))
    }

    pub(crate) fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket");
        Self { stream, read: Vec::new() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.stream.local_addr().expect("a socket")
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = soon("sending", self.stream.write_all(bytes.as_ref())).await;
        sent.expect("the other side takes what is sent");
    }

    /// Sends what the other side may have stopped taking.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("sending", self.stream.write_all(bytes.as_ref())).await.ok();
    }

    /// The next bytes up to the first empty line, that line included.
    pub(crate) async fn head(&mut self) -> Vec<u8> {
        loop {
            if let Some(at) = find(&self.read, b"\r\n\r\n") {
                return self.read.drain(..at + 4).collect();
            }
            self.more().await;
        }
    }

    /// The next `count` bytes.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            self.more().await;
        }
        self.read.drain(..count).collect()
    }

    /// The next bytes must be these, where `TRACE` stands for the value of any `traceparent`.
    pub(crate) async fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let masks = expected.windows(MASK.len()).filter(|w| *w == MASK).count();
        let length = expected.len() + masks * (TRACE_LENGTH - MASK.len());
        while self.read.len() < length && self.fill().await == Read::Some {}
        let count = length.min(self.read.len());
        let found: Vec<u8> = self.read.drain(..count).collect();
        assert_eq!(show(&masked(&found)), show(expected));
    }

    /// Everything up to the orderly end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        loop {
            match self.fill().await {
                Read::Some => {}
                Read::End => return std::mem::take(&mut self.read),
                Read::Reset => panic!("reset after {}", show(&self.read)),
            }
        }
    }

    /// Everything up to the end or the reset, and whether the end was orderly.
    pub(crate) async fn whatever(&mut self) -> (Vec<u8>, bool) {
        loop {
            match self.fill().await {
                Read::Some => {}
                end => return (std::mem::take(&mut self.read), end == Read::End),
            }
        }
    }

    /// The other side must end in order, without another byte.
    pub(crate) async fn expect_end(&mut self) {
        assert_eq!(show(&self.rest().await), "");
    }

    /// The other side must be reset, without another byte.
    pub(crate) async fn expect_reset(&mut self) {
        let (bytes, is_orderly) = self.whatever().await;
        assert_eq!((show(&bytes).as_str(), is_orderly), ("", false));
    }

    /// Nothing must come at the moment.
    pub(crate) async fn expect_silence(&mut self) {
        let read = timeout(GLANCE, self.fill()).await;
        assert!(self.read.is_empty(), "unexpected: {}", show(&self.read));
        assert!(read.is_err(), "unexpected: {read:?}");
    }

    /// Ends this side and leaves the other open.
    pub(crate) async fn end(&mut self) {
        soon("ending", self.stream.shutdown()).await.expect("a connection");
    }

    /// Ends this side where the other may be gone already.
    pub(crate) async fn try_end(&mut self) {
        soon("ending", self.stream.shutdown()).await.ok();
    }

    /// Two handles on the connection, to read by one and to write by the other.
    pub(crate) fn split(self) -> (Self, Self) {
        let stream = self.stream.into_std().expect("a socket");
        let other = stream.try_clone().expect("a socket");
        let of = |stream| Self::of(TcpStream::from_std(stream).expect("a socket"));
        (Self { read: self.read, ..of(stream) }, of(other))
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().expect("a socket");
    }

    async fn more(&mut self) {
        let read = self.fill().await;
        assert_eq!(read, Read::Some, "ended after: {}", show(&self.read));
    }

    async fn fill(&mut self) -> Read {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await;
        match read {
            Ok(Ok(0)) => Read::End,
            Ok(Ok(_)) => Read::Some,
            Ok(Err(e)) if e.kind() == ErrorKind::ConnectionReset => Read::Reset,
            Ok(Err(e)) => panic!("unexpected: {e}"),
            Err(_late) => panic!("nothing came for too long after: {}", show(&self.read)),
        }
    }
}

/// A listener whose connections a test plays by hand.
#[derive(Debug)]
pub(crate) struct Origin {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Origin {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback socket");
        let address = listener.local_addr().expect("it is bound");
        Self { listener, address }
    }

    /// The next connection, in the order they were made.
    pub(crate) async fn accept(&self) -> Peer {
        let accepted = soon("a connection to the origin", self.listener.accept()).await;
        Peer::of(accepted.expect("a listener").0)
    }

    /// Nobody must have connected, nor do it at the moment.
    pub(crate) async fn expect_nobody(&self) {
        let accepted = timeout(GLANCE, self.listener.accept()).await;
        assert!(accepted.is_err(), "unexpected: {accepted:?}");
    }
}

/// An address that is held and refuses connections, until it listens.
#[derive(Debug)]
pub(crate) struct Closed {
    socket: Socket,
    pub(crate) address: SocketAddr,
}

impl Closed {
    pub(crate) fn hold() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        socket.bind(&SockAddr::from(any)).expect("a loopback address");
        let address = socket.local_addr().ok().and_then(|a| a.as_socket()).expect("it is bound");
        Self { socket, address }
    }

    /// Accepts connections from now on, so many at a time without being asked to.
    pub(crate) fn listen(self, backlog: i32) -> TcpListener {
        self.socket.listen(backlog).expect("a bound socket");
        self.socket.set_nonblocking(true).expect("a socket");
        TcpListener::from_std(self.socket.into()).expect("a listener")
    }
}

/// Where `part` begins in `bytes`.
pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// Bytes as a text that tells every one of them.
pub(crate) fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\r\\n", "\\r\\n\n")
}

/// The bytes with `TRACE` in place of every value of a `traceparent`.
fn masked(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), bytes);
    while let Some((first, after)) = rest.split_first() {
        match rest.split_at_checked(TRACE_LENGTH) {
            Some((value, after)) if is_trace(value) => {
                out.extend_from_slice(MASK);
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

fn is_trace(value: &[u8]) -> bool {
    let is_digit = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    value.iter().enumerate().all(|(at, b)| match at {
        2 | 35 | 52 => *b == b'-',
        _ => is_digit(b),
    })
}

/// The values of the header `name` in a head, in order.
pub(crate) fn values(head: &[u8], name: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(head).into_owned();
    let pairs = text.split("\r\n").filter_map(|line| line.split_once(':'));
    let wanted = pairs.filter(|(n, _)| n.eq_ignore_ascii_case(name));
    wanted.map(|(_, value)| value.trim().to_owned()).collect()
}

#[test]
fn only_whole_trace_values_are_masked() {
    let value = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let text = format!("traceparent: {value}\r\n{}", value.get(1..).unwrap());
    let expected = format!("traceparent: TRACE\r\n{}", value.get(1..).unwrap());
    assert_eq!(show(&masked(text.as_bytes())), show(expected.as_bytes()));
}
