//! The service that charges cards, over gRPC, and the client that others call it with.
//!
//! One method, `shop.Payment/Charge`. Every fifth charge takes long: this is the slow dependency
//! that the traces are to show.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server, Uri};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::calls::Calls;
use super::client::CALL_TIMEOUT;
use super::forward::Forwarded;
use super::{Service, Street};

/// A card that is declined.
pub const EXPIRED_CARD: &str = "expired";
/// A card that the service stumbles over.
pub const UNREADABLE_CARD: &str = "unreadable";

/// The path of the only method.
const CHARGE: &str = "/shop.Payment/Charge";
/// The work on a charge.
const WORK: Duration = Duration::from_millis(12);
/// How often a charge takes long.
const SLOW_EVERY: u64 = 5;
/// How much longer that is.
const SLOWNESS: Duration = Duration::from_millis(400);

/// What is asked of the service.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Charge {
    /// The customer.
    #[prost(uint64, tag = "1")]
    pub user: u64,
    /// The amount, in cents.
    #[prost(uint64, tag = "2")]
    pub cents: u64,
    /// The kind of card.
    #[prost(string, tag = "3")]
    pub card: String,
}

/// What the service answers.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Receipt {
    /// Its number.
    #[prost(uint64, tag = "1")]
    pub number: u64,
}

/// Serves the service `payment`.
pub async fn serve(listener: TcpListener) {
    let charges = Arc::<AtomicU64>::default();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let charges = Arc::clone(&charges);
        async move { Ok::<_, std::convert::Infallible>(answer(charges, request).await) }
    });
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    // It ends with the shop, and so do those who would want to know why.
    Server::builder().serve_with_incoming(service, incoming).await.ok();
}

async fn answer(charges: Arc<AtomicU64>, request: http::Request<Body>) -> http::Response<Body> {
    if request.uri().path() != CHARGE {
        return Status::unimplemented("there is only shop.Payment/Charge").into_http();
    }
    let method = tower::service_fn(move |request: Request<Charge>| {
        let number = charges.fetch_add(1, Ordering::Relaxed) + 1;
        charge(number, request.into_inner())
    });
    tonic::server::Grpc::new(ProstCodec::default()).unary(method, request).await
}

async fn charge(number: u64, charge: Charge) -> Result<Response<Receipt>, Status> {
    let slowness = if number.is_multiple_of(SLOW_EVERY) { SLOWNESS } else { Duration::ZERO };
    tokio::time::sleep(WORK + slowness).await;
    match charge.card.as_str() {
        EXPIRED_CARD => Err(Status::failed_precondition("the card has expired")),
        UNREADABLE_CARD => Err(Status::internal("the card reader is broken")),
        _ => Ok(Response::new(Receipt { number })),
    }
}

/// The client of the service `payment`, as `order` holds it.
#[derive(Clone, Debug)]
pub struct Till {
    channel: Channel,
    calls: Calls,
}

impl Till {
    /// A client that connects, when it is first needed, through the proxy of `order`.
    #[must_use]
    pub fn new(street: &Street, calls: Calls) -> Self {
        let proxy = street.beside(Service::Order).outbound;
        let payment = street.beside(Service::Payment).inbound;
        let endpoint = Endpoint::from(url(proxy)).origin(url(payment)).timeout(CALL_TIMEOUT);
        Self { channel: endpoint.connect_lazy(), calls }
    }

    /// Charges a card.
    ///
    /// # Errors
    /// With what the service says instead of a receipt, or that it says nothing.
    pub async fn charge(&self, forwarded: &Forwarded, charge: Charge) -> Result<Receipt, Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = Request::new(charge);
        *request.metadata_mut() = forwarded.metadata();
        self.calls.note(Service::Order, Service::Payment);
        let path = PathAndQuery::from_static(CHARGE);
        let receipt = grpc.unary(request, path, ProstCodec::<Charge, Receipt>::default()).await?;
        Ok(receipt.into_inner())
    }
}

fn url(address: SocketAddr) -> Uri {
    format!("http://{address}").parse().expect("an address makes a URL")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn with(card: &str) -> Charge {
        Charge { user: 1, cents: 100, card: card.to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn every_fifth_charge_takes_long_and_no_other() {
        for number in 1..=10 {
            let began = Instant::now();
            let receipt = charge(number, with("good")).await.expect("a good card");
            assert_eq!(receipt.into_inner().number, number);
            let is_slow = began.elapsed() >= SLOWNESS;
            assert_eq!(is_slow, number == 5 || number == 10, "{number}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bad_cards_are_told_apart() {
        for (card, code) in [
            (EXPIRED_CARD, tonic::Code::FailedPrecondition),
            (UNREADABLE_CARD, tonic::Code::Internal),
        ] {
            assert_eq!(charge(1, with(card)).await.expect_err("a bad card").code(), code);
        }
    }
}
