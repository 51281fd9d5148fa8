//! What the text of one setting means: the kinds of values, how they are read and written.
//!
//! Everything here is total: any text is either a value or an error that says what was expected.
//! Writing a value and reading it again gives the same value.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::proxies::ProxyUrl;
use crate::cidr::Cidr;
use crate::proxy::Authority;
use crate::redirect::{Interface, PortRange};
use crate::trace::tenant::{MAX_LENGTH, TenantId};

/// The most items of a list, and the most entries of a map.
pub const MAX_ITEMS: usize = 1_000;

/// How a list says that it holds everything of its kind.
pub(super) const EVERYTHING: &str = "*";

/// The longest text of an offending value that an error repeats, in characters.
const MAX_QUOTED: usize = 80;

/// What kind of value a setting takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// An address to listen on.
    Address,
    /// Where the application is: a host and a port.
    Application,
    /// A map of attribute names to texts.
    Attributes,
    /// Yes or no.
    Bool,
    /// A size within these bounds, in bytes.
    Bytes(u64, u64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number within these bounds.
    Count(u64, u64),
    /// A length of time within these bounds, in milliseconds.
    Duration(u64, u64),
    /// The path of a directory, from the root.
    Directory,
    /// The path of a file.
    File,
    /// A filter of log lines.
    Filter,
    /// The name of a header; it becomes lower case.
    HeaderName,
    /// The number of a user or a group, or all of them.
    Id,
    /// The name of a network interface, or all of them.
    Interface,
    /// A map of header names to values, which are secrets.
    Headers,
    /// Several values of one kind.
    List(&'static Self),
    /// A network or an address, or all of them.
    Network,
    /// The path of a URL, or a template of one.
    Path,
    /// A port or a range of ports, or all of them.
    Ports,
    /// The URL of a proxy, with a name and a password where it wants them.
    Proxy,
    /// A number from 0 to 1.
    Ratio,
    /// The name of a tenant.
    Tenant,
    /// A line of text.
    Text,
    /// The URL of a collector; for gRPC the scheme may be left out.
    Url,
}

/// What was written, before it is known to mean anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raw {
    /// One text.
    One(String),
    /// A list of texts.
    List(Vec<String>),
    /// Texts by their names, in the order written.
    Map(Vec<(String, String)>),
}

/// What the text of a setting means.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An address.
    Address(SocketAddr),
    /// A host and a port.
    Application(Authority),
    /// Yes or no.
    Bool(bool),
    /// A length of time, in whole milliseconds.
    Duration(Duration),
    /// Several texts.
    List(Vec<String>),
    /// Texts by their names.
    Map(Vec<(String, String)>),
    /// A count, or a size in bytes.
    Number(u64),
    /// A number from 0 to 1.
    Ratio(f64),
    /// A text of any kind.
    Text(String),
}

impl Raw {
    /// What kind of thing was written, in words; a text is quoted.
    fn describe(&self) -> String {
        match self {
            Self::One(text) => quoted(text),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a map".to_owned(),
        }
    }
}

