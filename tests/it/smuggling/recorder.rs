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
            answered += length;
            has_answered = true;
            let answer = match answering {
                _ if message.start.starts_with(b"CONNECT ") => NO_TUNNEL,
                Answering::Once => LAST,
                Answering::Always => OK,
            };
            stream.write_all(answer).await.ok();
        }
        match stream.read_buf(&mut record).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return record,
        }
    }
}
