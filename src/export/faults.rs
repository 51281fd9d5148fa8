//! Why there is no answer, in a sentence that says what to do.
//!
//! The libraries below name what they saw. What a person has to set right is mostly one of a few
//! things: the port, the scheme, a name, a certificate.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError};

/// What went wrong where connections are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A name has no address.
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver said.
        error: String,
    },
    /// The proxy made no tunnel.
    NoTunnel {
        /// The status of its answer, if it was one.
        status: Option<u16>,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved { host, error } => write!(
                f,
                "the name `{host}` cannot be looked up, check the endpoint and the DNS: {error}"
            ),
            Self::NoTunnel { status: Some(407) } => {
                f.write_str("the proxy wants a name and a password, put them into its URL")
            }
            Self::NoTunnel { status: Some(status) } => write!(
                f,
                "the proxy refuses to connect (HTTP status {status}), allow it there or except \
                 the host by NO_PROXY"
            ),
            Self::NoTunnel { status: None } => {
                f.write_str("what listens at the proxy's address is no HTTP proxy, check its URL")
            }
        }
    }
}

impl Error for Fault {}

/// The sentence for an error, or else the words of the error and its causes.
pub(super) fn words(error: &(dyn Error + 'static)) -> String {
    if let Some(fault) = find::<Fault>(error) {
        return fault.to_string();
    }
    let sentence = if find::<tower::timeout::error::Elapsed>(error).is_some() {
        Some("there is no answer in time, check host and port, or whether something drops packets")
    } else if let Some(error) = find::<rustls::Error>(error) {
        of_tls(error)
    } else if let Some(error) = find::<h2::Error>(error) {
        of_http2(error)
    } else if let Some(error) = find::<hyper::Error>(error).filter(|error| says(error)) {
        of_http(error)
    } else {
        find::<io::Error>(error).and_then(of_system)
    };
    match sentence {
        Some(sentence) => format!("{sentence} ({})", causes(error)),
        None => causes(error),
    }
}

/// The words of the innermost error, which is where the cause is named.
fn causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (**error).source());
    let mut words: Vec<String> = causes.map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}

/// The first error of this type among an error, its causes, and what they are made of.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut causes = std::iter::successors(Some(error), |error| (**error).source());
    causes.find_map(|error| {
        let inner = || error.downcast_ref::<io::Error>()?.get_ref().and_then(|e| find::<E>(e));
        error.downcast_ref::<E>().or_else(inner)
    })
}

const fn of_tls(error: &rustls::Error) -> Option<&'static str> {
    Some(match error {
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "the server's certificate has expired, renew it",
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "the server's certificate is not valid yet, check the clocks",
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the server's certificate is of an authority that is not trusted, set `certificate` \
             to the file of that authority"
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "the server's certificate is for another name, use one that it has in the endpoint",
        rustls::Error::InvalidCertificate(_) => "the server's certificate is not accepted",
        rustls::Error::InvalidMessage(_) => {
            "the server does not speak TLS there, use http:// or the port for TLS"
        }
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::HandshakeFailure,
        ) => {
            "the server wants a certificate that it knows, set `client_certificate` and \
             `client_key`"
        }
        _ => return None,
    })
}

fn of_http2(error: &h2::Error) -> Option<&'static str> {
    // The length of what is no frame is mostly too large.
    if error.reason() == Some(h2::Reason::FRAME_SIZE_ERROR) {
        return Some(
            "the server does not speak HTTP/2 there, use the port for OTLP/gRPC (mostly 4317), or \
             https:// where it speaks TLS",
        );
    }
    error.get_io().and_then(of_system)
}

fn says(error: &hyper::Error) -> bool {
    is_no_http1(error) || error.is_incomplete_message()
}

/// Whether what came is no answer of HTTP/1, or came before there was a question.
fn is_no_http1(error: &hyper::Error) -> bool {
    let cause = || error.source().map(ToString::to_string);
    error.is_parse() || error.is_canceled() && cause().is_some_and(|c| c.contains("unexpected"))
}

fn of_http(error: &hyper::Error) -> Option<&'static str> {
    Some(if is_no_http1(error) {
        "the server does not speak HTTP/1 there, use the port for OTLP over HTTP (mostly 4318), or \
         https:// where it speaks TLS"
    } else {
        BROKEN
    })
}

const BROKEN: &str = "the connection broke before the answer: where it does so each time, check \
                      the port (OTLP/gRPC mostly 4317, OTLP over HTTP mostly 4318), and whether it \
                      wants https://";

fn of_system(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "nobody listens there, check host and port and whether the server runs"
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "no way leads there, check the host and the network"
        }
        io::ErrorKind::TimedOut => "nobody answers there, check host and port and the network",
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => BROKEN,
        _ => return None,
    })
}