impl Kind {
    /// What a value of this kind looks like, in words that complete "expected ...".
    #[must_use]
    pub fn expected(self) -> String {
        match self {
            Self::Address => "an address such as 127.0.0.1:16006".to_owned(),
            Self::Application => "a host and a port such as 127.0.0.1:8080".to_owned(),
            Self::Attributes => "a map of attribute names to texts".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Bytes(min, max) => format!("a size from {} to {}", size(min), size(max)),
            Self::Choice([one, other]) => format!("{one} or {other}"),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Count(min, max) => format!("a whole number from {min} to {max}"),
            Self::Directory => "the whole path of a directory, from the / on".to_owned(),
            Self::Duration(min, max) => format!(
                "a duration from {} to {} such as 500ms, 15s, 5m or 1h",
                span_of_time(min),
                span_of_time(max)
            ),
            Self::File => "the path of a file".to_owned(),
            Self::Filter => "a log filter such as info or spandrel=debug".to_owned(),
            Self::HeaderName => "a header name that no protocol relies on".to_owned(),
            Self::Headers => "a map of header names to values".to_owned(),
            Self::Id => "the number of a user or group, or *".to_owned(),
            Self::Interface => "the name of a network interface, or *".to_owned(),
            Self::List(item) => format!("a list of which each item is {}", item.expected()),
            Self::Network => "a network such as 10.0.0.0/8 or 2001:db8::/32, or *".to_owned(),
            Self::Path => "a path that begins with /".to_owned(),
            Self::Ports => "a port, a range such as 8000-8100, or *".to_owned(),
            Self::Proxy => "the URL of a proxy such as http://proxy:3128".to_owned(),
            Self::Ratio => "a number from 0 to 1".to_owned(),
            Self::Tenant => {
                format!("a tenant of 1 to {MAX_LENGTH} letters, digits and -_.:/@")
            }
            Self::Text => "a line of text".to_owned(),
            Self::Url => "a URL such as http://collector:4318, without a password".to_owned(),
        }
    }

    /// Whether values of this kind must not be shown.
    #[must_use]
    pub fn is_secret(self) -> bool {
        matches!(self, Self::Headers | Self::Proxy)
    }

    /// Splits the text of a variable, a flag or a default: lists at commas, maps like
    /// `OTEL_RESOURCE_ATTRIBUTES` (`key=value,key=value`, percent-encoded).
    ///
    /// # Errors
    /// When a map is not written so; the error says what was expected.
    pub fn split(self, text: &str) -> Result<Raw, String> {
        match self {
            Self::List(_) => Ok(Raw::List(parts(text).map(str::to_owned).collect())),
            Self::Attributes | Self::Headers => parts(text)
                .map(decoded_pair)
                .collect::<Option<_>>()
                .map(Raw::Map)
                .ok_or_else(|| "expected key=value,key=value in percent-encoding".to_owned()),
            _ => Ok(Raw::One(text.to_owned())),
        }
    }

    /// Reads a value of this kind.
    ///
    /// # Errors
    /// When `raw` is none; the error says what was expected and, unless secret, what was found.
    pub fn read(self, raw: &Raw) -> Result<Value, String> {
        let refused = |found: &str| Err(format!("expected {}, found {found}", self.expected()));
        match (self, raw) {
            (Self::List(_), Raw::List(items)) if items.len() > MAX_ITEMS => {
                refused(&format!("more than {MAX_ITEMS} items"))
            }
            (Self::List(item), Raw::List(items)) => {
                match items.iter().find(|text| item.parse(text).is_none()) {
                    Some(text) => refused(&quoted(text)),
                    None => Ok(Value::List(without_repeats(items))),
                }
            }
            (Self::Attributes | Self::Headers, Raw::Map(pairs)) if pairs.len() > MAX_ITEMS => {
                refused(&format!("more than {MAX_ITEMS} entries"))
            }
            (Self::Attributes, Raw::Map(pairs)) => match pairs.iter().find(|(k, _)| !is_line(k)) {
                Some((key, _)) => refused(&quoted(key)),
                None => Ok(Value::Map(last_of_each(pairs.clone()))),
            },
            (Self::Headers, Raw::Map(pairs)) => {
                let headers: Option<_> = pairs.iter().map(|(k, v)| header(k, v)).collect();
                headers.map(|headers| Value::Map(last_of_each(headers))).ok_or_else(|| {
                    format!("expected {}, found a name or value that is none", self.expected())
                })
            }
            (Self::Url, Raw::One(text)) if text.contains('@') => refused("one with an @"),
            (Self::Proxy, Raw::One(text)) => {
                self.parse(text).map_or_else(|| refused("something else"), Ok)
            }
            (_, Raw::One(text)) if !self.is_secret() => {
                self.parse(text).map_or_else(|| refused(&raw.describe()), Ok)
            }
            (_, Raw::One(_)) => refused("a text"),
            _ => refused(&raw.describe()),
        }
    }

