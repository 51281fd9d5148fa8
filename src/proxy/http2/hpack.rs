//! What a block of header fields says (RFC 7541), read beside `h2` and before it.
//!
//! `h2` ends a whole connection over one field that it does not like, and calls every failure by
//! the same name. Here a malformed message is told from a broken compression: its block is
//! rewritten so that the table of `h2` stays in step and `h2` resets that stream alone. Which fields
//! must never be indexed is noted too, as `h2` forgets it. What the fields mean together, such as
//! which of them are missing, is left to `h2`.

use std::collections::VecDeque;
use std::rc::Rc;

use super::field::Class;
use super::huffman;

/// The size of the table that we leave to the peer, in bytes: what HTTP/2 begins with.
const TABLE_SIZE: usize = 4_096;
/// What an entry costs beyond its name and value (RFC 7541, section 4.1).
const ENTRY_COST: usize = 32;
/// The most fields of a block that are noted as never to be indexed.
const MAX_SENSITIVE: usize = 16;
/// A field that `h2` resets the stream for, at the end of a block that is malformed.
const CONDEMNED: &[u8] = b"\x00\x0aconnection\x01x";

/// The names of the static table (RFC 7541, appendix A), from index 1.
const STATIC: [&str; 61] = [
    ":authority",
    ":method",
    ":method",
    ":path",
    ":path",
    ":scheme",
    ":scheme",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "accept",
    "access-control-allow-origin",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
];

/// Where in that table the statuses begin, and which they are.
const FIRST_STATUS: usize = 7;
const STATUSES: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];

/// The state of a peer's compression, as far as it has to be known here.
#[derive(Debug, Default)]
pub(super) struct Fields {
    table: VecDeque<Entry>,
    size: usize,
    /// How much of [`TABLE_SIZE`] the peer does without.
    unused: usize,
    name: Vec<u8>,
    value: Vec<u8>,
    /// Whether a value may begin or end with white space.
    takes_blanks: bool,
}

/// A field of the table.
#[derive(Debug)]
struct Entry {
    name: Name,
    size: usize,
    known: Known,
}

/// What is to be known of a field besides its name.
#[derive(Clone, Copy, Debug)]
struct Known {
    class: Class,
    /// The value, where it is the status of a response.
    status: Option<u16>,
    is_valid: bool,
}

#[derive(Clone, Debug)]
enum Name {
    Static(&'static str),
    Literal(Rc<[u8]>),
}

/// What was found in a block.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// The block to go on in its place.
    pub(super) rewritten: Option<Vec<u8>>,
    /// The names of the fields that must never be indexed.
    pub(super) sensitive: Vec<Rc<[u8]>>,
    /// Whether there are pseudo-fields.
    pub(super) has_pseudo: bool,
    /// Whether there are pseudo-fields of a request.
    pub(super) has_request: bool,
    /// The status of a response.
    pub(super) status: Option<u16>,
}

