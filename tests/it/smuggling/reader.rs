//! Readers of HTTP/1.1 that share no line with spandrel's: a strict one, and several that are as
//! lax as servers have been found to be. What arrives must be the same messages to all of them.

/// How a server reads what the standard leaves no room for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    pub(super) name: &'static str,
    /// A line may end with LF alone.
    ends_at_lf: bool,
    /// A line may end with CR alone.
    ends_at_cr: bool,
    /// A line that begins with white space belongs to the one before.
    joins_folds: bool,
    /// White space before the colon does not belong to the name.
    trims_names: bool,
    /// White space before the first line, and before every name, is nothing.
    trims_lines: bool,
    /// `Content-Length` counts, even beside `Transfer-Encoding`.
    prefers_length: bool,
    /// `chunked` counts wherever it stands in the value.
    finds_chunked: bool,
    /// Only the first of several lines counts.
    first_line_counts: bool,
    /// Numbers are read as `strtol` does: white space, sign, `0x`, and what follows is ignored.
    reads_prefixes: bool,
    /// What ends the data of a chunk is skipped unseen.
    skips_data_ends: bool,
    /// Trailers are header lines that came late; what they say of the length counts.
    merges_trailers: bool,
}

const STRICT: Reading = Reading { name: "strict", ..DEFAULT };
const DEFAULT: Reading = Reading {
    name: "",
    ends_at_lf: false,
    ends_at_cr: false,
    joins_folds: false,
    trims_names: false,
    trims_lines: false,
    prefers_length: false,
    finds_chunked: false,
    first_line_counts: false,
    reads_prefixes: false,
    skips_data_ends: false,
    merges_trailers: false,
};

/// Every reading, the strict one first.
pub(super) const READINGS: [Reading; 12] = [
    STRICT,
    Reading { name: "LF ends lines", ends_at_lf: true, ..DEFAULT },
    Reading { name: "CR ends lines", ends_at_cr: true, ends_at_lf: true, ..DEFAULT },
    Reading { name: "folds are joined", joins_folds: true, ..DEFAULT },
    Reading { name: "names are trimmed", trims_names: true, ..DEFAULT },
    Reading { name: "lines are trimmed", trims_names: true, trims_lines: true, ..DEFAULT },
    Reading { name: "the length counts", prefers_length: true, reads_prefixes: true, ..DEFAULT },
    Reading { name: "chunked counts anywhere", finds_chunked: true, ..DEFAULT },
    Reading { name: "the first line counts", first_line_counts: true, ..DEFAULT },
    Reading { name: "numbers are prefixes", reads_prefixes: true, ends_at_lf: true, ..DEFAULT },
    Reading { name: "data ends unseen", skips_data_ends: true, reads_prefixes: true, ..DEFAULT },
    Reading { name: "trailers are merged", merges_trailers: true, trims_names: true, ..DEFAULT },
];

/// A message as a reader has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The first line.
    pub(super) start: Vec<u8>,
    /// The content, without the framing.
    pub(super) body: Vec<u8>,
}

/// A name and a value.
type Field = (Vec<u8>, Vec<u8>);

/// What a reader makes of everything that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) messages: Vec<Message>,
    /// Whether something is left that is no whole message.
    pub(super) has_rest: bool,
}

/// Why there is no message at the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// More bytes may make one.
    Incomplete,
    /// Nothing can.
    Broken,
}

impl Reading {
    /// Reads everything.
    pub(super) fn read(self, mut bytes: &[u8]) -> Read {
        let mut messages = Vec::new();
        while let Ok((message, length)) = self.message(bytes) {
            messages.push(message);
            bytes = &bytes[length..];
        }
        Read { messages, has_rest: !bytes.is_empty() }
    }

