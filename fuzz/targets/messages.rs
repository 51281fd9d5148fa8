//! The messages within a body: the pieces do not matter, a reader of the whole finds as many, and
//! next to nothing is held.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::trace::messages::{Close, Messages, Packing};
use spandrel_fuzz::led;
use spandrel_fuzz::memory::{Counted, in_use};

#[global_allocator]
static MEMORY: Counted = Counted;

const PACKINGS: [Packing; 5] = [
    Packing::Grpc,
    Packing::GrpcWeb,
    Packing::GrpcWebText,
    Packing::EventStream,
    Packing::WebSocket,
];
/// The most bytes of trailers that are looked at.
const TRAILERS: usize = 8 * 1024;

/// How many messages there were, the status in trailers, and the end of a WebSocket.
type Found = (u64, Option<Vec<u8>>, Option<Close>);

fn found(messages: &Messages) -> Found {
    (messages.count(), messages.grpc_status().map(<[u8]>::to_vec), messages.close())
}

fuzz_target!(|input: &[u8]| {
    let Some((lead, bytes)) = led(input) else { return };
    assert_eq!(Packing::of(bytes), packing_of(bytes));
    let packing = PACKINGS[lead % PACKINGS.len()];
    let mut whole = Messages::packed(packing);
    whole.read(bytes);
    let mut pieces = Messages::packed(packing);
    bytes.chunks(lead / PACKINGS.len() + 1).for_each(|piece| pieces.read(piece));
    assert_eq!(found(&whole), found(&pieces), "the pieces matter");
    let expected = match packing {
        Packing::Grpc => (grpc(bytes, false).0, None, None),
        Packing::GrpcWeb => web(bytes),
        Packing::GrpcWebText => web(&from_base64(bytes)),
        Packing::EventStream => (events(bytes), None, None),
        Packing::WebSocket => websocket(bytes),
    };
    assert_eq!(found(&whole), expected, "another reader finds something else");
    assert_eq!(packing.is_rpc(), lead % PACKINGS.len() < 3);
    check_memory(packing, bytes);
});

/// Checks that a long body, made of these bytes again and again, is not held.
fn check_memory(packing: Packing, bytes: &[u8]) {
    let many = bytes.repeat(512 / bytes.len().max(1) + 1);
    let before = in_use();
    let mut messages = Messages::packed(packing);
    for _ in 0..4 * TRAILERS / many.len().max(512) {
        messages.read(&many);
    }
    // A vector may have room for twice of what it holds.
    assert!(in_use() - before <= 2 * TRAILERS);
}

/// How a body of this `content-type` is packed.
fn packing_of(content_type: &[u8]) -> Option<Packing> {
    let mut parts = content_type.split(|b| b";\t ".contains(b));
    let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
    let mut parts = media_type.splitn(2, |b| *b == b'+');
    let (name, suffix) = (parts.next().unwrap_or_default(), parts.next());
    match name {
        b"application/grpc" => Some(Packing::Grpc),
        b"application/grpc-web" => Some(Packing::GrpcWeb),
        b"application/grpc-web-text" => Some(Packing::GrpcWebText),
        b"text/event-stream" if suffix.is_none() => Some(Packing::EventStream),
        _ => None,
    }
}

/// How many messages there are, and all there is of trailers, as far as they are looked at.
fn grpc(mut bytes: &[u8], has_trailers: bool) -> (u64, Vec<u8>) {
    let (mut count, mut trailers) = (0, Vec::new());
    while let Some(([flag, length @ ..], rest)) = bytes.split_first_chunk::<5>() {
        let length = u32::from_be_bytes(*length) as usize;
        let (content, after) = rest.split_at(length.min(rest.len()));
        if has_trailers && *flag >= 0x80 {
            trailers.extend_from_slice(content);
        } else {
            count += u64::from(content.len() == length);
        }
        bytes = after;
    }
    trailers.truncate(TRAILERS);
    (count, trailers)
}

fn web(bytes: &[u8]) -> Found {
    let (count, trailers) = grpc(bytes, true);
    let mut fields = trailers.split(|b| *b == b'\n').filter_map(|line| {
        let mut parts = line.splitn(2, |b| *b == b':');
        Some((parts.next()?.trim_ascii().to_ascii_lowercase(), parts.next()?.trim_ascii()))
    });
    let status = fields.find(|(name, _)| name == b"grpc-status");
    (count, status.map(|(_, value)| value.to_vec()), None)
}

/// What stands in base64 before anything that is none.
fn from_base64(text: &[u8]) -> Vec<u8> {
    let text: Vec<u8> = text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    let mut out = Vec::new();
    for group in text.as_chunks::<4>().0 {
        let padding = group.iter().rev().take_while(|b| **b == b'=').count();
        let digits: Option<Vec<u32>> = group[..4 - padding].iter().map(digit).collect();
        let Some(digits) = digits.filter(|digits| digits.len() >= 2) else { break };
        let value = digits.iter().fold(0, |value, digit| value << 6 | digit) << (6 * padding);
        out.extend_from_slice(&value.to_be_bytes()[1..4 - padding]);
    }
    out
}

fn digit(byte: &u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

/// How many blocks of lines have data.
fn events(bytes: &[u8]) -> u64 {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text: String = bytes.iter().map(|b| char::from(*b)).collect();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut count, mut has_data) = (0, false);
    // What no line end follows is no line yet.
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        count += u64::from(line.is_empty() && has_data);
        has_data = !line.is_empty() && (has_data || line.split(':').next() == Some("data"));
    }
    count
}

fn websocket(mut bytes: &[u8]) -> Found {
    let (mut count, mut close) = (0, None);
    while let Some((first, payload, rest)) = websocket_frame(bytes) {
        match first & 0x0f {
            8 => {
                close = Some(Close { code: payload.first_chunk().copied().map(u16::from_be_bytes) })
            }
            0..=2 => count += u64::from(first & 0x80 != 0),
            9 | 10 => {}
            _ => break,
        }
        bytes = rest;
    }
    (count, None, close)
}

/// The first byte of a whole frame, its payload unmasked, and what follows.
fn websocket_frame(bytes: &[u8]) -> Option<(u8, Vec<u8>, &[u8])> {
    let ([first, second], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match second & 0x7f {
        126 => rest.split_first_chunk().map(|(l, rest)| (u16::from_be_bytes(*l).into(), rest))?,
        127 => rest.split_first_chunk().map(|(l, rest)| (u64::from_be_bytes(*l), rest))?,
        length => (u64::from(length), rest),
    };
    let (mask, rest) = match second & 0x80 {
        0 => ([0; 4], rest),
        _ => rest.split_first_chunk().map(|(mask, rest)| (*mask, rest))?,
    };
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m);
    Some((*first, payload.collect(), rest))
}
