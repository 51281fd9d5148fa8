//! Datagrams without their sockets, for the fuzz targets: there only when they are built.

use super::jaeger::{Protocol, batch};
use crate::export::Parcel;
use crate::trace::resource::Resource;

/// What becomes of a datagram in the compact protocol: the parcel, and how many spans were refused;
/// `None` where it cannot be read.
#[must_use]
pub fn compact(bytes: &[u8]) -> Option<(Option<Parcel>, u64)> {
    datagram(Protocol::Compact, bytes)
}

/// The same of a datagram in the binary protocol.
#[must_use]
pub fn binary(bytes: &[u8]) -> Option<(Option<Parcel>, u64)> {
    datagram(Protocol::Binary, bytes)
}

fn datagram(protocol: Protocol, bytes: &[u8]) -> Option<(Option<Parcel>, u64)> {
    let batch = batch(protocol, bytes).ok()?;
    let refused = batch.refused;
    let (parcel, outcome) = batch.pack(&Resource::new(Some("shop"), &[]));
    Some((parcel, refused + outcome.refused))
}
