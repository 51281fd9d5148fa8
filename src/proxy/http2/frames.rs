//! The rules of RFC 9113 that `h2` does not keep to the letter, applied to frames before it.
//!
//! `h2` answers most violations by one error for the whole connection. Here each gets the code and
//! the reach that the RFC demands: the stream's own frames are replaced by a reset, which is also
//! sent, and only what concerns all streams ends the connection. What passes is left as it is, and
//! so are the rules that `h2` keeps: windows, lengths of content, how many streams may be open.

use std::collections::VecDeque;
use std::mem::take;
use std::rc::Rc;

use h2::Reason;

use super::frame::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEAD, HEADERS, Head, MAX_PAYLOAD,
    PADDED, PING, PRIORITY, PUSH_PROMISE, RESERVED, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    check_connection, check_settings, push_block, push_frame, take_apart,
};
use super::hpack::{Block, Fields};
use super::sent::Sent;
use super::streams::{Closed, Ends, Streams};

/// What a client says before its first frame.
const PREFACE: usize = 24;
/// How many notes on fields that must not be indexed are kept.
const MAX_NOTES: usize = 256;

/// Who sends the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// A client, held to every rule.
    Client,
    /// A server, of which only the fields of messages are looked at.
    Server,
}

/// The bounds on what a peer can make grow here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of a block of fields, as it is sent.
    pub(super) block: usize,
    /// Frames that a block may go on for after its first.
    pub(super) continuations: usize,
    /// Streams that may be open.
    pub(super) streams: usize,
}

/// What becomes of the next bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More must come before that is known.
    Wait,
    /// So many bytes go on as they are.
    Pass(usize),
    /// So many bytes go no further; what goes on in their place is in [`Frames::take_instead`].
    Replace(usize),
}

/// What is known of the frames of a connection.
#[derive(Debug)]
pub(super) struct Frames {
    peer: Peer,
    bounds: Bounds,
    is_first: bool,
    passing: usize,
    dropping: usize,
    /// A block of fields that has not ended.
    block: Option<Gathered>,
    fields: Fields,
    streams: Streams,
    sent: Sent,
    /// Streams of which `h2` may not have said what became of them.
    opened: VecDeque<u32>,
    notes: VecDeque<(u32, Rc<[u8]>)>,
    extended_connect: Option<bool>,
    instead: Vec<u8>,
    replies: Vec<u8>,
}

#[derive(Debug)]
struct Gathered {
    stream: u32,
    flags: u8,
    bytes: Vec<u8>,
    continuations: usize,
}

/// What a block of fields is to its stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Message,
    Trailers,
    /// It is read for the sake of the compression, and then refused.
    Late,
}

impl Frames {
    /// The frames of a connection with `peer`.
    pub(super) fn new(peer: Peer, bounds: Bounds) -> Self {
        Self {
            peer,
            bounds,
            is_first: peer == Peer::Client,
            passing: if peer == Peer::Client { PREFACE } else { 0 },
            dropping: 0,
            block: None,
            fields: Fields::new(peer == Peer::Server),
            streams: Streams::default(),
            sent: Sent::default(),
            opened: VecDeque::new(),
            notes: VecDeque::new(),
            extended_connect: None,
            instead: Vec::new(),
            replies: Vec::new(),
        }
    }

    /// Who sends the frames.
    pub(super) const fn peer(&self) -> Peer {
        self.peer
    }

    /// Whether a server has said by its settings that it takes extended CONNECT (RFC 8441), and
    /// `None` while it has said nothing at all.
    pub(super) const fn takes_extended_connect(&self) -> Option<bool> {
        self.extended_connect
    }

