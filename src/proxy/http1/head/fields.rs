//! The header lines that say how long a message is, and whether another may follow it.

use super::super::framing::Body;
use super::super::host;
use super::{Answers, HeadError, HeadLimits, Version, place};
use crate::trace::is_same_name;
use crate::trace::messages::Packing;
use crate::trace::semconv::rpc;

/// What the header lines say about the connection and the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    hosts: usize,
    /// Whether a host is none that every reader takes for the same.
    has_odd_host: bool,
    length: Option<u64>,
    /// How often the length is given.
    lengths: usize,
    /// Whether `chunked` is the last coding.
    is_chunked: bool,
    /// How often `chunked` is named.
    chunkings: usize,
    has_coding: bool,
    /// Whether a coding is unknown, or stands behind `chunked`.
    has_odd_coding: bool,
    close: bool,
    keep_alive: bool,
    packing: Option<Packing>,
    is_compressed: bool,
    is_websocket: bool,
    /// The `grpc-status`, where there is one.
    pub(super) grpc_status: Option<u32>,
}

impl Fields {
    /// Reads what the lines of the head `text` say.
    ///
    /// # Errors
    /// When the length of the message is in doubt.
    pub(super) fn read(text: &[u8], headers: &[httparse::Header<'_>]) -> Result<Self, HeadError> {
        let mut fields = Self::default();
        for header in headers {
            match header.name.len() {
                4 if is(header, "host") => {
                    fields.hosts += 1;
                    fields.has_odd_host |= !host::is_valid(header.value);
                }
                7 if is(header, "upgrade") => {
                    fields.is_websocket = header.value.eq_ignore_ascii_case(b"websocket");
                }
                10 if is(header, "connection") => {
                    fields.read_connection(header.value);
                }
                11 if is(header, "grpc-status") => {
                    fields.grpc_status = Some(rpc::parse_status(header.value));
                }
                12 if is(header, "content-type") => {
                    fields.packing = Packing::of(header.value);
                }
                14 if is(header, "content-length") => {
                    refuse_folded(text, header)?;
                    fields.read_length(header.value)?;
                }
                16 if is(header, "content-encoding") => {
                    fields.is_compressed = !header.value.eq_ignore_ascii_case(b"identity");
                }
                17 if is(header, "transfer-encoding") => {
                    refuse_folded(text, header)?;
                    // Some servers look at the first of several lines only.
                    fields.has_odd_coding |= fields.has_coding;
                    fields.read_coding(header.value);
                }
                _ => {}
            }
        }
        Ok(fields)
    }

    fn read_connection(&mut self, value: &[u8]) {
        for option in value.split(|b| *b == b',') {
            let option = option.trim_ascii();
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// A number of digits only; a list of equal numbers is that number (RFC 9110, 8.6).
    fn read_length(&mut self, value: &[u8]) -> Result<(), HeadError> {
        for number in value.split(|b| *b == b',') {
            let number = number.trim_ascii();
            let parsed = number.iter().try_fold(0u64, |sum, digit| {
                let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
                sum.checked_mul(10)?.checked_add(digit)
            });
            let parsed = parsed.filter(|_| !number.is_empty()).ok_or(HeadError::Malformed)?;
            if self.length.is_some_and(|length| length != parsed) {
                return Err(HeadError::Malformed);
            }
            self.length = Some(parsed);
            self.lengths += 1;
        }
        Ok(())
    }

    /// The codings that HTTP registers, with `chunked` last if at all, are plain to every reader;
    /// another might not know, or might skip, what is none of them (RFC 9112, section 7).
    fn read_coding(&mut self, value: &[u8]) {
        const COMPRESSIONS: [&str; 5] = ["compress", "deflate", "gzip", "x-compress", "x-gzip"];
        for coding in value.split(|b| *b == b',') {
            let coding = coding.trim_ascii();
            let is = |name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
            let is_known = is("chunked") || COMPRESSIONS.into_iter().any(is);
            self.has_odd_coding |= self.is_chunked || !is_known;
            self.has_coding = true;
            self.is_chunked = is("chunked");
            self.chunkings += usize::from(self.is_chunked);
        }
    }

    /// `None` where the end of the request could be read in two ways.
    pub(super) fn request_body(
        &self,
        method: &str,
        version: Version,
        limits: &HeadLimits,
    ) -> Option<Body> {
        if version == Version::Http11 && self.hosts != 1 || self.hosts > 1 || self.has_odd_host {
            return None;
        }
        match (self.has_coding, self.length) {
            (false, None | Some(0)) => Some(Body::none()),
            // What follows it is the tunnel to some, and content to others.
            _ if method == "CONNECT" || self.has_odd_coding => None,
            (false, Some(length)) => Some(Body::length(length)),
            (true, None) if self.is_chunked && version == Version::Http11 => {
                Some(Body::chunked(limits.bytes).strictly())
            }
            _ => None,
        }
    }

    /// `None` where the end of the response could be read in two ways.
    pub(super) fn response_body(
        &self,
        status: u16,
        answers: Answers,
        limits: &HeadLimits,
    ) -> Option<Body> {
        let has_none = matches!(status, 100..=199 | 204 | 304) || answers == Answers::Head;
        if has_none || answers == Answers::Connect && (200..300).contains(&status) {
            return Some(Body::none());
        }
        match (self.has_coding, self.length) {
            (true, Some(_)) => None,
            (true, None) if self.chunkings > 1 => None,
            (true, None) if self.is_chunked => Some(Body::chunked(limits.bytes)),
            (false, Some(length)) => Some(Body::length(length)),
            _ => Some(Body::until_close()),
        }
    }

    /// How messages are packed into what follows a response of this status, where it holds several
    /// and we can look into it.
    pub(super) fn packing(&self, status: u16) -> Option<Packing> {
        match status {
            101 => self.is_websocket.then_some(Packing::WebSocket),
            _ => self.packing.filter(|_| !self.is_compressed),
        }
    }

    pub(super) fn is_persistent(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// Whether the length is given more than once.
    pub(super) const fn repeats_length(&self) -> bool {
        self.lengths > 1
    }

    /// Whether a message of HTTP/1.0 has a transfer coding, which was not known then: nothing may
    /// follow it on the connection (RFC 9112, section 6.1).
    pub(super) fn has_faulty_framing(&self, version: Version) -> bool {
        self.has_coding && version == Version::Http10
    }
}

fn is(header: &httparse::Header<'_>, name: &str) -> bool {
    is_same_name(header.name.as_bytes(), name.as_bytes())
}

/// Refuses a value that goes on in a second line, which not every reader takes for a part of it.
fn refuse_folded(text: &[u8], header: &httparse::Header<'_>) -> Result<(), HeadError> {
    let (name, value) = (place(text, header.name.as_bytes()), place(text, header.value));
    let after = text.get(value.end..).unwrap_or_default();
    let next = after.iter().position(|b| *b == b'\n').and_then(|end| after.get(end + 1));
    let is_folded = matches!(next, Some(b' ' | b'\t'))
        || text.get(name.end..value.end).is_some_and(|value| value.contains(&b'\n'));
    if is_folded { Err(HeadError::Malformed) } else { Ok(()) }
}
