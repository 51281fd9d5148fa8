//! A message's head: found, checked and classified in place.
//!
//! Requests are read strictly: what another server might read differently is refused, so that
//! nothing can be smuggled through us to the application (RFC 9112, sections 2.2, 3, 5 and 6).
//! Responses are read as leniently as clients read them, except where their length is in doubt, or
//! whether more of them follow.

mod fields;
mod names;

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::ops::Range;

use self::fields::Fields;
use self::names::Names;
use super::framing::Body;
use crate::trace::Headers;
use crate::trace::is_same_name;
use crate::trace::messages::Packing;

/// Header lines that are parsed without asking for memory.
const USUAL_LINES: usize = 64;

/// The version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// Why a head cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// It is not HTTP/1.x, or can be read in two ways.
    Malformed,
    /// It has more bytes or lines than allowed.
    TooLarge,
}

/// The bounds of a head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes, start line included; trailers have the same bound.
    pub bytes: usize,
    /// Header lines.
    pub lines: usize,
}

/// Where a header line lies in the head's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The name.
    pub name: Range<usize>,
    /// The value, without the white space around it.
    pub value: Range<usize>,
}

/// The head of a request, as places in its bytes.
#[derive(Debug)]
pub struct RequestHead {
    /// Bytes before the start line: an empty line, which some clients send, or none.
    pub start: usize,
    /// The length with the empty line that ends it, counted from the first byte.
    pub end: usize,
    /// The method.
    pub method: Range<usize>,
    /// The target, as it was written.
    pub target: Range<usize>,
    /// The version.
    pub version: Version,
    /// The header lines.
    pub lines: Vec<Line>,
    /// Which names they may have.
    names: Names,
    /// The body that follows.
    pub body: Body,
    /// Whether the connection may be used again after it.
    pub is_persistent: bool,
    /// Whether `Content-Length` gives the one length several times, which only one line may do on
    /// the way on (RFC 9110, section 8.6).
    pub repeats_length: bool,
}

/// The head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The length with the empty line that ends it.
    pub end: usize,
    /// The status code.
    pub status: u16,
    /// The body that follows.
    pub body: Body,
    /// Whether the connection may be used again after it.
    pub is_persistent: bool,
    /// How messages are packed into what follows, where it holds several.
    pub packing: Option<Packing>,
    /// The `grpc-status`, where there is one.
    pub grpc_status: Option<u32>,
}

/// How far the search for a request's end has come, so that slow bytes are not read twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    /// Where the line begins whose end is not there yet.
    line: usize,
}

impl Scan {
    /// Looks for the empty line. `Ok(None)` when it has not come yet.
    fn find_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        let mut from = self.line;
        loop {
            let rest = bytes.get(from..).unwrap_or_default();
            let Some(at) = memchr::memchr2(b'\r', b'\n', rest) else { return Ok(None) };
            match rest.get(at..) {
                Some([b'\r', b'\n', ..]) => {}
                Some([b'\r']) => return Ok(None),
                _ => return Err(HeadError::Malformed), // a bare CR or LF
            }
            from += at + 2;
            // An empty line before the start line is skipped, an empty line after it is the end.
            if at == 0 && self.line > 0 && from > 4 {
                return Ok(Some(from));
            }
            self.line = from;
        }
    }
}

impl RequestHead {
    /// Reads a head from the front of `bytes`. `Ok(None)` when more bytes are needed.
    ///
    /// # Errors
    /// When it is malformed, ambiguous or larger than `limits`.
    pub fn parse(
        bytes: &[u8],
        scan: &mut Scan,
        limits: &HeadLimits,
        lines: Vec<Line>,
    ) -> Result<Option<Self>, HeadError> {
        let Some(end) = scan.find_end(bytes)? else {
            let is_full = bytes.len() >= limits.bytes;
            return if is_full { Err(HeadError::TooLarge) } else { Ok(None) };
        };
        if end > limits.bytes {
            return Err(HeadError::TooLarge);
        }
        let text = with_plain_target(bytes.get(..end).unwrap_or_default());
        let text = &*text;
        let mut usual = [const { MaybeUninit::uninit() }; USUAL_LINES];
        match Self::read(text, &mut usual, limits, lines) {
            Err((HeadError::TooLarge, lines)) if limits.lines > USUAL_LINES => {
                let mut more = vec![MaybeUninit::uninit(); limits.lines];
                Self::read(text, &mut more, limits, lines)
            }
            result => result,
        }
        .map(Some)
        .map_err(|(error, _)| error)
    }

    fn read<'b>(
        text: &'b [u8],
        room: &mut [MaybeUninit<httparse::Header<'b>>],
        limits: &HeadLimits,
        mut lines: Vec<Line>,
    ) -> Result<Self, (HeadError, Vec<Line>)> {
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(text, room) {
            Ok(httparse::Status::Complete(length)) if length == text.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err((HeadError::TooLarge, lines)),
            _ => return Err((HeadError::Malformed, lines)),
        }
        if request.headers.len() > limits.lines {
            return Err((HeadError::TooLarge, lines));
        }
        let (Some(method), Some(target), Some(version)) =
            (request.method, request.path, request.version)
        else {
            return Err((HeadError::Malformed, lines));
        };
        let version = if version == 0 { Version::Http10 } else { Version::Http11 };
        let Ok(fields) = Fields::read(text, request.headers) else {
            return Err((HeadError::Malformed, lines));
        };
        let Some(body) = fields.request_body(method, version, limits) else {
            return Err((HeadError::Malformed, lines));
        };
        lines.clear();
        lines.extend(request.headers.iter().map(|header| Line {
            name: place(text, header.name.as_bytes()),
            value: place(text, header.value),
        }));
        let method = place(text, method.as_bytes());
        Ok(Self {
            start: method.start,
            end: text.len(),
            method,
            target: place(text, target.as_bytes()),
            version,
            lines,
            names: request.headers.iter().map(|header| header.name.as_bytes()).collect(),
            body,
            is_persistent: fields.is_persistent(version),
            repeats_length: fields.repeats_length(),
        })
    }

