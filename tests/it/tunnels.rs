//! Tunnels: bytes that nobody looks into, passed as they came and ended as they ended.

use std::io::ErrorKind;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::support::app::Stage;
use crate::support::peer::Peer;
use crate::support::soon;

/// More than all buffers on the way hold together.
const BULK: usize = 8 << 20;
/// What a slow reader takes at a time, and the room it has for more, in bytes. With less room than a
/// segment of loopback takes, the kernel itself would send but five times a second.
const SIP: usize = 9_001;
const LITTLE_ROOM: usize = 64 * 1024;

/// The two ends of a tunnel that a client asked for.
async fn dug(stage: &Stage) -> (Peer, Peer) {
    let mut client = stage.outbound_client().await;
    let target = stage.origin.address;
    client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    client.head().await;
    (client, stage.origin.accept().await)
}

/// Bytes that tell where they belong, different for each `seed`: what comes again does so at a
/// distance that no buffer has.
fn bulk(seed: u32) -> Vec<u8> {
    const DISTANCE: usize = 65_521;
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let block: Vec<u8> = (0..DISTANCE).map(|_| next()).collect();
    let mut bytes = block.repeat(BULK / DISTANCE + 1);
    bytes.truncate(BULK);
    bytes
}

/// Sends everything, and ends.
async fn pour(mut out: OwnedWriteHalf, bytes: Vec<u8>) {
    out.write_all(&bytes).await.expect("the tunnel takes what is sent");
    out.shutdown().await.expect("a connection");
}

/// Reads in sips, up to the end.
async fn sip(mut from: OwnedReadHalf) -> Vec<u8> {
    let mut all = Vec::with_capacity(BULK);
    let mut sip = [0; SIP];
    loop {
        match from.read(&mut sip).await.expect("an orderly end") {
            0 => return all,
            count => all.extend_from_slice(&sip[..count]),
        }
        tokio::task::yield_now().await;
    }
}

/// The two ends of such a tunnel as sockets, which hold little that was not read.
async fn dug_narrow(stage: &Stage) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback socket");
    let target = listener.local_addr().expect("it is bound");
    let mut client = TcpStream::connect(stage.app.outbound()).await.expect("it listens");
    let ask = format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\n\r\n");
    client.write_all(ask.as_bytes()).await.expect("a connection");
    let (server, _) = soon("a connection", listener.accept()).await.expect("a listener");
    let mut told = vec![0; b"HTTP/1.1 200 Connection Established\r\n\r\n".len()];
    soon("a tunnel", client.read_exact(&mut told)).await.expect("an answer");
    for end in [&client, &server] {
        SockRef::from(end).set_recv_buffer_size(LITTLE_ROOM).expect("a socket");
    }
    (client, server)
}

#[tokio::test]
async fn bulk_passes_both_ways_at_once_to_slow_readers_and_every_byte_is_counted() {
    let stage = Stage::set(&[]).await;
    let (client, server) = dug_narrow(&stage).await;
    let (from_client, to_server) = client.into_split();
    let (from_server, to_client) = server.into_split();
    let both = Box::pin(async {
        tokio::join!(
            pour(to_server, bulk(1)),
            pour(to_client, bulk(2)),
            sip(from_client),
            sip(from_server),
        )
    });
    let ((), (), down, up) = soon("the end of both", both).await;
    assert!(up == bulk(1), "{} bytes went up", up.len());
    assert!(down == bulk(2), "{} bytes went down", down.len());
    let span = stage.span().await;
    assert_eq!(span.attribute("spandrel.tunnel.request.size"), BULK.to_string());
    assert_eq!(span.attribute("spandrel.tunnel.response.size"), BULK.to_string());
    assert!(!span.is_error, "{span:#?}");
}

#[tokio::test]
async fn either_side_may_end_first_and_still_hear_the_other() {
    for is_client_first in [true, false] {
        let stage = Stage::set(&[]).await;
        let (client, server) = dug(&stage).await;
        let (mut first, mut other) =
            if is_client_first { (client, server) } else { (server, client) };
        first.send(b"that is all").await;
        first.end().await;
        other.expect(b"that is all").await;
        other.expect_end().await;
        other.send(b"but I am").await;
        first.expect(b"but I am").await;
        first.expect_silence().await;
        other.send(b" not done").await;
        other.end().await;
        first.expect(b" not done").await;
        first.expect_end().await;
        let span = stage.span().await;
        assert!(!span.is_error, "{span:#?}");
    }
}

#[tokio::test]
async fn a_reset_amid_bulk_is_passed_on_whether_sender_or_reader_resets() {
    for is_sender in [true, false] {
        let stage = Stage::set(&[]).await;
        let (mut client, mut server) = dug_narrow(&stage).await;
        let mut part = vec![0; 1 << 20];
        let bytes = bulk(1);
        let sending = async { while client.write_all(&bytes).await.is_ok() {} };
        let reading = soon("a part of it", server.read_exact(&mut part));
        tokio::select! {
            () = sending => panic!("the tunnel takes what is sent"),
            read = reading => assert!(read.is_ok()),
        }
        assert!(part[..] == bytes[..part.len()]);
        let (resetting, mut other) = if is_sender { (client, server) } else { (server, client) };
        resetting.set_zero_linger().expect("a socket");
        drop(resetting);
        if is_sender {
            let heard = soon("the reset", other.read_to_end(&mut part)).await;
            assert_eq!(heard.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
        } else {
            let sending = async { while other.write_all(&bytes).await.is_ok() {} };
            soon("the reset", sending).await;
        }
        drop(other);
        let span = stage.span().await;
        assert_eq!(span.attribute("error.type"), "connection_reset", "{span:#?}");
        let side = if is_sender { "downstream" } else { "upstream" };
        assert_eq!(span.attribute("spandrel.fault.side"), side);
    }
}

#[tokio::test]
async fn a_tunnel_that_was_busy_goes_on_with_single_bytes() {
    let stage = Stage::set(&[]).await;
    let (client, mut server) = dug(&stage).await;
    let (mut ear, mut mouth) = client.split();
    for _ in 0..2 {
        let (_, came) = tokio::join!(mouth.send(bulk(3)), server.take(BULK));
        assert!(came == bulk(3));
        for byte in [b"a", b"b", b"c"] {
            mouth.send(byte).await;
            server.expect(byte).await;
            server.send(byte).await;
            ear.expect(byte).await;
        }
    }
}
