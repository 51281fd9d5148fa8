//! The service that knows what is in stock; it calls nobody.

use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::web::{self, Body, Site};

/// The item whose shelf is always being counted: it can be reserved at the second attempt only.
pub const BUSY_ITEM: u64 = 13;
/// The header by which a caller says how often it has tried. That is asked, rather than
/// remembered here, so that requests at the same time do not take each other's turn.
pub const ATTEMPT: &str = "x-attempt";
/// The work on a request.
const WORK: Duration = Duration::from_millis(6);

/// The service `inventory`.
#[derive(Debug)]
pub struct Inventory;

impl Site for Inventory {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        tokio::time::sleep(WORK).await;
        let segments: Vec<&str> = request.uri().path().split('/').skip(1).collect();
        let is_first = request.headers().get(ATTEMPT).is_none_or(|attempt| attempt == "1");
        match (request.method(), segments.as_slice()) {
            (&Method::GET, ["items", item]) => {
                web::json(StatusCode::OK, &json!({"item": item, "stock": 12}))
            }
            (&Method::POST, ["items", item, "reservation"]) => {
                if is_first && item.parse() == Ok(BUSY_ITEM) {
                    return web::words(StatusCode::SERVICE_UNAVAILABLE, "being counted\n");
                }
                web::json(StatusCode::CREATED, &json!({"item": item, "reserved": 1}))
            }
            _ => web::words(StatusCode::NOT_FOUND, "no such shelf\n"),
        }
    }
}
