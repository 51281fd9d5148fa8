//! A request's head: read alike however it comes, and as another reader reads it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::proxy::http1::head::{RequestHead, Scan, Version};
use spandrel::trace::Headers as _;
use spandrel_fuzz::{LIMITS, led};

fuzz_target!(|input: &[u8]| {
    let Some((step, bytes)) = led(input) else { return };
    let whole = RequestHead::parse(bytes, &mut Scan::default(), &LIMITS, Vec::new());
    let mut scan = Scan::default();
    let mut at_last = Ok(None);
    for end in (0..bytes.len()).step_by(step % 32 + 1).chain([bytes.len()]) {
        at_last = RequestHead::parse(&bytes[..end], &mut scan, &LIMITS, Vec::new());
        if !matches!(at_last, Ok(None)) {
            break;
        }
    }
    match (&whole, &at_last) {
        (Err(_), Err(_)) | (Ok(None), Ok(None)) => {}
        (Ok(Some(a)), Ok(Some(b))) => {
            assert_eq!((a.start, a.end, &a.lines, a.body), (b.start, b.end, &b.lines, b.body));
        }
        other => panic!("the pieces matter: {other:?}"),
    }
    if let Ok(Some(head)) = &whole {
        check(head, bytes);
    }
});

/// What holds for every head that may pass.
fn check(head: &RequestHead, bytes: &[u8]) {
    let text = &bytes[..head.end];
    assert!(text.ends_with(b"\r\n\r\n") && head.end <= LIMITS.bytes);
    assert_eq!(&text[..head.start], b"\r\n".repeat(head.start / 2));
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'\n' => assert_eq!(text[at - 1], b'\r', "a bare LF"),
            b'\r' => assert_eq!(text[at + 1], b'\n', "a bare CR"),
            _ => assert!(*byte == b'\t' || *byte >= b' ', "a control"),
        }
    }
    // The other reader knows targets of UTF-8 only.
    let mut plain = text.to_vec();
    plain[head.target.clone()].iter_mut().filter(|b| !b.is_ascii()).for_each(|b| *b = b'x');
    let mut room = [httparse::EMPTY_HEADER; 64];
    let mut other = httparse::Request::new(&mut room);
    assert_eq!(other.parse(&plain), Ok(httparse::Status::Complete(head.end)));
    let view = head.view(bytes);
    assert_eq!(other.method.map(str::as_bytes), Some(view.method()));
    assert_eq!(other.path.map(str::len), Some(view.target().len()));
    let named =
        |name: &str| other.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).count();
    assert!(named("host") <= 1 && (head.version == Version::Http10 || named("host") == 1));
    assert!(named("content-length") == 0 || named("transfer-encoding") == 0, "two lengths");
    assert_eq!(view.values("host").count(), named("host"));
    assert!(named("transfer-encoding") == 0 || head.version == Version::Http11);
}
