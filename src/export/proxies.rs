//! The proxies that the network asks for on the way to a collector.
//!
//! As programs of Go do it, what is on this machine is reached without one, whatever the settings
//! say: a sidecar's collector often is, and the settings are mostly meant for its application.

use std::io;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::faults::Fault;
use super::{ExportError, Proxy};
use crate::cidr::Cidr;

/// The longest head of a proxy's answer, in bytes.
const MAX_HEAD: usize = 8 * 1024;

/// The settings of proxies, as they are asked about.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies {
    http: Option<Hop>,
    https: Option<Hop>,
    except: Vec<Exception>,
}

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) host: String,
    pub(super) port: u16,
    /// Who we are to it; sensitive.
    pub(super) authorization: Option<HeaderValue>,
}

#[derive(Clone, Debug)]
enum Exception {
    All,
    Addresses(Cidr),
    /// A name and those below it, with this port or with any.
    Name(String, Option<u16>),
}

impl Proxies {
    /// # Errors
    /// When the URL of a proxy is none.
    pub(super) fn new(proxy: &Proxy) -> Result<Self, ExportError> {
        let hop = |name: &'static str, url: &Option<String>| match url.as_deref() {
            None | Some("") => Ok(None),
            Some(url) => Hop::parse(url).map(Some).ok_or(ExportError::Proxy { name }),
        };
        let all = hop("ALL_PROXY", &proxy.all)?;
        Ok(Self {
            http: hop("HTTP_PROXY", &proxy.http)?.or_else(|| all.clone()),
            https: hop("HTTPS_PROXY", &proxy.https)?.or(all),
            except: proxy.no.split(',').filter_map(Exception::parse).collect(),
        })
    }

    /// The proxy on the way to `uri`, if there is any.
    pub(super) fn of(&self, uri: &Uri) -> Option<&Hop> {
        let is_https = uri.scheme() == Some(&Scheme::HTTPS);
        let hop = if is_https { self.https.as_ref() } else { self.http.as_ref() }?;
        let (host, port) = host_and_port(uri);
        let is_excepted = is_local(&host) || self.except.iter().any(|e| e.has(&host, port));
        (!is_excepted).then_some(hop)
    }
}

/// The host of a URL without the brackets of an address, and its port.
pub(super) fn host_and_port(uri: &Uri) -> (String, u16) {
    let host = uri.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let usual = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    (host.to_owned(), uri.port_u16().unwrap_or(usual))
}

fn is_local(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

impl Hop {
    /// The proxy of a URL, which may be a bare `host:port`.
    fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        if !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (who, place) = match authority.rsplit_once('@') {
            Some((who, place)) => (Some(who), place),
            None => (None, authority),
        };
        let place: Authority = place.parse().ok().filter(|_| path.is_empty())?;
        let port_length = place.port().map_or(0, |port| port.as_str().len() + 1);
        if place.as_str().len() != place.host().len() + port_length {
            return None;
        }
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(place).path_and_query("/");
        let (host, port) = host_and_port(&uri.build().ok()?);
        let authorization = match who {
            Some(who) => Some(basic(who)?),
            None => None,
        };
        (!host.is_empty()).then_some(Self { host, port, authorization })
    }
}

/// A name and a password of a URL as a header.
fn basic(who: &str) -> Option<HeaderValue> {
    let (name, password) = who.split_once(':').unwrap_or((who, ""));
    let mut plain: Vec<u8> = percent_encoding::percent_decode_str(name).collect();
    plain.push(b':');
    plain.extend(percent_encoding::percent_decode_str(password));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Exception {
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim();
        if entry.is_empty() {
            return None;
        }
        if entry == "*" {
            return Some(Self::All);
        }
        let bare = entry.strip_prefix('[').and_then(|e| e.strip_suffix(']')).unwrap_or(entry);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Some(Self::Addresses(Cidr::host(ip)));
        }
        if let Some(range) = Cidr::parse(bare) {
            return Some(Self::Addresses(range));
        }
        let (name, port) = match bare.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (bare, None),
        };
        let name = name.trim_start_matches('*').trim_start_matches('.').to_ascii_lowercase();
        Some(Self::Name(name, port))
    }

    fn has(&self, host: &str, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Addresses(range) => host.parse().is_ok_and(|ip| range.contains(ip)),
            Self::Name(name, only) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let is_below = host.strip_suffix(&**name).is_some_and(|head| head.ends_with('.'));
                (host == *name || is_below) && only.is_none_or(|only| only == port)
            }
        }
    }
}

/// Asks the proxy at the other end of `stream` for a tunnel to the host of `uri`.
pub(super) async fn tunnel<S>(stream: &mut S, uri: &Uri, hop: &Hop) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (host, port) = host_and_port(uri);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let mut request =
        format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
    if let Some(authorization) = &hop.authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(authorization.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await?;
    let no_tunnel = |status| Err(io::Error::other(Fault::NoTunnel { status }));
    match status(stream).await? {
        Some(200..=299) => Ok(()),
        other => no_tunnel(other),
    }
}

