//! The messages within a body: counted as they pass, never held and never changed.
//!
//! A call, an event stream or a WebSocket puts many messages into one body. A `Messages` looks at
//! the bytes of one direction, in whatever pieces they come, and knows how many messages there
//! were and what the last of them said of the end. Where the bytes are not what they were said to
//! be it stops counting, which hurts nobody.

mod events;
mod grpc;
mod web_text;
mod websocket;

use self::events::Events;
use self::grpc::Frames;
use self::web_text::Text;
use self::websocket::Socket;

/// How messages are put into a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// gRPC: a flag and a length before each message (gRPC over HTTP/2, "Requests").
    Grpc,
    /// gRPC-Web: the same, and the trailers as a last message (gRPC-Web, "Protocol differences").
    GrpcWeb,
    /// gRPC-Web in base64, which may be padded anywhere.
    GrpcWebText,
    /// Server-sent events (HTML, section 9.2.6).
    EventStream,
    /// WebSocket (RFC 6455, section 5).
    WebSocket,
}

impl Packing {
    /// How a body of this `content-type` is packed; `None` where it is one message.
    #[must_use]
    pub fn of(content_type: &[u8]) -> Option<Self> {
        let end = content_type.iter().position(|b| matches!(b, b';' | b' ' | b'\t'));
        let media_type = content_type.get(..end.unwrap_or(content_type.len()))?;
        let is = |name: &[u8]| {
            let (name_part, suffix) = media_type.split_at_checked(name.len())?;
            let is_whole = matches!(suffix.first(), None | Some(b'+'));
            (is_whole && name_part.eq_ignore_ascii_case(name)).then_some(())
        };
        if media_type.eq_ignore_ascii_case(b"text/event-stream") {
            return Some(Self::EventStream);
        }
        is(b"application/grpc")
            .map(|()| Self::Grpc)
            .or_else(|| is(b"application/grpc-web").map(|()| Self::GrpcWeb))
            .or_else(|| is(b"application/grpc-web-text").map(|()| Self::GrpcWebText))
    }

    /// Whether the messages are those of a gRPC call, which then says how it ended.
    #[must_use]
    pub const fn is_rpc(self) -> bool {
        matches!(self, Self::Grpc | Self::GrpcWeb | Self::GrpcWebText)
    }
}

/// The messages that have passed in one direction.
#[derive(Debug)]
pub struct Messages(Reader);

#[derive(Debug)]
enum Reader {
    Grpc(Frames),
    GrpcWebText(Text),
    EventStream(Events),
    WebSocket(Socket),
}

impl Messages {
    /// None so far, of a body that is packed like this.
    #[must_use]
    pub fn packed(packing: Packing) -> Self {
        Self(match packing {
            Packing::Grpc => Reader::Grpc(Frames::default()),
            Packing::GrpcWeb => Reader::Grpc(Frames::of_web()),
            Packing::GrpcWebText => Reader::GrpcWebText(Text::default()),
            Packing::EventStream => Reader::EventStream(Events::default()),
            Packing::WebSocket => Reader::WebSocket(Socket::default()),
        })
    }

    /// Looks at the next bytes of the body.
    pub fn read(&mut self, content: &[u8]) {
        match &mut self.0 {
            Reader::Grpc(frames) => frames.read(content),
            Reader::GrpcWebText(text) => text.read(content),
            Reader::EventStream(events) => events.read(content),
            Reader::WebSocket(socket) => socket.read(content),
        }
    }

    /// How many messages have passed whole.
    #[must_use]
    pub const fn count(&self) -> u64 {
        match &self.0 {
            Reader::Grpc(frames) => frames.count(),
            Reader::GrpcWebText(text) => text.frames().count(),
            Reader::EventStream(events) => events.count(),
            Reader::WebSocket(socket) => socket.count(),
        }
    }

    /// The value of `grpc-status` in the trailers that a gRPC-Web body ends with.
    #[must_use]
    pub fn grpc_status(&self) -> Option<&[u8]> {
        match &self.0 {
            Reader::Grpc(frames) => frames.status(),
            Reader::GrpcWebText(text) => text.frames().status(),
            Reader::EventStream(_) | Reader::WebSocket(_) => None,
        }
    }

    /// How a WebSocket said good-bye, if it did.
    #[must_use]
    pub const fn close(&self) -> Option<Close> {
        match &self.0 {
            Reader::WebSocket(socket) => socket.close(),
            _ => None,
        }
    }
}

/// The end of a WebSocket by a Close frame (RFC 6455, section 5.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// The status code, if one was given (section 7.4).
    pub code: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Packing; 5] = [
        Packing::Grpc,
        Packing::GrpcWeb,
        Packing::GrpcWebText,
        Packing::EventStream,
        Packing::WebSocket,
    ];

    #[test]
    fn the_content_type_tells_the_packing() {
        for (content_type, packing) in [
            ("application/grpc", Some(Packing::Grpc)),
            ("application/grpc+proto", Some(Packing::Grpc)),
            ("Application/gRPC;charset=utf-8", Some(Packing::Grpc)),
            ("application/grpc-web", Some(Packing::GrpcWeb)),
            ("application/grpc-web+json", Some(Packing::GrpcWeb)),
            ("application/grpc-web-text+proto", Some(Packing::GrpcWebText)),
            ("application/grpc-web-text", Some(Packing::GrpcWebText)),
            ("text/event-stream; charset=utf-8", Some(Packing::EventStream)),
            ("application/grpcx", None),
            ("application/grpc-webx", None),
            ("text/event-streams", None),
            ("application/json", None),
            ("", None),
        ] {
            assert_eq!(Packing::of(content_type.as_bytes()), packing, "{content_type}");
        }
    }

    fn read(packing: Packing, bytes: &[u8], step: usize) -> (u64, Option<Vec<u8>>, Option<Close>) {
        let mut messages = Messages::packed(packing);
        for piece in bytes.chunks(step) {
            messages.read(piece);
        }
        let status = messages.grpc_status().map(<[u8]>::to_vec);
        (messages.count(), status, messages.close())
    }

    proptest! {
        #[test]
        fn no_bytes_whatsoever_make_it_panic_and_pieces_do_not_matter(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), step in 1usize..40,
        ) {
            for packing in ALL {
                prop_assert_eq!(read(packing, &bytes, step), read(packing, &bytes, 300));
            }
        }
    }
}
