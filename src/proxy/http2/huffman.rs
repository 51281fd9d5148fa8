//! The code of HPACK's strings (RFC 7541, appendix B), read four bits at a time.

use std::sync::LazyLock;

use super::field::is_control;

/// How many bits each byte takes, and at last the end of a string. The code is canonical: these
/// lengths are all there is to know of it.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
/// The end of a string, which is never written in full.
const END: u16 = 256;
/// The longest padding, in bits: it is shorter than a byte, and all ones.
const MAX_PADDING: u8 = 7;

static READER: LazyLock<Reader> = LazyLock::new(Reader::build);

/// Puts what `coded` stands for into `out`; `None` when it stands for nothing.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let reader = &*READER;
    // Four bits are at most one byte. All are written, and those that are none written over: what
    // comes next cannot be foretold, and a processor that guesses wrong loses more.
    out.clear();
    out.resize(2 * coded.len() + 1, 0);
    let (mut node, mut count, mut is_wrong) = (0_u8, 0, 0);
    for byte in coded {
        for nibble in [byte >> 4, byte & 15] {
            let step = reader.steps.get(usize::from(node))?.get(usize::from(nibble))?;
            if let Some(place) = out.get_mut(count) {
                *place = step.byte;
            }
            count += usize::from(step.count);
            is_wrong |= step.is_wrong;
            node = step.to;
        }
    }
    out.truncate(count);
    let may_end = reader.may_end.get(usize::from(node)).copied().unwrap_or_default();
    (may_end && is_wrong == 0).then_some(())
}

/// What a text looks like without being put together.
pub(super) struct Look {
    /// Its length, in bytes.
    pub(super) length: usize,
    /// Whether it holds a character that no field can have in its value.
    pub(super) has_control: bool,
    /// Whether it begins or ends with white space.
    pub(super) is_blank: bool,
}

/// Looks at the text that `coded` stands for; `None` when it stands for nothing.
pub(super) fn look(coded: &[u8]) -> Option<Look> {
    let reader = &*READER;
    let (mut node, mut length, mut is_wrong) = (0_u8, 0, 0);
    let (mut all, mut last) = (0, 0);
    for byte in coded {
        for nibble in [byte >> 4, byte & 15] {
            let step = reader.steps.get(usize::from(node))?.get(usize::from(nibble))?;
            length += usize::from(step.count);
            all |= step.marks;
            last = if step.count == 0 { last } else { step.marks };
            is_wrong |= step.is_wrong;
            node = step.to;
        }
    }
    let may_end = reader.may_end.get(usize::from(node)).copied().unwrap_or_default();
    let is_blank_first = all & BLANK != 0 && begins_with_blank(coded);
    let (has_control, is_blank) = (all & CONTROL != 0, last & BLANK != 0 || is_blank_first);
    (may_end && is_wrong == 0).then_some(Look { length, has_control, is_blank })
}

/// Whether the first code is that of a space, which has 6 bits, or of a tab, which has 24.
fn begins_with_blank(coded: &[u8]) -> bool {
    let is_space = coded.first().is_some_and(|first| first >> 2 == 0b01_0100);
    is_space || coded.starts_with(&[0xff, 0xff, 0xea])
}

/// The mark of a byte that can stand in no value.
const CONTROL: u8 = 1;
/// The mark of a byte that can stand only within a value.
const BLANK: u8 = 2;

/// What four bits lead to from a node of the tree: another node, and on the way at most one byte
/// that came to its end, as none is shorter than 5 bits.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    to: u8,
    byte: u8,
    /// What is remarkable about that byte.
    marks: u8,
    /// How many bytes came to their end.
    count: u8,
    /// 1 if this was the end of the string within the string.
    is_wrong: u8,
}

struct Reader {
    steps: Box<[[Step; 16]; 256]>,
    /// The nodes where what was read since the last byte can be padding.
    may_end: Vec<bool>,
}

/// Where a bit leads to: another node, or the symbol that has come to its end.
#[derive(Clone, Copy)]
enum Branch {
    Node(u8),
    Symbol(u16),
}

impl Reader {
    fn build() -> Self {
        let tree = tree();
        let steps = vec![[Step::default(); 16]; 256].into_boxed_slice();
        let mut steps: Box<[_; 256]> = steps.try_into().expect("there are 256 of them");
        for (node, steps) in (0..=u8::MAX).zip(steps.iter_mut()) {
            for (nibble, step) in (0_u8..).zip(steps) {
                *step = walk(&tree, node, nibble);
            }
        }
        let mut may_end = vec![false; tree.len()];
        let mut node = 0;
        for _ in 0..=MAX_PADDING {
            if let Some(end) = may_end.get_mut(usize::from(node)) {
                *end = true;
            }
            match tree.get(usize::from(node)) {
                Some([_, Some(Branch::Node(next))]) => node = *next,
                _ => break,
            }
        }
        Self { steps, may_end }
    }
}

type Tree = Vec<[Option<Branch>; 2]>;

