//! Writing a request's head on: the original bytes, with our lines in place of a few of them.

use std::ops::Range;

use super::head::{HeadView, Line, RequestHead};
use crate::trace::is_same_name;
use crate::trace::propagate::{Injection, TRACEPARENT, TRACESTATE, outside};

/// What must differ between the head that came and the head that goes on.
#[derive(Clone, Debug, Default)]
pub struct Edits<'a> {
    /// The trace context lines.
    pub trace: Injection,
    /// The `tracestate` that is not the message's own, in place of any that is.
    pub trace_state: Option<&'a [u8]>,
    /// The tenant header, name and value, where it must be written.
    pub tenant: Option<(&'a str, &'a str)>,
    /// The name of the tenant header, where the head must go on without it and without context.
    pub withheld: Option<&'a str>,
    /// What the target and `Host` become where a proxy was addressed by the whole URL.
    pub origin: Option<Origin<'a>>,
}

/// An absolute target taken apart (RFC 9112, section 3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The target in origin form.
    pub target: &'a [u8],
    /// The authority, which replaces `Host`.
    pub authority: &'a [u8],
}

/// Fields that are for the proxy a client was told to use, not for the origin.
const PROXY_FIELDS: [&str; 2] = ["proxy-connection", "proxy-authorization"];

impl Edits<'_> {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.trace == Injection::default()
            && self.trace_state.is_none()
            && self.tenant.is_none()
            && self.withheld.is_none()
            && self.origin.is_none()
    }

    /// Appends the edited head to `out`: every line that is not edited keeps its bytes and place,
    /// the first line of an edited header takes the new value, and what is new comes last.
    pub fn write(&self, head: &RequestHead, view: &HeadView<'_>, out: &mut Vec<u8>) {
        let mut copied = head.start;
        let mut copy_until = |out: &mut Vec<u8>, at: usize, resume: usize| {
            out.extend_from_slice(view.text(&(copied..at)));
            copied = resume;
        };
        if let Some(origin) = self.origin {
            copy_until(out, head.target.start, head.target.end);
            out.extend_from_slice(origin.target);
        }
        let mut pending = Pending::new(self);
        for (i, line) in head.lines.iter().enumerate() {
            let edit = match self.edit(view.text(&line.name), &mut pending) {
                Edit::Keep if head.repeats_length => pending.length(view, line),
                edit => edit,
            };
            match edit {
                Edit::Keep => {}
                Edit::Value(value) => {
                    copy_until(out, line.value.start, line.value.end);
                    out.extend_from_slice(value);
                }
                Edit::Remove => {
                    let Range { start, end } = line_bytes(head, i);
                    copy_until(out, start, end);
                }
            }
        }
        copy_until(out, head.end - 2, head.end);
        pending.write(out);
        out.extend_from_slice(b"\r\n");
    }

    fn edit<'s>(&'s self, name: &[u8], pending: &mut Pending<'s>) -> Edit<'s> {
        let is = |other: &str| is_same_name(name, other.as_bytes());
        if self.withheld.is_some_and(|tenant| outside::is_context(name) || is(tenant)) {
            return Edit::Remove;
        }
        match name.len() {
            11 if self.trace.traceparent.is_some() && is(TRACEPARENT) => {
                pending.traceparent.take().map_or(Edit::Remove, Edit::Value)
            }
            10 if (self.trace.discard_tracestate || self.trace_state.is_some())
                && is(TRACESTATE) =>
            {
                pending.trace_state.take().map_or(Edit::Remove, Edit::Value)
            }
            4 if is("host") => pending.host.take().map_or(Edit::Keep, Edit::Value),
            16 | 19 if self.origin.is_some() && PROXY_FIELDS.into_iter().any(is) => Edit::Remove,
            _ if self.tenant.is_some_and(|(tenant, _)| is(tenant)) => {
                pending.tenant.take().map_or(Edit::Remove, |(_, value)| Edit::Value(value))
            }
            _ => Edit::Keep,
        }
    }
}

/// What becomes of one line.
enum Edit<'a> {
    Keep,
    Value(&'a [u8]),
    Remove,
}

/// The lines that have not found their place yet.
struct Pending<'a> {
    /// The authority of an absolute target, which a proxy must name even where the client did not
    /// (RFC 9112, section 3.2.2).
    host: Option<&'a [u8]>,
    has_length: bool,
    traceparent: Option<&'a [u8]>,
    trace_state: Option<&'a [u8]>,
    tenant: Option<(&'a str, &'a [u8])>,
}

