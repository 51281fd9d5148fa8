//! HTTP/1.x through the sidecar: every byte as it would be without, but for the trace.

use tokio::join;

use crate::support::app::Stage;
use crate::support::peer::{Origin, Peer, show};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Sends `request` on a new connection and plays `response`: both must arrive as they are given.
async fn passes(stage: &Stage, request: &[u8], at_origin: &[u8], response: &[u8]) -> (Peer, Peer) {
    let mut client = stage.client().await;
    client.send(request).await;
    let mut server = stage.origin.accept().await;
    server.expect(at_origin).await;
    server.send(response).await;
    client.expect(response).await;
    (client, server)
}

/// `head` with a `traceparent` as its last line.
fn traced(head: &[u8]) -> Vec<u8> {
    let (lines, empty) = head.split_at(head.len() - 2);
    [lines, b"traceparent: TRACE\r\n", empty].concat()
}

/// A connection of its own through the outbound side, in a tunnel or not.
async fn usual_exchange(client: &mut Peer, server: &mut Peer) {
    client.send(b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n").await;
    server.expect(traced(b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    server.send(OK).await;
    client.expect(OK).await;
}

#[tokio::test]
async fn names_values_order_repeats_and_white_space_pass_byte_for_byte() {
    let stage = Stage::set(&[]).await;
    let request = b"GET /a%20b?c=%zz;&d HTTP/1.1\r\nhOST:h\r\nX-B: 1\r\nx-a:\t2  \r\nX-b: 3\r\n\
                    X-Raw: \xff\xfe\r\nX-Empty:\r\nConnection: keep-alive, X-B\r\nTE: trailers\r\n\r\n";
    let response =
        b"HTTP/1.1 299 fine  thanks\r\nX-B: 1\r\nserver:x \r\nX-b:2\r\nSet-Cookie: a\r\n\
                     Set-Cookie: b\r\nX-Raw: \xe9\r\nContent-Length:2\r\n\r\nok";
    let (mut client, mut server) = passes(&stage, request, &traced(request), response).await;
    usual_exchange(&mut client, &mut server).await;
}

#[tokio::test]
async fn every_kind_of_request_passes_as_it_came() {
    let stage = Stage::set(&[]).await;
    for request in [
        &b"BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n"[..],
        b"get / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET http://other.example/x?y HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET //a/../b?# HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"DELETE /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
    ] {
        let (mut client, mut server) = passes(&stage, request, &traced(request), OK).await;
        usual_exchange(&mut client, &mut server).await;
    }
}

#[tokio::test]
async fn an_empty_line_before_a_request_is_not_part_of_it() {
    let stage = Stage::set(&[]).await;
    let request = b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n";
    passes(&stage, request, &traced(&request[2..]), OK).await;
}

#[tokio::test]
async fn every_kind_of_request_body_passes_as_it_came() {
    let stage = Stage::set(&[]).await;
    let chunked = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n";
    let sized = b"PUT / HTTP/1.1\r\nHost: h\r\ncontent-length: 05\r\n\r\n";
    let old = b"POST / HTTP/1.0\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n\r\n";
    for (head, body) in [
        (&chunked[..], &b"0\r\n\r\n"[..]),
        (chunked, b"5\r\nhello\r\n0\r\n\r\n"),
        (
            chunked,
            b"5;a=\"b c\";d\r\nhello\r\n00a ;x\r\n0123456789\r\n0;last\r\nX-Sum: 1\r\ny:\r\n\r\n",
        ),
        (chunked, b"3\r\n\r\n0\r\n0\r\n\r\n"),
        (sized, b"h\0\xff\r\n"),
        (old, b"hello"),
    ] {
        let request = [head, body].concat();
        let at_origin = [&traced(head), body].concat();
        let (mut client, mut server) = passes(&stage, &request, &at_origin, OK).await;
        usual_exchange(&mut client, &mut server).await;
    }
}

#[tokio::test]
async fn every_kind_of_response_passes_as_it_came_and_leaves_the_connection_usable() {
    let stage = Stage::set(&[]).await;
    let get = &b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..];
    let head = &b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"[..];
    for (request, response) in [
        (get, &b"HTTP/1.1 204 No Content\r\n\r\n"[..]),
        (get, b"HTTP/1.1 204 \r\nContent-Length: 5\r\n\r\n"),
        (get, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n"),
        (get, b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
        (get, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (
            get,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\nTrailer: X\r\n\r\n\
                2;a=b\r\n\x1f\x8b\r\n0\r\nX: 1\r\n\r\n",
        ),
        (
            get,
            b"HTTP/1.1 200 OK\r\nX-Spaced : 1\r\nX-Folded: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
        ),
        (get, b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),
        (get, b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"),
        (get, b"HTTP/1.1 599 \xe9\r\ncontent-length: 0\r\n\r\n"),
        (head, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
        (head, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (head, b"HTTP/1.1 200 OK\r\n\r\n"),
    ] {
        let (mut client, mut server) = passes(&stage, request, &traced(request), response).await;
        usual_exchange(&mut client, &mut server).await;
    }
}

#[tokio::test]
async fn a_response_without_a_length_ends_with_the_connection() {
    let stage = Stage::set(&[]).await;
    for (request, response) in [
        (&b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..], &b"HTTP/1.1 200 OK\r\n\r\nall of"[..]),
        (b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\nall of"),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\nall of"),
    ] {
        let (mut client, mut server) = passes(&stage, request, &traced(request), response).await;
        server.send(b" it").await;
        client.expect(b" it").await;
        drop(server);
        client.expect_end().await;
    }
}

#[tokio::test]
async fn a_connection_that_cannot_be_used_again_is_left_to_its_ends_to_end() {
    let stage = Stage::set(&[]).await;
    let old = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let last = b"HTTP/1.1 200 OK\r\nconnection: close\r\nContent-Length: 2\r\n\r\nok";
    for (request, response) in [
        (&b"GET / HTTP/1.0\r\n\r\n"[..], OK),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", old),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n", OK),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", last),
    ] {
        let (mut client, mut server) = passes(&stage, request, &traced(request), response).await;
        client.send(b"GET /more HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client.expect_silence().await;
        server.expect_silence().await;
        drop(server);
        client.expect_end().await;

        let (client, mut server) = passes(&stage, request, &traced(request), response).await;
        drop(client);
        server.expect_end().await;
    }
    assert_eq!(stage.spans().await.len(), 8);
}

#[tokio::test]
async fn what_spandrel_leaves_to_be_ended_is_told_at_once_and_does_not_hold_up_its_stop() {
    let stage = Stage::set(&[]).await;
    let request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let (mut client, mut server) = passes(&stage, request, &traced(request), OK).await;
    stage.collector.spans(1).await;
    assert_eq!(stage.spans().await.len(), 1);
    client.expect_end().await;
    server.expect_end().await;
}

#[tokio::test]
async fn only_the_application_answers_expect() {
    let stage = Stage::set(&[]).await;
    let head = b"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let mut client = stage.client().await;
    client.send(head).await;
    let mut server = stage.origin.accept().await;
    server.expect(traced(head)).await;
    client.expect_silence().await;
    server.send(b"HTTP/1.1 100 go  on\r\nX: y\r\n\r\n").await;
    client.expect(b"HTTP/1.1 100 go  on\r\nX: y\r\n\r\n").await;
    client.send(b"hello").await;
    server.expect(b"hello").await;
    server.send(OK).await;
    client.expect(OK).await;
    usual_exchange(&mut client, &mut server).await;
}

#[tokio::test]
async fn an_expectation_may_be_refused_without_the_body() {
    let stage = Stage::set(&[]).await;
    let head = b"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let refusal = b"HTTP/1.1 417 no\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let (mut client, server) = passes(&stage, head, &traced(head), refusal).await;
    drop(server);
    client.expect_end().await;
}

#[tokio::test]
async fn interim_responses_pass_at_once_and_before_the_final_one() {
    let stage = Stage::set(&[]).await;
    let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let (mut client, mut server) = passes(&stage, request, &traced(request), hints).await;
    let processing = b"HTTP/1.1 102 Processing\r\n\r\n";
    server.send(processing).await;
    client.expect(processing).await;
    client.expect_silence().await;
    server.send([&hints[..], OK].concat()).await;
    client.expect(hints).await;
    client.expect(OK).await;
    usual_exchange(&mut client, &mut server).await;
}

#[tokio::test]
async fn pipelined_requests_reach_the_application_one_at_a_time_and_are_answered_in_order() {
    let stage = Stage::set(&[]).await;
    let mut client = stage.client().await;
    let request = |n: u8| format!("POST /{n} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n{n}");
    let all: String = (0..5).map(request).collect();
    client.send(all).await;
    let mut server = stage.origin.accept().await;
    for n in 0..5 {
        let head = format!("POST /{n} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n");
        server.expect(format!("{head}traceparent: TRACE\r\n\r\n{n}")).await;
        server.expect_silence().await;
        let response = format!("HTTP/1.1 20{n} OK\r\nContent-Length: 0\r\n\r\n");
        server.send(&response).await;
        client.expect(response).await;
    }
    stage.origin.expect_nobody().await;
}

#[tokio::test]
async fn a_long_pipeline_is_taken_as_it_is_answered() {
    const COUNT: usize = 5_000;
    let stage = Stage::set(&[]).await;
    let request = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n";
    let at_origin = traced(request);
    let mut client = stage.client().await;
    client.send(request).await;
    let mut server = stage.origin.accept().await;
    let serving = async {
        for _ in 0..COUNT {
            server.expect(&at_origin).await;
            server.send(OK).await;
        }
    };
    let (mut reading, mut writing) = client.split();
    let asking = async { writing.send(request.repeat(COUNT - 1)).await };
    let ((), (), answers) = join!(serving, asking, reading.take(OK.len() * COUNT));
    assert!(answers == OK.repeat(COUNT), "the bytes differ");
}

#[tokio::test]
async fn pipelined_requests_before_a_half_close_are_all_answered() {
    let stage = Stage::set(&[]).await;
    let request = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut client = stage.client().await;
    client.send(request.repeat(3)).await;
    client.end().await;
    let mut server = stage.origin.accept().await;
    for _ in 0..3 {
        server.expect(traced(request)).await;
        server.send(OK).await;
        client.expect(OK).await;
    }
    server.expect_end().await;
    drop(server);
    client.expect_end().await;
    assert_eq!(stage.spans().await.len(), 3);
}

#[tokio::test]
async fn a_request_that_is_cut_short_is_cut_short_for_the_application_which_may_still_answer() {
    let stage = Stage::set(&[]).await;
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n";
    let mut client = stage.client().await;
    client.send([&head[..], b"0123"].concat()).await;
    let mut server = stage.origin.accept().await;
    server.expect([&traced(head)[..], b"0123"].concat()).await;
    client.end().await;
    server.expect_end().await;
    let refusal = b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n";
    server.send(refusal).await;
    client.expect(refusal).await;
    drop(server);
    client.expect_end().await;
}

#[tokio::test]
async fn an_early_response_passes_while_the_request_goes_on() {
    let stage = Stage::set(&[]).await;
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n";
    let mut client = stage.client().await;
    client.send([&head[..], b"01234"].concat()).await;
    let mut server = stage.origin.accept().await;
    server.expect([&traced(head)[..], b"01234"].concat()).await;
    server.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n").await;
    client.expect(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n").await;
    client.send(b"567").await;
    server.expect(b"567").await;
    server.send(b"0\r\n\r\n").await;
    client.expect(b"0\r\n\r\n").await;
    client.send(b"89").await;
    server.expect(b"89").await;
    usual_exchange(&mut client, &mut server).await;
}

#[tokio::test]
async fn an_early_last_answer_does_not_keep_the_rest_of_the_request_from_passing() {
    let stage = Stage::set(&[]).await;
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n";
    let answer = b"HTTP/1.1 202 yes\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let (mut client, mut server) = passes(&stage, head, &traced(head), answer).await;
    client.send(b"0123456789").await;
    server.expect(b"0123456789").await;
    drop(server);
    client.expect_end().await;
}

#[tokio::test]
async fn a_final_answer_before_the_whole_request_reaches_a_caller_that_stops_sending() {
    let stage = Stage::set(&[]).await;
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n";
    let refusal = b"HTTP/1.1 413 no\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let (mut client, server) = passes(&stage, head, &traced(head), refusal).await;
    drop(server);
    client.expect_end().await;
}

#[tokio::test]
async fn a_half_close_of_the_caller_reaches_the_application_which_may_still_answer() {
    let stage = Stage::set(&[]).await;
    let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut client = stage.client().await;
    client.send(request).await;
    client.end().await;
    let mut server = stage.origin.accept().await;
    server.expect(traced(request)).await;
    server.expect_end().await;
    server.send(OK).await;
    client.expect(OK).await;
    drop(server);
    client.expect_end().await;
}

#[tokio::test]
async fn a_kept_connection_ends_when_either_side_ends_it() {
    let stage = Stage::set(&[]).await;
    let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let (mut client, server) = passes(&stage, request, &traced(request), OK).await;
    drop(server);
    client.expect_end().await;

    let (client, mut server) = passes(&stage, request, &traced(request), OK).await;
    drop(client);
    server.expect_end().await;
}

#[tokio::test]
async fn a_request_on_a_connection_the_application_has_just_closed_is_not_answered_for_it() {
    let stage = Stage::set(&[]).await;
    let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let (mut client, mut server) = passes(&stage, request, &traced(request), OK).await;
    client.send(request).await;
    server.expect(traced(request)).await;
    drop(server);
    // The end tells a client that it may try again, which a 502 would not.
    client.expect_end().await;
}

#[tokio::test]
async fn a_reset_passes_in_both_directions() {
    let stage = Stage::set(&[]).await;
    let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let part = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01";
    let (mut client, server) = passes(&stage, request, &traced(request), part).await;
    server.reset();
    client.expect_reset().await;

    let (client, mut server) = passes(&stage, request, &traced(request), part).await;
    client.reset();
    let (seen, _orderly) = server.whatever().await;
    assert_eq!(show(&seen), "");
}

#[tokio::test]
async fn a_body_that_is_cut_short_is_cut_short_for_the_caller_too() {
    let stage = Stage::set(&[]).await;
    let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    for part in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    ] {
        let (mut client, server) = passes(&stage, request, &traced(request), part).await;
        drop(server);
        client.expect_end().await;
    }
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_passed_whole() {
    let stage = Stage::set(&[]).await;
    let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut client = stage.client().await;
    for byte in request {
        client.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    let mut server = stage.origin.accept().await;
    server.expect(traced(request)).await;
    for byte in OK {
        server.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    client.expect(OK).await;
}

#[tokio::test]
async fn large_bodies_pass_whole_in_both_directions_at_once() {
    const SIZE: usize = 3_000_000;
    let stage = Stage::set(&[]).await;
    let body =
        |salt: usize| -> Vec<u8> { (0..SIZE).map(|i| (i / 7 + salt).to_le_bytes()[0]).collect() };
    let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n");
    let mut client = stage.client().await;
    client.send(&head).await;
    let mut server = stage.origin.accept().await;
    server.expect(traced(head.as_bytes())).await;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
    server.send(&answer).await;
    client.expect(&answer).await;
    let (up, down) = (body(1), body(2));
    let (mut sending, mut answering) = (up.chunks(100_000), down.chunks(100_000));
    while let (Some(up), Some(down)) = (sending.next(), answering.next()) {
        join!(client.send(up), server.send(down));
        let (at_server, at_client) = join!(server.take(up.len()), client.take(down.len()));
        assert!(at_server == up && at_client == down, "the bytes differ");
    }
    usual_exchange(&mut client, &mut server).await;
}

#[tokio::test]
async fn an_upgraded_connection_is_a_tunnel_with_half_closes() {
    let stage = Stage::set(&[]).await;
    let request = b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
    // What follows the head belongs to the tunnel already, whichever side it comes from.
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhi";
    let (mut client, mut server) = passes(&stage, request, &traced(request), switch).await;
    client.send(b"\x00\xffGET / HTTP/1.1\r\n\r\n").await;
    server.expect(b"\x00\xffGET / HTTP/1.1\r\n\r\n").await;
    client.end().await;
    server.expect_end().await;
    server.send(b"last words").await;
    server.end().await;
    client.expect(b"last words").await;
    client.expect_end().await;
    let span = stage.span().await;
    assert_eq!(span.attribute("http.response.status_code"), "101");
    assert_eq!(span.attribute("spandrel.tunnel.request.size"), "20");
    assert_eq!(span.attribute("spandrel.tunnel.response.size"), "12");
}

#[tokio::test]
async fn an_upgrade_that_is_refused_leaves_an_ordinary_connection() {
    let stage = Stage::set(&[]).await;
    let request = b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
    let (mut client, mut server) = passes(&stage, request, &traced(request), OK).await;
    usual_exchange(&mut client, &mut server).await;
}

#[tokio::test]
async fn an_absolute_target_is_asked_of_its_host_in_origin_form() {
    let stage = Stage::set(&[]).await;
    let other = Origin::start().await;
    let mut client = stage.outbound_client().await;
    let address = other.address;
    client
        .send(format!(
            "GET http://{address}/a?b HTTP/1.1\r\nhOST: wrong.example\r\nX-A:  1\r\n\
             Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\n\r\n"
        ))
        .await;
    let mut server = other.accept().await;
    let head = format!("GET /a?b HTTP/1.1\r\nhOST: {address}\r\nX-A:  1\r\n\r\n");
    server.expect(traced(head.as_bytes())).await;
    server.send(OK).await;
    client.expect(OK).await;
    stage.origin.expect_nobody().await;
}

#[tokio::test]
async fn an_origin_target_goes_where_host_says_and_each_host_has_its_own_connection() {
    let stage = Stage::set(&[]).await;
    let (one, two) = (Origin::start().await, Origin::start().await);
    let mut client = stage.outbound_client().await;
    let head = |origin: &Origin| format!("GET /x HTTP/1.1\r\nHost: {}\r\n\r\n", origin.address);
    let mut servers = Vec::new();
    for origin in [&one, &two] {
        client.send(head(origin)).await;
        let mut server = origin.accept().await;
        server.expect(traced(head(origin).as_bytes())).await;
        server.send(OK).await;
        client.expect(OK).await;
        servers.push(server);
    }
    client.send(head(&one)).await;
    servers[0].expect(traced(head(&one).as_bytes())).await;
    servers[0].send(OK).await;
    client.expect(OK).await;
    one.expect_nobody().await;
    stage.origin.expect_nobody().await;
}

#[tokio::test]
async fn connect_gives_a_tunnel_with_half_closes() {
    let stage = Stage::set(&[]).await;
    let other = Origin::start().await;
    let mut client = stage.outbound_client().await;
    let address = other.address;
    client.send(format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n\x16\x03")).await;
    let mut server = other.accept().await;
    client.expect(b"HTTP/1.1 200 Connection Established\r\n\r\n").await;
    server.expect(b"\x16\x03").await;
    server.send(b"\xff\x00").await;
    server.end().await;
    client.expect(b"\xff\x00").await;
    client.expect_end().await;
    client.send(b"more").await;
    server.expect(b"more").await;
    drop(client);
    server.expect_end().await;
    let span = stage.span().await;
    assert_eq!((span.kind, span.name.as_str()), ("CLIENT", "CONNECT"));
    assert_eq!(span.attribute("spandrel.tunnel.request.size"), "6");
    assert_eq!(span.attribute("spandrel.tunnel.response.size"), "2");
}

#[tokio::test]
async fn what_no_proxy_in_the_open_can_do_is_refused() {
    let stage = Stage::set(&[]).await;
    for request in [
        "GET https://h.example/ HTTP/1.1\r\nHost: h.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "CONNECT h HTTP/1.1\r\nHost: h:99999\r\n\r\n",
    ] {
        let mut client = stage.outbound_client().await;
        client.send(request).await;
        let reply = client.rest().await;
        let is_refused = reply.starts_with(b"HTTP/1.1 400 ") || reply.starts_with(b"HTTP/1.1 502 ");
        assert!(is_refused, "{request:?}: {}", show(&reply));
    }
    stage.origin.expect_nobody().await;
}

#[tokio::test]
async fn a_request_for_spandrel_itself_is_refused_as_a_loop() {
    let stage = Stage::set(&[]).await;
    let own = stage.app.outbound();
    for host in ["127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]"] {
        let mut client = stage.outbound_client().await;
        let target = format!("{host}:{}", own.port());
        client.send(format!("GET http://{target}/ HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        let reply = client.rest().await;
        assert!(reply.starts_with(b"HTTP/1.1 508 Loop Detected\r\n"), "{host}: {}", show(&reply));
    }
}

#[tokio::test]
async fn a_call_of_the_application_to_its_own_service_is_no_loop() {
    let stage = Stage::set(&[]).await;
    let own = stage.app.inbound();
    let mut client = stage.outbound_client().await;
    client.send(format!("GET http://{own}/ HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert!(client.head().await.starts_with(b"HTTP/1.1 200 OK\r\n"));
}