/// The block cannot be read, and neither can any that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl Fields {
    /// The fields of a peer's messages. Values with white space around them are malformed
    /// (RFC 9113, section 8.2.1), but servers send them, as `grpc-message` say, and clients take
    /// them, so that nobody but us would mind; where `takes_blanks`, they pass.
    pub(super) fn new(takes_blanks: bool) -> Self {
        Self { takes_blanks, ..Self::default() }
    }

    /// Reads a whole block; one that is `condemned` is rewritten as if it were malformed.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        condemns: impl Fn(&Block) -> bool,
    ) -> Result<Block, Broken> {
        let mut block = Block::default();
        let mut rest = Rest { bytes, at: 0 };
        let mut rewrite = Rewrite { bytes, copied: 0, out: Vec::new() };
        let (mut is_valid, mut is_first) = (true, true);
        while let Some(first) = rest.peek() {
            let start = rest.at;
            match first {
                0b1000_0000.. => {
                    let (_, known) = find(&self.table, rest.integer(7)?)?;
                    block.see(known);
                    is_valid &= known.is_valid;
                }
                0b0010_0000..0b0100_0000 if is_first => {
                    self.resize(rest.integer(5)?)?;
                    continue;
                }
                0b0010_0000..0b0100_0000 => return Err(Broken),
                _ => {
                    let field = self.literal(&mut rest, first)?;
                    block.see(field.known);
                    if first & 0b1111_0000 == 0b0001_0000 && block.sensitive.len() < MAX_SENSITIVE {
                        block.sensitive.push(field.name.as_bytes().into());
                    }
                    if !field.known.is_valid {
                        is_valid = false;
                        rewrite.replace(start..rest.at, first, &field)?;
                    }
                    if first & 0b0100_0000 != 0 {
                        let entry = field.to_entry();
                        self.insert(entry);
                    }
                }
            }
            is_first = false;
        }
        if !is_valid || condemns(&block) {
            block.rewritten = Some(rewrite.finish());
        }
        Ok(block)
    }

    fn literal<'a, 'b: 'a>(
        &'a mut self,
        rest: &mut Rest<'b>,
        first: u8,
    ) -> Result<Literal<'a>, Broken> {
        let index = rest.integer(if first & 0b0100_0000 == 0 { 4 } else { 6 })?;
        let (name, class, is_name_valid) = if index == 0 {
            let name = rest.string()?.text(&mut self.name)?;
            let class = Class::of(name);
            (NameOf::New(name), class, class.is_called(name))
        } else {
            let (name, known) = find(&self.table, index)?;
            // The name alone may be valid where the value was not, but who can tell any more.
            (name, known.class, known.is_valid)
        };
        let value = look_at(class, rest.string()?, &mut self.value)?;
        let is_valid = is_name_valid && value.is_valid && (!value.is_blank || self.takes_blanks);
        let known = Known { class, status: value.status, is_valid };
        Ok(Literal { name, value: value.length, known })
    }

    fn resize(&mut self, size: usize) -> Result<(), Broken> {
        self.unused = TABLE_SIZE.checked_sub(size).ok_or(Broken)?;
        self.evict(size);
        Ok(())
    }

    fn insert(&mut self, entry: Entry) {
        let room = TABLE_SIZE - self.unused;
        self.evict(room.saturating_sub(entry.size));
        if entry.size <= room {
            self.size += entry.size;
            self.table.push_front(entry);
        }
    }

    fn evict(&mut self, until: usize) {
        while self.size > until
            && let Some(entry) = self.table.pop_back()
        {
            self.size -= entry.size;
        }
    }
}

/// The entry of an index: its name, and what else is known of it.
fn find(table: &VecDeque<Entry>, index: usize) -> Result<(NameOf<'_>, Known), Broken> {
    let at = index.checked_sub(1).ok_or(Broken)?;
    if let Some(name) = STATIC.get(at) {
        let status = STATUSES.get(at.wrapping_sub(FIRST_STATUS)).copied();
        let known = Known { class: Class::of_static(at), status, is_valid: true };
        return Ok((NameOf::Static(name), known));
    }
    let entry = table.get(at - STATIC.len()).ok_or(Broken)?;
    let name = match &entry.name {
        Name::Static(name) => NameOf::Static(name),
        Name::Literal(name) => NameOf::Known(name),
    };
    Ok((name, entry.known))
}

/// A field that is not, or not all, in the table.
struct Literal<'a> {
    name: NameOf<'a>,
    /// The length of its value.
    value: usize,
    known: Known,
}

/// The name of a field, and where it is.
enum NameOf<'a> {
    Static(&'static str),
    Known(&'a Rc<[u8]>),
    New(&'a [u8]),
}

impl Literal<'_> {
    fn to_entry(&self) -> Entry {
        let name = match self.name {
            NameOf::Static(name) => Name::Static(name),
            NameOf::Known(name) => Name::Literal(Rc::clone(name)),
            NameOf::New(name) => Name::Literal(name.into()),
        };
        let size = self.name.as_bytes().len() + self.value + ENTRY_COST;
        Entry { name, size, known: self.known }
    }
}

impl NameOf<'_> {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Static(name) => name.as_bytes(),
            Self::Known(name) => name,
            Self::New(name) => name,
        }
    }
}

impl Block {
    fn see(&mut self, known: Known) {
        self.has_pseudo |= known.class != Class::Ordinary;
        self.has_request |= !matches!(known.class, Class::Ordinary | Class::Status);
        self.status = known.status.or(self.status);
    }
}

/// A block in which what `h2` cannot read is replaced by something else of the same size.
struct Rewrite<'a> {
    bytes: &'a [u8],
    copied: usize,
    out: Vec<u8>,
}