impl<'a> Pending<'a> {
    fn new(edits: &'a Edits<'_>) -> Self {
        Self {
            host: edits.origin.map(|origin| origin.authority),
            has_length: false,
            traceparent: edits.trace.traceparent.as_ref().map(<[u8; 55]>::as_slice),
            trace_state: edits.trace_state,
            tenant: edits.tenant.map(|(name, value)| (name, value.as_bytes())),
        }
    }

    /// A length that is given several times goes on once (RFC 9110, section 8.6).
    fn length(&mut self, view: &HeadView<'a>, line: &Line) -> Edit<'a> {
        if !is_same_name(view.text(&line.name), b"content-length") {
            return Edit::Keep;
        }
        if std::mem::replace(&mut self.has_length, true) {
            return Edit::Remove;
        }
        let numbers = view.text(&line.value);
        Edit::Value(numbers.split(|b| *b == b',').next().unwrap_or_default().trim_ascii())
    }

    fn write(self, out: &mut Vec<u8>) {
        let lines = [
            self.host.map(|value| ("Host", value)),
            self.traceparent.map(|value| (TRACEPARENT, value)),
            self.trace_state.map(|value| (TRACESTATE, value)),
            self.tenant,
        ];
        for (name, value) in lines.into_iter().flatten() {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// A line from its name to the start of the next.
fn line_bytes(head: &RequestHead, index: usize) -> Range<usize> {
    let start = head.lines.get(index).map_or(head.end - 2, |line| line.name.start);
    let end = head.lines.get(index + 1).map_or(head.end - 2, |next| next.name.start);
    start..end
}

#[cfg(test)]
mod tests {
    use super::super::head::{HeadLimits, Scan};
    use super::*;

    const NEW: [u8; 55] = *b"00-11111111111111111111111111111111-2222222222222222-01";

    fn spliced(text: &str, edits: &Edits<'_>) -> String {
        let limits = HeadLimits { bytes: 10_000, lines: 100 };
        let bytes = text.as_bytes();
        let head = RequestHead::parse(bytes, &mut Scan::default(), &limits, Vec::new());
        let head = head.unwrap().unwrap();
        let mut out = Vec::new();
        edits.write(&head, &head.view(bytes), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn tracing() -> Edits<'static> {
        let trace = Injection { traceparent: Some(NEW), discard_tracestate: false };
        Edits { trace, ..Edits::default() }
    }

    #[test]
    fn without_edits_every_byte_stays() {
        let text = "GET / HTTP/1.1\r\nHOST:h \r\nx-A:\t1\r\nX-a: 2  \r\nE:\r\n\r\n";
        assert_eq!(spliced(text, &Edits::default()), text);
        assert!(Edits::default().is_none() && !tracing().is_none());
    }

    #[test]
    fn a_new_context_is_added_before_the_empty_line() {
        let text = "GET / HTTP/1.1\r\nHOST:h \r\nX-a: 2  \r\n\r\n";
        let expected = format!(
            "GET / HTTP/1.1\r\nHOST:h \r\nX-a: 2  \r\ntraceparent: {}\r\n\r\n",
            std::str::from_utf8(&NEW).unwrap()
        );
        assert_eq!(spliced(text, &tracing()), expected);
        assert!(
            spliced("GET / HTTP/1.0\r\n\r\n", &tracing()).starts_with("GET / HTTP/1.0\r\ntrace")
        );
    }

    #[test]
    fn an_old_context_is_replaced_in_place_and_its_repeats_are_removed() {
        let text = "GET / HTTP/1.1\r\nTraceParent:  old \r\nHost: h\r\ntraceparent: older\r\n\r\n";
        let expected = format!(
            "GET / HTTP/1.1\r\nTraceParent:  {} \r\nHost: h\r\n\r\n",
            std::str::from_utf8(&NEW).unwrap()
        );
        assert_eq!(spliced(text, &tracing()), expected);
    }

    #[test]
    fn a_discarded_tracestate_leaves_with_all_its_lines() {
        let text = "GET / HTTP/1.1\r\ntracestate: a=1\r\nHost: h\r\nTracestate: b\r\n\r\n";
        let trace = Injection { traceparent: None, discard_tracestate: true };
        let edits = Edits { trace, ..Edits::default() };
        assert_eq!(spliced(text, &edits), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    }

    #[test]
    fn the_tracestate_of_another_message_takes_the_place_of_its_own() {
        let trace = Injection { traceparent: Some(NEW), discard_tracestate: false };
        let edits = Edits { trace, trace_state: Some(b"k=v,l=w"), ..Edits::default() };
        let none = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        assert!(spliced(none, &edits).ends_with("-01\r\ntracestate: k=v,l=w\r\n\r\n"));
        let own = "GET / HTTP/1.1\r\nTraceState: a\r\nHost: h\r\ntracestate: b\r\n\r\n";
        let start = "GET / HTTP/1.1\r\nTraceState: k=v,l=w\r\nHost: h\r\ntraceparent: ";
        let written = spliced(own, &edits);
        assert!(written.starts_with(start) && written.ends_with("-01\r\n\r\n"), "{written}");
    }

    #[test]
    fn a_tenant_is_written_once() {
        let edits = Edits { tenant: Some(("x-tenant-id", "acme")), ..Edits::default() };
        let none = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        assert!(spliced(none, &edits).ends_with("\r\nx-tenant-id: acme\r\n\r\n"));
        let bad = "GET / HTTP/1.1\r\nX-Tenant-ID: a b\r\nHost: h\r\nX-Tenant-ID: c\r\n\r\n";
        assert_eq!(spliced(bad, &edits), "GET / HTTP/1.1\r\nX-Tenant-ID: acme\r\nHost: h\r\n\r\n");
    }

    #[test]
    fn what_is_withheld_leaves_and_every_other_byte_stays() {
        let text = "GET / HTTP/1.1\r\nHOST:h \r\nTraceParent: a\r\nx-A:\t1\r\nB3: 0\r\nBAGGAGE:\r\n\
                    X-Request-ID: 7 \r\nX-tenant-id: acme\r\nuberctx-k: v\r\nE:\r\ntracestate: a=1\r\n\r\n";
        let edits = Edits { withheld: Some("x-tenant-id"), ..Edits::default() };
        let expected = "GET / HTTP/1.1\r\nHOST:h \r\nx-A:\t1\r\nX-Request-ID: 7 \r\nE:\r\n\r\n";
        assert_eq!(spliced(text, &edits), expected);
        assert!(!edits.is_none());
        assert_eq!(spliced(text, &Edits::default()), text);
    }

    #[test]
    fn an_absolute_target_becomes_an_origin_target_and_host_follows_it() {
        let text = "GET http://b.example/x HTTP/1.1\r\nHost: a\r\nProxy-Connection: Keep-Alive\r\n\
                    Proxy-Authorization: Basic eA==\r\nAccept: */*\r\n\r\n";
        let origin = Some(Origin { target: b"/x", authority: b"b.example" });
        let edits = Edits { origin, ..Edits::default() };
        let expected = "GET /x HTTP/1.1\r\nHost: b.example\r\nAccept: */*\r\n\r\n";
        assert_eq!(spliced(text, &edits), expected);
    }

    #[test]
    fn an_absolute_target_names_the_host_where_the_client_did_not() {
        let origin = Some(Origin { target: b"/", authority: b"b.example" });
        let edits = Edits { origin, ..Edits::default() };
        let expected = "GET / HTTP/1.0\r\nA: b\r\nHost: b.example\r\n\r\n";
        assert_eq!(spliced("GET http://b.example/ HTTP/1.0\r\nA: b\r\n\r\n", &edits), expected);
    }

    #[test]
    fn a_length_that_is_given_several_times_goes_on_once() {
        let expected = "PUT / HTTP/1.1\r\nHost: h\r\ncontent-Length: 05\r\nX: y\r\n\r\n";
        for (lengths, rest) in [
            ("content-Length: 05 , 5", ""),
            ("content-Length: 05", "Content-Length: 5\r\n"),
            ("content-Length: 05,5", "CONTENT-LENGTH: 5\r\n"),
        ] {
            let text = format!("PUT / HTTP/1.1\r\nHost: h\r\n{lengths}\r\nX: y\r\n{rest}\r\n");
            assert_eq!(spliced(&text, &Edits::default()), expected);
        }
    }
}
