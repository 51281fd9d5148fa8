//! Responses that two clients could read differently: each passes as it was sent, or is refused
//! with a 502, or is cut off. None answers a request that it does not belong to.

use super::{OK, PLAIN, TRACED};
use crate::support::app::Stage;
use crate::support::peer::{find, show};

/// What becomes of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It arrives as it was sent, and the next request has an answer of its own.
    Passes,
    /// It arrives as it was sent, and the connection ends.
    PassesLast,
    /// It arrives as it was sent, with all that follows, and the connection ends.
    UntilClose,
    /// A 502 in its place.
    Refused,
    /// A part arrives, and the connection ends.
    Cut,
}

use Outcome::{Cut, Passes, PassesLast, Refused, UntilClose};

const HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
/// The request behind each, and the answer that is its own.
const SECOND: &[u8] = b"GET /second HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 second\r\nContent-Length: 0\r\n\r\n";
/// What stands behind each response, to be taken for an answer.
const POISON: &[u8] = b"HTTP/1.1 299 poison\r\nContent-Length: 0\r\n\r\n";

/// Responses to GET.
const TO_GET: &[(&[u8], Outcome)] = &[
    // one length
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Passes),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 02\r\n\r\nok", Passes),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", Passes),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-length: 2\r\n\r\nok", Passes),
    (b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", Passes),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Passes),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Passes),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Passes),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n02;a=b\r\nok\r\n0\r\nX: y\r\n\r\n", Passes),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nno colon\r\n folded\r\n\r\n", Passes),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\n\r\n", Passes),
    (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", Passes),
    // odd, and plain to every client
    (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", Passes),
    (b"HTTP/1.1 200 OK\r\nX: y\nContent-Length: 2\r\n\r\nok", Passes),
    (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok", Passes),
    (b"HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 2\r\n\r\nok", Passes),
    (b"HTTP/1.1 200 OK\r\nX: \xe9\xff\r\nContent-Length: 2\r\n\r\nok", Passes),
    (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", Passes),
    (b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", Passes),
    (b"HTTP/1.1  200  OK\r\nContent-Length: 2\r\n\r\nok", Passes),
    (b"HTTP/1.1 200 caf\xe9\r\nContent-Length: 2\r\n\r\nok", Passes),
    (b"HTTP/1.1 999 X\r\nContent-Length: 2\r\n\r\nok", Passes),
    (b"HTTP/1.1 600 X\r\nContent-Length: 2\r\n\r\nok", Passes),
    (b"HTTP/1.1 099 X\r\nContent-Length: 2\r\n\r\nok", Passes),
    (b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Passes),
    // no body, whatever they say
    (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", Passes),
    (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", Passes),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Passes),
    (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", Passes),
    // interim responses
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Passes),
    (b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Passes),
    (b"HTTP/1.1 100 X\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Passes),
    (b"HTTP/1.1 199 X\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", Passes),
    // the last of their connection
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", PassesLast),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", PassesLast),
    (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        PassesLast,
    ),
    (b"HTTP/1.1 200 OK\r\n\r\nok", UntilClose),
    (b"HTTP/1.0 200 OK\r\n\r\nok", UntilClose),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", UntilClose),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok", UntilClose),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", UntilClose),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", UntilClose),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", UntilClose),
    // lengths in doubt
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok", Refused),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok", Refused),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok", Refused),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", Refused),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        Refused,
    ),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", Refused),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok", Refused),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2,\r\n\r\nok", Refused),
    (b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok", Refused),
    (b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok", Refused),
    (b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", Refused),
    (b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", Refused),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok", Refused),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2 2\r\n\r\nok", Refused),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nok", Refused),
    (b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok", Refused),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n 0\r\n\r\nok", Refused),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", Refused),
    // no response of HTTP/1.x
    (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", Refused),
    (b"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Refused),
    (b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok", Refused),
    (b"HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 2\r\n\r\nok", Refused),
    (b"HTTP/1.1 200 OK\r\nX\x00: y\r\nContent-Length: 2\r\n\r\nok", Refused),
    (b"HTTP/1.1 200 OK\r\n: y\r\nContent-Length: 2\r\n\r\nok", Refused),
    (b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok", Refused),
    (b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok", Refused),
    (b"HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nok", Refused),
    (b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", Refused),
    (b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Refused),
    (b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Refused),
    (b"ICY 200 OK\r\nContent-Length: 2\r\n\r\nok", Refused),
    (b" HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Refused),
    (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", Refused),
    (b"<html>ok</html>\r\n\r\n", Refused),
    (b"SSH-2.0-OpenSSH_9.9\r\n", Refused),
    // broken chunks
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n", Refused),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\n0\n\n", Refused),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokX\r\n0\r\n\r\n", Refused),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nok\r\n0\r\n\r\n", Refused),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a\nok\r\n0\r\n\r\n", Refused),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nok", Refused),
    // too short
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", Cut),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok", Cut),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", Cut),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\nok", Cut),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 O", Cut),
    (b"HTTP/1.1 100 Continue\r\n\r\nSSH-2.0-OpenSSH_9.9\r\n", Cut),
];

/// Responses to HEAD, with the head that is all that may pass.
const TO_HEAD: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
];

/// Plays a response to `request`, of which `passing` may pass, and gives what is wrong with what
/// the client got.
async fn play(
    stage: &Stage,
    request: &[u8],
    response: &[u8],
    passing: &[u8],
    outcome: Outcome,
) -> Option<String> {
    let mut client = stage.client().await;
    client.send([request, SECOND].concat()).await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    let poison = if outcome == Cut { &b""[..] } else { POISON };
    // In one piece: what is behind a response is there when the response has passed.
    server.try_send([response, poison].concat()).await;
    server.try_end().await;
    let answering = async {
        loop {
            let mut other = stage.origin.accept().await;
            let head = other.head().await;
            assert!(head.starts_with(b"GET /second "), "{}", show(&head));
            other.try_send(ANSWER).await;
            other.try_end().await;
        }
    };
    let got = tokio::select! {
        (got, _orderly) = client.whatever() => got,
        () = answering => return Some("nobody connects any more".to_owned()),
    };
    let is_right = match outcome {
        Passes => got == [passing, ANSWER].concat(),
        PassesLast => got == passing,
        UntilClose => got == [passing, poison].concat(),
        Refused => got.starts_with(b"HTTP/1.1 502 ") && find(&got, b"poison").is_none(),
        Cut => got.len() <= passing.len() && passing.starts_with(&got),
    };
    let name = response.get(..300).unwrap_or(response);
    (!is_right).then(|| format!("{outcome:?}: {}\n  got: {}", show(name), show(&got)))
}

#[tokio::test]
async fn every_response_passes_as_it_is_or_not_at_all() {
    let stage = Stage::set(&[]).await;
    let mut wrong = Vec::new();
    for (response, outcome) in TO_GET {
        println!("{}", show(response)); // shown when a step does not come
        wrong.extend(play(&stage, PLAIN, response, response, *outcome).await);
    }
    for head in TO_HEAD {
        for body in [&b""[..], b"hello", b"5\r\nhello\r\n0\r\n\r\n"] {
            let response = [head, body].concat();
            println!("{}", show(&response));
            wrong.extend(play(&stage, HEAD, &response, head, Passes).await);
        }
    }
    let flood = b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n".repeat(2_000);
    let flood = [&flood[..], b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"].concat();
    wrong.extend(play(&stage, PLAIN, &flood, &flood, Passes).await);
    let long = [b"HTTP/1.1 200 OK\r\nX: ", &b"y".repeat(70_000)[..], b"\r\n\r\n"].concat();
    wrong.extend(play(&stage, PLAIN, &long, &long, Refused).await);
    let many = [b"HTTP/1.1 200 OK\r\n", &b"X: y\r\n".repeat(200)[..], b"\r\n"].concat();
    wrong.extend(play(&stage, PLAIN, &many, &many, Refused).await);
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(TO_GET.len() + 3 * TO_HEAD.len() + 3 >= 100);
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
