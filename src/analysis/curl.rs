//! A request like the one that a span tells of, as a line for the shell.

use super::{Span, Value};

/// The line, where the span is of an HTTP request whose address it tells.
///
/// Everything that comes from the span stands in single quotes: nothing in it is run.
pub(super) fn command(span: &Span) -> Option<String> {
    let text = |key: &str| {
        span.attributes.iter().find_map(|(name, value)| match value {
            Value::Text(text) if name == key && !text.is_empty() => Some(text.clone()),
            Value::Int(number) if name == key => Some(number.to_string()),
            _ => None,
        })
    };
    let method = text("http.request.method")?;
    let url = text("url.full").or_else(|| {
        let (scheme, host) = (text("url.scheme")?, text("server.address")?);
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let port = text("server.port").map(|port| format!(":{port}")).unwrap_or_default();
        let query = text("url.query").map(|query| format!("?{query}")).unwrap_or_default();
        Some(format!("{scheme}://{host}{port}{}{query}", text("url.path").unwrap_or_default()))
    })?;
    let plain = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    // What begins otherwise is no URL, and with a dash it would be an option of curl's.
    let url = Some(plain(&url)).filter(|url| url.starts_with(|c: char| c.is_ascii_alphabetic()))?;
    Some(format!("curl -X {} {}", quoted(&plain(&method)), quoted(&url)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing;

    fn command_of(attributes: &[(&str, Value)]) -> Option<String> {
        let mut span = testing::trace("orders server 0..1 GET").spans().remove(0);
        span.attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        command(&span)
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn a_client_span_has_its_whole_url() {
        let line = command_of(&[
            ("http.request.method", text("GET")),
            ("url.full", text("http://orders:8080/orders/7?page=2")),
        ]);
        assert_eq!(line.unwrap(), "curl -X 'GET' 'http://orders:8080/orders/7?page=2'");
    }

    #[test]
    fn a_server_span_has_its_url_in_pieces() {
        let line = command_of(&[
            ("http.request.method", text("POST")),
            ("url.scheme", text("http")),
            ("server.address", text("::1")),
            ("server.port", Value::Int(8080)),
            ("url.path", text("/orders")),
            ("url.query", text("a=b")),
        ]);
        assert_eq!(line.unwrap(), "curl -X 'POST' 'http://[::1]:8080/orders?a=b'");
    }

    #[test]
    fn what_is_no_http_request_has_none() {
        assert_eq!(command_of(&[("rpc.method", text("Charge"))]), None);
        assert_eq!(command_of(&[("http.request.method", text("GET"))]), None);
    }

    #[test]
    fn what_would_be_an_option_of_curl_makes_no_line() {
        for url in ["-K/tmp/x", "\u{1}-o/tmp/x", "--next", "'-K/tmp/x", ""] {
            let method = ("http.request.method", text("GET"));
            assert_eq!(command_of(&[method, ("url.full", text(url))]), None, "{url}");
        }
    }

    #[test]
    fn nothing_gets_out_of_the_quotes() {
        let line = command_of(&[
            ("http.request.method", text("GET'; rm -rf /; '")),
            ("url.full", text("http://a/'$(id)'\n`id`")),
        ]);
        let line = line.unwrap();
        // Each quote of a stranger's closes, is escaped, and opens again.
        assert_eq!(line, r"curl -X 'GET'\''; rm -rf /; '\''' 'http://a/'\''$(id)'\''`id`'");
    }
}