    /// The message at the front, and its length.
    pub(super) fn message(self, bytes: &[u8]) -> Result<(Message, usize), Unread> {
        let mut at = 0;
        let start = self.line(bytes, &mut at)?.to_vec();
        self.check_start(&start)?;
        let fields = self.fields(bytes, &mut at)?;
        let values = |name: &str| -> Vec<&[u8]> {
            let named = fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
            let most = if self.first_line_counts { 1 } else { usize::MAX };
            named.map(|(_, value)| value.as_slice()).take(most).collect()
        };
        let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
        let is_chunked = self.is_chunked(&codings)?;
        let body = match (lengths.first(), is_chunked) {
            (Some(_), true) if self.name == STRICT.name => return Err(Unread::Broken),
            (Some(length), false) => self.counted(bytes, &mut at, length)?,
            (Some(length), true) if self.prefers_length => self.counted(bytes, &mut at, length)?,
            (_, true) => self.chunked(bytes, &mut at)?,
            (None, false) => Vec::new(),
        };
        if self.name == STRICT.name && (lengths.len() > 1 || values("host").len() > 1) {
            return Err(Unread::Broken);
        }
        Ok((Message { start, body }, at))
    }

    /// The line at `at`, without its end.
    fn line<'b>(self, bytes: &'b [u8], at: &mut usize) -> Result<&'b [u8], Unread> {
        let rest = &bytes[*at..];
        for (length, byte) in rest.iter().enumerate() {
            let is_pair = rest[length..].starts_with(b"\r\n");
            let end = match byte {
                b'\r' if is_pair => 2,
                b'\r' if rest.len() == length + 1 => return Err(Unread::Incomplete),
                b'\r' if self.ends_at_cr => 1,
                b'\n' if self.ends_at_lf => 1,
                b'\r' | b'\n' if self.name == STRICT.name => return Err(Unread::Broken),
                _ => continue,
            };
            *at += length + end;
            return Ok(&rest[..length]);
        }
        Err(Unread::Incomplete)
    }

    fn check_start(self, start: &[u8]) -> Result<(), Unread> {
        if start.is_empty() {
            return Err(Unread::Broken);
        }
        let words: Vec<&[u8]> = start.split(|b| *b == b' ').collect();
        let is_sound = matches!(words.as_slice(), [method, target, b"HTTP/1.0" | b"HTTP/1.1"]
            if method.iter().all(|b| is_token(*b)) && !target.is_empty()
                && target.iter().all(|b| *b > b' ' && *b != 0x7f));
        if is_sound || self.name != STRICT.name { Ok(()) } else { Err(Unread::Broken) }
    }

    /// Names and values up to the empty line.
    fn fields(self, bytes: &[u8], at: &mut usize) -> Result<Vec<Field>, Unread> {
        let mut fields: Vec<Field> = Vec::new();
        loop {
            let line = self.line(bytes, at)?;
            if line.is_empty() {
                return Ok(fields);
            }
            let is_fold = line.starts_with(b" ") || line.starts_with(b"\t");
            if is_fold
                && self.joins_folds
                && let Some((_, value)) = fields.last_mut()
            {
                value.extend_from_slice(b" ");
                value.extend_from_slice(line.trim_ascii());
                continue;
            }
            let line = if self.trims_lines { line.trim_ascii() } else { line };
            let colon = line.iter().position(|b| *b == b':');
            let (name, value) = match colon {
                Some(colon) => (&line[..colon], line[colon + 1..].trim_ascii()),
                None if self.name == STRICT.name => return Err(Unread::Broken),
                None => (line, &b""[..]),
            };
            let name = if self.trims_names { name.trim_ascii() } else { name };
            let is_sound = !name.is_empty() && name.iter().all(|b| is_token(*b));
            if self.name == STRICT.name && (!is_sound || value.iter().any(|b| is_control(*b))) {
                return Err(Unread::Broken);
            }
            fields.push((name.to_vec(), value.to_vec()));
        }
    }

    fn is_chunked(self, codings: &[&[u8]]) -> Result<bool, Unread> {
        let all = codings.join(&b","[..]).to_ascii_lowercase();
        if self.finds_chunked {
            return Ok(all.windows(7).any(|w| w == b"chunked"));
        }
        let last = all.split(|b| *b == b',').next_back().unwrap_or_default().trim_ascii();
        match last {
            b"chunked" => Ok(true),
            // The last coding of a request must be `chunked`; a lax reader sees none then.
            _ if !codings.is_empty() && self.name == STRICT.name => Err(Unread::Broken),
            _ => Ok(false),
        }
    }

    fn counted(self, bytes: &[u8], at: &mut usize, length: &[u8]) -> Result<Vec<u8>, Unread> {
        let length = self.number(length, 10).ok_or(Unread::Broken)?;
        take(bytes, at, length).map(<[u8]>::to_vec)
    }

    fn chunked(self, bytes: &[u8], at: &mut usize) -> Result<Vec<u8>, Unread> {
        let mut body = Vec::new();
        loop {
            let line = self.line(bytes, at)?;
            let size = line.split(|b| *b == b';').next().unwrap_or_default();
            let size = self.number(size.trim_ascii_end(), 16).ok_or(Unread::Broken)?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(take(bytes, at, size)?);
            if self.skips_data_ends {
                take(bytes, at, 2)?;
            } else if !self.line(bytes, at)?.is_empty() {
                return Err(Unread::Broken);
            }
        }
        for (name, value) in self.fields(bytes, at)? {
            let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
            if self.merges_trailers && is(b"content-length") {
                return self.number(&value, 10).map_or(Err(Unread::Broken), |length| {
                    Ok(body.get(..length).unwrap_or_default().to_vec())
                });
            }
            if self.merges_trailers && (is(b"transfer-encoding") || is(b"host")) {
                return Err(Unread::Broken);
            }
        }
        Ok(body)
    }

    fn number(self, text: &[u8], radix: u32) -> Option<usize> {
        let mut text = text;
        if self.reads_prefixes {
            text = text.trim_ascii();
            text = text.strip_prefix(b"+").unwrap_or(text);
            text = text.strip_prefix(b"0x").unwrap_or(text);
            let digits = text.iter().take_while(|b| char::from(**b).is_digit(radix)).count();
            text = &text[..digits];
        }
        let digits = std::str::from_utf8(text).ok()?;
        let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        is_number.then(|| usize::from_str_radix(digits, radix).ok())?
    }
}