    /// Reads the text of a kind that is neither a list nor a map.
    fn parse(self, text: &str) -> Option<Value> {
        match self {
            Self::Address => text.parse().ok().map(Value::Address),
            Self::Application => authority(text).map(Value::Application),
            Self::Bool => text.parse().ok().map(Value::Bool),
            Self::Bytes(min, max) => bytes(text).and_then(|n| within(n, min, max)),
            Self::Choice(words) => words.contains(&text).then(|| Value::Text(text.to_owned())),
            Self::Count(min, max) => number(text).and_then(|n| within(n, min, max)),
            Self::Duration(min, max) => milliseconds(text)
                .filter(|n| (min..=max).contains(n))
                .map(|n| Value::Duration(Duration::from_millis(n))),
            Self::Filter => {
                let is_filter =
                    is_line(text) && tracing_subscriber::EnvFilter::builder().parse(text).is_ok();
                is_filter.then(|| Value::Text(text.to_owned()))
            }
            Self::HeaderName => free_header_name(text).map(Value::Text),
            Self::Id | Self::Interface | Self::Network | Self::Ports if text == EVERYTHING => {
                Some(text_value(text))
            }
            Self::Id => number(text)
                .filter(|n| *n < u64::from(u32::MAX))
                .map(|n| Value::Text(n.to_string())),
            Self::Interface => Interface::parse(text).map(|_| text_value(text)),
            Self::Network => Cidr::parse(text).map(|_| text_value(text)),
            Self::Directory | Self::Path => {
                (text.starts_with('/') && is_line(text)).then(|| text_value(text))
            }
            Self::Ports => PortRange::parse(text).map(|_| text_value(text)),
            Self::Proxy => ProxyUrl::parse(text).map(|_| text_value(text)),
            Self::Ratio => text.parse().ok().filter(|r| (0.0..=1.0).contains(r)).map(Value::Ratio),
            Self::Tenant => {
                TenantId::parse(text.as_bytes(), MAX_LENGTH).map(|id| text_value(id.as_str()))
            }
            Self::File | Self::Text => is_line(text).then(|| text_value(text)),
            Self::Url => super::otlp::Endpoint::parse(text).map(|_| text_value(text)),
            Self::Attributes | Self::Headers | Self::List(_) => None,
        }
    }