/// The status of an answer whose head is read to its end, and no byte more.
async fn status<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<u16>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD {
            return Ok(None);
        }
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    Ok(response.parse(&head).ok().and(response.code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(http: &str, https: &str, all: &str, no: &str) -> Proxies {
        let some = |url: &str| Some(url.to_owned());
        let proxy =
            Proxy { http: some(http), https: some(https), all: some(all), no: no.to_owned() };
        Proxies::new(&proxy).expect("they are URLs")
    }

    fn way(proxies: &Proxies, uri: &'static str) -> Option<(String, u16)> {
        proxies.of(&Uri::from_static(uri)).map(|hop| (hop.host.clone(), hop.port))
    }

    fn at(host: &str, port: u16) -> Option<(String, u16)> {
        Some((host.to_owned(), port))
    }

    #[test]
    fn each_scheme_has_its_proxy_or_that_of_all() {
        let two = proxies("http://a:1/", "b:2", "", "");
        assert_eq!(way(&two, "http://c"), at("a", 1));
        assert_eq!(way(&two, "https://c"), at("b", 2));
        let all = proxies("", "http://[2001:db8::1]:3128", "http://all", "");
        assert_eq!(way(&all, "http://c"), at("all", 80));
        assert_eq!(way(&all, "https://c"), at("2001:db8::1", 3128));
        assert_eq!(way(&proxies("", "b", "", ""), "http://c"), None);
        assert_eq!(way(&Proxies::default(), "http://c"), None);
    }

    #[test]
    fn exceptions_are_names_with_those_below_addresses_and_ranges() {
        let no = "example.com, .internal,*.local,10.0.0.0/8,192.0.2.1,[2001:db8::1],one:4317";
        let some = proxies("p", "p", "", no);
        for direct in [
            "http://example.com",
            "http://a.b.Example.com:4317",
            "http://c.internal",
            "https://c.local",
            "http://10.1.2.3:4318",
            "http://192.0.2.1",
            "http://[2001:db8::1]",
            "http://one:4317",
            "http://localhost:4318",
            "http://127.0.0.5",
            "http://[::1]:4317",
        ] {
            assert_eq!(way(&some, direct), None, "{direct}");
        }
        for proxied in [
            "http://notexample.com",
            "http://example.com.evil",
            "http://11.0.0.1",
            "http://192.0.2.2",
            "http://one:4318",
        ] {
            assert_eq!(way(&some, proxied), at("p", 80), "{proxied}");
        }
        assert_eq!(way(&proxies("p", "p", "", "a, *"), "http://c"), None);
    }

    #[test]
    fn a_name_and_a_password_are_decoded_and_never_shown() {
        let some = proxies("http://me:p%40ss@proxy:3128", "", "", "");
        let hop = some.of(&Uri::from_static("http://c")).expect("there is one");
        let authorization = hop.authorization.as_ref().expect("there is one");
        assert_eq!(authorization, "Basic bWU6cEBzcw==");
        assert!(!format!("{some:?}").contains("bWU6"), "{some:?}");
    }

    #[test]
    fn what_is_no_proxy_is_refused_by_its_name() {
        for bad in
            ["https://p", "socks5://p", "http://", "http://p/path", "http://a b", "http://p:x"]
        {
            let proxy = Proxy { https: Some(bad.to_owned()), ..Proxy::default() };
            let error = Proxies::new(&proxy).expect_err(bad);
            assert_eq!(error, ExportError::Proxy { name: "HTTPS_PROXY" });
        }
    }

    async fn answered(answer: &'static [u8]) -> (Result<(), String>, String) {
        let (mut near, mut far) = tokio::io::duplex(MAX_HEAD * 2);
        far.write_all(answer).await.expect("there is room");
        let authorization = basic("me:secret");
        let hop = Hop { host: "p".to_owned(), port: 1, authorization };
        let uri = Uri::from_static("https://[2001:db8::7]:4317/x");
        far.shutdown().await.expect("it is open");
        let result = tunnel(&mut near, &uri, &hop).await.map_err(|error| error.to_string());
        drop(near);
        let mut asked = String::new();
        far.read_to_string(&mut asked).await.expect("it is text");
        (result, asked)
    }

    #[tokio::test]
    async fn a_tunnel_is_asked_for_and_why_there_is_none_is_told() {
        let (result, asked) = answered(b"HTTP/1.1 200 OK\r\nVia: p\r\n\r\n").await;
        assert_eq!(result, Ok(()));
        assert_eq!(
            asked,
            "CONNECT [2001:db8::7]:4317 HTTP/1.1\r\nHost: [2001:db8::7]:4317\r\n\
             Proxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n"
        );
        for (answer, says) in [
            (&b"HTTP/1.1 407 Who\r\n\r\n"[..], "password"),
            (b"HTTP/1.1 403 No\r\n\r\n", "HTTP status 403"),
            (b"\x15\x03\x01", "no HTTP proxy"),
            (b"SSH-2.0\r\n\r\n", "no HTTP proxy"),
            (&[b'x'; MAX_HEAD + 1], "no HTTP proxy"),
        ] {
            let told = answered(answer).await.0.expect_err("no tunnel");
            assert!(told.contains(says), "{told}");
        }
    }

    #[tokio::test]
    async fn what_comes_after_the_answer_is_left_for_whoever_uses_the_tunnel() {
        let (mut near, mut far) = tokio::io::duplex(1_024);
        far.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").await.expect("there is room");
        assert_eq!(status(&mut near).await.expect("an answer"), Some(200));
        let mut rest = [0; 5];
        near.read_exact(&mut rest).await.expect("it is there");
        assert_eq!(&rest, b"hello");
    }
}
