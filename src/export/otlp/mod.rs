//! Sending parcels by OTLP.
//!
//! [`http`] posts them, in protobuf or JSON; [`grpc`] calls a method. What is to be done about a
//! failure is decided elsewhere.

mod grpc;
mod http;

use super::exporter::{Exporter, Packed, Sending, Unfit};
use super::parcel::{Parcel, Signal};
use super::transport::Transport;
use super::{Compression, ExportError, Otlp, Protocol};
use crate::net::own::OwnSockets;

/// The exporter that `otlp` asks for; its connections are among `own`.
pub(super) fn connect(otlp: &Otlp, own: &OwnSockets) -> Result<Box<dyn Exporter>, ExportError> {
    let uri = super::transport::uri(&otlp.traces_url)?;
    let transport = Transport::new(&otlp.client, otlp.protocol.http(), &uri, own)?;
    Ok(match otlp.protocol {
        Protocol::Grpc => Box::new(grpc::Grpc::new(otlp, uri, transport)?),
        Protocol::HttpProtobuf | Protocol::HttpJson => {
            Box::new(http::Http::new(otlp, uri, transport)?)
        }
    })
}

/// What an answer over gRPC means.
#[cfg(fuzzing)]
pub(super) use grpc::outcome as read_grpc;

#[cfg(test)]
mod tests;