    /// The value as YAML on one line, with secrets left out.
    #[must_use]
    pub fn write(self, value: &Value) -> String {
        match value {
            Value::Address(address) => scalar(&address.to_string()),
            Value::Application(authority) => scalar(&authority_text(authority)),
            Value::Bool(is) => is.to_string(),
            Value::Duration(time) => {
                span_of_time(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
            }
            Value::List(items) => {
                let items: Vec<String> = items.iter().map(|item| scalar(item)).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Map(pairs) => {
                let pair = |(key, value): &(String, String)| {
                    let value = if self.is_secret() { "REDACTED" } else { value };
                    format!("{}: {}", scalar(key), scalar(value))
                };
                let pairs: Vec<String> = pairs.iter().map(pair).collect();
                format!("{{{}}}", pairs.join(", "))
            }
            Value::Number(n) if matches!(self, Self::Bytes(..)) => size(*n),
            Value::Number(n) => n.to_string(),
            Value::Ratio(ratio) => ratio.to_string(),
            Value::Text(text) if matches!(self, Self::Proxy) => {
                scalar(&ProxyUrl::parse(text).map(|url| url.without_password()).unwrap_or_default())
            }
            Value::Text(text) => scalar(text),
        }
    }
}

/// The length of time that a text outside the settings means, such as `20s`, from `min` to `max`
/// milliseconds.
///
/// # Errors
/// When it means none; the error says what was expected and what was found.
pub fn duration(text: &str, min: u64, max: u64) -> Result<Duration, String> {
    let kind = Kind::Duration(min, max);
    match kind.parse(text) {
        Some(Value::Duration(time)) => Ok(time),
        _ => Err(format!("expected {}, found {}", kind.expected(), quoted(text))),
    }
}

/// The bytes that a text outside the settings means, such as `64MiB`, from `min` to `max`.
///
/// # Errors
/// When it means none; the error says what was expected and what was found.
pub fn bytes_of(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let kind = Kind::Bytes(min, max);
    match kind.parse(text) {
        Some(Value::Number(bytes)) => Ok(bytes),
        _ => Err(format!("expected {}, found {}", kind.expected(), quoted(text))),
    }
}

/// A text as an error repeats it: short, on one line, in backquotes.
pub(super) fn quoted(text: &str) -> String {
    if text.is_empty() { "nothing".to_owned() } else { format!("`{}`", shortened(text)) }
}

/// A text on one line and of at most [`MAX_QUOTED`] characters.
pub(super) fn shortened(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(MAX_QUOTED) {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if text.chars().nth(MAX_QUOTED).is_some() {
        shown.push_str("...");
    }
    shown
}

fn text_value(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn without_repeats(items: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    items.iter().filter(|item| seen.insert(item.as_str())).cloned().collect()
}

/// The pairs with each name once; as with resource attributes, the last of one name counts.
fn last_of_each(pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut seen = BTreeSet::new();
    let mut last: Vec<_> =
        pairs.into_iter().rev().filter(|(name, _)| seen.insert(name.clone())).collect();
    last.reverse();
    last
}

fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains(char::is_control)
}

pub(super) fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn decoded_pair(pair: &str) -> Option<(String, String)> {
    let (key, value) = pair.split_once('=')?;
    let key = decoded(key.trim())?;
    (!key.is_empty()).then_some((key, decoded(value.trim())?))
}

/// Percent-decodes strictly: the crate lets a `%` pass that begins no code.
fn decoded(text: &str) -> Option<String> {
    let is_code =
        |rest: &str| rest.as_bytes().iter().take(2).filter(|b| b.is_ascii_hexdigit()).count() == 2;
    let mut codes = text.split('%').skip(1);
    if !codes.all(is_code) {
        return None;
    }
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(String::from)
}

fn header(name: &str, value: &str) -> Option<(String, String)> {
    let name = http::HeaderName::from_bytes(name.as_bytes()).ok()?;
    http::HeaderValue::from_str(value).ok()?.to_str().ok()?;
    Some((name.as_str().to_owned(), value.to_owned()))
}

/// The header name in lower case, if setting that header breaks neither messages nor traces.
fn free_header_name(text: &str) -> Option<String> {
    const TAKEN: [&str; 13] = [
        "baggage",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    ];
    let name = http::HeaderName::from_bytes(text.as_bytes()).ok()?;
    (!TAKEN.contains(&name.as_str())).then(|| name.as_str().to_owned())
}

/// `host:port`, or a port alone for one on this host.
fn authority(text: &str) -> Option<Authority> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let port = number(port).and_then(|n| u16::try_from(n).ok()).filter(|port| *port != 0)?;
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
        None if host.is_empty() => "127.0.0.1".to_owned(),
        None => host.to_owned(),
    };
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    (bracketed.is_some() || host.bytes().all(is_name))
        .then_some(Authority { host: host.into(), port })
}

fn authority_text(Authority { host, port }: &Authority) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn within(n: u64, min: u64, max: u64) -> Option<Value> {
    (min..=max).contains(&n).then_some(Value::Number(n))
}

/// Digits only: `str::parse` would also take a plus sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The units of time, from the greatest, in milliseconds.
const TIMES: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// The units of size, from the greatest, in bytes.
const SIZES: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

fn milliseconds(text: &str) -> Option<u64> {
    TIMES.iter().find_map(|(unit, scale)| scaled(text, unit, *scale))
}

fn bytes(text: &str) -> Option<u64> {
    number(text).or_else(|| SIZES.iter().find_map(|(unit, scale)| scaled(text, unit, *scale)))
}

fn scaled(text: &str, unit: &str, scale: u64) -> Option<u64> {
    let digits = text.strip_suffix(unit).filter(|digits| !digits.is_empty())?;
    number(digits)?.checked_mul(scale)
}

fn span_of_time(milliseconds: u64) -> String {
    if milliseconds == 0 { "0s".to_owned() } else { in_units(milliseconds, &TIMES) }
}

fn size(bytes: u64) -> String {
    in_units(bytes, &SIZES)
}

/// The number in the greatest unit that leaves no rest.
fn in_units(n: u64, units: &[(&str, u64)]) -> String {
    let whole = units.iter().find(|(_, scale)| n >= *scale && n.is_multiple_of(*scale));
    whole.map_or_else(|| n.to_string(), |(unit, scale)| format!("{}{unit}", n / scale))
}

/// A YAML scalar that reads back as this text.
fn scalar(text: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'/' | b'_');
    let is_inner = |b: u8| is_plain(b) || b == b':';
    let is_safe = text.bytes().all(is_inner)
        && text.bytes().next().is_some_and(|b| b != b'-' && is_plain(b))
        && text.bytes().last().is_some_and(is_plain)
        && !text.eq_ignore_ascii_case("null");
    if is_safe { text.to_owned() } else { double_quoted(text) }
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => out.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `text` means, written again.
    fn read(kind: Kind, text: &str) -> Option<String> {
        let value = kind.split(text).and_then(|raw| kind.read(&raw)).ok()?;
        Some(kind.write(&value))
    }

