//! Server-sent events: blocks of lines, each ended by an empty line (HTML, section 9.2.6).

/// The field without which a block is no event.
const DATA: &[u8] = b"data";

/// The byte order mark that a stream may begin with.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The events of a stream.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// How many bytes of [`MARK`] have come; all of them, where it is known that it does not come.
    marked: usize,
    line: Line,
    /// Whether the block has data.
    has_data: bool,
    /// Whether the last byte was a carriage return, whose line feed may follow.
    is_after_return: bool,
    count: u64,
}

/// How far the current line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// In the field's name, of which so many bytes are those of [`DATA`].
    Name(usize),
    /// In whatever follows, or in a line of another name.
    Rest,
}

impl Default for Line {
    fn default() -> Self {
        Self::Name(0)
    }
}

impl Events {
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn read(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            if self.marked < MARK.len() && self.is_marked_by(*byte) {
                continue;
            }
            let is_after_return = std::mem::replace(&mut self.is_after_return, *byte == b'\r');
            match (byte, self.line) {
                (b'\n', _) if is_after_return => {}
                (b'\r' | b'\n', line) => self.end_line(line),
                (b':', Line::Name(seen)) => {
                    self.has_data |= seen == DATA.len();
                    self.line = Line::Rest;
                }
                (byte, Line::Name(seen)) => {
                    let is_next = DATA.get(seen) == Some(byte);
                    self.line = if is_next { Line::Name(seen + 1) } else { Line::Rest };
                }
                (_, Line::Rest) => {
                    let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                    rest = rest.get(end..).unwrap_or_default();
                }
            }
        }
    }

    /// Whether a byte of the start is one of the mark.
    fn is_marked_by(&mut self, byte: u8) -> bool {
        if MARK.get(self.marked) == Some(&byte) {
            self.marked += 1;
            return true;
        }
        if self.marked > 0 {
            self.line = Line::Rest; // no field's name begins with half a mark
        }
        self.marked = MARK.len();
        false
    }

    fn end_line(&mut self, line: Line) {
        match line {
            Line::Name(0) => self.count += u64::from(std::mem::take(&mut self.has_data)),
            Line::Name(seen) => self.has_data |= seen == DATA.len(),
            Line::Rest => {}
        }
        self.line = Line::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> u64 {
        let mut events = Events::default();
        events.read(text.as_bytes());
        events.count()
    }

    #[test]
    fn blocks_with_data_are_events_by_any_line_end() {
        for end in ["\n", "\r\n", "\r"] {
            let text = "data: a|data: b||event: x|data||id: 1|data:c||".replace('|', end);
            assert_eq!(count(&text), 3, "{end:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_belongs_to_no_line() {
        assert_eq!(count("\u{feff}data: a\n\ndata: b\n\n"), 2);
        assert_eq!(count("\u{feff}\u{feff}data: a\n\n"), 0);
        let mut half = Events::default();
        half.read(b"\xef\xbbdata: a\n\n");
        assert_eq!(half.count(), 0);
    }

    #[test]
    fn comments_other_fields_and_unfinished_blocks_are_none() {
        for text in
            [": ping\n\n", "event: x\n\n", "database: 1\n\n", "data: a\n", "\n\n\n", "dat\n\n"]
        {
            assert_eq!(count(text), 0, "{text:?}");
        }
    }
}
