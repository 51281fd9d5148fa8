//! `host:port`: written again from its parts, it reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::trace::semconv::Authority;

fuzz_target!(|bytes: &[u8]| {
    let Some(Authority { host, port }) = Authority::parse(bytes) else { return };
    assert!(!host.is_empty() && !host.contains(&b'@') || host.contains(&b']'));
    let mut written =
        if host.contains(&b':') { [b"[", host, b"]"].concat() } else { host.to_vec() };
    if let Some(port) = port {
        written.extend_from_slice(format!(":{port}").as_bytes());
    }
    if !host.starts_with(b"[") {
        assert_eq!(Authority::parse(&written), Some(Authority { host, port }));
    }
});
