//! A message's head: found, checked and classified in place.
//!
//! Requests are read strictly: what another server might read differently is refused, so that
//! nothing can be smuggled through us to the application (RFC 9112, sections 2.2, 3, 5 and 6).
//! Responses are read as leniently as clients read them, except where their length is in doubt.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::framing::Body;
use crate::trace::Headers;
use crate::trace::messages::Packing;
use crate::trace::semconv::rpc;

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

/// What the header lines say about the connection and the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fields {
    hosts: usize,
    length: Option<u64>,
    is_chunked: bool,
    has_coding: bool,
    /// Whether a coding is unknown, or stands behind `chunked`.
    has_odd_coding: bool,
    close: bool,
    keep_alive: bool,
    packing: Option<Packing>,
    is_compressed: bool,
    is_websocket: bool,
    grpc_status: Option<u32>,
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
    /// The body that follows.
    pub body: Body,
    /// Whether the connection may be used again after it.
    pub is_persistent: bool,
    /// How messages are packed into the body, where it holds several.
    pub packing: Option<Packing>,
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
        let text = bytes.get(..end).unwrap_or_default();
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
        let Ok(fields) = Fields::read(request.headers) else {
            return Err((HeadError::Malformed, lines));
        };
        let Some(body) = fields.request_body(version, limits) else {
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
            body,
            is_persistent: fields.is_persistent(version),
            packing: fields.packing(),
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
        self.head
            .lines
            .iter()
            .filter(move |line| {
                line.name.len() == name.len()
                    && self.text(&line.name).eq_ignore_ascii_case(name.as_bytes())
            })
            .map(|line| self.text(&line.value))
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
        let version = if response.version == Some(0) { Version::Http10 } else { Version::Http11 };
        let fields = Fields::read(response.headers)?;
        let body = fields.response_body(status, answers, limits).ok_or(HeadError::Malformed)?;
        let is_persistent = fields.is_persistent(version) && !body.ends_with_connection();
        let packing = match status {
            101 => fields.is_websocket.then_some(Packing::WebSocket),
            _ => fields.packing(),
        };
        let grpc_status = fields.grpc_status;
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
    /// Any other method.
    Other,
}

impl Answers {
    /// What a response to a request of this method answers.
    #[must_use]
    pub fn to_method(method: &[u8]) -> Self {
        match method {
            b"HEAD" => Self::Head,
            b"CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }
}

impl Fields {
    fn read(headers: &[httparse::Header<'_>]) -> Result<Self, HeadError> {
        let mut fields = Self::default();
        for header in headers {
            match header.name.len() {
                4 if header.name.eq_ignore_ascii_case("host") => fields.hosts += 1,
                7 if header.name.eq_ignore_ascii_case("upgrade") => {
                    fields.is_websocket = header.value.eq_ignore_ascii_case(b"websocket");
                }
                10 if header.name.eq_ignore_ascii_case("connection") => {
                    fields.read_connection(header.value);
                }
                11 if header.name.eq_ignore_ascii_case("grpc-status") => {
                    fields.grpc_status = Some(rpc::parse_status(header.value));
                }
                12 if header.name.eq_ignore_ascii_case("content-type") => {
                    fields.packing = Packing::of(header.value);
                }
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    fields.read_length(header.value)?;
                }
                16 if header.name.eq_ignore_ascii_case("content-encoding") => {
                    fields.is_compressed = !header.value.eq_ignore_ascii_case(b"identity");
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
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
        }
    }

    /// `None` where the end of the request could be read in two ways.
    fn request_body(&self, version: Version, limits: &HeadLimits) -> Option<Body> {
        if version == Version::Http11 && self.hosts != 1 || self.hosts > 1 || self.has_odd_coding {
            return None;
        }
        match (self.has_coding, self.length) {
            (false, None) => Some(Body::none()),
            (false, Some(length)) => Some(Body::length(length)),
            (true, None) if self.is_chunked && version == Version::Http11 => {
                Some(Body::chunked(limits.bytes))
            }
            _ => None,
        }
    }

    /// `None` where the end of the response could be read in two ways.
    fn response_body(&self, status: u16, answers: Answers, limits: &HeadLimits) -> Option<Body> {
        let has_none = matches!(status, 100..=199 | 204 | 304) || answers == Answers::Head;
        if has_none || answers == Answers::Connect && (200..300).contains(&status) {
            return Some(Body::none());
        }
        match (self.has_coding, self.length) {
            (true, Some(_)) => None,
            (true, None) if self.is_chunked => Some(Body::chunked(limits.bytes)),
            (false, Some(length)) => Some(Body::length(length)),
            _ => Some(Body::until_close()),
        }
    }

    /// How the body is packed, as far as we can look into it.
    fn packing(&self) -> Option<Packing> {
        self.packing.filter(|_| !self.is_compressed)
    }

    fn is_persistent(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
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

/// Where `part`, a part of `whole`, lies in it.
fn place(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

#[cfg(test)]
mod tests;
