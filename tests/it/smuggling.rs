//! Messages that two servers could read differently: refused, and never passed on.

use crate::support::app::Stage;
use crate::support::peer::{Peer, find, show};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const PLAIN: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const TRACED: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\ntraceparent: TRACE\r\n\r\n";

/// Heads that no two servers need agree on. All are followed by what could be a second request.
const HEADS: &[&[u8]] = &[
    // two lengths
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 6\r\n\r\n",
    // a length that is no number
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5 5\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5,\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1_0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551616\r\n\r\n",
    // a coding that does not end with one `chunked`
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked,\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked;q=1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
    // names that some servers read as others
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding\t: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer\x00-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nX(y): z\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nX\xff: z\r\n\r\n",
    // lines that some servers end or join elsewhere
    b"POST / HTTP/1.1\r\nHost: h\r\nX: a\r\n Content-Length: 5\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\n Host: h\r\n\r\n",
    b"GET / HTTP/1.1\nHost: h\n\n",
    b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\n\n",
    b"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n",
    b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    // a host that is not one
    b"GET / HTTP/1.1\r\nX: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    // start lines
    b"GET / HTTP/1.2\r\nHost: h\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.10\r\nHost: h\r\n\r\n",
    b"GET / http/1.1\r\nHost: h\r\n\r\n",
    b"GET /\r\nHost: h\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / x HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: h\r\n\r\n",
    b" GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"G(T / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nHost: h\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
];

/// Chunk framing that is broken, with what may have gone on before that was seen.
const BODIES: &[&[u8]] = &[
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"5_\r\nhello\r\n0\r\n\r\n",
    b"\r\nhello\r\n0\r\n\r\n",
    b";a=b\r\nhello\r\n0\r\n\r\n",
    b"g\r\nhello\r\n0\r\n\r\n",
    b"5\nhello\r\n0\r\n\r\n",
    b"5;a\nhello\r\n0\r\n\r\n",
    b"5\rXhello\r\n0\r\n\r\n",
    b"5\r\nhelloX\r\n0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    b"0\n\r\n",
    b"0\r\n\n",
    b"0\r\nX: y\n\r\n",
];

const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Sends `request` with another behind it; the sidecar must refuse the first and read no second.
async fn expect_refusal(stage: &Stage, request: &[u8]) {
    let mut client = stage.client().await;
    client.send([request, PLAIN].concat()).await;
    println!("{}", show(request)); // shown when the reply does not come
    let reply = client.rest().await;
    let is_refused = reply.starts_with(b"HTTP/1.1 400 Bad Request\r\n");
    assert!(is_refused, "{}\n{}", show(request), show(&reply));
    let heads = reply.windows(9).filter(|w| *w == b"HTTP/1.1 ").count();
    assert_eq!(heads, 1, "{}\n{}", show(request), show(&reply));
}

async fn expect_passage(stage: &Stage) -> (Peer, Peer) {
    let mut client = stage.client().await;
    client.send(PLAIN).await;
    let mut server = stage.origin.accept().await;
    server.expect(TRACED).await;
    server.send(OK).await;
    client.expect(OK).await;
    (client, server)
}

#[tokio::test]
async fn an_ambiguous_head_is_refused_and_the_application_sees_nothing_of_it() {
    let stage = Stage::set(&[]).await;
    for head in HEADS {
        expect_refusal(&stage, head).await;
    }
    // The application's first connection, even so, is that of the first plain request.
    expect_passage(&stage).await;
    let spans = stage.spans().await;
    assert_eq!(spans.len(), HEADS.len() + 1, "each refused request has its span");
}

#[tokio::test]
async fn ambiguous_chunks_are_refused_and_the_application_sees_nothing_of_them() {
    let stage = Stage::set(&[]).await;
    for body in BODIES {
        expect_refusal(&stage, &[CHUNKED, body].concat()).await;
        let mut server = stage.origin.accept().await;
        server.expect_end().await;
    }
    expect_passage(&stage).await;
}

#[tokio::test]
async fn ambiguous_chunks_after_the_head_leave_the_application_an_unfinished_request() {
    let stage = Stage::set(&[]).await;
    for body in BODIES {
        let mut client = stage.client().await;
        client.send(CHUNKED).await;
        let mut server = stage.origin.accept().await;
        server.head().await;
        client.send(body).await;
        let reply = client.rest().await;
        assert!(reply.starts_with(b"HTTP/1.1 400 "), "{}\n{}", show(body), show(&reply));
        let (seen, _orderly) = server.whatever().await;
        assert_eq!(find(&seen, b"0\r\n\r\n"), None, "{}\n{}", show(body), show(&seen));
    }
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

#[tokio::test]
async fn an_ambiguous_response_becomes_a_502() {
    let stage = Stage::set(&[]).await;
    for response in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
        b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n",
    ] {
        let mut client = stage.client().await;
        client.send(PLAIN).await;
        let mut server = stage.origin.accept().await;
        server.expect(TRACED).await;
        server.send(response).await;
        let reply = client.rest().await;
        let is_refused = reply.starts_with(b"HTTP/1.1 502 Bad Gateway\r\n");
        assert!(is_refused, "{}\n{}", show(response), show(&reply));
    }
}

#[tokio::test]
async fn bytes_behind_a_response_answer_no_later_request() {
    // The second request may come behind the first, or after its answer.
    for is_pipelined in [true, false] {
        let stage = Stage::set(&[]).await;
        let mut client = stage.client().await;
        client.send(PLAIN.repeat(if is_pipelined { 2 } else { 1 })).await;
        let mut server = stage.origin.accept().await;
        server.expect(TRACED).await;
        server.send([OK, b"HTTP/1.1 299 poison\r\nContent-Length: 0\r\n\r\n"].concat()).await;
        client.expect(OK).await;
        if !is_pipelined {
            client.try_send(PLAIN).await;
        }
        // However the second request is answered, or not, it is not by what came before it.
        client.try_end().await;
        let answered_anew = async {
            let mut server = stage.origin.accept().await;
            server.head().await;
            server.send(OK).await;
            server.end().await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            (rest, _orderly) = client.whatever() => {
                assert_eq!(find(&rest, b"poison"), None, "{}", show(&rest));
            }
            () = answered_anew => {}
        }
    }
}