    fn check(kind: Kind, good: &[(&str, &str)], bad: &[&str]) {
        for (text, written) in good {
            assert_eq!(read(kind, text).as_deref(), Some(*written), "{kind:?} {text}");
        }
        for text in bad {
            assert_eq!(read(kind, text), None, "{kind:?} {text}");
        }
    }

    #[test]
    fn times_have_units_and_bounds() {
        let good = [("500ms", "500ms"), ("1500ms", "1500ms"), ("60s", "1m"), ("24h", "24h")];
        let bad = ["", "5", "s", "-1s", "+1s", "1.5s", "1 s", "0s", "25h", "1d", "1S"];
        check(Kind::Duration(1, 86_400_000), &good, &bad);
        check(Kind::Duration(0, 1_000), &[("0h", "0s"), ("1s", "1s")], &["1001ms"]);
        check(Kind::Duration(0, u64::MAX), &[], &["99999999999999999999s", "5124095576031h"]);
    }

    #[test]
    fn a_time_outside_the_settings_is_read_like_one_inside() {
        assert_eq!(duration("20s", 1_000, 60_000), Ok(Duration::from_secs(20)));
        for (text, found) in [("500ms", "`500ms`"), ("20", "`20`"), ("", "nothing")] {
            let error = duration(text, 1_000, 60_000).unwrap_err();
            let expected = "expected a duration from 1s to 1m such as 500ms, 15s, 5m or 1h, found ";
            assert_eq!(error, format!("{expected}{found}"));
        }
    }

    #[test]
    fn sizes_and_counts_have_bounds() {
        let good = [("8192", "8KiB"), ("9000", "9000"), ("1MiB", "1MiB"), ("1024KiB", "1MiB")];
        let bad = ["", "8191", "8kb", "8K", "2MiB", "KiB", "-8KiB", "18446744073709551616"];
        check(Kind::Bytes(8_192, 1 << 20), &good, &bad);
        check(
            Kind::Count(1, 64),
            &[("1", "1"), ("64", "64")],
            &["0", "65", "+1", "1_0", " 1", "x"],
        );
    }

