//! An application that records what it gets and answers what it takes for whole requests.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::reader::{READINGS, Unread};

/// How the recorder answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answering {
    /// The first request, saying that it is the last.
    Once,
    /// Every request.
    Always,
}

pub(super) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const NO_TUNNEL: &[u8] = b"HTTP/1.1 405 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Takes one connection after the other, and tells all that came on each once it has ended.
pub(super) async fn record(
    listener: TcpListener,
    answering: Answering,
    records: mpsc::UnboundedSender<Vec<u8>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let record = connection(stream, answering).await;
        if records.send(record).is_err() {
            return;
        }
    }
}

async fn connection(mut stream: TcpStream, answering: Answering) -> Vec<u8> {
    let [strict, ..] = READINGS;
    let (mut record, mut answered) = (Vec::new(), 0);
    let mut has_answered = false;
    loop {
        while answering == Answering::Always || !has_answered {
            let (message, length) = match strict.message(&record[answered..]) {
                Ok(whole) => whole,
                Err(Unread::Incomplete) => break,
                Err(Unread::Broken) if record.len() == answered => break,
                Err(Unread::Broken) => return record,
            };
            let request = &record[answered..answered + length];
            let is_last = answering == Answering::Once || asks_for_the_end(request);
            answered += length;
            has_answered = true;
            let answer = match answering {
                _ if message.start.starts_with(b"CONNECT ") => NO_TUNNEL,
                Answering::Once => LAST,
                Answering::Always => OK,
            };
            stream.write_all(answer).await.ok();
            if is_last || answer == NO_TUNNEL {
                // It still listens, so that nothing escapes it.
                stream.shutdown().await.ok();
            }
        }
        match stream.read_buf(&mut record).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return record,
        }
    }
}

/// Whether a request says that no other follows it: a server ends the connection behind its answer.
fn asks_for_the_end(request: &[u8]) -> bool {
    let head = String::from_utf8_lossy(request).to_ascii_lowercase();
    let mut lines = head.split("\r\n").take_while(|line| !line.is_empty());
    let is_old = lines.next().is_some_and(|start| start.ends_with(" http/1.0"));
    let options: Vec<&str> = lines
        .filter_map(|line| line.strip_prefix("connection:"))
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    options.contains(&"close") || is_old && !options.contains(&"keep-alive")
}
