//! The service that knows the customers; it calls nobody.

use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::web::{self, Body, Site};

/// The customers are numbered from 0 up to here.
const CUSTOMERS: u64 = 100;
/// The work on a request.
const WORK: Duration = Duration::from_millis(4);

/// The service `user`.
#[derive(Debug)]
pub struct User;

impl Site for User {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        tokio::time::sleep(WORK).await;
        let id = request.uri().path().strip_prefix("/users/");
        let id = id.and_then(|id| id.parse::<u64>().ok());
        match id {
            Some(id) if id < CUSTOMERS => {
                web::json(StatusCode::OK, &json!({"id": id, "name": format!("customer {id}")}))
            }
            _ => web::words(StatusCode::NOT_FOUND, "no such customer\n"),
        }
    }
}