impl Rewrite<'_> {
    fn replace(
        &mut self,
        range: std::ops::Range<usize>,
        first: u8,
        field: &Literal<'_>,
    ) -> Result<(), Broken> {
        let name = field.name.as_bytes().len();
        // A name cannot be empty; the table counts name and value together.
        let (name, value) = match name {
            0 => (1, field.value.checked_sub(1).ok_or(Broken)?),
            _ => (name, field.value),
        };
        self.out.extend_from_slice(self.bytes.get(self.copied..range.start).unwrap_or_default());
        self.out.push(first & 0b0100_0000);
        for length in [name, value] {
            push_integer(&mut self.out, length);
            self.out.resize(self.out.len() + length, b'x');
        }
        self.copied = range.end;
        Ok(())
    }

    fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(self.bytes.get(self.copied..).unwrap_or_default());
        self.out.extend_from_slice(CONDEMNED);
        self.out
    }
}

/// Writes the length of a string.
fn push_integer(out: &mut Vec<u8>, value: usize) {
    const FULL: usize = 127;
    let low = |value: usize| u8::try_from(value & FULL).unwrap_or_default();
    if value < FULL {
        return out.push(low(value));
    }
    out.push(low(FULL));
    let mut left = value - FULL;
    while left > FULL {
        out.push(low(left) | 0x80);
        left >>= 7;
    }
    out.push(low(left));
}

/// What of a block has not been read.
struct Rest<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Rest<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, Broken> {
        let byte = self.peek().ok_or(Broken)?;
        self.at += 1;
        Ok(byte)
    }

    /// An integer whose first `bits` bits share a byte with something else.
    fn integer(&mut self, bits: u8) -> Result<usize, Broken> {
        /// More than this many bits cannot be a length or an index.
        const MAX_SHIFT: u32 = 21;
        let full = (1_usize << bits) - 1;
        let mut value = usize::from(self.next()?) & full;
        if value < full {
            return Ok(value);
        }
        for shift in (0..=MAX_SHIFT).step_by(7) {
            let byte = self.next()?;
            value += usize::from(byte & 127) << shift;
            if byte & 128 == 0 {
                return Ok(value);
            }
        }
        Err(Broken)
    }

    fn string(&mut self) -> Result<Text<'a>, Broken> {
        let is_coded = self.peek().ok_or(Broken)? & 128 != 0;
        let length = self.integer(7)?;
        let bytes = self.bytes.get(self.at..self.at + length).ok_or(Broken)?;
        self.at += length;
        Ok(if is_coded { Text::Coded(bytes) } else { Text::Plain(bytes) })
    }
}

/// A name or a value as it is sent.
#[derive(Clone, Copy)]
enum Text<'a> {
    Plain(&'a [u8]),
    /// In the code of RFC 7541, appendix B.
    Coded(&'a [u8]),
}

impl<'a> Text<'a> {
    /// The text itself, which is put into `room` if it is coded.
    fn text<'b>(self, room: &'b mut Vec<u8>) -> Result<&'b [u8], Broken>
    where
        'a: 'b,
    {
        match self {
            Self::Plain(text) => Ok(text),
            Self::Coded(coded) => {
                huffman::decode(coded, room).ok_or(Broken)?;
                Ok(room)
            }
        }
    }
}

/// What was found of a value.
struct Seen {
    length: usize,
    is_valid: bool,
    /// Whether it begins or ends with white space.
    is_blank: bool,
    /// The status that it tells, if any.
    status: Option<u16>,
}

