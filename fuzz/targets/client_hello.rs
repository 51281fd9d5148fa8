//! The first message of a TLS client: decided once, in pieces of any size, and a name is a name.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use spandrel::trace::tls::{ClientHello, Hello, MAX_HELLO, begins_tls};
use spandrel_fuzz::led;

fuzz_target!(|input: &[u8]| {
    let Some((lead, bytes)) = led(input) else { return };
    let mut whole = ClientHello::default();
    let said = whole.push(bytes);
    let mut pieces = ClientHello::default();
    let mut decided = None;
    for (at, piece) in bytes.chunks(lead % 64 + 1).enumerate() {
        let now = pieces.push(piece);
        assert!(decided.is_none_or(|first| first == (now != Hello::NeedMore)), "it starts again");
        decided = (now != Hello::NeedMore).then_some(true);
        let seen = ((at + 1) * (lead % 64 + 1)).min(bytes.len());
        assert_eq!(now == Hello::NotTls, begins_tls(&bytes[..seen]) == Some(false));
    }
    assert_eq!(pieces.push(b""), said);
    assert!(said != Hello::NeedMore || bytes.len() <= MAX_HELLO);
    let Hello::Tls { server_name: Some(name) } = said else { return };
    assert!((1..=253).contains(&name.len()) && name.parse::<IpAddr>().is_err());
    assert!(name.split('.').all(|label| (1..=63).contains(&label.len())));
    assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
});
