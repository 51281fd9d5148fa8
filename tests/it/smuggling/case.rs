//! A message, and what becomes of it.

/// A request that must never be one: it stands in bodies, and behind hostile heads.
pub(super) const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
/// The same as the only chunk of a body.
pub(super) const CHUNKED: &[u8] = b"23\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n\r\n0\r\n\r\n";

/// The side that a message is sent to, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Inbound,
    /// To the outbound side, which goes by `Host`.
    Outbound,
    /// To the outbound side with a URL, as clients of a proxy write it.
    Absolute,
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is refused with a 4xx and the connection closed; the application has no whole request.
    Refused,
    /// It arrives as it was sent, and the request behind it after it.
    Passes,
    /// It arrives as it was sent, and is the last of its connection.
    PassesLast,
    /// It arrives as one request, written like this, and the request behind it after it.
    PassesAs(Vec<u8>),
    /// It is not whole: the application has no whole request, whoever ends the connection.
    Cut,
}

#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) message: Vec<u8>,
    pub(super) outcome: Outcome,
    /// The ways it makes sense on.
    pub(super) ways: &'static [Way],
}

impl Case {
    pub(super) fn new(theme: &str, name: &str, message: Vec<u8>, outcome: Outcome) -> Self {
        let ways = &[Way::Inbound, Way::Outbound, Way::Absolute];
        Self { name: format!("{theme}: {name}"), message, outcome, ways }
    }

    /// The same where it makes sense on some ways only.
    pub(super) fn only(self, ways: &'static [Way]) -> Self {
        Self { ways, ..self }
    }
}

/// The head of a POST with these lines, whole with `\r\n`, and this behind it.
pub(super) fn post(lines: &[u8], body: &[u8]) -> Vec<u8> {
    [b"POST / HTTP/1.1\r\nHost: h\r\n", lines, b"\r\n", body].concat()
}

/// A GET with these lines, whole with `\r\n`.
pub(super) fn get(lines: &[u8]) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nHost: h\r\n", lines, b"\r\n"].concat()
}

/// Cases from a table of what differs, each turned into a message by `message`.
pub(super) fn cases(
    theme: &str,
    table: &[&[u8]],
    outcome: &Outcome,
    message: impl Fn(&[u8]) -> Vec<u8>,
) -> Vec<Case> {
    let case = |row: &&[u8]| {
        let name = row.escape_ascii().to_string();
        Case::new(theme, &name, message(row), outcome.clone())
    };
    table.iter().map(case).collect()
}