    #[test]
    fn an_application_is_a_host_and_a_port() {
        let good = [
            ("8080", "127.0.0.1:8080"),
            (":8080", "127.0.0.1:8080"),
            ("localhost:80", "localhost:80"),
            ("a-b.c_d:1", "a-b.c_d:1"),
            ("[::1]:80", "\"[::1]:80\""),
        ];
        let bad = [
            "",
            "host",
            "host:",
            ":0",
            "host:65536",
            "::1:80",
            "[::1]",
            "[x]:1",
            "a b:1",
            "http://a:1",
            "a/:1",
        ];
        check(Kind::Application, &good, &bad);
    }

    #[test]
    fn words_and_numbers_are_exact() {
        check(Kind::Bool, &[("true", "true"), ("false", "false")], &["", "True", "yes", "1"]);
        check(Kind::Choice(&["a", "b"]), &[("b", "b")], &["", "c", "A"]);
        check(
            Kind::Ratio,
            &[("0", "0"), ("1.0", "1"), ("0.25", "0.25")],
            &["", "-0.1", "1.1", "NaN"],
        );
        check(Kind::Address, &[("0.0.0.0:1", "0.0.0.0:1")], &["", "1", "localhost:1", "[::1]"]);
        check(Kind::Directory, &[("/a b", "\"/a b\"")], &["", "a", "./a", "/a\n"]);
        check(Kind::Path, &[("/a b", "\"/a b\"")], &["", "a", "/a\n"]);
        check(
            Kind::Filter,
            &[("info", "info"), ("a=debug", "\"a=debug\"")],
            &["", "a=b=c", "[", "\n"],
        );
        check(Kind::Tenant, &[("a@b", "\"a@b\"")], &["", "a b"]);
        let good = [
            ("proxy:3128", "proxy:3128"),
            ("http://[::1]:3128/", "\"http://[::1]:3128\""),
            ("http://me:s3cret@proxy:3128", "\"http://REDACTED@proxy:3128\""),
            ("me@proxy", "\"REDACTED@proxy\""),
        ];
        let bad =
            ["", "http://", "socks5://proxy:1", "http://proxy/x", "a b", "http://@proxy", "x@"];
        check(Kind::Proxy, &good, &bad);
        let taken = ["", "a b", "Host", "traceparent", "Content-Length", "\u{e9}"];
        check(Kind::HeaderName, &[("X-Tenant", "x-tenant")], &taken);
    }

    #[test]
    fn maps_are_percent_decoded_and_headers_are_hidden() {
        let good = [
            ("", "{}"),
            ("a=1,b=2,a=3", "{b: 2, a: 3}"),
            ("a=b=c, d = %C3%A9 ,", "{a: \"b=c\", d: \"\\U000000E9\"}"),
        ];
        check(Kind::Attributes, &good, &["a", "=b", "a=%", "a=%4", "a=%4g", "a=%ff", "%0a=b"]);
        let good = [("A=b%20c", "{a: REDACTED}"), ("a=,A=b", "{a: REDACTED}")];
        check(Kind::Headers, &good, &["a", "a b=c", "a=%0a", "a=%C3%A9"]);
    }

    #[test]
    fn lists_are_bounded_and_hold_each_item_once() {
        let texts = Kind::List(&Kind::Text);
        check(texts, &[("", "[]"), ("a,, b ,a", "[a, b]")], &["a,\u{7f}"]);
        let many: Vec<String> = (0..=MAX_ITEMS).map(|n| n.to_string()).collect();
        assert_eq!(read(texts, &many.join(",")), None);
        assert!(read(texts, &many[1..].join(",")).is_some());
    }

    #[test]
    fn an_error_quotes_little_and_on_one_line() {
        assert_eq!(quoted("it's\na\u{1b}"), "`it's\\na\\u{1b}`");
        assert_eq!(quoted(&"x".repeat(100)), format!("`{}...`", "x".repeat(80)));
    }
}
