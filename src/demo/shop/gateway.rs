//! The gateway: takes the requests of customers, and asks `user` and `order`.

use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::Service;
use super::client::Client;
use super::forward::Forwarded;
use super::web::{self, Body, BoxError, Site};

/// The gateway's own work on a request.
const WORK: Duration = Duration::from_millis(1);

/// The service `gateway`.
#[derive(Debug)]
pub struct Gateway {
    client: Client,
}

impl Gateway {
    /// The gateway that makes its calls by `client`.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    async fn serve(&self, request: Request<Incoming>) -> Result<Response<Body>, BoxError> {
        let (head, body) = request.into_parts();
        let forwarded = Forwarded::from(&head.headers);
        let path = head.uri.path();
        tokio::time::sleep(WORK).await;
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let call = match (&head.method, segments.as_slice()) {
            (&Method::GET, ["users", _id]) => {
                return self.pass_on(Service::User, forwarded.get(path)).await;
            }
            (&Method::GET, ["cart" | "report"] | ["orders", _, "events"]) => forwarded.get(path),
            (&Method::POST, ["orders"]) => {
                let order = web::read(body).await?;
                let user = customer(&order).unwrap_or_default();
                let user = forwarded.get(&format!("/users/{user}"));
                if !self.client.fetch(Service::User, user).await?.status().is_success() {
                    return Ok(web::words(StatusCode::FORBIDDEN, "who are you?\n"));
                }
                forwarded.post(path, order)
            }
            _ => return Ok(web::words(StatusCode::NOT_FOUND, "the shop has no such page\n")),
        };
        self.pass_on(Service::Order, call).await
    }

    /// Answers with what another service answers, as it comes.
    async fn pass_on(
        &self,
        to: Service,
        call: Request<bytes::Bytes>,
    ) -> Result<Response<Body>, BoxError> {
        let (head, body) = self.client.open(to, call).await?.into_parts();
        let mut response = Response::new(body.map_err(BoxError::from).boxed_unsync());
        *response.status_mut() = head.status;
        let content_type = head.headers.get(header::CONTENT_TYPE).cloned();
        let content_type = content_type.unwrap_or(HeaderValue::from_static("text/plain"));
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        Ok(response)
    }
}

impl Site for Gateway {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let answer = self.serve(request).await;
        answer.unwrap_or_else(|_| web::words(StatusCode::BAD_GATEWAY, "come back later\n"))
    }
}

/// Who orders.
fn customer(order: &[u8]) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(order).ok()?.get("user")?.as_u64()
}