/// Looks at the value of a field of this class. Those of ordinary ones are not even put together.
fn look_at(class: Class, value: Text<'_>, room: &mut Vec<u8>) -> Result<Seen, Broken> {
    if let (Class::Ordinary, Text::Coded(coded)) = (class, value) {
        let look = huffman::look(coded).ok_or(Broken)?;
        let (length, is_blank) = (look.length, look.is_blank);
        return Ok(Seen { length, is_valid: !look.has_control, is_blank, status: None });
    }
    let text = value.text(room)?;
    let status = std::str::from_utf8(text).ok().filter(|_| class == Class::Status);
    let status = status.and_then(|text| text.parse().ok());
    let is_blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    let is_blank = is_blank(text.first()) || is_blank(text.last());
    Ok(Seen { length: text.len(), is_valid: class.takes(text), is_blank, status })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &mut Fields, bytes: &[u8]) -> Result<Block, Broken> {
        fields.read(bytes, |_| false)
    }

    fn literal(kind: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = vec![kind];
        for text in [name, value] {
            push_integer(&mut out, text.len());
            out.extend_from_slice(text);
        }
        out
    }

    #[test]
    fn what_is_in_order_stays_as_it_is() {
        let mut fields = Fields::default();
        let first = [&[0x82, 0x86, 0x84][..], &literal(0x40, b"a-name", b"a value")].concat();
        let block = read(&mut fields, &first).unwrap();
        assert!(block.rewritten.is_none() && block.has_pseudo && block.sensitive.is_empty());
        assert!(read(&mut fields, &[0xbe]).unwrap().rewritten.is_none());
        assert_eq!(read(&mut fields, &[0xbf]).err(), Some(Broken));
    }

    #[test]
    fn a_bad_field_is_replaced_by_one_of_the_same_size() {
        for (name, value) in [
            (&b"Upper"[..], &b"v"[..]),
            (b"a b", b"v"),
            (b"", b"v"),
            (b"n", b"a\0"),
            (b"n", b" v"),
            (b"n", b"v\t"),
            (b":other", b"v"),
            (b":path", b"/a#b"),
            (b":path", b""),
            (b":authority", b"user@host"),
            (b":status", b"20"),
            (b":scheme", b""),
            (b":method", b"A B"),
        ] {
            let mut fields = Fields::default();
            let bytes = literal(0x40, name, value);
            let rewritten = read(&mut fields, &bytes).unwrap().rewritten.unwrap();
            let mut other = Fields::default();
            let again = other.read(&rewritten, |_| false).unwrap();
            assert!(again.rewritten.is_none(), "{name:?}: {value:?}");
            assert_eq!(fields.size, other.size);
            // What refers to it later is as bad.
            assert!(read(&mut fields, &[0xbe]).unwrap().rewritten.is_some());
        }
    }

    #[test]
    fn white_space_around_a_value_passes_from_those_who_send_it() {
        for bytes in
            [literal(0, b"n", b" a"), literal(0, b"n", b"a\t"), vec![0, 1, b'n', 0x81, 0x53]]
        {
            let read = |takes_blanks| read(&mut Fields::new(takes_blanks), &bytes).unwrap();
            assert!(read(true).rewritten.is_none() && read(false).rewritten.is_some());
        }
    }

    #[test]
    fn what_is_merely_unusual_passes() {
        for (name, value) in [
            (&b"x!#$"[..], &b""[..]),
            (b"n", b"\xff\x80 \x7e"),
            (b":path", b"*"),
            (b":path", b"/?a[]={b}|c"),
            (b":method", b"m-search"),
        ] {
            let bytes = literal(0, name, value);
            assert!(read(&mut Fields::default(), &bytes).unwrap().rewritten.is_none(), "{name:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_breaks_the_compression() {
        for bytes in [
            &[0x80][..],
            &[0xbe],
            &[0xff],
            &[0x40],
            &[0x40, 1, b'a', 5, b'b'],
            &[0x82, 0x20],
            &[0x3f, 0xe2, 0x1f],
            &[0x40, 0x81, 0xff, 0],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(read(&mut Fields::default(), bytes).err(), Some(Broken), "{bytes:?}");
        }
        assert!(read(&mut Fields::default(), &[0x3f, 0xe1, 0x1f, 0x20, 0x82]).is_ok());
    }

    #[test]
    fn old_entries_make_room() {
        let mut fields = Fields::default();
        for _ in 0..100 {
            read(&mut fields, &literal(0x40, b"n", &[b'v'; 95])).unwrap();
        }
        assert_eq!((fields.size, fields.table.len()), (4_096, 32));
        read(&mut fields, &literal(0x40, b"n", &[b'v'; 5_000])).unwrap();
        assert_eq!((fields.size, fields.table.len()), (0, 0));
    }

    #[test]
    fn fields_that_must_not_be_indexed_are_noted() {
        let bytes = [literal(0x10, b"secret", b"v"), vec![0x1f, 8, 1, b'v']].concat();
        let block = read(&mut Fields::default(), &bytes).unwrap();
        assert_eq!(
            block.sensitive,
            [(*b"secret").into(), (*b"authorization").into()] as [Rc<[u8]>; 2]
        );
    }
}