fn take<'b>(bytes: &'b [u8], at: &mut usize, length: usize) -> Result<&'b [u8], Unread> {
    let end = at.checked_add(length).ok_or(Unread::Incomplete)?;
    let taken = bytes.get(*at..end).ok_or(Unread::Incomplete)?;
    *at = end;
    Ok(taken)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_control(byte: u8) -> bool {
    byte != b'\t' && (byte < b' ' || byte == 0x7f)
}

/// What reads as one message with one body to every reader, and what does not.
#[test]
fn the_readers_differ_where_servers_do() {
    let count = |bytes: &[u8]| {
        let mut reads: Vec<Read> = READINGS.iter().map(|reading| reading.read(bytes)).collect();
        reads.dedup();
        reads.len()
    };
    let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n";
    for one in [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        format!("{chunked}\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"),
    ] {
        assert_eq!(count(one.as_bytes()), 1, "{one}");
    }
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    for several in [
        format!("{chunked}Content-Length: 4\r\n\r\n2a\r\n"),
        format!("GET / HTTP/1.1\nHost: h\n\n{smuggled}"),
        format!("GET / HTTP/1.1\r\nHost: h\r\nX: y\r\n Content-Length: 35\r\n\r\n{smuggled}"),
        format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 35\r\n\r\n{smuggled}"),
        format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +35\r\n\r\n{smuggled}"),
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n".to_owned(),
        format!("{chunked}\r\n0x5\r\nhello\r\n0\r\n\r\n"),
        format!("{chunked}\r\n5\r\nhelloXX0\r\n\r\n"),
        format!("{chunked}\r\n5\r\nhello\r\n0\r\nContent-Length: 2\r\n\r\n"),
    ] {
        assert!(count(several.as_bytes()) > 1, "{several}");
    }
}
