//! A head with our lines in it: what is not ours stays, and what comes out reads as one request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::proxy::http1::splice::{Edits, Origin};
use spandrel::trace::propagate::Injection;
use spandrel_fuzz::{led, lines, request_head};

const NEW: [u8; 55] = *b"00-11111111111111111111111111111111-2222222222222222-01";
const STATE: &[u8] = b"a=1,b=2";
const TENANT: (&str, &str) = ("x-tenant-id", "acme");
const OURS: [&str; 6] =
    ["traceparent", "tracestate", "x-tenant-id", "host", "proxy-connection", "proxy-authorization"];

fuzz_target!(|input: &[u8]| {
    let Some((lead, bytes)) = led(input) else { return };
    let Some(head) = request_head(bytes).filter(|head| head.lines.len() < 500) else { return };
    let is = |bit: usize| lead & (1 << bit) != 0;
    let trace = Injection { traceparent: is(0).then_some(NEW), discard_tracestate: is(1) };
    let origin = is(3).then_some(Origin { target: b"/new", authority: b"new.example" });
    let trace_state = is(4).then_some(STATE);
    let tenant = is(2).then_some(TENANT);
    let edits = Edits { trace, trace_state, tenant, origin, ..Edits::default() };
    let mut out = Vec::new();
    edits.write(&head, &head.view(bytes), &mut out);
    if edits.is_none() {
        let changes = lines(&head, bytes).iter().filter(|(n, _)| n == "content-length").count() > 1
            || lines(&head, bytes).iter().any(|(n, v)| n == "content-length" && v.contains(&b','));
        assert!(changes || out == bytes[head.start..head.end]);
    }
    let after = request_head(&[&out[..], b"X"].concat());
    let after = after.expect("it is a request still");
    assert_eq!((after.start, after.end, after.body), (0, out.len(), head.body));
    assert_eq!((after.version, after.is_persistent), (head.version, head.is_persistent));
    let (before, now) = (lines(&head, bytes), lines(&after, &out));
    let theirs = |lines: &[(String, &[u8])]| -> Vec<(String, Vec<u8>)> {
        let kept = lines
            .iter()
            .filter(|(name, _)| !OURS.contains(&name.as_str()) && name != "content-length");
        kept.map(|(name, value)| (name.clone(), value.to_vec())).collect()
    };
    assert_eq!(theirs(&before), theirs(&now));
    let values = |name: &str| -> Vec<&[u8]> {
        now.iter().filter(|(n, _)| n == name).map(|(_, v)| *v).collect()
    };
    if is(0) {
        assert_eq!(values("traceparent"), [&NEW[..]]);
    }
    if is(4) {
        assert_eq!(values("tracestate"), [STATE]);
    }
    assert!(!is(1) || is(4) || values("tracestate").is_empty());
    if is(2) {
        assert_eq!(values("x-tenant-id"), [b"acme"]);
    }
    if is(3) {
        assert_eq!(values("host"), [b"new.example"]);
        assert_eq!(&out[after.target.clone()], b"/new");
    }
});
