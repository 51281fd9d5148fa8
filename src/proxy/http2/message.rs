//! What RFC 9113 asks of a request's head that `h2` does not look at.

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};

/// Whether a request cannot be read in two ways (RFC 9113, sections 8.3.1 and 8.5, and RFC 9110,
/// section 7.2): it says at most once where it goes, and where that is said twice, the same.
pub(super) fn is_well_formed(parts: &Parts) -> bool {
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let mut hosts = parts.headers.get_all(http::header::HOST).into_iter();
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return false;
    }
    if has_empty_length(&parts.headers) {
        return false;
    }
    if parts.method == Method::CONNECT && authority.is_none() {
        return false;
    }
    match (authority, host) {
        (Some(authority), Some(host)) => is_same(authority, host, parts.uri.scheme_str()),
        _ => true,
    }
}

/// Whether there is a length that says nothing: `h2` takes it for none, others for an error.
pub(super) fn has_empty_length(headers: &HeaderMap) -> bool {
    headers.get_all(http::header::CONTENT_LENGTH).iter().any(HeaderValue::is_empty)
}

fn is_same(authority: &str, host: &HeaderValue, scheme: Option<&str>) -> bool {
    let port = match scheme {
        Some("https") => ":443",
        _ => ":80",
    };
    let bare =
        |name: &[u8]| name.strip_suffix(port.as_bytes()).unwrap_or(name).to_ascii_lowercase();
    bare(authority.as_bytes()) == bare(host.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn is_accepted(method: &str, uri: &str, hosts: &[&str]) -> bool {
        let mut request = Request::builder().method(method).uri(uri);
        for host in hosts {
            request = request.header("host", *host);
        }
        is_well_formed(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_request_says_where_it_goes_in_one_way() {
        assert!(is_accepted("GET", "http://a/x", &[]));
        assert!(is_accepted("GET", "http://a/x", &["a"]));
        assert!(is_accepted("GET", "http://a/x", &["A:80"]));
        assert!(is_accepted("GET", "https://a:443/x", &["a"]));
        assert!(is_accepted("GET", "/x", &["a"]));
        assert!(is_accepted("GET", "/x", &[]));
        assert!(!is_accepted("GET", "http://a/x", &["b"]));
        assert!(!is_accepted("GET", "http://a/x", &["a:81"]));
        assert!(!is_accepted("GET", "https://a/x", &["a:80"]));
        assert!(!is_accepted("GET", "http://a/x", &["a", "a"]));
        assert!(!is_accepted("GET", "/x", &["a", "a"]));
    }

    #[test]
    fn connect_names_whom_to_connect_to() {
        assert!(is_accepted("CONNECT", "a:1", &[]));
        assert!(!is_accepted("CONNECT", "/x", &["a:1"]));
    }
}
