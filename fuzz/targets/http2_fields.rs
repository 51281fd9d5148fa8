//! Blocks of fields: another decoder reads what ours does, what goes on in their place is as it
//! should be, and the tables of all three stay in step.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loona_hpack::Decoder;
use loona_hpack::decoder::DecoderError;
use spandrel::proxy::http2::fuzzing::{Compression, Found};
use spandrel_fuzz::fields::{is_valid, push_integer, representations};
use spandrel_fuzz::led;

type Field = (Vec<u8>, Vec<u8>);

/// What stands between two blocks: neither a name nor a block can hold it.
const BETWEEN: [u8; 3] = [0; 3];
const TABLE_SIZE: usize = 4_096;
const FIRST_DYNAMIC: usize = 62;
const MOST_SENSITIVE: usize = 16;

/// Our reader, another one of the same bytes, and one of what goes on.
struct Readers {
    ours: Compression,
    before: Decoder<'static>,
    after: Decoder<'static>,
    takes_blanks: bool,
    /// Whether the table has held a field that is not valid, whose name alone may have been.
    is_tainted: bool,
}

fuzz_target!(|input: &[u8]| {
    let Some((lead, mut rest)) = led(input) else { return };
    let takes_blanks = lead & 128 != 0;
    let mut readers = Readers {
        ours: Compression::new(takes_blanks),
        before: decoder(),
        after: decoder(),
        takes_blanks,
        is_tainted: false,
    };
    for at in 0..7 {
        let end = rest.windows(3).position(|part| part == BETWEEN).unwrap_or(rest.len());
        if readers.read(&rest[..end], lead & (1 << at) != 0).is_none() {
            return;
        }
        let Some(next) = rest.get(end + BETWEEN.len()..) else { break };
        rest = next;
    }
    readers.compare_tables();
});

fn decoder() -> Decoder<'static> {
    let mut decoder = Decoder::new();
    decoder.set_max_allowed_table_size(TABLE_SIZE);
    decoder
}

/// The fields of a block; changes of the table's size at its end are none of them.
fn fields(decoder: &mut Decoder<'_>, block: &[u8]) -> Result<Vec<Field>, DecoderError> {
    let mut fields = Vec::new();
    let add = |name: std::borrow::Cow<'_, [u8]>, value: std::borrow::Cow<'_, [u8]>| {
        fields.push((name.into_owned(), value.into_owned()));
    };
    match decoder.decode_with_cb(block, add) {
        Ok(()) | Err(DecoderError::SizeUpdateAtEnd) => Ok(fields),
        Err(error) => Err(error),
    }
}

impl Readers {
    /// Reads the next block; `None` when no other can be read.
    fn read(&mut self, block: &[u8], is_condemned: bool) -> Option<()> {
        let found = self.ours.read(block, is_condemned);
        let fields_before = fields(&mut self.before, block);
        let Some(found) = found else {
            // Ours is the stricter one: nothing comes of an empty field, and sizes change first.
            if let Ok(fields) = fields_before {
                let kinds = representations(block);
                let is_late =
                    kinds.iter().skip_while(|kind| is_resize(**kind)).any(|k| is_resize(*k));
                let is_empty = |(name, value): &Field| name.is_empty() && value.is_empty();
                assert!(is_late || fields.iter().any(is_empty), "only the other can read it");
            }
            return None;
        };
        let fields_before = fields_before.expect("the other can read it too");
        check_found(&found, block, &fields_before);
        let are_valid =
            fields_before.iter().all(|(name, value)| is_valid(name, value, self.takes_blanks));
        let is_kept = found.rewritten.is_none();
        assert!(!is_kept || are_valid && !is_condemned, "what is not valid goes on");
        assert!(is_kept || !are_valid || is_condemned || self.is_tainted, "a valid block does not");
        self.is_tainted |= !are_valid;
        let goes_on = found.rewritten.as_deref().unwrap_or(block);
        let mut fields_after = fields(&mut self.after, goes_on).expect("what goes on is readable");
        if !is_kept {
            let last = fields_after.pop().expect("the field that condemns it");
            assert_eq!(last, (b"connection".to_vec(), b"x".to_vec()));
        }
        assert_eq!(fields_before.len(), fields_after.len());
        fields_before.iter().zip(&fields_after).for_each(|(a, b)| self.check_pair(a, b));
        Some(())
    }

