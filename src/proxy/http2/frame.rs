//! Frames as they are written (RFC 9113, sections 4.1 and 6): their heads, and what a payload alone
//! can have wrong.

use h2::Reason;

/// The largest payload that we take: what HTTP/2 begins with, and we never raise.
pub(super) const MAX_PAYLOAD: usize = 16_384;
/// The bytes of a frame's head.
pub(super) const HEAD: usize = 9;
/// The bit of a stream's number that means nothing.
pub(super) const RESERVED: u32 = 1 << 31;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const WITH_PRIORITY: u8 = 0x20;

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    /// The head at the start of `input`, once it is there.
    pub(super) fn parse(input: &[u8]) -> Option<Self> {
        let head = input.first_chunk::<HEAD>()?;
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *head;
        let length = usize::try_from(u32::from_be_bytes([0, l0, l1, l2])).ok()?;
        let stream = u32::from_be_bytes([s0, s1, s2, s3]) & !RESERVED;
        Some(Self { length, kind, flags, stream })
    }

    /// Whether it is data, and the last of its stream.
    pub(super) const fn ends_with_data(self) -> bool {
        self.kind == DATA && self.flags & END_STREAM != 0
    }
}

/// The fragment of a block in a frame of headers, and the stream it says it depends on.
pub(super) fn take_apart(head: Head, payload: &[u8]) -> Result<(&[u8], Option<u32>), Reason> {
    let (mut rest, mut padding, mut depends_on) = (payload, 0, None);
    if head.flags & PADDED != 0 {
        let (first, after) = rest.split_first().ok_or(Reason::FRAME_SIZE_ERROR)?;
        (padding, rest) = (usize::from(*first), after);
    }
    if head.flags & WITH_PRIORITY != 0 {
        let (priority, after) = rest.split_first_chunk::<5>().ok_or(Reason::FRAME_SIZE_ERROR)?;
        let [s0, s1, s2, s3, _weight] = *priority;
        depends_on = Some(u32::from_be_bytes([s0, s1, s2, s3]) & !RESERVED);
        rest = after;
    }
    let end = rest.len().checked_sub(padding).ok_or(Reason::PROTOCOL_ERROR)?;
    Ok((rest.get(..end).unwrap_or_default(), depends_on))
}

/// Checks what settings say.
pub(super) fn check_settings(head: Head, payload: &[u8]) -> Result<(), Reason> {
    let is_ack = head.flags & ACK != 0;
    check_connection(head, head.length.is_multiple_of(6) && !(is_ack && head.length > 0))?;
    for setting in payload.as_chunks::<6>().0 {
        let [i0, i1, v0, v1, v2, v3] = *setting;
        let value = u32::from_be_bytes([v0, v1, v2, v3]);
        match u16::from_be_bytes([i0, i1]) {
            // Server push, and extended CONNECT: yes or no.
            2 | 8 if value > 1 => return Err(Reason::PROTOCOL_ERROR),
            4 if value & RESERVED != 0 => return Err(Reason::FLOW_CONTROL_ERROR),
            5 if !(16_384..1 << 24).contains(&value) => return Err(Reason::PROTOCOL_ERROR),
            _ => {}
        }
    }
    Ok(())
}

/// Checks a frame that is about the whole connection.
pub(super) const fn check_connection(head: Head, has_right_length: bool) -> Result<bool, Reason> {
    match head.stream {
        0 if has_right_length => Ok(true),
        0 => Err(Reason::FRAME_SIZE_ERROR),
        _ => Err(Reason::PROTOCOL_ERROR),
    }
}

/// Writes a block of fields as frames, without padding or priority.
pub(super) fn push_block(out: &mut Vec<u8>, stream: u32, flags: u8, bytes: &[u8]) {
    let (mut rest, mut kind, mut flags) = (bytes, HEADERS, flags);
    loop {
        let (now, later) = rest.split_at_checked(MAX_PAYLOAD).unwrap_or((rest, &[]));
        let end = if later.is_empty() { END_HEADERS } else { 0 };
        push_frame(out, kind, flags | end, stream, now);
        if later.is_empty() {
            return;
        }
        (rest, kind, flags) = (later, CONTINUATION, 0);
    }
}

/// Writes a frame.
pub(super) fn push_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or_default();
    out.extend(length.to_be_bytes().into_iter().skip(1));
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
}