    /// Decides over the start of what has come, and not gone on yet.
    ///
    /// # Errors
    /// When the connection must end, with the code it must end with.
    pub(super) fn step(&mut self, input: &[u8]) -> Result<Step, Reason> {
        if self.passing > 0 {
            let count = self.passing.min(input.len());
            self.passing -= count;
            return Ok(if count == 0 { Step::Wait } else { Step::Pass(count) });
        }
        if self.dropping > 0 {
            let count = self.dropping.min(input.len());
            self.dropping -= count;
            return Ok(if count == 0 { Step::Wait } else { Step::Replace(count) });
        }
        let Some(head) = Head::parse(input) else { return Ok(Step::Wait) };
        self.check_place(head)?;
        let whole = HEAD + head.length;
        let is_read = match head.kind {
            HEADERS | CONTINUATION | SETTINGS => true,
            _ => self.peer == Peer::Client && head.kind <= WINDOW_UPDATE && head.kind != DATA,
        };
        if self.peer == Peer::Server && (head.kind == RST_STREAM || head.ends_with_data()) {
            self.streams.close(head.stream, Closed::Otherwise);
        }
        if !is_read {
            let has_pad = head.kind == DATA && head.flags & PADDED != 0 && head.length > 0;
            if has_pad && input.len() <= HEAD {
                return Ok(Step::Wait);
            }
            self.passing = whole;
            if head.kind == DATA && self.peer == Peer::Client {
                self.data(head, input.get(HEAD).copied().filter(|_| has_pad))?;
            }
            return if self.instead.is_empty() { self.step(input) } else { Ok(Step::Replace(0)) };
        }
        let Some(payload) = input.get(HEAD..whole) else { return Ok(Step::Wait) };
        let passes = match head.kind {
            HEADERS => self.headers(head, payload)?,
            CONTINUATION => self.continuation(head, payload)?,
            PRIORITY => self.priority(head)?,
            RST_STREAM => self.rst_stream(head)?,
            SETTINGS => self.settings(head, payload)?,
            PUSH_PROMISE => return Err(Reason::PROTOCOL_ERROR),
            PING => check_connection(head, head.length == 8)?,
            GOAWAY => check_connection(head, head.length >= 8)?,
            _ => self.window_update(head, payload)?,
        };
        Ok(if passes { Step::Pass(whole) } else { Step::Replace(whole) })
    }

    /// What goes on in the place of bytes that do not.
    pub(super) fn take_instead(&mut self) -> Vec<u8> {
        take(&mut self.instead)
    }

    /// What is to be sent to the peer between frames of `h2`.
    pub(super) const fn replies(&mut self) -> &mut Vec<u8> {
        &mut self.replies
    }

