//! The service that takes orders: it asks `inventory`, and has `payment` charge the card.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Sleep;

use super::Service;
use super::client::Client;
use super::forward::Forwarded;
use super::inventory::ATTEMPT;
use super::payment::{Charge, Till};
use super::web::{self, Body, BoxError, Site};

/// The work on a request.
const WORK: Duration = Duration::from_millis(3);
/// How often a reservation is tried.
const ATTEMPTS: u8 = 2;
/// How long is waited before it is tried again.
const BACK_OFF: Duration = Duration::from_millis(10);
/// The items of the report, which are asked for one after another.
const REPORTED: u64 = 6;
/// The events of an order that are told, and the time between two of them.
const EVENTS: u32 = 5;
/// The time between two events.
const EVENT_EVERY: Duration = Duration::from_millis(300);

/// The service `order`.
#[derive(Debug)]
pub struct Order {
    client: Client,
    till: Till,
    taken: AtomicU64,
}

/// What is ordered.
#[derive(Debug, Deserialize)]
struct Basket {
    user: u64,
    item: u64,
    cents: u64,
    card: String,
}

impl Order {
    /// The service that makes its calls by these clients.
    #[must_use]
    pub fn new(client: Client, till: Till) -> Self {
        Self { client, till, taken: AtomicU64::new(0) }
    }

    async fn serve(&self, request: Request<Incoming>) -> Result<Response<Body>, BoxError> {
        let (head, body) = request.into_parts();
        let forwarded = Forwarded::from(&head.headers);
        tokio::time::sleep(WORK).await;
        let segments: Vec<&str> = head.uri.path().split('/').skip(1).collect();
        match (&head.method, segments.as_slice()) {
            (&Method::POST, ["orders"]) => self.take(&forwarded, &web::read(body).await?).await,
            (&Method::GET, ["cart"]) => self.cart(&forwarded).await,
            (&Method::GET, ["report"]) => self.report(&forwarded).await,
            (&Method::GET, ["orders", _id, "events"]) => {
                let events = Events::default().boxed_unsync();
                Ok(web::answer(StatusCode::OK, "text/event-stream", events))
            }
            _ => Ok(web::words(StatusCode::NOT_FOUND, "nobody orders this way\n")),
        }
    }

    /// Takes an order: reserves the item, then charges the card.
    async fn take(&self, forwarded: &Forwarded, body: &[u8]) -> Result<Response<Body>, BoxError> {
        let Ok(Basket { user, item, cents, card }) = serde_json::from_slice(body) else {
            return Ok(web::words(StatusCode::BAD_REQUEST, "this is no order\n"));
        };
        if !self.reserve(forwarded, item).await? {
            return Ok(web::words(StatusCode::SERVICE_UNAVAILABLE, "the shelf is busy\n"));
        }
        match self.till.charge(forwarded, Charge { user, cents, card }).await {
            Ok(receipt) => {
                let order = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
                let order = json!({"order": order, "receipt": receipt.number});
                Ok(web::json(StatusCode::CREATED, &order))
            }
            Err(status) if status.code() == tonic::Code::FailedPrecondition => {
                Ok(web::words(StatusCode::PAYMENT_REQUIRED, "the card was declined\n"))
            }
            Err(_) => Ok(web::words(StatusCode::INTERNAL_SERVER_ERROR, "payment failed\n")),
        }
    }

    /// Reserves an item, and asks again where its shelf is busy; whether it is reserved.
    async fn reserve(&self, forwarded: &Forwarded, item: u64) -> Result<bool, BoxError> {
        for attempt in 1..=ATTEMPTS {
            let mut call = forwarded.post(&format!("/items/{item}/reservation"), Bytes::new());
            let header = HeaderName::from_static(ATTEMPT);
            call.headers_mut().insert(header, HeaderValue::from(u16::from(attempt)));
            let answer = self.client.fetch(Service::Inventory, call).await?;
            if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
                return Ok(answer.status().is_success());
            }
            tokio::time::sleep(BACK_OFF).await;
        }
        Ok(false)
    }

    /// Asks for the items of a cart at the same time.
    async fn cart(&self, forwarded: &Forwarded) -> Result<Response<Body>, BoxError> {
        let item = |id: u64| self.item(forwarded, id);
        let (a, b, c, d) = tokio::try_join!(item(1), item(2), item(3), item(4))?;
        Ok(web::json(StatusCode::OK, &json!([a, b, c, d])))
    }

    /// Asks for items one after another: slow for no reason, as it is often found.
    async fn report(&self, forwarded: &Forwarded) -> Result<Response<Body>, BoxError> {
        let mut items = Vec::new();
        for id in 1..=REPORTED {
            items.push(self.item(forwarded, id).await?);
        }
        Ok(web::json(StatusCode::OK, &serde_json::Value::Array(items)))
    }

    async fn item(&self, forwarded: &Forwarded, id: u64) -> Result<serde_json::Value, BoxError> {
        let call = forwarded.get(&format!("/items/{id}"));
        let answer = self.client.fetch(Service::Inventory, call).await?;
        Ok(serde_json::from_slice(answer.body())?)
    }
}

impl Site for Order {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let answer = Box::pin(self.serve(request)).await;
        answer.unwrap_or_else(|_| web::words(StatusCode::BAD_GATEWAY, "come back later\n"))
    }
}

/// The events of an order, each some time after the last.
#[derive(Debug, Default)]
struct Events {
    told: u32,
    pause: Option<Pin<Box<Sleep>>>,
}

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.told == EVENTS {
            return Poll::Ready(None);
        }
        if let Some(pause) = &mut self.pause
            && pause.as_mut().poll(cx).is_pending()
        {
            return Poll::Pending;
        }
        self.told += 1;
        self.pause = Some(Box::pin(tokio::time::sleep(EVENT_EVERY)));
        let event = format!("event: step\ndata: {} of {EVENTS}\n\n", self.told);
        Poll::Ready(Some(Ok(Frame::data(event.into()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn the_events_are_few_and_come_one_after_another() {
        let (began, mut events, mut told) = (Instant::now(), Events::default(), Vec::new());
        while let Some(frame) = events.frame().await {
            let data = frame.expect("it does not fail").into_data().expect("data");
            told.push((began.elapsed(), data));
        }
        assert_eq!(told.len(), 5);
        assert_eq!(told[0].0, Duration::ZERO);
        assert!(told.windows(2).all(|pair| pair[1].0 >= pair[0].0 + EVENT_EVERY));
        assert!(told[4].0 <= Duration::from_secs(2));
        assert_eq!(&told[4].1[..], b"event: step\ndata: 5 of 5\n\n");
    }
}
