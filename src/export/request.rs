//! What all requests over HTTP have: headers as configured, and a body that may be compressed.

use std::io::Write as _;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Client, Compression, ExportError};

/// The name we give ourselves.
const OUR_NAME: &str = concat!("OTel-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION"));

/// The fastest level, which makes less of a batch than gzip does, in less time.
const ZSTD_LEVEL: i32 = 1;

/// The configured headers, and who we are, to be sent with every request.
///
/// # Errors
/// When a name or a value is none that can be sent.
pub fn headers(client: &Client) -> Result<HeaderMap, ExportError> {
    let mut map = HeaderMap::new();
    for (name, value) in &client.headers {
        let invalid = || ExportError::Header { name: name.clone() };
        let key = HeaderName::try_from(name).map_err(|_| invalid())?;
        let mut value = HeaderValue::try_from(value).map_err(|_| invalid())?;
        value.set_sensitive(true);
        map.insert(key, value);
    }
    map.entry(USER_AGENT).or_insert(HeaderValue::from_static(OUR_NAME));
    Ok(map)
}

/// The name of the compression in a header, where there is any.
pub(super) const fn coding(compression: Compression) -> Option<&'static str> {
    match compression {
        Compression::None => None,
        Compression::Gzip => Some("gzip"),
        Compression::Zstd => Some("zstd"),
    }
}

/// The body as it is sent.
pub(super) fn compress(compression: Compression, body: &Bytes) -> Bytes {
    match compression {
        Compression::None => body.clone(),
        Compression::Gzip => gzip(body).into(),
        Compression::Zstd => {
            let compressed = zstd::bulk::compress(body, ZSTD_LEVEL);
            compressed.expect("memory takes what is written").into()
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let out = Vec::with_capacity(bytes.len() / 4);
    let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes what is written")
}
