//! A tenant's id: only what may stand in a header, and never of several lines that disagree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::trace::tenant::{Config, TenantId};
use spandrel_fuzz::{Lines, led};

fuzz_target!(|input: &[u8]| {
    let Some((most, bytes)) = led(input) else { return };
    if let Some(tenant) = TenantId::parse(bytes, most) {
        assert_eq!(tenant.as_str().as_bytes(), bytes);
        assert!((1..=most).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic));
        assert!(!bytes.iter().any(|b| matches!(b, b',' | b';' | b'"' | b'<' | b'\\')));
    }
    let headers = Lines::of(bytes);
    let config = Config { default: TenantId::parse(b"fallback", 64), ..Config::default() };
    let resolved = config.resolve(&headers, || None);
    let claims: Vec<_> =
        headers.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(b"x-tenant-id")).collect();
    if !resolved.is_written {
        let named = resolved.tenant.expect("what is not written came with the request");
        assert!(!claims.is_empty() && claims.iter().all(|(_, v)| *v == named.as_str().as_bytes()));
    } else {
        assert_eq!(resolved.tenant, config.default);
    }
});