/// The tree of the code: symbols by length, and among those of one length by value.
fn tree() -> Tree {
    let mut tree: Tree = vec![[None; 2]];
    for (code, bits, symbol) in codes() {
        insert(&mut tree, code, bits, symbol);
    }
    tree
}

/// The code of each symbol, and how many bits it has.
fn codes() -> Vec<(u32, u8, u16)> {
    let mut order: Vec<(u8, u16)> = LENGTHS.iter().copied().zip(0..).collect();
    order.sort_unstable();
    let (mut next, mut bits) = (0_u32, 0_u8);
    let code_of = |(length, symbol)| {
        let code = next << (length - bits);
        (next, bits) = (code + 1, length);
        (code, length, symbol)
    };
    order.into_iter().map(code_of).collect()
}

fn insert(tree: &mut Tree, code: u32, bits: u8, symbol: u16) {
    let mut node = 0;
    for at in (0..bits).rev() {
        let bit = usize::from(code >> at & 1 == 1);
        let next = u8::try_from(tree.len()).unwrap_or_default();
        let Some(branch) = tree.get_mut(usize::from(node)).and_then(|n| n.get_mut(bit)) else {
            return;
        };
        match branch {
            _ if at == 0 => *branch = Some(Branch::Symbol(symbol)),
            Some(Branch::Node(known)) => node = *known,
            _ => {
                *branch = Some(Branch::Node(next));
                tree.push([None; 2]);
                node = next;
            }
        }
    }
}

fn walk(tree: &Tree, from: u8, nibble: u8) -> Step {
    let mut step = Step { to: from, ..Step::default() };
    for at in (0..4).rev() {
        let bit = usize::from(nibble >> at & 1 == 1);
        match tree.get(usize::from(step.to)).and_then(|node| node.get(bit)) {
            Some(Some(Branch::Node(next))) => step.to = *next,
            Some(Some(Branch::Symbol(symbol))) if *symbol != END => {
                step.byte = u8::try_from(*symbol).unwrap_or_default();
                step.marks = marks(step.byte);
                (step.to, step.count) = (0, 1);
            }
            _ => step.is_wrong = 1,
        }
    }
    step
}

const fn marks(byte: u8) -> u8 {
    match byte {
        b' ' | b'\t' => BLANK,
        _ if is_control(byte) => CONTROL,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn decoded(coded: &[u8]) -> Option<String> {
        let mut out = Vec::new();
        decode(coded, &mut out)?;
        String::from_utf8(out).ok()
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let www = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(decoded(&www).as_deref(), Some("www.example.com"));
        assert_eq!(decoded(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).as_deref(), Some("no-cache"));
        assert_eq!(decoded(&[]).as_deref(), Some(""));
    }

    #[test]
    fn padding_is_short_and_all_ones() {
        assert_eq!(decoded(&[0b0001_1111]).as_deref(), Some("a"));
        assert_eq!(decoded(&[0b0001_1110]), None);
        assert_eq!(decoded(&[0b0001_1111, 0xff]), None);
        assert_eq!(decoded(&[0xff]), None);
    }

    #[test]
    fn the_end_of_a_string_is_never_written_out() {
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn codes_of_any_length_are_read() {
        // `\r` has 30 bits, `<` has 15, `\0` has 13, `0` has 5.
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xf7]).as_deref(), Some("\r"));
        assert_eq!(decoded(&[0xff, 0xf8, 0x0f]).as_deref(), Some("<0"));
        assert_eq!(decoded(&[0xff, 0xc7]).as_deref(), Some("\0"));
    }

    /// Any text as it is coded: the codes of its bytes, and padding.
    fn coded(text: &[u8]) -> Vec<u8> {
        let codes = codes();
        let mut bits: Vec<bool> = Vec::new();
        for byte in text {
            let of_byte = codes.iter().find(|code| code.2 == u16::from(*byte));
            let (code, length, _) = *of_byte.unwrap();
            bits.extend((0..length).rev().map(|at| code >> at & 1 == 1));
        }
        bits.resize(bits.len().next_multiple_of(8), true);
        bits.chunks(8)
            .map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit)))
            .collect()
    }

    proptest! {
        #[test]
        fn what_is_coded_is_read_and_looked_at_alike(text in vec(any::<u8>(), 0..20)) {
            let (mut out, coded) = (Vec::new(), coded(&text));
            decode(&coded, &mut out).unwrap();
            prop_assert_eq!(&out, &text);
            let look = look(&coded).unwrap();
            let is_blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
            prop_assert_eq!(look.length, text.len());
            prop_assert_eq!(look.has_control, text.iter().any(|b| is_control(*b)));
            prop_assert_eq!(look.is_blank, is_blank(text.first()) || is_blank(text.last()));
        }

        #[test]
        fn both_ways_of_reading_agree_on_what_stands_for_nothing(coded in vec(any::<u8>(), 0..12)) {
            prop_assert_eq!(decode(&coded, &mut Vec::new()).is_some(), look(&coded).is_some());
        }
    }
}
