//! A request's target: taken apart without losing a byte of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::proxy::http1::target::{Form, Target};
use spandrel_fuzz::{led, request_head};

const METHODS: [&[u8]; 3] = [b"GET", b"OPTIONS", b"CONNECT"];

fuzz_target!(|input: &[u8]| {
    let Some((lead, written)) = led(input) else { return };
    if written.iter().any(u8::is_ascii_whitespace) {
        return; // the target would bring a version, or lines, of its own
    }
    let method = METHODS[lead % METHODS.len()];
    let bytes = [method, b" ", written, b" HTTP/1.1\r\nHost: h:1\r\n\r\n"].concat();
    let Some(head) = request_head(&bytes) else { return };
    let view = head.view(&bytes);
    let target = Target::of(&view);
    let origin = target.to_origin_form(view.method());
    assert!(origin.iter().all(|b| !matches!(b, b' ' | b'\r' | b'\n' | b'\t' | 0)));
    let rest = match target.form {
        Form::Authority => {
            assert_eq!((target.authority, origin.len()), (Some(view.target()), 0));
            return;
        }
        Form::Origin => {
            // Spans have a path even where a client wrote none.
            let has_no_path = view.target().starts_with(b"?");
            let written =
                if has_no_path { [b"/", view.target()].concat() } else { view.target().into() };
            assert_eq!((&*origin, target.authority), (&*written, Some(&b"h:1"[..])));
            return;
        }
        Form::Absolute | Form::AbsoluteOther => {
            let written = view.target();
            let at = written.windows(3).position(|w| w == b"://").expect("it has a scheme") + 3;
            &written[at..]
        }
    };
    let authority = target.authority.expect("an absolute target names one");
    assert!(rest.starts_with(authority));
    assert!(!authority.iter().any(|b| matches!(b, b'/' | b'?')));
    // What is asked of a proxy has one host to everybody.
    let is_odd = |b: &u8| matches!(b, b'#' | b'\\' | 0x80..);
    assert!(!target.is_askable() || !authority.iter().any(is_odd));
    let after = &rest[authority.len()..];
    match (after.first(), &*origin) {
        (None, b"*") => assert_eq!(view.method(), b"OPTIONS"),
        (None, origin) => assert_eq!(origin, b"/"),
        (Some(b'/'), origin) => assert_eq!(origin, after),
        (Some(_), origin) => assert_eq!(origin, [b"/", after].concat()),
    }
});
