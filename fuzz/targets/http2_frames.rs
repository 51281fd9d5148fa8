//! Frames before `h2`: where they are cut does not matter, a connection that is in order passes
//! byte for byte, and what passes of any other is in order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loona_hpack::Decoder;
use spandrel::proxy::http2::fuzzing::Connection;
use spandrel_fuzz::fields::is_valid;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: usize = 9;
const PAYLOAD: usize = 16_384;
/// The bounds: small, so that they are reached.
const BLOCK: usize = 2_048;
const CONTINUATIONS: usize = 3;
const STREAMS: usize = 4;
const MOST_NOTES: usize = 256;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;

fuzz_target!(|input: &[u8]| {
    let Some(([lead, size, plan], bytes)) = input.split_first_chunk() else { return };
    let is_client = lead & 1 == 0;
    let (planned, bytes) = bytes.split_at(bytes.len().min(usize::from(*plan)));
    let good = if is_client { client(planned) } else { server(planned) };
    let all = [&good, bytes].concat();
    let sent =
        if lead & 2 == 0 { &[][..] } else { &frame(GOAWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0]) };
    let run = |size: usize| {
        let mut connection = Connection::new(is_client, BLOCK, CONTINUATIONS, STREAMS);
        for piece in good.chunks(size) {
            assert!(connection.take(piece) < HEAD + PAYLOAD);
        }
        assert!(connection.failure().is_none() && connection.replies().is_empty());
        assert!(connection.passed() == good, "what is in order is changed");
        connection.send(sent);
        for piece in bytes.chunks(size) {
            assert!(connection.take(piece) < HEAD + PAYLOAD, "more is held than a frame");
        }
        connection
    };
    let (mut whole, mut pieces) = (run(all.len().max(1)), run(usize::from(*size) + 1));
    assert_eq!(whole.failure(), pieces.failure(), "the pieces matter");
    assert_eq!(whole.replies(), pieces.replies(), "the pieces matter");
    assert_eq!(whole.passed(), pieces.passed(), "the pieces matter");
    assert_eq!(whole.refused(), pieces.refused());
    assert!((0..10).map(|stream| whole.sensitive(stream)).sum::<usize>() <= MOST_NOTES);
    check(is_client, whole.passed());
    check_replies(whole.replies());
});

/// A frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The frames of a client that keeps to the rules, as `plan` has it.
fn client(plan: &[u8]) -> Vec<u8> {
    let mut out = [PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])].concat();
    let (mut last, mut open) = (1_u32, Vec::new());
    for step in plan {
        let some = open.get(usize::from(step >> 4) % open.len().max(1)).copied();
        let flags = step >> 4 & END_STREAM;
        let next = match (step & 7, some) {
            (0, _) if open.len() < STREAMS => {
                open.push(last);
                last += 2;
                let block = b"\x82\x86\x84\x41\x01a\x40\x01n\x01v";
                let padded = [b"\x02", &block[..], b"\0\0"].concat();
                match step & 8 {
                    0 => frame(HEADERS, END_HEADERS, last - 2, block),
                    _ => frame(HEADERS, END_HEADERS | PADDED, last - 2, &padded),
                }
            }
            (1, Some(stream)) => frame(DATA, 0, stream, &[*step; 7]),
            (2, Some(stream)) => {
                open.retain(|other| *other != stream);
                let block: &[u8] = &[0x10, 1, b't', 1, b'v'];
                let trailers = frame(HEADERS, END_HEADERS | END_STREAM, stream, block);
                [trailers, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
            }
            (3, Some(stream)) => frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 1]),
            (4, _) => frame(PING, flags, 0, &[*step; 8]),
            (5, _) => frame(SETTINGS, 1, 0, &[]),
            (6, Some(stream)) => frame(DATA, PADDED, stream, &[2, *step, 0, 0]),
            _ => frame(0xb0, *step, u32::from(*step), &[*step; 3]),
        };
        out.extend(next);
    }
    out
}

