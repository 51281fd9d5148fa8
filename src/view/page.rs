//! The files of the page, which are part of the program.

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;

/// The page runs its own scripts, has its own styles, and asks nobody but us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self'; img-src 'self' data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// Every file by its name.
        const FILES: &[(&str, &str)] = &[$(($name, include_str!(concat!("page/", $name)))),*];
    };
}

files![
    "api.js",
    "app.js",
    "cards.js",
    "colors.js",
    "controls.css",
    "copy.js",
    "details.css",
    "dom.js",
    "empty.js",
    "filters.js",
    "format.js",
    "graph.js",
    "graphdrawing.js",
    "graphshape.js",
    "health.js",
    "index.html",
    "keys.js",
    "live.js",
    "route.js",
    "scatter.js",
    "scattershape.js",
    "service.js",
    "span.js",
    "spanrow.js",
    "style.css",
    "tables.css",
    "tenants.js",
    "theme.js",
    "timescale.js",
    "trace.css",
    "trace.js",
    "tracehead.js",
    "tracerow.js",
    "traces.css",
    "traces.js",
    "tree.js",
    "verdict.js",
    "waterfall.css",
    "waterfall.js",
];

/// The file at a path of the URL.
pub(super) fn file(path: &str) -> Option<Response<Full<Bytes>>> {
    let name = match path {
        "/" => "index.html",
        path => path.strip_prefix('/')?,
    };
    let (name, text) = FILES.iter().find(|(file, _)| *file == name)?;
    let mut response = Response::new(Full::from(*text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(name)));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // Another version of the program has other files under the same names.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(response)
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