    /// Notes what is sent.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        let mut sent = take(&mut self.sent);
        sent.read(bytes, |kind, flags, stream| match kind {
            DATA | HEADERS if flags & END_STREAM != 0 && self.peer == Peer::Client => {
                self.streams.end(stream, |ends| ends.ours = true);
            }
            RST_STREAM => self.streams.close(stream, Closed::Reset),
            _ => {}
        });
        self.sent = sent;
    }

    /// How many streams before `stream`, or of all, `h2` has kept to itself.
    pub(super) fn count_refused(&mut self, stream: Option<u32>) -> usize {
        let mut count = 0;
        while let Some(first) = self.opened.front().copied()
            && stream.is_none_or(|stream| first <= stream)
        {
            self.opened.pop_front();
            count += usize::from(stream != Some(first));
        }
        count
    }

    /// The names of the fields of `stream` that must not be indexed, in whatever came of it lately:
    /// one that need not be kept secret may be all the same.
    pub(super) fn sensitive(&self, stream: u32) -> impl Iterator<Item = &[u8]> {
        self.notes.iter().filter(move |note| note.0 == stream).map(|note| &*note.1)
    }

    /// What holds for every frame, wherever it belongs.
    fn check_place(&mut self, head: Head) -> Result<(), Reason> {
        if head.length > MAX_PAYLOAD {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        let is_out_of_place = match &self.block {
            Some(block) => head.kind != CONTINUATION || head.stream != block.stream,
            None => head.kind == CONTINUATION,
        };
        let is_settings = head.kind == SETTINGS && head.flags & ACK == 0;
        if is_out_of_place || take(&mut self.is_first) && !is_settings {
            return Err(Reason::PROTOCOL_ERROR);
        }
        Ok(())
    }

    fn data(&mut self, head: Head, padding: Option<u8>) -> Result<(), Reason> {
        if self.streams.is_idle(head.stream) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        match padding {
            Some(padding) if usize::from(padding) >= head.length => {
                return Err(Reason::PROTOCOL_ERROR);
            }
            None if head.flags & PADDED != 0 => return Err(Reason::FRAME_SIZE_ERROR),
            _ => {}
        }
        let ends = self.streams.ends(head.stream);
        let is_theirs = ends.is_some_and(|ends| !ends.theirs)
            || ends.is_none() && self.streams.how_closed(head.stream) == Some(Closed::Reset)
            || head.stream > self.sent.last();
        if is_theirs {
            if head.flags & END_STREAM != 0 {
                self.streams.end(head.stream, |ends| ends.theirs = true);
            }
            return Ok(());
        }
        self.dropping = take(&mut self.passing);
        self.reset(head.stream, Reason::STREAM_CLOSED);
        // Nobody else will give the window back for what nobody else sees.
        if let Ok(size @ 1..) = u32::try_from(head.length) {
            push_frame(&mut self.replies, WINDOW_UPDATE, 0, 0, &size.to_be_bytes());
        }
        Ok(())
    }

    fn headers(&mut self, head: Head, payload: &[u8]) -> Result<bool, Reason> {
        if head.stream == 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let (fragment, depends_on) = take_apart(head, payload)?;
        if head.flags & END_HEADERS == 0 {
            let (stream, flags, bytes) = (head.stream, head.flags, fragment.to_vec());
            self.block = Some(Gathered { stream, flags, bytes, continuations: 0 });
            return Ok(false);
        }
        // Dependencies are of the past (RFC 9113, section 5.3.1); `h2` still takes offence at them.
        let must_rewrite = depends_on == Some(head.stream);
        self.message(head.stream, head.flags, fragment, must_rewrite)
    }

    fn continuation(&mut self, head: Head, payload: &[u8]) -> Result<bool, Reason> {
        let Some(mut block) = self.block.take() else { return Err(Reason::PROTOCOL_ERROR) };
        block.bytes.extend_from_slice(payload);
        block.continuations += 1;
        let is_too_much = block.bytes.len() > self.bounds.block
            || block.continuations > self.bounds.continuations;
        if is_too_much {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        if head.flags & END_HEADERS == 0 {
            self.block = Some(block);
            return Ok(false);
        }
        self.message(block.stream, block.flags, &block.bytes, true)
    }

    /// Decides over a whole block; whether it passes as it is.
    fn message(
        &mut self,
        stream: u32,
        flags: u8,
        bytes: &[u8],
        must_rewrite: bool,
    ) -> Result<bool, Reason> {
        let role = match self.peer {
            Peer::Client => self.role(stream)?,
            Peer::Server if self.streams.ends(stream).is_some() => Role::Trailers,
            Peer::Server => Role::Message,
        };
        let (peer, is_last) = (self.peer, flags & END_STREAM != 0);
        let block = self.fields.read(bytes, |block| match role {
            Role::Message => peer == Peer::Server && !is_answer(block, is_last),
            Role::Trailers => block.has_pseudo,
            Role::Late => true,
        });
        let block = block.map_err(|_broken| Reason::COMPRESSION_ERROR)?;
        self.note(stream, block.sensitive);
        match self.peer {
            Peer::Client => self.open(stream, flags, role)?,
            Peer::Server if is_last => self.streams.close(stream, Closed::Otherwise),
            Peer::Server if block.status.is_some_and(|status| status >= 200) => {
                self.streams.open(stream);
            }
            Peer::Server => {}
        }
        match &block.rewritten {
            None if !must_rewrite => return Ok(true),
            None => push_block(&mut self.instead, stream, flags & END_STREAM, bytes),
            Some(rewritten) => push_block(&mut self.instead, stream, flags & END_STREAM, rewritten),
        }
        Ok(false)
    }

    /// What a client's block of fields is to the stream it names.
    fn role(&self, stream: u32) -> Result<Role, Reason> {
        if self.streams.is_new(stream) {
            return Ok(Role::Message);
        }
        match (self.streams.ends(stream), self.streams.how_closed(stream)) {
            (Some(Ends { theirs: false, .. }), _) => Ok(Role::Trailers),
            (Some(_), _) | (None, Some(Closed::Reset)) => Ok(Role::Late),
            (None, Some(Closed::Otherwise)) => Err(Reason::STREAM_CLOSED),
            (None, None) => Err(Reason::PROTOCOL_ERROR),
        }
    }

    /// Notes that a client has sent a head or trailers.
    fn open(&mut self, stream: u32, flags: u8, role: Role) -> Result<(), Reason> {
        if role == Role::Late && self.streams.ends(stream).is_some() {
            self.reset(stream, Reason::STREAM_CLOSED);
        }
        if role == Role::Message {
            if stream > self.sent.last() {
                self.streams.skip(stream);
                return Ok(());
            }
            if self.streams.count() >= self.bounds.streams {
                return Err(Reason::ENHANCE_YOUR_CALM);
            }
            self.streams.open(stream);
            self.opened.push_back(stream);
        }
        if flags & END_STREAM != 0 {
            self.streams.end(stream, |ends| ends.theirs = true);
        }
        Ok(())
    }

    fn note(&mut self, stream: u32, sensitive: Vec<Rc<[u8]>>) {
        for name in sensitive {
            if self.notes.len() >= MAX_NOTES {
                self.notes.pop_front();
            }
            self.notes.push_back((stream, name));
        }
    }

    fn settings(&mut self, head: Head, payload: &[u8]) -> Result<bool, Reason> {
        check_settings(head, payload)?;
        if head.flags & ACK == 0 {
            let said = payload.as_chunks::<6>().0.iter().rfind(|s| s.starts_with(&[0, 8]));
            let known = self.extended_connect.unwrap_or_default();
            self.extended_connect = Some(said.map_or(known, |setting| setting.ends_with(&[1])));
        }
        Ok(true)
    }

    fn priority(&mut self, head: Head) -> Result<bool, Reason> {
        match head.length {
            _ if head.stream == 0 => Err(Reason::PROTOCOL_ERROR),
            // It says nothing any more (RFC 9113, section 5.3.2).
            5 => Ok(false),
            _ => self.refuse(head.stream, Reason::FRAME_SIZE_ERROR),
        }
    }

    fn rst_stream(&mut self, head: Head) -> Result<bool, Reason> {
        if head.stream == 0 || head.length == 4 && self.streams.is_idle(head.stream) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if head.length != 4 {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        self.streams.close(head.stream, Closed::Otherwise);
        Ok(true)
    }

    fn window_update(&mut self, head: Head, payload: &[u8]) -> Result<bool, Reason> {
        let Ok(increment) = <[u8; 4]>::try_from(payload) else {
            return Err(Reason::FRAME_SIZE_ERROR);
        };
        if head.stream != 0 && self.streams.is_idle(head.stream) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        match u32::from_be_bytes(increment) & !RESERVED {
            0 if head.stream == 0 => Err(Reason::PROTOCOL_ERROR),
            0 => self.refuse(head.stream, Reason::PROTOCOL_ERROR),
            _ => Ok(true),
        }
    }

    /// A frame that is wrong for one stream only, if there is one.
    fn refuse(&mut self, stream: u32, reason: Reason) -> Result<bool, Reason> {
        if self.streams.is_idle(stream) {
            return Err(reason);
        }
        if self.streams.ends(stream).is_some() {
            self.reset(stream, reason);
        }
        Ok(false)
    }

    /// Resets a stream, and tells `h2` that it was reset.
    fn reset(&mut self, stream: u32, reason: Reason) {
        let code = u32::from(reason).to_be_bytes();
        push_frame(&mut self.replies, RST_STREAM, 0, stream, &code);
        if self.streams.ends(stream).is_some() {
            push_frame(&mut self.instead, RST_STREAM, 0, stream, &code);
            self.streams.close(stream, Closed::Reset);
        }
    }
}

/// Whether these can be the fields of a response, as far as `h2` does not look at it: interim ones
/// are not the last, and protocols are not switched (RFC 9113, sections 8.1 and 8.6).
fn is_answer(block: &Block, is_last: bool) -> bool {
    let is_odd = block.status.is_some_and(|status| status == 101 || status < 200 && is_last);
    !block.has_request && !is_odd
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any, prop_oneof, proptest};

    const BOUNDS: Bounds = Bounds { block: 1 << 20, continuations: 8, streams: 8 };
    const FIRST: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    /// What passes of `input` when it comes in pieces of `size`, what is sent, and how it ends.
    fn run(peer: Peer, input: &[u8], size: usize) -> (Vec<u8>, Vec<u8>, Option<Reason>) {
        let (mut frames, mut held, mut passed) =
            (Frames::new(peer, BOUNDS), Vec::new(), Vec::new());
        for piece in input.chunks(size) {
            held.extend_from_slice(piece);
            loop {
                match frames.step(&held) {
                    Ok(Step::Wait) => break,
                    Ok(Step::Pass(count)) => passed.extend(held.drain(..count)),
                    Ok(Step::Replace(count)) => {
                        held.drain(..count);
                        passed.extend(frames.take_instead());
                    }
                    Err(reason) => return (passed, take(frames.replies()), Some(reason)),
                }
            }
        }
        (passed, take(frames.replies()), None)
    }

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        push_frame(&mut out, kind, flags, stream, payload);
        out
    }

    const REQUEST: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'a'];
    const BAD: &[u8] = &[0x82, 0x86, 0x84, 0x40, 1, b'A', 1, b'v'];

    fn frames() -> impl Strategy<Value = Vec<u8>> {
        let payload = prop_oneof![
            vec(any::<u8>(), 0..20),
            proptest::strategy::Just(REQUEST.to_vec()),
            proptest::strategy::Just(BAD.to_vec()),
        ];
        (0_u8..11, any::<u8>(), 0_u32..6, payload)
            .prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload))
    }

    #[test]
    fn a_well_formed_connection_passes_byte_for_byte() {
        let input = [
            FIRST.to_vec(),
            frame(HEADERS, END_HEADERS, 1, REQUEST),
            frame(DATA, 0, 1, b"data"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x40, 1, b't', 1, b'v']),
            frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 3, b"\x02\x82\x86\x84\0\0"),
            frame(WINDOW_UPDATE, 0, 3, &[0, 0, 1, 0]),
            frame(PING, 0, 0, &[7; 8]),
            frame(RST_STREAM, 0, 3, &[0, 0, 0, 8]),
            frame(0xfa, 0, 9, b"unknown"),
        ]
        .concat();
        assert_eq!(run(Peer::Client, &input, input.len()), (input.clone(), Vec::new(), None));
    }

    #[test]
    fn a_malformed_request_goes_on_as_one_that_is_reset_and_keeps_its_stream() {
        let input = [FIRST, &frame(HEADERS, END_HEADERS, 1, BAD)].concat();
        let (passed, replies, failure) = run(Peer::Client, &input, 5);
        assert!(passed.ends_with(b"connection\x01x"), "{passed:?}");
        assert_eq!((replies, failure), (Vec::new(), None));
    }

    #[test]
    fn data_nobody_waits_for_is_taken_away_and_its_window_given_back() {
        let input = [
            FIRST,
            &frame(HEADERS, END_HEADERS | END_STREAM, 1, REQUEST),
            &frame(DATA, 0, 1, b"late"),
        ]
        .concat();
        let (passed, replies, failure) = run(Peer::Client, &input, 1);
        let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, 5]);
        assert!(passed.ends_with(&reset));
        assert_eq!(replies, [reset, frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 4])].concat());
        assert_eq!(failure, None);
    }

    #[test]
    fn trailers_with_a_status_are_condemned_and_a_head_is_not() {
        let head = frame(HEADERS, END_HEADERS, 1, &[0x88]);
        let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x88]);
        let input = [head.clone(), trailers].concat();
        let (passed, ..) = run(Peer::Server, &input, input.len());
        assert!(passed.starts_with(&head) && passed.ends_with(b"connection\x01x"));
    }

    proptest! {
        #[test]
        fn what_becomes_of_frames_does_not_depend_on_how_they_are_cut(
            frames in vec(frames(), 0..12), size in 1_usize..40, is_client in any::<bool>(),
        ) {
            let peer = if is_client { Peer::Client } else { Peer::Server };
            let start = if is_client { FIRST } else { b"" };
            let input = [start, &frames.concat()].concat();
            let (passed, replies, failure) = run(peer, &input, input.len().max(1));
            let (other, other_replies, other_failure) = run(peer, &input, size);
            assert_eq!((replies, failure), (other_replies, other_failure));
            // A frame that goes on as it comes may be under way when the connection fails.
            let common = passed.len().min(other.len());
            assert_eq!(passed.get(..common), other.get(..common));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200), size in 1_usize..40) {
            run(Peer::Client, &[FIRST, &bytes].concat(), size);
            run(Peer::Server, &bytes, size);
        }
    }
}