/// The frames of a server that keeps to the rules, as `plan` has it.
fn server(plan: &[u8]) -> Vec<u8> {
    let mut out = frame(SETTINGS, 0, 0, &[0, 8, 0, 0, 0, 1]);
    let mut next = 1_u32;
    for step in plan {
        match step & 3 {
            0 => {
                out.extend(frame(HEADERS, END_HEADERS, next, &[0x48, 3, b'1', b'0', b'3']));
                out.extend(frame(HEADERS, END_HEADERS, next, &[0x88, 0x10, 1, b'a', 1, b'b']));
                out.extend(frame(DATA, 0, next, &[*step; 5]));
                out.extend(frame(HEADERS, END_HEADERS | END_STREAM, next, &[0, 1, b't', 0]));
                next += 2;
            }
            1 => {
                out.extend(frame(HEADERS, END_HEADERS | END_STREAM, next, &[0x89]));
                next += 2;
            }
            2 => out.extend(frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0])),
            _ => out.extend(frame(PING, step >> 7, 0, &[*step; 8])),
        }
    }
    out
}

/// Checks what has gone on to `h2`, frame by frame.
fn check(is_client: bool, passed: &[u8]) {
    let mut rest = match is_client {
        true => passed.strip_prefix(PREFACE).expect("a client begins so"),
        false => passed,
    };
    let mut fields = Decoder::new();
    fields.set_max_allowed_table_size(4_096);
    let mut open: Option<(u32, Vec<u8>)> = None;
    while let Some(([l0, l1, l2, kind, flags, stream @ ..], after)) =
        rest.split_first_chunk::<HEAD>()
    {
        let length = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
        assert!(length <= PAYLOAD);
        let (payload, after) = after.split_at(length.min(after.len()));
        rest = after;
        if payload.len() < length {
            assert!(*kind == DATA || *kind > CONTINUATION || !is_client, "a part of a frame");
            return;
        }
        let stream = u32::from_be_bytes(*stream) & !(1 << 31);
        assert_eq!(open.is_some(), *kind == CONTINUATION, "blocks are not interrupted");
        if is_client {
            check_client(*kind, *flags, stream, payload);
        }
        match *kind {
            HEADERS => {
                let start = if flags & PADDED == 0 { 0 } else { 1 };
                let end =
                    payload.len() - start * usize::from(payload.first().copied().unwrap_or(0));
                let start = if flags & WITH_PRIORITY == 0 { start } else { start + 5 };
                open = Some((stream, payload[start..end].to_vec()));
            }
            CONTINUATION => {
                let block = open.as_mut().expect("it has begun");
                assert_eq!(block.0, stream);
                block.1.extend_from_slice(payload);
            }
            _ => {}
        }
        if matches!(*kind, HEADERS | CONTINUATION) && flags & END_HEADERS != 0 {
            check_block(is_client, &mut fields, &open.take().expect("it has begun").1);
        }
    }
    assert!(open.is_none(), "blocks go on whole");
}

/// Checks that nothing in a block makes `h2` end more than its stream.
fn check_block(is_client: bool, fields: &mut Decoder<'_>, block: &[u8]) {
    let is_only_size = |first: u8| first >> 5 == 1;
    match fields.decode(block) {
        Ok(fields) => assert!(fields.iter().all(|(name, value)| is_valid(name, value, !is_client))),
        Err(error) => {
            let firsts = spandrel_fuzz::fields::representations(block);
            assert!(firsts.into_iter().all(is_only_size), "{error}");
        }
    }
}

/// Checks a frame of a client.
fn check_client(kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    match kind {
        DATA | HEADERS | CONTINUATION => assert!(stream % 2 == 1),
        RST_STREAM => assert!(stream % 2 == 1 && payload.len() == 4),
        SETTINGS if flags & 1 != 0 => assert!(stream == 0 && payload.is_empty()),
        SETTINGS => assert!(stream == 0 && payload.len() % 6 == 0),
        PING => assert!(stream == 0 && payload.len() == 8),
        GOAWAY => assert!(stream == 0 && payload.len() >= 8),
        WINDOW_UPDATE => {
            assert!(payload.len() == 4 && payload != [0; 4] && payload != [128, 0, 0, 0])
        }
        PRIORITY | PUSH_PROMISE => panic!("it does not go on"),
        _ => {}
    }
}

/// Checks what is said to the peer: resets, and windows given back.
fn check_replies(mut replies: &[u8]) {
    while let Some(([0, 0, 4, RST_STREAM | WINDOW_UPDATE, 0, ..], rest)) =
        replies.split_first_chunk::<13>()
    {
        replies = rest;
    }
    assert!(replies.is_empty());
}
