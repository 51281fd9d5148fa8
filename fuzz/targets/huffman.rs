//! The code of HPACK's strings: both of our readers and another one agree, and all of a text comes
//! back as it was.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use loona_hpack::huffman::HuffmanDecoder;
use spandrel::proxy::http2::fuzzing::{decode, look};

thread_local! {
    static OTHER: RefCell<HuffmanDecoder> = RefCell::new(HuffmanDecoder::new());
}

fuzz_target!(|bytes: &[u8]| {
    let decoded = decode(bytes);
    assert_eq!(decoded, OTHER.with_borrow_mut(|other| other.decode(bytes).ok()));
    assert_eq!(look(bytes), decoded.as_deref().map(looked_at));
    let mut coded = Vec::new();
    httlib_huffman::encode(bytes, &mut coded).expect("any byte has a code");
    assert_eq!(decode(&coded).as_deref(), Some(bytes));
    assert_eq!(look(&coded), Some(looked_at(bytes)));
});

/// The length of a text, whether it holds what no value can, and whether there is white space around
/// it.
fn looked_at(text: &[u8]) -> (usize, bool, bool) {
    let has_control = http::HeaderValue::from_bytes(text).is_err();
    let is_blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    (text.len(), has_control, is_blank(text.first()) || is_blank(text.last()))
}