    /// The head together with its bytes, as the headers that tracing reads.
    #[must_use]
    pub const fn view<'a>(&'a self, bytes: &'a [u8]) -> HeadView<'a> {
        HeadView { head: self, bytes }
    }
}

/// A request's head with the bytes it was read from.
#[derive(Clone, Copy, Debug)]
pub struct HeadView<'a> {
    head: &'a RequestHead,
    bytes: &'a [u8],
}

impl<'a> HeadView<'a> {
    /// The bytes at a place of the head.
    #[must_use]
    pub fn text(&self, place: &Range<usize>) -> &'a [u8] {
        self.bytes.get(place.clone()).unwrap_or_default()
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &'a [u8] {
        self.text(&self.head.method)
    }

    /// The target.
    #[must_use]
    pub fn target(&self) -> &'a [u8] {
        self.text(&self.head.target)
    }
}

impl Headers for HeadView<'_> {
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let may_have = self.head.names.may_have(name.as_bytes());
        let lines = if may_have { &*self.head.lines } else { &[] };
        lines
            .iter()
            .filter(move |line| {
                line.name.len() == name.len()
                    && is_same_name(self.text(&line.name), name.as_bytes())
            })
            .map(|line| self.text(&line.value))
    }

    fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.head.lines.iter().map(|line| (self.text(&line.name), self.text(&line.value)))
    }
}

impl ResponseHead {
    /// Reads a head from the front of `bytes`, the response to a request of the given kind.
    /// `Ok(None)` when more bytes are needed.
    ///
    /// # Errors
    /// When it is malformed, its length is in doubt, or it is larger than `limits`.
    pub fn parse(
        bytes: &[u8],
        answers: Answers,
        limits: &HeadLimits,
    ) -> Result<Option<Self>, HeadError> {
        let text = bytes.get(..limits.bytes).unwrap_or(bytes);
        let mut usual = [const { MaybeUninit::uninit() }; USUAL_LINES];
        let parsed = match Self::read(text, &mut usual, answers, limits) {
            Err(HeadError::TooLarge) if limits.lines > USUAL_LINES => {
                let mut more = vec![MaybeUninit::uninit(); limits.lines];
                Self::read(text, &mut more, answers, limits)
            }
            result => result,
        };
        match parsed {
            Ok(None) if text.len() >= limits.bytes => Err(HeadError::TooLarge),
            result => result,
        }
    }

    fn read<'b>(
        text: &'b [u8],
        room: &mut [MaybeUninit<httparse::Header<'b>>],
        answers: Answers,
        limits: &HeadLimits,
    ) -> Result<Option<Self>, HeadError> {
        let mut response = httparse::Response::new(&mut []);
        let end = match lenient().parse_response_with_uninit_headers(&mut response, text, room) {
            Ok(httparse::Status::Complete(end)) => end,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
            Err(_) => return Err(HeadError::Malformed),
        };
        if response.headers.len() > limits.lines {
            return Err(HeadError::TooLarge);
        }
        let status = response.code.ok_or(HeadError::Malformed)?;
        if status == 101 && answers != Answers::Upgrade {
            return Err(HeadError::Malformed); // nobody asked to leave HTTP
        }
        let version = if response.version == Some(0) { Version::Http10 } else { Version::Http11 };
        let fields = Fields::read(text, response.headers)?;
        let body = fields.response_body(status, answers, limits).ok_or(HeadError::Malformed)?;
        let is_persistent = fields.is_persistent(version)
            && !body.ends_with_connection()
            && !fields.has_faulty_framing(version);
        let (packing, grpc_status) = (fields.packing(status), fields.grpc_status);
        Ok(Some(Self { end, status, body, is_persistent, packing, grpc_status }))
    }

    /// Whether another head follows: 1xx, except 101, which ends HTTP on the connection.
    #[must_use]
    pub const fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }
}

/// What a response answers, as far as its body depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// `HEAD`: the response has no body, whatever it says.
    Head,
    /// `CONNECT`: a successful response turns the connection into a tunnel.
    Connect,
    /// A request that asks to go on in another protocol, which 101 says yes to.
    Upgrade,
    /// Any other request.
    Other,
}

impl Answers {
    /// What a response to this request answers.
    #[must_use]
    pub fn to_request(request: &HeadView<'_>) -> Self {
        match request.method() {
            b"HEAD" => Self::Head,
            b"CONNECT" => Self::Connect,
            _ if request.first("upgrade").is_some() => Self::Upgrade,
            _ => Self::Other,
        }
    }
}

fn lenient() -> httparse::ParserConfig {
    let mut config = httparse::ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_multiple_spaces_in_response_status_delimiters(true);
    config
}

/// The head with other letters in place of those bytes of its target that are no ASCII: they mean
/// nothing to us, but some clients send them, in whatever encoding they have.
fn with_plain_target(text: &[u8]) -> Cow<'_, [u8]> {
    let mut spaces = memchr::memchr_iter(b' ', text);
    let start = spaces.next().map_or(0, |at| at + 1);
    let target = start..spaces.next().unwrap_or(start);
    if text.get(target.clone()).unwrap_or_default().is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut plain = text.to_vec();
    for byte in plain.iter_mut().take(target.end).skip(target.start).filter(|b| !b.is_ascii()) {
        *byte = b'x';
    }
    Cow::Owned(plain)
}

/// Where `part`, a part of `whole`, lies in it.
fn place(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

#[cfg(test)]
mod tests;
