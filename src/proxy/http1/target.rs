//! A request's target in its four forms (RFC 9112, section 3.2).

use std::borrow::Cow;

use super::head::HeadView;
use super::host;
use crate::trace::Headers as _;

/// A target taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// How it was written.
    pub form: Form,
    /// The authority of the target, or of `Host` where the target has none.
    pub authority: Option<&'a [u8]>,
    /// The path; `*` for the whole server, empty for `CONNECT`.
    pub path: &'a [u8],
    /// What follows the question mark.
    pub query: Option<&'a [u8]>,
    /// Whether a path was written at all.
    has_path: bool,
}

/// The forms of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `http://host/path`, as a client writes it to the proxy it was told to use.
    Absolute,
    /// A URL of another scheme, which cannot be asked of a proxy in the open.
    AbsoluteOther,
    /// `host:port`, of `CONNECT`.
    Authority,
    /// A path, or `*`.
    Origin,
}

impl<'a> Target<'a> {
    /// Takes the target of a request apart.
    #[must_use]
    pub fn of(view: &'a HeadView<'a>) -> Self {
        let target = view.target();
        if view.method() == b"CONNECT" {
            let (form, authority) = (Form::Authority, Some(target));
            return Self { form, authority, path: b"", query: None, has_path: false };
        }
        match split_scheme(target) {
            Some((scheme, rest)) => {
                let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
                let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, b""));
                let is_http = scheme.eq_ignore_ascii_case(b"http");
                let form = if is_http { Form::Absolute } else { Form::AbsoluteOther };
                Self::new(form, Some(authority), path)
            }
            None => Self::new(Form::Origin, view.first("host"), target),
        }
    }

    fn new(form: Form, authority: Option<&'a [u8]>, path: &'a [u8]) -> Self {
        let mut halves = path.splitn(2, |b| *b == b'?');
        let path = halves.next().unwrap_or_default();
        let has_path = !path.is_empty();
        let path = if has_path { path } else { b"/" };
        Self { form, authority, path, query: halves.next(), has_path }
    }

    /// Whether a proxy can ask for it: by HTTP in the open, of a host that is the same to everyone.
    #[must_use]
    pub fn is_askable(&self) -> bool {
        match self.form {
            Form::Absolute => self.authority.is_some_and(host::is_authority),
            Form::AbsoluteOther => false,
            Form::Authority => {
                self.authority.is_some_and(|a| host::is_authority(a) && !a.contains(&b'@'))
            }
            // `Host` was looked at with the head.
            Form::Origin => true,
        }
    }

    /// The target as it is written to the origin itself.
    #[must_use]
    pub fn to_origin_form(&self, method: &[u8]) -> Cow<'a, [u8]> {
        match self.query {
            // `OPTIONS http://host` asks of the whole server (RFC 9112, section 3.2.4).
            None if method == b"OPTIONS" && !self.has_path => Cow::Borrowed(b"*"),
            None => Cow::Borrowed(self.path),
            Some(query) => Cow::Owned([self.path, b"?", query].concat()),
        }
    }
}

/// The scheme of a URL and what follows its `://`.
fn split_scheme(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = target.iter().position(|b| *b == b':')?;
    let (scheme, rest) = target.split_at_checked(at)?;
    let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    rest.strip_prefix(b"://").filter(|_| is_scheme).map(|rest| (scheme, rest))
}

#[cfg(test)]
mod tests {
    use super::super::head::{HeadLimits, RequestHead, Scan};
    use super::*;

    fn taken_apart(start: &str) -> (Form, String, String, Option<String>, String) {
        let text = format!("{start} HTTP/1.1\r\nHost: h:1\r\n\r\n");
        let limits = HeadLimits { bytes: 1_000, lines: 10 };
        let bytes = text.as_bytes();
        let head = RequestHead::parse(bytes, &mut Scan::default(), &limits, Vec::new());
        let head = head.unwrap().unwrap();
        let view = head.view(bytes);
        let target = Target::of(&view);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let origin = text(&target.to_origin_form(view.method()));
        let authority = text(target.authority.unwrap());
        (target.form, authority, text(target.path), target.query.map(text), origin)
    }

    fn expected(
        form: Form,
        authority: &str,
        path: &str,
        query: Option<&str>,
        origin: &str,
    ) -> (Form, String, String, Option<String>, String) {
        (form, authority.into(), path.into(), query.map(Into::into), origin.into())
    }

    #[test]
    fn every_form_is_taken_apart() {
        for (start, target) in [
            ("GET /a?b?c", expected(Form::Origin, "h:1", "/a", Some("b?c"), "/a?b?c")),
            ("GET /http://x", expected(Form::Origin, "h:1", "/http://x", None, "/http://x")),
            ("OPTIONS *", expected(Form::Origin, "h:1", "*", None, "*")),
            ("GET http://x:9/a?b", expected(Form::Absolute, "x:9", "/a", Some("b"), "/a?b")),
            ("GET HTTP://x", expected(Form::Absolute, "x", "/", None, "/")),
            ("GET http://x?b", expected(Form::Absolute, "x", "/", Some("b"), "/?b")),
            ("OPTIONS http://x", expected(Form::Absolute, "x", "/", None, "*")),
            ("OPTIONS http://x/", expected(Form::Absolute, "x", "/", None, "/")),
            ("GET https://x/", expected(Form::AbsoluteOther, "x", "/", None, "/")),
            ("CONNECT x:443", expected(Form::Authority, "x:443", "", None, "")),
        ] {
            assert_eq!(taken_apart(start), target, "{start}");
        }
    }

    #[test]
    fn only_what_every_reader_takes_for_one_host_can_be_asked_for() {
        let is_askable = |start: &str| {
            let text = format!("{start} HTTP/1.1\r\nHost: h\r\n\r\n");
            let limits = HeadLimits { bytes: 1_000, lines: 10 };
            let head =
                RequestHead::parse(text.as_bytes(), &mut Scan::default(), &limits, Vec::new());
            Target::of(&head.unwrap().unwrap().view(text.as_bytes())).is_askable()
        };
        for start in ["GET /", "GET http://h", "GET http://u:p@h:1/@?a@b", "CONNECT h:1"] {
            assert!(is_askable(start), "{start}");
        }
        for start in [
            "GET https://h/",
            "GET http:///x",
            "GET http://a@b@c/",
            "GET http://a#@b/",
            "GET http://a\\@b/",
            "CONNECT u@h:1",
            "CONNECT h/x:1",
        ] {
            assert!(!is_askable(start), "{start}");
        }
    }
}