    /// Checks a field, and what goes on in its place.
    fn check_pair(&self, before: &Field, after: &Field) {
        let size = |field: &Field| field.0.len() + field.1.len();
        assert_eq!(size(before), size(after));
        assert!(is_valid(&after.0, &after.1, self.takes_blanks));
        let is_filler = || after.0.iter().chain(&after.1).all(|b| *b == b'x');
        let is_same = before == after;
        assert!(
            is_same
                || is_filler()
                    && (self.is_tainted || !is_valid(&before.0, &before.1, self.takes_blanks))
        );
    }

    /// Looks at every entry of the tables, then takes them away one by one.
    fn compare_tables(mut self) {
        let mut sizes = Vec::new();
        for at in 0.. {
            let Some(before) = self.entry(at) else { break };
            sizes.push(before.0.len() + before.1.len() + 32);
        }
        assert!(sizes.iter().sum::<usize>() <= TABLE_SIZE);
        while let Some(last) = sizes.last().copied() {
            let size: usize = sizes.iter().sum();
            self.resize(size);
            assert!(self.entry(sizes.len() - 1).is_some(), "there is room for it");
            assert!(size == last || self.entry(sizes.len() - 2).is_some());
            self.resize(size - 1);
            sizes.pop();
            assert!(self.entry(sizes.len()).is_none(), "it has gone");
        }
    }

    fn resize(&mut self, size: usize) {
        let mut block = Vec::new();
        push_integer(&mut block, 0b0010_0000, 5, size);
        self.read(&block, false).expect("the table may be so large");
    }

    /// The entry of the dynamic table; `None` in all of the readers when there is none.
    fn entry(&mut self, at: usize) -> Option<Field> {
        let mut block = Vec::new();
        push_integer(&mut block, 0b1000_0000, 7, FIRST_DYNAMIC + at);
        let found = fields(&mut self.before, &block).ok().and_then(|mut fields| fields.pop());
        let goes_on = fields(&mut self.after, &block).ok().and_then(|mut fields| fields.pop());
        let ours = self.ours.read(&block, false);
        assert_eq!((found.is_some(), found.is_some()), (ours.is_some(), goes_on.is_some()));
        let found = found?;
        self.check_pair(&found, &goes_on?);
        let is_kept = ours?.rewritten.is_none();
        assert!(!is_kept || is_valid(&found.0, &found.1, self.takes_blanks));
        // A field that must not be indexed tells what ours takes the name to be.
        let mut named = Vec::new();
        push_integer(&mut named, 0b0001_0000, 4, FIRST_DYNAMIC + at);
        named.extend(b"\x01x");
        let named = self.ours.read(&named, false).expect("the same name, and a value");
        assert_eq!(named.sensitive, [found.0.clone()]);
        Some(found)
    }
}

fn is_resize(first: u8) -> bool {
    first >> 5 == 1
}

/// Checks what was found besides the block that goes on.
fn check_found(found: &Found, block: &[u8], fields: &[Field]) {
    let kinds: Vec<u8> = representations(block).into_iter().filter(|k| !is_resize(*k)).collect();
    assert_eq!(kinds.len(), fields.len());
    let secret = kinds.iter().zip(fields).filter(|(kind, _)| **kind >> 4 == 1);
    let secret: Vec<_> = secret.map(|(_, field)| field.0.clone()).take(MOST_SENSITIVE).collect();
    assert_eq!(found.sensitive, secret);
    let is_pseudo = |name: &[u8]| name.starts_with(b":");
    assert_eq!(found.has_pseudo, fields.iter().any(|(name, _)| is_pseudo(name)));
    let is_request = |name: &[u8]| is_pseudo(name) && name != b":status";
    assert_eq!(found.has_request, fields.iter().any(|(name, _)| is_request(name)));
    if found.rewritten.is_none() {
        let statuses = fields.iter().filter(|(name, _)| name == b":status");
        let last =
            statuses.filter_map(|(_, value)| str::from_utf8(value).ok()?.parse().ok()).last();
        assert_eq!(found.status, last);
    }
}
