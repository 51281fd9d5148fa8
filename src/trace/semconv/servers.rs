//! The server that a request was meant for, as spans tell of it.
//!
//! Nearly all requests on the way in name the same server, and many on the way out do, so what was
//! put together for the last of each kind is kept.

use std::cell::RefCell;

use super::super::span::{Attributes, Kind};
use super::{Authority, Key};

/// The longest authority that is kept, in bytes: names have at most 253, and a port.
const MAX_AUTHORITY: usize = 260;

/// The servers that the last requests were meant for.
#[derive(Debug, Default)]
pub struct Servers {
    inbound: RefCell<Last>,
    outbound: RefCell<Last>,
}

#[derive(Debug, Default)]
struct Last {
    authority: Vec<u8>,
    default_port: u16,
    attributes: Attributes,
}

impl Servers {
    /// Adds the server that an authority names; nothing if it names none.
    pub(super) fn add(
        &self,
        attributes: &mut Attributes,
        kind: Kind,
        authority: &[u8],
        default_port: u16,
    ) {
        let last = match kind {
            Kind::Server => &self.inbound,
            Kind::Client => &self.outbound,
        };
        let mut last = last.borrow_mut();
        if last.default_port != default_port || last.authority != authority {
            if authority.len() > MAX_AUTHORITY {
                return write(attributes, authority, default_port);
            }
            last.keep(authority, default_port);
        }
        attributes.extend(&last.attributes);
    }
}

impl Last {
    fn keep(&mut self, authority: &[u8], default_port: u16) {
        self.authority.clear();
        self.authority.extend_from_slice(authority);
        self.default_port = default_port;
        self.attributes.clear();
        write(&mut self.attributes, authority, default_port);
    }
}

fn write(attributes: &mut Attributes, authority: &[u8], default_port: u16) {
    let Some(authority) = Authority::parse(authority) else { return };
    attributes.raw(Key::ServerAddress, authority.host);
    attributes.int(Key::ServerPort, i64::from(authority.port.unwrap_or(default_port)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_says_what_would_be_written() {
        let servers = Servers::default();
        let long = "x".repeat(MAX_AUTHORITY + 1);
        for authority in ["", "a:1", "a:1", "b", "b", ":8", "a:1", "[::1]:2", &long, "b"] {
            for (kind, port) in [(Kind::Server, 80), (Kind::Client, 80), (Kind::Server, 443)] {
                let (mut kept, mut written) = (Attributes::default(), Attributes::default());
                servers.add(&mut kept, kind, authority.as_bytes(), port);
                write(&mut written, authority.as_bytes(), port);
                assert_eq!(kept, written, "{authority}");
            }
        }
    }
}
